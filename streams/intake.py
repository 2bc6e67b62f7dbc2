"""Intake: what payers write to their inbox topics goes through the door to the log.

The order of steps makes a kill anywhere harmless: the log has the records (`acks=all`), then the group's position
moves, then the inbox is trimmed behind it. Killed between any two, the same records come again and give the same ids,
which the fold drops as duplicates. The position is Kafka's own: intake goes on while PostgreSQL is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import CommitFailedError, KafkaError
from msgspec.structs import replace

from contracts.envelope import schema_urn
from contracts.events import MemberFact
from formats.ndjson import read_one
from formats.reading import Place, Read, ReadFact, Reject
from streams.connections import Connections
from streams.door import Door, SingleRecords
from streams.keys import KeyStore
from streams.log_writer import LogWriter
from streams.publishing import Publisher
from streams.rejects import RejectBook
from streams.restarting import GroupConsumer, Restarting
from streams.roster import Roster
from streams.topics import Topic

GROUP = "carepact.intake"
BATCH_RECORDS = 500
TRIM_SECONDS = 1.0

log = structlog.get_logger(__name__)


def intake_group(roster: Roster) -> str:
    """The consumer group that shares a roster's inboxes out, and keeps their positions."""
    return f"{GROUP}.{roster.space}" if roster.space else GROUP


class Intake(Restarting):
    """Serves every inbox of a roster; several may run, and the group shares the partitions out.

    `open_keys` is called at each start, and may give the same store: nothing else waits for one that is away.
    """

    def __init__(
        self,
        connections: Connections,
        roster: Roster,
        declared: Sequence[Topic],
        open_keys: Callable[[], KeyStore],
        batch_records: int = BATCH_RECORDS,
        **service: Any,
    ) -> None:
        super().__init__(**service)
        self._connections = connections
        self._roster = roster
        self._group = intake_group(roster)
        self._logs = {topic.payer: topic for topic in declared if topic.kind == "log"}
        self._inboxes = {topic.name: topic for topic in declared if topic.kind == "inbox"}
        self._open_keys = open_keys
        self._batch_records = batch_records
        self._doors: dict[str, Door] = {}
        self._books: dict[str, RejectBook] = {}
        self._admin: Any = None

    async def run(self, stopped: Callable[[], bool]) -> None:
        """Take in, commit, trim, until `stopped()`."""
        self._admin = AIOKafkaAdminClient(**self._connections.aiokafka())
        async with (
            LogWriter(self._connections, "carepact.intake") as writer,
            GroupConsumer(self._connections, self._group, list(self._inboxes)) as consumer,
        ):
            await self._admin.start()
            taken: dict[TopicPartition, int] = {}
            try:
                await self._open(writer)
                await self._serve(stopped, writer, consumer, taken)
            except asyncio.CancelledError:
                await self.trim(taken)  # as a service is stopped that waits for its inboxes
                raise
            finally:
                await self._admin.close()

    async def _serve(
        self, stopped: Callable[[], bool], writer: LogWriter, consumer: Any, taken: dict[TopicPartition, int]
    ) -> None:
        """Take in, commit, trim, until `stopped()`. `taken` is what the position has passed and the inbox still has."""
        loop = asyncio.get_running_loop()
        ours: set[TopicPartition] = set()
        trimmed_at = loop.time()
        while not stopped():
            batch = await consumer.getmany(timeout_ms=500, max_records=self._batch_records)
            taken |= await _committed(consumer, consumer.assignment() - ours)
            ours = set(consumer.assignment())
            if batch:
                for at, records in batch.items():
                    await self.take_in(writer, at.topic, records)
                reached = {at: records[-1].offset + 1 for at, records in batch.items()}
                if not await self.commit(consumer, reached):
                    continue
                taken |= reached
            if taken and (not batch or loop.time() - trimmed_at > TRIM_SECONDS):
                await self.trim(taken)
                taken.clear()
                trimmed_at = loop.time()
        await self.trim(taken)

    async def take_in(self, writer: LogWriter, topic: str, records: Sequence[Any]) -> None:
        """Records of one inbox into the log, refused ones into the rejects; Kafka has both when this returns."""
        door, inbox = self._doors[topic], self._inboxes[topic]
        items = [_read(topic, record) for record in records]
        publisher = Publisher(door, writer, self._books[inbox.payer], self._plan(inbox), SingleRecords())
        await publisher.publish_chunk(items)
        if publisher.published.rejects:
            log.info("inbox_rejects", topic=topic, count=publisher.published.rejects)

    async def commit(self, consumer: Any, reached: Mapping[TopicPartition, int]) -> bool:
        """Move the group's position. False when the partitions have gone to another, who will read them again."""
        try:
            await consumer.commit(dict(reached))
        except CommitFailedError:
            log.info("inbox_partitions_lost")
            return False
        return True

    async def trim(self, taken: Mapping[TopicPartition, int]) -> None:
        """Delete what the log has from the inboxes; what stays by mischance, retention deletes."""
        if not taken:
            return
        try:
            await self._admin.delete_records({at: RecordsToDelete(offset) for at, offset in taken.items()})
        except KafkaError as error:
            log.warning("inbox_not_trimmed", error=type(error).__name__)

    async def _open(self, writer: LogWriter) -> None:
        """A door for each inbox; the partitions of its log must be as declared."""
        keys = await asyncio.to_thread(self._open_keys)
        for name, inbox in self._inboxes.items():
            payer = self._roster.payer(inbox.payer)
            partitions = await writer.partitions(self._logs[inbox.payer])
            self._doors[name] = Door(payer, keys, partitions, self._plan(inbox))
            self._books[inbox.payer] = RejectBook(inbox.payer, keys)

    def _plan(self, inbox: Topic) -> str:
        return inbox.tenant if inbox.tenant != inbox.payer else ""


async def _committed(consumer: Any, new: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """How far former owners came in partitions new to us: they may have ended before they trimmed."""
    found = {at: await consumer.committed(at) for at in new}
    return {at: offset for at, offset in found.items() if offset}


def _read(topic: str, record: Any) -> Read:
    """The event of an inbox record; its place is the partition and the offset.

    A record needs no key. One that has a key is about the member of that identifier, by its value or `kind:value`, so
    that a member's records keep their order; any other key tells of a mistake of the sender.
    """
    place, raw = Place(f"{topic}/{record.partition}", record.offset), record.value or b""
    found = read_one(raw, place)
    if not record.key or isinstance(found, Reject) or record.key in _keys_of(found):
        return found
    reason = "the record's key is not the identifier of the member whom it is about"
    remedy = "key it by the member's identifier as it stands in person.identifier.value, or not at all"
    schema = schema_urn(type(found.event))
    return Reject(replace(place, field="key"), "wrong_key", reason, remedy, raw, schema=schema)


def _keys_of(fact: ReadFact) -> tuple[bytes, ...]:
    """The keys that a record of this fact may have."""
    if not isinstance(fact.event, MemberFact) or fact.event.person is None:
        return ()
    identifier = fact.event.person.identifier
    return identifier.value.encode(), f"{identifier.kind}:{identifier.value}".encode()
