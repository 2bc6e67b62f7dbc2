"""Rejects: from the door to their topic, and from there to the table that shows them.

The topic is the record: raw bytes are kept in it, sealed under a key of each reject's own, so that those which name a
person can be erased without the others. What names somebody who was erased is told of, and its bytes are not kept. The
table is a projection: one transaction inserts rows and moves the position, as for any other consumer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contracts.envelope import MAX_FACT_BYTES, NAMESPACE, schema_urn
from contracts.events import LOG_FACTS
from contracts.events.rejects import RejectRecorded
from formats.reading import Reject
from projections import store
from streams import projecting
from streams.connections import Connections
from streams.door import log_source
from streams.keys import KeyStore
from streams.naming import holds_word
from streams.own_keys import REJECT
from streams.roster import Roster
from streams.topics import rejects_topic

CONSUMER = "rejects"
KEPT_BYTES_MAX = 2_900_000
"""Of raw bytes: base64 makes 4 of 3, and the topic takes 4 MiB a record."""

OWN = "own."
"""Before what is sealed under the reject's own key; what does not begin so is from before there were such keys."""

CATALOGUE = f"urn:carepact:catalogue:{hashlib.sha256('|'.join(sorted(LOG_FACTS)).encode()).hexdigest()[:16]}"
"""What a record was held against whose event is not known: the types and versions that this build knows."""

_NONCE_BYTES = 12


@dataclass(slots=True)
class RejectRecord:
    """A reject ready for its topic."""

    partition: int
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """A reject as its event tells it, with the bytes that were sealed."""

    event: RejectRecorded
    head: bytes = field(repr=False)
    raw: bytes = field(repr=False)


def is_whole(event: RejectRecorded) -> bool:
    """Whether all of the record was kept, so that it can be sent again.

    Of a record that is too large, readers themselves keep no more than a fact may have.
    """
    return 0 < event.raw_bytes == event.kept_bytes and event.raw_bytes != MAX_FACT_BYTES


class RejectBook:
    """Makes the events of one payer's rejects."""

    def __init__(self, payer: str, keys: KeyStore) -> None:
        self._payer = payer
        self._keys = keys
        self._key = keys.payer_keys(payer).rejects
        self._erased: tuple[int, frozenset[bytes]] = (-1, frozenset())

    def record(self, reject: Reject, plan: str = "", shift_years: int = 0) -> RejectRecord:
        """The event of one reject; see `records`."""
        return self.records([reject], plan, shift_years)[0]

    def records(self, rejects: Sequence[Reject], plan: str = "", shift_years: int = 0) -> list[RejectRecord]:
        """The events of rejects, their raw bytes sealed, and before them the header that they need.

        Waits for the key store, where the keys are on disk when this returns.
        """
        words = self._words()
        ids = [self.reject_id(reject, plan) for reject in rejects]
        kept = [self._kept_of(reject, words) for reject in rejects]
        keys = self._keys.own_keys(
            self._payer, REJECT, [each for each, bytes_ in zip(ids, kept, strict=True) if bytes_]
        )
        made = zip(rejects, ids, kept, strict=True)
        return [self._record(reject, each, raw, keys.get(each), plan, shift_years) for reject, each, raw in made]

    def _record(
        self, reject: Reject, reject_id: str, kept: bytes, key: bytes | None, plan: str, shift_years: int
    ) -> RejectRecord:
        place = reject.place
        kept = b"" if key is None else kept
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
            held_against=reject.schema or CATALOGUE,
            format=reject.format,
            shift_years=shift_years,
            head_bytes=len(reject.head) if kept else 0,
            raw_bytes=len(reject.raw),
            kept_bytes=max(0, len(kept) - len(reject.head)),
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
        if key is not None and kept:
            envelope |= {"sealed": OWN + _sealed(key, kept, reject_id)}
        data = event.model_dump_json(exclude_defaults=True).encode()
        return RejectRecord(0, b"", orjson.dumps(envelope | {"data": orjson.Fragment(data)}))

    def _kept_of(self, reject: Reject, erased: frozenset[bytes]) -> bytes:
        """What is to be sealed of a reject: header and record; nothing of one that names who was erased."""
        kept = reject.head + reject.raw[: KEPT_BYTES_MAX - len(reject.head)]
        return b"" if not reject.raw or holds_word(self._key, erased, kept) else kept

    def _words(self) -> frozenset[bytes]:
        """What names people who were erased; asked for again when the key store has moved."""
        if (generation := self._keys.generation()) != self._erased[0]:
            self._erased = generation, self._keys.suppressed(self._payer)
        return self._erased[1]

    def reject_id(self, reject: Reject, plan: str = "") -> str:
        """The id that a reject has: the same bytes, refused for the same reason at the same place, are one."""
        place = reject.place
        raw = hmac.digest(self._key, reject.raw, hashlib.sha256).hex()
        named = "|".join((self._payer, plan, place.file, str(place.line), place.field, reject.code, raw))
        return str(uuid5(NAMESPACE, f"reject|{named}"))

    def raw(self, value: bytes) -> bytes:
        """The raw bytes that a record of the topic keeps."""
        return self.kept(value).raw

    def kept(self, value: bytes) -> Kept:
        """What a record of the topic keeps of a reject, opened. `KeyDestroyed` when it named who was erased."""
        envelope = orjson.loads(value)
        event = RejectRecorded.model_validate(envelope["data"])
        whole = b""
        if sealed := envelope.get("sealed"):
            is_own = sealed.startswith(OWN)
            key = self._keys.own_key(self._payer, REJECT, envelope["id"]) if is_own else self._key
            blob = base64.urlsafe_b64decode(sealed.removeprefix(OWN))
            whole = AESGCM(key).decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], envelope["id"].encode())
        return Kept(event, whole[: event.head_bytes], whole[event.head_bytes :])


def _sealed(key: bytes, raw: bytes, reject_id: str) -> str:
    nonce = os.urandom(_NONCE_BYTES)
    return base64.urlsafe_b64encode(nonce + AESGCM(key).encrypt(nonce, raw, reject_id.encode())).decode("ascii")


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
    """One transaction: the rows of one payer's rejects, and the position behind them."""

    async def insert(connection: Any, topic: str, new: Sequence[Any]) -> None:
        await _insert(connection, payer, topic, new)

    await projecting.project(connection, CONSUMER, topic, epochs, records, insert)


async def _insert(connection: Any, payer: str, topic: str, records: Sequence[Any]) -> None:
    rows = [row_of(payer, topic, record) for record in records]
    await connection.execute(_INSERT, *(list(column) for column in zip(*rows, strict=True)))


class RejectProjector(projecting.Projector):
    """Brings the rejects topics of all payers into the table."""

    def __init__(self, connections: Connections, roster: Roster, owner: str, **service: Any) -> None:
        self._payers = {rejects_topic(payer.name): payer.name for payer in roster.payers}
        super().__init__(connections, CONSUMER, roster.space, self._payers, owner, **service)

    async def insert(self, connection: Any, topic: str, records: Sequence[Any]) -> None:
        """The rows of new records of one topic."""
        await _insert(connection, self._payers[topic], topic, records)
