"""Return to work by `rtw-def/1`: one person's absence after a course of treatment began, and what became of it.

Modelled: the day absence began, baseline hours, the work fraction w(d), full and partial returns by the order of the
evidence, whether a return held 28 and 90 days, lapses, competing causes, conflicts of evidence. Left out: an operator's
decision of a conflict (a corrected record settles it), ePRO answers as corroboration, days of work other than Monday to
Friday: a schedule says hours a week, and a fifth of them falls on each of these.

Nothing here knows a clock. `trace` reads all evidence of one course; `Trace.at` says what is known once a day has
closed, and the next day whose close will say more. Days are ISO strings outside, ordinals inside; hours are integers
of ten-thousandths, fractions are compared exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import Any

from contracts.parts import Employment, Ref, WorkMonth
from contracts.return_to_work import CENSORED, DIED, EXITED, RETURNED
from contracts.terms import TermSheet

BONUS = "RTW_BONUS"
BASELINE_WEEKS, WEEK = 8, 7
WATCH_BACK, WATCH_AHEAD = 100, 1_030
"""Days before and after the day treatment began whose evidence may matter; the fold loads these."""

WORKED = frozenset({"worked", "paid_time_off", "holiday"})
FULL_REPORTS = frozenset({"full", "full_modified"})
PARTIAL_REPORTS = frozenset({"partial_hours", "modified_duty"})
SOURCES = ("payroll", "carrier", "leave_administrator", "hris", "epro")
"""In the order of the evidence; hours worked come before them all."""

NOT_EMPLOYEES = frozenset({"dependent", "retiree", "cobra"})
LAST = date.max.toordinal()


@lru_cache(maxsize=65_536)
def number(day: str) -> int:
    """A day as its ordinal."""
    return date.fromisoformat(day).toordinal()


@lru_cache(maxsize=65_536)
def iso(day: int) -> str:
    """An ordinal as its day."""
    return date.fromordinal(day).isoformat()


@dataclass(frozen=True, slots=True)
class Definition:
    """The dated values of `rtw-def/1` that a course is followed by, as in force when it began."""

    version: str
    before_days: int
    after_days: int
    spell_days: int
    partial: Decimal
    full: Decimal
    held_days: int
    strict_days: int
    feed_lag_days: int
    low_days: int
    absent_days: int
    treatment_days: int
    conflict_days: int
    followed_days: int
    lapse_days: int
    counted: frozenset[str]
    censors: frozenset[str]
    ages: tuple[int, int]

    @classmethod
    def on(cls, sheet: TermSheet, index: str) -> Definition:
        """The definition in force on the day a course of treatment began."""

        def days(name: str) -> int:
            return int(sheet.on(name, index).number)

        def codes(name: str) -> frozenset[str]:
            return frozenset(sheet.on(name, index).value.split())

        return cls(
            sheet.on("return_to_work_definition", index).value,
            days("absence_window_before_days"),
            days("absence_window_after_days"),
            days("absence_least_days"),
            sheet.on("return_partial_share", index).number,
            sheet.on("return_full_share", index).number,
            days("return_sustained_days"),
            days("return_strict_days"),
            days("return_feed_lag_days"),
            days("return_low_days"),
            days("return_absent_days"),
            days("return_treatment_days"),
            days("return_conflict_days"),
            days("return_followed_days"),
            days("bonus_lapse_days"),
            codes("return_duty_counted"),
            codes("return_censoring_reasons"),
            (days("return_least_age"), days("return_most_age")),
        )

    def fits(self) -> bool:
        """Whether the days this definition asks about are those the fold loads."""
        back = max(self.before_days, 0) + BASELINE_WEEKS * WEEK + 2 * WEEK
        ahead = self.after_days + self.followed_days + self.lapse_days + self.low_days + self.feed_lag_days
        return back <= WATCH_BACK and ahead <= WATCH_AHEAD and self.strict_days <= self.lapse_days


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one person's return once a day has closed.

    `status`: none, absent, observed, sustained, lapsed, died, exited or censored. `ended_on` is the day of the
    competing cause; `held_days` 0, 28 or 90. Days are '' where there is none. `next_on` is the next day whose close
    changes something without any new fact.
    """

    status: str = "none"
    cause: int = CENSORED
    absence_on: str = ""
    partial_on: str = ""
    returned_on: str = ""
    confirmed_on: str = ""
    held_days: int = 0
    lapsed_on: str = ""
    ended_on: str = ""
    duty: str = ""
    conflict: bool = False
    next_on: str = ""

    def said(self) -> list[Any]:
        """All of it but the next day, in order: what a version of it keeps."""
        return [
            self.status, self.cause, self.absence_on, self.partial_on, self.returned_on, self.confirmed_on,
            self.held_days, self.lapsed_on, self.ended_on, self.duty, self.conflict,
        ]  # fmt: skip

    def observation(self, cut: str) -> tuple[int, int]:
        """(days since absence began, cause) for the estimator: what is not confirmed by the cut is censored.

        A return that was seen and is not confirmed is censored at its first day.
        """
        at = {"observed": self.returned_on, "sustained": self.returned_on}.get(self.status, self.ended_on) or cut
        return number(at) - number(self.absence_on), self.cause


