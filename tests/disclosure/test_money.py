"""No amount that moves lets anybody be counted; amounts that always move do, under the same attack."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from contracts.disclosure_figures import Contributors
from contracts.disclosure_money import Call, Priced
from tests.disclosure.money import run, solved


def test_an_amount_is_solved_for_what_it_can_be_made_of() -> None:
    assert solved(2_500_00 + 160_00) == [(1, 1), (1, 1), (0, 0), (0, 0)]
    assert solved(3_000_00)[1:] == [(0, 0), (0, 2), (0, 4)]


@pytest.mark.parametrize("employers", [42, pytest.param(5_000, marks=pytest.mark.long)])
def test_nobody_is_counted_by_money_that_moves(employers: int) -> None:
    found = run(employers, seed=7)
    assert [line for one in found.values() for line in one.people] == []
    for size, one in found.items():
        assert size < 500 or (one.moved / one.calls >= 0.6 and one.settled_moved), size


def test_the_attack_counts_people_where_every_amount_moves() -> None:
    def always(owed: Sequence[Priced], _: Contributors) -> Call:
        total = sum(one.price_cents * one.units for one in owed)
        return Call(total if total > 0 and all(one.units >= 0 for one in owed) else None)

    assert any(one.people for one in run(140, seed=7, call=always).values())
