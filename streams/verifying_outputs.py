"""What was sent, held against what was decided: each output topic has each event once, byte for byte, in its place.

A record of such a topic that is no event at all, or stands under another key, header or partition than it was sent
with, is named by where it stands. What live work sent after the snapshot that is verified is left to the next time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import orjson
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from projections.digests import Difference
from projections.episode_events import Told, versions
from streams.connections import Connections
from streams.output import HEADERS, groupless, partition_of, partitions_of
from streams.replay import brief
from streams.roster import Payer
from streams.topics import episodes_topic, log_topic, outcomes_topic, payments_topic, requests_topic, settlements_topic
from streams.verifying_log import unreadable

RECORDS_AT_ONCE = 5_000


class _Event(msgspec.Struct):
    """What of an emitted event is compared beside its bytes."""

    id: UUID
    data: _Data
    subject: str = ""
    sequence: str = ""


class _Data(msgspec.Struct):
    position: _Position | None = None
    member: str | None = None


class _Position(msgspec.Struct):
    topic: str
    partition: int
    offset: int

    def as_json(self) -> dict[str, Any]:
        return {"topic": self.topic, "partition": self.partition, "offset": self.offset}


_read_event = msgspec.json.Decoder(_Event).decode


@dataclass(frozen=True, slots=True)
class Expected:
    """An event as it must be on a topic: a digest of its bytes, its key, and what it is called by."""

    digest: bytes
    key: bytes
    named: Mapping[str, Any]
    position: dict[str, Any] | None = None


class Outputs:
    """The verification of what one payer's outbox sends, in the snapshot of `live`."""

    def __init__(self, connections: Connections, live: Any, payer: Payer) -> None:
        self._connections, self._live, self._payer = connections, live, payer
        self.emitted = 0

    async def payments(self, expected: dict[bytes, bytes], applied: Mapping[int, int]) -> Difference | None:
        """Each event that the log's facts make is on the topic once, in its subject's order, or waits to be sent.

        `expected` are digests by id, as replayed; those found are taken out.
        """
        topic = payments_topic(self._payer.name)
        if (wrong := await self._queued(topic, log_topic(self._payer.name))) is not None:
            return wrong

        async def decided(event: _Event) -> bool:
            return bool(await self._live.fetchval("SELECT 1 FROM payment WHERE payment_id = $1", event.id))

        if (wrong := await self._told(topic, expected, applied, lambda event: event.subject, decided)) is not None:
            return wrong
        lost = sorted(expected.keys() - await self._waiting(topic))
        return await self._lost_payment(topic, UUID(bytes=lost[0])) if lost else None

    async def episodes(self, applied: Mapping[int, int]) -> Difference | None:
        """The same of each version of an episode, held against its row."""
        topic = episodes_topic(self._payer.name)
        made = {each.event_id.bytes: each async for each in versions(self._live, self._payer.name)}
        if (wrong := await self._queued_episodes(topic, made)) is not None:
            return wrong

        async def decided(event: _Event) -> bool:
            return event.id.bytes in made

        expected = {name: brief(each.event) for name, each in made.items()}
        told = await self._told(topic, expected, applied, lambda event: event.data.member or "", decided)
        if told is not None:
            return told
        for name in sorted(expected.keys() - await self._waiting(topic)):
            one, event = made[name], _read_event(made[name].event)
            at = _Position(log_topic(self._payer.name), one.partition, one.log_offset)
            key = {"subject": event.subject, "sequence": event.sequence, "id": str(event.id)}
            return Difference(topic, key, "times", 1, 0, at.as_json())
        return None

    async def _queued_episodes(self, topic: str, made: Mapping[bytes, Told]) -> Difference | None:
        rows = await self._live.fetch(
            "SELECT event_id, key, value, partition, log_offset FROM outbox WHERE payer = $1 AND topic = $2"
            " ORDER BY outbox_id",
            self._payer.name,
            topic,
        )
        for row in rows:
            at = _Position(log_topic(self._payer.name), row["partition"], row["log_offset"]).as_json()
            key = {"topic": topic, "event_id": str(row["event_id"])}
            if (one := made.get(row["event_id"].bytes)) is None:
                return Difference("outbox", key, None, None, {"event_id": str(row["event_id"])}, at)
            held = (row["key"].decode(errors="replace"), brief(row["value"] or b"").hex(), row["log_offset"])
            right = (one.member, brief(one.event).hex(), one.log_offset)
            for field, should, found in zip(("key", "value", "log_offset"), right, held, strict=True):
                if should != found:
                    return Difference("outbox", key, field, should, found, at)
        return None

    async def _told(
        self,
        topic: str,
        expected: dict[bytes, bytes],
        applied: Mapping[int, int],
        key_of: Callable[[_Event], str],
        decided: Callable[[_Event], Awaitable[bool]],
    ) -> Difference | None:
        """Each of these is on the topic once at most, under its key, in its subject's order, and nothing else is.

        What is found is taken out of `expected`; one that is not there, and was `decided`, is there twice.
        """
        log, last = log_topic(self._payer.name), dict[str, str]()
        async for record, count in committed(self._connections, topic):
            event, wrong = sound(record, count, lambda event: key_of(event).encode())
            if event is None:
                return wrong
            made_at = event.data.position
            if made_at is not None and made_at.topic == log and made_at.offset >= applied.get(made_at.partition, 0):
                continue  # decided since the snapshot
            name, key = event.id.bytes, {"subject": event.subject, "sequence": event.sequence}
            at = made_at.as_json() if made_at else place(record)
            wanted, found = expected.pop(name, None), brief(record.value)
            if wanted is None and await decided(event):
                return Difference(topic, key, "times", 1, 2, at)
            if wanted is None:
                return Difference(topic, key, "event", None, found.hex(), at)
            if wanted != found:
                return Difference(topic, key, "event", wanted.hex(), found.hex(), at)
            if wrong is not None:
                return wrong
            if event.sequence <= last.get(event.subject, ""):
                return Difference(topic, key, "order", f"after {event.sequence}", last[event.subject], at)
            last[event.subject] = event.sequence
            self.emitted += 1
        return None

    async def _lost_payment(self, topic: str, name: UUID) -> Difference:
        row = await self._live.fetchrow("SELECT * FROM payment WHERE payment_id = $1", name)
        key = {"subject": row["member"], "sequence": f"{row['sequence']:09d}", "id": str(name)}
        at = _Position(log_topic(self._payer.name), row["partition"], row["log_offset"])
        return Difference(topic, key, "times", 1, 0, at.as_json())

    async def settlements(self) -> Difference | None:
        """Each answer to a request, and each payment of one, is on the topic once, as its row has it; or waits."""
        payer = self._payer.name
        rows = await self._live.fetch(
            """
            SELECT settlement_id AS id, practice, log_offset, event FROM settlement WHERE payer = $1
             UNION ALL
            SELECT payment_id, practice, log_offset, event FROM settlement_payment WHERE payer = $1
            """,
            payer,
        )
        expected = {
            row["id"].bytes: Expected(
                brief(row["event"]),
                row["practice"].encode(),
                {"id": str(row["id"])},
                _Position(requests_topic(payer), 0, row["log_offset"]).as_json(),
            )
            for row in rows
        }
        waits = await self._live.fetch("SELECT log_offset FROM request WHERE payer = $1 AND status = 'waiting'", payer)
        waiting = {row[0] for row in waits}
        taken = await self._live.fetchval(
            "SELECT coalesce(max(next_offset), 0) FROM consumer_offset WHERE consumer = 'requests' AND topic = $1",
            requests_topic(payer),
        )

        def later(event: _Event) -> bool:
            request = _request_of(event)
            return request >= taken or request in waiting

        return (
            await self._each(settlements_topic(payer), expected, later, requests_topic(payer))
            or await self._settled_rows()
        )

    async def _settled_rows(self) -> Difference | None:
        """Each payment of a settlement says in its columns what its event says, and its two ledger lines are that."""
        rows = await self._live.fetch(_SETTLED, self._payer.name)
        for row in rows:
            told, key = orjson.loads(row["event"])["data"], {"payment_id": row["payment_id"]}
            at = _Position(requests_topic(self._payer.name), 0, row["log_offset"]).as_json()
            for column in _TOLD:
                should, found = told[column] or "", row[column] or ""
                if should != found:
                    return Difference("settlement_payment", key, column, should, found, at)
            if (row["sum"], row["most"]) != (0, abs(told["amount_cents"])):
                lines = {"sum_cents": row["sum"], "cents": row["most"]}
                wanted = {"sum_cents": 0, "cents": abs(told["amount_cents"])}
                return Difference("settlement_ledger_line", key, "amount_cents", wanted, lines, at)
        return None

    async def outcomes(self) -> Difference | None:
        """Each outcome released to an employer is on its topic once, as its row has it; or waits."""
        for plan in self._payer.plans:
            rows = await self._live.fetch(
                "SELECT event_id, ordinal, event FROM employer_outcome WHERE plan = $1", plan.name
            )
            expected = {
                row["event_id"].bytes: Expected(brief(row["event"]), plan.name.encode(), {"id": str(row["event_id"])})
                for row in rows
            }
            last = max((row["ordinal"] for row in rows), default=0)
            later = _later_release(last)
            if (wrong := await self._each(outcomes_topic(plan.name), expected, later, "")) is not None:
                return wrong
        return None

    async def _each(
        self, topic: str, expected: dict[bytes, Expected], later: Callable[[_Event], bool], source: str
    ) -> Difference | None:
        """The topic has each of these once and nothing else, but for what came `later`. `source` caused them."""
        if (wrong := await self._queued(topic, source)) is not None:
            return wrong
        seen: set[bytes] = set()
        async for record, count in committed(self._connections, topic):
            event, wrong = sound(record, count, lambda event: _key_of(expected, event))
            if event is None:
                return wrong
            name, key, found = event.id.bytes, {"id": str(event.id)}, brief(record.value)
            wanted = expected.get(name)
            if wanted is None:
                if later(event):
                    continue
                return Difference(topic, key, "event", None, found.hex(), place(record))
            if name in seen:
                return Difference(topic, key, "times", 1, 2, place(record))
            if wanted.digest != found:
                return Difference(topic, key, "event", wanted.digest.hex(), found.hex(), place(record))
            if wrong is not None:
                return wrong
            seen.add(name)
        self.emitted += len(seen)
        waiting = await self._waiting(topic)
        lost = sorted(expected.keys() - seen - waiting)
        if not lost:
            return None
        one = expected[lost[0]]
        return Difference(topic, dict(one.named), "times", 1, 0, one.position)

    async def _queued(self, topic: str, source: str) -> Difference | None:
        """What waits for the relay is as it was decided: each row's key, place and bytes."""
        row = await self._live.fetchrow(_QUEUED, self._payer.name, topic)
        if row is None:
            return None
        at = _Position(source, row["partition"], row["log_offset"]).as_json() if source else None
        key = {"topic": topic, "event_id": str(row["event_id"])}
        if row["decided"] is None:
            return Difference("outbox", key, None, None, {"event_id": str(row["event_id"])}, at)
        return Difference("outbox", key, row["field"], row["should"], row["found"], at)

    async def _waiting(self, topic: str) -> set[bytes]:
        rows = await self._live.fetch(
            "SELECT event_id FROM outbox WHERE payer = $1 AND topic = $2", self._payer.name, topic
        )
        return {row["event_id"].bytes for row in rows}


