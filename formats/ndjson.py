"""Newline-delimited JSON: one CloudEvent 1.0 on each line, its `data` an inbound event of the catalogue.

Attributes read are `specversion`, `type`, `source`, `data`, and if given `id`, `time`, `plan`, `payer`, `sensitivity`
(whatever it says, the record is tagged as 42 CFR Part 2); others are CloudEvents extensions of the sender and are left
behind. Nothing is guessed: a line that JSON, the envelope or the schema does not allow, or that has an answer outside
the scale of its question, becomes a reject with its place, and the next line is read. Empty lines are skipped and are
no rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

import msgspec
import orjson
from pydantic import ValidationError

from contracts.envelope import MAX_FACT_BYTES, schema_urn
from contracts.events import LOG_FACTS, EproResponseReceived, Event, MemberFact
from contracts.instruments import unscorable
from formats.reading import Instant, Place, Read, ReadFact, Reject
from formats.schema_errors import first_error

MAX_DEPTH = 32
"""Levels of objects and lists in one line."""

_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*"')
_NO_BRACKETS = re.compile(rb"[^\[\]{}]+")
_CURLED = bytes.maketrans(b"[]", b"{}")
_BOM = b"\xef\xbb\xbf"
_PLAIN_UTC = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_VERSION = re.compile(r"carepact\.([A-Za-z]{1,64})\.v([0-9]{1,6})")


class _Inbound(msgspec.Struct):
    """The attributes of an event as sent. A wrong type in any of them is a wrong envelope."""

    specversion: str
    type: str
    source: str
    data: msgspec.Raw
    id: str | None = None
    time: str | None = None
    plan: str | None = None
    payer: str | None = None
    sensitivity: str | None = None


_envelope = msgspec.json.Decoder(_Inbound)


class _Wrong(Exception):
    def __init__(self, code: str, reason: str, remedy: str, field: str = "", model: type[Event] | None = None) -> None:
        super().__init__(reason)
        self.code, self.reason, self.remedy, self.field = code, reason, remedy, field
        self.schema = "" if model is None else schema_urn(model)

    def reject(self, file: str, line: int, raw: bytes) -> Reject:
        """As the item that stands for the line."""
        place = Place(file, line, self.field)
        return Reject(place, self.code, self.reason, self.remedy, raw[:MAX_FACT_BYTES], schema=self.schema)


def read(lines: Iterable[bytes], file: str) -> Iterator[Read]:
    """Facts and rejects in the order of the lines."""
    for number, raw in enumerate(lines, 1):
        line = raw.removeprefix(_BOM) if number == 1 else raw
        if not line.strip():
            continue
        try:
            yield read_event(line.rstrip(b"\r\n"), Place(file, number))
        except _Wrong as wrong:
            yield wrong.reject(file, number, line)


def read_one(line: bytes, place: Place) -> Read:
    """One event that came by itself, as from an inbox."""
    try:
        return read_event(line, place)
    except _Wrong as wrong:
        return wrong.reject(place.file, place.line, line)


def read_event(line: bytes, place: Place) -> ReadFact:
    """The fact of one line; raises what `read` turns into a reject."""
    if len(line) > MAX_FACT_BYTES:
        raise _Wrong("too_large", f"a line of more than {MAX_FACT_BYTES} bytes", "send less in one event")
    _check_json(line)
    try:
        sent = _envelope.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _wrong_envelope(error) from None
    model = _model(sent)
    try:
        event = model.__pydantic_validator__.validate_json(bytes(sent.data))
    except ValidationError as error:
        found = first_error(error)
        raise _Wrong(found.code, found.reason, found.remedy, "/data" + found.field, model) from None
    if isinstance(event, MemberFact) and event.person is None:
        raise _Wrong(
            "no_member_identifier",
            "a fact about a member without its identifier",
            "send person.identifier",
            "/data/person/identifier",
            model,
        )
    if isinstance(event, EproResponseReceived):
        for wrong in unscorable(event):
            field, remedy = f"/data/items/{wrong.index}/value", "send the answer on the instrument's own scale"
            raise _Wrong("out_of_scale", wrong.reason, remedy, field, model)
    return ReadFact(
        event=event,
        place=place,
        source=sent.source,
        producer_id=sent.id,
        natural_key=natural_key("ndjson", event) if sent.id is None else "",
        plan=sent.plan or "",
        payer=sent.payer or "",
        part2=bool(sent.sensitivity),
        time=_utc(sent.time) if sent.time is not None else None,
    )


def natural_key(format_: str, event: Event) -> str:
    """The sender's own name of a record: format, type, its first id, action, the day it took effect.

    The person is part of a derived id elsewhere; file, path and line never are.
    """
    model = type(event)
    firsts, others = _named_by(model)
    parts = [format_, model.__name__]
    for name in firsts:
        if (value := getattr(event, name)) is not None:
            parts.append(str(value))
            break
    for name in others:
        if (value := getattr(event, name)) is not None:
            parts.append(str(value))
    return "|".join(parts)


_FIRSTS = (
    "claim_id",
    "record_id",
    "response_id",
    "request_id",
    "leave_id",
    "payment_id",
    "coverage",
    "name",
    "practice",
)
_OTHERS = ("action", "status", "record_version", "effective_on", "from_on", "collected_on")


@cache
def _named_by(model: type[Event]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which of these fields a model has: asking an event for one it has not is slow."""
    have = model.model_fields
    return tuple(name for name in _FIRSTS if name in have), tuple(name for name in _OTHERS if name in have)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Wrong("duplicate_key", "an object that has one key twice", "send each key once")
    return made


