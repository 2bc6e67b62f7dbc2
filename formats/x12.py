"""X12 005010: the envelope, in bounded memory, and which reader takes which transaction set.

Segments are cut by the separators that ISA declares. A transaction set (ST to SE) is taken or refused as a whole: SE
must close its ST with the right count and control number. What GE and IEA count wrongly is told and changes nothing.
Claims (837P, 837I, and the post-adjudicated 837 X298, X299) and enrollment (834) are read; other sets are refused by
name: an 835 pays claims of providers and names none of our payments.

A row is a claim (CLM), a member (INS), a claim payment (CLP), else a transaction set. Places are segment numbers.
`:` is declared in many files whose composites use `>`; where every CLM05 is put together by one other separator, that
one is used, and it is said so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from pydantic import ValidationError

from contracts.envelope import MAX_FACT_BYTES
from formats.cells import BadCell
from formats.reading import Place, Read, Reject
from formats.schema_errors import first_error

SOURCE = "x12"
MAX_TRANSACTION = 32 * 1024 * 1024
"""Bytes of one transaction set; the guides ask for at most 5,000 claims."""
_MAX_SEGMENT = 65_536
_ISA = 106
_ROW = {b"837": b"CLM", b"834": b"INS", b"835": b"CLP"}
_NAMES = {
    "820": "premium payments", "835": "remittances", "270": "eligibility inquiries", "271": "eligibility answers",
    "276": "claim status inquiries", "277": "claim status answers", "278": "service reviews", "997": "acknowledgements",
    "999": "acknowledgements", "TA1": "acknowledgements", "837D": "dental claims",
}  # fmt: skip
_CLM05 = re.compile(rb"[0-9A-Z]{1,2}([^0-9A-Za-z ])[AB]\1[0-9]")


class Segment(NamedTuple):
    """A segment: its 1-based number in the file, and its elements; the first is its name."""

    number: int
    elements: list[str]

    def __call__(self, at: int) -> str:
        """Element `at`, '' when it is not there."""
        return self.elements[at].strip() if at < len(self.elements) else ""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One ST to SE, with what stands around it."""

    kind: str
    guide: str
    body: list[bytes]
    started: int
    component: str
    file: str
    around: tuple[bytes, bytes, bytes, bytes]
    """Terminator, ISA, GS, element separator."""

    def segments(self) -> Iterator[Segment]:
        """What stands after ST, with SE; cut as it is asked for, since a set may be large."""
        separator = self.around[3].decode()
        for number, text in enumerate(islice(self.body, 1, None), self.started + 1):
            yield Segment(number, text.decode().split(separator))

    def composite(self, text: str) -> list[str]:
        """The components of an element."""
        return text.split(self.component)

    def alone(self, segments: list[Segment]) -> bytes:
        """An interchange of these segments of the set (without ST and SE), to be kept and read again."""
        end, isa, gs, separator = self.around
        glue = separator.decode()
        start = self.body[0].decode().split(glue)
        chosen = [start, *(s.elements for s in segments), ["SE", str(len(segments) + 2), start[2]]]
        gs_control, isa_control = gs.split(separator)[6], isa.split(separator)[13]
        body = [glue.join(elements).encode() for elements in chosen]
        tail = [separator.join((b"GE", b"1", gs_control)), separator.join((b"IEA", b"1", isa_control))]
        declared = isa[:-1] + self.component.encode()
        return end.join([declared, gs, *body, *tail, b""])[:MAX_FACT_BYTES]


def refused(transaction: Transaction, error: BadCell | ValidationError, at: Segment, segments: list[Segment]) -> Reject:
    """The reject of part of a transaction set."""
    if isinstance(error, BadCell):
        code, field, reason, remedy = error.code, error.column, error.reason, error.remedy
    else:
        found = first_error(error)
        code, field, reason, remedy = found.code, at.elements[0] + found.field, found.reason, found.remedy
    place = Place(transaction.file, at.number, field)
    return Reject(place, code, reason, remedy, transaction.alone(segments), format=SOURCE)


