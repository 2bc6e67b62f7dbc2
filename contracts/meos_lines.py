"""Every billed month of enhanced services, and whether it is owed: the first reason found is the one given (EOM 2)."""

from __future__ import annotations

from collections.abc import Sequence

from contracts import coverage
from contracts.cases import MonthlyLine
from contracts.clauses import Due, Judgement
from contracts.episode import Window
from contracts.parts import Adoption, Member
from contracts.units import FOREVER, add_days

OWED = "owed"
DISPOSITIONS = (
    OWED, "no_episode", "episode_void", "episode_excluded", "other_practice", "after_death", "not_taking_part",
    "in_hospice", "second_in_month", "beyond_most_months",
)  # fmt: skip
"""What may become of a line, in the order in which reasons are looked for."""


def monthly_lines(
    member: Member,
    window: Window | None,
    judgement: Judgement | None,
    practice: str,
    dues: Sequence[Due],
    adoption: Adoption,
    outside: Sequence[str] = (),
) -> list[MonthlyLine]:
    """The lines within an episode's window, or those `outside` any, by day.

    Seven months billed in an episode of six: the seventh is `beyond_most_months`.
    """
    found = []
    for key in sorted(outside if window is None else window.services):
        day, billed_by, *_ = key.split("|", 3)
        month = member.month(day[:7])
        assert month is not None, "the key was found in it"
        paid, ref = month.services[key]
        if window is None or judgement is None:
            why = "no_episode"
        else:
            why = _why_not(member, judgement, practice, day, billed_by, adoption) or _of_month(dues, key, day)
        found.append(MonthlyLine(day, billed_by, paid, why, ref, member.partition))
    return found


def _why_not(member: Member, judgement: Judgement, practice: str, day: str, billed_by: str, adoption: Adoption) -> str:
    if judgement.status != "valid":
        return "episode_void"
    if judgement.exclusion:
        return "episode_excluded"
    if billed_by != practice:
        return "other_practice"
    if day > (member.head.died_on or FOREVER):
        return "after_death"
    if coverage.on(adoption.practices.get(billed_by), day) is None:
        return "not_taking_part"
    hospice = member.head.coverage.get("hospice")
    if hospice is not None and not coverage.throughout(hospice, add_days(day, -1), day):
        return "in_hospice"
    return ""


def _of_month(dues: Sequence[Due], key: str, day: str) -> str:
    """The line a month's payment rests on, one beside it, or one of a month that is not paid any more."""
    due = next((due for due in dues if due.period == day[:7]), None)
    if due is None:
        return "beyond_most_months"
    return OWED if due.basis == key else "second_in_month"
