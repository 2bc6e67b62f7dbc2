"""A topic whose table is a projection of it alone: one transaction inserts the rows and moves the position."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import asyncpg
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from projections import store
from streams.codec import digest_of
from streams.connections import Connections
from streams.restarting import GroupConsumer, Restarting

BATCH_RECORDS = 500

Insert = Callable[[Any, str, Sequence[Any]], Awaitable[None]]
"""Writes the rows of records of one topic; it is given the connection, in a transaction, and never a record twice."""

log = structlog.get_logger(__name__)


async def project(
    connection: Any, consumer: str, topic: str, epochs: dict[int, int], records: Sequence[Any], insert: Insert
) -> None:
    """One transaction: the rows of records not yet seen, and the positions behind them. `Fenced` by a later claim."""
    async with connection.transaction():
        held = await store.hold(connection, consumer, topic, epochs)
        new = [record for record in records if record.offset >= held[record.partition].next_offset]
        if not new:
            return
        await insert(connection, topic, new)
        last = {record.partition: record for record in new}
        reached = [store.Advance(p, record.offset + 1, digest_of(record.value or b"")) for p, record in last.items()]
        await store.advance(connection, consumer, topic, reached)


class Projector(Restarting):
    """Brings topics into their tables. Several may run; the group shares the topics out."""

    abstract = True

    def __init__(
        self, connections: Connections, consumer: str, space: str, topics: Iterable[str], owner: str, **service: Any
    ) -> None:
        super().__init__(**service)
        self._connections = connections
        self._consumer = consumer
        self._group = f"carepact.{consumer}.{space}" if space else f"carepact.{consumer}"
        self._topics = list(topics)
        self._owner = owner
        self._epochs: dict[TopicPartition, int] = {}

    @abstractmethod
    async def insert(self, connection: Any, topic: str, records: Sequence[Any]) -> None:
        """See `Insert`."""

    async def run(self, stopped: Callable[[], bool]) -> None:
        """Read and project until `stopped()`."""
        self._epochs.clear()
        connection = await asyncpg.connect(self._connections.postgres, timeout=10, command_timeout=15)
        try:
            group = GroupConsumer(self._connections, self._group, self._topics, self._epochs.clear)
            async with group as consumer:
                while not stopped():
                    await self._claim(connection, consumer)
                    batch = await consumer.getmany(timeout_ms=500, max_records=BATCH_RECORDS)
                    for at, records in batch.items():
                        if (epoch := self._epochs.get(at)) is not None:
                            epochs = {at.partition: epoch}
                            await project(connection, self._consumer, at.topic, epochs, records, self.insert)
        finally:
            await connection.close()

    async def _claim(self, connection: Any, consumer: Any) -> None:
        """Take over what the group gave us, and read on from where the table stands."""
        new = [at for at in consumer.assignment() if at not in self._epochs]
        if not new:
            return
        ends = await consumer.end_offsets(new)
        claimed = await store.claim(connection, self._consumer, [(at.topic, at.partition) for at in new], self._owner)
        for at in new:
            position = claimed[at.topic, at.partition]
            if position.next_offset > ends[at]:
                log.error("topic_changed", topic=at.topic, noted=position.next_offset, end=ends[at])
                raise KafkaError(f"{at.topic} ends before the noted position: it was made again or shortened")
            consumer.seek(at, position.next_offset)
            self._epochs[at] = position.epoch
