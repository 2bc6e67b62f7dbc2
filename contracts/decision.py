"""Evolve and decide, for every contract: evidence in, the difference to what was decided before out.

`decide` finds the episodes the evidence supports, judges each by the contract's clauses, and compares it and the
payments it supports with what stands. What no longer holds is reversed by its exact negative; what newly holds is
determined; both name the fact that caused it. Nothing is edited.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from contracts import coverage, employment
from contracts.claims import receive
from contracts.clauses import Clauses, Due, FollowsWork, Judgement
from contracts.envelope import Fact, episode_id, payment_id
from contracts.episode import Calendar, cancer_type, chain, shifts, spend_of, window_of
from contracts.errors import BadSheet, ContractError
from contracts.events import TermsAdopted
from contracts.evidence import CodeSets, Moved, days_of, move, of_claim
from contracts.fold import Needs, NeedsEarlier, NotAdopted, OtherBuild, Sweep
from contracts.outcome import EpisodeVersion, Outcome, Payment, ReturnToWork, SpendChange
from contracts.parts import (
    EMPLOYMENT,
    Adoption,
    Episode,
    Family,
    Followed,
    Member,
    Owed,
    Ref,
    Sheet,
    Span,
    read_ref,
    ref_to,
)
from contracts.terms import TermSheet, digest_of
from contracts.units import FOREVER, add_days, money, month_before
from contracts.work import BONUS, Standing

NONE, ALL = "9999-12", ""
EPISODE_MONTHS, LOOKBACK_DAYS, LOOKBACK_MONTHS = 6, 59, 2
WORK_LOOKBACK_MONTHS = 4
"""A day belongs to an episode that began up to six months before, whose first fill looks back two months more, and
whose person's hours of work, if they are followed, four."""

CLAIMS = frozenset(
    f"carepact.{name}.v1"
    for name in ("ProfessionalClaimReceived", "InstitutionalClaimReceived", "PharmacyClaimReceived")
)
CAUSES = {
    "original": "claim_received",
    "replacement": "claim_replaced",
    "adjustment": "claim_adjusted",
    "void": "claim_voided",
    "carepact.EnrollmentChanged.v1": "enrollment_changed",
    "carepact.MemberDescribed.v1": "member_described",
    "carepact.MemberRetired.v1": "member_retired",
    "carepact.DayClosed.v1": "day_closed",
    "carepact.TermsAdopted.v1": "terms_adopted",
    "carepact.ContractAdopted.v1": "contract_adopted",
    "carepact.PracticeParticipationChanged.v1": "participation_changed",
    "carepact.WorkScheduleSet.v1": "schedule_set",
    "carepact.HoursWorked.v1": "hours_worked",
    "carepact.LeaveChanged.v1": "leave_changed",
    "carepact.DisabilityClaimChanged.v1": "disability_claim_changed",
    "carepact.ReturnToWorkReported.v1": "return_reported",
    "carepact.EmploymentChanged.v1": "employment_changed",
}


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

    def chain(self, day: str) -> None:
        """Episodes may begin anew from a day on."""
        self.chain_from = min(self.chain_from or FOREVER, day)


@dataclass(slots=True)
class Rules:
    """A sheet compiled for the fold."""

    sheet: Sheet
    terms: TermSheet
    clauses: Clauses
    codes: CodeSets
    follower: FollowsWork | None


_compiled: dict[tuple[Any, str], tuple[TermSheet, Clauses, CodeSets]] = {}


def _compile(make: Any, sheet: Sheet, follows_work: bool) -> Rules:
    """The rules of a sheet; partitions that adopted the same content share what is compiled from it."""
    found = _compiled.get((make, sheet.digest))
    if found is None:
        terms = TermSheet(sheet.content)
        clauses: Clauses = make(terms)
        if clauses.calendar.months > EPISODE_MONTHS:
            raise BadSheet(terms.contract, "episode_months", f"is more than {EPISODE_MONTHS}, which the fold loads")
        if clauses.calendar.lookback_days > LOOKBACK_DAYS:
            raise BadSheet(
                terms.contract, "part_d_lookback_days", f"is more than {LOOKBACK_DAYS}, which the fold loads"
            )
        found = _compiled[make, sheet.digest] = (terms, clauses, CodeSets(terms))
    follower: Any = found[1] if follows_work else None
    return Rules(sheet, *found, follower)


