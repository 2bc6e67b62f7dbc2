"""Return to work of a cohort by `rtw-def/1`: what each person comes to at a cut, and the figures made of it (A.2).

A person is observed from the first day of absence to the first of: a return that holds (cause 1), death (2), long-term
disability or exit (3; disability is told apart), or the end of what is known. Not confirmed at the cut, a return is
censored at its first day; one that lapses leaves the person at risk on the same clock; a death inside it is a death; a
lay-off inside it censors where it began. A dismissal in open absence is an exit. Nobody is dropped for what is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from contracts.parts import Employment
from contracts.return_to_work import CENSORED, EXITED, RETURNED, Incidence, incidence
from contracts.units import FOREVER
from contracts.work import LAST, Trace, iso, number

DISABLED = 4
"""Cause 3 by long-term disability, told apart for its own rate."""

WEEK, YEAR_DAYS, BY_DAYS, AGAIN_DAYS = 7, 365, 182, 90
DAYS = (91, 182, 365, 730)
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ReturnRecord:
    """One followed person as known at a cut. Days are counted from the first of absence.

    `maintained`: stayed at work; None while an absence may still begin. `cause` and `days` are of the return that holds
    28 days, `strict_cause` and `strict_days` of 90. `broke_after`: days from the first return seen to its break; None
    when it has not broken. `seen_for`: days since that first return that are known.
    """

    member: str
    episode_id: str
    practice: str = ""
    stratum: tuple[str, str, str, str, str] = (UNKNOWN,) * 5
    maintained: bool | None = None
    absence_on: str = ""
    days: int = 0
    cause: int = CENSORED
    strict_days: int = 0
    strict_cause: int = CENSORED
    returned_on: str = ""
    broke_after: int | None = None
    seen_for: int = 0
    known_days: int = 0
    fte_days: Fraction | None = None
    std_days: int | None = None
    conflict: bool = False
    symptoms: bool | None = None

    @property
    def absent(self) -> bool:
        """Of the cohort that return to work is measured in."""
        return bool(self.absence_on)


# -- one person -------------------------------------------------------------------------------------------------------


def observed(trace: Trace, cut: str, held_days: int, ltd_on: str = "") -> tuple[int, int]:
    """(days since absence began, cause) at a cut, of a return that holds so many days.

    Absent from 3 February, back on 3 March for good: 28 days, cause 1 once 3 March + 28 + 14 has closed; a day before,
    the same 28 days and cause 0.
    """
    definition, start = trace.definition, trace.absence
    closed, last = number(cut), trace.absence + definition.followed_days
    ended = next((end for end in trace.ends if start <= end.on <= min(closed, last)), None)
    stop = ended.on if ended else LAST
    for run in trace.full_runs:
        if run.on > min(closed, stop):
            break
        holds = run.on + held_days <= min(stop, run.broken)
        if run.broken <= stop and run.broken < run.on + held_days and run.known <= closed:
            continue
        if not holds and ended:
            return (run.on if ended.cause == CENSORED else ended.on) - start, _cause(ended.cause, ended.on, ltd_on)
        confirmed = holds and run.on + held_days + definition.feed_lag_days <= closed
        return run.on - start, RETURNED if confirmed else CENSORED
    if ended:
        return ended.on - start, _cause(ended.cause, ended.on, ltd_on)
    return min(closed, last) - start, CENSORED


def _cause(cause: int, on: int, ltd_on: str) -> int:
    return DISABLED if cause == EXITED and ltd_on == iso(on) else cause


def disabled_on(employment: Employment) -> str:
    """The first day of long-term disability; ''."""
    days = [
        benefit_on or on
        for _, plan, status, on, benefit_on, *_ in employment.claims.values()
        if plan == "LTD" and status in ("approved", "extended")
    ]
    return min(days, default="")


def paid_days(employment: Employment, absence_on: str, cut: str) -> int | None:
    """Calendar days of short-term benefit, from its start to the day it was approved through; None without a claim.

    Benefit from 10 February, approved through 23 March: 42 days. One still open counts to the cut.
    """
    found: list[int] = []
    first = number(absence_on)
    for _, plan, status, on, benefit_on, through, _ in employment.claims.values():
        if plan != "STD" or status == "denied" or not benefit_on or not first - WEEK <= number(on) <= first + YEAR_DAYS:
            continue
        last = min(through or FOREVER, cut)
        found.append(max(0, number(last) - number(benefit_on) + 1))
    return sum(found) if found else None


def fte_days(trace: Trace, cut: str) -> Fraction | None:
    """Scheduled days lost in the 365 days from absence on, in parts of a day; None before they have all passed.

    A day of 8 scheduled hours of which 6 were worked is 1/4. In a week without any hours on file a day is lost when a
    leave or claim says so, until the person was seen back.
    """
    start = trace.absence
    end = min([start + YEAR_DAYS, *(one.on for one in trace.ends if one.on >= start)])
    if start + YEAR_DAYS > number(cut):
        return None
    lost = Fraction(0)
    for day in range(start, end):
        if not trace.scheduled(day):
            continue
        if any(one in trace.hours_refs for one in range(day - 3, day + 4)):
            lost += max(Fraction(0), 1 - Fraction(5 * trace.worked.get(day, 0), trace.weekly(day)))
        else:
            back = max((run.on for run in trace.full_runs if run.on <= day), default=0)
            lost += trace.away(day, back) is not None
    return lost


def record_of(
    trace: Trace,
    employment: Employment,
    cut: str,
    member: str,
    episode_id: str,
    practice: str,
    stratum: tuple[str, str, str, str, str],
    symptoms: bool | None = None,
) -> ReturnRecord:
    """One eligible person's record at a cut."""
    definition = trace.definition
    if not trace.absence or trace.absence + definition.spell_days - 1 > number(cut):
        over = trace.window[1] + definition.spell_days <= number(cut)
        return ReturnRecord(member, episode_id, practice, stratum, True if over else None)
    ltd_on = disabled_on(employment)
    days, cause = observed(trace, cut, definition.held_days, ltd_on)
    strict_days, strict_cause = observed(trace, cut, definition.strict_days, ltd_on)
    first = next((run for run in trace.full_runs if run.on <= min(number(cut), _end_of(trace, cut))), None)
    broke, seen = None, 0
    if first is not None:
        until = min(number(cut) - definition.feed_lag_days, _end_of(trace, cut))
        seen = max(0, until - first.on)
        if first.known <= number(cut) and first.broken <= _end_of(trace, cut):
            broke = first.broken - first.on
    return ReturnRecord(
        member, episode_id, practice, stratum, False, iso(trace.absence), days, cause, strict_days, strict_cause,
        iso(first.on) if first else "", broke, seen, number(cut) - trace.absence, fte_days(trace, cut),
        paid_days(employment, iso(trace.absence), cut), any(run.conflict for run in trace.full_runs), symptoms,
    )  # fmt: skip


