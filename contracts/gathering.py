"""What a settlement rests on: each member's facts read once, and the episodes they come to at a cut.

The fold decides after every fact; a settlement asks only what stands at the end, so evidence is collected first and
judged once. What an episode is does not depend on the order in which claims came, so both come to the same; a test
holds them equal. Beside the fold's evidence this keeps what only a settlement asks: which part of the program paid,
what each therapy cost, admissions and emergency visits for complications, stage and markers, and why each claim is in
an episode or not. Facts of one id are to be given once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from contracts import coverage
from contracts.attribution import Attribution, attribute
from contracts.authorizations import Authorizations
from contracts.cases import Case, Claimed
from contracts.claims import survivors
from contracts.clauses import Clauses
from contracts.envelope import Fact, episode_id
from contracts.episode import Window, cancer_type, chain, gather
from contracts.evidence import CodeSets, of_claim
from contracts.evolving import CLAIMS
from contracts.fold import Fold, NotAdopted, OtherBuild
from contracts.in_or_out import never, within
from contracts.meos_lines import monthly_lines
from contracts.part2 import PART2
from contracts.parts import Adoption, ClaimRecord, Episode, Family, Member, Month, Owed, Ref, Sheet, Span, Unit, ref_to
from contracts.period import period_of
from contracts.practice_facts import PracticeFacts
from contracts.reference_values import References
from contracts.roster import MAKERS, contract_digest, fold_for
from contracts.terms import TermSheet
from contracts.units import FOREVER, add_days

PROFESSIONAL, INSTITUTIONAL, PHARMACY = (
    f"carepact.{name}ClaimReceived.v1" for name in ("Professional", "Institutional", "Pharmacy")
)
OF_A_MEMBER = frozenset(
    f"carepact.{name}.v1"
    for name in (
        "EnrollmentChanged",
        "MemberDescribed",
        "MemberRetired",
        "ClinicalFactRecorded",
        "AuthorizationGiven",
        "AuthorizationRevoked",
    )
)
"""What is read of a member beside claims."""

TIES = "latest_visit last_digit"
YES = frozenset({"yes", "true", "positive", "LA6576-8"})
BIOSIMILAR = "Q5"
"""How the HCPCS codes of biosimilars begin."""

ADMISSION, EMERGENCY = "admission", "emergency"
SHORT_TERM = (("0001", "0879"), ("1300", "1399"))
"""Last four of a hospital's CCN: short-term acute, and critical access (OCM methodology)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A sheet compiled for gathering."""

    terms: TermSheet
    clauses: Clauses
    codes: CodeSets
    emergency: frozenset[str]
    complications: dict[str, str]

    @classmethod
    def of(cls, contract: str, sheet: Sheet) -> Rules:
        """Of an adopted sheet; a sheet without the value sets of quality knows no emergency visit."""
        terms = TermSheet(sheet.content)
        sets = sheet.content["value_sets"]
        emergency = frozenset(terms.codes("emergency")) if "emergency" in sets else frozenset()
        complications = terms.codes("complications") if "complications" in sets else {}
        return cls(terms, MAKERS[contract](terms), CodeSets(terms), emergency, complications)

    def attribution(self, window: Window) -> Attribution:
        """Whose the episode is; a sheet that names no ties breaks them as OCM did."""
        share = self.terms.on("attribution_share", window.start).number
        named = "attribution_ties" in self.terms.content["terms"]
        return attribute(window, share, self.terms.on("attribution_ties", window.start).value if named else TIES)

    def complication(self, diagnoses: tuple[str, ...]) -> bool:
        """EOM-1: one of the ten conditions as the main diagnosis, or as another one beside a main one of cancer."""
        if not diagnoses:
            return False
        named = diagnoses if self.codes.cancer(diagnoses[0]) else diagnoses[:1]
        return any(code[:n] in self.complications for code in named for n in (3, 4, 5, 6))


