"""Money between an employer and its practices tells counts: 7,500.00 at 1,500.00 each is five people (E.3).

What has a price (fees, bonuses) is called for as one pooled amount a window. It moves when every number that the
public prices allow to be solved from it passes the gate; else it is pending and pools with the next window.

What is settled of a period (withhold, savings, guarantee, corridor) is one amount a window too. A rate and a number of
people can be solved from it only by who knows to the cent what care cost; so it moves when a cost that no one or two
make up is in it, and one that was in no amount before, since a correction alone is of a few people's claims.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import gcd

from contracts.disclosure_figures import LEAST, WIDTH, Contributors
from contracts.disclosure_gate import dominated


@dataclass(frozen=True, slots=True)
class Priced:
    """What is owed of one kind since money last moved: `units` at a public price, reversals taken off."""

    kind: str
    price_cents: int
    units: int


@dataclass(frozen=True, slots=True)
class Call:
    """One window's funding call; None: pending. `rule` is for auditors alone."""

    amount_cents: int | None
    rule: str = ""


def funding_call(owed: Sequence[Priced], behind: Contributors) -> Call:
    """The pooled amount of a window with all that was pending, or None.

    `behind` are the people of the whole pool, each with what is owed for all kinds together. A kind that reversals
    made negative waits for more of its kind.
    """
    total = sum(one.price_cents * one.units for one in owed)
    if behind.people < LEAST:
        return Call(None, "fewer than 11 contributors")
    if any(one.units < 0 for one in owed):
        return Call(None, "more taken back than owed")
    if dominated(total, behind):
        return Call(None, "dominated by one or two")
    if not all(_passes(low, high) for low, high in solved(total, tuple(one.price_cents for one in owed))):
        return Call(None, "a count can be solved from it")
    return Call(total)


@dataclass(frozen=True, slots=True)
class PeriodSettled:
    """What was moved for a plan's period since money last moved, reversals taken off: above 0 the employer pays.

    `of_cost` is what of it rests on what care cost (T2, T3, T5), not on a public price and a rate alone (T4). `new`: no
    amount that moved before has any of the period. `costs` and `deviations` are, of each episode settled, what it cost
    and by how much that is not its target: an episode is a person.
    """

    moved_cents: int
    of_cost_cents: int
    new: bool
    costs: tuple[int, ...]
    deviations: tuple[int, ...]


def settlement_call(periods: Sequence[PeriodSettled]) -> Call:
    """The pooled amount of all periods that were settled since money last moved, or None: pending."""
    if not periods:
        return Call(None, "nothing was settled")
    new = [one for one in periods if one.new and one.of_cost_cents]
    if not new:
        return Call(None, "no cost that is new")
    for each in ("costs", "deviations"):
        parts = sorted((abs(part) for one in new for part in getattr(one, each) if part), reverse=True)
        if len(parts) < LEAST:
            return Call(None, "fewer than 11 contributors")
        if dominated(sum(parts), Contributors(len(parts), *parts[:2])):
            return Call(None, "dominated by one or two")
    return Call(sum(one.moved_cents for one in periods))


def _passes(low: int, high: int) -> bool:
    return high - low >= WIDTH or low >= LEAST


@lru_cache(maxsize=256)
def solved(total: int, prices: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Between how many and how many units of each price make up a total that moved: what an outsider can solve.

    Only ways that could have moved count: 11 units or more, none above half. (1, 0) where there is no way at all.
    """
    step = gcd(*prices)
    if total % step:
        return tuple((1, 0) for _ in prices)
    if total <= (LEAST - 1) * max(prices):  # beyond it, every way has 11 units, and none of them above half
        ways = list(_ways(total, prices))
        return tuple((min(way[at] for way in ways), max(way[at] for way in ways)) if ways else (1, 0)
                     for at in range(len(prices)))  # fmt: skip
    coins, whole = [price // step for price in prices], total // step
    return tuple(_reach(whole, coin, [*coins[:at], *coins[at + 1 :]]) for at, coin in enumerate(coins))


def _ways(total: int, prices: Sequence[int]) -> Iterable[tuple[int, ...]]:
    """Every way to make a small total by 11 units or more, each of another person, that none dominates."""
    last = prices[-1]
    for some in product(*(range(total // price + 1) for price in prices[:-1])):
        rest = total - sum(count * price for count, price in zip(some, prices, strict=False))
        if rest < 0 or rest % last or sum(some) + rest // last < LEAST:
            continue
        way = (*some, rest // last)
        held = sorted((p for count, p in zip(way, prices, strict=True) for _ in range(min(count, 2))), reverse=True)
        if not dominated(total, Contributors(sum(way), held[0], held[1])):
            yield way


def _reach(total: int, coin: int, others: Sequence[int]) -> tuple[int, int]:
    """Fewest and most of one coin in a total that it and others make; a bit for each sum the others reach."""
    reached = 1
    for other in others:
        width = other
        while width <= total:
            reached |= reached << width
            width *= 2
        reached &= (1 << (total + 1)) - 1
    counts = range(total // coin + 1)
    low = next((count for count in counts if reached >> (total - count * coin) & 1), 1)
    return low, next((count for count in reversed(counts) if reached >> (total - count * coin) & 1), 0)
