"""What of an episode's cost counts, and what Medicare's models expected it to cost before their own factors.

The baseline price is the payer's own for the episode; else its price model's; else the one it names for the practice
and cancer, or for the cancer. Figures: `reference_values`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

from contracts.cases import Case
from contracts.parts import Ref
from contracts.period import Period
from contracts.reference_values import Reference, References
from contracts.settled import ONE, Priced
from contracts.terms import DatedValue, TermSheet
from contracts.units import ZERO, cents, dollars

AGES = ((65, "18_64"), (70, "65_69"), (75, "70_74"), (80, "75_79"))
FULL_DUAL = ("02", "04", "08")
MODEL_DIGITS = Decimal("1E-20")


def covariates(case: Case) -> list[str]:
    """What a price model knows of an episode, beside its cancer: `intercept` and the names that hold (EOM 3.2).

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


def counted(sheet: TermSheet, references: References, case: Case, period: Period, add_on_cents: int = 0) -> Priced:
    """EOM 1.8: the cost, raised to the least or cut to the most that counts, where the payer names them.

    Of the cost `add_on_cents` do not count.
    """
    key, on, cost = f"{period.number}/{case.cancer_type}", period.first_on, case.expenditure_cents - add_on_cents
    low, high = (references.known(name, key, on) for name in ("winsor_low", "winsor_high"))
    priced = Priced(case, cost, add_on_cents=add_on_cents)
    priced.limits = tuple(one.value for one in (low, high) if one is not None)
    priced.refs = [one.ref for one in (low, high) if one is not None]
    if low is not None and cost < (least := cents(low.value.number)):
        priced.counted_cents, priced.winsorised = least, "raised"
    elif high is not None and cost > (most := cents(high.value.number)):
        priced.counted_cents, priced.winsorised = most, "cut"
    priced.novel_cents = _novel(sheet, case)
    return priced


def _novel(sheet: TermSheet, case: Case) -> int:
    """What novel drugs cost, by the same factors as all cost: (A and B) / 0.98 + subsidy + 80 % above the threshold."""
    a_and_b, subsidy, above = case.novel
    if not (a_and_b or subsidy or above):
        return 0
    cut = sheet.on("sequestration", case.started_on).number
    share = sheet.on("part_d_above_threshold_share", case.started_on).number
    return cents(dollars(a_and_b) / (ONE - cut) + dollars(subsidy) + share * dollars(above), sheet.rounding)


def known(
    priced: Priced,
    baseline: Baseline | None,
    experience: Reference | None,
    trend: Reference | None,
) -> bool:
    """Whether all that a benchmark rests on is known; it is noted, or what is missing is."""
    missing = [("no_baseline", baseline), ("no_experience", experience), ("no_trend", trend)]
    priced.missing = tuple(name for name, value in missing if value is None)
    if baseline is None or experience is None or trend is None:
        return False
    priced.baseline, priced.baseline_from, values, refs = baseline
    priced.experience, priced.trend = experience.value.number, trend.value.number
    priced.values = (*values, experience.value, trend.value)
    priced.refs += [*refs, experience.ref, trend.ref]
    return True


Baseline = tuple[Decimal, str, list[DatedValue], list[Ref]]
Covariates = Callable[[Case], list[str]]


def baseline(
    sheet: TermSheet, references: References, case: Case, model: str, of: Covariates = covariates
) -> Baseline | None:
    """The baseline price, and what it is from; `model` keys the coefficients of the price model."""
    day = case.started_on
    own = references.known("baseline_price", case.episode_id, day)
    if own is not None:
        return own.value.number, "episode", [own.value], [own.ref]
    if references.known("price_coefficient", f"{model}/intercept", day) is not None:
        return _modelled(sheet, references, case, model, of)
    for key, name in ((f"{case.practice}/{case.cancer_type}", "practice"), (case.cancer_type, "cancer")):
        found = references.known("baseline_price", key, day)
        if found is not None:
            return found.value.number, name, [found.value], [found.ref]
    return None


def _modelled(sheet: TermSheet, references: References, case: Case, model: str, of: Covariates) -> Baseline:
    """exp(sum of coefficients), to the cent: exp(10.1 + 0.2 + 0.05) = 31,257.04. One not published counts nothing."""
    used: list[Reference] = []
    for name in of(case):
        found = references.known("price_coefficient", f"{model}/{name}", case.started_on)
        if found is not None:
            used.append(found)
    log = sum((one.value.number for one in used), ZERO)
    amount = dollars(cents(log.exp().quantize(MODEL_DIGITS), sheet.rounding))
    return amount, "model", [one.value for one in used], [one.ref for one in used]
