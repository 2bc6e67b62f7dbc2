"""Rejects: from the door to their topic, and from there to the table that shows them.

The topic is the record: raw bytes are kept in it, sealed under the payer's own key. The table is a projection: one
transaction inserts rows and moves the position, as for any other consumer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import asyncpg
import orjson
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contracts.envelope import NAMESPACE, schema_urn
from contracts.events.rejects import RejectRecorded
from formats.reading import Reject
from projections import store
from streams.codec import digest_of
from streams.connections import Connections
from streams.door import log_source
from streams.keys import KeyStore
from streams.restarting import GroupConsumer, Restarting
from streams.roster import Roster
from streams.topics import rejects_topic

CONSUMER = "rejects"
GROUP = "carepact.rejects"
BATCH_RECORDS = 500
KEPT_BYTES_MAX = 2_900_000
"""Of raw bytes: base64 makes 4 of 3, and the topic takes 4 MiB a record."""

_NONCE_BYTES = 12

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class RejectRecord:
    """A reject ready for its topic."""

    partition: int
    key: bytes
    value: bytes


class RejectBook:
    """Makes the events of one payer's rejects."""

    def __init__(self, payer: str, keys: KeyStore) -> None:
        self._payer = payer
        self._key = keys.payer_keys(payer).rejects
        self._cipher = AESGCM(self._key)

    def record(self, reject: Reject, plan: str = "") -> RejectRecord:
        """The event of a reject, its raw bytes sealed."""
        place = reject.place
        raw = hmac.digest(self._key, reject.raw, hashlib.sha256).hex()
        named = "|".join((self._payer, plan, place.file, str(place.line), place.field, reject.code, raw))
        reject_id = str(uuid5(NAMESPACE, f"reject|{named}"))
        kept = reject.raw[:KEPT_BYTES_MAX]
        event = RejectRecorded(
            reject_id=reject_id,
            payer=self._payer,
            plan=plan,
            code=reject.code,
            reason=reject.reason[:2000],
            remedy=reject.remedy[:2000],
            file=place.file[-2000:],
            line=place.line,
            field=place.field[:2000],
            rows=reject.rows,
            raw_bytes=len(reject.raw),
            kept_bytes=len(kept),
        )
        envelope: dict[str, Any] = {
            "specversion": "1.0",
            "id": reject_id,
            "source": log_source(self._payer, "door"),
            "type": RejectRecorded.type_name(),
            "datacontenttype": "application/json",
            "dataschema": schema_urn(RejectRecorded),
            "payer": self._payer,
        }
        envelope |= {"plan": plan} if plan else {}
        envelope |= {"sealed": self._seal(kept, reject_id)} if kept else {}
        data = event.model_dump_json(exclude_defaults=True).encode()
        return RejectRecord(0, b"", orjson.dumps(envelope | {"data": orjson.Fragment(data)}))

    def raw(self, value: bytes) -> bytes:
        """The raw bytes that a record of the topic keeps."""
        envelope = orjson.loads(value)
        if not (sealed := envelope.get("sealed")):
            return b""
        blob = base64.urlsafe_b64decode(sealed)
        return self._cipher.decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], envelope["id"].encode())

    def _seal(self, raw: bytes, reject_id: str) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        return base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, raw, reject_id.encode())).decode("ascii")


def row_of(payer: str, topic: str, record: Any) -> tuple[Any, ...]:
    """The table's row of a record of a rejects topic, in the order of `COLUMNS`."""
    known_at = store.instant(record.timestamp)
    position = (topic, record.partition, record.offset)
    try:
        event = RejectRecorded.model_validate(orjson.loads(record.value)["data"])
        reject_id = UUID(event.reject_id)
    except (ValueError, KeyError, TypeError):
        reject_id = uuid5(NAMESPACE, f"reject|{topic}|{record.partition}|{record.offset}")
        said = ("unreadable", "a record of the rejects topic is no reject", "look at who may write the topic")
        return (reject_id, payer, "", *position, *said, "", 0, "", 1, known_at)
    words = (event.code, event.reason, event.remedy, event.file, event.field)
    code, reason, remedy, file, field = (word.replace("\x00", "") for word in words)  # PostgreSQL's text has no NUL
    return (
        reject_id, payer, event.plan, *position, code, reason, remedy, file, event.line, field, event.rows, known_at,
    )  # fmt: skip


