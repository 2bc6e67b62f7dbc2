"""The model at its size, through Kafka: 34 practices, 500 sites, 3,000 practitioners, pools, two runs of each period.

Every practice has a statement, a contest pack and a feedback report; what they say adds up within each, over each pool,
with the ledger and with what was emitted; and an independent account of the same files comes to the same shares.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest

from carepact.local.platform import LocalPlatform
from tests.end_to_end.harness import World, world_of
from tests.oracle.settlement import Figures, collect, settle
from tests.oracle.settling import PERIODS, Made, make_sized

PRACTICES, SITES, PRACTITIONERS = 34, 500, 3_000
KNOWN_THROUGH = date(2025, 12, 31)
MEMBERS = 500
AT_ONCE = 4_000

pytestmark = [pytest.mark.platform, pytest.mark.long, pytest.mark.timeout(3_600)]


async def test_every_practice_is_settled_at_the_models_size(
    platform: LocalPlatform, space: str, tmp_path: Path
) -> None:
    made = make_sized(tmp_path, MEMBERS, 7, KNOWN_THROUGH, (PRACTICES, SITES, PRACTITIONERS))
    people = Counter[str]()
    for line in made.all.read_bytes().splitlines():
        if b"rendering_npi" in line:
            data = orjson.loads(line)["data"]
            people.update({data["billing_npi"], *(one["rendering_npi"] for one in data["lines"])})
    seen = Counter(npi[:2] for npi in people)
    print(seen["15"], "sites", seen["18"], "practitioners")
    assert seen["15"] > SITES * 0.9 and seen["18"] > PRACTITIONERS * 0.9
    async with world_of(platform, space, tmp_path, ("medicare",)) as world:
        for path in (made.practices, made.figures, made.initial):
            await publish(world, path)
        async with world.working():
            first = await settled(world, made, made.initial, "initial")
            await publish(world, made.all)
            await settled(world, made, made.all, "true-up")
        await ledger(world, first)


async def publish(world: World, path: Path) -> None:
    """A file, some thousand lines at a time: the world gives each submission a minute."""
    lines = path.read_bytes().splitlines()
    for start in range(0, len(lines), AT_ONCE):
        await world.publish("medicare", lines[start : start + AT_ONCE])


async def settled(world: World, made: Made, events: Path, run: str) -> int:
    """One run of every period; how many practices had something settled in one of them."""
    population, figures = collect(events, made.practices), Figures(made.practices, made.figures)
    found: set[str] = set()
    for period in PERIODS:
        out = world.folder / f"{run}-{period}"
        words = ("--period", str(period), "--run", run, "--timeout", "1500", "--out", str(out), "--json")
        payer = world.payer("medicare").name
        code, printed, said = await world.command("reconcile", "--payer", payer, *words, seconds=1_600)
        assert code == 0, said
        answer = json.loads(printed)
        results = settle(population, figures, period)
        statements = {path.name.split(".")[0]: json.loads(path.read_bytes()) for path in out.glob("*.statement.json")}
        assert len(statements) == len(answer["settlements"])
        adds_up(out, statements)
        for practice, told in statements.items():
            if practice in results:
                mine = (told["share_cents"], told["meos"]["recouped_cents"])
                assert mine == (results[practice].share, results[practice].recouped), (period, practice)
            assert not told["pending"] or not told["takes_part"] or not told["episodes"]["settled"], told["pending"]
        with_episodes = [told for told in statements.values() if told["takes_part"] and told["episodes"]["settled"]]
        print(run, period, len(with_episodes), "practices", sum(t["episodes"]["settled"] for t in with_episodes))
        found.update(told["practice"] for told in with_episodes)
    assert len(found) == PRACTICES
    return len(found)


def adds_up(out: Path, statements: dict[str, Any]) -> None:
    """Within each practice, and over each pool: parts sum to the whole."""
    pools: dict[str, list[Any]] = defaultdict(list)
    for practice, told in statements.items():
        pack = json.loads((out / f"{practice}.contest.json").read_bytes())
        report = json.loads((out / f"{practice}.feedback.json").read_bytes())
        episodes = pack["episodes"]
        assert len(episodes) == told["episodes"]["settled"]
        assert sum(one["expenditure_cents"] for one in episodes) == told["spending"]["expenditure_cents"]
        assert sum(one["counted_cents"] for one in episodes) == told["actual_cents"]
        assert sum(one["benchmark_cents"] or 0 for one in episodes) == told["benchmark_cents"]
        assert sum(line["paid_cents"] for line in pack["recouped"]) == told["meos"]["recouped_cents"]
        assert sum(one["expenditure_cents"] for one in report["spending"]["by_cancer"]) == sum(
            one["expenditure_cents"] for one in episodes
        )
        assert told["in_force_cents"] == sum(one["amount_cents"] for one in (*told["before"], *told["moved"]))
        if told["group"] is not None and told["group"]["zone"]:
            pools[told["pool"] or practice].append(told)
    for members in pools.values():
        group = members[0]["group"]
        assert sum(one["share_cents"] for one in members) == group["pbp_cents"] - group["pbr_cents"]
        if len(members) == group["practices"]:
            assert sum(one["benchmark_cents"] for one in members) == group["benchmark_cents"]
            assert sum(one["actual_cents"] for one in members) == group["actual_cents"]
    assert any(len(members) > 1 for members in pools.values())


async def ledger(world: World, practices: int) -> None:
    """Every payment of a settlement has its two sides; what stands is what the last statements say is in force."""
    async with world.opened() as database:
        lines = await database.fetch(
            "SELECT payment_id, sum(amount_cents) AS cents, count(*) AS sides FROM settlement_ledger_line GROUP BY 1"
        )
        assert lines and all(row["cents"] == 0 and row["sides"] == 2 for row in lines)
        standing = await database.fetch(
            "SELECT practice, period, sum(amount_cents)::bigint AS cents FROM settlement_payment GROUP BY 1, 2"
        )
        last = await database.fetch(
            "SELECT DISTINCT ON (practice, period) practice, statement, convert_from(statement, 'UTF8')::jsonb ->> "
            "'period' AS period FROM settlement WHERE statement IS NOT NULL ORDER BY practice, period, log_offset DESC"
        )
    told = {(r["practice"], f"PP{r['period']}"): orjson.loads(r["statement"])["in_force_cents"] for r in last}
    for row in standing:
        assert told[row["practice"], row["period"]] == row["cents"], tuple(row)[:2]
    assert len({practice for practice, _ in told}) >= practices
