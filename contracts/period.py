"""A period of settlement: half a year of initiations, and when each run of its reconciliation is due."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.terms import TermSheet
from contracts.units import FOREVER, add_days, add_months


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
        first = add_months(sheet.on("initiation_first_on", FOREVER).value, 6 * (number - 1))
        over = add_days(add_months(first, 12), -1)
        if run == "initial":
            months = sheet.on("reconciliation_initial_months", first)
        else:
            months = sheet.on("reconciliation_true_up_months", first)
        return cls(number, first, add_days(add_months(first, 6), -1), over, add_months(over, int(months.number)))
