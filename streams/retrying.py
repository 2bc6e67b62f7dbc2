"""Rejected records once more: the bytes that were kept are opened, read again, and sent through the same door.

What is sent again has the id it would have had if it had never been rejected: the sender's, or the one that its
content gives. So a record that was retried, and came in a corrected file too, counts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from msgspec.structs import replace

from contracts.events.rejects import RejectRecorded
from formats.detect import READERS
from formats.ndjson import read_one
from formats.reading import Place, Read, ReadFact, Reject
from formats.table import UnknownLayout
from streams.connections import Connections
from streams.door import NATURAL_KEY, unseal
from streams.keys import KeyDestroyed, KeyStore
from streams.reading import log_reader
from streams.rejects import Kept, RejectBook, is_whole
from streams.topics import log_topic, rejects_topic

At = tuple[str, int, int]
"""Topic, partition and offset of what the table of rejects names."""


ERASED = "it was erased with a person whom it named; send what it has of others (--with FILE)"


class NotKept(Exception):
    """There are no bytes to send again; the message says why, and what to do."""


async def values_at(connections: Connections, at: Sequence[At]) -> dict[At, bytes]:
    """The records at these positions."""
    wanted: dict[tuple[str, int], list[int]] = {}
    for topic, partition, offset in at:
        wanted.setdefault((topic, partition), []).append(offset)
    async with log_reader(connections) as reader:
        return {place: record.value or b"" for place, record in (await reader.records(wanted)).items()}


def told(payer: str, topic: str, value: bytes) -> RejectRecorded | None:
    """What the reject's event tells; None where the reject is of a record that stands in a log."""
    return None if topic != rejects_topic(payer) else RejectRecorded.model_validate(orjson.loads(value)["data"])


def opened(keys: KeyStore, payer: str, topic: str, value: bytes) -> bytes:
    """The whole of a rejected record, what names the person included.

    Of a record in a log, its event with the sealed fields opened. `KeyDestroyed` when the person was erased.
    """
    if topic == rejects_topic(payer):
        kept = RejectBook(payer, keys).kept(value)
        return kept.head + kept.raw
    try:
        event = orjson.loads(value)
        subject, sealed = event.get("subject"), event.get("sealed")
        if topic == log_topic(payer) and subject and sealed:
            event["sealed"] = unseal(keys.data_key(payer, subject), event["id"], subject, sealed)
        return orjson.dumps(event)
    except (ValueError, AttributeError, KeyError, InvalidTag):
        return value


def kept_of(keys: KeyStore, payer: str, topic: str, value: bytes) -> Kept:
    """What was kept of a reject, if it is whole; `NotKept` says why it cannot be sent again as it was."""
    if why := why_not_kept(told(payer, topic, value)):
        raise NotKept(why)
    try:
        return RejectBook(payer, keys).kept(value)
    except KeyDestroyed:
        raise NotKept(ERASED) from None


def why_not_kept(event: RejectRecorded | None) -> str:
    """Why a reject, as its event tells it, cannot be sent again as it was; '' when it can."""
    if event is None:
        return "it stands in the log and would be refused again; send what it should have said, corrected (--with FILE)"
    if not is_whole(event):
        return "not all of it was kept; send the corrected record (--with FILE)"
    return ""


def read_again(kept: Kept) -> Iterator[Read]:
    """The items of a kept record, at the place where it was."""
    event = kept.event
    for item in _items(kept):
        place = Place(event.file, event.line, item.place.field)
        yield replace(item, place=place)


def _items(kept: Kept) -> Iterator[Read]:
    event = kept.event
    if event.format == "ndjson":
        item = read_one(kept.raw, Place(event.file, event.line))
        if isinstance(item, ReadFact) and (key := _natural_key(kept.raw)):
            item = replace(item, natural_key=key)
        yield replace(item, rows=event.rows)
        return
    lines = [*kept.head.splitlines(keepends=True), *kept.raw.splitlines(keepends=True)]
    try:
        for item in READERS[event.format](lines, event.file):
            yield replace(item, format=event.format, head=kept.head) if isinstance(item, Reject) else item
    except (UnknownLayout, KeyError):
        reason = f"this build does not read {event.format} under that header"
        yield Reject(
            Place(event.file, event.line), "unreadable", reason, "send it by --with FILE", kept.raw, event.rows
        )


def _natural_key(raw: bytes) -> str:
    sent: Mapping[str, Any] = orjson.loads(raw)
    return str(sent.get(NATURAL_KEY) or "")
