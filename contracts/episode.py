"""Episodes of care: when one starts and ends, its cancer type, and the practice it belongs to.

Rules follow OCM's Appendix A, whose structure EOM keeps, and EOM where it is public; each clause names its source.
An episode is found from evidence alone, so the order in which claims came does not matter to what it is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from contracts.parts import Member, Ref
from contracts.period import number_of
from contracts.units import FOREVER, add_days, add_months, months_of

WINDOWS_KEPT = 2
"""Of one member, in memory: facts come for the newest episode, and at times for the one before."""


NOT_RECONCILED = "other"
"""The type of cancers for which months are paid and no price is made (OCM); EOM has none."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """When a contract's episodes may begin, and how long they last."""

    first_on: str
    last_on: str
    months: int
    lookback_days: int
    shift_days: int = 0
    _ends: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    _periods: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def ends_on(self, start: str) -> str:
        """Six calendar months less a day, month ends clamped: 2024-08-31 -> 2025-02-27 (OCM Appendix A).

        Therapy before the contract's first day forms an episode that ends, at the latest, the day before it.
        """
        end = self._ends.get(start)
        if end is None:
            end = add_days(add_months(start, self.months), -1)
            if start < self.first_on:
                end = min(end, add_days(self.first_on, -1))
            self._ends[start] = end  # as many as there are days of therapy
        return end

    def period_of(self, start: str) -> int:
        """The performance period of a day of initiation, the first being 1; 0 before the contract's first day."""
        number = self._periods.get(start)
        if number is None:
            number = self._periods[start] = number_of(self.first_on, self.shift_days, start)
        return number


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
    """All evidence of one episode, counted so that one more piece, or one less, costs the same however many there are.

    `opening` are the first day's therapies and fills as `Month` keeps them; the least key is the one that opens.
    `visits` are distinct by day, practice and cancer type, each with the claims that say so. `telling` says whether
    something changed since the last judgement that a judgement may look at: which drug classes there are, whether
    there are visits, and to whom and for what once there are several to choose from; never how many of the same.
    """

    start: str
    end: str
    opening: dict[str, Sequence[Any]] = field(default_factory=dict)
    drugs: dict[str, int] = field(default_factory=dict)
    filled: dict[str, int] = field(default_factory=dict)
    visits: dict[tuple[str, str, str], dict[str, Ref]] = field(default_factory=dict)
    practices: dict[str, int] = field(default_factory=dict)
    cancers: dict[str, int] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    cell_therapies: dict[str, Ref] = field(default_factory=dict)
    telling: bool = True

    def note(self, bucket: str, key: str, value: Any, come: bool) -> None:
        """One piece of evidence within the window came to count, or ceased to."""
        match bucket:
            case "triggers":
                if _tally(self.drugs, value[1], come) or key.startswith(self.start):
                    self._opens(key, value, come)
            case "fills":
                if _tally(self.filled, value[0], come) or key.startswith(self.start):
                    self._opens(key, value, come)
            case "visits":
                self._visit(key, value, come)
            case "services":
                self.telling = True
                if come:
                    day, practice, code, _ = key.split("|", 3)
                    self.services[key] = Service(day, practice, code, key, value[1])
                else:
                    del self.services[key]
            case "cell_therapies":
                self.telling = True
                _hold(self.cell_therapies, key, value, come)

    def _opens(self, key: str, value: Sequence[Any], come: bool) -> None:
        self.telling = True
        if key.startswith(self.start):
            _hold(self.opening, key, value, come)

    def _visit(self, key: str, ref: Ref, come: bool) -> None:
        day, practice, cancer, claim = key.split("|", 3)
        visit = (day, practice, cancer)
        claims = self.visits.get(visit)
        if claims is None:
            claims = self.visits[visit] = {}
            self._weigh(practice, cancer, True)
        _hold(claims, claim, ref, come)
        if not claims:
            del self.visits[visit]
            self._weigh(practice, cancer, False)

    def _weigh(self, practice: str, cancer: str, come: bool) -> None:
        other_practice = _tally(self.practices, practice, come)
        other_cancer = _tally(self.cancers, cancer, come)
        if other_practice or other_cancer or len(self.practices) > 1 or len(self.cancers) > 1:
            self.telling = True

    @property
    def opened_by(self) -> tuple[str, Ref]:
        """(source, fact) of the therapy that opens the episode."""
        value = self.opening[min(self.opening)]
        return (value[2], value[3]) if len(value) > 2 else ("part_d", value[1])

    @property
    def first_visit(self) -> Visit:
        """The first visit; there must be one."""
        visit = min(self.visits)
        claims = self.visits[visit]
        return Visit(*visit, claims[min(claims)])


def _tally(counts: dict[str, int], name: str, come: bool) -> bool:
    """Count one more or one less; whether the name came or went with it."""
    count = counts.get(name, 0) + (1 if come else -1)
    if count:
        counts[name] = count
    else:
        del counts[name]
    return count == (1 if come else 0)


def _hold(held: dict[str, Any], key: str, value: Any, come: bool) -> None:
    if come:
        held[key] = value
    else:
        del held[key]


