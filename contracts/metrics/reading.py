"""Facts of a log up to a cut, made into records. The order in which they came matters to nothing but what facts say.

Of a claim what stands after voids and replacements is kept, of a questionnaire or finding its last word, of a record
of work its highest version. What is tagged under 42 CFR Part 2 makes no record that a metric reads: claims are kept
apart, all versions of one that has a tagged one, for the payer's own money alone. Facts of one id are to be given once;
a member whose token was retired has no record.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from contracts import coverage
from contracts.authorizations import Authorizations
from contracts.claims import survivors
from contracts.envelope import Fact
from contracts.evidence import NOT_PRIMARY
from contracts.instruments import score
from contracts.instruments.alerts import alerts_of
from contracts.metrics.records import (
    INSTITUTIONAL,
    PHARMACY,
    PROFESSIONAL,
    Answer,
    Authorization,
    Claim,
    Contact,
    Denied,
    EpisodeRecord,
    Evidence,
    Finding,
    Listed,
    MemberRecord,
    Service,
    Tier,
)
from contracts.part2 import PART2
from contracts.parts import ClaimRecord, Ref, Span, Unit, ref_to
from contracts.units import FOREVER

FORMS = {
    "carepact.ProfessionalClaimReceived.v1": PROFESSIONAL,
    "carepact.InstitutionalClaimReceived.v1": INSTITUTIONAL,
    "carepact.PharmacyClaimReceived.v1": PHARMACY,
}
NO_REF: Ref = (b"", "", 0)


@dataclass(slots=True)
class _Versions:
    """The versions of one claim, each with its data."""

    records: list[ClaimRecord] = field(default_factory=list)
    data: list[tuple[str, Any]] = field(default_factory=list)
    part2: bool = False


@dataclass(slots=True)
class _Member:
    """One member's facts as far as read; of what has an id, the last word."""

    plan: str = ""
    birth_year: int = 0
    sex: str = ""
    died_on: str = ""
    retired: bool = False
    coverage: list[Span] = field(default_factory=list)
    claims: dict[str, _Versions] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    experience: dict[str, Answer] = field(default_factory=dict)
    contacts: dict[str, Contact] = field(default_factory=dict)
    asked: dict[str, tuple[str, str]] = field(default_factory=dict)
    decided: dict[str, list[tuple[str, str, Fraction | None]]] = field(default_factory=lambda: defaultdict(list))
    findings: dict[str, Finding] = field(default_factory=dict)
    tiers: dict[tuple[str, str], Tier] = field(default_factory=dict)
    programs: dict[tuple[str, str, str], Listed] = field(default_factory=dict)
    demands: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    leaves: dict[str, tuple[int, Listed | None]] = field(default_factory=dict)
    authorizations: Authorizations = field(default_factory=Authorizations)


class Reader:
    """Reads facts of one log, of any number of partitions, each in its order."""

    def __init__(self) -> None:
        self._members: dict[str, _Member] = defaultdict(_Member)
        self._rosters: dict[str, list[Span]] = {}
        self._inputs: dict[str, tuple[str, str]] = {}
        self.closed_through = ""

    def take(self, fact: Fact) -> None:
        """The next fact; of a broadcast one partition's copy is enough, and another changes nothing."""
        data = fact.data
        self._inputs[fact.fact_id] = (fact.plan if fact.member else "", fact.digest)
        if fact.member:
            member = self._members[fact.member]
            member.plan = member.plan or fact.plan
            _take(member, fact)
        elif fact.type == "carepact.DayClosed.v1":
            self.closed_through = max(self.closed_through, data.through_on.isoformat())
        elif fact.type == "carepact.NetworkRosterChanged.v1":
            key = f"{data.roster}|{data.provider}"
            span = Span(data.from_on.isoformat(), _through(data.through_on), data.tin or "", NO_REF)
            self._rosters[key] = coverage.overlay(self._rosters.get(key, []), span, data.listed)

    def evidence(self, plan: str, episodes: Mapping[str, Iterable[EpisodeRecord]] | None = None) -> Evidence:
        """One plan's records; `episodes` by member are what its contract decided."""
        decided = episodes or {}
        members = {
            token: _record(token, member, tuple(decided.get(token, ())), self.closed_through)
            for token, member in sorted(self._members.items())
            if member.plan == plan and not member.retired
        }
        rosters = {
            key: tuple(Listed(span.start, span.through, span.code) for span in spans)
            for key, spans in sorted(self._rosters.items())
        }
        inputs = tuple(sorted((name, digest) for name, (of, digest) in self._inputs.items() if of in ("", plan)))
        return Evidence(plan, self.closed_through, members, rosters, inputs)