@dataclass(frozen=True, slots=True)
class Ended:
    """A competing cause: its day, and what the person's status is from then on."""

    on: int
    cause: int
    status: str


@dataclass(frozen=True, slots=True)
class Run:
    """A return seen: its first day, what says so, whether the first two sources are too far apart; and its break.

    A run breaks on the day a rule of breaking is met, and that is known from `known`; LAST when it does not. From
    `again` on another return is looked for.
    """

    on: int
    evidence: tuple[tuple[Ref, str], ...]
    conflict: bool
    broken: int = LAST
    known: int = LAST
    again: int = LAST


@dataclass(slots=True)
class Trace:
    """All evidence of one course of treatment, by day, and what follows from it."""

    definition: Definition
    index: int
    window: tuple[int, int]
    worked: dict[int, int] = field(default_factory=dict)
    treated: dict[int, int] = field(default_factory=dict)
    leave: dict[int, Ref] = field(default_factory=dict)
    hours_refs: dict[int, Ref] = field(default_factory=dict)
    spans: list[tuple[int, int, Ref, str]] = field(default_factory=list)
    schedules: list[tuple[int, int, Ref]] = field(default_factory=list)
    reports: list[tuple[int, str, str, bool, Ref]] = field(default_factory=list)
    claims: list[tuple[int, Ref]] = field(default_factory=list)
    ends: list[Ended] = field(default_factory=list)
    statuses: list[tuple[int, str]] = field(default_factory=list)
    absence: int = 0
    absence_ref: Ref | None = None
    baseline: tuple[int, int] = (0, 0)
    before: str = ""
    full_runs: list[Run] = field(default_factory=list)
    partial_runs: list[Run] = field(default_factory=list)

    # -- days ------------------------------------------------------------------------------------------------------

    def weekly(self, day: int) -> int:
        """Scheduled hours a week in force on a day, in ten-thousandths."""
        hours = 0
        for start, weekly, _ in self.schedules:
            if start > day:
                break
            hours = weekly
        return hours

    def scheduled(self, day: int) -> bool:
        """Whether a day is one of work: Monday to Friday, under a schedule of some hours."""
        return (day + 6) % 7 < 5 and self.weekly(day) > 0

    def spared(self, day: int) -> bool:
        """Whether leave for treatment on a day is within the days a week that break nothing."""
        monday = day - (day + 6) % 7
        return sum(d in self.treated for d in range(monday, day + 1)) <= self.definition.treatment_days

    def away(self, day: int, after: int = 0) -> Ref | None:
        """What says that nothing of a scheduled day was worked; None when nothing does.

        Leaves and claims that began before `after`, the first day of a return, say nothing of days after it.
        """
        if self.worked.get(day, 0) > 0:
            return None
        if day in self.treated:
            return None if self.spared(day) else self.hours_refs[day]
        if day in self.leave:
            return self.leave[day]
        return next((ref for start, end, ref, _ in self.spans if start <= day <= end and start > after), None)

    def hours_of(self, day: int, spare: bool = False) -> int:
        """Hours worked on a day; with those of treatment that break nothing if `spare`."""
        hours = self.worked.get(day, 0)
        return hours + self.treated[day] if spare and day in self.treated and self.spared(day) else hours

    def week(self, day: int, spare: bool = False) -> int:
        """Hours in the seven days that end on a day."""
        return sum(self.hours_of(d, spare) for d in range(day - 6, day + 1))

    def least(self, share: Decimal) -> int:
        """The fewest hours in a week that are a share of the baseline, exactly; LAST without a baseline.

        Of 40 hours, in ten-thousandths: 0.95 x 400,000 = 380,000.
        """
        over, under = self.baseline
        return ceil(Fraction(share) * over / under) if over else LAST

    def restricted(self, day: int) -> bool:
        """Whether the last report of a return by that day names a restriction."""
        found = False
        for on, _, _, restrictions, _ in self.reports:
            if on > day:
                break
            found = restrictions
        return found

    # -- absence ---------------------------------------------------------------------------------------------------

    def find_absence(self) -> None:
        """The first scheduled day missed, in the window, of a spell that lasts and began no sooner."""
        d = self.definition
        signs = [*self.leave, *self.treated, *(start for start, *_ in self.spans)]
        for day in range(max(self.window[0], min(signs, default=LAST)), self.window[1] + 1):
            if not self.scheduled(day) or (ref := self.away(day)) is None:
                continue
            before = next((x for x in range(day - 1, day - 1 - WEEK, -1) if self.scheduled(x)), 0)
            if before and self.away(before) is not None:
                continue
            days = [x for x in range(day, day + d.spell_days) if self.scheduled(x)]
            if all(self.away(x) is not None for x in days):
                self.absence, self.absence_ref = day, ref
                self.baseline = self.baseline_hours(day)
                return

    def baseline_hours(self, absence: int) -> tuple[int, int]:
        """(hours, weeks): the mean of weekly hours scheduled in the eight weeks before absence began.

        Six weeks of 40 hours, one of leave and one without a schedule: (240, 6), that is 40 a week. Each is counted
        five times, once for each day of work.
        """
        total = weeks = 0
        for week in range(1, BASELINE_WEEKS + 1):
            days = [x for x in range(absence - WEEK * week, absence - WEEK * (week - 1)) if (x + 6) % 7 < 5]
            if any(self.weekly(x) == 0 for x in days) or any(self.away(x) is not None for x in days):
                continue
            total += sum(self.weekly(x) for x in days)
            weeks += 1
        return total, weeks * 5

    # -- returns ---------------------------------------------------------------------------------------------------

    def runs(self, share: Decimal, full: bool) -> Iterator[Run]:
        """The returns after absence began, each with its break; after one broke the next is looked for."""
        start, last = self.absence + self.definition.spell_days, self.absence + self.definition.followed_days
        while start <= last:
            run = self.first_run(start, last, share, full)
            if run is None:
                return
            run = self.break_of(run, share)
            yield run
            if run.broken == LAST:
                return
            start = run.again

    def first_run(self, start: int, last: int, share: Decimal, full: bool) -> Run | None:
        """The first day of a return by the first source that has one: hours worked, then reports in their order."""
        found: list[tuple[int, Ref, str, bool]] = []
        hours: list[tuple[Ref, str]] = []
        worked = self.by_hours(start, last, share, full)
        if worked is not None:
            words = f"{self.week(worked) / 10_000:g} hours worked in the week that ends {iso(worked)}"
            found.append((worked, self.hours_refs[worked], words, True))
            hours = [(self.hours_refs[d], f"hours on {iso(d)}") for d in range(worked - 6, worked) if d in self.worked]
        own = FULL_REPORTS if full else PARTIAL_REPORTS
        for source in SOURCES:
            told = (r for r in self.reports if r[1] == source and start <= r[0] <= last and self.tells(r, full))
            for on, _, duty, _, ref in told:
                found.append((on, ref, f"{source} reports a return on {iso(on)} ({duty})", duty in own))
                break
        if not found:
            return None
        first_two = found[:2]
        apart = abs(first_two[0][0] - first_two[-1][0]) > self.definition.conflict_days
        evidence = (*((ref, words) for _, ref, words, _ in found), *hours)
        return Run(found[0][0], evidence, apart and all(of_its_kind for *_, of_its_kind in first_two))

    def tells(self, report: tuple[int, str, str, bool, Ref], full: bool) -> bool:
        """Whether a report is of a return that counts: as the contract names duties for a full one."""
        _, _, duty, restricted, _ = report
        if duty in FULL_REPORTS:
            held = "full_modified" if restricted or duty == "full_modified" else "full"
            return not full or held in self.definition.counted
        return not full and duty in PARTIAL_REPORTS

    def by_hours(self, start: int, last: int, share: Decimal, full: bool) -> int | None:
        """The first day on which the work fraction reaches a share."""
        modified, least = not full or "full_modified" in self.definition.counted, self.least(share)
        for day in sorted(day for day in self.worked if start <= day <= last):
            if self.week(day) >= least and (modified or not self.restricted(day)):
                return day
        return None

    def break_of(self, run: Run, share: Decimal) -> Run:
        """The first day on which a rule of breaking is met: days missed, hours too low, disability again."""
        d, breaks = self.definition, list[tuple[int, int, int]]()
        missed = low = 0
        least, week = self.least(share), self.week(run.on, spare=True)
        metered = self.baseline[0] > 0 and any(day >= run.on for day in self.hours_refs)
        for day in range(run.on + 1, run.on + d.lapse_days + 1):
            if self.scheduled(day):
                missed = missed + 1 if self.away(day, run.on) is not None else 0
                if missed == d.absent_days:
                    breaks.append((day, day, day + 1))
            week += self.hours_of(day, spare=True) - self.hours_of(day - WEEK, spare=True)
            low = low + 1 if metered and week < least else 0
            if low == d.low_days:
                breaks.append((day, day + d.feed_lag_days, day + 1))
            if breaks:
                break
        breaks += [(on, on, on + WEEK) for on, _ in self.claims if run.on < on <= run.on + d.lapse_days]
        if not breaks:
            return run
        broken, known, again = min(breaks)
        return replace(run, broken=broken, known=known, again=again)

    # -- what is known ---------------------------------------------------------------------------------------------

    def at(self, closed_through: str) -> Standing:
        """What is known once a day has closed."""
        cut = number(closed_through) if closed_through else 0
        d, waits = self.definition, set[int]()
        if not self.absence:
            return Standing()
        seen = self.absence + d.spell_days - 1
        if seen > cut:
            return Standing(next_on=iso(seen))
        last = self.absence + d.followed_days
        ended = next((end for end in self.ends if self.absence <= end.on <= min(cut, last)), None)
        full = self.known(self.full_runs, cut, ended, waits)
        partial = self.known(self.partial_runs, cut, ended, waits)
        if {full.status, partial.status} & {"absent", "observed", "lapsed"}:
            waits |= {last, *(end.on for end in self.ends)}
        standing = replace(
            full,
            absence_on=iso(self.absence),
            partial_on=partial.returned_on if partial.status == "sustained" else "",
            conflict=full.conflict or partial.conflict,
        )
        if full.status in ("absent", "lapsed") and last <= cut:
            standing = replace(standing, status="censored", ended_on=iso(last))
        later = [wait for wait in waits if wait > cut]
        return replace(standing, next_on=iso(min(later)) if later else "")

    def known(self, runs: list[Run], cut: int, ended: Ended | None, waits: set[int]) -> Standing:
        """What of one kind of return is known by a day; days that will say more are added to `waits`."""
        d, standing = self.definition, Standing("absent")
        stop = ended.on if ended else LAST
        for run in runs:
            waits.add(run.on)
            if run.on > min(cut, stop):
                break
            confirmed = run.on + d.held_days + d.feed_lag_days
            strict = run.on + d.strict_days + d.feed_lag_days
            waits.update(wait for wait in (confirmed, strict, run.known) if wait < LAST)
            broken = run.known <= cut and run.broken <= stop
            held = run.on + d.held_days <= min(stop, run.broken)
            duty = "full_modified" if self.restricted(run.on) else "full"
            seen = Standing("observed", returned_on=iso(run.on), duty=duty, conflict=run.conflict)
            if broken:
                standing = replace(seen, status="lapsed", lapsed_on=iso(run.broken))
                continue
            if not held and ended:
                return self.end(ended, run)
            if not held or confirmed > cut:
                return seen
            strictly = strict <= cut and run.on + d.strict_days <= min(stop, run.broken)
            return replace(
                seen,
                status="sustained",
                cause=RETURNED,
                confirmed_on=iso(confirmed),
                held_days=d.strict_days if strictly else d.held_days,
            )
        return self.end(ended, None) if ended else standing

    def end(self, ended: Ended, run: Run | None) -> Standing:
        """A competing cause decided; one that only censors does so where an unconfirmed return began."""
        on = run.on if run is not None and ended.cause == CENSORED else ended.on
        return Standing(ended.status, ended.cause, ended_on=iso(on))

    # -- for an explanation ----------------------------------------------------------------------------------------

    def facts(self, returned_on: str, full: bool) -> list[tuple[Ref, str]]:
        """The facts that a full or a partial return rests on, each with what it says."""
        said: list[tuple[Ref, str]] = []
        if self.absence_ref is not None:
            said.append((self.absence_ref, f"absent from work from {iso(self.absence)}"))
        schedule = next((s for s in reversed(self.schedules) if s[0] < self.absence), None)
        if schedule is not None:
            said.append((schedule[2], f"{schedule[1] / 10_000:g} hours a week scheduled from {iso(schedule[0])}"))
        runs = self.full_runs if full else self.partial_runs
        return said + [one for run in runs if run.on == number(returned_on) for one in run.evidence]