def _number(_: str) -> None:
    raise _Wrong(
        "unreadable", "a number that JSON does not have", "send NaN and Infinity as null or leave the field out"
    )


def _check_json(line: bytes) -> None:
    """JSON, no key twice, no deeper than allowed."""
    if line.count(b"{") + line.count(b"[") > MAX_DEPTH and _is_too_deep(line):
        raise _Wrong("too_deep", f"more than {MAX_DEPTH} levels of objects and lists", "send a flatter event")
    if _has_each_key_once(line):
        return
    try:
        found = json.loads(line, object_pairs_hook=_unique, parse_constant=_number)
    except (ValueError, RecursionError):
        raise _Wrong("unreadable", "a line that is not JSON in UTF-8", "send one JSON object on each line") from None
    if not isinstance(found, dict):
        raise _Wrong("unreadable", "a line that is no JSON object", "send one JSON object on each line")


def _has_each_key_once(line: bytes) -> bool:
    """Whether a line is surely a JSON object without a key twice; if not, it has to be looked at more slowly.

    A key that came twice is lost in reading, and its colon with it, so written again the line has fewer. Colons are
    written as they are, but for one that was `\\u003a`.
    """
    if b"\\u" in line:
        return False
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, dict) and orjson.dumps(found).count(b":") == line.count(b":")


def _is_too_deep(line: bytes) -> bool:
    """Whether brackets outside of texts nest too deep: each round takes away the innermost level."""
    left = brackets = _NO_BRACKETS.sub(b"", _TEXTS.sub(b"", line)).translate(_CURLED)
    for _ in range(MAX_DEPTH):
        if not (left := left.replace(b"{}", b"")):
            return False
    depth = 0
    for bracket in brackets:  # some that are never closed, perhaps: then how deep it goes is what counts
        depth += 1 if bracket == b"{"[0] else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _wrong_envelope(error: Exception) -> _Wrong:
    """msgspec names the attribute and the type, not the value."""
    text = str(error)
    named = re.search(r"`\$\.([a-z]{1,20})`|required field `([a-z]{1,20})`", text)
    field = f"/{named[1] or named[2]}" if named else ""
    reason = (
        "a required attribute of the envelope is missing"
        if "missing" in text
        else "an envelope that is no CloudEvent 1.0"
    )
    return _Wrong("envelope", reason, "send specversion, type, source and data as CloudEvents 1.0 asks", field)


def _model(sent: _Inbound) -> type[Event]:
    if sent.specversion != "1.0":
        raise _Wrong("envelope", "another version of CloudEvents", "send specversion 1.0", "/specversion")
    if not 1 <= len(sent.source) <= 120:
        raise _Wrong(
            "envelope", "a source that is empty or too long", "send a source of 1 to 120 characters", "/source"
        )
    if sent.id is not None and not 1 <= len(sent.id) <= 200:
        raise _Wrong("envelope", "an id that is empty or too long", "send an id of 1 to 200 characters, or none", "/id")
    if sent.plan is not None and not re.fullmatch(r"[a-z0-9-]{0,64}", sent.plan):
        raise _Wrong("envelope", "a plan that is no plan id", "send the plan's id in small letters", "/plan")
    if (model := LOG_FACTS.get(sent.type)) is None:
        known = _VERSION.fullmatch(sent.type)
        newer = known and any(t.startswith(f"carepact.{known[1]}.v") for t in LOG_FACTS)
        reason = (
            "a version of this event that this build does not know" if newer else "an event the catalogue does not have"
        )
        raise _Wrong("unknown_type", reason, "send a type of the event catalogue", "/type")
    return model


@lru_cache(4_096)  # events of one batch of a sender often have one time
def _utc(time: str) -> Instant:
    """A date-time with an offset, in UTC; without one it says no instant."""
    try:
        at = datetime.fromisoformat(time)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or len(time) <= 10:
        raise _Wrong(
            "envelope", "a time that is no date-time with offset", "send time as RFC 3339, with its offset", "/time"
        )
    if _PLAIN_UTC.fullmatch(time):  # as most are
        return Instant(time[:19] + ".000Z")
    return Instant(at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"))