Stay = tuple[str, str]
"""(admission or emergency, its day): for a complication of therapy (EOM-1)."""


@dataclass(slots=True)
class Detail:
    """What a settlement asks of a claim's record: who was paid, therapies as [line, code, day, A and B, LIS, above].

    `biosimilars` are [line, code, day, units] of lines paid by their own price, not by a standardised amount.
    """

    component: str
    drugs: list[tuple[int, str, str, int, int, int]] = field(default_factory=list)
    stay: Stay | None = None
    emergency: bool = False
    biosimilars: list[tuple[int, str, str, str]] = field(default_factory=list)
    part2: bool = False

    @property
    def service(self) -> str:
        """The kind of claim, as it is told."""
        return EMERGENCY if self.emergency else self.component


@dataclass(slots=True)
class Dossier:
    """One member's facts as far as read; a claim with the rules in force at its place. At the cut, what they say."""

    member: Member
    facts: list[tuple[Fact, Rules | None]] = field(default_factory=list)
    details: dict[int, Detail] = field(default_factory=dict)
    clinical: dict[str, tuple[str, str, str, Ref]] = field(default_factory=dict)
    authorizations: Authorizations = field(default_factory=Authorizations)


class Gatherer:
    """One partition of a payer's log, read in order; afterwards `cases` are its episodes as of the last fact."""

    def __init__(self, payer: str, contract: str, partition: int) -> None:
        self.payer = payer
        self.contract = contract
        self.partition = partition
        self._fold: Fold = fold_for(contract, payer, Adoption())
        self.practices = PracticeFacts()
        self._rules: dict[str, Rules] = {}
        self._dossiers: dict[str, Dossier] = {}
        self._failed: list[str] = []

    @property
    def adoption(self) -> Adoption:
        """What the partition has adopted."""
        return self._fold.adoption

    @property
    def failed(self) -> list[str]:
        """Once there are `cases`: members whose facts could not be read by the contract; their episodes are not known.

        The live fold parks such a member; here it is told.
        """
        return sorted(self._failed)

    def take(self, fact: Fact) -> None:
        """The next fact. Those of a member wait for the cut: read one after another they stay in the cache."""
        if not fact.member:
            self._fold.adopt(fact)
            self.practices.hear(fact.type, fact.data, _ref(fact))
            return
        dossier = self._dossiers.get(fact.member)
        if dossier is None:
            dossier = self._dossiers[fact.member] = Dossier(Member(self.payer, self.partition, fact.member))
        if fact.plan and not dossier.member.head.plan:
            dossier.member.head.plan = fact.plan
        if fact.type in CLAIMS:
            dossier.facts.append((fact, self.rules(fact.plan)))
        elif fact.type in OF_A_MEMBER:
            dossier.facts.append((fact, None))

    def rules(self, plan: str) -> Rules:
        """The rules adopted for a plan so far."""
        sheet = self.adoption.sheets.get(plan) or self.adoption.sheets.get("")
        if sheet is None:
            raise NotAdopted(f"{self.payer}: no terms of {self.contract} are adopted")
        found = self._rules.get(sheet.digest)
        if found is None:
            found = self._rules[sheet.digest] = Rules.of(self.contract, sheet)
        return found

    # -- at the cut ------------------------------------------------------------------------------------------------

    def cases(self, references: References) -> Iterator[Case]:
        """The episodes of every member, and the monthly lines billed outside any; a member's facts are let go of."""
        digest = self.adoption.contract_digest
        if digest != contract_digest(self.contract):
            raise OtherBuild(f"{self.payer}: the log's clauses of {self.contract} are {digest[:12]}, not this build's")
        while self._dossiers:
            token, dossier = self._dossiers.popitem()
            try:
                _read(dossier)
            except Exception:
                self._failed.append(token)
                continue
            if dossier.member.head.retired:
                continue
            yield from self._cases(token, dossier, self.rules(dossier.member.head.plan), references)

    def _cases(self, token: str, dossier: Dossier, rules: Rules, references: References) -> Iterator[Case]:
        member, clauses = dossier.member, rules.clauses
        counted = _count(dossier)
        starts = chain(member, clauses.calendar, "")
        seen: set[str] = set()
        stays = [one.detail.stay for one in counted if one.units and one.detail.stay is not None]
        before = ""
        for start in starts:
            end = clauses.calendar.ends_on(start)
            name = episode_id(self.payer, member.head.plan, self.contract, token, start)
            window = gather(member, start, end)
            episode = Episode(name, start, end)
            case = self._case(episode, dossier, window, rules, before, stays)
            _spending(case, episode, counted, rules, references)
            case.expenditure_cents = clauses.expenditure_cents(episode)
            seen |= window.services.keys()
            before = end
            yield case
        outside = [key for month in member.months.values() for key in month.services if key not in seen]
        if outside:
            yield self._outside(member, outside)

    def _case(
        self, episode: Episode, dossier: Dossier, window: Window, rules: Rules, before: str, stays: list[Stay]
    ) -> Case:
        """The episode as it stands, but for its spending; notes who it belongs to and what is owed for it."""
        member, clauses = dossier.member, rules.clauses
        head, start, end = member.head, window.start, window.end
        cancer = cancer_type(member, window, clauses.calendar.lookback_days)
        judgement = clauses.judge(member, window, cancer)
        attribution = rules.attribution(window)
        episode.practice = attribution.practice
        dues = clauses.owed(member, episode, window, self.adoption) if judgement.included else []
        for due in (one for one in dues if not one.waits):
            episode.owed[f"{due.kind}|{due.period}"] = Owed(
                "", due.kind, due.period, due.amount_cents, due.practice, due.effective_on, due.basis, []
            )
        died = head.died_on if head.died_on and head.died_on <= end else ""
        spread, marker = _clinical(dossier, end)
        source, opening = window.opened_by
        case = Case(
            episode.episode_id, member.token, member.partition, head.plan, start, end,
            period_of(rules.terms, start), cancer,
            judgement.status, judgement.void_reason, judgement.exclusion, source, opening, attribution,
            coverage.on(self.adoption.practices.get(attribution.practice), start) is not None,
        )  # fmt: skip
        case.cancers = tuple(sorted(window.cancers.items(), key=lambda one: (-one[1], one[0])))
        case.meos = monthly_lines(member, window, judgement, attribution.practice, dues, self.adoption)
        case.meos_months = len(episode.owed)
        case.died_on, case.ever_metastatic, case.her2_positive = died, spread, marker
        case.sex, case.age = head.sex, int(start[:4]) - head.birth_year if head.birth_year else 0
        dual, part_d = (coverage.on(head.coverage.get(kind), start) for kind in ("dual", "part_d"))
        case.dual_code, case.part_d = dual.code if dual else "", part_d is not None
        case.therapy_before = _therapy_before(member, start)
        case.follows = before
        case.consented = dossier.authorizations.recipients(PART2, self.adoption.closed_through)
        _outcomes(case, member, rules, stays)
        return case

    def _outside(self, member: Member, keys: list[str]) -> Case:
        """Monthly lines that no episode covers, as a case without an episode, which has no period of its own."""
        case = Case("", member.token, member.partition, member.head.plan)
        case.meos = monthly_lines(member, None, None, "", [], self.adoption, keys)
        return case


