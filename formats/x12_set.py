"""One X12 transaction set, cut into segments as they are asked for; and what readers of sets share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from pydantic import ValidationError

from contracts.envelope import MAX_FACT_BYTES
from formats.cells import BadCell
from formats.reading import Place, Reject
from formats.schema_errors import first_error
from formats.x12_rosters import Rosters

SOURCE = "x12"
_BLOCK = 65_536
_PADDING = 24
_MOST_FINDINGS = 40
"""Of one fact; a guide that is not kept at all would else make each claim carry hundreds."""

Elements = list[str]


@dataclass(frozen=True, slots=True)
class ToldClaim:
    """What an answer says of a claim: its place, who it is about, what was asked for, and why it was refused."""

    first: int
    account: str
    charge: str
    start: str
    through: str
    patient: tuple[str, str, str, str]
    """Family name, given name, kind and value of the member number."""
    provider: tuple[str, str, str, str, str]
    """1 a person or 2 an organization, family or organization name, given name, kind and value of its number."""
    trace: str
    """REF*D9, the number of who passed it on."""
    bill: str
    """Type of bill, of a facility's claim."""
    reject: Reject | None


class Listener(Protocol):
    """What is told of the envelope while it is read, in the order of the file, for the answers to its sender."""

    def interchange(self, isa: Elements) -> None:
        """ISA."""

    def group(self, gs: Elements) -> None:
        """GS."""

    def opened(self, st: Elements, line: int) -> None:
        """ST, and its number in the file."""

    def named(self, reference: str, submitter: tuple[str, str, str], receiver: tuple[str, str]) -> None:
        """Of a set of claims: BHT03; 1 or 2, name and number of who submitted it; name and number of who is to read."""

    def claim(self, told: ToldClaim) -> None:
        """A claim of the open set."""

    def found(self, findings: Mapping[int, tuple[Finding, ...]]) -> None:
        """What the implementation guide has against the open set, by segment number."""

    def rejected(self, reject: Reject) -> None:
        """A row of the open set, or the whole set, that is not taken."""

    def closed(self, code: str, taken: int) -> None:
        """The open set ends. `code` is that of IK502 when all of it is refused; `taken` rows became facts."""

    def group_ends(self, sets: str, code: str) -> None:
        """GE: the sets it counts, and the code of AK905 when it counts or names wrongly."""

    def interchange_ends(self, code: str) -> None:
        """IEA, or that it is missing: the note code of TA1."""


class Finding(NamedTuple):
    """What a check has against a segment: its name, the element (0 the segment), its component (0 all), and a code.

    Codes are those of 999: IK304 for a segment, IK403 for an element.
    """

    segment: str
    element: int
    component: int
    code: str

    def __str__(self) -> str:
        at = f"{self.element:02}" if self.element else ""
        return f"{self.segment}{at}" + (f"-{self.component}" if self.component else "") + f":{self.code}"


class Signs:
    """The terminator of segments and the separator of elements of an interchange, and what is found by them."""

    __slots__ = ("_begins", "_blanks", "_closes", "element", "end")

    def __init__(self, end: bytes, element: bytes) -> None:
        self.end, self.element = end, element
        name = rb"(?:SE|ST|GE|IEA|ISA)" + re.escape(element)
        self._begins = re.compile(rb"[\r\n\t ]*(" + name + rb")")
        self._closes = re.compile(re.escape(end) + rb"[\r\n\t ]*(" + name + rb")")
        self._blanks = (end + end, end + b" ", b" " + end, b"\r", b"\n", b"\t")

    def closer(self, held: bytes, at: int) -> int:
        """Where the next segment begins that stands in no transaction set; -1 if none does. `at` begins a segment."""
        found = self._begins.match(held, at) or self._closes.search(held, at)
        return found.start(1) if found else -1

    def cleaned(self, body: bytes) -> bytes:
        """Segments without line ends and blanks around them, and without empty ones."""
        body = body.replace(self.end + b"\r\n", self.end).replace(self.end + b"\n", self.end)
        if any(each in body for each in self._blanks if each != self.end):
            kept = [text.strip(b"\r\n\t ") for text in body.split(self.end)]
            body = b"".join(text + self.end for text in kept if text)
        return body


