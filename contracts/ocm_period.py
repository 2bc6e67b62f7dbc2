"""How OCM settles a period: one price model for all cancers, no clinical adjuster, three tracks of risk.

A practice's track is the arrangement the payer names for it; a term says which track stands for another model's name,
so that a history under EOM can be told under OCM. Figures: ocm.toml.
"""

from __future__ import annotations

from decimal import Decimal

from contracts import ocm, pricing
from contracts.cases import Case
from contracts.exact import exactly
from contracts.medicare_period import (
    EARNED,
    OWED,
    RECOUPED,
    agreed,
    geography,
    limits_said,
    operands,
    with_novel_therapy,
)
from contracts.period import Period
from contracts.reference_values import References
from contracts.settled import ONE, Group, Method, Operands, Priced, Reconciled
from contracts.terms import TermSheet
from contracts.units import dollars

MODEL = "all"
"""Keys the coefficients of the one model; the cancer is one of its covariates."""


def _covariates(case: Case) -> list[str]:
    return [*pricing.covariates(case), case.cancer_type]


@exactly
def price(sheet: TermSheet, references: References, case: Case, period: Period) -> Priced:
    """An episode's counted cost and its benchmark before novel therapy."""
    priced = pricing.counted(sheet, references, case, period)
    practice, cancer, day = case.practice, case.cancer_type, case.started_on
    found = pricing.baseline(sheet, references, case, MODEL, _covariates)
    experience = references.first("experience_adjuster", (practice, f"{practice}/{cancer}"), day)
    keys = (f"{practice}/{period.number}", f"{period.number}", f"{period.number}/{cancer}")
    trend = references.first("trend_factor", keys, period.first_on)
    if pricing.known(priced, found, experience, trend):
        _raised(sheet, priced, ONE)
        priced.trended_cents = priced.benchmark_cents
    return priced


def _raised(sheet: TermSheet, priced: Priced, novel: Decimal) -> None:
    started_on = priced.case.started_on
    priced.line = ocm.benchmark(sheet, started_on, priced.baseline, priced.experience, priced.trend, novel)
    priced.benchmark_cents = priced.line.amount_cents


def adjust(sheet: TermSheet, references: References, period: Period, group: Group) -> None:
    """EOM 3.6 as OCM had it: over all episodes of a practice together."""
    for practice in group.practices:
        if practice.priced:
            of = f"{period.number}", "all"
            with_novel_therapy(sheet, references, period, group, practice, practice.priced, of, _raised)


def ready(sheet: TermSheet, references: References, period: Period, group: Group) -> None:
    """A track, geography, and for the alternative track the practices' revenue."""
    pairs = (said.split(":") for said in sheet.on("tracks", period.first_on).value.split())
    tracks = dict(pairs)
    agreed(group, lambda said: tracks.get(said, ""))
    geography(group)
    limits_said(group)
    if group.arrangement == ocm.ALTERNATIVE:
        there = [practice for practice in group.practices if practice.priced]
        found = [
            references.known("practice_revenue", f"{practice.name}/{period.number}", period.first_on)
            for practice in there
        ]
        for practice, one in zip(there, found, strict=True):
            if one is None:
                group.pending.append("no_revenue")
            else:
                group.revenue += one.value.number
                practice.refs.append(one.ref)
        group.pending[:] = list(dict.fromkeys(group.pending))


def reconcile(sheet: TermSheet, period: Period, group: Group) -> Reconciled:
    """OCM's own result by track."""
    assert group.quality is not None and group.quality.score is not None
    return ocm.reconcile(
        sheet,
        period.first_on,
        group.arrangement,
        dollars(group.benchmark_cents),
        dollars(group.actual_cents),
        group.quality.score,
        group.gaf,
        group.revenue,
    )


def _operands(period: Period, group: Group) -> Operands:
    found = operands(period, group, "track")
    return {**found, "practice_revenue": f"{group.revenue:f}"} if group.arrangement == ocm.ALTERNATIVE else found


METHOD = Method(
    EARNED, OWED, "Benchmark", "Expenditure that counts", price, adjust, ready, reconcile, _operands, RECOUPED,
    types="reconciled_types",
)  # fmt: skip
