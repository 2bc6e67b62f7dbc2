"""Whatever is changed in a log or in a compared row is found; inside one record or row, it is named."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from carepact.local.platform import LocalPlatform
from projections.batches import COLUMNS, rows_of
from projections.digests import (
    COMPARED,
    LOG_BATCHES,
    TABLES,
    UUIDS,
    Compared,
    Difference,
    Sums,
    first_difference,
    live_rows,
    plain,
)
from projections.rows import Row
from projections.store import Position
from streams import verifying_outputs
from streams.replay import Capture, PartitionReplay
from streams.roster import Roster
from streams.topics import episodes_topic, log_topic, payments_topic
from streams.transport import check_logs
from streams.verifying_log import Batches, UnreadableLog, boundaries, changed_record, records_of
from tests.streams.logs import Log, Record, population
from tests.streams.replayed import World, chained, world_of
from tests.streams.test_folding import agent_on, give

PARTITION = 0
LOG = log_topic("medicare")
SAMPLE, ALL = 60, 500
MEDICARE = Roster.load().payer("medicare")


class Kept:
    """A log applied to a database, and what that keeps of one partition of it."""

    def __init__(self, log: Log, connection: Any) -> None:
        self.log, self.connection = log, connection
        self.records: Sequence[Record] = log.records[PARTITION]
        self.rows: list[Row] = []
        self.boundaries: list[int] = []
        self.sums = Sums()
        self.expected: dict[str, list[Row]] = {}


class All(Capture):
    """Every row that a replay makes."""

    def take(self, table: Compared, rows: Iterable[Sequence[Any]]) -> None:
        self.rows[table.table] += [tuple(row) for row in rows]


@pytest_asyncio.fixture(scope="module")
async def kept(platform: LocalPlatform) -> AsyncIterator[Kept]:
    log = population(Log(), 12, 20)
    dsn = await platform.create_database("tampers")
    connection = await asyncpg.connect(dsn)
    async with agent_on(dsn) as agent:
        for batch in log.batches(30):
            await give(agent, batch)
    made = Kept(log, connection)
    made.rows = [(LOG, PARTITION, *row) for row in await rows_of(connection, LOG, PARTITION)]
    made.boundaries, wrong = await boundaries(connection, LOG, PARTITION, len(made.records))
    assert wrong is None and len(made.boundaries) > 10
    everything = All({})
    replay = PartitionReplay(MEDICARE, PARTITION, capture=everything)
    await replay.feed(made.records)
    made.sums = replay.finish()
    made.sums.merge(chained(LOG, PARTITION, made.boundaries, made.records))
    made.expected = {name: everything.rows[name] for name in TABLES} | {LOG_BATCHES: made.rows}
    assert sum(bool(rows) for rows in made.expected.values()) >= 10
    yield made
    await connection.close()
    await platform.drop_database("tampers")


async def named(kept: Kept, records: Sequence[Record]) -> Difference | None:
    """What verification says of a partition that holds these records now."""
    now = Batches(LOG, PARTITION, kept.boundaries).take(records)
    at = COLUMNS.index("chain")
    wrong = [n for n, row in enumerate(kept.rows) if n >= len(now) or row[at] != now[n][at]]
    if not wrong:
        return None

    async def reader(first: int, end: int) -> AsyncIterator[Any]:
        for record in records:
            if first <= record.offset < end:
                yield _placed(record)

    first = wrong[0]
    assert first < len(now)
    return await changed_record(reader, LOG, PARTITION, [now[first]], [kept.rows[first]])


def _placed(record: Record) -> Any:
    class Placed:
        topic, partition = LOG, PARTITION

        def __getattr__(self, name: str) -> Any:
            return getattr(record, name)

    return Placed()


def tampered(records: Sequence[Record], chance: random.Random) -> tuple[list[Record], int | None]:
    """The records with one thing changed; and the offset at which it was, where it is inside one record."""
    made = [*records]
    n = chance.randrange(1, len(made) - 1)
    record = made[n]
    match chance.randrange(9):
        case 0:
            value = bytearray(record.value)
            value[chance.randrange(len(value))] ^= 1 << chance.randrange(8)
            made[n] = replace(record, value=bytes(value))
        case 1:
            key = bytearray(record.key or b"k")
            key[chance.randrange(len(key))] ^= 1 << chance.randrange(8)
            made[n] = replace(record, key=bytes(key))
        case 2:
            made[n] = replace(record, key=None if record.key is not None else b"")
        case 3:
            ((name, value_),) = record.headers
            made[n] = replace(record, headers=chance.choice((((name, value_ + b" "),), ((name + "x", value_),), ())))
        case 4:
            made[n] = replace(record, timestamp=record.timestamp + chance.choice((-1, 1, 86_400_000)))
        case 5:
            other = chance.choice([m for m in range(1, len(made)) if made[m].value != record.value])
            made[n] = replace(record, value=made[other].value, key=made[other].key)
        case 6:
            del made[n]
            return made, record.offset
        case 8:
            made[n] = replace(record, offset=record.offset + chance.choice((-1, 1)))
            return made, None
        case _:
            m = chance.randrange(1, len(made))
            if made[m].value == record.value:
                return tampered(records, chance)
            made[n], made[m] = replace(made[m], offset=n), replace(record, offset=m)
            return made, None
    return made, n


@pytest.mark.parametrize("count", [SAMPLE, pytest.param(ALL, marks=pytest.mark.long)])
async def test_every_change_of_a_record_is_found_and_named(kept: Kept, count: int) -> None:
    assert await named(kept, kept.records) is None
    chance = random.Random(count)
    for number in range(count):
        records, offset = tampered(kept.records, chance)
        found = await named(kept, records)
        assert found is not None, number
        if offset is not None:
            assert found.position is not None and found.position["offset"] == offset, (number, found)
            assert found.field == ("bytes" if len(records) == len(kept.records) else "records")


def other(column: str, value: Any, chance: random.Random) -> Any:
    """Another value of the same type."""
    match value:
        case str() if column in UUIDS:
            return str(UUID(int=chance.getrandbits(128)))
        case bool():
            return not value
        case int() if column == "partition":
            return 1
        case int():
            return value + chance.choice((-1, 1) if column not in KEYS else (1_000,))
        case bytes():
            changed = bytearray(value or b"x")
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            return bytes(changed)
        case str():
            return value + "x"
        case date():
            return value + timedelta(days=1)
        case list():
            return [*value, 1]
        case _:
            raise AssertionError(column)


KEYS = {name for table in COMPARED for name in table.key}
"""Their neighbours are other rows', which the database would not let stand twice."""


