"""What changed between two term sheets, or between a contract's terms on two days: each changed term, and the day."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from contracts.terms import read_sheet, whole

SAID = ("label", "unit", "dated_by", "source", "status")


@dataclass(frozen=True, slots=True)
class Difference:
    """A term's value from a day on ('' in force on no particular day), or what is said of it, before and after.

    None is absence: the term, or its value on that day, is not there.
    """

    term: str
    day: str
    what: str
    before: str | None
    after: str | None

    def document(self) -> dict[str, str | None]:
        """The difference as JSON shows it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: the terms of a sheet, and the day on which they are looked at, '' for all days."""

    terms: dict[str, Any]
    day: str = ""

    def value(self, term: str, day: str) -> str | None:
        """The value in force on a day."""
        values = self.terms.get(term, {}).get("values", [])
        index = bisect_right([_text(v["from"]) for v in values], self.day or day) - 1
        return _text(values[index]["value"]) if index >= 0 else None

    def days(self, term: str) -> set[str]:
        """The days on which a value of the term begins."""
        return {_text(v["from"]) for v in self.terms.get(term, {}).get("values", [])}


def read_side(text: str) -> dict[str, Any]:
    """The terms of a sheet as it is written; raises `tomllib.TOMLDecodeError`."""
    content = whole(read_sheet(text))
    return {name: term for name, term in content.items() if name != "sheet" and isinstance(term, dict)}


def differences(before: Side, after: Side) -> list[Difference]:
    """In the order of the terms of the one after, then those that are gone; days in order."""
    found: list[Difference] = []
    names = [*after.terms, *(name for name in before.terms if name not in after.terms)]
    for name in names:
        if name not in before.terms or name not in after.terms:
            what = "term added" if name in after.terms else "term dropped"
            found.append(Difference(name, "", what, _label(before, name), _label(after, name)))
        found += _values(before, after, name)
        if name in before.terms and name in after.terms:
            found += _said(before.terms[name], after.terms[name], name)
    return found


def _values(before: Side, after: Side, name: str) -> list[Difference]:
    """Each day from which the two differ, until they agree again or one of them changes."""
    days = {max(before.day, after.day)} if before.day or after.day else before.days(name) | after.days(name)
    pairs = [(day, before.value(name, day), after.value(name, day)) for day in sorted(days)]
    return [Difference(name, day, "value", old, new) for day, old, new in pairs if old != new]


def _said(before: dict[str, Any], after: dict[str, Any], name: str) -> list[Difference]:
    pairs = [(key, before.get(key), after.get(key)) for key in SAID]
    return [Difference(name, "", key, _or_none(old), _or_none(new)) for key, old, new in pairs if old != new]


def _label(side: Side, name: str) -> str | None:
    return _or_none(side.terms[name].get("label")) if name in side.terms else None


def _or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
