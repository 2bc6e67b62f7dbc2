"""No attack on random employers and their releases finds anybody; rules known to fail, fail under the same attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from contracts.disclosure import suppress
from contracts.disclosure_figures import LEAST, Count, Figure, Gated, Outcome, Parts, Report
from contracts.disclosure_gate import gate
from tests.disclosure.attack import SMALL, Found, Solver, attack, differences, placed, run
from tests.disclosure.population import employer


def assert_held(found: dict[int, Found]) -> None:
    for size, one in found.items():
        assert one.people == [], size
        assert one.narrow == [], size
        assert one.withheld_counts > 0, size
        assert size < 500 or one.share >= 0.60, (size, one.share)


def test_nobody_is_found_and_large_employers_see_most_of_their_figures() -> None:
    assert_held(run(21, seed=11))


@pytest.mark.long
def test_nobody_is_found_among_five_thousand_employers() -> None:
    """As `python -m tests.disclosure.attack 5000` prints it by size."""
    assert_held(run(5_000, seed=7))


def by_the_rule_of_the_calculator(report: Report, earlier: Sequence[Outcome]) -> Gated:
    """A small count is withheld and nothing else with it, but for parts, which `contract try` would show."""
    del earlier
    figures: list[Figure] = []
    for given in report.figures:
        match given:
            case Count():
                value = None if given.value in SMALL else given.value
                figures.append(Figure(given.name, "count", value, 0, None, given.of))
            case Parts():
                released = suppress(sum(count for _, count in given.cells), dict(given.cells))
                if released.total is None:
                    figures = [replace(one, value=None) if one.name == given.of else one for one in figures]
                for part, seen in released.cells.items():
                    figures.append(Figure(f"{given.of}/{part}", "part", seen, 0, None, given.of))
            case _:
                pass
    return Gated(Outcome(report.period, tuple(figures)), ())


def counted_only(report: Report) -> Report:
    return Report(report.period, tuple(one for one in report.figures if isinstance(one, Count | Parts)))


def test_the_attack_finds_people_behind_rules_that_are_not_enough() -> None:
    found = Found()
    for number in range(6):
        one = employer(Random(number), 60)
        attack(
            type(one)(60, tuple(counted_only(report) for report in one.reports)), found, by_the_rule_of_the_calculator
        )
    assert found.people, "no rest of a whole, and no correction, told of one to ten people"


def test_the_attack_solves_a_companion_chosen_by_its_size() -> None:
    """27: 11, 11 and 5. The companion is no larger than the 11 shown and not small, so it is 11 and the other 5."""
    period = employer(Random(1), 20).reports[0].period
    report = Report(period, (Count("all", 27), Parts("all", (("a", 11), ("b", 11), ("c", 5)))))
    by_size = by_the_rule_of_the_calculator(report, ()).outcome
    assert placed(report, (), by_size, 1, "c", by_the_rule_of_the_calculator) == (5, 5)
    low, high = placed(report, (), gate(report).outcome, 1, "c", gate)
    assert high - low >= 5


def test_the_solver_takes_what_is_left_of_a_whole_and_releases_from_each_other() -> None:
    period = employer(Random(1), 20).reports[0].period
    first = Report(period, (Count("all", 60), Count("some", 55, "all")))
    later = Report(period, (Count("all", 63), Count("some", 55, "all")))

    def shown(report: Report) -> Solver:
        values = {one.name: one.value for one in report.figures if isinstance(one, Count)}
        return Solver(report, Outcome(period, tuple(Figure(name, "count", value) for name, value in values.items())))

    assert list(shown(first).people()) == ["all without some"]
    assert list(differences(shown(first), shown(later))) == ["all then and now"]
    assert LEAST == max(SMALL) + 1