def _read(dossier: Dossier) -> None:
    """What a member's facts say, in their order; they are let go of."""
    member, facts, details = dossier.member, dossier.facts, dossier.details
    head, families = member.head, member.families
    for fact, rules in facts:
        data = fact.data
        if rules is not None:
            record = of_claim(fact, rules.codes, rules.clauses.services, rules.clauses.medicare)
            family = families.get(data.family)
            if family is None:
                family = families[data.family] = Family()
            family.records.append(record)
            kept = details[fact.offset] = detail(fact.type, data, rules)
            kept.part2 = fact.sensitivity == PART2 or PART2 in data.sensitivity
            continue
        match fact.type:
            case "carepact.EnrollmentChanged.v1":
                span = Span(data.from_on.isoformat(), _through(data.through_on), data.code or "", _ref(fact))
                spans = head.coverage.get(data.coverage, [])
                head.coverage[data.coverage] = coverage.overlay(spans, span, data.covered)
            case "carepact.MemberDescribed.v1":
                head.birth_year, head.sex = data.birth_year or head.birth_year, data.sex or head.sex
                if data.died_on:
                    head.died_on, head.died_ref = data.died_on.isoformat(), _ref(fact)
            case "carepact.MemberRetired.v1":
                head.retired = True
            case "carepact.AuthorizationGiven.v1" | "carepact.AuthorizationRevoked.v1":
                dossier.authorizations.take(fact)
            case "carepact.ClinicalFactRecorded.v1":
                if data.status == "entered_in_error":
                    dossier.clinical.pop(data.record_id, None)
                else:
                    told = (data.observed_on.isoformat(), data.element, data.value, _ref(fact))
                    dossier.clinical[data.record_id] = told
    facts.clear()


