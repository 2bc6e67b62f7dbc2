"""What an employer's settlement and report rest on: a log read once up to a cut, by the code that folds it.

The fold decides after every fact; here each member's facts are recorded, and decided once at the end. What an episode
or a return is does not depend on the order of facts, so both come to the same; a test holds them equal. Claims, answers
and contacts become the records that metrics read. Facts of one id are to be given once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction

from contracts.decision import ContractFold
from contracts.employers import CONTRACT, EmployerClauses
from contracts.envelope import Fact
from contracts.episode import Window, at_risk_until, gather, spend_of
from contracts.evidence import CodeSets
from contracts.fold import NotAdopted, OtherBuild
from contracts.metrics.care import metastatic
from contracts.metrics.reading import Reader
from contracts.metrics.records import EpisodeRecord, Evidence, MemberRecord
from contracts.metrics.returns import UNKNOWN, ReturnRecord, record_of
from contracts.parts import Adoption, Episode, Member, Sheet
from contracts.roster import MAKERS, contract_digest
from contracts.terms import TermSheet
from contracts.units import add_days
from contracts.work import BONUS

HARMS = ("fatigue", "pain")
SEVERE, SYMPTOM_DAYS = 3, 90
AGES = ((18, 44), (45, 54), (55, 64))


@dataclass(slots=True)
class PlanEvidence:
    """One plan at a cut: its records, the returns of the people followed, and the terms it is under."""

    plan: str
    sheet: Sheet
    evidence: Evidence
    returns: dict[str, ReturnRecord] = field(default_factory=dict)
    failed: int = 0

    @property
    def episodes(self) -> list[tuple[MemberRecord, EpisodeRecord]]:
        """Every episode with its member."""
        return [(member, one) for member in self.evidence.members.values() for one in member.episodes]


class EmployerGatherer:
    """Partitions of an employers' log, one after the other, each in its order."""

    def __init__(self, payer: str) -> None:
        self.payer = payer
        self.adoption = Adoption()
        self._reader = Reader()
        self._decided: dict[str, dict[str, list[EpisodeRecord]]] = defaultdict(dict)
        self._returns: dict[str, dict[str, ReturnRecord]] = defaultdict(dict)
        self._failed: dict[str, set[str]] = defaultdict(set)
        self._compiled: dict[str, tuple[EmployerClauses, CodeSets]] = {}
        self.partition(0)

    def partition(self, number: int) -> None:
        """The next partition begins."""
        self._number = number
        digest, make = contract_digest(CONTRACT), MAKERS[CONTRACT]
        self._fold = ContractFold(self.payer, CONTRACT, digest, make, Adoption(), follows_work=True)
        self._members: dict[str, tuple[Member, Fact]] = {}

    def take(self, fact: Fact) -> None:
        """The next fact of the partition."""
        self._reader.take(fact)
        if not fact.member:
            self._fold.adopt(fact)
        elif fact.member not in self._failed[fact.plan]:
            held = self._members.get(fact.member)
            if held is None:
                member = Member(self.payer, self._number, fact.member)
                member.since = ""
            else:
                member = held[0]
            self._members[fact.member] = member, fact
            with self._parking(fact.plan, fact.member):
                self._fold.record(member, fact)

    @contextmanager
    def _parking(self, plan: str, token: str) -> Iterator[None]:
        """The live fold parks a member whose fact raises; here its plan is not settled."""
        try:
            yield
        except (NotAdopted, OtherBuild):
            raise
        except Exception:
            self._failed[plan].add(token)
            self._members.pop(token, None)

    def close(self) -> None:
        """The partition is read to the cut: what its members come to is kept, and they are let go of."""
        self.adoption = self._fold.adoption
        for token, (member, last) in list(self._members.items()):
            with self._parking(last.plan, token):
                self._fold.revisit(member, last)
        for token, (member, _) in self._members.items():
            plan = member.head.plan
            sheet = self.sheet(plan)
            if sheet is None or member.head.retired:
                continue
            clauses, codes = self._rules(sheet)
            self._decided[plan][token] = [
                _episode(member, member.episodes[start], clauses) for start in member.head.episodes
            ]
            self._follow(member, clauses, codes)
        self._members = {}

    def _rules(self, sheet: Sheet) -> tuple[EmployerClauses, CodeSets]:
        if sheet.digest not in self._compiled:
            terms = TermSheet(sheet.content)
            self._compiled[sheet.digest] = EmployerClauses(terms), CodeSets(terms)
        return self._compiled[sheet.digest]

    def sheet(self, plan: str) -> Sheet | None:
        """The terms a plan is under at the cut."""
        return self.adoption.sheets.get(plan) or self.adoption.sheets.get("")

    def _follow(self, member: Member, clauses: EmployerClauses, codes: CodeSets) -> None:
        """A record of each episode whose person is followed; what only records tell is filled in by `plan`."""
        before, closed = "", self.adoption.closed_through
        for start in member.head.episodes:
            episode, followed = member.episodes[start], member.employment.followed.get(start)
            if closed and followed is not None and followed.eligible:
                made = clauses.trace(member, episode, before)
                intensity = _intensity(gather(member, start, episode.ends_on), codes)
                stratum = (episode.cancer_type or UNKNOWN, UNKNOWN, intensity, UNKNOWN, _age(member, start))
                self._returns[member.head.plan][episode.episode_id] = record_of(
                    made, member.employment, closed, member.token, episode.episode_id, episode.practice, stratum
                )
            before = start

    def plans(self) -> list[str]:
        """Every plan there are members of."""
        return sorted({*self._decided, *(plan for plan, failed in self._failed.items() if failed)})

    def plan(self, plan: str) -> PlanEvidence:
        """One plan's evidence, after all partitions are closed."""
        sheet = self.sheet(plan)
        if sheet is None:
            raise NotAdopted(f"{self.payer}: no terms of {CONTRACT} are adopted")
        terms = TermSheet(sheet.content)
        evidence = self._reader.evidence(plan, self._decided[plan])
        members = {token: _with_targets(member, terms) for token, member in evidence.members.items()}
        returns = {name: _told(one, members.get(one.member)) for name, one in sorted(self._returns[plan].items())}
        return PlanEvidence(plan, sheet, replace(evidence, members=members), returns, len(self._failed[plan]))


