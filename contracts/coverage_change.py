"""What becomes of an episode whose coverage ends in it, by the losing contract's own rule (outcome rules C.5).

`exclude`: it does not count. `truncate_prorate`: it counts to its last covered day, if there are enough of them, and is
expected to cost its target x covered days / its days. `run_out_paid_by_old_payer`: it counts whole, for the payer that
began the course of treatment pays it to its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from contracts.units import add_days, days_between

EXCLUDE, TRUNCATE, RUN_OUT = "exclude", "truncate_prorate", "run_out_paid_by_old_payer"
RULES = (EXCLUDE, TRUNCATE, RUN_OUT)


@dataclass(frozen=True, slots=True)
class Change:
    """Whether an episode still counts, through which day, and what part of its target is expected of it."""

    counts: bool
    through_on: str
    part: Fraction


def after(rule: str, floor_days: int, started_on: str, ends_on: str, lost_on: str) -> Change:
    """Coverage of an episode of 1 January to 30 June (181 days) lost on 2 March leaves 60 days: 60/181 of the target.

    `lost_on` is the first day not covered. With a floor of 60 a day fewer does not count.
    """
    assert rule in RULES, rule
    if rule == RUN_OUT:
        return Change(lost_on > started_on, ends_on, Fraction(1))
    covered, days = days_between(started_on, lost_on), days_between(started_on, ends_on) + 1
    if rule == EXCLUDE or covered < floor_days:
        return Change(False, add_days(lost_on, -1), Fraction(0))
    return Change(True, add_days(lost_on, -1), Fraction(covered, days))