def detail(kind: str, data: Any, rules: Rules) -> Detail:
    """What is kept of a claim for settlements."""
    if kind == PHARMACY:
        found = Detail("part_d")
        if data.ndc and data.ndc[:9] in rules.codes.therapy_ndc9:
            day, above = data.filled_on.isoformat(), data.above_threshold_cents
            found.drugs.append((1, data.ndc[:9], day, 0, data.low_income_subsidy_cents, above))
        return found
    if kind == PROFESSIONAL:
        found = Detail("dmepos" if data.supplier == "dmepos" else "physician")
        for line in data.lines:
            if line.code in rules.codes.therapy_hcpcs:
                paid = line.paid_cents if line.standardized_cents is None else line.standardized_cents
                found.drugs.append((line.line, line.code, line.service_on.isoformat(), paid, 0, 0))
            if line.code and line.code.startswith(BIOSIMILAR) and line.standardized_cents is None:
                found.biosimilars.append((line.line, line.code, line.service_on.isoformat(), str(line.units or 0)))
        return found
    found = Detail(data.setting)
    found.drugs = _outpatient_drugs(data, rules)
    if data.setting == "outpatient" and data.standardized_cents is None:
        found.biosimilars = [
            (0, line.code, line.service_on.isoformat(), str(line.units or 0))
            for line in data.lines
            if line.code and line.code.startswith(BIOSIMILAR) and not line.denied
        ]
    found.emergency = data.setting == "outpatient" and any(
        line.revenue_center in rules.emergency for line in data.lines
    )
    if rules.complication(data.diagnoses):
        if data.setting == "inpatient" and _short_term(data.facility):
            found.stay = ADMISSION, (data.admitted_on or data.from_on).isoformat()
        elif found.emergency:
            found.stay = EMERGENCY, data.from_on.isoformat()
    return found