async def rows_now(kept: Kept, table: Compared) -> list[Row]:
    return [row async for some in live_rows(kept.connection, table, "medicare", PARTITION, LOG) for row in some]


async def told_of(kept: Kept, table: Compared) -> Difference:
    """What verification says when this table alone is not as it was."""
    now, sums = await rows_now(kept, table), Sums()
    for name, one in TABLES.items():
        sums.add(one, now if name == table.table else kept.expected[name])
    buckets = kept.sums.differing(sums)
    assert [*buckets] == [table.table]
    bucket = buckets[table.table]
    expected, found = (
        [row for row in rows if table.bucket(row) == bucket] for rows in (kept.expected[table.table], now)
    )
    return first_difference(table, expected, found, LOG, PARTITION)


@pytest.mark.parametrize("count", [SAMPLE, pytest.param(ALL, marks=pytest.mark.long)])
async def test_every_change_of_a_compared_column_is_found_and_named(kept: Kept, count: int) -> None:
    chance, connection = random.Random(count), kept.connection
    tables = [one for one in COMPARED if kept.expected[one.table]]
    columns = [(table, name) for table in tables for name in table.columns]
    chance.shuffle(columns)
    for number in range(count):
        table, column = columns[number % len(columns)]
        rows = [row for row in kept.expected[table.table] if row[table.columns.index(column)] is not None]
        if not rows:
            continue
        row = dict(zip(table.columns, chance.choice(rows), strict=True))
        where = " AND ".join(f"{name}::text = ${n}::text" for n, name in enumerate(table.key, 1))
        own = "topic = 'carepact.medicare.events.v1'" if table.table == LOG_BATCHES else "payer = 'medicare'"
        keys = [str(row[name]) for name in table.key]
        where = f"WHERE {own} AND partition = 0 AND {where}"
        changed = other(column, row[column], chance)
        found = connection.transaction()
        await found.start()
        deleted = number % 5 == 4 or (table.table, column) == ("partition_state", "partition")  # there is one of each
        if deleted:
            done = await connection.execute(f"DELETE FROM {table.table} {where}", *keys)
        else:
            done = await connection.execute(
                f"UPDATE {table.table} SET {column} = ${len(keys) + 1} {where}", *keys, changed
            )
        assert done.endswith(" 1"), (table.table, column)
        difference = await told_of(kept, table)
        await found.rollback()
        key = {name: row[name] for name in table.key}
        assert difference.table == table.table
        if deleted or difference.field is None:  # a row is missing, or stands where it should not
            assert {str(value) for value in difference.key.values()} <= {*map(str, key.values()), str(changed)}
            assert (difference.expected is None) != (difference.found is None)
        else:
            assert (difference.key, difference.field) == (key, column)
            assert (difference.expected, difference.found) == (plain(row[column]), plain(changed))
        assert difference.position is not None or table.table in {"due", "log_batch"}
    async with connection.transaction():
        for table in tables:
            assert sorted(map(repr, await rows_now(kept, table))) == sorted(map(repr, kept.expected[table.table]))