def _episode(member: Member, episode: Episode, clauses: EmployerClauses) -> EpisodeRecord:
    """An episode as decided; one that lost its coverage is expected to cost its part, through its last covered day."""
    fees = sum(owed.amount_cents for owed in episode.owed.values() if owed.kind != BONUS)
    start, end, part = episode.started_on, episode.ends_on, Fraction(1)
    lost_on, _ = clauses.lost_on(member, start, at_risk_until(member, end)) if episode.included else ("", "")
    spent = episode.expenditure_cents
    if lost_on:
        change = clauses.change(start, end, lost_on)
        end, part = change.through_on, change.part
        a_and_b, _, _, plan_paid = spend_of(member, start, end)
        spent = a_and_b + plan_paid
    return EpisodeRecord(
        episode.episode_id, start, end, episode.cancer_type, episode.practice, episode.included, spent, fees, part=part
    )


def _with_targets(member: MemberRecord, terms: TermSheet) -> MemberRecord:
    """Its episodes with what the sheet expects of each, by cancer and by spread."""
    if "episode_target" not in terms.content["terms"]:
        return member
    return replace(member, episodes=tuple(_with_target(member, one, terms) for one in member.episodes))


def _with_target(member: MemberRecord, episode: EpisodeRecord, terms: TermSheet) -> EpisodeRecord:
    if not episode.included:
        return episode
    table = by_name(terms.on("episode_target", episode.started_on).value)
    spread = by_name(terms.on("episode_target_spread", episode.started_on).value)
    target = table.get(episode.cancer)
    if target is None:
        return episode
    factor = spread["spread" if metastatic(member, episode.ends_on) else "none"]
    target *= 100 * episode.part
    return replace(episode, target_cents=round(target), expected_cents=round(target * factor))


def by_name(said: str) -> dict[str, Fraction]:
    """A term of the form 'breast:84000.00 lung:96000.00'."""
    return {name: Fraction(value) for name, value in (pair.split(":") for pair in said.split())}


def _intensity(window: Window, codes: CodeSets) -> str:
    """How therapy was given: hormonal, oral (fills alone), or infused."""
    kinds = {*window.drugs, *window.filled}
    if kinds and all(kind.startswith("hormonal") for kind in kinds):
        return "hormonal"
    return "infused" if window.drugs else "oral" if window.filled else UNKNOWN


def _age(member: Member, start: str) -> str:
    age = int(start[:4]) - member.head.birth_year if member.head.birth_year else -1
    return next((f"{low}-{high}" for low, high in AGES if low <= age <= high), UNKNOWN)


def _told(one: ReturnRecord, member: MemberRecord | None) -> ReturnRecord:
    """A person's record with stage and job demand, and what was reported of fatigue and pain after the return."""
    if member is None:
        return one
    start = next(episode.started_on for episode in member.episodes if episode.episode_id == one.episode_id)
    cancer, _, intensity, _, age = one.stratum
    demand = max(((on, said) for on, said in member.demands if on <= start), default=("", UNKNOWN))[1]
    return replace(
        one, stratum=(cancer, _stage(member, start), intensity, demand, age), symptoms=_symptoms(member, one)
    )


def _stage(member: MemberRecord, start: str) -> str:
    """early (0 to II), regional (III), metastatic (IV or spread), unknown; as recorded by the 60th day."""
    through = add_days(start, 60)
    if metastatic(member, through):
        return "metastatic"
    stage = member.finding("stage", through).upper().rstrip("ABC")
    return {"0": "early", "I": "early", "II": "early", "III": "regional"}.get(stage, UNKNOWN)


def _symptoms(member: MemberRecord, one: ReturnRecord) -> bool | None:
    """Whether fatigue or pain of grade 3 was reported in the 90 days after a return; None when nobody asked."""
    if not one.returned_on:
        return None
    last = add_days(one.returned_on, SYMPTOM_DAYS)
    grades = [
        grade
        for answer in member.answers
        if one.returned_on <= answer.on <= last
        for name, grade in answer.grades
        if name in HARMS
    ]
    return any(grade >= SEVERE for grade in grades) if grades else None
