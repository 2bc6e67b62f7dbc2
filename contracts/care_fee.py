"""A plan's monthly care fee: the clauses that BCBS South Carolina and employers share.

An episode is one of EOM's seven cancers; the plan must cover every day of it, and pay first. The fee is due for each
calendar month on whose first day the episode is active, once the day has closed; whole months only (outcomes A.6 T6).
Every dollar is illustrative.
"""

from __future__ import annotations

from contracts import coverage
from contracts.clauses import Due, Explained, Judgement, Line, eligible_window_facts, opening_facts, waiting
from contracts.episode import Calendar, Window, at_risk_until, attribute
from contracts.errors import NoTermInForce
from contracts.parts import Adoption, Episode, Member
from contracts.period import shift_days
from contracts.terms import TermSheet
from contracts.units import FOREVER, cents, months_of


class CareFeeClauses:
    """A care-fee contract under one adopted sheet."""

    medicare = False
    services: frozenset[str] = frozenset()

    def __init__(self, contract: str, sheet: TermSheet) -> None:
        self.contract = contract
        self.sheet = sheet
        self._first = sheet.on("initiation_first_on", FOREVER).value
        self._last = sheet.on("initiation_last_on", FOREVER).value
        self.calendar = Calendar(
            self._first,
            self._last,
            int(sheet.on("episode_months", self._first).number),
            int(sheet.on("part_d_lookback_days", self._first).number),
            shift_days(sheet),
        )

    def judge(self, member: Member, window: Window, cancer: str) -> Judgement:
        """The contract's calendar, plan coverage of every day until death, the plan first, and a visit."""
        del cancer
        if window.start < self._first:
            return Judgement("void", "before_contract")
        if window.start > self._last:
            return Judgement("void", "after_contract")
        if window.start > (member.head.died_on or FOREVER):
            return Judgement("void", "after_death")
        spans, last = member.head.coverage, at_risk_until(member, window.end)
        if reason := self.uncovered(member, window.start, window.end, last):
            return Judgement("void", reason)
        if coverage.ever(spans.get("other_primary"), window.start, last):
            return Judgement("void", "other_primary")
        return Judgement("valid") if window.visits else Judgement("void", "no_em_visit")

    def uncovered(self, member: Member, start: str, end: str, last: str) -> str:
        """Why an episode is void by its coverage; ''. `last` is the day through which it is at risk."""
        del end
        return "plan" if coverage.throughout(member.head.coverage.get("plan"), start, last) else ""

    def fees_until(self, member: Member, episode: Episode) -> str:
        """The last day on which an episode is active."""
        return at_risk_until(member, episode.ends_on)

    def practice(self, window: Window) -> str:
        """As EOM: the first practice seen, if it furnished the share asked for."""
        return attribute(window, self.sheet.on("attribution_share", window.start).number)

    def expenditure_cents(self, episode: Episode) -> int:
        """What the plan paid, medical and pharmacy."""
        return episode.spend[0] + episode.spend[3]

    def owed(self, member: Member, episode: Episode, window: Window, adoption: Adoption) -> list[Due]:
        """The fee for each month whose first day is in the episode, in life, and closed."""
        until = min(self.fees_until(member, episode), adoption.closed_through)
        months = [m for m in months_of(episode.started_on, until) if episode.started_on <= f"{m}-01" <= until]
        return [self._fee(member, episode, window, month, adoption) for month in months]

    def _fee(self, member: Member, episode: Episode, window: Window, month: str, adoption: Adoption) -> Due:
        try:
            fee = self.sheet.on("care_fee", f"{month}-01")
        except NoTermInForce as lacks:
            return waiting("CARE_FEE", month, episode.practice, f"{month}-01", lacks)
        amount = cents(fee.number, self.sheet.rounding)

        def explain() -> Explained:
            line = Line("CARE_FEE", fee.label, f"1 month x {fee.number:.2f} = {fee.number:.2f}", amount, (fee,))
            facts = [*opening_facts(window), *eligible_window_facts(member, window, ("plan",))]
            if adoption.closed_ref is not None:
                facts.append((adoption.closed_ref, f"days closed through {adoption.closed_through}"))
            return [line], facts

        return Due("CARE_FEE", month, episode.practice, f"{month}-01", amount, explain)

    def due_on(self, episode: Episode, closed_through: str) -> str:
        """The next first of a month in the episode, then its end."""
        for month in months_of(max(episode.started_on, closed_through or episode.started_on), episode.ends_on):
            first = f"{month}-01"
            if first > closed_through and first >= episode.started_on:
                return first
        return episode.ends_on if episode.ends_on > closed_through else ""
