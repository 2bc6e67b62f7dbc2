"""Two periods settled through Kafka, first and trued up: an account that shares no code agrees to the cent.

Practices that earn, that owe, whose cost is in the neutral zone, and that share a pool; billed months that come back;
later claims that move the difference, and nothing else. The account is `tests/oracle/settlement.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson
import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from streams.reconciling import ask, until_answered
from streams.topics import settlements_topic
from tests.end_to_end.harness import World, until, world_of
from tests.oracle.settlement import Figures, Result, collect, settle
from tests.oracle.settling import Made, make
from tests.streams.ways_in import records_of

pytestmark = [pytest.mark.platform, pytest.mark.timeout(600)]
PERIODS = (3, 4)
RUNS = ("initial", "true-up")


@dataclass
class Seen:
    """What was answered and what stands, by run and period; what was sent in all."""

    made: Made
    answers: dict[tuple[str, int], list[dict[str, Any]]]
    in_force: dict[tuple[str, int], dict[str, int]]
    moved: dict[tuple[str, int], dict[str, int]]
    sent: list[dict[str, Any]]
    kept: list[tuple[str, int]]

    def expected(self, run: str, period: int) -> dict[str, Result]:
        """The account's results of a run."""
        events = self.made.initial if run == "initial" else self.made.all
        figures = Figures(self.made.practices, self.made.figures)
        return settle(collect(events, self.made.practices), figures, period)


@pytest_asyncio.fixture(scope="module")
async def seen(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Seen]:
    folder = tmp_path_factory.mktemp("settled")
    made = make(folder, 36, seed=9, variants=1, known_through=date(2025, 6, 30))
    lines = [path.read_bytes().splitlines() for path in (made.practices, made.figures, made.initial)]
    known = set(lines[2])
    later = [line for line in made.all.read_bytes().splitlines() if line not in known]
    found = Seen(made, {}, {}, {}, [], [])
    async with world_of(platform, "settled", folder, ("medicare",)) as world:
        await world.publish("medicare", [line for some in lines for line in some])
        async with world.working(1):
            for run in RUNS:
                if run == "true-up":
                    await world.publish("medicare", later)
                await world.settled()
                for period in PERIODS:
                    await reconcile(world, found, run, period)
            await world.settled()
            await until(lambda: everything_is_sent(world, found), "all settlements are on their topic")
        yield found


async def reconcile(world: World, found: Seen, run: str, period: int) -> None:
    """Ask for a run, and see what stands after it."""
    payer = world.payer("medicare")
    asked = await ask(world.connections(), payer.name, payer.contract, period, run)
    async with world.opened() as database:
        answer = await until_answered(database, asked)
        assert answer["status"] == "answered", answer["reason"]
        found.answers[run, period] = answer["settlements"]
        rows = await database.fetch(
            "SELECT practice, sum(amount_cents)::bigint, sum(amount_cents) FILTER (WHERE request_id = $2)::bigint"
            " FROM settlement_payment WHERE period = $1 GROUP BY practice",
            f"PP{period}",
            asked.request_id,
        )
    found.in_force[run, period] = {row[0]: row[1] for row in rows if row[1]}
    found.moved[run, period] = {row[0]: row[2] for row in rows if row[2]}


async def everything_is_sent(world: World, found: Seen) -> bool:
    """Whether each determination is on the topic; keeps what was sent."""
    records = await records_of(world.connections(), settlements_topic(world.payer("medicare").name))
    found.sent = [orjson.loads(record.value) for record in records]
    async with world.opened() as database:
        kept = await database.fetch("SELECT payment_id::text, amount_cents FROM settlement_payment")
    found.kept = [tuple(row) for row in kept]
    return {event["id"] for event in found.sent} >= {name for name, _ in found.kept}


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("run", RUNS)
async def test_what_stands_after_a_run_is_what_the_account_comes_to(seen: Seen, run: str, period: int) -> None:
    expected = seen.expected(run, period)
    wanted = {name: one.share - one.recouped for name, one in expected.items() if one.share != one.recouped}
    assert seen.in_force[run, period] == wanted
    told = {one["practice"]: one for one in seen.answers[run, period]}
    for name, one in expected.items():
        if one.episodes:
            assert (told[name]["zone"], told[name]["share_cents"]) == (one.zone, one.share)
            assert told[name]["benchmark_cents"] == sum(account.benchmark for account in one.episodes)
            assert told[name]["actual_cents"] == sum(account.counted for account in one.episodes)
            assert told[name]["pending"] == []


async def test_practices_earn_owe_and_do_neither_and_a_pool_is_settled_together(seen: Seen) -> None:
    zones: Counter[str] = Counter(one["zone"] for some in seen.answers.values() for one in some if one["zone"])
    assert {zone for zone, count in zones.items() if count} == {"earned", "neutral", "owed"}
    pools = defaultdict(set)
    for (run, period), answers in seen.answers.items():
        for one in answers:
            if one["pool"]:
                pools[run, period, one["pool"]].add(one["practice"])
    assert any(len(members) == 2 for members in pools.values())
    kinds = Counter(event["data"]["kind"] for event in seen.sent if "kind" in event["data"])
    assert kinds.keys() == {"PBP", "PBR", "MEOS_RECOUPMENT"}


async def test_a_true_up_moves_the_difference_and_nothing_else(seen: Seen) -> None:
    for period in PERIODS:
        before, after = (seen.in_force[run, period] for run in RUNS)
        moved = {name: after.get(name, 0) - before.get(name, 0) for name in before.keys() | after.keys()}
        assert seen.moved["true-up", period] == {name: cents for name, cents in moved.items() if cents}
    assert any(seen.moved["true-up", period] for period in PERIODS)


async def test_each_determination_is_sent_once_as_it_is_kept(seen: Seen) -> None:
    sent = [(event["id"], event["data"]["amount_cents"]) for event in seen.sent if "kind" in event["data"]]
    assert sorted(sent) == sorted(seen.kept) != []