def _take(member: _Member, fact: Fact) -> None:
    data, part2 = fact.data, fact.sensitivity == PART2
    member.authorizations.take(fact)
    match fact.type:
        case kind if kind in FORMS:
            tagged = part2 or PART2 in data.sensitivity
            _claim(member, FORMS[kind], data, ref_to(fact.fact_id, kind, fact.offset), tagged)
        case _ if part2:
            pass
        case "carepact.EnrollmentChanged.v1" if data.coverage == "plan":
            span = Span(data.from_on.isoformat(), _through(data.through_on), data.code or "", NO_REF)
            member.coverage = coverage.overlay(member.coverage, span, data.covered)
        case "carepact.MemberDescribed.v1":
            member.birth_year, member.sex = data.birth_year or member.birth_year, data.sex or member.sex
            member.died_on = data.died_on.isoformat() if data.died_on else member.died_on
        case "carepact.MemberRetired.v1":
            member.retired = True
        case "carepact.EproResponseReceived.v1":
            _word(member.answers, data, data.response_id, data)
        case "carepact.ExperienceSurveyReceived.v1":
            scores = tuple(sorted((one.name, Fraction(one.value)) for one in data.scores))
            member.experience[data.response_id] = Answer(data.completed_on.isoformat(), data.survey, scores)
        case "carepact.ClinicalFactRecorded.v1":
            found = Finding(data.observed_on.isoformat(), data.element, data.value)
            _word(member.findings, data, data.record_id, found)
        case "carepact.ProgramContactRecorded.v1":
            member.contacts[data.record_id] = Contact(data.contact_on.isoformat(), data.program, data.contact)
        case "carepact.PriorAuthorizationRequested.v1":
            member.asked[data.request_id] = (data.requested_on.isoformat(), data.code)
        case "carepact.PriorAuthorizationDecided.v1":
            hours = None if data.hours is None else Fraction(data.hours)
            member.decided[data.request_id].append((data.decided_on.isoformat(), data.decision, hours))
        case "carepact.FormularyTierSet.v1":
            drug, since = data.code or data.ndc or "", data.from_on.isoformat()
            member.tiers[drug, since] = Tier(since, drug, data.tier, data.member_cost_cents)
        case "carepact.RosterAttested.v1":
            since = data.from_on.isoformat()
            member.programs[data.program, data.provider, since] = Listed(
                since, _through(data.through_on), data.provider
            )
        case "carepact.EmploymentChanged.v1":
            if data.record_version > member.demands.get(data.record_id, (0,))[0]:
                member.demands[data.record_id] = (data.record_version, data.from_on.isoformat(), data.demand)
        case "carepact.LeaveChanged.v1":
            if data.record_version > member.leaves.get(data.leave_id, (0,))[0]:
                counts = data.continuity == "continuous" and data.status != "denied"
                leave = Listed(data.from_on.isoformat(), _through(data.through_on), data.status)
                member.leaves[data.leave_id] = (data.record_version, leave if counts else None)
        case _:
            pass  # what no metric asks


def _word(held: dict[str, Any], data: Any, name: str, record: Any) -> None:
    """The last word of an id: one entered in error takes it back."""
    if data.status == "entered_in_error":
        held.pop(name, None)
    else:
        held[name] = record


def _answers(held: dict[str, Any]) -> tuple[Answer, ...]:
    """Completed questionnaires, scored; those a nurse had to see are told by the alerts they raised."""
    told = sorted(held.values(), key=lambda one: (one.collected_on, one.response_id))
    red = {
        alert.response_id
        for alert in alerts_of((one, None) for one in told)
        if alert.is_open and alert.finding.level == "RED"
    }
    return tuple(_answer(one, one.response_id in red) for one in told)


def _answer(data: Any, red: bool) -> Answer:
    scored = score(data)
    return Answer(
        data.collected_on.isoformat(),
        scored.instrument or data.instrument,
        tuple(sorted((one.name, Fraction(one.value)) for one in scored.scores)),
        tuple(sorted((name, grade) for name, grade in scored.grades.items() if grade is not None)),
        scored.needs,
        red,
    )


# -- claims -----------------------------------------------------------------------------------------------------------


def _claim(member: _Member, form: str, data: Any, ref: Ref, tagged: bool) -> None:
    silent = data.denied or data.primary_payer in NOT_PRIMARY
    if form == PROFESSIONAL:
        units = [Unit(one.line, one.paid_cents, [], [], not (silent or one.denied)) for one in data.lines]
    else:
        units = [Unit(0 if form == INSTITUTIONAL else 1, data.paid_cents, [], [], not silent)]
    versions = member.claims.setdefault(data.family, _Versions())
    versions.part2 |= tagged
    made = data.effective_on.isoformat()
    versions.records.append(ClaimRecord(data.claim_id, data.action, data.replaces or "", made, ref, units))
    versions.data.append((form, data))


def _standing(versions: _Versions) -> Iterable[Claim]:
    """What stands of a claim."""
    lines: dict[int, list[int]] = defaultdict(list)
    for record, unit in survivors(versions.records):
        lines[record].append(unit)
    for record, units in lines.items():
        form, data = versions.data[record]
        yield _made(form, data, units)


