"""What every reader yields: facts with their place, or rejects with their place, reason and remedy.

A reader is a pure function from bytes to `Read` items. A *row* is what the sender would count: a line of a file, a
segment group, an element of a bulk file. One row may make several facts and several rows one fact, so each item says
how many rows it answers for; over a whole file these add up to the rows read.

Items are msgspec structs, which are made many times faster than frozen dataclasses are; `msgspec.structs.replace`
copies one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from msgspec import Struct

from contracts.events import Event
from contracts.events.base import Identifier


@dataclass(frozen=True, slots=True)
class Listing:
    """That a full enrollment file lists a member's coverage; or, with `whole`, that it has been read to its end.

    `roster` names whose members the file lists (sponsor, insurer, group) by a digest. A file of `file_on` that comes
    after another one of the same roster and does not list a member has missed that member.
    """

    roster: str
    file_on: date
    coverage: str = ""
    ended: bool = False
    whole: bool = False


class Place(Struct, frozen=True):
    """Where in the input: file name without folders, 1-based line (0 if none), and field path ('' if none)."""

    file: str
    line: int = 0
    field: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" + (f" {self.field}" if self.field else "")


class Instant(str):
    """A time that was checked: RFC 3339 in UTC, to the millisecond."""

    __slots__ = ()


class ReadFact(Struct, frozen=True):
    """A fact as read. `producer_id` is the sender's own event id; without one the door derives it from content.

    `natural_key` names the record in the sender's terms (claim number, action, day): part of a derived id.
    `payer` is the payer that the record itself names, '' when it names none. `keyed` names fields of the event that
    hold digests of what names a person: the door puts digests under the payer's key in their place. `findings` are
    what a check has against the record; they stand beside the fact and have no part in its identity. `part2` is that
    the sender marks it as a record of substance use treatment; the door finds others by itself. `formerly` are
    identifiers that meant the person before, the oldest first.
    """

    event: Event
    place: Place
    source: str
    producer_id: str | None = None
    natural_key: str = ""
    plan: str = ""
    time: str | None = None
    rows: int = 1
    payer: str = ""
    keyed: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    listing: Listing | None = None
    part2: bool = False
    formerly: tuple[Identifier, ...] = ()


class Reject(Struct, frozen=True):
    """A record that could not be taken in. `raw` is kept sealed; `reason` and `remedy` carry no patient data.

    `format` is that of `raw`; `head` is what a reader needs before it, as a table's header. `schema` is that of the
    event that the record was held against, '' where none was known.
    """

    place: Place
    code: str
    reason: str
    remedy: str
    raw: bytes = b""
    rows: int = 1
    format: str = "ndjson"
    head: bytes = b""
    schema: str = ""

    def __repr__(self) -> str:
        return f"Reject({self.place}, {self.code!r}, {self.reason!r}, {self.remedy!r}, rows={self.rows})"


Read = ReadFact | Reject
Reader = Callable[[Iterable[bytes], str], Iterator[Read]]
"""Lines of a file (with their ends) and its name, to facts and rejects in file order."""