def chain(member: Member, calendar: Calendar, after: str) -> list[str]:
    """The start days of consecutive episodes: the first trigger after `after`, then the first after each end.

    A trigger is a day of therapy billed to Part B, or a pharmacy fill's day with a cancer diagnosis billed on it or in
    the days before it (EOM 1.2). No drug-free gap is asked for; a void episode keeps its window.
    """
    therapy, fills = member.head.therapy_days, member.head.fills
    days = sorted({day for days in (therapy, fills) for day in days if day > after})
    starts: list[str] = []
    passed = after
    index = 0
    while (index := bisect_right(days, passed, index)) < len(days):
        passed = day = days[index]
        if day in therapy or diagnosed(member, day, calendar.lookback_days) is not None:
            starts.append(day)
            passed = calendar.ends_on(day)
    return starts


def shifts(member: Member, calendar: Calendar, day: str, come: bool) -> bool:
    """Whether episodes may begin on other days once a trigger came to a day, or left it.

    One that came inside an episode starts nothing, and one that left takes nothing away unless it started an episode.
    """
    starts = member.head.episodes
    if not come:
        return day in starts
    index = bisect_right(starts, day) - 1
    return index < 0 or calendar.ends_on(starts[index]) < day


def diagnosed(member: Member, fill: str, lookback_days: int) -> Sequence[Any] | None:
    """The latest (cancer type, ref) diagnosed on a fill's day or in the days before it."""
    first = add_days(fill, -lookback_days)
    best_day, best_key, best = "", "", None
    for name in months_of(first, fill):
        if (month := member.month(name)) is None:
            continue
        for key, value in month.diagnoses.items():
            day = key[:10]
            if first <= day <= fill and (day > best_day or (day == best_day and key < best_key)):
                best_day, best_key, best = day, key, value
    return best


def window_of(member: Member, start: str, end: str) -> Window:
    """The evidence from `start` to `end`: as kept with the member and brought up to date by each fact, or gathered."""
    windows: dict[str, Window] = member.windows
    window = windows.get(start)
    if window is None or window.end != end:
        while len(windows) >= WINDOWS_KEPT:
            del windows[next(iter(windows))]
        window = windows[start] = gather(member, start, end)
    return window


def gather(member: Member, start: str, end: str) -> Window:
    """The evidence from `start` to `end`, out of the member's months."""
    window = Window(start, end)
    first, last = start[:7], end[:7]
    for name in months_of(start, end):
        if (month := member.month(name)) is None:
            continue
        whole = first < name < last
        for bucket, evidence in (
            ("triggers", month.triggers),
            ("fills", month.fills),
            ("visits", month.visits),
            ("services", month.services),
            ("cell_therapies", month.cell_therapies),
        ):
            for key, value in evidence.items():
                if whole or start <= key[:10] <= end:
                    window.note(bucket, key, value, True)
    return window


def spend_of(member: Member, start: str, end: str) -> list[int]:
    """What was spent from `start` to `end`, by the four amounts of `Month.spend`; cents."""
    total = [0, 0, 0, 0]
    for name in months_of(start, end):
        if (month := member.month(name)) is not None:
            for day, amounts in month.spend.items():
                if start <= day <= end:
                    for i, amount in enumerate(amounts):
                        total[i] += amount
    return total


def cancer_type(member: Member, window: Window, lookback_days: int) -> str:
    """The type with most visits; ties by the latest visit, then the one before it, then a type that is reconciled, then
    the practice's last digit.

    Source: OCM Appendix A 1.6. Without a visit it is that of the therapy's claim, or of what its fill looks back to.
    """
    if not window.visits:
        value = window.opening[min(window.opening)]
        if len(value) > 2:
            return str(value[0])
        found = diagnosed(member, window.start, lookback_days)
        return str(found[0]) if found else ""
    if len(window.cancers) == 1:
        return next(iter(window.cancers))
    most = max(window.cancers.values())
    tied = {cancer: _days(window, 2, cancer) for cancer, count in window.cancers.items() if count == most}
    latest = max(tied.values())
    left = [cancer for cancer, found in tied.items() if found == latest]
    left = [cancer for cancer in left if cancer != NOT_RECONCILED] or left
    return min(left, key=lambda c: (min(practice[::-1] for _, practice, cancer in window.visits if cancer == c), c))


def _days(window: Window, part: int, name: str) -> list[str]:
    """The days of the visits with `name` at `part` (1 practice, 2 cancer type), the latest first."""
    return sorted((visit[0] for visit in window.visits if visit[part] == name), reverse=True)


def attribute(window: Window, share: Decimal) -> str:
    """The practice of the first visit if it has the share asked for of all visits, else the one with most.

    Ties: the latest visit, then the lowest last digit of the practice's number. '' without a visit.
    """
    counts = window.practices
    if len(counts) <= 1:
        return next(iter(counts), "")
    opening = min(window.visits)[0]
    seen_first = {practice for day, practice, _ in window.visits if day == opening}
    first = min(seen_first, key=lambda p: (-counts[p], p[::-1], p))
    if counts[first] >= share * len(window.visits):
        return first
    most = max(counts.values())
    tied = {practice: _days(window, 1, practice)[0] for practice, count in counts.items() if count == most}
    latest = max(tied.values())
    return min((practice for practice, day in tied.items() if day == latest), key=lambda p: (p[::-1], p))


def at_risk_until(member: Member, end: str) -> str:
    """The last day on which eligibility must hold: the episode's end, or the day of death (it ends nothing else)."""
    return min(end, member.head.died_on or FOREVER)
