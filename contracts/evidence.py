"""What a claim is evidence of: therapy that may start an episode, visits, billed services, spending.

Each claim record is read once, when it comes; what it contributes is kept with it, line by line, and is put into and
taken out of the member's months as the record's lines come to count or cease to (`contracts.claims`).

Sources of a trigger, in their same-day precedence (EOM 1.2): 0 outpatient, 1 physician, 2 DMEPOS, 3 Part D.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contracts.envelope import Fact
from contracts.parts import ClaimRecord, Evidence, Member, Ref, Spent, Unit, ref_to
from contracts.terms import TermSheet

ENCOUNTER_FOR_THERAPY = ("Z5111", "Z5112")
NOT_PRIMARY = ("A", "B", "G")
"""Primary payer codes of claims on which the plan does not pay first (working aged, ESRD, working disabled)."""

INPATIENT_PLACE = "21"

Amounts = tuple[int, int, int, int]
"""Cents in the order of `Month.spend`."""

NOTHING_LEFT: Amounts = (0, 0, 0, 0)


class CodeSets:
    """The value sets of a sheet, compiled for the fold; `cancer` finds a diagnosis's type by its longest prefix."""

    def __init__(self, sheet: TermSheet) -> None:
        self.therapy_hcpcs = sheet.codes("therapy_hcpcs")
        self.therapy_ndc9 = sheet.codes("therapy_ndc9")
        self.visits = frozenset(sheet.codes("visits"))
        self.cell_therapy = frozenset(sheet.codes("cell_therapy"))
        self.days = sheet.code_days("therapy_hcpcs", "therapy_ndc9", "visits", "cell_therapy")
        self._prefixes = sheet.codes("cancer_types")
        self._lengths = sorted({len(p) for p in self._prefixes}, reverse=True)
        self.cancers: dict[str, str] = {}

    def cancer(self, code: str) -> str:
        """The included cancer type of an ICD-10-CM code, or ''."""
        found = self.cancers.get(code)
        if found is None:
            found = next((self._prefixes[code[:n]] for n in self._lengths if code[:n] in self._prefixes), "")
            if len(self.cancers) < 100_000:
                self.cancers[code] = found
        return found

    def on(self, code: str, day: str) -> bool:
        """Whether a code that has days holds on a day of service: 99201 held through 2020-12-31."""
        first, last = self.days[code]
        return first <= day <= last

    def first_cancer(self, codes: tuple[str, ...]) -> str:
        """The type of the first included diagnosis among codes, or ''."""
        for code in codes:
            if found := self.cancer(code):
                return found
        return ""


def of_claim(fact: Fact, codes: CodeSets, services: frozenset[str], medicare: bool) -> ClaimRecord:
    """The record of a claim fact: its versions' names, and what each of its lines contributes.

    `services` are billed codes to remember (M0010); `medicare` selects standardised amounts where there are any.
    """
    data = fact.data
    kind = fact.type
    ref = ref_to(fact.event_id, kind, fact.offset)
    note = "denied" if data.denied else "other payer first" if data.primary_payer in NOT_PRIMARY else ""
    if kind == "carepact.ProfessionalClaimReceived.v1":
        units = _professional(data, codes, services, medicare, ref, bool(note))
    elif kind == "carepact.InstitutionalClaimReceived.v1":
        units = _institutional(data, codes, medicare, ref, bool(note))
    else:
        units = _pharmacy(data, codes, ref, bool(note))
    return ClaimRecord(data.claim_id, data.action, data.replaces or "", data.effective_on.isoformat(), ref, units, note)


