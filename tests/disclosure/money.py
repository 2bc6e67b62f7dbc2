"""The attack on money: an employer that knows every public price solves each amount that moved for numbers of people.

Fees and bonuses of random employers are called for window after window, with reversals; periods are settled, and
corrected later. `python -m tests.disclosure.money 5000` prints the numbers by size. What a total allows is found by
least sums of residues, which is not how the gate finds it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from contracts.disclosure_figures import Contributors
from contracts.disclosure_money import Call, PeriodSettled, Priced, funding_call, settlement_call

SIZES = (20, 60, 150, 300, 500, 1_000, 2_500)
FEE, BONUSES = 160_00, (2_500_00, 1_500_00, 750_00)
PRICES = (FEE, *BONUSES)
TARGET = 84_000_00
FEWEST, WIDTH = 11, 5
Calls = Callable[[Sequence[Priced], Contributors], Call]


@dataclass
class Found:
    """What was tried with employers of one size, and what an attacker found."""

    employers: int = 0
    calls: int = 0
    moved: int = 0
    settled: int = 0
    settled_moved: int = 0
    people: list[str] = field(default_factory=list)


def run(employers: int, seed: int, call: Calls = funding_call) -> dict[int, Found]:
    """That many random employers, each attacked in every window."""
    found = {size: Found() for size in SIZES}
    for number in range(employers):
        size = SIZES[number % len(SIZES)]
        chance = Random(f"{seed} {number}")
        found[size].employers += 1
        _called(chance, size, found[size], call)
        _settled(chance, size, found[size])
    return found


def _called(chance: Random, size: int, found: Found, call: Calls) -> None:
    waiting: Counter[int] = Counter()
    people: Counter[int] = Counter()
    person = 0
    for window in range(chance.randint(3, 6)):
        for _ in range(chance.randint(0, size) if chance.random() < 0.5 else size):
            person += 1
            months = chance.randint(1, 6)
            waiting[FEE] += months
            people[person] += months * FEE
            if chance.random() < 0.15:
                bonus = chance.choice(BONUSES)
                waiting[bonus] += 1
                people[person] += bonus
            if chance.random() < 0.03:  # taken back: a bonus of somebody who was paid before
                waiting[chance.choice(BONUSES)] -= 1
        largest, second = (*sorted(map(abs, people.values()), reverse=True)[:2], 0, 0)[:2]
        owed = [Priced(str(price), price, waiting[price]) for price in PRICES]
        made = call(owed, Contributors(len(people), largest, second))
        found.calls += 1
        if made.amount_cents is None:
            continue
        found.moved += 1
        for price, (low, high) in zip(PRICES, solved(made.amount_cents), strict=True):
            if high - low < WIDTH and low < FEWEST:
                found.people.append(f"window {window}: {low} to {high} at {price} of {made.amount_cents}")
        waiting.clear()
        people.clear()


def solved(total: int) -> list[tuple[int, int]]:
    """Between how many and how many units of each price an amount can be made of; none below nought."""
    bounds = []
    for price in PRICES:
        others = [one for one in PRICES if one != price]
        least = _least(others)
        fits = [n for n in range(total // price + 1) if _made(total - n * price, others[0], least)]
        bounds.append((min(fits), max(fits)))
    return bounds


def _least(coins: Sequence[int]) -> dict[int, int]:
    """The least sum of coins of each residue by the first."""
    first, least, heap = coins[0], {0: 0}, [0]
    while heap:
        total = heappop(heap)
        if total > least[total % first]:
            continue
        for coin in coins[1:]:
            more = total + coin
            if more < least.get(more % first, more + 1):
                least[more % first] = more
                heappush(heap, more)
    return least


def _made(total: int, first: int, least: dict[int, int]) -> bool:
    return least.get(total % first, total + 1) <= total


def _settled(chance: Random, size: int, found: Found) -> None:
    """Periods settled one after another, earlier ones corrected by a claim: what moves is of many, and of new cost."""
    costs: list[list[int]] = []
    waiting: list[PeriodSettled] = []
    for _ in range(chance.randint(3, 6)):
        count = chance.randint(0, size // 2)
        costs.append([round(TARGET * chance.lognormvariate(-0.2, 0.5)) for _ in range(count)])
        waiting.append(_period(costs[-1], _savings(costs[-1]), new=True))
        if len(costs) > 1 and costs[0] and chance.random() < 0.5:
            earlier = chance.choice([one for one in costs[:-1] if one] or [costs[0]])
            before, at = _savings(earlier), chance.randrange(len(earlier))
            earlier[at] += chance.randint(1_00, 20_000_00)
            waiting.append(_period(earlier, _savings(earlier) - before, new=False))
        made = settlement_call(waiting)
        found.settled += 1
        if made.amount_cents is not None:
            found.settled_moved += 1
            assert made.amount_cents == sum(one.moved_cents for one in waiting)
            fresh = [part for one in waiting if one.new and one.of_cost_cents for part in one.deviations if part]
            whole, parts = sum(map(abs, fresh)), sorted(map(abs, fresh))
            if len(parts) < FEWEST or 2 * parts[-1] > whole:
                found.people.append(f"{made.amount_cents} is of {len(parts)} people's cost")
            waiting = []


def _savings(costs: Sequence[int]) -> int:
    saved = TARGET * len(costs) - sum(costs)
    return round(saved * 0.5 * 0.8625) if saved >= 0.02 * TARGET * len(costs) > 0 else 0


def _period(costs: Sequence[int], cents: int, *, new: bool) -> PeriodSettled:
    return PeriodSettled(cents, cents, new, tuple(costs), tuple(cost - TARGET for cost in costs))


def main() -> None:
    """Print the numbers by size."""
    employers = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(
        f"{'episodes':>9}{'employers':>11}{'calls':>8}{'moved':>8}{'settlements':>13}{'moved':>8}{'people found':>14}"
    )
    for size, one in run(employers, seed=7).items():
        print(
            f"{size:>9}{one.employers:>11}{one.calls:>8}{one.moved / max(1, one.calls):>8.1%}{one.settled:>13}"
            f"{one.settled_moved / max(1, one.settled):>8.1%}{len(one.people):>14}"
        )
        for line in one.people[:5]:
            print("   ", line)


if __name__ == "__main__":
    main()
