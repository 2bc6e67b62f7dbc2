"""2,000 members through Kafka, 24 months of initiations, 38 of facts: two runs of every period, held to an account.

The account (`tests/oracle/settlement.py`) imports nothing of the product. It agrees on every episode, month and cent,
in the database and in what practices are sent. Each trigger, tie-break, void reason, flip, row of D.5 and cell of
results occurs twenty times or more in this population; the counts are printed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest

from carepact.generate.settling import LATEST, stories
from carepact.local.platform import LocalPlatform
from carepact.local.waiting import wait
from contracts.events.base import Identifier
from streams.linking import link, token_of
from streams.log_writer import LogWriter
from tests.end_to_end.harness import World, world_of
from tests.oracle.settlement import Account, Figures, Population, collect, settle
from tests.oracle.settling import PERIODS, make
from tests.oracle.shown import CELLS, CLAIMS, OUTCOMES, SOURCES, STEPS, STORIES, VOID, of_members, of_results
from tests.oracle.test_model_size import publish

MEMBERS, SEED, VARIANTS = 2_000, 7, 60
FIRST_CUT, SECOND_CUT = date(2026, 2, 28), date.fromordinal(LATEST)
"""Two and eight months after the last episode of 24 months of initiations is over (term data of the sheet)."""

CONFLICTS, RENAMED = 24, 24
LEAST = 20

pytestmark = [pytest.mark.platform, pytest.mark.long, pytest.mark.timeout(7_200)]


@dataclass
class People:
    """Who got another identifier: the old one's new one, and the token under which both now are."""

    other: dict[str, str] = field(default_factory=dict)
    token: dict[str, str] = field(default_factory=dict)


def renamed(lines: list[bytes], people: People, told: Counter[str]) -> list[bytes]:
    """From their tenth fact on, those of `people` are told of under their new identifier."""
    made: list[bytes] = []
    for line in lines:
        old = orjson.loads(line)["data"]["person"]["identifier"]["value"]
        told[old] += 1
        made.append(line.replace(old.encode(), people.other[old].encode()) if told[old] > 10 else line)
    return made


def conflicting(lines: list[bytes]) -> list[bytes]:
    """Claims of these lines once more under their ids, with another amount."""
    made: list[bytes] = []
    for line in lines:
        if b"ProfessionalClaimReceived" in line and len(made) < CONFLICTS:
            event = orjson.loads(line)
            for one in event["data"]["lines"]:
                one["paid_cents"] += 7_700
            made.append(orjson.dumps(event))
    return made


