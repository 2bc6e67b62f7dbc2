"""Workers, Kafka and PostgreSQL are killed and stopped in the middle of work; each event still counts once.

One world for the module: each test deals it another hand of members, strikes, and looks at all there is.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from carepact.local.supervisor import Kept
from tests.chaos.nemesis import (
    BATCH_WRITES,
    RELAY_WRITES,
    alive,
    all_claimed,
    held,
    leases,
    lines_of,
    owned,
    relays,
    state,
    until_caught,
)
from tests.end_to_end.harness import World, dealt, population, until, world_of

pytestmark = [pytest.mark.platform, pytest.mark.chaos]
MEMBERS, HANDS = 240, 12
TWICE = pytest.mark.parametrize("time", ["first", "second"])
PAYERS = "medicare", "bcbs-sc"


class Siege:
    """A world with two workers, and hands of members to publish one after another."""

    def __init__(self, world: World, workers: list[Kept], hands: int, members: int, seed: int) -> None:
        self.world, self.workers, self.platform = world, workers, world.platform
        lines = population(world.folder, world.space, members, seed)
        self._practices = lines["practices"]
        by_payer = {payer: dealt(lines[payer], hands) for payer in world.payers}
        self._hands = [{payer: by_payer[payer][n] for payer in world.payers} for n in range(hands)]

    async def publish(self, chunk: int = 2_000) -> None:
        """The next hand, through the door."""
        hand = self._hands.pop()
        for payer, lines in hand.items():
            known = [] if self.world.sent[payer] else self._practices
            await self.world.publish(payer, known + lines, chunk)

    @property
    def hands(self) -> int:
        """How many are left."""
        return len(self._hands)

    async def assert_nothing_happened(self) -> None:
        """Time passes, all is settled, and everything is as if nobody had struck."""
        await self.world.close_day(date(2026, 1, 1))
        await self.world.settled()
        await self.world.assert_whole()
        await self.world.assert_as_folded_elsewhere()

    async def worker_in_flight(self, victim: Kept) -> set[tuple[str, int]]:
        """Once the victim is in the middle of a batch: what it owns, which is not nothing."""
        await until_caught(self.world, victim, BATCH_WRITES)
        owns = await owned(self.world, victim)
        assert alive(victim)
        assert owns
        return owns


@pytest_asyncio.fixture(scope="module")
async def siege(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Siege]:
    folder = tmp_path_factory.mktemp("siege")
    async with world_of(platform, "siege", folder, PAYERS) as world, world.working(2) as workers:
        await all_claimed(world, workers)
        yield Siege(world, workers, HANDS, MEMBERS, seed=5)


@pytest_asyncio.fixture(autouse=True)
async def at_peace(request: pytest.FixtureRequest) -> None:
    """Before a strike every part is up and every partition has an owner."""
    if "siege" in request.fixturenames:
        siege: Siege = request.getfixturevalue("siege")
        await siege.platform.until_up()
        await all_claimed(siege.world, siege.workers)


@TWICE
async def test_a_worker_killed_in_the_middle_of_a_batch(siege: Siege, time: str) -> None:
    print(time)
    victim = siege.workers[0]
    async with held(siege.world, BATCH_WRITES):
        await siege.publish()
        await siege.worker_in_flight(victim)
        starts = victim.starts
        siege.platform.kill(victim)
    await victim.until_started_again(starts)
    await siege.assert_nothing_happened()


@TWICE
async def test_kafka_killed_while_events_come_in_and_batches_wait(siege: Siege, time: str) -> None:
    print(time)
    kafka = siege.platform.kafka
    assert kafka is not None
    async with held(siege.world, BATCH_WRITES):
        publishing = asyncio.create_task(siege.publish(chunk=100))
        await siege.worker_in_flight(siege.workers[0])
        starts = kafka.starts
        assert alive(kafka)
        siege.platform.kill(kafka)
    await kafka.until_started_again(starts)
    await publishing
    await siege.assert_nothing_happened()


@TWICE
async def test_postgres_killed_in_the_middle_of_batches(siege: Siege, time: str) -> None:
    print(time)
    postgres = siege.platform.postgres
    assert postgres is not None
    async with held(siege.world, BATCH_WRITES):
        publishing = asyncio.create_task(siege.publish(chunk=100))
        for worker in siege.workers:
            await siege.worker_in_flight(worker)
        starts = postgres.starts
        assert alive(postgres)
        siege.platform.kill(postgres)
    await postgres.until_started_again(starts)
    await publishing
    await siege.assert_nothing_happened()


@TWICE
async def test_a_worker_that_slept_past_its_session_applies_nothing_when_it_wakes(siege: Siege, time: str) -> None:
    print(time)
    zombie, other = siege.workers
    async with held(siege.world, BATCH_WRITES):
        await siege.publish()
        owns = await siege.worker_in_flight(zombie)
        siege.platform.pause(zombie)
    try:
        await until(lambda: others(siege, other, owns), "the other worker has claimed all that the sleeper owned")
        await siege.publish()
        assert zombie.pid is not None
        assert state(zombie.pid) == "T"
    finally:
        siege.platform.resume(zombie)
    await siege.assert_nothing_happened()
    said = {line["event"] for line in lines_of(zombie)}
    assert said & {"fenced", "projection_interrupted", "projection_waits"}, "it woke and was refused"


async def others(siege: Siege, other: Kept, owns: set[tuple[str, int]]) -> bool:
    return owns <= await owned(siege.world, other)


@TWICE
async def test_a_relay_that_slept_past_its_lease_sends_nothing_when_it_wakes(siege: Siege, time: str) -> None:
    print(time)
    async with held(siege.world, RELAY_WRITES):
        publishing = asyncio.create_task(siege.publish())
        await until_caught(siege.world, None, RELAY_WRITES)
        holdings = {worker.name: await relays(siege.world, worker) for worker in siege.workers}
        sleeper = max(siege.workers, key=lambda worker: len(holdings[worker.name]))
        held_before = await leases(siege.world)
        assert alive(sleeper)
        assert holdings[sleeper.name], "it holds a lease"
        await until_caught(siege.world, sleeper, RELAY_WRITES)
        siege.platform.pause(sleeper)
    try:
        await until(lambda: taken_over(siege, holdings[sleeper.name], held_before), "its leases are taken over")
        await publishing
    finally:
        siege.platform.resume(sleeper)
    await siege.assert_nothing_happened()
    refused = [line for line in lines_of(sleeper) if line["event"] in ("relay_taken_over", "relay_interrupted")]
    assert refused, "it woke and was refused"


async def taken_over(siege: Siege, payers: set[str], before: dict[str, int]) -> bool:
    now = await leases(siege.world)
    return all(now.get(payer, 0) > before[payer] for payer in payers)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_struck_whenever(platform: LocalPlatform, tmp_path: Path, seed: int) -> None:
    """Eight blows at random moments of one run, on random victims, while events keep coming in."""
    chance = random.Random(seed)
    print(f"seed {seed}")
    async with world_of(platform, f"long-{seed}", tmp_path) as world, world.working(2) as workers:
        await all_claimed(world, workers)
        siege = Siege(world, workers, 8, 400, seed)
        while siege.hands:
            publishing = asyncio.create_task(siege.publish(chunk=50))
            await asyncio.sleep(chance.uniform(0.1, 3.0))  # the moment is what is random here
            await blow(siege, chance)
            await publishing
        await siege.assert_nothing_happened()


async def blow(siege: Siege, chance: random.Random) -> None:
    """One blow, and the recovery of what it hit."""
    assert siege.platform.kafka is not None
    assert siege.platform.postgres is not None
    await siege.platform.until_up()
    await until(lambda: some_owner(siege), "a worker owns something")
    holders = [worker for worker in siege.workers if alive(worker) and await owned(siege.world, worker)]
    victim = chance.choice([*holders, *holders, siege.platform.kafka, siege.platform.postgres])
    assert alive(victim)
    starts = victim.starts
    if victim in holders and chance.random() < 0.4:
        print(f"stop {victim.name}")
        siege.platform.pause(victim)
        await asyncio.sleep(chance.uniform(1, 12))  # within its session or past it
        siege.platform.resume(victim)
    else:
        print(f"kill {victim.name}")
        siege.platform.kill(victim)
        await victim.until_started_again(starts)


async def some_owner(siege: Siege) -> bool:
    return any([await owned(siege.world, worker) for worker in siege.workers])