def _outpatient_drugs(data: Any, rules: Rules) -> list[tuple[int, str, str, int, int, int]]:
    """Therapies of a facility's claim. It is paid as a whole: a line's part is by charges, rounded down to a cent."""
    paid = data.paid_cents if data.standardized_cents is None else data.standardized_cents
    charged = sum(line.charge_cents or 0 for line in data.lines)
    return [
        (0, line.code, line.service_on.isoformat(), paid * (line.charge_cents or 0) // charged if charged else 0, 0, 0)
        for line in data.lines
        if line.code in rules.codes.therapy_hcpcs
    ]


def _short_term(facility: str | None) -> bool:
    """Whether a hospital is short-term acute or critical access; one without a CCN is taken to be."""
    if facility is None or len(facility) != 6:
        return True
    return any(first <= facility[2:] <= last for first, last in SHORT_TERM)


@dataclass(slots=True)
class _Counted:
    """A version of a claim with its lines that no later version took away, and the days they name, in order.

    `why_not` says why it is in no episode at all, '' if its days decide. `part2`: a version of the claim is tagged.
    """

    family: str
    record: ClaimRecord
    detail: Detail
    units: list[Unit]
    days: list[str]
    why_not: str
    part2: bool


def _count(dossier: Dossier) -> list[_Counted]:
    """Put what counts of all claims into the member's months; every version of a claim, by family."""
    member, details, found = dossier.member, dossier.details, list[_Counted]()
    for name, family in sorted(member.families.items()):
        part2 = any(details[record.ref[2]].part2 for record in family.records)
        for record, units in _left(family.records):
            days = _enter(member, units)
            why_not = never(record, units, days)
            found.append(_Counted(name, record, details[record.ref[2]], units, days, why_not, part2))
    return found


def _left(records: list[ClaimRecord]) -> list[tuple[ClaimRecord, list[Unit]]]:
    """The versions of a claim, each with its lines that no later one took away."""
    if len(records) == 1 and records[0].action != "void":
        return [(records[0], [unit for unit in records[0].units if unit.counts])]
    left: list[tuple[ClaimRecord, list[Unit]]] = [(record, []) for record in records]
    for place, at in survivors(records):
        left[place][1].append(records[place].units[at])
    return left


def _enter(member: Member, units: list[Unit]) -> list[str]:
    """Put what lines contribute into the member's months; the days they name, each once, in order."""
    head, months, days = member.head, member.months, set[str]()
    name, month = "", Month()
    for unit in units:
        for bucket, of, key, value in unit.evidence:
            if of != name:
                name, month = of, months.get(of) or months.setdefault(of, Month())
            getattr(month, bucket)[key] = value
            day = key[:10]
            days.add(day)
            if bucket == "triggers":
                head.therapy_days[day] = head.therapy_days.get(day, 0) + 1
            elif bucket == "fills":
                head.fills[day] = head.fills.get(day, 0) + 1
        for spent in unit.spend:
            days.add(spent[0])
    return sorted(days) if len(days) > 1 else list(days)


def _clinical(dossier: Dossier, through: str) -> tuple[bool | None, bool | None]:
    """(ever metastatic, HER2 positive) as recorded by the episode's end; None: not known."""
    spread = [value in YES for day, element, value, _ in dossier.clinical.values()
              if element == "ever_metastatic" and day <= through]  # fmt: skip
    markers = [(day, name, value) for name, (day, element, value, _) in dossier.clinical.items()
               if element == "her2" and day <= through]  # fmt: skip
    return any(spread) if spread else None, max(markers)[2] in YES if markers else None


def _therapy_before(member: Member, start: str) -> str:
    """The last day of therapy before an episode; ''."""
    days = [day for days in (member.head.therapy_days, member.head.fills) for day in days if day < start]
    return max(days, default="")


def _outcomes(case: Case, member: Member, rules: Rules, stays: list[Stay]) -> None:
    """EOM-1 to EOM-3: what the claims show of the episode."""
    terms = rules.terms
    start, end = case.started_on, case.ends_on
    if not case.included:
        return
    given = sorted(day for day in member.head.therapy_days if start <= day <= min(end, case.died_on or FOREVER))
    case.outpatient_therapy = bool(given)
    within = int(terms.on("quality_follow_up_days", start).number)
    for stay in stays:
        if any(day <= stay[1] <= add_days(day, within) for day in given):
            case.admission |= stay[0] == ADMISSION
            case.emergency |= stay[0] == EMERGENCY
    if case.died_on:
        last = int(terms.on("quality_last_days", start).number)
        first = add_days(case.died_on, 1 - last)
        case.therapy_at_end = any(
            first <= day <= case.died_on for days in (member.head.therapy_days, member.head.fills) for day in days
        )
        least = int(terms.on("quality_hospice_days", start).number)
        spans = member.head.coverage.get("hospice") or []
        latest = max((span for span in spans if span.start <= case.died_on), key=lambda s: s.start, default=None)
        case.hospice = (
            latest is not None and latest.through >= case.died_on and add_days(latest.start, least) <= case.died_on
        )


def _spending(case: Case, episode: Episode, counted: list[_Counted], rules: Rules, references: References) -> None:
    """Each claim in or out of the episode and why, spending in all and by component, and what novel drugs cost."""
    components: dict[str, int] = defaultdict(int)
    medicare, start, end, claims = rules.clauses.medicare, case.started_on, case.ends_on, case.claims
    of_a_day: dict[str, tuple[bool, str]] = {}
    for one in counted:
        record, days, cents = one.record, one.days, 0
        if one.why_not:
            inside, reason = False, one.why_not
        elif len(days) > 1:
            inside, reason = within(days, start, end)
        elif (told := of_a_day.get(days[0])) is not None:
            inside, reason = told
        else:
            inside, reason = of_a_day[days[0]] = within(days, start, end)
        if days and days[-1] >= start and days[0] <= end:
            cents = _spent(one, case, episode.spend, medicare, components)
            if one.detail.drugs and (cents or inside):
                _novel_drugs(one, case, references)
            if one.detail.biosimilars:
                lines = {unit.line for unit in one.units}
                case.biosimilars += [
                    (code, day, units)
                    for line, code, day, units in one.detail.biosimilars
                    if line in lines and start <= day <= end
                ]
        service = one.detail.service
        claims.append(
            Claimed(record.claim_id, one.family, record.action, inside, reason, cents, record.ref, service, one.part2)
        )
    case.components = {name: cents for name, cents in sorted(components.items()) if cents}


def _spent(one: _Counted, case: Case, spend: list[int], medicare: bool, components: dict[str, int]) -> int:
    """What a claim adds to an episode's cost before any factor, also to what was spent and to its component."""
    cents, paid_to, drugs, start, end = 0, one.detail.component, one.detail.drugs, case.started_on, case.ends_on
    drug_lines = {line for line, *_ in drugs} if drugs and paid_to in ("physician", "dmepos") else ()
    for unit in one.units:
        for day, a_and_b, subsidy, above, plan_paid in unit.spend:
            if not start <= day <= end:
                continue
            spend[0] += a_and_b
            spend[1] += subsidy
            spend[2] += above
            spend[3] += plan_paid
            if not medicare:
                cents += a_and_b + plan_paid
                components["pharmacy" if paid_to == "part_d" else paid_to] += a_and_b + plan_paid
                continue
            cents += a_and_b + subsidy + above
            if paid_to == "part_d":
                components["part_d_subsidy"] += subsidy
                components["part_d_above"] += above
            else:
                components["part_b_drugs" if unit.line in drug_lines else paid_to] += a_and_b
    return cents


def _novel_drugs(one: _Counted, case: Case, references: References) -> None:
    """What a claim's novel drugs cost in an episode."""
    lines = {unit.line for unit in one.units}
    for line, code, day, *amounts in one.detail.drugs:
        if line in lines and case.started_on <= day <= case.ends_on and _novel(references, case, code, day):
            case.novel = tuple(held + more for held, more in zip(case.novel, amounts, strict=True))


def _novel(references: References, case: Case, code: str, day: str) -> bool:
    """EOM 3.6: whether the payer names the drug as novel for the cancer on the day."""
    found = references.known("novel_drug", f"{case.cancer_type}/{code}", day)
    return found is not None and found.value.number != 0


def _ref(fact: Fact) -> Ref:
    return ref_to(fact.fact_id, fact.type, fact.offset)


def _through(day: Any) -> str:
    return FOREVER if day is None else str(day.isoformat())
