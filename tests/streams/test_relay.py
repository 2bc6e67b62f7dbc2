"""The relay: each event once on its topic, whoever crashes, stops or comes back, and whatever PostgreSQL forgot."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import asyncpg
import orjson
import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from carepact.local.platform import LocalPlatform
from contracts.envelope import NAMESPACE
from streams.admin import Admin
from streams.connections import Connections
from streams.lease import LeaseLost
from streams.output import Output, OutputChanged, groupless, partitions_of
from streams.relay import Relay, Shard, take_over
from streams.topics import PLATFORM, Topic, payments_topic

pytestmark = pytest.mark.platform
GONE = timedelta(0)
"""A lease that has expired as soon as it is taken: its holder is one that was stopped."""
MEMBERS = [f"member{number}".encode() for number in range(7)]
SEND = """
    INSERT INTO outbox (payer, topic, key, value, event_id, partition, log_offset)
    SELECT $1, $2, * FROM unnest($3::bytea[], $4::bytea[], $5::uuid[], $6::int[], $7::bigint[])
"""


HELD = "SELECT epoch FROM relay_lease WHERE shard = $1"  # run out or not: it is the first's until another takes it


@dataclass
class World:
    """One payer, its payments topic, and a database that can be dropped."""

    payer: str
    topic: str
    connections: Connections
    new_database: Callable[[], Awaitable[str]]
    connection: Any = None

    async def use_new_database(self) -> None:
        """Go on with an empty database, as if the old one had been dropped."""
        await self.connection.close()
        self.connections = replace(self.connections, dsn=await self.new_database())
        self.connection = await self.connect()

    async def connect(self) -> Any:
        """A connection to the database in use."""
        return await asyncpg.connect(self.connections.postgres)

    async def decide(self, first: int, last: int) -> list[UUID]:
        """Events `first` to `last - 1` come into the outbox, as the fold would put them there."""
        numbers = range(first, last)
        ids = [uuid5(NAMESPACE, f"{self.payer}|{number}") for number in numbers]
        keys = [MEMBERS[number % len(MEMBERS)] for number in numbers]
        values = [orjson.dumps({"id": str(event), "n": number}) for event, number in zip(ids, numbers, strict=True)]
        await self.connection.execute(SEND, self.payer, self.topic, keys, values, ids, [0] * len(ids), list(numbers))
        return ids

    async def on_topic(self) -> list[int]:
        """The numbers of all events that a `read_committed` reader sees, each member's in the order sent."""
        return [orjson.loads(record.value)["n"] for record in await read_all(self.connections, self.topic)]

    async def left(self, table: str = "outbox") -> int:
        """How many rows a table has."""
        count: int = await self.connection.fetchval(f"SELECT count(*) FROM {table} WHERE payer = $1", self.payer)
        return count

    @contextlib.asynccontextmanager
    async def shard(self, ttl: timedelta = timedelta(seconds=30)) -> AsyncIterator[Shard]:
        """Take the payer over, on a connection of its own."""
        connection = await self.connect()
        try:
            async with take_over(self.payer, [self.topic], self.connections, connection, ttl) as shard:
                assert shard is not None, "somebody holds the shard"
                yield shard
        finally:
            await connection.close()


async def read_all(connections: Connections, topic: str) -> list[Any]:
    """Every committed record of a topic."""
    records: list[Any] = []
    async with groupless(connections) as consumer:
        parts = [TopicPartition(topic, partition) for partition in await partitions_of(consumer, topic)]
        ends = await consumer.end_offsets(parts)
        todo = {part for part in parts if ends[part] > 0}
        consumer.assign(sorted(todo))
        for part in todo:
            consumer.seek(part, 0)
        while todo:
            for got in (await consumer.getmany(*todo, timeout_ms=500)).values():
                records += got
            todo = {part for part in todo if await consumer.position(part) < ends[part]}
    return records


