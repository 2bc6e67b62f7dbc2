"""A period of settlement: half a year of initiations, and when each run of its reconciliation is due."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.terms import TermSheet
from contracts.units import FOREVER, add_days, add_months

SHIFT = "period_shift_days"
"""A term that only a model has whose periods are not the half-years."""


@dataclass(frozen=True, slots=True)
class Period:
    """A performance period: its number, its days of initiation, and when a run of its reconciliation is due."""

    number: int
    first_on: str
    last_on: str
    over_on: str
    due_on: str

    @classmethod
    def of(cls, sheet: TermSheet, number: int, run: str) -> Period:
        """Half-years from the model's first day (EOM 1.1); due so many months after the last episode may end."""
        half = _half(sheet, number)
        first = _first_on(sheet, number)
        over = add_days(add_months(half, 12), -1)
        if run == "initial":
            months = sheet.on("reconciliation_initial_months", first)
        else:
            months = sheet.on("reconciliation_true_up_months", first)
        last = add_days(_first_on(sheet, number + 1), -1)
        return cls(number, first, last, over, add_months(over, int(months.number)))


def _half(sheet: TermSheet, number: int) -> str:
    """The first day of the half-year, from the model's first day."""
    return add_months(sheet.on("initiation_first_on", FOREVER).value, 6 * (number - 1))


def _first_on(sheet: TermSheet, number: int) -> str:
    """The first day of initiations. OCM's periods after the first begin a day after the half-year (EOM 1.1)."""
    half = _half(sheet, number)
    return add_days(half, shift_days(sheet)) if number > 1 else half


def shift_days(sheet: TermSheet) -> int:
    """By how many days each period after the first begins later than its half-year."""
    return int(sheet.on(SHIFT, FOREVER).number) if SHIFT in sheet.content["terms"] else 0


def period_of(sheet: TermSheet, day: str) -> int:
    """The period of a day of initiation, the first being 1; 0 before the model's first day."""
    return number_of(sheet.on("initiation_first_on", FOREVER).value, shift_days(sheet), day)


def number_of(first_on: str, shift: int, day: str) -> int:
    """The same by a model's first day and shift: OCM's 2017-01-01 is of period 1, 2017-01-02 of period 2."""
    if day < first_on:
        return 0
    months = (int(day[:4]) - int(first_on[:4])) * 12 + int(day[5:7]) - int(first_on[5:7])
    number = months // 6 + 1
    begins = add_days(add_months(first_on, 6 * (number - 1)), shift)
    return number - 1 if number > 1 and day < begins else number