def looks_like(start: bytes) -> bool:
    """Whether a file begins with an interchange."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith(b"ISA") and len(text) > 3 and not text[3:4].isalnum()


def _is_isa(held: bytes) -> bool:
    """Sixteen elements of fixed width, the separator of elements where it has to be, and a sign that ends it."""
    separator, end = held[3:4], held[105:106]
    apart = held[103:104] == separator and held[:105].count(separator) == 16 and end not in held[:105]
    return looks_like(held) and apart and not end.isalnum()


def read(chunks: Iterable[bytes], file: str) -> Iterator[Read]:
    """Facts and rejects in the order of the file."""
    return _Reader(file).read(chunks)


class _Reader:
    """Where we are in an interchange."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.number = 0
        self.end = self.separator = b""
        self.isa = self.gs = b""
        self.groups = self.sets = 0
        self.body: list[bytes] | None = None
        self.size = self.started = 0
        self.closers: tuple[bytes, ...] = ()

    def read(self, chunks: Iterable[bytes]) -> Iterator[Read]:
        held = b""
        for chunk in chunks:
            held += chunk
            while True:
                if not self.end:
                    held = held.removeprefix(b"\xef\xbb\xbf").lstrip()
                    if len(held) < _ISA:
                        break
                    if not _is_isa(held):
                        yield self._lost("an interchange without an ISA of 106 characters", held)
                        return
                    self.separator, self.end = held[3:4], held[105:106]
                    self.closers = tuple(name + self.separator for name in (b"SE", b"ST", b"GE", b"IEA", b"ISA"))
                *segments, held = held.split(self.end)
                at = yield from self._segments(segments)
                if at < 0:
                    break
                held, self.end = self.end.join([*segments[at:], held]), b""
            if self.end and len(held) > _MAX_SEGMENT:
                yield self._lost("a segment that does not end", held)
                return
        if held.strip() and self.end:
            yield from self._segments([held])
        elif held.strip():
            yield self._lost("an interchange without an ISA of 106 characters", held)
        if self.body is not None:
            yield self._whole("unreadable", "a transaction set that breaks off", "send the whole file again")
        elif self.isa:
            yield self._told("an interchange without its IEA")

    def _segments(self, segments: list[bytes]) -> Generator[Read, None, int]:
        """Read on until an interchange ends, since the next has its own signs: how many were read, -1 for all."""
        for i, segment in enumerate(segments):
            text = segment.strip(b"\r\n\t ")
            if not text:
                continue
            if self.body is not None and not text.startswith(self.closers):
                self.number += 1
                self.body.append(text)
                self.size += len(text) + 1
                if self.size > MAX_TRANSACTION:
                    yield self._whole("too_large", "a transaction set that is too large", "send at most 5,000 claims")
                continue
            if self.isa and text.startswith(self.closers[-1]):
                if self.body is not None:
                    yield self._whole("envelope", "a transaction set without its SE", "close each ST with an SE")
                yield self._told("an interchange without its IEA")
                self.isa = self.gs = b""
                return i
            self.number += 1
            yield from self._segment(text)
            if text.startswith(b"IEA"):
                return i + 1
        return -1

    def _segment(self, text: bytes) -> Iterator[Read]:
        name = text.split(self.separator, 1)[0]
        if self.body is not None:
            if name == b"SE":
                self.body.append(text)
                yield from self._close(text)
                return
            yield self._whole("envelope", "a transaction set without its SE", "close each ST with an SE")
        elements = text.split(self.separator)
        match name:
            case b"ISA":
                self.isa, self.gs, self.groups = text, b"", 0
            case b"GS" if self.isa and len(elements) > 8:
                self.gs, self.sets, self.groups = text, 0, self.groups + 1
            case b"ST" if self.gs and len(elements) > 2:
                self.body, self.size, self.started = [text], len(text), self.number
            case b"GE":
                if elements[1:3] != [b"%d" % self.sets, self.gs.split(self.separator)[6] if self.gs else b""]:
                    yield self._told("a group whose GE counts or names another number of sets")
                self.gs = b""
            case b"IEA":
                control = self.isa.split(self.separator)[13].strip() if self.isa else b""
                if [e.strip() for e in elements[1:3]] != [b"%d" % self.groups, control]:
                    yield self._told("an interchange whose IEA counts or names another number of groups")
                self.isa = b""
            case b"TA1":
                pass
            case _:
                yield Reject(
                    Place(self.file, self.number), "envelope", "a segment outside of a transaction set",
                    "send ISA, GS, ST in their order", text[:MAX_FACT_BYTES], 0, format=SOURCE,
                )  # fmt: skip

    def _close(self, se: bytes) -> Iterator[Read]:
        body = self.body or []
        self.sets += 1
        elements, start = se.split(self.separator), body[0].split(self.separator)
        if elements[1:3] != [b"%d" % len(body), start[2]]:
            reason = "a transaction set whose SE counts other segments or names another set"
            yield self._whole("envelope", reason, "send SE01 and SE02 as they are")
            return
        kind = start[1].decode("latin-1")
        guide = (self.gs.split(self.separator)[8]).decode("latin-1").strip()
        if kind == "837" and "X224" in guide:
            kind = "837D"
        make = _reader_of(kind, guide)
        if make is None:
            what = f"set {kind} ({_NAMES[kind]})" if kind in _NAMES else "set of a kind or guide"
            remedy = "send 005010 X222, X223, X298, X299 (837) or X220 (834)"
            yield self._whole("not_read", f"a transaction {what} that is not read", remedy)
            return
        if not all(map(_is_text, body)):
            yield self._whole("unreadable", "a transaction set that is not UTF-8", "send UTF-8")
            return
        declared = self.isa[104:105].decode("latin-1")
        used = _component(body, self.separator, declared)
        if used != declared:
            yield self._told(
                f"composites that use {used!r} and not the separator ISA16 declares; read so", "declare it in ISA16",
                "separator", self.started,
            )  # fmt: skip
        around = (self.end, self.isa, self.gs, self.separator)
        self.body = None
        yield from make(Transaction(kind, guide, body, self.started, used, self.file, around))

    def _whole(self, code: str, reason: str, remedy: str) -> Reject:
        """The open transaction set, refused."""
        body = self.body or []
        self.body = None
        mark = _ROW.get(body[0].split(self.separator)[1] if body else b"", b"ST")
        rows = sum(1 for text in body if text.split(self.separator, 1)[0] == mark)
        raw = self.end.join([self.isa, self.gs, *body, b""])[:MAX_FACT_BYTES]
        return Reject(Place(self.file, self.started), code, reason, remedy, raw, max(rows, 1), format=SOURCE)

    def _told(self, reason: str, remedy: str = "send it as it is", code: str = "envelope", at: int = 0) -> Reject:
        """Something wrong around the sets, which takes nothing from them."""
        return Reject(Place(self.file, at or self.number), code, reason, remedy, b"", 0, format=SOURCE)

    def _lost(self, reason: str, held: bytes) -> Reject:
        remedy = "send a whole interchange, ISA to IEA"
        return Reject(
            Place(self.file, self.number + 1), "envelope", reason, remedy, held[:MAX_FACT_BYTES], format=SOURCE
        )


def _is_text(segment: bytes) -> bool:
    if segment.isascii():
        return True
    try:
        segment.decode()
    except UnicodeDecodeError:
        return False
    return True


def _component(body: list[bytes], separator: bytes, declared: str) -> str:
    """The separator of components: the declared one, unless every CLM05 is put together by one other."""
    claims = (text.split(separator) for text in body if text.startswith(b"CLM"))
    found = {m[1].decode() for each in claims if len(each) > 5 and (m := _CLM05.match(each[5]))}
    return found.pop() if len(found) == 1 else declared


def _reader_of(kind: str, guide: str) -> Callable[[Transaction], Iterator[Read]] | None:
    from formats import x12_834, x12_837  # noqa: PLC0415 - they use what stands above

    if kind == "837" and re.match(r"005010X(222|223|298|299)", guide):
        return x12_837.read
    if kind == "834" and guide.startswith("005010X220"):
        return x12_834.read
    return None
