"""Medicare's Oncology Care Model, EOM's predecessor from 2016 to 2022: its clauses where they differ from EOM's.

Modelled: the monthly payment of 160 dollars; the single-model benchmark, without a clinical adjuster; the one-sided,
two-sided and alternative two-sided tracks, the last with limits in practice revenue; episodes of all cancers, of whole
plurality and without sub-types that do not count, by EOM's clauses under this sheet. Left out: coefficients that CMS
published for earlier periods, the third reconciliation, ACO overlap. Figures: ocm.toml; how a period is settled:
ocm_period.py.
"""

from __future__ import annotations

from decimal import Decimal

from contracts.clauses import Line
from contracts.eom import EomClauses
from contracts.episode import Window
from contracts.exact import exactly
from contracts.settled import Reconciled
from contracts.steps import ONE, multiplier, walk, within_model
from contracts.terms import TermSheet
from contracts.units import cents

CONTRACT = "ocm"
ONE_SIDED, TWO_SIDED, ALTERNATIVE = "one_sided", "two_sided", "alternative"
TRACKS = (ONE_SIDED, TWO_SIDED, ALTERNATIVE)


class OcmClauses(EomClauses):
    """OCM under one adopted sheet: EOM's clauses by OCM's terms, but no sub-type is excluded."""

    contract = CONTRACT

    def _exclusion(self, window: Window, cancer: str) -> str:
        """Endocrine therapy alone is an episode of OCM, at a price of its own."""
        return ""


@exactly
def meos(sheet: TermSheet, initiated_on: str, months: int) -> Line:
    """A payment for each month of enhanced services, up to six: 6 x 160.00 = 960.00. It counts as expenditure."""
    within_model(sheet, initiated_on)
    rate, most = sheet.on("meos_payment", initiated_on), sheet.on("meos_months_max", initiated_on)
    paid = min(months, int(most.number))
    amount = paid * rate.number
    return Line("MEOS", rate.label, f"{paid} x {rate.number} = {amount}", cents(amount, sheet.rounding), (rate, most))


@exactly
def benchmark(
    sheet: TermSheet,
    initiated_on: str,
    baseline: Decimal,
    experience: Decimal,
    trend: Decimal,
    novel_therapy: Decimal,
) -> Line:
    """Baseline x experience x trend x novel therapy: 38,500.00 x 0.985 x 1.082 x 1 = 41,032.15 (41,032.145)."""
    within_model(sheet, initiated_on)
    amount = baseline * experience * trend * novel_therapy
    words = f"{baseline} x {experience} x {trend} x {novel_therapy} = {amount:.4f}"
    return Line("BENCHMARK", "Benchmark of an episode", words, cents(amount, sheet.rounding), ())


@exactly
def reconcile(
    sheet: TermSheet,
    initiated_on: str,
    track: str,
    benchmark_amount: Decimal,
    actual: Decimal,
    aqs: Decimal,
    gaf: Decimal,
    practice_revenue: Decimal,
) -> Reconciled:
    """One-sided, benchmark 10,000,000, actual 9,300,000, quality 75: min(300,000, 2,000,000) x 0.98 = 294,000.00.

    Without a downside nothing is owed, whatever was spent. The alternative's limits are fractions of practice revenue.
    """
    within_model(sheet, initiated_on)
    discount = sheet.on(f"discount_{track}", initiated_on)
    limits = practice_revenue if track == ALTERNATIVE else benchmark_amount
    target = benchmark_amount * (ONE - discount.number)
    quality = sheet.on("pbp_quality", initiated_on)
    if actual < target:
        stop, steps = sheet.on(f"stop_gain_{track}", initiated_on), sheet.on("pbp_steps", initiated_on)
        cut = sheet.on("sequestration", initiated_on)
        factors = {"quality": multiplier(quality, aqs), "geography": gaf, "sequestration": ONE - cut.number}
        amount, words = walk(steps.value, target - actual, stop.number * limits, factors)
        terms = (discount, stop, quality, steps, cut)
        line = Line("PBP", "Performance-based payment", words, cents(amount, sheet.rounding), terms)
        return Reconciled("earned", target, target, line.amount_cents, 0, (line,))
    if track == ONE_SIDED:
        words = f"{actual} is not below {target}, and this track owes nothing"
        return Reconciled("neutral", target, target, 0, 0, (Line("NEUTRAL", "No downside", words, 0, (discount,)),))
    least = sheet.on(f"recoupment_threshold_{track}", initiated_on)
    threshold = benchmark_amount * least.number
    if actual <= threshold:
        words = f"{actual} is from {target} to {threshold}"
        line = Line("NEUTRAL", "Nothing moves", words, 0, (discount, least))
        return Reconciled("neutral", target, threshold, 0, 0, (line,))
    stop, steps = sheet.on(f"stop_loss_{track}", initiated_on), sheet.on("pbr_steps", initiated_on)
    amount, words = walk(steps.value, actual - threshold, stop.number * limits, {"geography": gaf})
    line = Line("PBR", "Performance-based recoupment", words, -cents(amount, sheet.rounding), (least, stop, steps))
    return Reconciled("owed", target, threshold, 0, -line.amount_cents, (line,))