# -- real logs --------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module")
async def world(platform: LocalPlatform) -> AsyncIterator[World]:
    async with world_of(platform, "broken", payers=3) as made:
        yield made


async def test_a_damaged_batch_of_kafka_is_told_as_its_offsets(world: World, platform: LocalPlatform) -> None:
    payer = world.roster.payers[0]
    log = log_topic(payer.name)
    (segment,) = Path(platform.home.kafka).rglob(f"{log}-2/00000000000000000000.log")
    whole = segment.read_bytes()
    batches = list(_batches(whole))
    start, first, last, _ = next(one for one in batches if one[2] > one[1])
    with segment.open("r+b") as file:
        file.seek(start + 70)
        file.write(bytes([whole[start + 70] ^ 0xFF]))
    try:
        with pytest.raises(UnreadableLog) as damaged:
            async for _ in records_of(world.connections, log, 2, 0, batches[-1][2] + 1):
                pass
        assert (damaged.value.first, damaged.value.last) == (first, last)
        difference = (await world.verify(payer.name)).difference
        assert difference is not None
        assert (difference.table, difference.field) == (log, "batch")
        assert difference.key == {"partition": 2, "first_offset": first, "last_offset": last}
    finally:
        segment.write_bytes(whole)
    assert (await world.verify(payer.name)).difference is None


