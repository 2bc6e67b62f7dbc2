"""What an employer pays for outcomes: T1 to T5 of the outcome rules A.6 (T6, the care fee: care_fee.py).

Modelled: a bonus for each return to work, a withhold released by observed over expected, shared savings gated by
quality, a guarantee on return to work, a risk corridor. Left out: who is eligible and when a return is sustained, which
come from work facts. Every dollar is illustrative: employers.toml. Exact and unrounded; half to even, once, last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from contracts.clauses import Line
from contracts.exact import exactly
from contracts.savings import ONE, credibility, quality_multiplier, shared
from contracts.terms import DatedValue, TermSheet
from contracts.units import ZERO, add_months, cents, days_between

WEEK = 7
HARMS = ("relapse", "absent_again", "symptoms")
"""What early return may do, by the names that `harm_limits` has for them."""


def _line(sheet: TermSheet, clause: str, label: str, words: str, amount: Decimal, *terms: DatedValue) -> Line:
    return Line(clause, label, words, cents(amount, sheet.rounding), terms)


# --- T1 --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bonus:
    """The tier a person's return earns, or why it earns none."""

    tier: str
    line: Line


@exactly
def tier_bonus(
    sheet: TermSheet,
    absence_on: str,
    returned_on: str | None,
    partial_on: str | None,
    benchmark_weeks: Decimal,
    last_award_on: str | None,
    lapsed_on: str | None,
) -> Bonus:
    """T1. Back after 16 weeks of a benchmark of 20: 16 <= 0.80 x 20 earns 2,500.00; after 20, 1,500.00.

    Weeks are days / 7, unrounded. One award a person in twelve months; a lapse within 90 days takes it back.
    """
    tier, term, words, used = _tier(sheet, absence_on, returned_on, partial_on, benchmark_weeks)
    earned_on = returned_on if tier in ("fast", "on_time") else partial_on
    if term is not None and earned_on is not None:
        interval = sheet.on("award_interval_months", absence_on)
        lapse = sheet.on("bonus_lapse_days", absence_on)
        if last_award_on is not None and earned_on < add_months(last_award_on, int(interval.number)):
            tier, term, words, used = "awarded_before", None, f"award on {last_award_on}: 0.00", (*used, interval)
        elif lapsed_on is not None and days_between(earned_on, lapsed_on) <= lapse.number:
            tier, term, words, used = "lapsed", None, f"lapsed on {lapsed_on}: 0.00", (*used, lapse)
    amount = ZERO if term is None else term.number
    terms = used if term is None else (*used, term)
    return Bonus(tier, _line(sheet, "T1", "Bonus for a return to work", words, amount, *terms))


def _tier(
    sheet: TermSheet, absence_on: str, returned_on: str | None, partial_on: str | None, benchmark_weeks: Decimal
) -> tuple[str, DatedValue | None, str, tuple[DatedValue, ...]]:
    fast = sheet.on("bonus_fast_share", absence_on)
    if returned_on is not None:
        days = days_between(absence_on, returned_on)
        if days <= fast.number * benchmark_weeks * WEEK:
            term = sheet.on("bonus_fast", absence_on)
            words = f"{days} days <= {fast.value} x {benchmark_weeks} weeks: {term.value}"
            return "fast", term, words, (fast,)
        if days <= benchmark_weeks * WEEK:
            term = sheet.on("bonus_on_time", absence_on)
            return "on_time", term, f"{days} days <= {benchmark_weeks} weeks: {term.value}", (fast,)
    weeks = sheet.on("bonus_partial_weeks", absence_on)
    if partial_on is not None and days_between(absence_on, partial_on) <= weeks.number * WEEK:
        term = sheet.on("bonus_partial", absence_on)
        words = f"partial return after {days_between(absence_on, partial_on)} days <= {weeks.value} weeks: {term.value}"
        return "partial", term, words, (weeks,)
    return "none", None, "no return in time: 0.00", (fast, weeks)


# --- T2 --------------------------------------------------------------------------------------------------------------


@exactly
def withheld(sheet: TermSheet, on: str, non_drug_allowed: Decimal) -> Line:
    """T2, what is held back: 0.05 x 480,000.00 = 24,000.00."""
    share = sheet.on("withhold_share", on)
    amount = share.number * non_drug_allowed
    words = f"{share.value} x {non_drug_allowed} = {amount:.4f}"
    return _line(sheet, "T2.withheld", share.label, words, amount, share)


@dataclass(frozen=True, slots=True)
class Withhold:
    """Observed over expected, as it is and adjusted; without factor and line while the denominator is too small."""

    oe: Decimal
    credibility: Decimal
    oe_adjusted: Decimal
    factor: Decimal | None
    line: Line | None


