"""A practice's quality: EOM-1 to EOM-3 from its episodes, the others as reported, and the aggregate score (EOM 4.2).

A measure is scored when its rate and the payer's cut points are known, or its points are reported; one that cannot be
scored leaves the score's denominator. Rates are per cent. EOM-1 is not risk adjusted, since how is not public. Points,
order and least numbers of cases are terms; cut points are reference values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from contracts.cases import Case
from contracts.exact import exactly
from contracts.parts import Ref
from contracts.reference_values import Reference, References
from contracts.terms import DatedValue, TermSheet
from contracts.units import ZERO

HUNDRED = Decimal(100)
SCORE_STEP = Decimal("0.000001")
"""A score is cut, never rounded up, so that it crosses no tier."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One measure: cases, rate in per cent (None: none), points earned (None: not scored) of those possible.

    `source` is `claims`, `reported` or `none`; `why_not` says why a measure is not scored.
    """

    measure: str
    numerator: int
    denominator: int
    rate: Decimal | None
    points: Decimal | None
    possible: Decimal
    source: str
    why_not: str
    values: tuple[DatedValue, ...] = ()
    refs: tuple[Ref, ...] = ()


@dataclass(frozen=True, slots=True)
class Quality:
    """The aggregate score in per cent, to six decimals (None: nothing could be scored), and what it is made of."""

    score: Decimal | None
    source: str
    measures: tuple[Measured, ...]
    values: tuple[DatedValue, ...] = ()
    refs: tuple[Ref, ...] = ()


def counts(cases: Sequence[Case]) -> dict[str, tuple[int, int]]:
    """(numerator, denominator) of each measure that claims show, in episodes.

    Admission and emergency visit exclude each other: whoever had both counts as admitted. Leukaemia is not in EOM-1.
    OCM-1 to OCM-3 are the same counts under their numbers in OCM.
    """
    treated = [case for case in cases if case.outpatient_therapy and case.cancer_type != "chronic_leukemia"]
    died = [case for case in cases if case.died_on]
    admitted = sum(case.admission for case in treated), len(treated)
    emergency = sum(case.emergency and not case.admission for case in treated), len(treated)
    hospice = sum(case.hospice for case in died), len(died)
    return {
        "EOM-1a": admitted,
        "EOM-1b": emergency,
        "EOM-2": hospice,
        "EOM-3": (sum(case.therapy_at_end for case in died), len(died)),
        "OCM-1": admitted,
        "OCM-2": emergency,
        "OCM-3": hospice,
    }


@exactly
def score(
    sheet: TermSheet,
    references: References,
    period: int,
    period_on: str,
    cases: Sequence[Case],
    practices: Mapping[str, int],
    group: str,
) -> Quality:
    """The score of a practice, or of a pool together: `practices` with their episodes, `group` the pool's name or ''.

    29 of 36 points are 80.555555. A score that the payer reports itself holds as it is.
    """
    told = _reported(references, "quality_score", f"{period}", period_on, practices, group)
    points = dict(pair.split(":") for pair in sheet.on("quality_measures", period_on).value.split())
    found = counts(cases)
    measures = tuple(
        _measured(sheet, references, period, period_on, measure, found.get(measure), Decimal(most), practices, group)
        for measure, most in points.items()
    )
    if told is not None:
        return Quality(_cut(told[0]), "reported", measures, *told[1:])
    scored = [one for one in measures if one.points is not None]
    possible = sum((one.possible for one in scored), ZERO)
    if not possible:
        return Quality(None, "none", measures)
    earned = sum((one.points for one in scored if one.points is not None), ZERO)
    return Quality(_cut(HUNDRED * earned / possible), "measures", measures)


def _cut(value: Decimal) -> Decimal:
    return value.quantize(SCORE_STEP, rounding=ROUND_DOWN).normalize() + ZERO


def _measured(
    sheet: TermSheet,
    references: References,
    period: int,
    period_on: str,
    measure: str,
    claims: tuple[int, int] | None,
    possible: Decimal,
    practices: Mapping[str, int],
    group: str,
) -> Measured:
    key = f"{period}/{measure}"
    numerator, denominator = claims or (0, 0)
    rate = HUNDRED * numerator / denominator if denominator else None
    reported = _reported(references, "quality_points", key, period_on, practices, group)
    if reported is not None:
        points, values, refs = reported
        earned = min(points, possible)
        return Measured(measure, numerator, denominator, rate, earned, possible, "reported", "", values, refs)
    told = _reported(references, "quality_rate", key, period_on, practices, group)
    source = "claims" if claims is not None else "none"
    values, refs = (), ()
    if told is not None:
        rate, values, refs = told
        source = "reported"
    least = sheet.on("quality_minimum_cases", period_on)
    if rate is None or (source == "claims" and denominator < least.number):
        why = "not reported" if claims is None else f"{denominator} cases, fewer than {least.value}"
        return Measured(measure, numerator, denominator, rate, None, possible, source, why, (least,))
    cuts = _cuts(references, measure, period, period_on)
    if not cuts:
        why = "no cut points are known"
        return Measured(measure, numerator, denominator, rate, None, possible, source, why, values, refs)
    lower = measure in sheet.on("quality_lower_is_better", period_on).value.split()
    reached = [
        (points, cut)
        for points, cut in cuts
        if (rate <= cut.value.number if lower else rate >= cut.value.number) and points <= possible
    ]
    points, by = max(reached, key=lambda one: one[0], default=(ZERO, None))
    values = (*values, *((by.value,) if by else ()))
    refs = (*refs, *((by.ref,) if by else ()))
    return Measured(measure, numerator, denominator, rate, points, possible, source, "", values, refs)


def _cuts(references: References, measure: str, period: int, period_on: str) -> list[tuple[Decimal, Reference]]:
    """(points, the rate that earns them)."""
    found = []
    for key in references.keys("quality_cut", f"{period}/{measure}/"):
        cut = references.known("quality_cut", key, period_on)
        if cut is not None:
            found.append((Decimal(key.rpartition("/")[2]), cut))
    return found


def _reported(
    references: References, name: str, key: str, day: str, practices: Mapping[str, int], group: str
) -> tuple[Decimal, tuple[DatedValue, ...], tuple[Ref, ...]] | None:
    """What is reported of the pool, or of each of its practices, weighted by episodes; None unless all are known."""
    if group and (whole := references.known(name, f"{group}/{key}", day)) is not None:
        return whole.value.number, (whole.value,), (whole.ref,)
    found = [(references.known(name, f"{practice}/{key}", day), count) for practice, count in practices.items()]
    known = [(one, count) for one, count in found if one is not None and count]
    weight = sum(count for _, count in known)
    if not weight or len(known) < sum(1 for _, count in found if count):
        return None
    value = sum((one.value.number * count for one, count in known), ZERO) / weight
    return value, tuple(one.value for one, _ in known), tuple(one.ref for one, _ in known)