def trace(
    definition: Definition,
    index: str,
    not_before: str,
    died_on: str,
    employment: Employment,
    months: Iterable[WorkMonth],
) -> Trace:
    """Read the evidence of the course that began on `index`; absence begins on or after `not_before` if it is said."""
    at = number(index)
    first = at - definition.before_days
    if not_before:
        first = max(first, number(not_before))
    made = Trace(definition, at, (first, at + definition.after_days))
    if died_on:
        made.ends.append(Ended(number(died_on), DIED, "died"))
    _hours(made, months)
    _employment(made, employment)
    made.ends.sort(key=lambda end: (end.on, ORDER[end.status]))
    made.find_absence()
    if made.absence:
        made.full_runs = list(made.runs(definition.full, True))
        made.partial_runs = list(made.runs(definition.partial, False))
    return made


ORDER = {"died": 0, "exited": 1, "censored": 2}
"""Of causes on one day: events come before censorings."""


def _hours(made: Trace, months: Iterable[WorkMonth]) -> None:
    """Hours by day, within the days watched."""
    first, last = made.index - WATCH_BACK, made.index + WATCH_AHEAD
    for month in months:
        for key in sorted(month.hours):
            _, on, hours, code, ref = month.hours[key]
            day = number(on)
            if not first <= day <= last or hours <= 0:
                continue
            made.hours_refs.setdefault(day, ref)
            if code in WORKED:
                made.worked[day] = made.worked.get(day, 0) + hours
            elif code == "intermittent_leave":
                made.treated[day] = made.treated.get(day, 0) + hours
            else:
                made.leave.setdefault(day, ref)