@dataclass(frozen=True, slots=True)
class Transaction:
    """One ST to SE, with what stands around it. `text` is ST and what follows, each with its terminator; no SE.

    No blanks stand beside its separators.
    """

    kind: str
    guide: str
    text: str
    started: int
    component: str
    file: str
    around: tuple[str, str, str, str]
    """Terminator, element separator, ISA, GS."""
    rosters: Rosters
    notes: tuple[str, ...] = ()
    unclean: re.Pattern[str] | None = None
    """What finds bytes that are no text, where the set has any."""
    findings: Mapping[int, tuple[Finding, ...]] = field(default_factory=dict)
    heard: Listener | None = None

    @property
    def start(self) -> Elements:
        """The elements of ST."""
        return self.text[: self.text.index(self.around[0])].split(self.around[1])

    def blocks(self) -> Iterator[tuple[int, list[str]]]:
        """What stands after ST, some hundred segments at a time: the number of the first, and the segments."""
        text, end = self.text, self.around[0]
        at, number = text.index(end) + 1, self.started + 1
        while at < len(text):
            cut = text.rfind(end, at, at + _BLOCK)
            cut = cut if cut >= 0 else text.index(end, at)
            found = text[at:cut].split(end)
            yield number, found
            number += len(found)
            at = cut + 1

    @property
    def padding(self) -> str:
        """Behind a segment it makes at least 24 elements of it, so that each may be asked for."""
        return self.around[1] * _PADDING

    def segments(self) -> Iterator[tuple[int, Elements]]:
        """What stands after ST, each with its number in the file, cut into elements as it is asked for."""
        separator, padding = self.around[1], self.padding
        for first, texts in self.blocks():
            for number, text in enumerate(texts, first):
                yield number, (text + padding).split(separator)

    def composite(self, text: str) -> list[str]:
        """The components of an element."""
        return text.split(self.component)

    def spoilt(self, first: int, segments: list[Elements]) -> tuple[int, BadCell] | None:
        """The first of these segments with bytes that are no text: its number, and what to tell of it."""
        for number, elements in enumerate(segments, first):
            for at, element in enumerate(elements):
                if self.unclean is not None and self.unclean.search(element):
                    field_ = f"{plain_name(elements[0])}{at:02}"
                    return number, BadCell("unreadable", field_, "bytes that are no text", "send UTF-8")
        return None

    def notes_of(self, *ranges: tuple[int, int]) -> tuple[str, ...]:
        """What is to stand with a fact made of these segments, each range from its first number to before its last."""
        if not self.findings:
            return self.notes
        everywhere = (self.started, self.started + 1)
        found = [str(f) for at, end in (everywhere, *ranges) for n in range(at, end) for f in self.findings.get(n, ())]
        return (*self.notes, *dict.fromkeys(found))[:_MOST_FINDINGS]

    def alone(self, segments: list[Elements]) -> bytes:
        """An interchange of these segments of the set (without ST and SE), to be kept and read again."""
        end, glue, isa, gs = self.around
        start = self.start
        chosen = [start, *segments, ["SE", str(len(segments) + 2), start[2]]]
        body = [glue.join(elements).rstrip(glue) for elements in chosen]
        tail = [glue.join(("GE", "1", gs.split(glue)[6])), glue.join(("IEA", "1", isa.split(glue)[13]))]
        whole = end.join([isa[:-1] + self.component, gs, *body, *tail, ""])
        return whole.encode("utf-8", "surrogateescape")[:MAX_FACT_BYTES]


def plain_name(name: str) -> str:
    """The name of a segment; what is none is not repeated, since it may be anything that was sent."""
    return name if 2 <= len(name) <= 3 and name.isascii() and name.isalnum() and name.isupper() else "?"


def refused(
    transaction: Transaction, error: BadCell | ValidationError, number: int, name: str, segments: list[Elements]
) -> Reject:
    """The reject of part of a transaction set, at the segment `number`, which is a `name`."""
    if isinstance(error, BadCell):
        code, field_, reason, remedy = error.code, error.column, error.reason, error.remedy
    else:
        found = first_error(error)
        code, field_, reason, remedy = found.code, name + found.field, found.reason, found.remedy
    place = Place(transaction.file, number, field_)
    return Reject(place, code, reason, remedy, transaction.alone(segments), format=SOURCE)
