"""A paid month that would come back is warned of when a day is closed, and the warning goes when the risk does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events.payments import RecoupmentRiskChanged
from contracts.outcome import Payment
from contracts.recoupment_risk import KIND
from contracts.roster import bundled_sheet
from tests.contracts.given import Folded, Log

Data = dict[str, Any]
BILLED: Data = {"meos": date(2025, 2, 3), "paid": 110}
CLOSED: Data = {"closed": date(2025, 3, 5)}
DRUG: Data = {"drug": date(2025, 1, 10)}
VISIT: Data = {"visit": date(2025, 1, 12)}


def warned(given_: Iterable[Data]) -> list[Payment]:
    """The warnings of one member's facts, in order."""
    log = Log("medicare-eom").opened().enrolled().told(given_)
    outcomes = Folded("medicare-eom", log.facts).outcomes
    return [payment for outcome in outcomes for payment in outcome.payments if payment.kind == KIND]


def left(warnings: list[Payment]) -> list[tuple[str, str, str, int]]:
    """Warnings not taken back: month, practice, why, and cents."""
    gone = {one.reverses for one in warnings}
    stand = [one for one in warnings if not one.reverses and one.payment_id not in gone]
    return sorted((one.period, one.practice, one.event["reason"], one.event["at_risk_cents"]) for one in stand)


def standing(warnings: list[Payment]) -> dict[str, tuple[str, int]]:
    """Of warnings of one practice's: why, and cents, by month."""
    return {month: (why, cents) for month, _, why, cents in left(warnings)}


def test_a_month_without_any_episode_is_warned_of_after_thirty_days_and_not_before() -> None:
    assert warned([BILLED, {"closed": date(2025, 3, 4)}]) == []
    assert standing(warned([BILLED, CLOSED])) == {"2025-02": ("no_episode", 11_000)}


def test_a_month_of_an_episode_that_holds_is_not_warned_of() -> None:
    assert warned([DRUG, VISIT, BILLED, CLOSED]) == []


def test_a_visit_that_comes_late_takes_the_warning_back() -> None:
    late = [DRUG, BILLED, CLOSED, VISIT]
    assert standing(warned(late)) == {"2025-02": ("episode_void", 11_000)}
    found = warned([*late, {"closed": date(2025, 3, 6)}])
    assert standing(found) == {}
    first, back = found
    assert (back.reverses, back.event["at_risk_cents"]) == (first.payment_id, -11_000)


def test_a_biller_with_less_than_a_quarter_of_the_visits_is_warned_as_others_take_the_episode() -> None:
    others = [{"visit": date(2025, 2, day), "at": "P2"} for day in range(4, 8)]
    before = [DRUG, VISIT, BILLED, CLOSED]
    assert warned([*before, *others[:3], {"closed": date(2025, 3, 6)}]) == []  # 1 of 4 keeps it
    found = warned([*before, *others, {"closed": date(2025, 3, 6)}])
    assert standing(found) == {"2025-02": ("other_practice", 11_000)}
    assert "1 of 5 cancer visits, the share asked for is 0.25" in found[0].event["lines"][0]["arithmetic"]


def test_a_claim_that_is_voided_takes_its_warning_with_it() -> None:
    gone = [BILLED | {"id": "b"}, CLOSED, {"void": "b"}, {"closed": date(2025, 3, 6)}]
    assert standing(warned(gone)) == {}


def test_a_line_that_was_not_paid_is_not_warned_of() -> None:
    assert warned([BILLED | {"paid": 0}, CLOSED]) == []


def test_a_second_line_in_a_month_is_warned_of() -> None:
    again = {"meos": date(2025, 2, 9), "paid": 110}
    assert standing(warned([DRUG, VISIT, BILLED, again, {"closed": date(2025, 4, 1)}])) == {
        "2025-02": ("second_in_month", 11_000)
    }