def _end_of(trace: Trace, cut: str) -> int:
    return next((end.on for end in trace.ends if trace.absence <= end.on <= number(cut)), LAST)


# -- a cohort ---------------------------------------------------------------------------------------------------------


def cohort(records: Iterable[ReturnRecord]) -> list[ReturnRecord]:
    """Those who were absent; the others are reported apart."""
    return [one for one in records if one.absent]


def observations(records: Iterable[ReturnRecord], strict: bool = False) -> list[tuple[int, int]]:
    """(days, cause) of each person of the cohort."""
    return sorted((one.strict_days, one.strict_cause) if strict else (one.days, one.cause) for one in cohort(records))


def weekly(records: Iterable[ReturnRecord]) -> tuple[tuple[int, int], ...]:
    """(week, cause), by whole weeks begun: the 91st day is of week 13, the 92nd of week 14. Disability is an exit."""
    return tuple(
        sorted((-(-one.days // WEEK), EXITED if one.cause == DISABLED else one.cause) for one in cohort(records))
    )


def curve(records: Iterable[ReturnRecord], strict: bool = False) -> Incidence:
    """The cumulative incidence of return, by days."""
    return incidence(observations(records, strict))


def disability_rate(records: Iterable[ReturnRecord], days: int = YEAR_DAYS) -> Fraction:
    """The incidence of long-term disability by a day."""
    return incidence(observations(records), DISABLED).at(days)


def mean(values: Iterable[Fraction | int | None]) -> Fraction | None:
    """The mean of those that are known; None of none."""
    known = [Fraction(value) for value in values if value is not None]
    return sum(known, Fraction(0)) / len(known) if known else None


def relapse_rate(records: Iterable[ReturnRecord], days: int) -> Fraction | None:
    """Of first returns that were followed for so many days, or broke, the share that broke by then."""
    return mean(int(one.broke_after is not None and one.broke_after <= days) for one in cohort(records)
                if one.returned_on and (one.seen_for >= days or one.broke_after is not None))  # fmt: skip


def maintenance_rate(records: Iterable[ReturnRecord]) -> Fraction | None:
    """Stayed at work, of all followed whose window is over or who were absent."""
    return mean(int(one.maintained) for one in records if one.maintained is not None)


# -- observed over expected -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ObservedExpected:
    """People whose return by day 182 is known, how many returned, and how many the reference table expects."""

    people: int
    observed: int
    expected: Fraction


def observed_expected(
    records: Iterable[ReturnRecord], table: ExpectedTable, settled_days: int, by_days: int = BY_DAYS
) -> ObservedExpected:
    """Of people followed for `by_days` and `settled_days` more, so that a return is confirmed.

    Who was censored before, by a lay-off, is in neither: an employer's decision moves no money. Who died or left is in
    both. A stage that is not known has a row of its own.
    """
    known = [
        one
        for one in cohort(records)
        if one.known_days >= by_days + settled_days and not (one.cause == CENSORED and one.days < by_days)
    ]
    back = sum(one.cause == RETURNED and one.days <= by_days for one in known)
    return ObservedExpected(len(known), back, sum((table.of(one.stratum) for one in known), Fraction(0)))


class ExpectedTable:
    """The contract's reference table: cancer|stage|intensity|demand|age:probability, the first row that fits holds.

    `*` fits all. 'breast|metastatic|*|*|*:0.35 breast|*|*|*|*:0.60 *|*|*|*|*:0.40': a lung cancer is expected at 0.40.
    """

    def __init__(self, said: str) -> None:
        self._rows: list[tuple[Sequence[str], Fraction]] = []
        for row in said.split():
            keys, probability = row.rsplit(":", 1)
            self._rows.append((keys.split("|"), Fraction(probability)))

    def of(self, stratum: Sequence[str]) -> Fraction:
        """The probability of a return by day 182."""
        for keys, probability in self._rows:
            if all(key in ("*", own) for key, own in zip(keys, stratum, strict=True)):
                return probability
        raise LookupError("the table has no last row for all")


# -- harm -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Harm:
    """What early return may have done: shares of those who returned, and the limits they exceed."""

    relapse: Fraction | None
    absent_again: Fraction | None
    symptoms: Fraction | None
    exceeded: tuple[str, ...]


def harm_screen(records: Sequence[ReturnRecord], held_days: int, limits: dict[str, Fraction]) -> Harm:
    """Relapse within 28 days, absence again within 90, severe fatigue or pain within 90. Equal to a limit passes."""
    shares = {
        "relapse": relapse_rate(records, held_days),
        "absent_again": relapse_rate(records, AGAIN_DAYS),
        "symptoms": mean(None if one.symptoms is None else int(one.symptoms) for one in cohort(records)),
    }
    exceeded = tuple(name for name, limit in limits.items() if (share := shares[name]) is not None and share > limit)
    return Harm(shares["relapse"], shares["absent_again"], shares["symptoms"], exceeded)