def assert_each_once_in_order(numbers: Sequence[int], last: int) -> None:
    """Events 0 to `last - 1`, each once, and each member's in order."""
    assert sorted(numbers) == list(range(last))
    for member in range(len(MEMBERS)):
        own = [number for number in numbers if number % len(MEMBERS) == member]
        assert own == sorted(own)


@pytest_asyncio.fixture(scope="module")
async def payments_topics(platform: LocalPlatform) -> Iterator[str]:
    """Payers that no other test has, each with a payments topic."""
    payers = [f"relay-{number}" for number in range(20)]
    declared = [Topic(name=payments_topic(payer), kind="payments", payer=payer, partitions=4) for payer in payers]
    admin = Admin(platform.connections(PLATFORM).confluent())
    await asyncio.to_thread(admin.ensure_topics, declared)
    await asyncio.to_thread(admin.ensure_access, declared)
    return iter(payers)


@pytest_asyncio.fixture(scope="module")
async def database(platform: LocalPlatform) -> AsyncIterator[str]:
    """One database for these tests: each has a payer of its own."""
    yield await platform.create_database("relay")
    await platform.drop_database("relay")


@pytest.fixture
async def world(
    platform: LocalPlatform,
    payments_topics: Iterator[str],
    database: str,
    make_database: Callable[[], Awaitable[str]],
) -> AsyncIterator[World]:
    payer = next(payments_topics)
    made = World(payer, payments_topic(payer), replace(platform.connections(), dsn=database), make_database)
    made.connection = await made.connect()
    yield made
    await made.connection.close()


async def test_rows_leave_in_order_and_once(world: World) -> None:
    await world.decide(0, 500)
    async with world.shard() as shard:
        while await shard.step(rows_max=120):
            pass
    assert_each_once_in_order(await world.on_topic(), 500)
    assert await world.left() == 0


async def test_records_carry_key_and_content_type(world: World) -> None:
    await world.decide(0, 1)
    async with world.shard() as shard:
        await shard.step()
    (record,) = await read_all(world.connections, world.topic)
    assert record.key == MEMBERS[0]
    assert dict(record.headers) == {"content-type": b"application/cloudevents+json; charset=UTF-8"}


async def test_large_events_are_cut_into_batches(world: World) -> None:
    ids = [uuid5(NAMESPACE, str(number)) for number in range(20)]
    values = [orjson.dumps({"id": str(event), "n": number, "x": "x" * 200_000}) for number, event in enumerate(ids)]
    keys = [MEMBERS[0]] * 20
    await world.connection.execute(SEND, world.payer, world.topic, keys, values, ids, [0] * 20, list(range(20)))
    async with world.shard() as shard:
        assert await shard.step() == 20
    assert await world.on_topic() == list(range(20))


async def test_crash_after_kafka_has_it_and_before_the_delete_repeats_nothing(world: World) -> None:
    await world.decide(0, 100)
    async with world.shard(GONE) as crashed:
        await crashed.publish(await crashed.waiting())
    await world.decide(100, 150)
    async with world.shard() as next_holder:
        assert next_holder.counts.struck == 100
        await next_holder.step()
    assert_each_once_in_order(await world.on_topic(), 150)
    assert await world.left() == await world.left("output_found") == 0


async def test_crash_inside_the_kafka_transaction_loses_nothing(world: World) -> None:
    await world.decide(0, 100)
    async with world.shard(GONE) as crashed:
        await open_transaction_with(crashed, await crashed.waiting())
        async with world.shard() as next_holder:
            await next_holder.step()
    assert_each_once_in_order(await world.on_topic(), 100)


async def test_zombie_that_wakes_before_it_sends_is_fenced(world: World) -> None:
    await world.decide(0, 50)
    async with world.shard(GONE) as zombie:
        rows = await zombie.waiting()
        async with world.shard() as holder:
            await holder.step()
            with pytest.raises(KafkaError):
                await zombie.publish(rows)
            await world.decide(50, 60)
            await holder.step()
    assert_each_once_in_order(await world.on_topic(), 60)


