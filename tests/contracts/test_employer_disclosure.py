"""A raw report goes through the gate: what is large leaves, what is small does not, and no median or mean ever."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from contracts.disclosure_gate import gate
from contracts.employer_disclosure import (
    ABSENT,
    EPISODES,
    EVERYBODY,
    OF_COVERED,
    OF_EPISODES,
    OF_OTHERS,
    OF_SOME,
    SAVINGS,
    SHARES,
    SUMS,
    figures,
)
from contracts.employer_report import report
from contracts.metrics.catalogue import CATALOGUE
from contracts.metrics.records import Contact, Listed
from contracts.metrics.report import EmployerReport
from tests.contracts.metrics.test_report import made
from tests.contracts.test_employer_settlement import plan


def large(people: int, back: int, offered: int) -> EmployerReport:
    """`people` with an episode that ends on 2025-07-09, of whom so many were offered navigation."""
    given = plan(people, back)
    everybody = {}
    for at, (name, member) in enumerate(given.evidence.members.items()):
        contacts: tuple[Any, ...] = (Contact("2025-01-12", "navigation", "offered"),) if at < offered else ()
        everybody[name] = replace(member, contacts=contacts, coverage=(Listed("2020-01-01", "9999-12-31"),))
    well = {f"w{at}": replace(everybody["m0"], member=f"w{at}", episodes=(), contacts=()) for at in range(400)}
    given.evidence = replace(given.evidence, members={**everybody, **well})
    return report(given, "employers", ("2025-07-01", "2025-12-31"), {0: 1}, b"k")


def test_counts_of_eleven_inside_and_outside_leave_and_smaller_ones_do_not() -> None:
    shown = gate(figures(large(100, 60, 40))).outcome
    assert [shown.shown(name) for name in (EVERYBODY, EPISODES, "M12-offered")] == [500, 100, 40]
    assert shown.shown(ABSENT) is None  # all with episodes: none of them outside
    for offered in (5, 95, 0, 100):
        assert gate(figures(large(100, 60, offered))).outcome.shown("M12-offered") is None


def test_every_metric_is_counted_summed_shared_or_kept_back() -> None:
    """What is kept back are medians, means and composed figures, and counts of events that are no people."""
    given = {*OF_EPISODES, *OF_SOME, *OF_COVERED, *OF_OTHERS, *SUMS, *SAVINGS, *SHARES}
    assert {definition.metric for definition in CATALOGUE} - given == {
        "M2-adjusted", "M5-admission", "M5-emergency", "M8", "M10", "M10-unit", "M14-days", "M20", "M20-delay", "M23",
    }  # fmt: skip
    assert given <= {definition.metric for definition in CATALOGUE}


def test_who_is_left_out_of_a_screen_for_having_had_the_cancer_is_a_number_too() -> None:
    """Of 400 women of the age 395 could be asked: five have had breast cancer, and neither number leaves."""
    told = large(100, 60, 40)
    cells = tuple(
        replace(c, denominator_people=395, numerator_people=200) if (c.metric, c.stratum) == ("M13", "breast") else c
        for c in told.cells
    )
    bounds = {**dict(told.bounds), "M13/breast": 400}
    shown = gate(figures(replace(told, cells=cells, bounds=tuple(bounds.items())))).outcome
    assert (shown.shown("M13/breast of"), shown.shown("M13/breast")) == (None, None)
    many = {**bounds, "M13/breast": 410}
    shown = gate(figures(replace(told, cells=cells, bounds=tuple(many.items())))).outcome
    assert (shown.shown("M13/breast of"), shown.shown("M13/breast")) == (395, 200)


def test_a_sum_or_share_of_nobody_is_withheld_like_that_of_a_few() -> None:
    """Its absence would say that nobody was given the drug, or that nobody was refused."""
    told = {one.name: one for one in gate(figures(large(100, 60, 40))).outcome.figures}
    for name in ("M7/bevacizumab", "M10-switch/bevacizumab", "M20-overturned", "M14-denied", "M6"):
        assert told[name].value is None, name
    assert (told["M20-overturned"].low, told["M20-overturned"].high) == (0, 100)


def test_what_a_switch_saves_leaves_when_the_doses_hide_how_many_people_had_them() -> None:
    """Of 12 doses at a public price 11 or 12 people had one. Of 16 it is anything from 11 to 16."""
    told = large(100, 60, 40)

    def shown(people: int, doses: int) -> int | None:
        part = Fraction(21_000)
        cells = tuple(
            replace(c, numerator=part * people, denominator=Fraction(people * doses), contributions=(part,) * people)
            if (c.metric, c.stratum) == ("M10-switch", "trastuzumab")
            else c
            for c in told.cells
        )
        return gate(figures(replace(told, cells=cells))).outcome.shown("M10-switch/trastuzumab")

    assert [shown(40, 3), shown(12, 1), shown(10, 9), shown(16, 1)] == [840_000, None, None, 336_000]


def test_a_report_of_two_people_tells_nothing() -> None:
    outcome = gate(figures(made())).outcome
    assert [figure.name for figure in outcome.figures if figure.value is not None and figure.name != EVERYBODY] == []


def test_a_period_without_episodes_is_no_mistake() -> None:
    given = plan(1, 0, start="2030-01-10")
    empty = report(given, "employers", ("2025-07-01", "2025-12-31"), {0: 1}, b"k")
    assert gate(figures(empty)).outcome.shown(EPISODES) is None