def _batches(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(where it begins, first offset, last offset, bytes) of each record batch of a segment."""
    at = 0
    while at < len(data):
        base, length = int.from_bytes(data[at : at + 8], "big"), int.from_bytes(data[at + 8 : at + 12], "big")
        delta = int.from_bytes(data[at + 23 : at + 27], "big")
        yield at, base, base + delta, 12 + length
        at += 12 + length


HEADER = [("content-type", b"application/cloudevents+json; charset=UTF-8")]


async def test_records_that_are_no_events_are_rejected_in_the_log_and_named_on_what_is_sent(world: World) -> None:
    payer = world.roster.payers[2]
    log, sent = log_topic(payer.name), payments_topic(payer.name)
    odd: list[tuple[bytes | None, bytes | None, list[tuple[str, Any]]]] = [
        (b"x", None, []),
        (b"", b"", [("none", None)]),
        (b"k" * 26, None, HEADER),
        (None, b"{}", HEADER * 3),
        (b"\xff\xfe", b"\xff\xfe", [("", b"")]),
    ]
    async with AIOKafkaProducer(**world.connections.aiokafka(), acks="all") as producer:
        for key, value, headers in odd:
            await producer.send_and_wait(log, value, key, partition=1, headers=headers)
        await world.apply(payer)
        await world.relay(payer)
        report = await world.verify(payer.name)
        assert report.difference is None
        assert report.tables["reject"][0] >= len(odd)
        place = await producer.send_and_wait(sent, None, b"x", partition=2)
        await world.relay(payer)
    difference = (await world.verify(payer.name)).difference
    assert difference is not None
    assert (difference.table, difference.field, difference.found) == (sent, "value", "nothing: the value is null")
    assert difference.position == {"topic": sent, "partition": 2, "offset": place.offset}


@pytest.mark.parametrize(
    "what", ["value", "no event", "key", "no key", "headers", "partition", "bytes", "twice", "more"]
)
async def test_whatever_is_wrong_with_a_sent_record_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    payer = world.roster.payers[0]
    real = verifying_outputs.committed
    topic = payments_topic(payer.name)
    seen: list[Any] = []

    def changed(record: Any) -> list[Any]:
        match what:
            case "value":
                return [replace(record, value=None)]
            case "no event":
                return [replace(record, value=b"\xff{")]
            case "key":
                return [replace(record, key=b"x" + record.key[1:])]
            case "no key":
                return [replace(record, key=None)]
            case "headers":
                return [replace(record, headers=(*record.headers, ("more", None)))]
            case "partition":
                return [replace(record, partition=record.partition + 1)]
            case "bytes":
                return [replace(record, value=record.value.replace(b'"amount_cents":', b'"amount_cents":1', 1))]
            case "twice":
                return [record, record]
            case _:
                old, new = orjson.loads(record.value)["id"].encode(), str(UUID(int=7)).encode()
                return [record, replace(record, value=record.value.replace(old, new))]

    async def planted(connections: Any, asked: str) -> AsyncIterator[tuple[Any, int]]:
        async for record, count in real(connections, asked):
            seen.append(record)
            for one in changed(record) if asked == topic and len(seen) == 5 else [record]:
                yield one, count

    monkeypatch.setattr(verifying_outputs, "committed", planted)
    difference = (await world.verify(payer.name)).difference
    assert difference is not None and difference.table == topic
    name = orjson.loads(seen[4].value)["id"]
    match what:
        case "value" | "no event":
            assert (difference.field, difference.position) == ("value", verifying_outputs.place(seen[4]))
        case "key" | "no key" | "headers" | "partition":
            assert (difference.field, difference.event_id) == (what.rsplit(maxsplit=1)[-1], name)
        case "bytes" | "more":
            assert difference.field == "event"
        case _:
            assert (difference.field, difference.expected, difference.found) == ("times", 1, 2)


async def test_what_waits_in_the_outbox_is_as_it_was_decided(world: World) -> None:
    payer = world.roster.payers[1]
    rows = await world.connection.fetch(
        "SELECT DISTINCT ON (topic) * FROM outbox WHERE payer = $1 ORDER BY topic, outbox_id", payer.name
    )
    assert [row["topic"] for row in rows] == [episodes_topic(payer.name), payments_topic(payer.name)]
    for row in rows:
        await assert_held_to_what_was_decided(world, payer.name, row)
    assert (await world.verify(payer.name)).difference is None


async def assert_held_to_what_was_decided(world: World, payer: str, row: Any) -> None:
    where = f"WHERE outbox_id = {row['outbox_id']}"
    value = "NULL" if row["value"] is None else f"decode('{row['value'].hex()}', 'hex')"
    for change, back, field in (
        ("key = 'x'::bytea", f"key = decode('{row['key'].hex()}', 'hex')", "key"),
        ("value = 'x'::bytea", f"value = {value}", "value"),
        ("log_offset = log_offset + 1", "log_offset = log_offset - 1", "log_offset"),
        (f"event_id = '{UUID(int=9)}'", f"event_id = '{row['event_id']}'", None),
    ):
        async with world.changed(f"UPDATE outbox SET {change} {where}", f"UPDATE outbox SET {back} {where}"):
            difference = (await world.verify(payer)).difference
        assert difference is not None
        assert (difference.table, difference.field) == ("outbox", field)


async def test_another_a_shorter_and_a_changed_log_are_told_apart_when_claimed(world: World) -> None:
    log = log_topic(world.roster.payers[0].name)
    row = await world.connection.fetchrow(
        "SELECT next_offset, log_id, last_digest FROM consumer_offset WHERE topic = $1 AND partition = 0", log
    )
    stands = Position(row["next_offset"], 1, row["log_id"], row["last_digest"])
    assert row["log_id"] and await check_logs(world.connections, log, {0: stands}) == {}
    for wrong, reason in (
        (replace(stands, next_offset=stands.next_offset + 5), "was shortened"),
        (replace(stands, log_id="another"), "is another log"),
        (replace(stands, last_digest="00" * 16), "was changed"),
    ):
        found = await check_logs(world.connections, log, {0: wrong})
        assert reason in str(found[0]) and log in str(found[0])
        assert found[0].offset == wrong.next_offset


async def test_a_log_shorter_than_what_was_applied_is_named(world: World) -> None:
    payer = world.roster.payers[1]
    log = log_topic(payer.name)
    add = f"UPDATE consumer_offset SET next_offset = next_offset {{}} 3 WHERE topic = '{log}' AND partition = 0"
    async with world.changed(add.format("+"), add.format("-")):
        difference = (await world.verify(payer.name)).difference
    assert difference is not None
    assert (difference.table, difference.field) == ("log", "records")
    assert difference.expected == difference.found + 3


async def test_rows_of_the_chain_may_not_be_left_out(world: World) -> None:
    payer = world.roster.payers[1]
    log = log_topic(payer.name)
    rows = await world.connection.fetch("SELECT * FROM log_batch WHERE topic = $1 AND partition = 0", log)
    await world.connection.execute("DELETE FROM log_batch WHERE topic = $1 AND partition = 0", log)
    difference = (await world.verify(payer.name)).difference
    await world.connection.copy_records_to_table("log_batch", records=[tuple(row) for row in rows])
    assert difference is not None and difference.table == "log_batch"
    assert (await world.verify(payer.name)).difference is None
