"""The cases of `cases/*.toml`: given facts of a few people, then a metric's numerator, denominator and value."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from contracts.metrics.catalogue import CATALOGUE, in_force, measure
from contracts.metrics.measured import Measured, four_places, median, wilson
from tests.contracts.metrics.given import scope_of

CASES = sorted((Path(__file__).parent / "cases").glob("*.toml"))


def cases() -> list[Any]:
    """Every case of every file, named for its file and its rule."""
    found = []
    for file in CASES:
        content = tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
        for case in content["case"]:
            case.setdefault("period", content["period"])
            case["given"] = [*content.get("before", []), *case["given"]]
            found.append(pytest.param(case, id=f"{file.stem}: {case['name']}"))
    return found


@pytest.mark.parametrize("case", cases())
def test_given_facts_then_a_metric(case: dict[str, Any]) -> None:
    assert set(case) <= {"name", "given", "period", "then", "run_out_days", "weights", "survey_days"}
    more: dict[str, Any] = {name: case[name] for name in ("run_out_days", "survey_days") if name in case}
    if "weights" in case:
        more["weights"] = {name: Fraction(weight) for name, weight in case["weights"].items()}
    scope = scope_of(case["given"], case["period"], **more)
    found = {(m.metric, m.stratum): m for _, m in measure(scope)}
    for name, wanted in case["then"].items():
        metric, _, stratum = name.partition("/")
        assert _told(found.get((metric, stratum)), wanted) == wanted, name


def _told(measured: Measured | None, wanted: Any) -> Any:
    """A figure as a case writes it: [numerator, denominator], or its value to four decimals."""
    if measured is None:
        return None
    if isinstance(wanted, list):
        return [_plain(measured.numerator), _plain(measured.denominator)]
    return four_places(measured.value) or "none"


def _plain(value: Fraction) -> Any:
    return int(value) if value.denominator == 1 else Decimal(value.numerator) / Decimal(value.denominator)


def test_every_metric_of_the_catalogue_has_a_case() -> None:
    told = {name.partition("/")[0] for file in CASES for case in tomllib.loads(file.read_text())["case"]
            for name in case["then"]}  # fmt: skip
    assert {definition.metric for definition in CATALOGUE} - told == set()


def test_a_definition_holds_from_its_day_on() -> None:
    assert in_force("2023-06-30") == ()
    assert [d.name for d in in_force("2023-07-01")] == [d.name for d in CATALOGUE]
    assert len({d.name for d in CATALOGUE}) == len(CATALOGUE)


def test_a_median_and_an_interval_by_hand() -> None:
    """Wilson, 8 of 10: (0.8 + 0.1921) / 1.3841 +- 1.96 x 0.1600 / 1.3841 = 0.7168 +- 0.2266."""
    assert median([Fraction(10), Fraction(1), Fraction(2)]) == 2
    assert median([Fraction(2), Fraction(1)]) == Fraction(3, 2)
    assert wilson(8, 10) == (Fraction("0.4902"), Fraction("0.9433"))
    assert wilson(0, 0) is None
