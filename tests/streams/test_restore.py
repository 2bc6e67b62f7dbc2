"""Restore: what a lost database held comes back from the logs alone; and no replay is seen from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from aiokafka import TopicPartition

from carepact.local.platform import LocalPlatform
from contracts.drafts import Change
from gateway.principals import Principal, scopes_of
from projections import rebuilt
from streams.output import groupless, partitions_of
from streams.rebuilding import opened, rebuild, republish, switch
from streams.reconciling import log_ends
from streams.topics import episodes_topic, operations_topic, payments_topic, topics
from streams.verifying import verify
from streams.what_if import NONE, Imagining, Options
from tests.feeds.emitting import pay, reaching
from tests.feeds.receiving import receiving, says, sending
from tests.feeds.test_webhooks import Subscriber
from tests.streams.replayed import World, world_of
from tests.streams.tables import QUERIES

pytestmark = pytest.mark.platform
EMITTED = """
    SELECT (SELECT count(*) FROM payment WHERE $1 IN ('', payer))
         + (SELECT count(*) FROM episode WHERE $1 IN ('', payer))
"""
AS_CUT = {"position", "outbox", "order"}
"""What tells where a batch ended, or what is not yet sent."""


@pytest_asyncio.fixture(scope="module")
async def world(platform: LocalPlatform) -> AsyncIterator[World]:
    async with world_of(platform, "restore", payers=2) as made:
        for payer in made.roster.payers[1:]:
            await made.relay(payer)
        yield made


async def ends(world: World) -> dict[Any, int]:
    """The end of every partition of every topic."""
    async with groupless(world.connections) as consumer:
        parts = [
            TopicPartition(topic.name, p)
            for topic in topics(world.roster)
            for p in sorted(await partitions_of(consumer, topic.name))
        ]
        found: dict[Any, int] = await consumer.end_offsets(parts)
    return found


async def tables(connection: Any) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: [tuple(row) for row in await connection.fetch(question)]
        for name, question in QUERIES.items()
        if name not in AS_CUT
    }


async def test_a_lost_database_comes_back_equal_and_nothing_is_sent_twice(
    world: World, make_database: Callable[[], Awaitable[str]]
) -> None:
    dsn = await make_database()
    connection = await asyncpg.connect(dsn)
    again = World(world.roster, replace(world.connections, dsn=dsn), connection)
    before = await ends(world)
    for payer in world.roster.payers:
        await again.apply(payer)
        await again.relay(payer)
    assert await tables(connection) == await tables(world.connection)
    sent, kinds = await ends(world), (payments_topic, episodes_topic)
    now = {kind(payer.name) for payer in world.roster.payers for kind in kinds}
    assert {at: end for at, end in sent.items() if at.topic not in now} == {
        at: end for at, end in before.items() if at.topic not in now
    }
    report = await verify(again.connections, world.roster.payers)
    assert report.difference is None
    assert report.emitted == await connection.fetchval(EMITTED, "")
    await connection.close()


async def test_no_replay_is_told_to_an_endpoint(world: World, platform: LocalPlatform, tmp_path: Path) -> None:
    payer = world.roster.payers[0]
    count = await world.connection.fetchval(EMITTED, payer.name)
    mine = Principal("payer", payer.name, scopes=scopes_of("payer"))
    app = reaching(platform, "restore", tmp_path, world.roster, webhooks_private=True, payer=mine)
    async with receiving(says(204)) as receiver:
        await Subscriber(app, "payer")("POST", status=201, url=receiver.url)
        async with sending(platform, "restore", tmp_path, payers=[payer.name]):
            await receiver.until(count)
            assert (await world.verify(payer.name)).difference is None
            await all_replays(world)
            event = await pay(world.connection, payer.name, "the last", 1)
            await receiver.until(count + 1)
    assert len(receiver.received) == count + 1
    assert len({one.id for one in receiver.received}) == count + 1
    assert receiver.received[-1].body == event
    await world.connection.execute("DELETE FROM payment WHERE member = 'the last'")


async def all_replays(world: World) -> None:
    """What if, a rebuild, its exchange, and what was lost sent again: nothing was."""
    for payer in world.roster.payers:
        imagining = Imagining(payer, NONE, Change(arrangement="RA2"), Options())
        cut = await log_ends(world.connections, payer.name)
        await imagining.read(world.connections, {int(p): end for p, end in cut.items()})
        assert imagining.result().rows
    async with opened(world.connections) as alone:
        await rebuild(world.connections, alone, world.roster.payers)
        await rebuilt.difference(alone)
        await switch(world.connections, alone, world.roster.payers)
        for payer in world.roster.payers:
            assert await republish(world.connections, alone, payer) == 0
        await rebuilt.drop(alone)


async def test_no_replay_is_seen_from_outside(world: World) -> None:
    before, rows = await ends(world), await tables(world.connection)
    assert operations_topic(world.roster.space) in {at.topic for at in before}
    for payer in world.roster.payers:
        assert (await world.verify(payer.name)).difference is None
    await all_replays(world)
    assert await ends(world) == before
    assert await world.connection.fetchval("SELECT count(*) FROM outbox") == 0
    assert await tables(world.connection) == rows
