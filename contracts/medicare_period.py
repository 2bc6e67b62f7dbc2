"""What EOM and OCM share in settling a period: one arrangement of a group, geography, novel therapy, operands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Decimal

from contracts.novel_therapy import novel_therapy
from contracts.period import Period
from contracts.reference_values import References
from contracts.settled import Group, Operands, Practice, Priced
from contracts.terms import TermSheet
from contracts.units import ZERO, dollars

GAF_STEP = Decimal("0.0000001")
EARNED, OWED, RECOUPED = "PBP", "PBR", "meos_recoupment"

Raise = Callable[[TermSheet, Priced, Decimal], None]
"""Raises an episode's benchmark by a factor."""


def agreed(group: Group, known: Callable[[str], str]) -> None:
    """All practices of a pool need one arrangement (EOM 4.4); `known` names the contract's own, '' for another's."""
    held = {practice.arrangement for practice in group.practices}
    group.arrangement = known(min(held)) if len(held) == 1 else ""
    if len(held) > 1:
        group.pending.append("pool_arrangements_differ")
    elif not group.arrangement:
        group.pending.append("no_arrangement")


def geography(group: Group) -> None:
    """The practice's factor; of a pool its practices' weighted by benchmark, to seven decimals."""
    there = [practice for practice in group.practices if practice.priced]
    factors = [(one.gaf.value.number, one.benchmark_cents) for one in there if one.gaf is not None]
    weight = sum(cents for _, cents in factors)
    if len(factors) < len(there) or not (weight or len(factors) == 1):
        group.pending.append("no_geography")
    elif len(factors) == 1:
        group.gaf = factors[0][0]
    else:
        whole = sum((factor * cents for factor, cents in factors), ZERO) / weight
        group.gaf = whole.quantize(GAF_STEP, rounding=ROUND_HALF_UP)


def limits_said(group: Group) -> None:
    """Limits are applied where the payer names them; that none were is said."""
    if not any(one.limits for one in group.priced):
        group.said.append("no_winsor_limits")


def with_novel_therapy(
    sheet: TermSheet,
    references: References,
    period: Period,
    group: Group,
    practice: Practice,
    priced: Sequence[Priced],
    of: tuple[str, str],
    raised: Raise,
) -> None:
    """EOM 3.6 over some episodes of a practice; `of` is (key of the comparison's share, what the episodes are of)."""
    comparison = references.known("novel_comparison_share", of[0], period.first_on)
    if comparison is None:
        group.said.append("no_novel_comparison")
        return
    trended, actual = sum(one.trended_cents for one in priced), sum(one.counted_cents for one in priced)
    if trended <= 0 or actual <= 0:
        return
    novel = dollars(sum(one.novel_cents for one in priced))
    share = comparison.value.number
    added = novel_therapy(sheet, period.first_on, dollars(actual), novel, share, dollars(trended))
    practice.novel.append((of[1], added.factor, added.line))
    for one in priced:
        if one.line is not None:
            one.values, one.refs = (*one.values, comparison.value), [*one.refs, comparison.ref]
            raised(sheet, one, added.factor)


def operands(period: Period, group: Group, arrangement: str) -> Operands:
    """What a reconciliation is tried with, under the name that the contract has for its arrangement."""
    assert group.quality is not None and group.quality.score is not None
    return {
        "initiated_on": period.first_on,
        arrangement: group.arrangement,
        "benchmark": f"{dollars(group.benchmark_cents):.2f}",
        "actual": f"{dollars(group.actual_cents):.2f}",
        "aqs": f"{group.quality.score + ZERO:f}",
        "gaf": f"{group.gaf:f}",
    }