async def test_two_thousand_members_settle_as_an_independent_account_says(
    platform: LocalPlatform, space: str, tmp_path: Path
) -> None:
    made = make(tmp_path, MEMBERS, SEED, VARIANTS, FIRST_CUT)
    first, last = collect(made.initial, made.practices), collect(made.all, made.practices)
    figures = Figures(made.practices, made.figures)
    known = made.initial.read_bytes().splitlines()
    before = set(known)
    later = [line for line in made.all.read_bytes().splitlines() if line not in before]
    settling = dict.fromkeys(account.episode.member[2] for account in first.accounts if account.settles)
    people = People({old: f"{n // 9 + 1}YY9YY9YY{10 + n}" for n, old in enumerate(list(settling)[:RENAMED])})

    def of_them(line: bytes) -> bool:
        return line[line.index(b'"value":"') + 9 :][:11].decode() in people.other

    told: Counter[str] = Counter()
    async with world_of(platform, space, tmp_path, ("medicare",)) as world:
        await publish(world, made.practices)
        await publish(world, made.figures)
        await joined(world, people, list(people.other)[: RENAMED // 2])
        await world.publish("medicare", renamed([line for line in known if of_them(line)], people, told))
        await joined(world, people, list(people.other)[RENAMED // 2 :])
        others = [line for line in known if not of_them(line)]
        await published(world, others)
        await published(world, conflicting(others))
        async with world.working():
            await world.close_day(FIRST_CUT)
            seen = await run(world, people, first, figures, "initial")
            await published(world, renamed([line for line in later if of_them(line)], people, told))
            await published(world, [line for line in later if not of_them(line)])
            await world.close_day(SECOND_CUT)
            seen += await run(world, people, last, figures, "true-up")
        seen += await flips(world)
        async with world.opened() as database:
            seen["conflict"] = await database.fetchval("SELECT count(*) FROM reject WHERE code = 'conflict'")
            assert await database.fetchval("SELECT count(*) FROM reject WHERE code <> 'conflict'") == 0
    seen["identifier changed"] = len(people.token)
    seen["claim after the first run's cut"] = sum(b"ClaimReceived" in line for line in later)
    seen += of_members(last)
    seen.update({f"story: {name}": count for name, count in stories(MEMBERS, SEED, VARIANTS).items()})
    at_least_twenty_of_everything(seen)


async def published(world: World, lines: list[bytes]) -> None:
    """Some thousand lines at a time."""
    for start in range(0, len(lines), 4_000):
        await world.publish("medicare", lines[start : start + 4_000])


async def joined(world: World, people: People, some: list[str]) -> None:
    """Two identifiers, one person: in turn the old one's token stays, or the new one's."""
    payer, connections = world.payer("medicare"), world.connections()
    async with LogWriter(connections, "carepact.test") as writer:
        door = await world.door(writer, payer)
        for n, old in enumerate(some):
            old_one, new_one = (
                token_of(world.keys, payer.name, "", Identifier(kind="mbi", value=value))
                for value in (old, people.other[old])
            )
            survivor, retired = (old_one, new_one) if n % 2 else (new_one, old_one)
            await link(connections, writer, door, world.keys, survivor, retired)
            people.token[old] = survivor


async def run(world: World, people: People, population: Population, figures: Figures, name: str) -> Counter[str]:
    """One run of every period, and what stands after it, episode by episode, month by month, cent by cent."""
    await wait(world.settings, 2_400)

    def token(account: Account) -> str:
        member = account.episode.member
        return people.token.get(member[2]) or world.token("medicare", *member)

    assert await world.found("medicare") == {
        (token(a), a.episode.start): (
            a.episode.end, a.episode.cancer_type, a.episode.status, a.episode.void_reason, a.episode.exclusion,
            a.episode.included, a.episode.practice, paid_months(a),
        )
        for a in population.accounts
    }  # fmt: skip
    seen: Counter[str] = Counter()
    for period in PERIODS:
        results = settle(population, figures, period)
        out = world.folder / f"{name}-{period}"
        words = ("--period", str(period), "--run", name, "--timeout", "1500", "--out", str(out), "--json")
        code, _, said = await world.command("reconcile", "--payer", world.payer("medicare").name, *words, seconds=1_600)
        assert code == 0, said
        episodes: dict[tuple[str, str], tuple[Any, ...]] = {}
        for path in sorted(out.glob("*.statement.json")):
            statement = json.loads(path.read_bytes())
            pack = json.loads(path.with_name(path.name.replace("statement", "contest")).read_bytes())
            for settles, some in ((True, pack["episodes"]), (False, pack["not_settled"])):
                for one in some:
                    money = (one["counted_cents"], one["benchmark_cents"]) if settles else ()
                    episodes[one["member"], one["started_on"]] = (
                        one["ends_on"], one["opened_by"]["source"], one["cancer_type"], settles,
                        one["months_counted"], one["expenditure_cents"], *money,
                    )  # fmt: skip
            result = results.get(statement["practice"] or "")
            share, recouped = (result.share, result.recouped) if result else (0, 0)
            assert (statement["share_cents"], statement["meos"]["recouped_cents"]) == (share, recouped)
            assert statement["in_force_cents"] == share - recouped
            if result and result.episodes:
                assert statement["pending"] == [] and statement["group"]["zone"] == result.zone
                if period < PERIODS[-1]:  # whose last episodes are over later
                    assert "run_out_not_closed" not in statement["said"]
        assert episodes == {
            (token(a), a.episode.start.isoformat()): (
                a.episode.end.isoformat(), a.episode.source, a.episode.cancer_type, a.settles,
                len(a.episode.months), a.cost,
                *((a.counted, a.benchmark) if a.settles else ()),
            )
            for a in population.accounts
            if a.period == period
        }  # fmt: skip
        seen += of_results(figures, period, results.items())
        print(name, period, len(episodes), "episodes", sum(bool(r.episodes) for r in results.values()), "practices")
    return seen


def paid_months(account: Account) -> dict[str, int]:
    """The cents of each month that anything is paid for."""
    return {month: cents for month, cents in account.episode.months.items() if cents}


async def flips(world: World) -> Counter[str]:
    """How often the sub-type of a valid episode came to be excluded, or not excluded any more: a version for each."""
    async with world.opened() as database:
        rows = await database.fetch(
            """
            SELECT before, exclusion, count(*) FROM (
                   SELECT status, exclusion,
                          lag(status) OVER of_one AS status_before, lag(exclusion) OVER of_one AS before
                     FROM episode WINDOW of_one AS (PARTITION BY episode_id ORDER BY version)) e
             WHERE status = 'valid' AND status_before = 'valid' AND before <> exclusion GROUP BY 1, 2
            """
        )
    return Counter({f"flip: {row[0] or 'included'} to {row[1] or 'included'}": row[2] for row in rows})


FLIPS = tuple(
    f"flip: {one} to {other}"
    for subtype in ("low_risk_breast", "low_intensity_prostate")
    for one, other in ((subtype, "included"), ("included", subtype))
)


def at_least_twenty_of_everything(seen: Counter[str]) -> None:
    """Printed, and fewer than twenty of anything fail."""
    rows = (
        "conflict",
        "identifier changed",
        "claim after the first run's cut",
        *(f"story: {name}" for name in STORIES),
    )
    asked = (*SOURCES, *STEPS, *OUTCOMES, *VOID, *FLIPS, *CLAIMS, *rows, *CELLS)
    for name in asked:
        print(f"{seen[name]:>8}  {name}")
    assert {name: seen[name] for name in asked if seen[name] < LEAST} == {}
