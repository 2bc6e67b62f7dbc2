"""Order is all: the same log gives the same rows and the same payments, however it was worked through."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from tests.end_to_end.harness import World, population, until, world_of
from tests.streams.tables import assert_same

pytestmark = pytest.mark.platform
PROGRAM = "tests.end_to_end.worker", "--batch-records"
MEMBERS, CLOSED = 24, date(2026, 1, 1)


@pytest_asyncio.fixture(scope="module")
async def world(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Three payers' logs, whole before anything reads them."""
    folder = tmp_path_factory.mktemp("order")
    async with world_of(platform, "order", folder) as made:
        await fill(made, MEMBERS)
        yield made


async def fill(world: World, members: int) -> None:
    lines = population(world.folder, world.space, members, seed=11)
    for payer in world.payers:
        await world.publish(payer, lines["practices"] + lines[payer])
    await world.close_day(CLOSED)


@asynccontextmanager
async def held(world: World, short: str) -> AsyncIterator[None]:
    """No payment of this payer is stored until the end; the other payers go on."""
    async with world.opened() as database:
        await database.execute(f"""
            CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
            CREATE TRIGGER held AFTER INSERT ON payment FOR EACH ROW
            WHEN (NEW.payer = '{world.payer(short).name}') EXECUTE FUNCTION held();
            SELECT pg_advisory_lock(1);
        """)
        yield


@pytest_asyncio.fixture(scope="module")
async def first(world: World) -> tuple[dict[str, Any], list[Any]]:
    """Rows and payments as two workers made them, whose database was dropped half-way and made again from nothing."""
    async with held(world, "employers"), world.working(2, *PROGRAM, "7") as kept:
        await until(world.emitted, "some payments are sent")
        for worker in kept:
            world.platform.kill(worker)
    half = await world.emitted()
    await world.new_database()
    async with world.working(2, *PROGRAM, "7"):
        await world.settled()
    await world.assert_whole()
    await world.assert_as_folded_elsewhere()
    emitted = await world.emitted()
    assert 0 < len(half) < len(emitted), "the database was dropped half-way"
    return await world.rows(), emitted


async def test_a_database_dropped_half_way_is_made_again_and_nothing_is_sent_twice(
    first: tuple[dict[str, Any], list[Any]],
) -> None:
    rows, emitted = first
    assert len(rows["payment"]) == len(emitted) == len({event[:2] for event in emitted})


async def test_one_worker_with_large_batches_makes_the_same(
    world: World, first: tuple[dict[str, Any], list[Any]]
) -> None:
    rows, emitted = first
    await world.new_database()
    async with world.working(1, *PROGRAM, "2000"):
        await world.settled()
    assert_same(rows, await world.rows())
    assert emitted == await world.emitted()
    await world.assert_whole()


async def restarted(world: World, workers: int, batch: int, seed: int, times: int) -> None:
    """Work through the log with some workers, of which a random one is killed at each of some random points."""
    chance = random.Random(seed)
    print(f"seed {seed}")
    await world.new_database()
    total = len([row for payer in world.sent.values() for row in payer])
    points = sorted(chance.randrange(total) for _ in range(times))
    async with AsyncExitStack() as stack:
        kept = await stack.enter_async_context(world.working(workers, *PROGRAM, str(batch)))
        for point in points:
            await until(lambda point=point: applied(world, point), f"{point} events are applied")  # type: ignore[misc]
            victim = chance.choice(kept)
            starts = victim.starts
            world.platform.kill(victim)
            await asyncio.wait_for(victim.until_started_again(starts), 150)
        await world.settled()


async def applied(world: World, count: int) -> bool:
    async with world.opened() as database:
        return bool(await database.fetchval("SELECT count(*) >= $1 FROM fact", count))


async def test_four_workers_with_batches_of_one_and_restarts_at_random_points_make_the_same(
    world: World, first: tuple[dict[str, Any], list[Any]]
) -> None:
    rows, emitted = first
    await restarted(world, workers=4, batch=1, seed=3, times=2)
    assert_same(rows, await world.rows())
    assert emitted == await world.emitted()


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(5))
async def test_a_longer_log_is_the_same_after_many_restarts(platform: LocalPlatform, tmp_path: Path, seed: int) -> None:
    async with world_of(platform, f"order-long-{seed}", tmp_path) as world:
        await fill(world, 200)
        async with world.working(1, *PROGRAM, "500"):
            await world.settled()
        rows, emitted = await world.rows(), await world.emitted()
        for workers, batch in ((1, 1), (2, 7), (4, 2_000)):
            await world.new_database()
            async with world.working(workers, *PROGRAM, str(batch)):
                await world.settled()
            assert_same(rows, await world.rows())
        await restarted(world, 2, 7, seed, times=8)
        assert_same(rows, await world.rows())
        assert emitted == await world.emitted()
        await world.assert_whole()
        await world.assert_as_folded_elsewhere()