def _professional(
    data: Any, codes: CodeSets, services: frozenset[str], medicare: bool, ref: Ref, silent: bool
) -> list[Unit]:
    claim, offset, lines = data.claim_id, ref[2], data.lines
    header = ""
    if data.diagnoses and data.diagnoses[0] in ENCOUNTER_FOR_THERAPY:
        header = codes.first_cancer(data.diagnoses)
    known, visits, hcpcs, cell_therapy = codes.cancers, codes.visits, codes.therapy_hcpcs, codes.cell_therapy
    dated = codes.days
    cancers = [
        "" if line.denied or not line.diagnoses else known.get(line.diagnoses[0]) or codes.cancer(line.diagnoses[0])
        for line in lines
    ]
    rank, source = (2, "dmepos") if data.supplier == "dmepos" else (1, "physician")
    units = []
    for line, cancer in zip(lines, cancers, strict=True):
        number, paid, code = line.line, line.paid_cents, line.code
        if silent or line.denied:
            units.append(Unit(number, paid, (), (), counts=False))
            continue
        day = line.service_on.isoformat()
        if code in dated and not codes.on(code, day):
            code = ""
        evidence: list[Evidence] = []
        if cancer and rank == 1:
            month, tail = day[:7], f"{claim}|{number}#{offset}"
            evidence.append(("diagnoses", month, f"{day}|{tail}", (cancer, ref)))
            if code in visits and (practice := line.rendering_tin or data.billing_tin):
                evidence.append(("visits", month, f"{day}|{practice}|{cancer}|{tail}", ref))
        if code in hcpcs and (line.allowed_cents or 0) > 0 and line.place_of_service != INPATIENT_PLACE:
            of = cancer or header or next((c for c in cancers if c), "")
            if of:
                key = f"{day}|{rank}|{claim}|{number}#{offset}"
                evidence.append(("triggers", day[:7], key, (of, hcpcs[code], source, ref)))
        if code in services and data.billing_tin:
            key = f"{day}|{data.billing_tin}|{code}|{claim}|{number}#{offset}"
            evidence.append(("services", day[:7], key, (paid, ref)))
            units.append(Unit(number, paid, evidence, ()))
            continue
        if code in cell_therapy:
            evidence.append(("cell_therapies", day[:7], f"{day}|{code}|{claim}|{number}#{offset}", ref))
        cost = paid
        if medicare and line.standardized_cents is not None:
            cost = line.standardized_cents
        units.append(Unit(number, paid, evidence or (), ((day, cost, 0, 0, 0),) if cost else ()))
    return units


def _institutional(data: Any, codes: CodeSets, medicare: bool, ref: Ref, silent: bool) -> list[Unit]:
    """One unit: a facility's claim is voided as a whole, and its paid amount counts once (EOM 1.8 for the day)."""
    if silent:
        return [Unit(0, data.paid_cents, (), (), counts=False)]
    claim, offset = data.claim_id, ref[2]
    by_admission = data.setting in ("inpatient", "skilled_nursing") and data.admitted_on is not None
    day = (data.admitted_on if by_admission else data.from_on).isoformat()
    evidence: list[Evidence] = []
    cancer = codes.first_cancer(data.diagnoses)
    outpatient = data.setting == "outpatient"
    if cancer and outpatient:
        evidence.append(("diagnoses", day[:7], f"{day}|{claim}|0#{offset}", (cancer, ref)))
    for line in data.lines:
        code = line.code
        if code is None or line.denied:
            continue
        on = line.service_on.isoformat()
        if code in codes.days and not codes.on(code, on):
            continue
        drug = codes.therapy_hcpcs.get(code)
        if drug and cancer and outpatient and _covered(line, data.paid_cents):
            key = f"{on}|0|{claim}|{line.line}#{offset}"
            evidence.append(("triggers", on[:7], key, (cancer, drug, "outpatient", ref)))
        if code in codes.cell_therapy:
            evidence.append(("cell_therapies", on[:7], f"{on}|{code}|{claim}|{line.line}#{offset}", ref))
    for code in data.procedures:
        if code in codes.cell_therapy and (code not in codes.days or codes.on(code, day)):
            evidence.append(("cell_therapies", day[:7], f"{day}|{code}|{claim}|0#{offset}", ref))
    paid = data.paid_cents
    if medicare and data.standardized_cents is not None:
        paid = data.standardized_cents
    return [Unit(0, data.paid_cents, evidence, ((day, paid, 0, 0, 0),) if paid else ())]


def _covered(line: Any, claim_paid_cents: int) -> bool:
    """EOM 1.2: total charge less non-covered charge above nought; a feed without charges shows it by paying."""
    if line.charge_cents is None:
        return claim_paid_cents > 0
    return bool(line.charge_cents - line.noncovered_cents > 0)


