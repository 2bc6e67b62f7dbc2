"""Cells of tables: days, exact amounts, counts. What is malformed raises `BadCell` with its column, never its value."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal

_AMOUNT = re.compile(r"-?[0-9]{1,10}(\.[0-9]{1,20})?")
_FLOAT_DUST = Decimal("1e-6")
_NUMBER = re.compile(r"-?[0-9]{1,10}(\.[0-9]{1,4}0*)?")
_COMPACT = re.compile(r"[0-9]{8}")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Row = dict[str, str]


class BadCell(Exception):
    """A cell that cannot be read: what it should be, and where."""

    def __init__(self, code: str, column: str, reason: str, remedy: str) -> None:
        super().__init__(f"{column}: {reason}")
        self.code, self.column, self.reason, self.remedy = code, column, reason, remedy


def day(row: Row, column: str) -> date | None:
    """YYYYMMDD or YYYY-MM-DD; None when empty."""
    text = row.get(column, "").strip()
    if not text:
        return None
    if _COMPACT.fullmatch(text) or _ISO.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise BadCell("not_a_date", column, "a date that is not a date", "send an existing day as YYYY-MM-DD or YYYYMMDD")


def needed_day(row: Row, column: str) -> date:
    """A day that must be there."""
    if (found := day(row, column)) is None:
        raise BadCell("no_date", column, "a row without its date", "send the day of service")
    return found


def cents(row: Row, column: str) -> int | None:
    """Dollars as cents: 12.50 is 1250, -0.05 is -5; None when empty.

    1018.0999999999999 is 1018.10 as a sender's binary floats print it and is read so; 12.345 is no amount of cents.
    """
    text = row.get(column, "").strip()
    if not text:
        return None
    if _AMOUNT.fullmatch(text):
        exact = Decimal(text).scaleb(2)
        if abs(exact - (found := exact.to_integral_value())) < _FLOAT_DUST:
            return int(found)
    raise BadCell("not_money", column, "an amount that is not money", "send dollars with at most two decimals")


def number(row: Row, column: str) -> Decimal | None:
    """A count with at most four decimals; None when empty."""
    text = row.get(column, "").strip()
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise BadCell("schema", column, "a number that is not a number", "send digits with at most four decimals")
    return Decimal(text).normalize()


def whole(row: Row, column: str) -> int | None:
    """A whole number; None when empty."""
    found = number(row, column)
    if found is None:
        return None
    if found != int(found):
        raise BadCell("schema", column, "a number that is not whole", "send a whole number")
    return int(found)


def text(row: Row, column: str) -> str | None:
    """Text without its outer blanks; None when empty."""
    return row.get(column, "").strip() or None


def many(row: Row, stem: str, count: int) -> list[str]:
    """The filled cells among `stem`1 to `stem`count, in order."""
    return [value for i in range(1, count + 1) if (value := row[f"{stem}{i}"].strip())]