class ContractFold:
    """One contract over one partition of one payer's log; see `contracts.fold.Fold`."""

    def __init__(
        self, payer: str, contract: str, build_digest: str, make: Any, adoption: Adoption, follows_work: bool = False
    ) -> None:
        self.payer = payer
        self.contract = contract
        self.adoption = adoption
        self._digest = build_digest
        self._make = make
        self._rules: dict[str, Rules] = {}
        self._everyone = False
        self.follows_work = follows_work
        self._lookback_months = WORK_LOOKBACK_MONTHS if follows_work else LOOKBACK_MONTHS
        self._reach_months = EPISODE_MONTHS + self._lookback_months

    # -- broadcasts ------------------------------------------------------------------------------------------------

    def adopt(self, fact: Fact) -> Sweep | None:
        """Record a broadcast; a second adoption, or a change of participation, is a cause for everyone."""
        adoption, data, ref = self.adoption, fact.data, ref_to(fact.fact_id, fact.type, fact.offset)
        sweep: Sweep | None = None
        match fact.type:
            case "carepact.LogOpened.v1":
                adoption.log_id = data.log_id
            case "carepact.TermsAdopted.v1":
                sweep = self._adopt_terms(data, ref)
            case "carepact.ContractAdopted.v1":
                if data.contract == self.contract:
                    sweep = Sweep(everyone=True) if adoption.contract_digest else None
                    adoption.contract, adoption.contract_digest, adoption.build = data.contract, data.digest, data.build
                    self._rules.clear()
            case "carepact.DayClosed.v1":
                day = data.through_on.isoformat()
                if day > adoption.closed_through:
                    adoption.closed_through, adoption.closed_ref = day, ref
                    sweep = Sweep(due_through=day)
            case "carepact.PracticeParticipationChanged.v1":
                span = Span(data.from_on.isoformat(), _day(data.through_on), data.pool or "", ref)
                spans = coverage.overlay(adoption.practices.get(data.practice, []), span, data.participates)
                adoption.practices[data.practice] = spans
                sweep = Sweep(everyone=True)
            case "carepact.RiskArrangementSet.v1":
                adoption.arrangements.setdefault(data.practice, []).append([data.from_period, data.arrangement, ref])
            case "carepact.NetworkRosterChanged.v1":
                key = f"{data.roster}|{data.provider}"
                span = Span(data.from_on.isoformat(), _day(data.through_on), data.tin or "", ref)
                adoption.rosters[key] = coverage.overlay(adoption.rosters.get(key, []), span, data.listed)
            case "carepact.ReferenceValueSet.v1":
                value = [data.from_on.isoformat(), data.value, data.unit, data.source, ref]
                adoption.references.setdefault(f"{data.name}|{data.key}", []).append(value)
            case "carepact.EnrollmentFileReceived.v1" | "carepact.RemittanceReceived.v1":
                pass  # kept for those who ask; no clause rests on them
            case _:
                raise AssertionError(f"no rule for the broadcast {fact.type}")
        self._everyone = sweep is not None and sweep.everyone
        return sweep

    def _adopt_terms(self, data: TermsAdopted, ref: Ref) -> Sweep | None:
        if data.contract != self.contract:
            return None
        if digest_of(data.content) != data.digest:
            raise OtherBuild(f"{self.payer}: adopted terms {data.sheet_version} do not have the digest they name")
        held = self.adoption.sheets.get(data.plan)
        if held is not None and held.digest == data.digest:
            return None
        sheet = Sheet(data.sheet_version, data.digest, ref, data.content)
        try:
            _compile(self._make, sheet, self.follows_work)
        except (ContractError, KeyError, ValueError) as error:
            reason = error if isinstance(error, ContractError) else f"{type(error).__name__}: {error}"
            raise OtherBuild(f"{self.payer}: this build cannot read terms {data.sheet_version}: {reason}") from error
        self.adoption.sheets[data.plan] = sheet
        self._rules.clear()
        return Sweep(everyone=True) if held is not None or data.plan else None

    def _rules_for(self, plan: str) -> Rules:
        rules = self._rules.get(plan)
        if rules is None:
            sheet = self.adoption.sheets.get(plan) or self.adoption.sheets.get("")
            if sheet is None:
                raise NotAdopted(
                    f"{self.payer}: no terms of {self.contract} are adopted; run 'carepact up' to adopt them"
                )
            if not self.adoption.contract_digest:
                raise NotAdopted(f"{self.payer}: no build of {self.contract} is adopted; run 'carepact up' to adopt it")
            if self.adoption.contract_digest != self._digest:
                raise OtherBuild(
                    f"{self.payer}: the log adopted {self.contract} build {self.adoption.build} "
                    f"({self.adoption.contract_digest[:12]}), this worker has {self._digest[:12]}; "
                    "start that build, or adopt this one"
                )
            rules = self._rules[plan] = _compile(self._make, sheet, self.follows_work)
        return rules

    # -- what to load ----------------------------------------------------------------------------------------------

    def needs(self, fact: Fact) -> Needs:
        """A claim's family and the months its days may reach; all that coverage may reach; the month of hours."""
        kind = fact.type
        if kind in CLAIMS:
            return Needs((fact.data.family,), month_before(_first_day(fact), self._reach_months))
        if kind == "carepact.EnrollmentChanged.v1":
            return Needs(since=month_before(fact.data.from_on.isoformat(), self._reach_months))
        if kind in ("carepact.MemberDescribed.v1", "carepact.MemberRetired.v1"):
            return Needs(since=ALL)
        if self.follows_work and kind in employment.WORK:
            return Needs(since=employment.since(fact))
        return Needs()

    def sweep_since(self, member: Member) -> str:
        """The months of the earliest episode that waits for time; all of them when everyone is touched."""
        if self._everyone:
            return ALL
        return month_before(min(member.head.due), self._reach_months) if member.head.due else NONE

    def _whole_from(self, member: Member) -> str:
        """The first month of which an episode's evidence is all loaded, with what it looks back to."""
        if member.since in (ALL, NONE):
            return member.since
        return month_before(f"{member.since}-01", -self._lookback_months)

    def due_on(self, member: Member) -> str:
        """The next day on which time alone changes something for this member."""
        return min(member.head.due.values()) if member.head.due else ""

    # -- evolve and decide -----------------------------------------------------------------------------------------

    def apply(self, member: Member, fact: Fact) -> Outcome:
        """One fact of one member: what it says, then what follows from it."""
        rules = self._rules_for(fact.plan)
        touched = self.evolve(member, fact, rules)
        return self.decide(member, fact, rules, touched) if touched is not None else Outcome()

    def record(self, member: Member, fact: Fact) -> None:
        """What a fact says, and nothing decided: for whoever decides once at the end, by `revisit`."""
        self.evolve(member, fact, self._rules_for(fact.plan))

    def revisit(self, member: Member, fact: Fact) -> Outcome:
        """A broadcast touched the member: decide all loaded episodes again."""
        if self._everyone:
            member.traces.clear()  # they were made by the terms as they stood
        return self.decide(member, fact, self._rules_for(member.head.plan), Touched(everything=True))

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
                span = Span(data.from_on.isoformat(), _day(data.through_on), data.code or "", _ref(fact))
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
                    aged = self.follows_work and born != head.birth_year
                    return Touched(everything=True) if aged and head.episodes else None
                head.died_on, head.died_ref = died_on, _ref(fact)
                member.traces.clear()
                return Touched(everything=True) if head.episodes else None
            case "carepact.MemberRetired.v1":
                head.retired = True
                member.dirty.add(("head", ""))
                return Touched(everything=True)
            case kind if self.follows_work and kind in employment.WORK:
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
                if (since := month_before(start, self._lookback_months)) < member.since:
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
            if days and (since := month_before(min(days), self._reach_months)) < member.since:
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
                if shifts(member, calendar, fill, come):
                    touched.chain(fill)

    def decide(self, member: Member, fact: Fact, rules: Rules, touched: Touched) -> Outcome:
        """The difference between what the evidence supports now and what stands."""
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
        for start in member.head.episodes:
            award = _award(member, start)
            if start in opened:
                self._judge(member, fact, rules, member.episodes[start], touched, outcome)
            elif start >= rest or (start <= last and rules.clauses.calendar.ends_on(start) >= first):
                self._touch(member, fact, rules, member.episodes[start], touched, moved, outcome, start >= rest)
            if rules.follower is not None and _award(member, start) != award:
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
                episode.spend = [held + amount for held, amount in zip(episode.spend, amounts, strict=True)]
        if spent:
            member.dirty.add(("episode", start))
        if judge or any(start <= day <= end for day in moved.days):
            self._judge(member, fact, rules, episode, touched, outcome)
        elif spent:
            self._expenditure(member, fact, episode, rules.clauses.expenditure_cents(episode), outcome)

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
        member.windows.pop(episode.started_on, None)
        self._settle(member, fact, rules, episode, [], outcome)
        if rules.follower is not None:
            self._follow(member, fact, episode, False, Standing(), outcome)
            self._awarded(member, episode.started_on, [])
        judgement = Judgement("cancelled", "member_retired" if member.head.retired else "trigger_moved")
        self._version(member, fact, episode, judgement, episode.cancer_type, episode.practice, outcome)
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
        self._version(member, fact, episode, judgement, cancer, clauses.practice(window), outcome)
        follower, until = rules.follower, FOREVER
        if follower is not None:
            before = _before(member.head.episodes, episode.started_on)
            eligible, standing = follower.follow(member, episode, before, self.adoption.closed_through)
            self._follow(member, fact, episode, eligible, standing, outcome)
            until = standing.next_on or FOREVER
        services = touched.moved is not None and touched.moved.services
        if touched.everything or touched.coverage or services or episode.version != version or follower:
            due = clauses.owed(member, episode, window, self.adoption) if judgement.included else []
            self._settle(member, fact, rules, episode, due, outcome)
            if follower is not None:
                self._awarded(member, episode.started_on, due)
            until = min(until, clauses.due_on(episode, self.adoption.closed_through) or FOREVER)
            self._wait(member, episode.started_on, "" if until == FOREVER else until)
        self._expenditure(member, fact, episode, clauses.expenditure_cents(episode), outcome)

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
        episode.period = performance_period(episode.started_on)
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

    # -- payments --------------------------------------------------------------------------------------------------

    def _settle(
        self, member: Member, fact: Fact, rules: Rules, episode: Episode, due: list[Due], outcome: Outcome
    ) -> None:
        """Reverse what is no longer supported, determine what newly is; leave alone what stands."""
        wanted = {f"{d.kind}|{d.period}": d for d in due}
        reversed_by: dict[str, str] = {}
        for key, owed in list(episode.owed.items()):
            want = wanted.get(key)
            if want is not None and _same(owed, want):
                del wanted[key]
                continue
            del episode.owed[key]
            self._reverse(member, fact, rules, episode, owed, outcome)
            reversed_by[key] = owed.payment_id
        for key, want in wanted.items():
            self._determine(member, fact, rules, episode, key, want, reversed_by.get(key, ""), outcome)

    def _reverse(
        self, member: Member, fact: Fact, rules: Rules, episode: Episode, owed: Owed, outcome: Outcome
    ) -> None:
        name = payment_id(self.contract, episode.episode_id, owed.kind, owed.period, fact.fact_id, owed.payment_id, 0)
        lines = [
            {
                "clause": clause,
                "label": f"Reversal: {label}",
                "arithmetic": f"-({money(amount)}) of payment {owed.payment_id}",
                "amount_cents": -amount,
                "terms": [],
            }
            for clause, label, amount in owed.components
        ]
        facts = [(_ref(fact), CAUSES.get(_cause(fact), _cause(fact)).replace("_", " "))]
        self._emit(
            member, fact, rules, episode, outcome, name, owed.kind, -owed.amount_cents, owed.practice, owed.period,
            owed.effective_on, owed.payment_id, "", lines, facts,
        )  # fmt: skip

    def _determine(
        self,
        member: Member,
        fact: Fact,
        rules: Rules,
        episode: Episode,
        key: str,
        due: Due,
        supersedes: str,
        outcome: Outcome,
    ) -> None:
        amount = due.amount_cents
        explained, rests_on = due.explain()
        assert sum(line.amount_cents for line in explained) == amount
        name = payment_id(self.contract, episode.episode_id, due.kind, due.period, fact.fact_id, "", 0)
        components = [[line.clause, line.label, line.amount_cents] for line in explained]
        episode.owed[key] = Owed(
            name, due.kind, due.period, amount, due.practice, due.effective_on, due.basis, components
        )
        lines = [
            {
                "clause": line.clause,
                "label": line.label,
                "arithmetic": line.arithmetic,
                "amount_cents": line.amount_cents,
                "terms": [term.as_use() for term in line.terms],
            }
            for line in explained
        ]
        facts = [*rests_on, (rules.sheet.ref, f"terms {rules.sheet.version} of {self.contract} adopted")]
        self._emit(
            member, fact, rules, episode, outcome, name, due.kind, amount, due.practice, due.period, due.effective_on,
            "", supersedes, lines, facts,
        )  # fmt: skip

    def _emit(
        self,
        member: Member,
        fact: Fact,
        rules: Rules,
        episode: Episode,
        outcome: Outcome,
        name: str,
        kind: str,
        amount: int,
        practice: str,
        period: str,
        effective_on: str,
        reverses: str,
        supersedes: str,
        lines: list[dict[str, Any]],
        facts: list[tuple[Ref, str]],
    ) -> None:
        head = member.head
        head.sequence += 1
        member.dirty.update((("head", ""), ("episode", episode.started_on)))
        event = {
            "payment_id": name,
            "payer": self.payer,
            "plan": head.plan,
            "contract": self.contract,
            "contract_version": rules.sheet.version,
            "contract_digest": self._digest,
            "kind": kind,
            "amount_cents": amount,
            "currency": "USD",
            "member": member.token,
            "episode_id": episode.episode_id,
            "practice": practice or None,
            "period": period,
            "effective_on": effective_on,
            "reverses": reverses or None,
            "supersedes": supersedes or None,
            "cause": fact.fact_id,
            "cause_kind": CAUSES.get(_cause(fact), _cause(fact)),
            "lines": lines,
            "facts": [
                {
                    "event_id": event_id,
                    "type": kind,
                    "position": {"topic": fact.topic, "partition": fact.partition, "offset": offset},
                    "says": says,
                }
                for (event_id, kind, offset), says in ((read_ref(ref), says) for ref, says in facts)
            ],
            "position": {"topic": fact.topic, "partition": fact.partition, "offset": fact.offset},
        }
        outcome.payments.append(
            Payment(
                name, member.token, head.plan, self.contract, kind, amount, episode.episode_id, practice, period,
                effective_on, reverses, supersedes, fact.fact_id, head.sequence, fact.offset, event,
            )
        )  # fmt: skip


