"""How X12 names people, and its days and amounts."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from contracts.events import Person
from contracts.events.base import Identifier
from formats import cells
from formats.cells import BadCell
from formats.x12 import Segment

_MBI = re.compile(r"[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9]"
                  r"[AC-HJKMNP-RT-Y]{2}[0-9]{2}")  # fmt: skip
_DAY = re.compile(r"[0-9]{8}")


def day(segment: Segment, at: int, last: bool = False) -> date | None:
    """A day D8, DT or RD8 (its first day, or its last); None when empty."""
    text = segment(at)
    if not text:
        return None
    try:
        return _day(text, last)
    except ValueError:
        pass
    field = f"{segment.elements[0]}{at:02}"
    raise BadCell("not_a_date", field, "a date that is not a date", "send an existing day as CCYYMMDD")


@lru_cache(maxsize=20_000)
def _day(text: str, last: bool) -> date:
    text = text.split("-")[-1 if last else 0][:8]
    if not _DAY.fullmatch(text):
        raise ValueError
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))


def cents(segment: Segment, at: int) -> int | None:
    """An amount as cents; None when empty."""
    field = f"{segment.elements[0]}{at:02}"
    text = segment(at)
    return cells.cents({field: "0" + text if text.startswith(".") else text}, field)


def number(segment: Segment, at: int) -> Decimal | None:
    """A quantity; None when empty."""
    text = segment(at)
    if not text:
        return None
    field = f"{segment.elements[0]}{at:02}"
    try:
        found = Decimal(text)
        if found.is_finite() and abs(found) < 10**10 and found == round(found, 4):
            return found.normalize()
    except InvalidOperation:
        pass
    raise BadCell("schema", field, "a number that is not a number", "send digits with at most four decimals")


class Who:
    """A person as NM1, N3, N4 and DMG tell of them."""

    def __init__(self) -> None:
        self.name: Segment | None = None
        self.member_id = ""
        self.street: Segment | None = None
        self.place: Segment | None = None
        self.born: Segment | None = None

    def take(self, segment: Segment) -> None:
        """N3, N4 or DMG."""
        match segment.elements[0]:
            case "N3":
                self.street = segment
            case "N4":
                self.place = segment
            case "DMG":
                self.born = segment

    def person(self, member_id: str, *, dependent: bool = False) -> Person:
        """The person. One without a number of their own is named by the family's, the day of birth and first name."""
        if not member_id:
            field = "NM109" if self.name else "NM1"
            raise BadCell("no_member_identifier", field, "a person without a member number", "send it in NM1*IL")
        born = day(self.born, 2) if self.born else None
        given = self.name(4) if self.name else ""
        value = member_id
        if dependent:
            value = f"{member_id}/{born or ''}/{re.sub('[^A-Z]', '', given.upper())[:16]}"
        return Person(
            identifier=Identifier(kind="mbi" if _MBI.fullmatch(value) else "member_id", value=value),
            family_name=(self.name(3) or None) if self.name else None,
            given_name=given or None,
            birth_date=born,
            address=(self.street(1) or None) if self.street else None,
            postal_code=(self.place(3) or None) if self.place else None,
        )
