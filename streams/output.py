"""The output topics of one payer as one transactional producer writes them, and as a reader finds them again.

The transactional id is fixed for each shard, so that a new producer fences the old one and ends its open transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from streams.connections import Connections

HEADERS = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
SEND_SECONDS = 30
CLOSE_SECONDS = 3
BATCH_BYTES = 512 * 1024
RECORD_BYTES_MAX = 1_048_588

At = tuple[str, int]
"""(topic, partition)"""


class OutputChanged(Exception):
    """An output topic ends before a position we noted: it was made again or shortened, and is not the one we wrote."""


class Record(NamedTuple):
    """One record to be sent."""

    topic: str
    key: bytes
    value: bytes


class _Named(msgspec.Struct):
    id: UUID


_named = msgspec.json.Decoder(_Named)


def id_of(value: bytes | None) -> UUID | None:
    """The id of an emitted event; None of what is none: a null value, or bytes that somebody else wrote."""
    try:
        return _named.decode(value or b"").id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


@lru_cache(maxsize=1 << 16)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, as every Kafka client's default partitioner chooses it."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


class Output:
    """A transactional producer. After any exception it is of no more use: close it and open another."""

    def __init__(self, connections: Connections, transactional_id: str) -> None:
        self._producer: Any = AIOKafkaProducer(
            **connections.aiokafka(),
            transactional_id=transactional_id,
            transaction_timeout_ms=SEND_SECONDS * 1000,
            request_timeout_ms=10_000,
            max_batch_size=BATCH_BYTES,
            max_request_size=RECORD_BYTES_MAX,
        )
        self._partitions: dict[str, int] = {}

    async def open(self) -> None:
        """Fence the shard's former producers and end what they left open."""
        async with asyncio.timeout(SEND_SECONDS):
            await self._producer.start()

    async def send(self, records: Sequence[Record]) -> dict[At, int]:
        """All records in one Kafka transaction, in order for each key; answers the next offset of each partition."""
        async with asyncio.timeout(SEND_SECONDS):
            await self._producer.begin_transaction()
            await self._count_partitions({record.topic for record in records})
            sent = [await self._submit(at, part) for at, part in self._batches(records)]
            reached: dict[At, int] = {}
            for at, count, delivered in sent:
                reached[at] = (await delivered).offset + count
            await self._commit()
        return reached

    async def close(self) -> None:
        """Give the producer up. One that cannot end by itself is cut off; what it left open, the next one aborts."""
        with contextlib.suppress(KafkaError, OSError, TimeoutError, AssertionError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._producer.stop()
                return
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._producer.client.close()

    async def _count_partitions(self, topics: Iterable[str]) -> None:
        for topic in topics:
            if topic not in self._partitions:
                self._partitions[topic] = len(await self._producer.partitions_for(topic))

    def _batches(self, records: Sequence[Record]) -> Iterable[tuple[At, list[Record]]]:
        parts: dict[At, list[Record]] = {}
        for record in records:
            at = record.topic, partition_of(record.key, self._partitions[record.topic])
            parts.setdefault(at, []).append(record)
        for at, part in parts.items():
            size, first = 0, 0
            for index, record in enumerate(part):
                size += len(record.value) + len(record.key) + 200
                if size > BATCH_BYTES and index > first:
                    yield at, part[first:index]
                    size, first = len(record.value), index
            yield at, part[first:]

    async def _submit(self, at: At, part: Sequence[Record]) -> tuple[At, int, Any]:
        batch = self._producer.create_batch()
        for record in part:
            taken = batch.append(timestamp=None, key=record.key, value=record.value, headers=HEADERS)
            assert taken is not None, "a batch is cut before it is full"
        batch.close()
        return at, len(part), await self._producer.send_batch(batch, at[0], partition=at[1])

    async def _commit(self) -> None:
        try:
            await self._producer.commit_transaction()
        except AssertionError as broken:  # the producer failed between the last record and here
            raise KafkaError("the producer can no longer commit") from broken


async def read_ids(
    connections: Connections, topics: Sequence[str], positions: Mapping[At, int], chunk: int = 5_000
) -> AsyncIterator[tuple[list[UUID], dict[At, int]]]:
    """The ids of all committed records from `positions` (0 where there is none) to the ends as they stand now.

    Each item is some ids and how far each partition has been read with them.
    """
    async with groupless(connections) as consumer:
        parts = [TopicPartition(t, p) for t in topics for p in sorted(await partitions_of(consumer, t))]
        ends = await consumer.end_offsets(parts)
        starts = {tp: positions.get((tp.topic, tp.partition), 0) for tp in parts}
        for tp, start in starts.items():
            if start > ends[tp]:
                raise OutputChanged(f"{tp.topic}[{tp.partition}] ends at {ends[tp]}, before the noted {start}")
        todo = {tp for tp in parts if starts[tp] < ends[tp]}
        consumer.assign(sorted(todo))
        for tp in todo:
            consumer.seek(tp, starts[tp])
        while todo:
            got = await consumer.getmany(*todo, timeout_ms=500, max_records=chunk)
            found = (id_of(record.value) for part in got.values() for record in part)
            ids = [name for name in found if name is not None]
            reached = {tp: await consumer.position(tp) for tp in todo}
            yield ids, {(tp.topic, tp.partition): position for tp, position in reached.items()}
            todo -= {tp for tp, position in reached.items() if position >= ends[tp]}


async def partitions_of(consumer: Any, topic: str) -> set[int]:
    """The partitions of a topic, asked of the broker."""
    async with asyncio.timeout(SEND_SECONDS):
        found: set[int] = await consumer._client._wait_on_metadata(topic)  # its public call wants a subscription
    return found


@contextlib.asynccontextmanager
async def groupless(connections: Connections) -> AsyncIterator[Any]:
    """A consumer without a group that reads what is committed: it moves nothing but itself."""
    consumer = AIOKafkaConsumer(
        **connections.aiokafka(),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="none",
        max_partition_fetch_bytes=4 * 1_048_576,
    )
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await consumer.start()
        yield consumer
    finally:
        await consumer.stop()
