"""How BCBS South Carolina settles a period: savings against the plan's targets, shared by its terms; all illustrative.

An episode's target is the plan's figure for the episode, for the practice and cancer, or for the cancer; without one
nothing is settled. What counts is what the plan paid, medical and pharmacy, up to the most of one episode. Quality is
EOM's measures under this sheet, as a share of their points.
"""

from __future__ import annotations

from decimal import Decimal

from contracts.bcbs_sc_settlement import Settled, shared_savings
from contracts.cases import Case
from contracts.clauses import Line
from contracts.exact import exactly
from contracts.period import Period
from contracts.reference_values import References
from contracts.settled import Group, Method, Operands, Priced, Reconciled
from contracts.terms import TermSheet
from contracts.units import cents, dollars

EARNED, OWED = "SHARED_SAVINGS", "SHARED_LOSS"
HUNDRED = Decimal(100)


@exactly
def price(sheet: TermSheet, references: References, case: Case, period: Period) -> Priced:
    """An episode's target, and its cost up to the stop-loss: of 310,000.00 count 250,000.00."""
    stop = sheet.on("episode_stop_loss", period.first_on)
    most = cents(stop.number, sheet.rounding)
    priced = Priced(case, min(case.expenditure_cents, most))
    if case.expenditure_cents > most:
        priced.winsorised, priced.limits = "cut", (stop,)
    keys = (("episode", case.episode_id), ("practice", f"{case.practice}/{case.cancer_type}"))
    for name, key in (*keys, ("cancer", case.cancer_type)):
        found = references.known("target_price", key, case.started_on)
        if found is not None:
            priced.baseline, priced.baseline_from = found.value.number, name
            priced.benchmark_cents = priced.trended_cents = cents(found.value.number, sheet.rounding)
            words = f"the plan's target by {name} = {found.value.number}"
            priced.line = Line("TARGET", "Target of an episode", words, priced.benchmark_cents, (found.value,))
            priced.values, priced.refs = (found.value,), [found.ref]
            return priced
    priced.missing = ("no_target",)
    return priced


def adjust(sheet: TermSheet, references: References, period: Period, group: Group) -> None:
    """Targets stand as they are."""


def ready(sheet: TermSheet, references: References, period: Period, group: Group) -> None:
    """Who shares is the sheet's by the period's first day, the same for every practice."""
    del references
    group.arrangement = sheet.on("savings_sides", period.first_on).value


def reconcile(sheet: TermSheet, period: Period, group: Group) -> Reconciled:
    """One-sided, then two-sided: `bcbs_sc_settlement.shared_savings`."""
    found = settled(sheet, period, group)
    amount = found.line.amount_cents
    zone = "earned" if found.reached and found.savings > 0 else "owed" if amount < 0 else "neutral"
    return Reconciled(zone, found.target, found.target, max(amount, 0), max(-amount, 0), (found.line,))


def settled(sheet: TermSheet, period: Period, group: Group) -> Settled:
    """The group's episodes by the contract's clause."""
    assert group.quality is not None and group.quality.score is not None
    episodes = [(dollars(one.benchmark_cents), dollars(one.case.expenditure_cents)) for one in group.priced]
    return shared_savings(sheet, period.first_on, episodes, [(Decimal(1), group.quality.score / HUNDRED)])


def operands(period: Period, group: Group) -> Operands:
    """What `contract try bcbs-sc shared-savings` takes to give the same cents."""
    assert group.quality is not None and group.quality.score is not None
    episodes = [(one.benchmark_cents, one.case.expenditure_cents) for one in group.priced]
    return {
        "period_on": period.first_on,
        "episodes": [[f"{dollars(target):.2f}", f"{dollars(cost):.2f}"] for target, cost in episodes],
        "quality": [["1", f"{group.quality.score / HUNDRED:f}"]],
    }


METHOD = Method(
    EARNED, OWED, "Target", "Cost that counts", price, adjust, ready, reconcile, operands, illustrative=True
)
