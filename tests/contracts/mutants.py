"""Term sheets that are wrong by the least step: a threshold a step off, a value that begins a day early or late.

A case that lies exactly at a threshold, or on the first day of a value, comes to something else under one of them.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from contracts.roster import bundled_sheet

ALWAYS = "2000-01-01"
"""Where a sheet's value begins that has no first day of its own."""

NUMBER = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?(?![\w.-])")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Mutant:
    """A sheet with one thing wrong: the `name` says what, as in `medicare-eom attribution_share 0.25 -> 0.26`.

    `of_day`: it is the day on which a value begins.
    """

    contract: str
    name: str
    content: dict[str, Any]
    of_day: bool


def mutants(contract: str) -> Iterator[Mutant]:
    """Every sheet that is wrong by a step."""
    content = bundled_sheet(contract)[2]
    for term, held in content["terms"].items():
        for i, value in enumerate(held["values"]):
            yield from _values(contract, content, term, i, str(value["value"]))
            if value["from"] != ALWAYS:
                yield from _days(contract, content, term, i, value["from"])


def _values(contract: str, content: dict[str, Any], term: str, i: int, value: str) -> Iterator[Mutant]:
    if DAY.fullmatch(value):
        for later in (1, -1):
            yield _mutant(contract, content, term, i, "value", value, _shifted(value, later))
        return
    for found in NUMBER.finditer(value):
        number = Decimal(found[0])
        step = Decimal(1).scaleb(int(number.as_tuple().exponent))
        for other in (number + step, number - step):
            if other >= 0:
                wrong = f"{value[: found.start()]}{other}{value[found.end() :]}"
                yield _mutant(contract, content, term, i, "value", value, wrong)


def _days(contract: str, content: dict[str, Any], term: str, i: int, day: str) -> Iterator[Mutant]:
    yield _mutant(contract, content, term, i, "from", day, _shifted(day, 1))
    if i:  # before the first value there is none
        yield _mutant(contract, content, term, i, "from", day, _shifted(day, -1))


def _shifted(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def _mutant(contract: str, content: dict[str, Any], term: str, i: int, key: str, right: str, wrong: str) -> Mutant:
    values = copy.deepcopy(content["terms"][term]["values"])
    values[i][key] = wrong
    terms = {**content["terms"], term: {**content["terms"][term], "values": values}}
    said = f"from {right} -> {wrong}" if key == "from" else f"{right} -> {wrong}"
    head = {**content["sheet"], "version": f"{content['sheet']['version']}-wrong"}
    return Mutant(contract, f"{contract} {term} {said}", {**content, "sheet": head, "terms": terms}, key == "from")
