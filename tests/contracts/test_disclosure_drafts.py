"""Of a draft of terms an employer sees one amount, if no count of a few people can be told from it."""

from __future__ import annotations

import pytest

from contracts.disclosure_drafts import draft_call
from contracts.work import BONUS

FEE_CENTS, BONUS_CENTS = 60_000, 150_000


Owed = dict[tuple[str, str, int], int]


def fees(people: int, price: int = FEE_CENTS) -> Owed:
    return {(f"m{n}", "CARE_FEE", price): 1 for n in range(people)}


def bonuses(people: int, price: int = BONUS_CENTS) -> Owed:
    return {(f"m{n}", BONUS, price): 1 for n in range(people)}


def test_other_prices_for_the_same_people_are_told() -> None:
    was, would = fees(40) | bonuses(20), fees(40, 70_000) | bonuses(20, 100_000)
    assert draft_call(was, would).amount_cents == 40 * 70_000 + 20 * 100_000


def test_other_people_are_told_if_they_are_not_few() -> None:
    was, would = fees(40) | bonuses(11), fees(40) | bonuses(22)
    assert draft_call(was, would).amount_cents == 40 * FEE_CENTS + 22 * BONUS_CENTS


@pytest.mark.parametrize(
    ("was", "would", "why"),
    [
        (fees(9), fees(9), "fewer than 11"),
        (fees(13) | bonuses(12), fees(12, 70_000) | bonuses(12), "a count can be solved"),  # a fee of one person
        (fees(40) | bonuses(5), fees(40, 70_000) | bonuses(5), "a count can be solved"),
        (fees(40) | bonuses(12), fees(40), "a count can be solved"),
        (fees(40), fees(40), "a count can be solved"),  # nobody has earned a bonus
        (
            fees(40) | bonuses(12),
            fees(40) | bonuses(12) | {("m1", "OTHER", FEE_CENTS): -1},
            "more taken back than owed",
        ),
    ],
)
def test_what_tells_of_a_few_people_is_withheld(was: Owed, would: Owed, why: str) -> None:
    withheld = draft_call(was, would)
    assert withheld.amount_cents is None
    assert why in withheld.rule