def _ref(ref: Sequence[Any]) -> Ref:
    """A reference as it was before its part was stored: a part read back has lists, which do not sort with tuples."""
    event_id, kind, offset = ref
    return event_id, kind, offset


def _employment(made: Trace, employment: Employment) -> None:
    """Schedules, leaves, claims, reports and employment, each as its highest version says."""
    schedules = {}
    for key in sorted(employment.schedules):
        _, on, weekly, ref = employment.schedules[key]
        schedules[number(on)] = (number(on), weekly, ref)
    made.schedules = [schedules[on] for on in sorted(schedules)]
    for key in sorted(employment.leaves):
        _, status, continuity, on, through, ref = employment.leaves[key]
        if status != "denied" and continuity == "continuous":
            made.spans.append((number(on), _end(status, on, through), _ref(ref), "leave"))
    for key in sorted(employment.claims):
        _, plan, status, on, benefit_on, through, ref = employment.claims[key]
        if status == "denied":
            continue
        made.spans.append((number(on), _end(status, on, through), _ref(ref), plan))
        granted = status in ("approved", "extended")
        if granted or (status == "closed" and benefit_on):
            made.claims.append((number(on), _ref(ref)))
        if plan == "LTD" and granted:
            made.ends.append(Ended(number(benefit_on or on), EXITED, "exited"))
    made.spans.sort()
    made.claims.sort()
    for key in sorted(employment.reports):
        _, source, on, duty, restricted, ref = employment.reports[key]
        made.reports.append((number(on), source, duty, restricted, _ref(ref)))
    made.reports.sort()
    for key in sorted(employment.statuses):
        _, status, on, reason, ref = employment.statuses[key]
        made.statuses.append((number(on), status))
        if status in ("laid_off", "transferred") or (status == "terminated" and reason in made.definition.censors):
            made.ends.append(Ended(number(on), CENSORED, "censored"))
        elif status in ("terminated", "retired"):
            made.ends.append(Ended(number(on), EXITED, "exited"))
    made.statuses.sort()


def _end(status: str, on: str, through: str) -> int:
    """The last day of a leave or claim; one that is closed without a last day tells of its first only."""
    if through:
        return number(through)
    return number(on) if status == "closed" else LAST


def employed(made: Trace) -> bool:
    """Whether the person was scheduled on one of the 30 days before treatment began, and still employed then."""
    status = ""
    for on, said in made.statuses:
        if on <= made.index:
            status = said
    if status in ("terminated", "retired", "laid_off", "transferred"):
        return False
    return any(made.scheduled(day) for day in range(made.index - 30, made.index + 1))
