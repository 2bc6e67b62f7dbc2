"""An independent account of returns to work and their bonuses, a whole person at a time, by the words of rtw-def/1.

Nothing of the product is imported. Every day is a date and every rule is tried on every day; nothing is cut short.
Figures are written here, not read from a term sheet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any

from tests.oracle.fold import FOREVER, ONE, Episode, Facts

KEYS = {
    "WorkScheduleSet": "record_id", "HoursWorked": "record_id", "LeaveChanged": "leave_id",
    "DisabilityClaimChanged": "claim_id", "ReturnToWorkReported": "record_id", "EmploymentChanged": "record_id",
}  # fmt: skip
ORDER = ("hours", "payroll", "carrier", "leave_administrator", "hris", "epro")
FULL, PARTIAL = ("full", "full_modified"), ("partial_hours", "modified_duty")
BENCHMARK = {
    "breast": 20, "prostate": 12, "colorectal": 30, "lymphoma": 30, "chronic_leukemia": 22, "myeloma": 40, "lung": 40,
}  # fmt: skip


@dataclass
class Account:
    """What a person's return comes to."""

    status: str = "none"
    cause: int = 0
    absence: date | None = None
    partial: date | None = None
    returned: date | None = None
    held: int = 0
    ended: date | None = None
    conflict: bool = False
    bonus: int = 0
    earned: date | None = None


def newest(facts: Facts) -> dict[str, list[dict[str, Any]]]:
    """Each record as its highest version; of equal ones the first that came."""
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    for kind, data in facts.work:
        name = kind, data[KEYS[kind]]
        if name not in kept or data.get("record_version", 1) > kept[name].get("record_version", 1):
            kept[name] = data
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for (kind, _), data in kept.items():
        found[kind].append(data)
    return found


def on(text: str | None) -> date:
    return date.fromisoformat(text) if text else FOREVER


