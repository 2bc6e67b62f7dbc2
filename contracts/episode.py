"""Episodes of care: when one starts and ends, its cancer type, and the practice it belongs to.

Rules follow OCM's Appendix A, whose structure EOM keeps, and EOM where it is public; each clause names its source.
An episode is found from evidence alone, so the order in which claims came does not matter to what it is.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from contracts.parts import Member, Ref
from contracts.units import FOREVER, add_days, add_months, months_of


@dataclass(frozen=True, slots=True)
class Calendar:
    """When a contract's episodes may begin, and how long they last."""

    first_on: str
    last_on: str
    months: int
    lookback_days: int

    def ends_on(self, start: str) -> str:
        """Six calendar months less a day, month ends clamped: 2024-08-31 -> 2025-02-27 (OCM Appendix A).

        Therapy before the contract's first day forms an episode that ends, at the latest, the day before it.
        """
        end = add_days(add_months(start, self.months), -1)
        return min(end, add_days(self.first_on, -1)) if start < self.first_on else end


@dataclass(frozen=True, slots=True)
class Visit:
    """A cancer-related evaluation-and-management visit: one practice, one day, one cancer type."""

    day: str
    practice: str
    cancer: str
    ref: Ref


@dataclass(frozen=True, slots=True)
class Service:
    """A billed service the contract pays by, such as a month of enhanced services."""

    day: str
    practice: str
    code: str
    key: str
    ref: Ref


@dataclass(slots=True)
class Window:
    """All evidence of one episode."""

    start: str
    end: str
    source: str = ""
    trigger_ref: Ref | None = None
    trigger_cancer: str = ""
    visits: list[Visit] = field(default_factory=list)
    drugs: set[str] = field(default_factory=set)
    filled: set[str] = field(default_factory=set)
    services: list[Service] = field(default_factory=list)
    cell_therapy: Ref | None = None


def triggers(member: Member, lookback_days: int, after: str) -> list[str]:
    """The days after `after` on which therapy could start an episode, in order (EOM 1.2).

    Every day of therapy billed to Part B; and a pharmacy fill's day, if a cancer diagnosis was billed on it or in
    the days before it.
    """
    head = member.head
    days = {day for day in head.therapy_days if day > after}
    for day in head.fills:
        if day > after and day not in days and diagnosed(member, day, lookback_days) is not None:
            days.add(day)
    return sorted(days)


def diagnosed(member: Member, fill: str, lookback_days: int) -> list[Any] | None:
    """The latest [cancer type, ref] diagnosed on a fill's day or in the days before it."""
    first = add_days(fill, -lookback_days)
    best_day, best_key, best = "", "", None
    for name in months_of(first, fill):
        if (month := member.months.get(name)) is None:
            continue
        for key, value in month.diagnoses.items():
            day = key[:10]
            if first <= day <= fill and (day > best_day or (day == best_day and key < best_key)):
                best_day, best_key, best = day, key, value
    return best


def chain(days: list[str], calendar: Calendar, after: str) -> list[str]:
    """The start days of consecutive episodes: the first trigger after `after`, then the first after each end.

    No drug-free gap is asked for; a trigger inside an open episode starts nothing; a void episode keeps its window.
    """
    starts: list[str] = []
    end = after
    index = 0
    while (index := bisect_right(days, end, index)) < len(days):
        starts.append(days[index])
        end = calendar.ends_on(days[index])
    return starts


def gather(member: Member, start: str, end: str, calendar: Calendar) -> Window:
    """The evidence from `start` to `end`, out of the member's months."""
    window = Window(start, end)
    first, last = start[:7], end[:7]
    seen: set[str] = set()
    opening: str | None = None
    for name in months_of(start, end):
        month = member.months.get(name)
        if month is None:
            continue
        inside = first < name < last
        for key, value in month.triggers.items():
            if inside or start <= key[:10] <= end:
                window.drugs.add(value[1])
                if key[:10] == start and (opening is None or key < opening):
                    opening = key
                    window.trigger_cancer, window.source, window.trigger_ref = value[0], value[2], value[3]
        for key, value in month.fills.items():
            if inside or start <= key[:10] <= end:
                window.filled.add(value[0])
                if key[:10] == start and (opening is None or key < opening):
                    found = diagnosed(member, start, calendar.lookback_days)
                    if found is not None:
                        opening = key
                        window.trigger_cancer, window.source, window.trigger_ref = found[0], "part_d", value[1]
        for key, ref in month.visits.items():
            if inside or start <= key[:10] <= end:
                day, practice, cancer, _ = key.split("|", 3)
                if (distinct := f"{day}|{practice}|{cancer}") not in seen:
                    seen.add(distinct)
                    window.visits.append(Visit(day, practice, cancer, ref))
        for key, value in month.services.items():
            if inside or start <= key[:10] <= end:
                day, practice, code, _ = key.split("|", 3)
                window.services.append(Service(day, practice, code, key, value[1]))
        for key, ref in month.cell_therapies.items():
            if inside or start <= key[:10] <= end:
                window.cell_therapy = ref
    return window


def spend_of(member: Member, start: str, end: str) -> list[int]:
    """What was spent from `start` to `end`, by the four amounts of `Month.spend`; cents."""
    total = [0, 0, 0, 0]
    for name in months_of(start, end):
        if (month := member.months.get(name)) is not None:
            for day, amounts in month.spend.items():
                if start <= day <= end:
                    for i, amount in enumerate(amounts):
                        total[i] += amount
    return total


def cancer_type(window: Window) -> str:
    """The type with most visits; ties by the latest visit, then the one before it, then the practice's last digit.

    Source: OCM Appendix A 1.6. Without a visit it is that of the therapy's claim.
    """
    if not window.visits:
        return window.trigger_cancer
    days: dict[str, list[str]] = {}
    for visit in window.visits:
        days.setdefault(visit.cancer, []).append(visit.day)
    if len(days) == 1:
        return next(iter(days))
    most = max(len(found) for found in days.values())
    tied = {cancer: sorted(found, reverse=True) for cancer, found in days.items() if len(found) == most}
    latest = max(tied.values())
    left = [cancer for cancer, found in tied.items() if found == latest]
    return min(left, key=lambda c: (min(v.practice[::-1] for v in window.visits if v.cancer == c), c))


def attribute(window: Window, share: Decimal) -> str:
    """The practice of the first visit if it has the share asked for of all visits, else the one with most.

    Ties: the latest visit, then the lowest last digit of the practice's number. '' without a visit.
    """
    if not window.visits:
        return ""
    days: dict[str, list[str]] = {}
    for visit in window.visits:
        days.setdefault(visit.practice, []).append(visit.day)
    if len(days) == 1:
        return next(iter(days))
    opening = min(visit.day for visit in window.visits)
    first = min(
        (practice for practice, found in days.items() if opening in found), key=lambda p: (-len(days[p]), p[::-1], p)
    )
    if len(days[first]) >= share * len(window.visits):
        return first
    most = max(len(found) for found in days.values())
    tied = {practice: max(found) for practice, found in days.items() if len(found) == most}
    latest = max(tied.values())
    return min((practice for practice, day in tied.items() if day == latest), key=lambda p: (p[::-1], p))


def at_risk_until(member: Member, end: str) -> str:
    """The last day on which eligibility must hold: the episode's end, or the day of death (it ends nothing else)."""
    return min(end, member.head.died_on or FOREVER)