async def test_zombie_that_wakes_before_the_delete_is_told(world: World) -> None:
    await world.decide(0, 50)
    async with world.shard(GONE) as zombie:
        rows = await zombie.waiting()
        reached = await zombie.publish(rows)
        async with world.shard() as holder:
            await world.decide(50, 60)
            await holder.step()
            with pytest.raises(LeaseLost):
                await zombie.settle(rows, reached)
    assert_each_once_in_order(await world.on_topic(), 60)
    assert await world.left() == 0


async def test_zombie_that_fences_its_successor_does_not_send_beside_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after it took the lease and before its producer was open: it fences the holder, and is told to leave."""
    stopped, woken = asyncio.Event(), asyncio.Event()

    class SlowOutput(Output):
        async def open(self) -> None:
            stopped.set()
            await woken.wait()
            await super().open()

    async def wake_up_as_holder() -> None:
        async with world.shard(GONE) as zombie:
            await zombie.step()

    await world.decide(0, 50)
    monkeypatch.setattr("streams.relay.Output", SlowOutput)
    zombie = asyncio.create_task(wake_up_as_holder())
    await stopped.wait()
    monkeypatch.undo()
    async with world.shard() as holder:
        woken.set()
        with pytest.raises(LeaseLost):
            await zombie
        with pytest.raises(KafkaError):
            await holder.step()
    async with world.shard() as again:
        await again.step()
    assert_each_once_in_order(await world.on_topic(), 50)


async def test_dropped_database_sends_nothing_twice_and_misses_nothing(world: World) -> None:
    await world.decide(0, 300)
    async with world.shard() as shard:
        await shard.step(rows_max=200)
    await world.use_new_database()
    await world.decide(0, 120)
    async with world.shard() as rebuilt:
        assert rebuilt.counts.struck == 120
        assert await world.left("output_found") == 80
        await rebuilt.step()
    await world.decide(120, 350)
    async with world.shard() as restarted:
        await restarted.step()
        assert restarted.counts.struck == 80
    assert_each_once_in_order(await world.on_topic(), 350)
    assert await world.left() == await world.left("output_found") == 0


async def test_topic_that_was_made_again_is_refused(world: World) -> None:
    await world.connection.execute(
        "INSERT INTO output_position (payer, topic, partition, next_offset) VALUES ($1, $2, 0, 77)",
        world.payer,
        world.topic,
    )
    with pytest.raises(OutputChanged, match="77"):
        async with world.shard():
            pass


async def test_second_relay_stands_by_until_the_first_stops(world: World) -> None:
    arguments = world.payer, [world.topic], world.connections, world.connect
    async with Relay(*arguments, ttl=timedelta(seconds=600)) as first:
        await until(lambda: first.counts.take_overs == 1)
        async with Relay(*arguments, ttl=timedelta(seconds=1)) as second:
            await world.decide(0, 10)
            first.wake()
            await until(lambda: first.counts.sent == 10)
            await first.stop()
            await until(lambda: second.counts.take_overs == 1)
            await world.decide(10, 20)
            await until(lambda: second.counts.sent == 10)
    assert_each_once_in_order(await world.on_topic(), 20)


async def test_notification_wakes_the_relay(world: World) -> None:
    arguments = world.payer, [world.topic], world.connections, world.connect
    async with Relay(*arguments, ttl=timedelta(seconds=600)) as relay:
        await until(lambda: relay.counts.take_overs == 1)
        await world.decide(0, 10)
        await world.connection.execute("SELECT pg_notify('carepact_outbox', $1)", world.payer)
        await until(lambda: relay.counts.sent == 10)


async def test_lost_connection_is_taken_up_again(world: World) -> None:
    arguments = world.payer, [world.topic], world.connections, world.connect
    async with Relay(*arguments, ttl=timedelta(seconds=1)) as relay:
        await until(lambda: relay.counts.take_overs == 1)
        await world.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await world.decide(0, 10)
        await until(lambda: relay.counts.sent == 10)
    assert_each_once_in_order(await world.on_topic(), 10)


@pytest.mark.chaos
async def test_stopped_holder_that_comes_back_changes_nothing(world: World, tmp_path: Path) -> None:
    """SIGSTOP of a relay process amid its work, past its lease; another takes over; SIGCONT; both go on."""
    holder = await start_holder(world, tmp_path)
    try:
        decided = 0
        for _ in range(4):
            await world.decide(decided, decided + 400)
            decided += 400
        await until_async(lambda: has_sent_between(world, 1, decided - 1))
        await assert_alive_and_holding(world, holder)
        os.kill(holder.pid, signal.SIGSTOP)
        arguments = world.payer, [world.topic], world.connections, world.connect
        async with Relay(*arguments, ttl=timedelta(seconds=1)) as successor:
            await until(lambda: successor.counts.take_overs == 1)
            await world.decide(decided, decided + 100)
            os.kill(holder.pid, signal.SIGCONT)
            await world.decide(decided + 100, decided + 200)
            await until_async(lambda: outbox_is_empty(world))
    finally:
        holder.kill()
        await holder.wait()
    assert_each_once_in_order(await world.on_topic(), decided + 200)


HOLDER = """
import asyncio, sys
from datetime import timedelta
import asyncpg, orjson
from projections.store import SESSION
from streams import relay
from streams.admin import Admin
from streams.connections import Connections

