"""What is held of one person: facts by their positions, their sealed part opened, and rejects that name them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import orjson
from aiokafka import TopicPartition
from cryptography.exceptions import InvalidTag

from streams.connections import Connections
from streams.door import unseal
from streams.keys import KeyDestroyed, KeyStore
from streams.naming import Naming
from streams.output import groupless
from streams.reading import log_reader
from streams.rejects import OWN, RejectBook
from streams.topics import log_topic, rejects_topic

READ_AT_ONCE = 500
_AWAIT_MS = 500

_FACTS = """
    SELECT partition, log_offset, member, plan, type, known_at FROM fact
     WHERE payer = $1 AND member = ANY($2::text[]) ORDER BY partition, log_offset
"""


@dataclass(slots=True)
class Held:
    """What the log holds of a person. `persons` and `sealed` are opened: they go to the person, or nowhere."""

    plan: str = ""
    facts: Counter[str] = field(default_factory=Counter)
    first_on: dict[str, date] = field(default_factory=dict)
    last_on: dict[str, date] = field(default_factory=dict)
    sealed: int = 0
    destroyed: int = 0
    persons: list[dict[str, Any]] = field(default_factory=list, repr=False)
    fields: dict[str, list[Any]] = field(default_factory=dict, repr=False)

    @property
    def last_service_on(self) -> date | None:
        """The last day that any fact names, of those that had come when it was asked."""
        return max(self.last_on.values(), default=None)

    @property
    def naming(self) -> Naming:
        """What names the person."""
        return Naming.of(self.persons)


async def held(
    reach: Connections, database: Any, keys: KeyStore, payer: str, tokens: Sequence[str], today: date
) -> Held:
    """Read every fact of a person's tokens that is projected. Days after `today` are not of services."""
    found, topic = Held(), log_topic(payer)
    rows = await database.fetch(_FACTS, payer, list(tokens))
    known = {token: _key(keys, payer, token) for token in tokens}
    async with log_reader(reach) as reader:
        for start in range(0, len(rows), READ_AT_ONCE):
            part = rows[start : start + READ_AT_ONCE]
            wanted: dict[tuple[str, int], list[int]] = {}
            for row in part:
                wanted.setdefault((topic, row["partition"]), []).append(row["log_offset"])
            records = await reader.records(wanted)
            for row in part:
                found.plan = row["plan"] or found.plan
                found.facts[row["type"]] += 1
                if (record := records.get((topic, row["partition"], row["log_offset"]))) is not None:
                    _take(found, row["type"], record.value, known[row["member"]], today)
    return found


def _key(keys: KeyStore, payer: str, token: str) -> bytes | None:
    try:
        return keys.data_key(payer, token)
    except KeyDestroyed:
        return None


def _take(found: Held, kind: str, value: bytes, key: bytes | None, today: date) -> None:
    event = orjson.loads(value)
    days = [day for day in _days(event.get("data", {})) if day <= today]
    if days:
        found.first_on[kind] = min(*days, found.first_on.get(kind, today))
        found.last_on[kind] = max(*days, found.last_on.get(kind, date.min))
    if not (sealed := event.get("sealed")):
        return
    if key is None:
        found.destroyed += 1
        return
    found.sealed += 1
    for name, said in unseal(key, event["id"], event["subject"], sealed).items():
        if name == "person" and said not in found.persons:
            found.persons.append(said)
        elif name != "person" and said not in found.fields.setdefault(name, []):
            found.fields[name].append(said)


def _days(data: Any) -> Iterator[date]:
    """Every day in the open part of a fact."""
    if isinstance(data, Mapping):
        for name, value in data.items():
            if isinstance(value, str) and name.endswith("_on"):
                yield date.fromisoformat(value)
            else:
                yield from _days(value)
    elif isinstance(data, list):
        for each in data:
            yield from _days(each)


@dataclass(frozen=True, slots=True)
class Named:
    """A rejected record that names the person; `is_own`: sealed under a key of its own, which can be destroyed."""

    reject_id: str
    plan: str
    code: str
    is_own: bool


async def rejects_naming(
    reach: Connections, keys: KeyStore, payer: str, naming: Naming, after: int = 0
) -> tuple[list[Named], int]:
    """The payer's rejects from an offset on whose bytes name the person; and the offset behind the last."""
    book, found, end = RejectBook(payer, keys), dict[str, Named](), after
    async for offset, value in _all_of(reach, rejects_topic(payer), after):
        end = offset + 1
        if named := await asyncio.to_thread(_named, book, value, naming):
            found[named.reject_id] = named
    return list(found.values()), end


def _named(book: RejectBook, value: bytes, naming: Naming) -> Named | None:
    try:
        envelope = orjson.loads(value)
        kept = book.kept(value)
    except (KeyDestroyed, InvalidTag, ValueError, KeyError, TypeError):
        return None  # erased already, or no reject
    if not naming.found_in(b"\n".join((kept.head, kept.raw, kept.event.file.encode()))):
        return None
    return Named(kept.event.reject_id, kept.event.plan, kept.event.code, str(envelope.get("sealed")).startswith(OWN))


async def _all_of(reach: Connections, topic: str, after: int) -> AsyncIterator[tuple[int, bytes]]:
    """The records of a topic of one partition, up to its end as it is now."""
    at = TopicPartition(topic, 0)
    async with groupless(reach) as consumer:
        consumer.assign([at])
        end = (await consumer.end_offsets([at]))[at]
        consumer.seek(at, after)
        while await consumer.position(at) < end:
            for record in (await consumer.getmany(at, timeout_ms=_AWAIT_MS, max_records=READ_AT_ONCE)).get(at, []):
                if record.offset < end and record.value is not None:
                    yield record.offset, record.value
