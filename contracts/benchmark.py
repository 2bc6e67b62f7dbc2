"""What an episode was expected to cost, and what of its cost counts (EOM 1.8 winsorisation, 3.1 to 3.7).

The baseline price is the payer's own for the episode; else its price model's; else the one it names for the practice
and cancer, or for the cancer. A benchmark needs baseline, experience and trend; where one of them is not known the
episode says which, and has none. Figures: `reference_values`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from contracts import eom_settlement
from contracts.cases import Case
from contracts.clauses import Line
from contracts.exact import exactly
from contracts.parts import Ref
from contracts.reference_values import Reference, References
from contracts.terms import DatedValue, TermSheet
from contracts.units import ZERO, cents, dollars

ONE = Decimal(1)
AGES = ((65, "18_64"), (70, "65_69"), (75, "70_74"), (80, "75_79"))
FULL_DUAL = ("02", "04", "08")
MODEL_DIGITS = Decimal("1E-20")


@dataclass(slots=True)
class Priced:
    """An episode with what counts of its cost and its benchmark; `missing` names what its benchmark lacks.

    `baseline_from` says where the baseline price is from: episode, model, practice or cancer.
    """

    case: Case
    counted_cents: int
    winsorised: str = ""
    limits: tuple[DatedValue, ...] = ()
    novel_cents: int = 0
    baseline: Decimal = ZERO
    baseline_from: str = ""
    experience: Decimal = ZERO
    clinical: Decimal = ONE
    trend: Decimal = ZERO
    trended_cents: int = 0
    benchmark_cents: int = 0
    line: Line | None = None
    missing: tuple[str, ...] = ()
    values: tuple[DatedValue, ...] = ()
    refs: list[Ref] = field(default_factory=list)


def covariates(case: Case) -> list[str]:
    """What the price model knows of an episode, beside its cancer: `intercept` and the names that hold (EOM 3.2).

    Of OCM's covariates those that claims and enrollment show: sex and age, length, coverage, days since therapy. Left
    out: surgery, transplant, radiation, institutional status, conditions (HCC), trials, the region's relative cost.
    """
    found = ["intercept"]
    if case.sex in ("female", "male") and case.age:
        found.append(f"{case.sex}_{next((name for limit, name in AGES if case.age < limit), '80_up')}")
    days = (date.fromisoformat(case.ends_on) - date.fromisoformat(case.started_on)).days + 1
    found.append("length_181_182" if days <= 182 else "length_183_184")
    if case.dual_code in FULL_DUAL:
        found.append("full_dual")
    else:
        found.append("part_d" if case.part_d else "no_part_d")
    clean = 731
    if case.therapy_before:
        clean = (date.fromisoformat(case.started_on) - date.fromisoformat(case.therapy_before)).days
    found.append("clean_1_61" if clean <= 61 else "clean_62_730" if clean <= 730 else "clean_731_up")
    return found


@exactly
def price(sheet: TermSheet, references: References, case: Case, period: int, period_on: str) -> Priced:
    """An episode's counted cost and its benchmark before novel therapy."""
    priced = _winsorised(references, case, period, period_on)
    priced.novel_cents = _novel(sheet, case)
    found = _baseline(sheet, references, case)
    practice, cancer, day = case.practice, case.cancer_type, case.started_on
    experience = references.first("experience_adjuster", (f"{practice}/{cancer}", practice), day)
    trend = references.known("trend_factor", f"{period}/{cancer}", period_on)
    missing = [("no_baseline", found), ("no_experience", experience), ("no_trend", trend)]
    priced.missing = tuple(name for name, value in missing if value is None)
    if found is None or experience is None or trend is None:
        return priced
    priced.baseline, priced.baseline_from, values, refs = found
    priced.experience, priced.trend = experience.value.number, trend.value.number
    priced.clinical, _ = eom_settlement.clinical_adjuster(sheet, day, cancer, case.ever_metastatic, case.her2_positive)
    priced.values = (*values, experience.value, trend.value)
    priced.refs += [*refs, experience.ref, trend.ref]
    priced.line = _benchmark(sheet, priced, ONE)
    priced.trended_cents = priced.benchmark_cents = priced.line.amount_cents
    return priced


def with_novel_therapy(sheet: TermSheet, priced: Priced, factor: Decimal) -> None:
    """The benchmark raised by the practice's factor for the cancer."""
    priced.line = _benchmark(sheet, priced, factor)
    priced.benchmark_cents = priced.line.amount_cents


def _benchmark(sheet: TermSheet, priced: Priced, novel: Decimal) -> Line:
    case = priced.case
    return eom_settlement.benchmark(
        sheet,
        case.started_on,
        priced.baseline,
        priced.experience,
        case.cancer_type,
        case.ever_metastatic,
        case.her2_positive,
        priced.trend,
        novel,
    )


def _winsorised(references: References, case: Case, period: int, period_on: str) -> Priced:
    """EOM 1.8: the cost, raised to the least or cut to the most that counts, where the payer names them."""
    key, cost = f"{period}/{case.cancer_type}", case.expenditure_cents
    low, high = (references.known(name, key, period_on) for name in ("winsor_low", "winsor_high"))
    priced = Priced(case, cost)
    priced.limits = tuple(one.value for one in (low, high) if one is not None)
    priced.refs = [one.ref for one in (low, high) if one is not None]
    if low is not None and cost < (least := cents(low.value.number)):
        priced.counted_cents, priced.winsorised = least, "raised"
    elif high is not None and cost > (most := cents(high.value.number)):
        priced.counted_cents, priced.winsorised = most, "cut"
    return priced


def _novel(sheet: TermSheet, case: Case) -> int:
    """What novel drugs cost, by the same factors as all cost: (A and B) / 0.98 + subsidy + 80 % above the threshold."""
    a_and_b, subsidy, above = case.novel
    if not (a_and_b or subsidy or above):
        return 0
    cut = sheet.on("sequestration", case.started_on).number
    share = sheet.on("part_d_above_threshold_share", case.started_on).number
    return cents(dollars(a_and_b) / (ONE - cut) + dollars(subsidy) + share * dollars(above), sheet.rounding)


Baseline = tuple[Decimal, str, list[DatedValue], list[Ref]]


def _baseline(sheet: TermSheet, references: References, case: Case) -> Baseline | None:
    day = case.started_on
    own = references.known("baseline_price", case.episode_id, day)
    if own is not None:
        return own.value.number, "episode", [own.value], [own.ref]
    if references.known("price_coefficient", f"{case.cancer_type}/intercept", day) is not None:
        return _modelled(sheet, references, case)
    for key, name in ((f"{case.practice}/{case.cancer_type}", "practice"), (case.cancer_type, "cancer")):
        found = references.known("baseline_price", key, day)
        if found is not None:
            return found.value.number, name, [found.value], [found.ref]
    return None


def _modelled(sheet: TermSheet, references: References, case: Case) -> Baseline:
    """exp(sum of coefficients), to the cent: exp(10.1 + 0.2 + 0.05) = 31,257.04. One not published counts nothing."""
    used: list[Reference] = []
    for name in covariates(case):
        found = references.known("price_coefficient", f"{case.cancer_type}/{name}", case.started_on)
        if found is not None:
            used.append(found)
    log = sum((one.value.number for one in used), ZERO)
    amount = dollars(cents(log.exp().quantize(MODEL_DIGITS), sheet.rounding))
    return amount, "model", [one.value for one in used], [one.ref for one in used]
