"""Two identifiers turn out to be one person: the facts of one token are written again under the other (seam 22).

The first token stays. From the link on, the door maps every identifier of the retired token to the survivor. What the
log holds under the retired token is produced again under the survivor, with new ids and the link as `cause`; then
`MemberRetired` in the retired token's own partition reverses what was paid for it. Ids are derived, so a link that
was interrupted is simply made again.

A fact that the payer has itself sent again under the new identifier, to the letter, is not written a third time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson
from aiokafka import TopicPartition

from contracts.envelope import log_id
from contracts.events import MemberLinked, MemberRetired, SubjectErased
from contracts.events.base import Identifier
from streams.connections import Connections
from streams.door import Door, seal, unseal
from streams.keys import KeyDestroyed, KeyStore, identifier_digest
from streams.log_writer import LogWriter
from streams.output import groupless, partition_of
from streams.topics import log_topic

SOURCE = "links"
CHUNK = 1_000
OWN = frozenset(event.type_name() for event in (MemberLinked, MemberRetired, SubjectErased))


@dataclass(frozen=True, slots=True)
class Linked:
    """What a link did: the fact that states it, and how many facts moved or were there already."""

    survivor: str
    retired: str
    link_id: str
    moved: int
    already_there: int


@dataclass(slots=True)
class Moved:
    """A record for the log (`streams.log_writer.Record`)."""

    partition: int
    key: bytes
    value: bytes


def token_of(keys: KeyStore, payer: str, plan: str, identifier: Identifier) -> str:
    """The member an identifier means; it is made if it is not known yet, so that a link may come first."""
    digest = identifier_digest(keys.payer_keys(payer).pseudonym, plan, identifier)
    return keys.subjects(payer, [digest])[digest].token


async def link(
    connections: Connections, writer: LogWriter, door: Door, keys: KeyStore, survivor: str, retired: str
) -> Linked:
    """Retire a token in favour of another of the same payer; returns when the log has all of it."""
    payer, topic = door.payer.name, log_topic(door.payer.name)
    keys.link(payer, survivor, retired)
    plan = ""
    moved = already = 0
    link_id = log_id(payer, SOURCE, f"{retired}>{survivor}", survivor)
    async with groupless(connections) as consumer:
        there: Counter[bytes] = Counter()
        async for event, value in _facts_of(consumer, topic, survivor, door.partitions):
            if event.get("cause") != link_id:
                there[_content(event, value)] += 1
        chunk: list[Moved] = []
        stated = False
        async for event, value in _facts_of(consumer, topic, retired, door.partitions):
            plan = event.get("plan", "")
            if not stated:
                await _state(writer, door, topic, MemberLinked(other=retired), link_id, survivor, plan)
                stated = True
            content = _content(event, value)
            if there[content] > 0:
                there[content] -= 1
                already += 1
                continue
            chunk.append(_under(survivor, event, link_id, payer, door.partitions, keys))
            moved += 1
            if len(chunk) >= CHUNK:
                await writer.write(topic, chunk)
                chunk = []
        if chunk:
            await writer.write(topic, chunk)
        if not stated:
            await _state(writer, door, topic, MemberLinked(other=retired), link_id, survivor, plan)
    await _state(writer, door, topic, MemberRetired(survivor=survivor), link_id, retired, plan)
    return Linked(survivor, retired, link_id, moved, already)


async def _state(
    writer: LogWriter, door: Door, topic: str, event: MemberLinked | MemberRetired, link_id: str, member: str, plan: str
) -> None:
    producer_id = link_id if isinstance(event, MemberRetired) else f"{event.other}>{member}"
    await writer.write(topic, door.admit_own(event, SOURCE, producer_id, member=member, plan=plan))


async def _facts_of(
    consumer: Any, topic: str, member: str, partitions: int
) -> AsyncIterator[tuple[dict[str, Any], bytes]]:
    """The facts of one member, in order, up to the partition's end as it is now; not what the platform stated."""
    key = member.encode()
    where = TopicPartition(topic, partition_of(key, partitions))
    consumer.assign([where])
    end = (await consumer.end_offsets([where]))[where]
    consumer.seek(where, (await consumer.beginning_offsets([where]))[where])
    while await consumer.position(where) < end:
        for record in (await consumer.getmany(where, timeout_ms=500, max_records=5_000)).get(where, []):
            if record.key == key and record.offset < end:
                event = _event_of(record.value)
                if event.get("type", "") and event["type"] not in OWN:
                    yield event, record.value


def _event_of(value: bytes | None) -> dict[str, Any]:
    try:
        event = orjson.loads(value or b"")
    except ValueError:
        return {}  # rejected as unreadable where it was applied
    return event if isinstance(event, dict) else {}


def _content(event: dict[str, Any], value: bytes) -> bytes:
    """A digest of what a fact says, without its envelope: `data` stands last in a record."""
    return blake2b(event["type"].encode() + value[value.index(b',"data":') :], digest_size=16).digest()


def _under(survivor: str, event: dict[str, Any], link_id: str, payer: str, partitions: int, keys: KeyStore) -> Moved:
    """The same fact under the survivor: a new id, sealed again under the survivor's key, with the link as cause."""
    retired, old = event["subject"], event["id"]
    event_id = log_id(payer, SOURCE, f"{link_id}|{old}", survivor)
    made = {**event, "id": event_id, "subject": survivor, "cause": link_id}
    if sealed := event.get("sealed"):
        try:
            fields = unseal(keys.data_key(payer, retired), old, retired, sealed)
            made["sealed"] = seal(keys.data_key(payer, survivor), event_id, survivor, orjson.dumps(fields))
        except KeyDestroyed:
            del made["sealed"]
    made["data"] = made.pop("data")
    key = survivor.encode()
    return Moved(partition_of(key, partitions), key, orjson.dumps(made))
