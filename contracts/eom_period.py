"""How Medicare EOM settles a period: a price model for each cancer, clinical adjusters, two arrangements (EOM 3, 4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

from contracts import eom_settlement, pricing
from contracts.cases import Case
from contracts.clauses import Line
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
from contracts.reference_values import Reference, References
from contracts.settled import ONE, Group, Method, Operands, Priced, Reconciled
from contracts.terms import TermSheet
from contracts.units import dollars

ARRANGEMENTS = ("RA1", "RA2")


@exactly
def price(sheet: TermSheet, references: References, case: Case, period: Period) -> Priced:
    """An episode's counted cost and its benchmark before novel therapy."""
    added = list(_add_on(sheet, references, case))
    priced = pricing.counted(sheet, references, case, period, sum(line.amount_cents for line, _ in added))
    practice, cancer, day = case.practice, case.cancer_type, case.started_on
    found = pricing.baseline(sheet, references, case, cancer)
    experience = references.first("experience_adjuster", (f"{practice}/{cancer}", practice), day)
    trend = references.known("trend_factor", f"{period.number}/{cancer}", period.first_on)
    if pricing.known(priced, found, experience, trend):
        priced.clinical, _ = eom_settlement.clinical_adjuster(
            sheet, day, cancer, case.ever_metastatic, case.her2_positive
        )
        _raised(sheet, priced, ONE)
        priced.trended_cents = priced.benchmark_cents
    for line, reference in added:
        priced.values = tuple(dict.fromkeys((*priced.values, *line.terms, reference.value)))
        priced.refs.append(reference.ref)
    return priced


def _add_on(sheet: TermSheet, references: References, case: Case) -> Iterator[tuple[Line, Reference]]:
    """EOM 1.8: of each biosimilar whose reference product's price the payer names, what was paid and does not count."""
    for code, day, units in case.biosimilars:
        price = references.known("reference_asp", code, day)
        if price is not None:
            yield eom_settlement.biosimilar_add_on(sheet, day, Decimal(units), price.value.number), price


def _raised(sheet: TermSheet, priced: Priced, novel: Decimal) -> None:
    case = priced.case
    priced.line = eom_settlement.benchmark(
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
    priced.benchmark_cents = priced.line.amount_cents


def adjust(sheet: TermSheet, references: References, period: Period, group: Group) -> None:
    """EOM 3.6, for each practice and cancer: its share of novel spending beside that of others."""
    for practice in group.practices:
        by_cancer: dict[str, list[Priced]] = defaultdict(list)
        for one in practice.priced:
            by_cancer[one.case.cancer_type].append(one)
        for cancer, priced in sorted(by_cancer.items()):
            of = f"{period.number}/{cancer}", cancer
            with_novel_therapy(sheet, references, period, group, practice, priced, of, _raised)


def ready(sheet: TermSheet, references: References, period: Period, group: Group) -> None:
    """EOM 4.1 and 4.4: an arrangement and geography."""
    del sheet, references, period
    agreed(group, lambda said: said if said in ARRANGEMENTS else "")
    geography(group)
    limits_said(group)


def reconcile(sheet: TermSheet, period: Period, group: Group) -> Reconciled:
    """EOM 4.3."""
    assert group.quality is not None and group.quality.score is not None
    benchmark, actual = dollars(group.benchmark_cents), dollars(group.actual_cents)
    score = group.quality.score
    return eom_settlement.reconcile(sheet, period.first_on, group.arrangement, benchmark, actual, score, group.gaf)


def _operands(period: Period, group: Group) -> Operands:
    return operands(period, group, "risk_arrangement")


METHOD = Method(
    EARNED, OWED, "Benchmark", "Expenditure that counts", price, adjust, ready, reconcile, _operands, RECOUPED
)
