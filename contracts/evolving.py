"""Evolve: what a fact says is recorded in the member's parts, and what it touched is named; nothing is decided."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from contracts import coverage, employment
from contracts.adopting import EPISODE_MONTHS, Rules
from contracts.claims import receive
from contracts.envelope import Fact
from contracts.episode import Calendar, shifts
from contracts.evidence import Moved, days_of, move, of_claim
from contracts.fold import Needs, NeedsEarlier
from contracts.parts import Family, Member, Span
from contracts.units import FOREVER, add_days, last_day, month_before

NONE, ALL = "9999-12", ""
LOOKBACK_MONTHS, WORK_LOOKBACK_MONTHS = 2, 4
"""A day belongs to an episode that began up to six months before, whose first fill looks back two months more, and
whose person's hours of work, if they are followed, four."""

CLAIMS = frozenset(
    f"carepact.{name}.v1"
    for name in ("ProfessionalClaimReceived", "InstitutionalClaimReceived", "PharmacyClaimReceived")
)


@dataclass(slots=True)
class Touched:
    """What a fact touched: what a claim moved, days of coverage, work, or everything.

    `chain_from` is the first day from which episodes may begin on other days than before; '' when none does.
    `work_from` is the start of the first episode whose person's work was touched, those after it as well.
    """

    moved: Moved | None = None
    coverage: tuple[str, str] | None = None
    chain_from: str = ""
    work_from: str = FOREVER
    everything: bool = False

    @property
    def idle(self) -> bool:
        """Whether no episode can begin by it: those there are may still be touched."""
        return not self.chain_from and not self.everything

    def chain(self, day: str) -> None:
        """Episodes may begin anew from a day on."""
        self.chain_from = min(self.chain_from or FOREVER, day)


class Evolver:
    """Records the facts of a contract's members."""

    def __init__(self, follows_work: bool) -> None:
        self._follows_work = follows_work
        self.lookback_months = WORK_LOOKBACK_MONTHS if follows_work else LOOKBACK_MONTHS
        self.reach_months = EPISODE_MONTHS + self.lookback_months

    def needs(self, fact: Fact) -> Needs:
        """A claim's family and the months its days may reach; all that coverage may reach; the month of hours."""
        kind = fact.type
        if kind in CLAIMS:
            return Needs((fact.data.family,), month_before(_first_day(fact), self.reach_months))
        if kind == "carepact.EnrollmentChanged.v1":
            return Needs(since=month_before(fact.data.from_on.isoformat(), self.reach_months))
        if kind in ("carepact.MemberDescribed.v1", "carepact.MemberRetired.v1"):
            return Needs(since=ALL)
        if self._follows_work and kind in employment.WORK:
            return Needs(since=employment.since(fact))
        return Needs()

    def evolve(self, member: Member, fact: Fact, rules: Rules) -> Touched | None:
        """Record what the fact says; name what it touched. Facts without a clause yet touch nothing."""
        head, data = member.head, fact.data
        if fact.plan and not head.plan:
            head.plan = fact.plan
            member.dirty.add(("head", ""))
        match fact.type:
            case kind if kind in CLAIMS:
                return self._evolve_claim(member, fact, rules)
            case "carepact.EnrollmentChanged.v1":
                span = Span(data.from_on.isoformat(), last_day(data.through_on), data.code or "", fact.ref)
                head.coverage[data.coverage] = coverage.overlay(
                    head.coverage.get(data.coverage, []), span, data.covered
                )
                member.dirty.add(("head", ""))
                # A service on an episode's first day asks what held on the day before (hospice).
                return Touched(coverage=(span.start, add_days(span.through, 1))) if head.episodes else None
            case "carepact.MemberDescribed.v1":
                born = head.birth_year
                head.birth_year = data.birth_year or head.birth_year
                head.sex = data.sex or head.sex
                head.state = data.state or head.state
                member.dirty.add(("head", ""))
                died_on = data.died_on.isoformat() if data.died_on else ""
                if died_on == head.died_on or not died_on:
                    aged = self._follows_work and born != head.birth_year
                    return Touched(everything=True) if aged and head.episodes else None
                head.died_on, head.died_ref = died_on, fact.ref
                member.traces.clear()
                return Touched(everything=True) if head.episodes else None
            case "carepact.MemberRetired.v1":
                head.retired = True
                member.dirty.add(("head", ""))
                return Touched(everything=True)
            case kind if self._follows_work and kind in employment.WORK:
                return self._evolve_work(member, fact)
            case _:
                return None

    def _evolve_work(self, member: Member, fact: Fact) -> Touched | None:
        """A record of work: it touches the episodes that watch its days, and those after them."""
        days = employment.days_touched(member, fact)
        if days is None:
            return None
        touched = Touched()
        for start in member.head.episodes:
            first, last = employment.watched(start)
            if first <= days[1] and days[0] <= last:
                touched.work_from = start
                if (since := month_before(start, self.lookback_months)) < member.since:
                    raise NeedsEarlier(since)
                break
        employment.receive(member, fact)
        member.traces.clear()
        return touched if touched.work_from != FOREVER else None

    def _evolve_claim(self, member: Member, fact: Fact, rules: Rules) -> Touched:
        record = of_claim(fact, rules.codes, rules.clauses.services, rules.clauses.medicare)
        family = member.families.get(fact.data.family)
        if family is None:
            family = member.families[fact.data.family] = Family()
        else:
            days = [day for old in family.records for day in days_of(old.units)]
            if days and (since := month_before(min(days), self.reach_months)) < member.since:
                raise NeedsEarlier(since)
        member.dirty.add(("claim", fact.data.family))
        gone, come = receive(family, record)
        moved = Moved()
        touched = Touched(moved)
        if gone:
            move(member, gone, False, moved)
        if come:
            move(member, come, True, moved)
        calendar = rules.clauses.calendar
        for day, came in moved.therapy:
            if shifts(member, calendar, day, came):
                touched.chain(day)
        if member.head.fills:
            for day, came in moved.diagnoses:
                self._diagnosed(member, calendar, day, came, touched, moved)
        return touched

    @staticmethod
    def _diagnosed(member: Member, calendar: Calendar, day: str, come: bool, touched: Touched, moved: Moved) -> None:
        """A diagnosis came or went: fills on its day or in the days after may now be triggers, or no longer."""
        fills: Iterable[str] = member.head.fills
        if len(member.head.fills) > calendar.lookback_days:
            fills = (add_days(day, n) for n in range(calendar.lookback_days + 1))
        last = add_days(day, calendar.lookback_days)
        for fill in fills:
            if day <= fill <= last and fill in member.head.fills:
                if fill in member.head.episodes:
                    moved.days.add(fill)
                    moved.fills.add(fill)
                if shifts(member, calendar, fill, come):
                    touched.chain(fill)


def _first_day(fact: Fact) -> str:
    data = fact.data
    first: date
    match fact.type:
        case "carepact.ProfessionalClaimReceived.v1":
            lines = data.lines
            first = lines[0].service_on if len(lines) == 1 else min([line.service_on for line in lines])
        case "carepact.InstitutionalClaimReceived.v1":
            days = [line.service_on for line in data.lines]
            first = min(*days, data.from_on, data.admitted_on or data.from_on)
        case _:
            first = data.filled_on
    return first.isoformat()