@dataclass
class Person:
    """One person's evidence, asked day by day."""

    facts: Facts
    closed: date
    said: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    by_day: dict[tuple[date, str], Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    schedules: list[tuple[date, Fraction]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.said = newest(self.facts)
        for record in self.said["HoursWorked"]:
            self.by_day[on(record["worked_on"]), record["pay_code"]] += Fraction(record["hours"])
        self.schedules = [(on(s["from_on"]), Fraction(s["weekly_hours"])) for s in self.said["WorkScheduleSet"]]

    def hours(self, day: date, *codes: str) -> Fraction:
        return sum((self.by_day[day, code] for code in codes if (day, code) in self.by_day), Fraction(0))

    def worked(self, day: date) -> Fraction:
        return self.hours(day, "worked", "paid_time_off", "holiday")

    def weekly(self, day: date) -> Fraction:
        begun = [schedule for schedule in self.schedules if schedule[0] <= day]
        return max(begun, key=lambda schedule: schedule[0])[1] if begun else Fraction(0)

    def is_workday(self, day: date) -> bool:
        return day.weekday() < 5 and self.weekly(day) > 0

    def spared(self, day: date) -> bool:
        monday = day - ONE * day.weekday()
        days = [monday + ONE * n for n in range(day.weekday() + 1)]
        return sum(self.hours(d, "intermittent_leave") > 0 for d in days) <= 2

    def missed(self, day: date, back: date = date.min) -> bool:
        """A day of work without work, of which something says so: hours of leave, a leave, or a claim."""
        if not self.is_workday(day) or self.worked(day) > 0:
            return False
        if self.hours(day, "intermittent_leave") > 0:
            return not self.spared(day)
        if self.hours(day, "leave") > 0:
            return True
        spans = [
            (on(x["from_on"]), last(x, "from_on", "through_on"))
            for x in self.said["LeaveChanged"]
            if x["status"] != "denied" and x["continuity"] == "continuous"
        ]
        spans += [
            (on(x["disability_on"]), last(x, "disability_on", "approved_through_on"))
            for x in self.said["DisabilityClaimChanged"]
            if x["status"] != "denied"
        ]
        return any(back < first <= day <= end for first, end in spans)

    def absence(self, window: tuple[date, date]) -> date | None:
        """A spell is known once its seventh day has closed."""
        for day in days_of(*window):
            if not self.missed(day):
                continue
            week = [day + ONE * n for n in range(7)]
            before = [d for d in (day - ONE * n for n in range(1, 8)) if self.is_workday(d)]
            if before and self.missed(before[0]):
                continue
            if all(self.missed(d) for d in week if self.is_workday(d)):
                return day if week[-1] <= self.closed else None
        return None

    def baseline(self, absence: date) -> Fraction:
        weeks: list[Fraction] = []
        for n in range(1, 9):
            days = [d for d in days_of(absence - ONE * 7 * n, absence - ONE * (7 * n - 6)) if d.weekday() < 5]
            if all(self.weekly(d) > 0 for d in days) and not any(self.missed(d) for d in days):
                weeks.append(sum((self.weekly(d) for d in days), Fraction(0)) / 5)
        return sum(weeks, Fraction(0)) / len(weeks) if weeks else Fraction(0)

    def week(self, day: date, spare: bool) -> Fraction:
        total = Fraction(0)
        for d in days_of(day - ONE * 6, day):
            total += self.worked(d)
            if spare and self.spared(d):
                total += self.hours(d, "intermittent_leave")
        return total

    def first_day(self, start: date, end: date, least: Fraction, full: bool) -> tuple[date, bool] | None:
        """(first day of a return, whether the first two sources are more than seven days apart)."""
        by_source: dict[str, tuple[date, bool]] = {}
        if least:
            for day in days_of(start, end):
                if self.worked(day) > 0 and self.week(day, False) >= least:
                    by_source["hours"] = day, True
                    break
        own, other = (FULL, ()) if full else (PARTIAL, FULL)
        for r in sorted(self.said["ReturnToWorkReported"], key=lambda r: r["returned_on"]):
            day, duty = on(r["returned_on"]), r["duty_status"]
            if start <= day <= end and duty in (*own, *other) and r["source"] not in by_source:
                by_source[r["source"]] = day, duty in own
        found = [by_source[source] for source in ORDER if source in by_source]
        if not found:
            return None
        apart = len(found) > 1 and abs((found[0][0] - found[1][0]).days) > 7 and found[0][1] and found[1][1]
        return found[0][0], apart

    def breaks(self, back: date, least: Fraction) -> tuple[date, date, date] | None:
        """(the day a rule is met, the day it is known, the day from which another return may begin)."""
        found = []
        end = back + ONE * 90
        workdays = [d for d in days_of(back + ONE, end) if self.is_workday(d)]
        for n in range(4, len(workdays)):
            if all(self.missed(d, back) for d in workdays[n - 4 : n + 1]):
                found.append((workdays[n], workdays[n], workdays[n] + ONE))
        if least and any(day >= back and self.hours(day, "worked", "paid_time_off", "holiday", "leave",
                                                    "intermittent_leave") > 0 for day, _ in self.by_day):  # fmt: skip
            low = {d: self.week(d, True) < least for d in days_of(back + ONE, end)}
            for d in days_of(back + ONE * 14, end):
                if all(low[d - ONE * n] for n in range(14)):
                    found.append((d, d + ONE * 14, d + ONE))
        for x in self.said["DisabilityClaimChanged"]:
            granted = x["status"] in ("approved", "extended") or (x["status"] == "closed" and x.get("benefit_from_on"))
            if granted and back < on(x["disability_on"]) <= end:
                day = on(x["disability_on"])
                found.append((day, day, day + ONE * 7))
        return min(found) if found else None

    def ends(self, absence: date) -> tuple[date, int, str] | None:
        """The first competing cause known: death before exits, and both before what censors."""
        found = []
        if self.facts.died:
            found.append((self.facts.died, 0, 2, "died"))
        for x in self.said["EmploymentChanged"]:
            gone = ("layoff", "site_closure", "reduction_in_force", "end_of_feed")
            if x["status"] in ("laid_off", "transferred") or (x["status"] == "terminated" and x.get("reason") in gone):
                found.append((on(x["from_on"]), 2, 0, "censored"))
            elif x["status"] in ("terminated", "retired"):
                found.append((on(x["from_on"]), 1, 3, "exited"))
        for x in self.said["DisabilityClaimChanged"]:
            if x["plan_type"] == "LTD" and x["status"] in ("approved", "extended"):
                found.append((on(x.get("benefit_from_on") or x["disability_on"]), 1, 3, "exited"))
        found = sorted(f for f in found if absence <= f[0] <= min(self.closed, absence + ONE * 730))
        return (found[0][0], found[0][2], found[0][3]) if found else None


def last(x: dict[str, Any], first: str, through: str) -> date:
    if x.get(through):
        return on(x[through])
    return on(x[first]) if x["status"] == "closed" else FOREVER


def days_of(first: date, end: date) -> Iterator[date]:
    return (first + ONE * n for n in range((end - first).days + 1))


def of_kind(person: Person, absence: date, share: Fraction, full: bool) -> Account:
    """One kind of return, full or partial."""
    least, end = share * person.baseline(absence), person.ends(absence)
    account = Account("absent", absence=absence)
    start, last_day = absence + ONE * 7, absence + ONE * 730
    while start <= last_day:
        found = person.first_day(start, last_day, least, full)
        stop = end[0] if end else FOREVER
        if found is None or found[0] > min(person.closed, stop):
            break
        back, apart = found
        broken, known, again = person.breaks(back, least) or (FOREVER, FOREVER, FOREVER)
        if known <= person.closed and broken <= stop:
            account = Account("lapsed", absence=absence, returned=back, conflict=apart)
            start = again
            continue
        until = min(stop, broken)
        if (until - back).days < 28 and end:
            return Account(end[2], end[1], absence, ended=back if end[2] == "censored" else end[0])
        account = Account("observed", absence=absence, returned=back, conflict=apart)
        if (until - back).days >= 28 and (person.closed - back).days >= 42:
            account.status, account.cause = "sustained", 1
            account.held = 90 if (person.closed - back).days >= 104 and (until - back).days >= 90 else 28
        return account
    if end:
        return Account(end[2], end[1], absence, ended=end[0])
    if full and last_day <= person.closed:
        account.status, account.ended = "censored", last_day
    return account


def accounts(episodes: list[Episode], born: int, closed: date) -> dict[date, Account | None]:
    """By the day an episode began: what its person's return comes to, or None for one who is not followed."""
    found: dict[date, Account | None] = {}
    awards: list[date] = []
    before: date | None = None
    for episode in sorted(episodes, key=lambda e: e.start):
        assert episode.facts is not None
        person = Person(episode.facts, closed)
        account = followed(person, episode, before, born)
        before = episode.start
        found[episode.start] = account
        if account is not None and episode.included:
            pay(account, episode, awards, closed)
            if account.earned:
                awards.append(account.earned)
    return found


def followed(person: Person, episode: Episode, before: date | None, born: int) -> Account | None:
    index = episode.start
    status = max(
        ((on(x["from_on"]), x["status"]) for x in person.said["EmploymentChanged"] if on(x["from_on"]) <= index),
        default=(date.min, ""),
    )[1]
    counts = episode.included or episode.void_reason in ("plan", "other_primary")  # what is lost later ends no clock
    if not counts or person.facts.covered("other_primary", index) is not None:
        return None
    if person.facts.covered("plan", index) in (None, "dependent", "retiree", "cobra"):
        return None
    if status in ("terminated", "retired", "laid_off", "transferred"):
        return None
    if not any(person.is_workday(d) for d in days_of(index - ONE * 30, index)):
        return None
    if born and not 18 <= index.year - born <= 64:
        return None
    first = max(index - ONE * 30, before + ONE * 181 if before else date.min)
    absence = person.absence((first, index + ONE * 180))
    if absence is None:
        return Account()
    account = of_kind(person, absence, Fraction(95, 100), True)
    partial = of_kind(person, absence, Fraction(1, 2), False)
    account.partial = partial.returned if partial.status == "sustained" else None
    account.conflict = account.conflict or partial.conflict
    return account


def pay(account: Account, episode: Episode, awards: list[date], closed: date) -> None:
    """T1: 2,500 within 0.8 of the benchmark, 1,500 within it, else 750 for a partial return by week 26."""
    if account.conflict or episode.end > closed or account.absence is None:
        return
    weeks = BENCHMARK[episode.cancer_type]
    if account.status == "sustained" and account.returned:
        days = (account.returned - account.absence).days
        if days * 10 <= weeks * 7 * 8:
            account.bonus, account.earned = 250_000, account.returned
        elif days <= weeks * 7:
            account.bonus, account.earned = 150_000, account.returned
    if not account.bonus and account.partial and (account.partial - account.absence).days <= 182:
        account.bonus, account.earned = 75_000, account.partial
    if account.earned and any(account.earned < a_year_after(award) for award in awards):
        account.bonus, account.earned = 0, None


def a_year_after(day: date) -> date:
    try:
        return day.replace(year=day.year + 1)
    except ValueError:
        return date(day.year + 1, 2, 28)
