"""What the clauses of a period's settlement share: a contract's calendar, tiers of quality, steps in their order."""

from __future__ import annotations

from decimal import Decimal

from contracts.errors import NoTermInForce
from contracts.terms import DatedValue, TermSheet
from contracts.units import FOREVER

ONE = Decimal(1)


def within_model(sheet: TermSheet, initiated_on: str) -> None:
    """Refuse a day on which no episode could be initiated: 2023-07-01 to 2029-12-31."""
    first, last = sheet.on("initiation_first_on", FOREVER).value, sheet.on("initiation_last_on", FOREVER).value
    if not first <= initiated_on <= last:
        raise NoTermInForce(sheet.contract, "initiation", initiated_on)


def multiplier(term: DatedValue, aqs: Decimal) -> Decimal:
    """The factor of the highest tier whose least score the practice reached; tiers include their bounds."""
    tiers = (pair.split(":") for pair in term.value.split())
    return next(Decimal(factor) for least, factor in tiers if aqs >= Decimal(least))


def walk(steps: str, start: Decimal, stop: Decimal, factors: dict[str, Decimal]) -> tuple[Decimal, str]:
    """Apply the named steps in their order; the amount, and the arithmetic as one would write it."""
    amount, words = start, f"{start}"
    for step in steps.split():
        if step == "stop":
            amount, words = min(amount, stop), f"min({words}, {stop})"
        else:
            amount, words = amount * factors[step], f"{words} x {factors[step]}"
    return amount, f"{words} = {amount:.4f}"