async def main():
    told = orjson.loads(sys.stdin.buffer.read())
    connections = Connections(**told["connections"])
    connect = lambda: asyncpg.connect(connections.postgres, server_settings=SESSION)
    relay.ROWS_MAX = relay.Shard.step.__defaults__ = (20,)
    await relay.Relay(told["payer"], [told["topic"]], connections, connect, timedelta(seconds=1)).maybe_start()
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def start_holder(world: World, folder: Path) -> asyncio.subprocess.Process:
    """A relay in a process of its own, 20 rows at a time."""
    script = folder / "holder.py"
    script.write_text(HOLDER)
    holder = await asyncio.create_subprocess_exec(sys.executable, str(script), stdin=asyncio.subprocess.PIPE)
    fields = ("principal", "bootstrap", "username", "password", "mechanism", "dsn")
    connections = {name: getattr(world.connections, name) for name in fields}
    assert holder.stdin is not None
    holder.stdin.write(orjson.dumps({"payer": world.payer, "topic": world.topic, "connections": connections}))
    holder.stdin.close()
    return holder


async def assert_alive_and_holding(world: World, holder: asyncio.subprocess.Process) -> None:
    """The nemesis struck one that lived and owned something."""
    assert holder.returncode is None
    assert await world.connection.fetchval(HELD, f"relay:{world.payer}") == 1


async def has_sent_between(world: World, least: int, most: int) -> bool:
    """Whether that many of the rows have left the outbox so far."""
    noted = await world.connection.fetchval(
        "SELECT coalesce(sum(next_offset), 0) FROM output_position WHERE payer = $1", world.payer
    )
    return least <= int(noted) and 0 < await world.left() <= most


async def outbox_is_empty(world: World) -> bool:
    """Whether every row was relayed."""
    return await world.left() == 0


async def open_transaction_with(shard: Shard, rows: Sequence[Any]) -> None:
    """What a relay had done that was killed just before it committed."""
    producer = shard.output._producer
    await producer.begin_transaction()
    for row in rows:
        await (await producer.send(row["topic"], row["value"], row["key"]))


async def until(true: Callable[[], bool]) -> None:
    """Return once it is so."""

    async def ask() -> bool:
        return true()

    await until_async(ask)


async def until_async(true: Callable[[], Awaitable[bool]]) -> None:
    """Return once it is so; the run's own time limit ends a wait that is in vain."""
    async with asyncio.timeout(120):
        while not await true():  # noqa: ASYNC110 - what is awaited is in Kafka or PostgreSQL
            await asyncio.sleep(0.02)
