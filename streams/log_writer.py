"""Writes records to Kafka and says where they stand: `acks=all`, idempotent, in order within a partition.

Nothing is acknowledged to a sender before `write` has returned. What a lost connection leaves in doubt is written
again: the same id in the log twice is a duplicate that the fold drops.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, Self

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError

from streams.codec import CONTENT_TYPE
from streams.connections import Connections
from streams.topics import REJECT_BYTES_MAX, Topic

BATCH_BYTES = 700_000  # a batch holds more only when one record alone is larger
METADATA_SECONDS = 20
NEW_PRODUCERS_MAX = 3

log = structlog.get_logger(__name__)


class NoSuchTopic(Exception):
    """Topics are made by the platform, never by writing to them."""


class PartitionsDiffer(Exception):
    """A topic has another number of partitions than declared: members would land beside their history."""


class Record(Protocol):
    """What can be written: its place in the topic is chosen by who made it."""

    partition: int
    key: bytes
    value: bytes


class Position(NamedTuple):
    """Where a record stands in its topic."""

    partition: int
    offset: int


class LogWriter:
    """One producer for any number of topics. Safe to use from several tasks; each call keeps its own order."""

    def __init__(self, connections: Connections, client_id: str = "carepact.door") -> None:
        self._arguments: dict[str, Any] = {
            **connections.aiokafka(),
            "client_id": client_id,
            "acks": "all",
            "enable_idempotence": True,
            "max_batch_size": BATCH_BYTES,
            "max_request_size": REJECT_BYTES_MAX,
        }
        self._producer: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()
        self._turns: defaultdict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def start(self) -> None:
        """Connect. `aiokafka.errors.KafkaConnectionError` when no broker answers."""
        self._producer = await self._connected()

    async def _connected(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(**self._arguments)
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def stop(self) -> None:
        """Send what is under way, and close."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def answers(self) -> None:
        """Return when a broker answers; `KafkaError` when none does."""
        assert self._producer is not None, "not started"
        await self._producer.client.fetch_all_metadata()

    async def partitions(self, topic: Topic) -> int:
        """How many partitions the topic has, which must be as declared."""
        assert self._producer is not None, "not started"
        try:
            async with asyncio.timeout(METADATA_SECONDS):
                found = len(await self._producer.partitions_for(topic.name))
        except (TimeoutError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError):
            raise NoSuchTopic(f"there is no topic {topic.name} that we may write; `carepact up` makes it") from None
        if found != topic.partitions:
            raise PartitionsDiffer(f"topic {topic.name} has {found} partitions, declared are {topic.partitions}")
        return found

    async def write(self, topic: str, records: Sequence[Record]) -> list[Position]:
        """Write all, in order within each partition; the positions, in the order given, once every replica has them."""
        by_partition: dict[int, list[int]] = {}
        for index, record in enumerate(records):
            by_partition.setdefault(record.partition, []).append(index)
        offsets = [-1] * len(records)
        writes = [self._in_turn(topic, p, records, indexes, offsets) for p, indexes in by_partition.items()]
        for failed in await asyncio.gather(*writes, return_exceptions=True):
            if isinstance(failed, BaseException):
                raise failed
        return [Position(record.partition, offset) for record, offset in zip(records, offsets, strict=True)]

    async def broadcast(self, topic: str, copies: Sequence[Record]) -> list[Position]:
        """Write the copies of broadcasts, those of partition 0 last: who finds it there knows that all have it."""
        others = [copy for copy in copies if copy.partition != 0]
        first = [copy for copy in copies if copy.partition == 0]
        positions = [*await self.write(topic, others), *await self.write(topic, first)]
        by_copy = {id(copy): position for copy, position in zip([*others, *first], positions, strict=True)}
        return [by_copy[id(copy)] for copy in copies]

    async def _in_turn(
        self, topic: str, partition: int, records: Sequence[Record], indexes: list[int], offsets: list[int]
    ) -> None:
        """One task at a time for each partition: aiokafka queues one batch, and whoever waits to add another one to a
        producer that is stopped meanwhile would wait without end."""
        async with self._turns[topic, partition]:
            await self._write_partition(topic, partition, records, indexes, offsets)

    async def _write_partition(
        self, topic: str, partition: int, records: Sequence[Record], indexes: list[int], offsets: list[int]
    ) -> None:
        """Send the records as a few batches. The producer tries again by itself; when it is broken, a new one does."""
        for attempt in range(NEW_PRODUCERS_MAX + 1):
            producer = self._producer
            assert producer is not None, "not started"
            try:
                sent: list[tuple[asyncio.Future[Any], list[int]]] = []
                for builder, part in _batches(producer, records, [i for i in indexes if offsets[i] < 0]):
                    sent.append((await producer.send_batch(builder, topic, partition=partition), part))
                for future, part in sent:
                    base = (await future).offset
                    for place, index in enumerate(part):
                        offsets[index] = base + place if base >= 0 else -1
                if all(offsets[index] >= 0 for index in indexes):
                    return
            except KafkaError as error:
                if attempt == NEW_PRODUCERS_MAX or (producer is self._producer and not _is_broken(error)):
                    raise
                log.warning("producer_renewed", topic=topic, partition=partition, error=type(error).__name__)
            await self._renew(producer)
        raise KafkaError(f"{topic}[{partition}]: the broker does not say where the records stand")

    async def _renew(self, producer: Any) -> None:
        async with self._renewing:
            if (broken := self._producer) is producer and broken is not None:
                self._producer = await self._connected()
                await broken.stop()


def _is_broken(error: KafkaError) -> bool:
    """A topic that is not ours to write, or a record it does not take, stays so with a new producer."""
    return type(error).__name__ not in {
        "TopicAuthorizationFailedError",
        "ClusterAuthorizationFailedError",
        "MessageSizeTooLargeError",
        "RecordListTooLargeError",
        "InvalidTopicError",
    }


def _batches(
    producer: AIOKafkaProducer, records: Sequence[Record], indexes: Sequence[int]
) -> Iterator[tuple[Any, list[int]]]:
    part: list[int] = []
    builder = producer.create_batch()
    for index in indexes:
        record = records[index]
        if builder.append(timestamp=None, key=record.key, value=record.value, headers=[CONTENT_TYPE]) is None:
            yield builder, part
            builder, part = producer.create_batch(), []
            added = builder.append(timestamp=None, key=record.key, value=record.value, headers=[CONTENT_TYPE])
            assert added is not None, "an empty batch takes a record of any size"
        part.append(index)
    if part:
        builder.close()
        yield builder, part
