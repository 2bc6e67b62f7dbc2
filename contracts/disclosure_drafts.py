"""What an employer may see of a draft of its terms: one amount, if no count of a few people can be solved from it.

Beside what was paid it is a second sum over the same people, at prices that the employer chose: fees and bonuses can
be solved from the two. So both counts are held to the rule of counts as they are; nought is withheld like a few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from contracts.disclosure_figures import LEAST, Contributors
from contracts.disclosure_money import Call, Priced, funding_call
from contracts.work import BONUS

KINDS = ("CARE_FEE", BONUS)
"""What is paid for a person."""

Owed = Mapping[tuple[str, str, int], int]
"""Units by member, kind and price in cents, reversals taken off."""


def draft_call(as_it_is: Owed, draft: Owed) -> Call:
    """All that a plan would have paid for people under a draft, or None.

    12 fees of 600.00 that would have been 11 of 700.00 are withheld: one person can be told from the two.
    """
    priced = _priced(draft)
    pooled = funding_call(priced, _behind(draft))
    if pooled.amount_cents is None:
        return pooled
    was, would = _by_kind(_priced(as_it_is)), _by_kind(priced)
    counts = [one.units for one in priced]
    for kind in was.keys() | would.keys() | set(KINDS):
        counts += [was[kind], would[kind], abs(was[kind] - would[kind]) or LEAST]
    if min(counts) < LEAST:
        return Call(None, "a count can be solved from it and what was paid")
    return pooled


def _priced(owed: Owed) -> list[Priced]:
    units: dict[tuple[str, int], int] = defaultdict(int)
    for (_, kind, price), count in owed.items():
        units[kind, price] += count
    return [Priced(kind, price, count) for (kind, price), count in sorted(units.items()) if count]


def _by_kind(priced: Iterable[Priced]) -> dict[str, int]:
    units: dict[str, int] = defaultdict(int)
    for one in priced:
        units[one.kind] += one.units
    return units


def _behind(owed: Owed) -> Contributors:
    cents: dict[str, int] = defaultdict(int)
    for (member, _, price), count in owed.items():
        cents[member] += price * count
    people = sorted((abs(amount) for amount in cents.values() if amount), reverse=True)
    largest, second = (*people[:2], 0, 0)[:2]
    return Contributors(len(people), largest, second)