_TOLD = (
    "contract",
    "kind",
    "amount_cents",
    "practice",
    "period",
    "effective_on",
    "reverses",
    "supersedes",
    "cause",
    "plan",
)
_SETTLED = """
    SELECT p.payment_id::text, p.contract, p.kind, p.amount_cents, p.practice, p.period, p.effective_on::text,
           p.reverses::text, p.supersedes::text, p.cause::text, p.plan, p.log_offset, p.event,
           l.sum, l.most
      FROM settlement_payment p
      LEFT JOIN LATERAL (
           SELECT sum(amount_cents)::bigint AS sum, max(abs(amount_cents)) AS most
             FROM settlement_ledger_line WHERE payment_id = p.payment_id) l ON true
     WHERE p.payer = $1 ORDER BY p.log_offset, p.payment_id
"""
_QUEUED = """
    SELECT * FROM (
      SELECT o.event_id, o.partition, o.log_offset, d.id AS decided,
             CASE WHEN o.key <> d.key THEN 'key' WHEN o.value <> d.event THEN 'value' ELSE 'log_offset' END AS field,
             CASE WHEN o.key <> d.key THEN convert_from(d.key, 'UTF8') WHEN o.value <> d.event THEN md5(d.event)
                  ELSE d.log_offset::text END AS should,
             CASE WHEN o.key <> d.key THEN encode(o.key, 'escape') WHEN o.value <> d.event THEN md5(o.value)
                  ELSE o.log_offset::text END AS found,
             o.outbox_id
        FROM outbox o
        LEFT JOIN LATERAL (
             SELECT payment_id AS id, convert_to(member, 'UTF8') AS key, event, log_offset
               FROM payment WHERE payment_id = o.event_id
              UNION ALL
             SELECT payment_id, convert_to(practice, 'UTF8'), event, log_offset
               FROM settlement_payment WHERE payment_id = o.event_id
              UNION ALL
             SELECT settlement_id, convert_to(practice, 'UTF8'), event, log_offset
               FROM settlement WHERE payer = o.payer AND settlement_id = o.event_id
              UNION ALL
             SELECT event_id, convert_to(plan, 'UTF8'), event, NULL FROM employer_outcome WHERE event_id = o.event_id
             ) d ON true
       WHERE o.payer = $1 AND o.topic = $2
         AND (d.id IS NULL OR o.key <> d.key OR o.value <> d.event OR o.log_offset <> d.log_offset)) w
     ORDER BY outbox_id LIMIT 1
"""