def _made(form: str, data: Any, units: list[int]) -> Claim:
    if form == PROFESSIONAL:
        lines = tuple(_line(data.lines[at], data.billing_npi or data.billing_tin or "") for at in units)
        allowed, paid = sum(one.allowed_cents for one in lines), sum(one.paid_cents for one in lines)
        first, last = min(one.on for one in lines), max(one.on for one in lines)
        return Claim(
            data.claim_id, form, first, last, provider=data.billing_npi or "", tin=data.billing_tin or "",
            diagnoses=data.diagnoses, allowed_cents=allowed, paid_cents=paid, lines=lines,
        )  # fmt: skip
    if form == INSTITUTIONAL:
        provider = data.facility or data.billing_npi or ""
        admitted = data.admitted_on or data.from_on
        allowed = data.paid_cents if data.allowed_cents is None else data.allowed_cents
        return Claim(
            data.claim_id, form, data.from_on.isoformat(), (data.discharged_on or data.through_on).isoformat(),
            data.setting, data.type_of_bill or "", provider, data.billing_tin or "", data.diagnoses,
            admitted.isoformat(), allowed, data.paid_cents,
            tuple(_line(one, provider or data.billing_tin or "") for one in data.lines if not one.denied),
        )  # fmt: skip
    on, cost = data.filled_on.isoformat(), data.paid_cents if data.total_cost_cents is None else data.total_cost_cents
    line = Service(
        on, ndc=data.ndc or "", units=Fraction(data.quantity or 0), allowed_cents=cost, paid_cents=data.paid_cents,
        member_cents=data.member_paid_cents, provider=data.pharmacy_npi or "",
    )  # fmt: skip
    return Claim(
        data.claim_id, form, on, on, provider=line.provider, allowed_cents=cost, paid_cents=data.paid_cents,
        lines=(line,),
    )  # fmt: skip


def _line(line: Any, provider: str) -> Service:
    allowed = line.paid_cents if line.allowed_cents is None else line.allowed_cents
    owes = None if line.allowed_cents is None else max(0, line.allowed_cents - line.paid_cents)
    return Service(
        line.service_on.isoformat(), line.code or "", line.ndc or "", line.revenue_center or "",
        line.place_of_service or "", line.modifiers, line.diagnoses, Fraction(line.units or 0), allowed,
        line.paid_cents, owes, provider,
    )  # fmt: skip


def _refused(versions: _Versions) -> Iterable[Denied]:
    """Lines denied, of the versions of a claim that no void or replacement names."""
    named = {data.replaces for _, data in versions.data if data.action in ("void", "replacement")}
    for form, data in versions.data:
        if form == PHARMACY or versions.part2 or data.action == "void" or data.claim_id in named:
            continue
        for line in data.lines:
            if line.code and (data.denied or line.denied):
                yield Denied(line.service_on.isoformat(), line.code)


def _record(token: str, member: _Member, episodes: tuple[EpisodeRecord, ...], on: str) -> MemberRecord:
    claims, withheld = (
        sorted(
            (one for versions in member.claims.values() if versions.part2 == part2 for one in _standing(versions)),
            key=lambda one: (one.on, one.form, one.claim_id),
        )
        for part2 in (False, True)
    )
    denied = [line for versions in member.claims.values() for line in _refused(versions)]
    asked = [
        Authorization(on, code, tuple(sorted(member.decided.get(name, ()), key=lambda one: one[:2])))
        for name, (on, code) in member.asked.items()
    ]
    return MemberRecord(
        token, member.birth_year, member.sex, member.died_on,
        tuple(Listed(span.start, span.through, span.code) for span in member.coverage),
        tuple(claims),
        tuple(sorted(denied, key=lambda one: (one.on, one.code))),
        _answers(member.answers),
        tuple(sorted(member.experience.values(), key=lambda one: (one.on, one.instrument, one.scores))),
        tuple(sorted(member.contacts.values(), key=lambda one: (one.on, one.program, one.contact))),
        tuple(sorted(asked, key=lambda one: (one.requested_on, one.code, _first(one)))),
        tuple(sorted(member.findings.values(), key=lambda one: (one.on, one.element, one.value))),
        tuple(sorted(member.tiers.values(), key=lambda one: (one.from_on, one.drug))),
        tuple((key[0], member.programs[key]) for key in sorted(member.programs)),
        tuple(sorted((on, demand) for _, on, demand in member.demands.values())),
        tuple(sorted((leave for _, leave in member.leaves.values() if leave), key=lambda o: (o.from_on, o.through_on))),
        tuple(withheld),
        episodes,
        member.authorizations.recipients(PART2, on),
    )  # fmt: skip


def _first(asked: Authorization) -> str:
    return asked.decisions[0][0] if asked.decisions else ""


def _through(day: Any) -> str:
    return FOREVER if day is None else str(day.isoformat())