def test_death_learned_later_is_a_risk_at_the_next_close() -> None:
    dies = [DRUG, VISIT, BILLED, CLOSED, {"died": date(2025, 1, 30)}, {"closed": date(2025, 3, 6)}]
    assert standing(warned(dies)) == {"2025-02": ("after_death", 11_000)}


def test_days_that_are_closed_one_by_one_or_at_once_leave_the_same_warnings() -> None:
    facts = [DRUG, BILLED, {"meos": date(2025, 3, 3), "paid": 110}]
    slowly = [{"closed": date(2025, 3, day)} for day in range(1, 31)] + [{"closed": date(2025, 4, 30)}]
    assert standing(warned([*facts, *slowly])) == standing(warned([*facts, {"closed": date(2025, 4, 30)}]))


def test_a_warning_is_an_event_of_its_own_and_moves_nothing() -> None:
    (one,) = warned([BILLED, CLOSED])
    told = RecoupmentRiskChanged.model_validate_json(json.dumps(one.event))
    assert told.amount_cents == 0 == sum(line.amount_cents for line in told.lines)
    assert told.episode_id is None and told.cause_kind == "day_closed"


def test_a_warning_and_its_withdrawal_name_the_terms_they_go_by_and_the_sheet_that_was_adopted() -> None:
    others = [{"visit": date(2025, 2, day), "at": "P2"} for day in range(4, 8)]
    more = [{"visit": date(2025, 2, day)} for day in range(10, 14)]
    closes = [{"closed": date(2025, 3, day)} for day in (6, 7)]
    found = warned([DRUG, VISIT, BILLED, *others, closes[0], *more, closes[1]])
    assert [one.reverses for one in found] == ["", found[0].payment_id]
    for one in found:
        told = RecoupmentRiskChanged.model_validate_json(json.dumps(one.event))
        (line,) = told.lines
        assert [(term.name, term.value, term.status) for term in line.terms] == [
            ("risk_after_days", "30", "open"),
            ("attribution_share", "0.25", "found"),
            ("attribution_ties", "latest_visit last_digit", "open"),
            ("meos_recoupment", "the paid amount of the claim line", "open"),
        ]
        assert all(term.source and term.from_on for term in line.terms)
        assert told.facts[-1].says == f"terms {bundled_sheet('medicare-eom')[0]} of medicare-eom adopted"
        assert told.facts[-1].type == "carepact.TermsAdopted.v1"


def test_a_month_billed_before_the_model_is_warned_of_by_the_terms_there_are() -> None:
    (one,) = warned([{"meos": date(2023, 6, 15), "paid": 70}, CLOSED])
    assert [term["name"] for term in one.event["lines"][0]["terms"]] == ["risk_after_days"]


FACTS: list[Data] = [
    DRUG, VISIT, BILLED, {"visit": date(2025, 2, 4), "at": "P2"}, {"visit": date(2025, 2, 5), "at": "P2"},
    {"visit": date(2025, 2, 6), "at": "P2"}, {"visit": date(2025, 2, 7), "at": "P2"},
    {"meos": date(2025, 3, 3), "paid": 110}, {"meos": date(2025, 3, 9), "paid": 110, "at": "P2"},
    {"uncovered": "part_b", "from": date(2025, 6, 1)}, {"died": date(2025, 3, 5)},
]  # fmt: skip


@pytest.mark.timeout(300)
@given(st.permutations(FACTS), st.lists(st.integers(0, len(FACTS)), max_size=3))
def test_what_is_warned_of_in_the_end_does_not_depend_on_the_order_or_on_closes_between(
    order: list[Data], closes: list[int]
) -> None:
    told: list[Data] = []
    for number, fact in enumerate(order):
        told.append(fact)
        told += [{"closed": date(2025, 5, 1)}] if number in closes else []
    straight = left(warned([*FACTS, {"closed": date(2025, 12, 31)}]))
    assert left(warned([*told, {"closed": date(2025, 12, 31)}])) == straight