def performance_period(start: str) -> int:
    """The half-year of initiation, counted from 2023-07-01 = 1 (EOM 1.1); 0 before it."""
    return max(0, (int(start[:4]) - 2023) * 2 + (1 if start[5:7] >= "07" else 0))


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


def _same(owed: Owed, due: Due) -> bool:
    """Whether a payment in force is what the evidence still supports: same money, and its own basis still stands."""
    return (
        owed.amount_cents == due.amount_cents
        and owed.practice == due.practice
        and (owed.basis == due.basis or owed.basis in due.alternatives)
    )


def _cause(fact: Fact) -> str:
    action: str = fact.data.action if fact.type in CLAIMS else fact.type
    return action


def _ref(fact: Fact) -> Ref:
    return ref_to(fact.fact_id, fact.type, fact.offset)


def _day(day: Any) -> str:
    return FOREVER if day is None else str(day.isoformat())


def _first_day(fact: Fact) -> str:
    data = fact.data
    first: date
    match fact.type:
        case "carepact.ProfessionalClaimReceived.v1":
            first = min(line.service_on for line in data.lines)
        case "carepact.InstitutionalClaimReceived.v1":
            days = [line.service_on for line in data.lines]
            first = min(*days, data.from_on, data.admitted_on or data.from_on)
        case _:
            first = data.filled_on
    return first.isoformat()
