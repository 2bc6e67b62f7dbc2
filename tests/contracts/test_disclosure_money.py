"""Money that would tell how many people are behind it waits, and pools with the next window."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from itertools import product

import pytest

from contracts.disclosure_figures import Contributors
from contracts.disclosure_money import Call, PeriodSettled, Priced, funding_call, settlement_call, solved
from contracts.employer_terms import shared_savings
from contracts.roster import bundled_sheet
from contracts.terms import TermSheet

MANY = Contributors(40, 10_000, 10_000)
FEE, FAST, ON_TIME, PARTIAL = 9_500, 250_000, 150_000, 75_000


def called(*owed: tuple[int, int], behind: Contributors = MANY) -> int | None:
    return funding_call([Priced(f"kind {price}", price, units) for price, units in owed], behind).amount_cents


def test_five_people_at_a_known_price_are_not_paid_for_alone() -> None:
    assert called((ON_TIME, 5), behind=Contributors(5, ON_TIME, ON_TIME)) is None
    assert called((ON_TIME, 5)) is None  # though many are behind it by other ways
    assert called((ON_TIME, 11)) == 11 * ON_TIME


def test_what_waited_moves_with_the_next_window() -> None:
    assert called((FEE, 12), (FAST, 2), (ON_TIME, 1), (PARTIAL, 0)) is None
    assert called((FEE, 900), (FAST, 12), (ON_TIME, 13), (PARTIAL, 11)) is not None


def test_two_prices_of_which_only_one_sum_makes_the_total_tell_both_counts() -> None:
    assert solved(12 * FEE + 3 * FAST, (FEE, FAST)) == ((12, 12), (3, 3))
    assert called((FEE, 12), (FAST, 3)) is None


def test_prices_that_make_up_for_each_other_hide_how_many_of_each() -> None:
    (least, most), *_ = solved(20 * FAST, (FAST, ON_TIME, PARTIAL))
    assert (least, most) == (2, 20)  # of 2,500, when 1,500 and 750 make up the rest


def test_more_taken_back_than_owed_waits() -> None:
    assert called((FEE, 900), (FAST, -1)) is None


def test_an_amount_that_one_person_dominates_waits() -> None:
    assert called((FEE, 900), (FAST, 11), behind=Contributors(300, 11_300_000 // 2 + 1, 1)) is None


@pytest.mark.parametrize("prices", [(10,), (10, 25), (5, 15, 25)])
def test_what_outsiders_solve_is_what_the_gate_solved(prices: tuple[int, ...]) -> None:
    """Every pool whose parts are up to 14 of the highest price, all of different people, by what leaves of it."""
    most = 14 * max(prices)
    alike: dict[int | None, list[tuple[int, ...]]] = defaultdict(list)
    for units in product(*(range(most // price + 1) for price in prices)):
        people = sorted((price for price, count in zip(prices, units, strict=True) for _ in range(count)), reverse=True)
        behind = Contributors(len(people), *[*people[:2], 0, 0][:2])
        owed = [Priced(str(price), price, count) for price, count in zip(prices, units, strict=True)]
        alike[funding_call(owed, behind).amount_cents].append(units)
    for amount, worlds in alike.items():
        for at in range(len(prices)):
            low, high = min(world[at] for world in worlds), max(world[at] for world in worlds)
            if amount is None:
                assert (low, high >= 10) == (0, True)
            elif amount <= most:  # all the ways to make it are among those tried
                assert high - low >= 5 or low >= 11
    assert len(alike) > 1


def test_windows_after_one_another_tell_no_count_either() -> None:
    """One price, three windows; what waited in one is called for in the next."""
    alike: dict[tuple[int | None, ...], list[tuple[int, ...]]] = defaultdict(list)
    for units in product(range(0, 24), repeat=3):
        waiting, calls = 0, []
        for count in units:
            waiting += count
            behind = Contributors(waiting, min(waiting, 1) * 10, (waiting > 1) * 10)
            calls.append(funding_call([Priced("fee", 10, waiting)], behind).amount_cents)
            waiting = waiting if calls[-1] is None else 0
        alike[tuple(calls)].append(units)
    for called_for, worlds in alike.items():
        for at in range(3):
            low, high = min(world[at] for world in worlds), max(world[at] for world in worlds)
            edge = high == 23 or any(
                call is not None and call > 230 for call in called_for
            )  # more worlds than were tried
            assert high - low >= 5 or low >= 11 or edge, (called_for, at, low, high)


def settled(cents: int, of_cost: int, *costs: int, new: bool = True, target: int = 0) -> PeriodSettled:
    return PeriodSettled(cents, of_cost, new, costs, tuple(cost - target for cost in costs))


TWELVE = tuple(range(80_000_00, 92_000_00, 1_000_00))


def test_what_was_settled_moves_with_a_new_cost_of_many_and_waits_without() -> None:
    many, refund = settled(90_562_50, 90_562_50, *TWELVE), settled(-2_340_00, 0, *TWELVE)
    assert settlement_call([many]) == Call(90_562_50)
    assert settlement_call([many, refund]) == Call(88_222_50), "a guarantee goes with it"
    correction = settled(-4_312_50, -4_312_50, *TWELVE, new=False)
    assert settlement_call([many, correction]) == Call(86_250_00), "a correction goes with it"
    for alone in ([], [refund], [correction], [refund, correction]):
        assert settlement_call(alone).amount_cents is None
    assert settlement_call([settled(90_562_50, 90_562_50, *TWELVE[:10])]).rule == "fewer than 11 contributors"
    assert settlement_call([settled(1, 1, *TWELVE, 2_000_000_00)]).rule == "dominated by one or two"
    outlier = settled(1, 1, *[84_000_00] * 11, 110_000_00, target=84_000_00)
    assert settlement_call([outlier]).rule == "fewer than 11 contributors", "ten of them cost what was agreed"
    assert settlement_call([settled(1, 1, *TWELVE[:6]), settled(2, 2, *TWELVE[6:])]) == Call(3), "two periods pool"


def test_no_number_of_episodes_and_no_rate_can_be_solved_from_what_was_settled() -> None:
    """(40 x 84,000.00 - cost) x 50 % x quality: for any other number and quality another cost gives the same cents."""
    sheet, on = TermSheet(bundled_sheet("employer")[2]), "2025-01-01"

    def amount(people: int, cost: Decimal, score: str) -> int:
        target = people * Decimal("84000.00")
        weights = [(Decimal(1), Decimal(score))]
        return shared_savings(sheet, on, target, cost, weights, None, None, None).line.amount_cents

    told = amount(40, Decimal("3150000.00"), "0.8625")
    assert told == 90_562_50
    for people, score in ((35, "0.8625"), (45, "0.8625"), (40, "0.7000"), (33, "0.9900"), (60, "0.5000")):
        cost = people * Decimal("84000.00") - Decimal(told) / 100 / Decimal("0.5") / Decimal(score)
        assert amount(people, round(cost, 2), score) == told