def _request_of(event: _Event) -> int:
    """The offset of the request that an event answers: it begins its sequence."""
    head = event.sequence[:9]
    return int(head) if head.isdecimal() else -1


def _later_release(last: int) -> Callable[[_Event], bool]:
    return lambda event: event.sequence[:5].isdecimal() and int(event.sequence[:5]) > last


def _key_of(expected: Mapping[bytes, Expected], event: _Event) -> bytes | None:
    one = expected.get(event.id.bytes)
    return one.key if one else None


def place(record: Any) -> dict[str, Any]:
    """Where a record stands."""
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}


def sound(
    record: Any, partitions: int, key_of: Callable[[_Event], bytes | None]
) -> tuple[_Event | None, Difference | None]:
    """The event of a record, and what of the record around it is not as it was sent; without an event, why."""
    at = place(record)
    named = {"partition": record.partition, "offset": record.offset}
    if record.value is None:
        return None, Difference(record.topic, named, "value", "an event", "nothing: the value is null", at)
    try:
        event = _read_event(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None, Difference(record.topic, named, "value", "an event", "bytes that are no event", at)
    named, name = {"id": str(event.id)}, str(event.id)
    key = key_of(event)
    if key is not None and record.key != key:
        told = "null" if record.key is None else record.key.decode(errors="replace")
        return event, Difference(record.topic, named, "key", key.decode(), told, at, name)
    if list(record.headers) != HEADERS:
        headers = [[one, None if held is None else held.decode(errors="replace")] for one, held in record.headers]
        wanted = [[one, held.decode()] for one, held in HEADERS]
        return event, Difference(record.topic, named, "headers", wanted, headers, at, name)
    if key is not None and record.partition != (right := partition_of(key, partitions)):
        return event, Difference(record.topic, named, "partition", right, record.partition, at, name)
    return event, None


async def committed(connections: Connections, topic: str) -> AsyncIterator[tuple[Any, int]]:
    """Every committed record of a topic with the number of its partitions, up to its ends as they are when asked.

    `UnreadableLog` where Kafka cannot give them.
    """
    async with groupless(connections) as consumer:
        parts = [TopicPartition(topic, n) for n in sorted(await partitions_of(consumer, topic))]
        ends = await consumer.end_offsets(parts)
        for part in parts:
            consumer.assign([part])
            consumer.seek(part, 0)
            while (position := await consumer.position(part)) < ends[part]:
                try:
                    got = await consumer.getmany(part, timeout_ms=1_000, max_records=RECORDS_AT_ONCE)
                except KafkaError as error:
                    raise await unreadable(consumer, part, position, ends[part]) from error
                for record in got.get(part, ()):
                    yield record, len(parts)
