"""What is wrong with a log itself: its records are not the ones that were applied, or Kafka cannot read them.

While it applies a log, an agent keeps a chain over every byte and a mark of each record (`projections.batches`). Held
against those, a changed, missing, added or exchanged record is named by its offset.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import zip_longest
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from projections.batches import COLUMNS
from projections.digests import Difference
from projections.rows import Row
from streams.chain import MARK_BYTES, Reached, leaf, stretch
from streams.codec import UnknownType, Unreadable, decode_record
from streams.connections import Connections
from streams.output import groupless

FIRST, NEXT, CHAIN, MARKS = (COLUMNS.index(name) for name in ("first_offset", "next_offset", "chain", "marks"))
RECORDS_AT_ONCE = 2_000
NO_END = 1 << 62

ReadRecords = Callable[[int, int], AsyncIterator[Any]]
"""The records of a partition from one offset to before another."""


class UnreadableLog(Exception):
    """Kafka gives no records between two offsets, both inclusive: the bytes of a batch are damaged."""

    def __init__(self, topic: str, partition: int, first: int, last: int) -> None:
        super().__init__(f"{topic}[{partition}] cannot be read from offset {first} to {last}")
        self.topic, self.partition, self.first, self.last = topic, partition, first, last

    def __reduce__(self) -> Any:
        return type(self), (self.topic, self.partition, self.first, self.last)


async def boundaries(live: Any, log: str, partition: int, cut: int) -> tuple[list[int], Difference | None]:
    """Where the batches of a partition ended, and what is wrong with them if they leave some of the log out.

    The first is the offset that the first row begins at: above 0 in a database that is older than its chain.
    """
    rows = await live.fetch(
        "SELECT first_offset, next_offset FROM log_batch WHERE topic = $1 AND partition = $2 ORDER BY next_offset",
        log,
        partition,
    )
    if cut == 0 and not rows:
        return [], None
    at = {"topic": log, "partition": partition, "offset": cut - 1}
    if not rows:
        return [], Difference("log_batch", {"partition": partition}, "rows", f"the records before {cut}", None, at)
    found = [rows[0]["first_offset"]]
    for first, behind in rows:
        if first != found[-1]:
            at["offset"] = min(first, found[-1])
            return [], Difference("log_batch", {"first_offset": first}, "first_offset", found[-1], first, at)
        found.append(behind)
    if found[-1] != cut:
        return [], Difference("log_batch", {"first_offset": rows[-1][0]}, "next_offset", cut, found[-1], at)
    return found, None


async def changed_record(
    read_records: ReadRecords, log: str, partition: int, expected: Sequence[Row], found: Sequence[Row]
) -> Difference | None:
    """The first record that is not the one applied, if marks say so; of rows as computed and as kept."""
    kept = {row[FIRST]: row for row in found}
    for now in expected:
        then = kept.get(now[FIRST])
        if then is None or now[CHAIN] == then[CHAIN]:
            continue
        marks_now, marks_then = _marks(now[MARKS]), _marks(then[MARKS])
        if marks_now == marks_then:
            return None
        records = [one async for one in read_records(now[FIRST], now[NEXT])]
        place = next(n for n, (a, b) in enumerate(zip_longest(marks_now, marks_then)) if a != b)
        record = records[place] if place < len(records) else None
        if len(marks_now) < len(marks_then):  # the first that is missing stood behind the last that is as it was
            offset, record = (records[place - 1].offset + 1 if place else now[FIRST]), None
        else:
            offset = record.offset if record else now[NEXT] - 1
        key = {"partition": partition, "offset": offset}
        position = {"topic": log, "partition": partition, "offset": offset}
        if len(marks_now) != len(marks_then):
            counts = f"{len(marks_then)} records", f"{len(marks_now)} records"
            return Difference(log, key, "records", *counts, position, event_of(record))
        was, is_now = f"a record of leaf {marks_then[place].hex()}", f"a record of leaf {marks_now[place].hex()}"
        return Difference(log, key, "bytes", was, is_now, position, event_of(record))
    return None


def event_of(record: Any) -> str | None:
    """The id of the event that a record is, if it is one."""
    if record is None:
        return None
    try:
        fact = decode_record(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value)
    except (Unreadable, UnknownType):
        return None
    return fact.event_id


def _marks(marks: bytes) -> list[bytes]:
    return [marks[at : at + MARK_BYTES] for at in range(0, len(marks), MARK_BYTES)]


async def records_of(connections: Connections, log: str, partition: int, first: int, cut: int) -> AsyncIterator[Any]:
    """The records from `first` to before `cut`, one after another; `UnreadableLog` where Kafka cannot give them."""
    async with groupless(connections) as consumer:
        async for records in read(consumer, log, partition, first, cut):
            for record in records:
                yield record


async def read(
    consumer: Any, log: str, partition: int, first: int, cut: int, at_once: int = RECORDS_AT_ONCE
) -> AsyncIterator[Sequence[Any]]:
    """The records from `first` to before `cut`, some at a time."""
    part = TopicPartition(log, partition)
    consumer.assign([part])
    consumer.seek(part, first)
    position = first
    while position < cut:
        try:
            got = await consumer.getmany(part, timeout_ms=1_000, max_records=at_once)
        except KafkaError as error:
            raise await unreadable(consumer, part, position, cut) from error
        if records := [record for record in got.get(part, ()) if record.offset < cut]:
            yield records
        position = await consumer.position(part)


async def unreadable(consumer: Any, part: TopicPartition, position: int, cut: int) -> Exception:
    """The damaged range that begins at or behind a position: how far one must go on to read again.

    A batch is read whole, so that all its offsets fail alike; the first readable one is found by halving.
    """

    async def fails(offset: int) -> bool:
        consumer.seek(part, offset)
        try:
            while await consumer.position(part) <= offset:
                got = await consumer.getmany(part, timeout_ms=1_000, max_records=1)
                if any(got.values()):
                    return False
        except KafkaError:
            return True
        return False

    first = position
    while first < cut and not await fails(first):
        first = await consumer.position(part)
    if first >= cut:
        return ConnectionError(f"{part.topic}[{part.partition}] was unreadable at {position} and is readable now")
    low, step = first, 1
    while low + step < cut and await fails(low + step):
        low, step = low + step, 2 * step
    high = min(low + step, cut)
    while high - low > 1:
        middle = (low + high) // 2
        if await fails(middle):
            low = middle
        else:
            high = middle
    return UnreadableLog(part.topic, part.partition, first, low)


class Batches:
    """The rows of `log_batch` that a log must have, given where live batches ended.

    `boundaries`: the first offset that they tell of, then each batch's next offset.
    """

    def __init__(self, topic: str, partition: int, boundaries: Sequence[int]) -> None:
        self._topic, self._partition = topic, partition
        self._reached = Reached(boundaries[0] if boundaries else 0)
        self._ends = deque(boundaries[1:])
        self._held: list[tuple[int, int, bytes]] = []

    def take(self, records: Sequence[Any]) -> list[Row]:
        """The rows that these records complete."""
        rows: list[Row] = []
        start, end, held = self._reached.next_offset, self._end, self._held
        for record in records:
            offset = record.offset
            if offset < start:
                continue
            while offset >= end:
                rows += self._close()
                end, held = self._end, self._held
            held.append((offset, record.timestamp, leaf(record)))
            if offset + 1 == end:
                rows += self._close()
                end, held = self._end, self._held
        return rows

    @property
    def _end(self) -> int:
        return self._ends[0] if self._ends else NO_END

    def _close(self) -> list[Row]:
        end, held = self._ends.popleft(), self._held
        self._held = []
        made = stretch(self._reached, self._partition, held)
        self._reached = Reached(end, made.chain, made.known_at)
        return [(self._topic, *made.row[:2], end, *made.row[3:])]
