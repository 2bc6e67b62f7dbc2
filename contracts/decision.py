"""Evolve and decide, for every contract: evidence in, the difference to what was decided before out.

`decide` finds the episodes the evidence supports, judges each by the contract's clauses, and compares it and the
payments it supports with what stands. What no longer holds is reversed by its exact negative; what newly holds is
determined; both name the fact that caused it. Nothing is edited.
"""

from __future__ import annotations

from typing import Any

from contracts import recoupment_risk
from contracts.adopting import Adopted, Rules
from contracts.clauses import Due, Judgement
from contracts.envelope import Fact, episode_id
from contracts.episode import cancer_type, chain, spend_of, window_of
from contracts.errors import NoTermInForce
from contracts.evidence import Moved
from contracts.evolving import ALL, NONE, Evolver, Touched
from contracts.fold import Needs, Sweep
from contracts.outcome import NOTHING, EpisodeVersion, Outcome, ReturnToWork, SpendChange
from contracts.parts import EMPLOYMENT, Adoption, Episode, Followed, Member
from contracts.paying import EXPENDITURE, Payments
from contracts.units import FOREVER, month_before
from contracts.work import BONUS, Standing


class ContractFold:
    """One contract over one partition of one payer's log; see `contracts.fold.Fold`."""

    def __init__(
        self, payer: str, contract: str, build_digest: str, make: Any, adoption: Adoption, follows_work: bool = False
    ) -> None:
        self.payer = payer
        self.contract = contract
        self.adoption = adoption
        self.follows_work = follows_work
        self._adopted = Adopted(payer, contract, build_digest, make, adoption, follows_work)
        self._evolver = Evolver(follows_work)
        self._payments = Payments(payer, contract, build_digest)
        self._everyone = False

    def adopt(self, fact: Fact) -> Sweep | None:
        """Record a broadcast; a second adoption, or a change of participation, is a cause for everyone."""
        sweep = self._adopted.adopt(fact)
        self._everyone = sweep is not None and sweep.everyone
        return sweep

    def needs(self, fact: Fact) -> Needs:
        """A claim's family and the months its days may reach; all that coverage may reach; the month of hours."""
        return self._evolver.needs(fact)

    def sweep_since(self, member: Member) -> str:
        """The months of the earliest episode that waits for time; all of them when everyone is touched."""
        if self._everyone:
            return ALL
        return month_before(min(member.head.due), self._evolver.reach_months) if member.head.due else NONE

    def _whole_from(self, member: Member) -> str:
        """The first month of which an episode's evidence is all loaded, with what it looks back to."""
        if member.since in (ALL, NONE):
            return member.since
        return month_before(f"{member.since}-01", -self._evolver.lookback_months)

    def due_on(self, member: Member) -> str:
        """The next day on which time alone changes something for this member."""
        return min(member.head.due.values()) if member.head.due else ""

    def apply(self, member: Member, fact: Fact) -> Outcome:
        """One fact of one member: what it says, then what follows from it."""
        rules = self._adopted.rules_for(fact.plan)
        touched = self._evolver.evolve(member, fact, rules)
        if touched is None:
            return NOTHING
        if touched.moved is not None and touched.moved.services:
            recoupment_risk.watch(member, rules, min(touched.moved.days))
        return self.decide(member, fact, rules, touched)

    def record(self, member: Member, fact: Fact) -> None:
        """What a fact says, and nothing decided: for whoever decides once at the end, by `revisit`."""
        self._evolver.evolve(member, fact, self._adopted.rules_for(fact.plan))

    def revisit(self, member: Member, fact: Fact) -> Outcome:
        """A broadcast touched the member: decide all loaded episodes again."""
        if self._everyone:
            member.traces.clear()  # they were made by the terms as they stood
        rules = self._adopted.rules_for(member.head.plan)
        outcome = self.decide(member, fact, rules, Touched(everything=True))
        recoupment_risk.look(self._payments, member, fact, rules, self.adoption, outcome)
        return outcome

    def decide(self, member: Member, fact: Fact, rules: Rules, touched: Touched) -> Outcome:
        """The difference between what the evidence supports now and what stands."""
        if touched.idle and not member.head.episodes:
            return NOTHING
        outcome = Outcome()
        opened: list[str] = []
        rest = touched.work_from
        if touched.chain_from or touched.everything:
            before = list(member.head.episodes)
            opened = self._rechain(member, fact, rules, touched, outcome)
            if rules.follower is not None:
                rest = min(rest, _first_moved(before, member.head.episodes))
        if touched.everything or touched.coverage:
            return self._decide_all(member, fact, rules, touched, rest, outcome)
        moved = touched.moved or Moved()
        days = (*moved.days, *moved.spend)
        first, last = (min(days), max(days)) if days else (FOREVER, "")
        ends_on, follows = rules.clauses.calendar.ends_on, rules.follower is not None
        for start in member.head.episodes:
            award = _award(member, start) if follows else ""
            if start in opened:
                self._judge(member, fact, rules, member.episodes[start], touched, outcome)
            elif start >= rest or (start <= last and ends_on(start) >= first):
                self._touch(member, fact, rules, member.episodes[start], touched, moved, outcome, start >= rest)
            if follows and _award(member, start) != award:
                rest = min(rest, start)
        return outcome

    def _decide_all(
        self, member: Member, fact: Fact, rules: Rules, touched: Touched, rest: str, outcome: Outcome
    ) -> Outcome:
        """All episodes whose evidence is loaded, or those that the days of coverage reach.

        One award for a person in twelve months: where one changes, the episodes after it are judged again.
        """
        first, last = touched.coverage or ("", FOREVER)
        whole_from = self._whole_from(member)
        for start in member.head.episodes:
            award = _award(member, start)
            reached = start <= last and rules.clauses.calendar.ends_on(start) >= first
            if start >= rest or (start[:7] >= whole_from and reached):
                self._judge(member, fact, rules, member.episodes[start], touched, outcome)
            if _award(member, start) != award:
                rest = min(rest, start)
        return outcome

    def _touch(
        self,
        member: Member,
        fact: Fact,
        rules: Rules,
        episode: Episode,
        touched: Touched,
        moved: Moved,
        outcome: Outcome,
        judge: bool,
    ) -> None:
        """Spending within the episode is added to it; evidence within it has it judged again."""
        start, end = episode.started_on, episode.ends_on
        spent = False
        for day, amounts in moved.spend.items():
            if start <= day <= end:
                spent = True
                a, b, c, d = amounts
                held = episode.spend
                episode.spend = [held[0] + a, held[1] + b, held[2] + c, held[3] + d]
        if spent:
            member.dirty.add(("episode", start))
        if judge or self._told(member, rules, start, end, moved):
            self._judge(member, fact, rules, episode, touched, outcome)
        elif spent:
            self._expenditure(member, fact, episode, _cost(member, rules, episode), outcome)

    @staticmethod
    def _told(member: Member, rules: Rules, start: str, end: str, moved: Moved) -> bool:
        """Whether what a claim moved within an episode may change its judgement or what is owed for it."""
        for day in moved.days:
            if start <= day <= end:
                window = member.windows.get(start)
                return (
                    window is None
                    or window.telling
                    or window.end != end
                    or start in moved.fills
                    or rules.follower is not None
                )
        return False

    def _rechain(self, member: Member, fact: Fact, rules: Rules, touched: Touched, outcome: Outcome) -> list[str]:
        """Find the episodes again from the first that could have changed; close those gone, make those new."""
        head, calendar = member.head, rules.clauses.calendar
        if touched.everything:
            before = [s for s in head.episodes if s[:7] < self._whole_from(member)]
        else:
            before = [s for s in head.episodes if calendar.ends_on(s) < touched.chain_from]
        after = calendar.ends_on(before[-1]) if before else ""
        starts = [] if head.retired else chain(member, calendar, after)
        old = head.episodes[len(before) :]
        kept = {s for s in old if s in starts and member.episodes[s].ends_on == calendar.ends_on(s)}
        if len(kept) == len(old) == len(starts):
            return []
        for start in old:
            if start not in kept:
                self._cancel(member, fact, rules, member.episodes[start], outcome)
        opened = [start for start in starts if start not in kept]
        for start in opened:
            self._open(member, fact, rules, start)
        head.episodes = before + starts
        member.dirty.add(("head", ""))
        return opened

    def _open(self, member: Member, fact: Fact, rules: Rules, start: str) -> None:
        end = rules.clauses.calendar.ends_on(start)
        episode = member.episodes.get(start)
        if episode is None:
            name = episode_id(self.payer, member.head.plan, self.contract, member.token, start)
            episode = member.episodes[start] = Episode(name, start, end)
        episode.ends_on = end
        episode.opened_by = fact.fact_id
        episode.spend = spend_of(member, start, end)
        member.dirty.add(("episode", start))

    def _cancel(self, member: Member, fact: Fact, rules: Rules, episode: Episode, outcome: Outcome) -> None:
        """The episode's first therapy is gone, or an earlier one covers it: its payments are reversed."""
        member.head.due.pop(episode.started_on, None)
        recoupment_risk.watch(member, rules, episode.started_on)
        member.windows.pop(episode.started_on, None)
        self._payments.settle(member, fact, rules, episode, [], outcome)
        if rules.follower is not None:
            self._follow(member, fact, episode, False, Standing(), outcome)
            self._awarded(member, episode.started_on, [])
        judgement = Judgement("cancelled", "member_retired" if member.head.retired else "trigger_moved")
        self._version(member, fact, rules, episode, judgement, episode.cancer_type, episode.practice, outcome)
        episode.spend = [0, 0, 0, 0]
        self._expenditure(member, fact, episode, 0, outcome)

    def _judge(
        self, member: Member, fact: Fact, rules: Rules, episode: Episode, touched: Touched, outcome: Outcome
    ) -> None:
        """Decide an episode again. Its payments rest on this judgement, on services, coverage and what is adopted."""
        clauses, version = rules.clauses, episode.version
        window = window_of(member, episode.started_on, episode.ends_on)
        cancer = cancer_type(member, window, clauses.calendar.lookback_days)
        judgement = clauses.judge(member, window, cancer)
        window.telling = False
        self._version(member, fact, rules, episode, judgement, cancer, clauses.practice(window), outcome)
        follower, until = rules.follower, FOREVER
        if follower is not None:
            before = _before(member.head.episodes, episode.started_on)
            eligible, standing = follower.follow(member, episode, before, self.adoption.closed_through)
            self._follow(member, fact, episode, eligible, standing, outcome)
            until = standing.next_on or FOREVER
        services = touched.moved is not None and touched.moved.services
        if touched.everything or touched.coverage or services or episode.version != version or follower:
            due = clauses.owed(member, episode, window, self.adoption) if judgement.included else []
            self._payments.settle(member, fact, rules, episode, due, outcome)
            if window.services and fact.type != recoupment_risk.CLOSED:
                recoupment_risk.watch(member, rules, episode.started_on)
            if follower is not None:
                self._awarded(member, episode.started_on, due)
            until = min(until, clauses.due_on(episode, self.adoption.closed_through) or FOREVER)
            self._wait(member, episode.started_on, "" if until == FOREVER else until)
        self._expenditure(member, fact, episode, _cost(member, rules, episode), outcome)

    def _follow(
        self, member: Member, fact: Fact, episode: Episode, eligible: bool, standing: Standing, outcome: Outcome
    ) -> None:
        """A new version of an episode's return to work, when it is not as it stood. One never followed has none."""
        start, said = episode.started_on, standing.said()
        followed = member.employment.followed.get(start)
        if followed is None:
            if not eligible:
                return
            followed = member.employment.followed[start] = Followed()
        elif (followed.eligible, followed.said) == (eligible, said):
            return
        member.dirty.add(EMPLOYMENT)
        followed.version += 1
        followed.eligible, followed.said = eligible, said
        outcome.returns.append(
            ReturnToWork(
                episode.episode_id, followed.version, member.token, member.head.plan, self.contract, fact.offset,
                fact.fact_id, eligible, *said,
            )
        )  # fmt: skip

    @staticmethod
    def _awarded(member: Member, start: str, due: list[Due]) -> None:
        """Note the day for which an episode's person was awarded, or that there is no award."""
        followed = member.employment.followed.get(start)
        on = next((d.effective_on for d in due if d.kind == BONUS), "")
        if followed is not None and followed.award_on != on:
            followed.award_on = on
            member.dirty.add(EMPLOYMENT)

    @staticmethod
    def _wait(member: Member, start: str, until: str) -> None:
        """Note the day whose close changes something for an episode."""
        due = member.head.due
        if due.get(start, "") != until:
            member.dirty.add(("head", ""))
            if until:
                due[start] = until
            else:
                del due[start]

    @staticmethod
    def _expenditure(member: Member, fact: Fact, episode: Episode, total: int, outcome: Outcome) -> None:
        if (delta := total - episode.expenditure_cents) != 0:
            member.dirty.add(("episode", episode.started_on))
            episode.expenditure_cents = total
            outcome.spends.append(SpendChange(episode.episode_id, fact.offset, delta, total))

    def _version(
        self,
        member: Member,
        fact: Fact,
        rules: Rules,
        episode: Episode,
        judgement: Judgement,
        cancer: str,
        practice: str,
        outcome: Outcome,
    ) -> None:
        closed = episode.ends_on <= self.adoption.closed_through
        new = (cancer, judgement.status, judgement.void_reason, judgement.exclusion, practice, closed)
        old = (
            episode.cancer_type,
            episode.status,
            episode.void_reason,
            episode.exclusion,
            episode.practice,
            episode.closed,
        )
        if new == old and episode.version:
            return
        member.dirty.add(("episode", episode.started_on))
        episode.version += 1
        episode.cancer_type, episode.practice, episode.closed = cancer, practice, closed
        episode.status, episode.void_reason = judgement.status, judgement.void_reason
        episode.exclusion, episode.included = judgement.exclusion, judgement.included
        episode.period = rules.clauses.calendar.period_of(episode.started_on)
        outcome.episodes.append(
            EpisodeVersion(
                episode.episode_id,
                episode.version,
                member.token,
                member.head.plan,
                self.contract,
                fact.offset,
                fact.fact_id,
                episode.started_on,
                episode.ends_on,
                episode.period,
                cancer,
                judgement.status,
                judgement.void_reason,
                judgement.included,
                judgement.exclusion,
                practice,
                episode.opened_by,
                closed,
            )
        )


def _cost(member: Member, rules: Rules, episode: Episode) -> int:
    """What the episode has cost; as it stood while a term that says what counts is not there."""
    try:
        cost, why = rules.clauses.expenditure_cents(episode), ""
    except NoTermInForce as lacks:
        cost, why = episode.expenditure_cents, str(lacks)
    if (why or episode.waits) and episode.waits.pop(EXPENDITURE, "") != why:
        member.dirty.add(("episode", episode.started_on))
    if why:
        episode.waits[EXPENDITURE] = why
    return cost


def _before(starts: list[str], start: str) -> str:
    """The start of the episode before one, or ''."""
    return max((s for s in starts if s < start), default="")


def _first_moved(before: list[str], after: list[str]) -> str:
    """The first episode of `after` that stands where another, or none, stood before."""
    return next((s for i, s in enumerate(after) if i >= len(before) or before[i] != s), FOREVER)


def _award(member: Member, start: str) -> str:
    """The day for which an episode's person was awarded."""
    followed = member.employment.followed.get(start)
    return followed.award_on if followed is not None else ""
