"""FHIR resources out of bytes: one resource, a Bundle, or a line each (bulk NDJSON); and small walks through them.

Numbers with a point are exact decimals. What is not JSON, too large or too deep is a reject, and the next line is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import msgspec

from contracts.envelope import MAX_FACT_BYTES
from contracts.events import Event, Person
from contracts.events.base import Identifier
from formats.cells import BadCell
from formats.reading import Place, ReadFact, Reject

MAX_DOCUMENT = 64 * 1024 * 1024
"""Bytes of one resource, Bundle or line; bulk NDJSON may be as long as it likes."""
SOURCE = "fhir"

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CENT = Decimal("0.01")
_MOST = Decimal(10**10)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource, where it stands, and the JSON pointer to it within its line or file.

    `adjudicated` are the ids of the claims that the Bundle has an explanation of benefit for.
    """

    body: Json
    line: int
    pointer: str
    adjudicated: frozenset[str] = frozenset()

    @property
    def type(self) -> str:
        """Its resourceType, '' when it has none."""
        found = self.body.get("resourceType")
        return found if isinstance(found, str) else ""

    def raw(self) -> bytes:
        """The resource by itself, on one line."""
        return _encoder.encode(self.body)[:MAX_FACT_BYTES] + b"\n"


def resources(chunks: Iterable[bytes], file: str) -> Iterator[Resource | Reject]:
    """Every resource in the order of the file; those of a Bundle one by one."""
    for line, raw in _documents(chunks):
        if raw is None:
            reason = f"a resource of more than {MAX_DOCUMENT} bytes"
            yield Reject(Place(file, line), "too_large", reason, "send bulk NDJSON, or smaller Bundles", format=SOURCE)
            continue
        if not raw.strip():
            continue
        try:
            body = _decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
            body = None
        if not isinstance(body, dict):
            reason, remedy = "no JSON object in UTF-8", "send one resource, a Bundle, or one resource on each line"
            yield Reject(Place(file, line), "unreadable", reason, remedy, raw[:MAX_FACT_BYTES], format=SOURCE)
            continue
        if body.get("resourceType") != "Bundle":
            yield Resource(body, line, "")
            continue
        entries = [entry.get("resource") for entry in objects(body.get("entry"))]
        adjudicated = frozenset(_adjudicated(entries))
        for i, inner in enumerate(entries):
            if isinstance(inner, dict):
                yield Resource(inner, line, f"/entry/{i}/resource", adjudicated)


def _adjudicated(entries: Iterable[Any]) -> Iterator[str]:
    for entry in entries:
        if isinstance(entry, dict) and entry.get("resourceType") == "ExplanationOfBenefit":
            yield logical_id(first(entry.get("claim")).get("reference"))