def _pharmacy(data: Any, codes: CodeSets, ref: Ref, silent: bool) -> list[Unit]:
    if silent:
        return [Unit(1, data.paid_cents, (), (), counts=False)]
    day = data.filled_on.isoformat()
    evidence: list[Evidence] = []
    drug = codes.therapy_ndc9.get(data.ndc[:9]) if data.ndc else None
    if drug:
        evidence.append(("fills", day[:7], f"{day}|3|{data.claim_id}|1#{ref[2]}", (drug, ref)))
    subsidy, above, paid = data.low_income_subsidy_cents, data.above_threshold_cents, data.paid_cents
    return [Unit(1, paid, evidence, ((day, 0, subsidy, above, paid),) if subsidy or above or paid else ())]


def days_of(units: list[Unit]) -> list[str]:
    """Every day that units say anything about."""
    days = [item[2][:10] for unit in units for item in unit.evidence]
    days += [item[0] for unit in units for item in unit.spend]
    return days


class Moved:
    """What a claim's record moved: days of evidence, of diagnoses and of therapy, billed services, spending by day.

    `therapy` are days that became days of therapy, or ceased to be, each with which of the two; `diagnoses` likewise.
    `fills` are days of fills that open an episode and whose diagnosis came or went.
    """

    __slots__ = ("days", "diagnoses", "fills", "services", "spend", "therapy")

    def __init__(self) -> None:
        self.days: set[str] = set()
        self.diagnoses: list[tuple[str, bool]] = []
        self.therapy: list[tuple[str, bool]] = []
        self.spend: dict[str, Sequence[int]] = {}
        self.services = False
        self.fills: set[str] = set()


def move(member: Member, units: list[Unit], come: bool, moved: Moved) -> None:
    """Put what `units` contribute into the member's months, and the windows made of them, or take it out."""
    name, month, head, windows = "", None, member.head, member.windows.values()
    spent: dict[str, Spent] = {}
    for unit in units:
        for bucket, of, key, value in unit.evidence:
            if of != name or month is None:
                name, month = of, member.open_month(of)
            held: dict[str, Any] = getattr(month, bucket)
            if come:
                held[key] = value
            else:
                del held[key]
            day = key[:10]
            if bucket == "diagnoses":
                moved.diagnoses.append((day, come))
                continue
            moved.days.add(day)
            for window in windows:
                if window.start <= day <= window.end:
                    window.note(bucket, key, value, come)
            if bucket == "triggers":
                _count(member, head.therapy_days, day, come, moved)
            elif bucket == "fills":
                _count(member, head.fills, day, come, moved)
            elif bucket == "services":
                moved.services = True
        for cost in unit.spend:
            held_cost = spent.get(cost[0])
            spent[cost[0]] = cost if held_cost is None else _sum(held_cost, cost)
    for day, a, b, c, d in spent.values():
        if a or b or c or d:
            if day[:7] != name or month is None:
                name, month = day[:7], member.open_month(day[:7])
            amounts = (a, b, c, d) if come else (-a, -b, -c, -d)
            _add(month.spend, day, amounts)
            _add(moved.spend, day, amounts)


def _sum(one: Spent, other: Spent) -> Spent:
    return one[0], one[1] + other[1], one[2] + other[2], one[3] + other[3], one[4] + other[4]


def _add(spend: dict[str, Sequence[int]], day: str, amounts: Amounts) -> None:
    """Add amounts to a day's; a day on which nothing is left is not kept."""
    held = spend.get(day)
    if held is None:
        spend[day] = amounts
        return
    a, b, c, d = amounts
    now = spend[day] = (held[0] + a, held[1] + b, held[2] + c, held[3] + d)
    if now == NOTHING_LEFT:
        del spend[day]


def _count(member: Member, days: dict[str, int], day: str, come: bool, moved: Moved) -> None:
    count = days.get(day, 0) + (1 if come else -1)
    if count:
        days[day] = count
    else:
        del days[day]
    if count == (1 if come else 0):
        moved.therapy.append((day, come))
    member.dirty.add(("head", ""))
