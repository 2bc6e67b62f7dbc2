"""Medicare EOM's settlement clauses: benchmark, Part D, target, performance-based payment and recoupment.

Functions stand in the order of the model's payment methodology (EOM 3 and 4). All are pure, exact and unrounded until
a line is made; figures come from the sheet, by the day the episode began. A day outside the model has no terms.
"""

from __future__ import annotations

from decimal import Decimal

from contracts.clauses import Line
from contracts.exact import exactly
from contracts.settled import Reconciled
from contracts.steps import ONE, multiplier, walk, within_model
from contracts.terms import DatedValue, TermSheet
from contracts.units import cents


def clinical_adjuster(
    sheet: TermSheet, initiated_on: str, cancer_type: str, ever_metastatic: bool | None, her2_positive: bool | None
) -> tuple[Decimal, tuple[DatedValue, ...]]:
    """EOM 3.4: lung 1.06, colorectal 1.10 if ever metastatic; breast 1.23 if also HER2 positive; unknown is 1.00."""
    if cancer_type in ("lung", "colorectal") and ever_metastatic:
        term = sheet.on(f"clinical_{cancer_type}_metastatic", initiated_on)
    elif cancer_type == "breast" and ever_metastatic and her2_positive:
        term = sheet.on("clinical_breast_metastatic_her2", initiated_on)
    else:
        return ONE, ()
    return term.number, (term,)


@exactly
def benchmark(
    sheet: TermSheet,
    initiated_on: str,
    baseline: Decimal,
    experience: Decimal,
    cancer_type: str,
    ever_metastatic: bool | None,
    her2_positive: bool | None,
    trend: Decimal,
    novel_therapy: Decimal,
) -> Line:
    """EOM 3.7: baseline x experience x clinical x trend x novel therapy.

    38,500.00 x 0.985 x 1.23 x 1.082 = 50,469.54.
    """
    clinical, terms = clinical_adjuster(sheet, initiated_on, cancer_type, ever_metastatic, her2_positive)
    amount = baseline * experience * clinical * trend * novel_therapy
    arithmetic = f"{baseline} x {experience} x {clinical} x {trend} x {novel_therapy} = {amount:.4f}"
    return Line("BENCHMARK", "Benchmark of an episode", arithmetic, cents(amount, sheet.rounding), terms)


@exactly
def part_d(sheet: TermSheet, filled_on: str, lics: Decimal, gdcc_above: Decimal) -> Line:
    """EOM 1.8: subsidy + 80 % of cost above the threshold. 412.50 + 0.8 x 9,150.25 = 7,732.70."""
    share = sheet.on("part_d_above_threshold_share", filled_on)
    amount = lics + share.number * gdcc_above
    arithmetic = f"{lics} + {share.number} x {gdcc_above} = {amount}"
    return Line("PART_D", "Part D drugs", arithmetic, cents(amount, sheet.rounding), (share,))


@exactly
def standardise(sheet: TermSheet, service_on: str, standardised: Decimal) -> Line:
    """EOM 1.8: sequestration added back. 9,604.00 / 0.98 = 9,800.00."""
    cut = sheet.on("sequestration", service_on)
    amount = standardised / (ONE - cut.number)
    arithmetic = f"{standardised} / (1 - {cut.number}) = {amount:.4f}"
    return Line("STANDARDISED", "Part A and B payments", arithmetic, cents(amount, sheet.rounding), (cut,))


@exactly
def biosimilar_add_on(sheet: TermSheet, service_on: str, units: Decimal, reference_asp: Decimal) -> Line:
    """EOM 1.8: what does not count of a biosimilar's payment. 40 x 12.50 x (0.08 - 0.06) x 0.80 = 8.00.

    Of a payment before 2022-10-01 everything counts. `reference_asp` is for one billing unit.
    """
    paid, counted = sheet.on("biosimilar_add_on", service_on), sheet.on("biosimilar_add_on_counted", service_on)
    share = sheet.on("part_b_paid_share", service_on)
    amount = units * reference_asp * (paid.number - counted.number) * share.number
    words = f"{units} x {reference_asp} x ({paid.value} - {counted.value}) x {share.value} = {amount:.4f}"
    return Line(
        "BIOSIMILAR", "Add-on that does not count", words, cents(amount, sheet.rounding), (paid, counted, share)
    )


@exactly
def reconcile(
    sheet: TermSheet,
    initiated_on: str,
    risk_arrangement: str,
    benchmark_amount: Decimal,
    actual: Decimal,
    aqs: Decimal,
    gaf: Decimal,
) -> Reconciled:
    """EOM 4.3. Below the target a practice earns, above the threshold it owes, between them nothing moves.

    RA1, benchmark 10,000,000, actual 9,300,000, quality 75: min(300,000, 400,000) x 1.00 x 1.00 x 0.98 = 294,000.00.
    """
    within_model(sheet, initiated_on)
    ra = risk_arrangement.lower()
    discount = sheet.on(f"discount_{ra}", initiated_on)
    least = sheet.on("recoupment_threshold", initiated_on)
    target = benchmark_amount * (ONE - discount.number)
    threshold = benchmark_amount * least.number
    if actual < target:
        line = _performance_payment(sheet, initiated_on, ra, benchmark_amount, target - actual, aqs, gaf, discount)
        return Reconciled("earned", target, threshold, line.amount_cents, 0, (line,))
    if actual > threshold:
        line = _recoupment(sheet, initiated_on, ra, benchmark_amount, actual - threshold, aqs, gaf, least)
        return Reconciled("owed", target, threshold, 0, -line.amount_cents, (line,))
    arithmetic = f"{actual} is from {target} to {threshold}"
    line = Line("NEUTRAL", "Neutral zone: nothing moves", arithmetic, 0, (discount, least))
    return Reconciled("neutral", target, threshold, 0, 0, (line,))


def _performance_payment(
    sheet: TermSheet,
    initiated_on: str,
    ra: str,
    benchmark_amount: Decimal,
    saving: Decimal,
    aqs: Decimal,
    gaf: Decimal,
    discount: DatedValue,
) -> Line:
    stop = sheet.on(f"stop_gain_{ra}", initiated_on)
    quality = sheet.on("pbp_quality", initiated_on)
    steps = sheet.on("pbp_steps", initiated_on)
    cut = sheet.on("sequestration", initiated_on)
    factors = {"quality": multiplier(quality, aqs), "geography": gaf, "sequestration": ONE - cut.number}
    amount, arithmetic = walk(steps.value, saving, stop.number * benchmark_amount, factors)
    terms = (discount, stop, quality, steps, cut)
    return Line("PBP", "Performance-based payment", arithmetic, cents(amount, sheet.rounding), terms)


def _recoupment(
    sheet: TermSheet,
    initiated_on: str,
    ra: str,
    benchmark_amount: Decimal,
    excess: Decimal,
    aqs: Decimal,
    gaf: Decimal,
    least: DatedValue,
) -> Line:
    stop = sheet.on(f"stop_loss_{ra}", initiated_on)
    quality = sheet.on("pbr_quality", initiated_on)
    steps = sheet.on("pbr_steps", initiated_on)
    factors = {"quality": multiplier(quality, aqs), "geography": gaf}
    amount, arithmetic = walk(steps.value, excess, stop.number * benchmark_amount, factors)
    terms = (least, stop, quality, steps)
    return Line("PBR", "Performance-based recoupment", arithmetic, -cents(amount, sheet.rounding), terms)