def _documents(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """(1-based line, bytes) of each document: a line each if the first line is one by itself, else the whole file.

    None in place of one that is too large.
    """
    source = _lines(chunks)
    first, start = 0, b""
    for first, line in source:
        if line is None or line.strip():
            start = (line or b"").removeprefix(b"\xef\xbb\xbf")
            if line is None:
                yield first, None
                return
            break
    try:
        _decoder.decode(start)
        alone = True
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
        alone = False
    if alone:
        yield first, start
        yield from source
        return
    whole, size = [start], len(start)
    for _, line in source:
        size += MAX_DOCUMENT + 1 if line is None else len(line)
        if line is None or size > MAX_DOCUMENT:
            yield first, None
            return
        whole.append(line)
    yield first, b"".join(whole)


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Lines with their ends, whatever the chunks; None for one that is too large."""
    number, held, size, dropped = 1, list[bytes](), 0, False
    for chunk in chunks:
        at = 0
        while (end := chunk.find(b"\n", at)) >= 0:
            held.append(chunk[at : end + 1])
            yield number, None if dropped or size + end + 1 - at > MAX_DOCUMENT else b"".join(held)
            number, held, size, dropped, at = number + 1, [], 0, False, end + 1
        size += len(chunk) - at
        if size > MAX_DOCUMENT:
            held, dropped = [], True
        elif at < len(chunk):
            held.append(chunk[at:])
    if dropped or held:
        yield number, None if dropped else b"".join(held)


# Walks. Each takes what a sender may have sent, of whatever type.


def objects(value: Any) -> list[Json]:
    """The objects of a list; an object by itself is a list of one."""
    if isinstance(value, dict):
        return [value]
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def first(value: Any) -> Json:
    """The first object, {} when there is none."""
    found = objects(value)
    return found[0] if found else {}


def string(value: Any) -> str:
    """A text without outer blanks, '' when it is none."""
    return value.strip() if isinstance(value, str) else ""


def tail(value: Any) -> str:
    """The last part of a path: line_nch_pmt_amt of https://bluebutton.cms.gov/resources/variables/line_nch_pmt_amt."""
    return string(value).rstrip("/").rsplit("/", 1)[-1]


def logical_id(reference: Any) -> str:
    """The id that a reference names: 7 of Patient/7/_history/2, x of urn:uuid:x."""
    return string(reference).removeprefix("urn:uuid:").split("/_history")[0].rsplit("/", 1)[-1]


def codings(concept: Any) -> Iterator[tuple[str, str]]:
    """(system, code) of each coding of a CodeableConcept, or of several."""
    for each in objects(concept):
        for coding in objects(each.get("coding")):
            if code := string(coding.get("code")):
                yield string(coding.get("system")), code


def day(value: Any, field: str) -> date | None:
    """The day of a date or dateTime; None when absent."""
    if value is None:
        return None
    text = string(value)
    try:
        if _DAY.fullmatch(text[:10]):
            return date.fromisoformat(text[:10])
    except ValueError:
        pass
    raise BadCell("not_a_date", field, "a date that is not a date", "send an existing day as YYYY-MM-DD")


def cents(money: Any, field: str) -> int | None:
    """Money as cents, R4 (`currency`) or STU3 (`code`); None when absent. Parts of a cent are rounded half up."""
    if not isinstance(money, dict) or (value := money.get("value")) is None:
        return None
    currency = string(money.get("currency")) or string(money.get("code"))
    if currency not in ("", "USD"):
        raise BadCell("not_usd", field, "an amount in another currency", "send US dollars")
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadCell("not_money", field, "an amount that is not money", "send a JSON number of dollars")
    exact = Decimal(value)
    if not exact.is_finite() or abs(exact) > _MOST:
        raise BadCell("not_money", field, "an amount that is not money", "send a JSON number of dollars")
    return int(exact.quantize(_CENT, ROUND_HALF_UP).scaleb(2))


def number(quantity: Any, field: str) -> Decimal | None:
    """A quantity's value with at most four decimals; None when absent."""
    value = quantity.get("value") if isinstance(quantity, dict) else None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadCell("schema", field, "a number that is not a number", "send a JSON number")
    exact = Decimal(value)
    if not exact.is_finite() or abs(exact) > _MOST:
        raise BadCell("schema", field, "a number out of bounds", "send a quantity that can be")
    return exact.quantize(Decimal("0.0001"), ROUND_HALF_UP).normalize()


# What makers of facts share


def bad(field: str, reason: str, remedy: str, code: str = "schema") -> BadCell:
    """Why a resource is refused, and where in it."""
    return BadCell(code, field, reason, remedy)


def fact_of(event: Event, place: Place, *key: str, rows: int = 1) -> ReadFact:
    """A fact of a resource, named by what its sender calls it."""
    return ReadFact(event, place, SOURCE, natural_key="|".join((SOURCE, *key)), rows=rows)


def person_of(reference: Any, field: str) -> Person:
    """The member that a reference names, by logical id or by an MBI."""
    found = reference if isinstance(reference, dict) else {}
    identifier = first(found.get("identifier"))
    if value := logical_id(found.get("reference")):
        return Person(identifier=identifier_of(value))
    if "us-mbi" in string(identifier.get("system")) and (value := string(identifier.get("value"))):
        return Person(identifier=Identifier(kind="mbi", value=value))
    raise bad(field, "a resource without its patient", "send the patient's reference", "no_member_identifier")


def identifier_of(value: str) -> Identifier:
    """A logical id as an identifier: a number is CMS's beneficiary id, anything else the payer's member id."""
    kind = "beneficiary_id" if re.fullmatch(r"-?[0-9]+", value) else "member_id"
    return Identifier(kind=kind, value=value)
