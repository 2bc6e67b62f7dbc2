"""How X12 names people, and its days, amounts and quantities."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from formats import cells
from formats.cells import BadCell
from formats.x12_set import Elements

_MBI = re.compile(r"[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9]"
                  r"[AC-HJKMNP-RT-Y]{2}[0-9]{2}")  # fmt: skip
_DAY = re.compile(r"[0-9]{8}")
_FIRST, _LAST = date(1900, 1, 1), date(2200, 1, 1)
"""Of the days that facts may have."""
_CACHED = 20_000


def day(elements: Elements, at: int, last: bool = False) -> date | None:
    """A day D8, DT or RD8 (its first day, or its last); None when empty."""
    text = elements[at]
    if not text:
        return None
    if (found := _day(text, last)) is not None:
        return found
    raise BadCell("not_a_date", field(elements, at), "a date that is not a date", "send an existing day as CCYYMMDD")


@lru_cache(maxsize=_CACHED)
def _day(text: str, last: bool) -> date | None:
    text = text.split("-")[-1 if last else 0][:8]
    try:
        found = date(int(text[:4]), int(text[4:6]), int(text[6:])) if _DAY.fullmatch(text) else None
    except ValueError:
        return None
    return found if found is not None and _FIRST <= found <= _LAST else None


def cents(elements: Elements, at: int) -> int | None:
    """An amount as cents; None when empty."""
    text = elements[at]
    if not text:
        return None
    if (found := _cents(text)) is not None:
        return found
    raise BadCell(
        "not_money", field(elements, at), "an amount that is not money", "send dollars with at most two decimals"
    )


@lru_cache(maxsize=_CACHED)
def _cents(text: str) -> int | None:
    text = text.replace(".", "0.", 1) if text.startswith((".", "-.")) else text
    try:
        return cells.cents({"": text}, "")
    except BadCell:
        return None


def number(elements: Elements, at: int) -> Decimal | None:
    """A quantity; None when empty."""
    text = elements[at]
    if not text:
        return None
    if (found := _number(text)) is not None:
        return found
    raise BadCell(
        "schema", field(elements, at), "a number that is not a number", "send digits with at most four decimals"
    )


@lru_cache(maxsize=_CACHED)
def _number(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
        if found.is_finite() and abs(found) < 10**10 and found == round(found, 4):
            return found.normalize()
    except InvalidOperation:
        pass
    return None


def field(elements: Elements, at: int) -> str:
    """The reference designator of an element, as in CLM05."""
    return f"{elements[0]}{at:02}"


class Who:
    """A person as NM1, N3, N4 and DMG tell of them, each with its number in the file."""

    __slots__ = ("born", "name", "numbers", "person", "place", "street")

    def __init__(self) -> None:
        self.name: Elements | None = None
        self.street: Elements | None = None
        self.place: Elements | None = None
        self.born: Elements | None = None
        self.numbers: dict[str, int] = {}
        self.person: dict[str, Any] | None = None
        """As it was made last; what is told of a person later makes it anew."""

    def take(self, number: int, elements: Elements) -> None:
        """NM1, N3, N4 or DMG."""
        self.person = None
        self.numbers[elements[0]] = number
        match elements[0]:
            case "NM1":
                self.name = elements
            case "N3":
                self.street = elements
            case "N4":
                self.place = elements
            case "DMG":
                self.born = elements

    def made(self, member_id: str, *, dependent: bool = False) -> dict[str, Any]:
        """The person. One without a number of their own is named by the family's, the day of birth and first name."""
        name = self.name
        if not member_id:
            missing = "NM109" if name else "NM1"
            raise BadCell("no_member_identifier", missing, "a person without a member number", "send it in NM1*IL")
        born = day(self.born, 2) if self.born else None
        given = name[4] if name else ""
        value = member_id
        if dependent:
            value = f"{member_id}/{born or ''}/{re.sub('[^A-Z]', '', given.upper())[:16]}"
        self.person = {
            "identifier": {"kind": "mbi" if _MBI.fullmatch(value) else "member_id", "value": value},
            "family_name": (name[3] or None) if name else None,
            "given_name": given or None,
            "birth_date": born,
            "address": (self.street[1] or None) if self.street else None,
            "postal_code": (self.place[3] or None) if self.place else None,
        }
        return self.person
