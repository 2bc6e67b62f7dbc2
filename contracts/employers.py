"""Employers that buy cancer care for their people: the care fee (T6) and the bonus for a return to work (T1).

Who is followed: an employee, 18 to 64 years old, covered on the day treatment began, scheduled on one of the 30 days
before it. T2 to T5 are settled by period (employer_terms.py). Figures: employers.toml; every dollar is illustrative.
"""

from __future__ import annotations

from decimal import Decimal

from contracts import coverage, coverage_change
from contracts.care_fee import CareFeeClauses
from contracts.clauses import Due, Explained, Line, opening_facts, waiting
from contracts.coverage_change import Change
from contracts.employer_terms import tier_bonus
from contracts.episode import Window
from contracts.errors import BadSheet, NoTermInForce
from contracts.parts import Adoption, Episode, Member
from contracts.payer_order import medicare_first_on
from contracts.terms import TermSheet
from contracts.units import add_days
from contracts.work import BONUS, NOT_EMPLOYEES, Definition, Standing, Trace, employed, trace

CONTRACT = "employer"
LOST = frozenset({"plan", "medicare_first", "other_primary"})
"""Why an episode is void when its coverage, or the plan's being first, did not last."""


class EmployerClauses(CareFeeClauses):
    """An employer's contract under one adopted sheet."""

    def __init__(self, sheet: TermSheet) -> None:
        super().__init__(CONTRACT, sheet)
        self._definitions: dict[str, Definition] = {}
        if not self._definition(self._first).fits():
            raise BadSheet(CONTRACT, "return_followed_days", "asks about more days than the fold loads")

    def _definition(self, index: str) -> Definition:
        found = self._definitions.get(index)
        if found is None:
            found = self._definitions[index] = Definition.on(self.sheet, index)
        return found

    # -- coverage that ends, and who pays first -----------------------------------------------------------------------

    def lost_on(self, member: Member, start: str, last: str) -> tuple[str, str]:
        """(first day in an episode that the plan does not cover, or on which Medicare pays first; and why); ''."""
        head = member.head
        gap = coverage.throughout(head.coverage.get("plan"), start, last)
        after = medicare_first_on(self.sheet, head.coverage, head.birth_year, start, last)
        if after and (not gap or after < gap):
            return after, "medicare_first"
        return (gap, "plan") if gap else ("", "")

    def change(self, start: str, end: str, lost_on: str) -> Change:
        """What becomes of an episode that loses its coverage on a day."""
        rule, floor = self.sheet.on("coverage_change", start), self.sheet.on("coverage_floor_days", start)
        return coverage_change.after(rule.value, int(floor.number), start, end, lost_on)

    def uncovered(self, member: Member, start: str, end: str, last: str) -> str:
        """By the sheet's own rule for coverage that ends in an episode (C.5)."""
        lost_on, why = self.lost_on(member, start, last)
        return why if lost_on and not self.change(start, end, lost_on).counts else ""

    def fees_until(self, member: Member, episode: Episode) -> str:
        """An episode that is cut short is active through its last covered day."""
        last = super().fees_until(member, episode)
        lost_on, _ = self.lost_on(member, episode.started_on, last)
        return min(last, self.change(episode.started_on, episode.ends_on, lost_on).through_on) if lost_on else last

    # -- return to work -----------------------------------------------------------------------------------------------

    def follow(self, member: Member, episode: Episode, before: str, closed_through: str) -> tuple[bool, Standing]:
        """Whether the person is followed, and the return as known once that day has closed.

        Coverage that is lost later ends no clock: work is followed as long as the employer's records are (C.5), so that
        nobody is out of the count by what an employer decides.
        """
        if not episode.included and episode.void_reason not in LOST:
            return False, Standing()
        made = self.trace(member, episode, before)
        return (True, made.at(closed_through)) if self.eligible(member, episode, made) else (False, Standing())

    def trace(self, member: Member, episode: Episode, before: str) -> Trace:
        """The evidence of work around an episode; `before` is the day the episode before it began, or ''.

        An absence belongs to the first episode in whose window it begins.
        """
        made: Trace | None = member.traces.get(episode.started_on)
        if made is None or made.before != before:
            definition = self._definition(episode.started_on)
            not_before = add_days(before, definition.after_days + 1) if before else ""
            made = trace(
                definition,
                episode.started_on,
                not_before,
                member.head.died_on,
                member.employment,
                (member.work[name] for name in sorted(member.work)),
            )
            made.before = before
            member.traces[episode.started_on] = made
        return made

    def eligible(self, member: Member, episode: Episode, made: Trace) -> bool:
        """Whether the person is followed: an employee of working age, covered and scheduled when treatment began."""
        start, head = episode.started_on, member.head
        span = coverage.on(head.coverage.get("plan"), start)
        if span is None or span.code in NOT_EMPLOYEES or not employed(made):
            return False
        if coverage.on(head.coverage.get("other_primary"), start) is not None:
            return False
        youngest, oldest = made.definition.ages
        return not head.birth_year or youngest <= int(start[:4]) - head.birth_year <= oldest

    def owed(self, member: Member, episode: Episode, window: Window, adoption: Adoption) -> list[Due]:
        """The fees, and the bonus once a return is confirmed and the episode is over."""
        due = super().owed(member, episode, window, adoption)
        followed = member.employment.followed.get(episode.started_on)
        if followed is not None and followed.eligible:
            try:
                due += self._bonus(member, episode, window, adoption)
            except NoTermInForce as lacks:
                due.append(waiting(BONUS, lacks.day[:7], episode.practice, lacks.day, lacks))
        return due

    def _bonus(self, member: Member, episode: Episode, window: Window, adoption: Adoption) -> list[Due]:
        """T1. A conflict of evidence blocks it; an award of an earlier episode in the twelve months before, too."""
        made: Trace = member.traces[episode.started_on]
        standing = made.at(adoption.closed_through)
        returned = standing.returned_on if standing.status == "sustained" else ""
        if (
            standing.conflict
            or not episode.practice
            or not (returned or standing.partial_on)
            or episode.ends_on > adoption.closed_through
        ):
            return []
        weeks = self._benchmark(standing, episode.cancer_type)
        if weeks is None:
            return []
        earlier = [
            one.award_on
            for start, one in member.employment.followed.items()
            if start < episode.started_on and one.award_on
        ]
        bonus = tier_bonus(
            self.sheet,
            standing.absence_on,
            returned or None,
            standing.partial_on or None,
            weeks,
            max(earlier, default=None),
            None,
        )
        if bonus.line.amount_cents == 0:
            return []
        earned_on = standing.partial_on if bonus.tier == "partial" else returned

        def explain() -> Explained:
            benchmark = self.sheet.on("return_benchmark_weeks", standing.absence_on)
            held = self.sheet.on("return_sustained_days", episode.started_on)
            defined = self.sheet.on("return_to_work_definition", standing.absence_on)
            line = bonus.line
            said = Line(
                line.clause, line.label, line.arithmetic, line.amount_cents, (*line.terms, benchmark, held, defined)
            )
            facts = [*opening_facts(window), *made.facts(earned_on, bonus.tier != "partial")]
            if adoption.closed_ref is not None:
                facts.append((adoption.closed_ref, f"days closed through {adoption.closed_through}"))
            return [said], facts

        amount = bonus.line.amount_cents
        return [Due(BONUS, standing.absence_on[:7], episode.practice, earned_on, amount, explain, basis=earned_on)]

    def _benchmark(self, standing: Standing, cancer: str) -> Decimal | None:
        """The benchmark's weeks for a type of cancer; none is made up for one that is not named."""
        said = self.sheet.on("return_benchmark_weeks", standing.absence_on).value
        return next((Decimal(weeks) for name, weeks in (p.split(":") for p in said.split()) if name == cancer), None)


def clauses(sheet: TermSheet) -> EmployerClauses:
    """The contract under an adopted sheet."""
    return EmployerClauses(sheet)