@exactly
def withhold(
    sheet: TermSheet,
    on: str,
    n: int,
    observed: Decimal,
    expected: Decimal,
    n_full: Decimal | None,
    held: Decimal,
    harm: Sequence[str] = (),
) -> Withhold:
    """T2, what is released: 26 / 24.1 = 1.078838; sqrt(40 / 100) = 0.632456; adjusted 1.049862, below 1.05: x 1.00.

    `n_full` None is the sheet's. Tiers compare the unrounded, algebraic value, so no digit of a root decides. `harm`
    names what exceeded its limit after early returns; then no more than what was withheld is released (A.6 T2).
    """
    terms = [sheet.on("withhold_tiers", on), sheet.on("minimum_denominator", on)]
    if n_full is None:
        terms.append(sheet.on("credibility_full", on))
        n_full = terms[-1].number
    oe, weight = observed / expected, credibility(n, n_full)
    adjusted = weight * oe + (ONE - weight)
    if n < terms[1].number:
        return Withhold(oe, weight, adjusted, None, None)
    excess, squared = Fraction(observed) / Fraction(expected) - 1, min(Fraction(1), Fraction(n) / Fraction(n_full))
    tiers = [pair.split(":") for pair in terms[0].value.split()]
    factor = next(Decimal(f) for least, f in tiers if _reaches(excess, squared, Fraction(least) - 1))
    amount = held * factor
    words = f"adjusted O/E {adjusted:.6f}: {held} x {factor} = {amount:.4f}"
    if harm and factor > ONE:
        factor, amount = Decimal("1.00"), held
        words += f"; {', '.join(harm)} above its limit: {held:,.2f} x 1.00"
        terms.append(sheet.on("harm_limits", on))
    return Withhold(oe, weight, adjusted, factor, _line(sheet, "T2", "Release of the withhold", words, amount, *terms))


def _reaches(excess: Fraction, squared: Fraction, least: Fraction) -> bool:
    """Whether sqrt(squared) x excess >= least, exactly."""
    if excess >= 0:
        return least <= 0 or squared * excess * excess >= least * least
    return least < 0 and squared * excess * excess <= least * least


# --- T3 --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SharedSavings:
    """A saving (negative when more was spent), the quality that multiplies it, and what is paid."""

    savings: Decimal
    quality_multiplier: Decimal
    line: Line


@exactly
def shared_savings(
    sheet: TermSheet,
    on: str,
    target: Decimal,
    actual: Decimal,
    quality: Sequence[tuple[Decimal, Decimal]],
    share: Decimal | None,
    minimum_savings_rate: Decimal | None,
    cap: Decimal | None,
) -> SharedSavings:
    """T3. (3,360,000 - 3,150,000) x 0.5 x 0.8625 = 90,562.50. A figure left None is the sheet's."""
    terms: list[DatedValue] = []

    def figure(given: Decimal | None, name: str) -> Decimal:
        if given is not None:
            return given
        terms.append(sheet.on(name, on))
        return terms[-1].number

    multiplier = quality_multiplier(quality)
    result = shared(
        target - actual,
        target,
        figure(share, "savings_share"),
        figure(minimum_savings_rate, "minimum_savings_rate"),
        figure(cap, "savings_cap"),
        multiplier,
    )
    line = _line(sheet, "T3", "Shared savings", result.arithmetic, result.amount, *terms)
    return SharedSavings(target - actual, multiplier, line)


# --- T4 --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Guarantee:
    """What was at risk, the part of it missed (0 to 1), and the refund."""

    at_risk: Decimal
    missed: Decimal
    line: Line


@exactly
def outcomes_guarantee(
    sheet: TermSheet, on: str, fees: Decimal, benchmark: Decimal, floor: Decimal, observed: Decimal
) -> Guarantee:
    """T4. 400,000 x 0.20 x 0.25 = 20,000 at risk; (0.55 - 0.52) / (0.55 - 0.45) = 0.3 missed: 6,000.00 back."""
    risk, weight = sheet.on("fees_at_risk", on), sheet.on("return_to_work_weight", on)
    at_risk = fees * risk.number * weight.number
    short = min(max(benchmark - observed, ZERO), benchmark - floor)
    amount = at_risk * short / (benchmark - floor)
    words = (
        f"{fees} x {risk.value} x {weight.value} x min(max({benchmark} - {observed}, 0) / ({benchmark} - {floor}), 1)"
        f" = {amount:.4f}"
    )
    line = _line(sheet, "T4", "Refund under the outcomes guarantee", words, amount, risk, weight)
    return Guarantee(at_risk, short / (benchmark - floor), line)


# --- T5 --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Corridor:
    """How far spending was from the target (above is positive), the zone, and what moves: to the practice, positive."""

    deviation: Decimal
    zone: str
    line: Line


@exactly
def risk_corridor(sheet: TermSheet, on: str, target: Decimal, actual: Decimal) -> Corridor:
    """T5. 8 % under a target of 1,000,000: half of what is beyond 3 %, 0.5 x (80,000 - 30,000) = 25,000.00.

    Within 3 % nothing moves; beyond 10 % the employer keeps or bears all.
    """
    inner, outer, share = (sheet.on(f"corridor_{name}", on) for name in ("inner", "outer", "share"))
    deviation = actual - target
    size, low, high = abs(deviation), inner.number * target, outer.number * target
    zone = "inside" if size <= low else "shared" if size <= high else "beyond"
    amount = share.number * (min(size, high) - low) if size > low else ZERO
    signed = -amount if deviation > 0 else amount
    words = f"{share.value} x (min({size}, {high}) - {low}) = {amount:.4f}" if amount else f"{size} <= {low} = 0.00"
    line = _line(sheet, "T5", "Risk corridor", words, signed, inner, outer, share)
    return Corridor(deviation, zone, line)