COLUMNS = (
    "reject_id", "payer", "plan", "topic", "partition", "log_offset", "code", "reason",
    "remedy", "place_file", "place_line", "place_field", "rows", "known_at",
)  # fmt: skip

_TYPES = (
    "uuid", "text", "text", "text", "int", "bigint", "text", "text", "text", "text", "bigint", "text", "int",
    "timestamptz",
)  # fmt: skip
_ARRAYS = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(_TYPES, 1))
_INSERT = f"""
    INSERT INTO reject ({", ".join(COLUMNS)}) SELECT * FROM unnest({_ARRAYS}) ON CONFLICT (reject_id) DO NOTHING
"""  # noqa: S608 - our own columns


async def project(connection: Any, payer: str, topic: str, epochs: dict[int, int], records: Sequence[Any]) -> None:
    """One transaction: the rows of records not yet seen, and the positions behind them. `Fenced` by a later claim."""
    async with connection.transaction():
        held = await store.hold(connection, CONSUMER, topic, epochs)
        new = [record for record in records if record.offset >= held[record.partition].next_offset]
        if not new:
            return
        rows = [row_of(payer, topic, record) for record in new]
        await connection.execute(_INSERT, *(list(column) for column in zip(*rows, strict=True)))
        last = {record.partition: record for record in new}
        reached = [store.Advance(p, record.offset + 1, digest_of(record.value or b"")) for p, record in last.items()]
        await store.advance(connection, CONSUMER, topic, reached)


class RejectProjector(Restarting):
    """Brings the rejects topics of all payers into the table. Several may run; the group shares the topics out."""

    def __init__(self, connections: Connections, roster: Roster, owner: str, **service: Any) -> None:
        super().__init__(**service)
        self._connections = connections
        self._payers = {rejects_topic(payer.name): payer.name for payer in roster.payers}
        self._owner = owner
        self._group = f"{GROUP}.{roster.space}" if roster.space else GROUP
        self._epochs: dict[TopicPartition, int] = {}

    async def run(self, stopped: Callable[[], bool]) -> None:
        """Read and project until `stopped()`."""
        self._epochs.clear()
        connection = await asyncpg.connect(self._connections.postgres, timeout=10, command_timeout=15)
        try:
            group = GroupConsumer(self._connections, self._group, list(self._payers), self._epochs.clear)
            async with group as consumer:
                while not stopped():
                    await self._claim(connection, consumer)
                    batch = await consumer.getmany(timeout_ms=500, max_records=BATCH_RECORDS)
                    for at, records in batch.items():
                        if (epoch := self._epochs.get(at)) is not None:
                            await project(connection, self._payers[at.topic], at.topic, {at.partition: epoch}, records)
        finally:
            await connection.close()

    async def _claim(self, connection: Any, consumer: Any) -> None:
        """Take over what the group gave us, and read on from where the table stands."""
        new = [at for at in consumer.assignment() if at not in self._epochs]
        if not new:
            return
        ends = await consumer.end_offsets(new)
        claimed = await store.claim(connection, CONSUMER, [(at.topic, at.partition) for at in new], self._owner)
        for at in new:
            position = claimed[at.topic, at.partition]
            if position.next_offset > ends[at]:
                log.error("rejects_topic_changed", topic=at.topic, noted=position.next_offset, end=ends[at])
                raise KafkaError(f"{at.topic} ends before the noted position: it was made again or shortened")
            consumer.seek(at, position.next_offset)
            self._epochs[at] = position.epoch
