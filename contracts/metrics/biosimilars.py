"""Biosimilars: M7 share by units, M8 weighted index, M9 new starts, M10 member cost, M21 formulary tier.

Units are converted to the molecule's own; discarded drug (modifier JW) is none given. Combinations under the skin and
tbo-filgrastim are in no denominator. No modifier marks a biosimilar: the code is the product.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from fractions import Fraction

from contracts.metrics.codes import Product
from contracts.metrics.measured import Measured, Number, ratio
from contracts.metrics.records import MemberRecord, Service, Tier
from contracts.metrics.scope import Scope
from contracts.units import add_days

REFERENCE, BIOSIMILAR = "reference", "biosimilar"
LOOKBACK_DAYS = 365

Compare = Callable[[Tier, Tier], bool | None]


def given(scope: Scope, member: MemberRecord) -> Iterator[tuple[Product, Service]]:
    """What was given of the molecules, of all days: reference or biosimilar, without what was discarded."""
    for _, line in member.services():
        product = scope.codes.product(line)
        if product is not None and product.role in (REFERENCE, BIOSIMILAR) and "JW" not in line.modifiers:
            yield product, line


def share(scope: Scope, molecule: str) -> Measured:
    """M7. Biosimilar units of all units of a molecule given in the period.

    5 of J2505 (6 mg, 12 units each) and 40 of Q5111 (0.5 mg): 40 / (60 + 40) = 0.4.
    """
    hits: dict[str, Number] = defaultdict(Fraction)
    of: dict[str, Number] = defaultdict(Fraction)
    for member in scope.members():
        for product, line in given(scope, member):
            if product.molecule == molecule and scope.within(line.on):
                units = line.units * product.factor
                of[member.member] += units
                hits[member.member] += units if product.role == BIOSIMILAR else 0
    return ratio("M7", hits, of, molecule)


def weighted_index(scope: Scope) -> Measured:
    """M8. Shares weighted by spending fixed at the start: 0.35 x 0.8 + 0.25 x 0.6 over 0.60 used = 0.7167.

    A molecule nobody was given has no share, and its weight falls to the others in proportion.
    """
    shares = [share(scope, molecule) for molecule in sorted(scope.weights)]
    used = [(scope.weights[one.stratum], one.value) for one in shares if one.value is not None]
    whole = sum((weight for weight, _ in used), Fraction(0))
    hits: dict[str, Number] = {member: 1 for one in shares for member, units in one.hits.items() if units}
    of: dict[str, Number] = {member: 1 for one in shares for member in one.of}
    index = sum((weight * value for weight, value in used), Fraction(0)) / whole if whole else None
    return Measured("M8", dict(sorted(hits.items())), dict(sorted(of.items())), computed=index, kind="composite")


def new_starts(scope: Scope, molecule: str) -> Measured:
    """M9. First administrations of a molecule in 365 days that are of a biosimilar, of all such.

    On a day of both the biosimilar counts. The day 365 days before still makes it no first one, the day before that
    does not.
    """
    hits, of = Counter[str](), Counter[str]()
    for member in scope.members():
        days: dict[str, bool] = {}
        for product, line in given(scope, member):
            if product.molecule == molecule:
                days[line.on] = days.get(line.on, False) or product.role == BIOSIMILAR
        held = sorted(days)
        for before, day in zip(["", *held], held, strict=False):
            if scope.within(day) and (not before or before < add_days(day, -LOOKBACK_DAYS)):
                of[member.member] += 1
                hits[member.member] += days[day]
    return ratio("M9", hits, of, molecule)


def member_cost(scope: Scope, molecule: str, role: str) -> Measured:
    """M10-unit. What members owe for one unit of a molecule, in cents, of the reference product or of biosimilars."""
    hits: dict[str, Number] = defaultdict(Fraction)
    of: dict[str, Number] = defaultdict(Fraction)
    for member in scope.members():
        for product, line in given(scope, member):
            told = line.member_cents is not None and scope.within(line.on)
            if told and (product.molecule, product.role) == (molecule, role):
                hits[member.member] += line.member_cents or 0
                of[member.member] += line.units * product.factor
    return ratio("M10-unit", hits, of, f"{molecule}/{role}")


def member_cost_difference(scope: Scope, molecule: str) -> Measured:
    """M10. Biosimilar less reference, cents a unit: 12.00 - 20.00 = -800; none unless both were given."""
    new, old = (member_cost(scope, molecule, role) for role in (BIOSIMILAR, REFERENCE))
    people: dict[str, Number] = dict.fromkeys(sorted({*new.of, *old.of}), 1)
    computed = None if new.value is None or old.value is None else new.value - old.value
    return Measured("M10", people, people, molecule, computed=computed, kind="composite")


def switch_value(scope: Scope, molecule: str) -> Measured:
    """M10-switch. What the plan would have saved, in cents, had biosimilars taken the place of the reference product.

    Reference units x (allowed a unit of the reference less that of biosimilars): 300 x (62.00 - 41.00) = 6,300.00.
    The numerator is each person's part of it, the denominator on how many days the reference product was given.
    """
    cents: dict[str, dict[str, Fraction]] = {role: defaultdict(Fraction) for role in (REFERENCE, BIOSIMILAR)}
    units: dict[str, dict[str, Fraction]] = {role: defaultdict(Fraction) for role in (REFERENCE, BIOSIMILAR)}
    days: dict[str, set[str]] = defaultdict(set)
    for member in scope.members():
        for product, line in given(scope, member):
            if product.molecule == molecule and scope.within(line.on):
                cents[product.role][member.member] += line.allowed_cents
                units[product.role][member.member] += line.units * product.factor
                if product.role == REFERENCE:
                    days[member.member].add(line.on)
    totals = {role: (sum(cents[role].values()), sum(units[role].values())) for role in (REFERENCE, BIOSIMILAR)}
    given_on: dict[str, Number] = {member: len(days[member]) for member in sorted(days)}
    if not totals[REFERENCE][1] or not totals[BIOSIMILAR][1]:
        return Measured("M10-switch", {}, given_on, molecule, kind="composite")
    by_unit = {role: Fraction(total) / whole for role, (total, whole) in totals.items()}
    saved = by_unit[REFERENCE] - by_unit[BIOSIMILAR]
    hits: dict[str, Number] = {member: units[REFERENCE][member] * saved for member in sorted(units[REFERENCE])}
    return Measured("M10-switch", hits, given_on, molecule, computed=Fraction(sum(hits.values())), kind="composite")


def _tiers(scope: Scope, member: MemberRecord, molecule: str) -> dict[str, Tier]:
    """The best tier of each role in force on the period's last day: the newest of each drug, then the lowest."""
    newest: dict[str, Tier] = {}
    for tier in member.tiers:
        product = scope.codes.product_of(tier.drug)
        if product is not None and product.molecule == molecule and tier.from_on <= scope.through_on:
            newest[tier.drug] = tier
    best: dict[str, Tier] = {}
    for drug, tier in newest.items():
        product = scope.codes.product_of(drug)
        assert product is not None
        held = best.get(product.role)
        if held is None or (tier.tier, tier.member_cents or 0) < (held.tier, held.member_cents or 0):
            best[product.role] = tier
    return best


def tier_parity(scope: Scope, molecule: str) -> Measured:
    """M21. Members whose biosimilar stands on the reference product's tier or a lower one, of those with both."""
    return _compared(scope, molecule, "M21", lambda new, old: new.tier <= old.tier)


def cheaper_for_members(scope: Scope, molecule: str) -> Measured:
    """M21-cost. Members who pay less for the biosimilar than for the reference product, of those with both costs."""
    return _compared(
        scope, molecule, "M21-cost",
        lambda new, old: None if None in (new.member_cents, old.member_cents) else _cost(new) < _cost(old),
    )  # fmt: skip


def _cost(tier: Tier) -> int:
    return tier.member_cents or 0


def _compared(scope: Scope, molecule: str, metric: str, compare: Compare) -> Measured:
    hits: dict[str, int] = {}
    of: dict[str, int] = {}
    for member in scope.members():
        best = _tiers(scope, member, molecule)
        if REFERENCE in best and BIOSIMILAR in best:
            better = compare(best[BIOSIMILAR], best[REFERENCE])
            if better is not None:
                of[member.member], hits[member.member] = 1, int(better)
    return ratio(metric, hits, of, molecule)
