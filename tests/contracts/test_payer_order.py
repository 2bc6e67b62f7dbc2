"""Who pays first, row by row of the table, at each of its limits; what a change of coverage leaves of an episode."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from contracts.coverage_change import EXCLUDE, RUN_OUT, TRUNCATE, after
from contracts.parts import Span
from contracts.payer_order import medicare_first_on, pays_first
from contracts.roster import bundled_sheet
from contracts.terms import TermSheet
from contracts.units import FOREVER

ON = "2025-05-01"


def sheet(size: int) -> TermSheet:
    content = dict(bundled_sheet("employer")[2])
    terms = dict(content["terms"])
    terms["employer_size"] = {**terms["employer_size"], "values": [{"from": "2000-01-01", "value": str(size)}]}
    return TermSheet({**content, "terms": terms})


def spans(**kinds: Any) -> dict[str, list[Span]]:
    """Coverage by kind as (first day, code)."""
    return {kind: [Span(start, FOREVER, code, (kind.encode(), kind, 0))] for kind, (start, code) in kinds.items()}


PLAN, FORMER = ("2020-01-01", "employee"), ("2020-01-01", "cobra")
AGED, DISABLED, ESRD = ("2025-01-01", "aged"), ("2025-01-01", "disabled"), ("2025-01-01", "esrd")


@pytest.mark.parametrize(
    ("held", "born", "size", "first", "rule"),
    [
        ({"plan": PLAN}, 1990, 5, "plan", "no_medicare"),
        ({"part_a": AGED}, 1958, 5, "medicare", "no_plan"),
        ({"plan": PLAN, "part_a": AGED}, 1958, 20, "plan", "aged"),
        ({"plan": PLAN, "part_a": AGED}, 1958, 19, "medicare", "aged"),
        ({"plan": PLAN, "part_b": AGED}, 1958, 19, "medicare", "aged"),
        ({"plan": PLAN, "part_a": DISABLED}, 1980, 100, "plan", "disabled"),
        ({"plan": PLAN, "part_a": DISABLED}, 1980, 99, "medicare", "disabled"),
        ({"plan": PLAN, "part_a": ("2025-01-01", "")}, 1960, 20, "plan", "aged"),  # 65 in 2025
        ({"plan": PLAN, "part_a": ("2025-01-01", "")}, 1961, 20, "medicare", "disabled"),  # 64
        ({"plan": PLAN, "esrd": ("2022-11-02", "")}, 1980, 5, "plan", "esrd"),  # 30 months end on 2025-05-02
        ({"plan": PLAN, "esrd": ("2022-11-01", "")}, 1980, 5_000, "medicare", "esrd"),
        ({"plan": FORMER, "part_a": ESRD}, 1980, 5, "plan", "esrd"),
        ({"plan": FORMER, "part_a": AGED}, 1958, 5_000, "medicare", "former_employment"),
        ({"plan": ("2020-01-01", "retiree"), "part_a": DISABLED}, 1980, 5_000, "medicare", "former_employment"),
    ],
)
def test_who_pays_first(held: dict[str, Any], born: int, size: int, first: str, rule: str) -> None:
    order = pays_first(sheet(size), spans(**held), born, ON)
    assert (order.first, order.rule) == (first, rule)
    assert {ref[1] for ref in order.refs} <= set(held)


def test_the_first_day_on_which_medicare_pays_first_is_found() -> None:
    """Thirty months after 2022-09-15 are over on 2025-03-15; of 65 the year turns on 1 January."""
    assert medicare_first_on(sheet(5), spans(plan=PLAN, esrd=("2022-09-15", "")), 1980, "2025-01-10", "2025-07-09") == (
        "2025-03-15"
    )
    held = spans(plan=PLAN, part_a=("2024-01-01", ""))
    assert medicare_first_on(sheet(50), held, 1960, "2024-12-01", "2025-05-31") == "2024-12-01"  # disabled until then
    assert medicare_first_on(sheet(50), held, 1960, "2025-01-01", "2025-05-31") == ""
    assert medicare_first_on(sheet(5), spans(plan=PLAN), 1960, "2025-01-01", "2025-05-31") == ""


def test_what_is_left_of_an_episode() -> None:
    """1 January to 30 June are 181 days; lost on 2 March leaves 31 + 28 + 1 = 60."""
    year = ("2025-01-01", "2025-06-30")
    assert after(TRUNCATE, 60, *year, "2025-03-02").part == Fraction(60, 181)
    assert after(TRUNCATE, 60, *year, "2025-03-02").through_on == "2025-03-01"
    assert not after(TRUNCATE, 60, *year, "2025-03-01").counts
    assert not after(EXCLUDE, 60, *year, "2025-06-30").counts
    whole = after(RUN_OUT, 60, *year, "2025-01-02")
    assert whole.counts and whole.part == 1 and whole.through_on == "2025-06-30"
    assert not after(RUN_OUT, 60, *year, "2025-01-01").counts
