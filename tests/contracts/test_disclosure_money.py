"""Money that would tell how many people are behind it waits, and pools with the next window."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from itertools import product

import pytest

from contracts.disclosure_figures import Contributors, Count, Period, Report
from contracts.disclosure_gate import gate
from contracts.disclosure_money import Call, Priced, funding_call, settled_amount, solved

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


def test_an_amount_computed_from_figures_needs_them_shown() -> None:
    report = Report(Period(date(2026, 1, 1), date(2026, 6, 30)), (Count("all", 60), Count("few", 5, "all")))
    outcome = gate(report).outcome
    assert settled_amount(6_000_00, ["all"], outcome, as_shown=True) == Call(6_000_00)
    assert settled_amount(6_000_00, ["all", "few"], outcome, as_shown=True).amount_cents is None
    assert settled_amount(6_000_00, ["all"], outcome, as_shown=False).amount_cents is None
