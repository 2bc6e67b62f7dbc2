"""What a partition's log has adopted, and the rules that follow: terms, clauses, time, practices.

A broadcast is recorded as it comes; some are a cause for every member, or for those for whom time has come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts import coverage
from contracts.clauses import Clauses, FollowsWork
from contracts.envelope import Fact
from contracts.errors import BadSheet, ContractError
from contracts.events import TermsAdopted
from contracts.evidence import CodeSets
from contracts.fold import NotAdopted, OtherBuild, Sweep
from contracts.parts import Adoption, Ref, Sheet, Span, ref_to
from contracts.terms import TermSheet, digest_of
from contracts.units import last_day

OF_PRACTICES = frozenset(
    f"carepact.{name}.v1" for name in ("RedesignActivityEvidenced", "CarePartnerArranged", "BenefitEnhancementElected")
)
EPISODE_MONTHS, LOOKBACK_DAYS = 6, 59
"""The most that a sheet may ask for: what the fold loads."""


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


class Adopted:
    """One contract as one partition has adopted it; `adoption` is what is stored of it."""

    def __init__(
        self, payer: str, contract: str, build_digest: str, make: Any, adoption: Adoption, follows_work: bool
    ) -> None:
        self.payer = payer
        self.contract = contract
        self.adoption = adoption
        self.follows_work = follows_work
        self._digest = build_digest
        self._make = make
        self._rules: dict[str, Rules] = {}

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
                span = Span(data.from_on.isoformat(), last_day(data.through_on), data.pool or "", ref)
                spans = coverage.overlay(adoption.practices.get(data.practice, []), span, data.participates)
                adoption.practices[data.practice] = spans
                sweep = Sweep(everyone=True)
            case "carepact.RiskArrangementSet.v1":
                adoption.arrangements.setdefault(data.practice, []).append([data.from_period, data.arrangement, ref])
            case "carepact.NetworkRosterChanged.v1":
                key = f"{data.roster}|{data.provider}"
                span = Span(data.from_on.isoformat(), last_day(data.through_on), data.tin or "", ref)
                adoption.rosters[key] = coverage.overlay(adoption.rosters.get(key, []), span, data.listed)
            case "carepact.ReferenceValueSet.v1":
                value = [data.from_on.isoformat(), data.value, data.unit, data.source, ref]
                adoption.references.setdefault(f"{data.name}|{data.key}", []).append(value)
            case "carepact.EnrollmentFileReceived.v1" | "carepact.RemittanceReceived.v1":
                pass  # kept for those who ask; no clause rests on them
            case kind if kind in OF_PRACTICES:
                pass  # as above (contracts/practice_facts.py)
            case _:
                raise AssertionError(f"no rule for the broadcast {fact.type}")
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

    def rules_for(self, plan: str) -> Rules:
        """The rules in force for a plan ('' is a payer's own); a refusal when there are none, or not this build's."""
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
