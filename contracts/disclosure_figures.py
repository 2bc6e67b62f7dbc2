"""What the disclosure gate is given, and what it lets out.

A report is one employer's figures of one period: people counted, people split into parts, sums over people, and the
return to work. It is given whole and secret. A count's `of` names the count it is a part of, so that the gate knows
every subtraction an employer can make. An outcome has every figure of the report in the same order: a value, or
the interval in which arithmetic on what is shown leaves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal, assert_never

LEAST = 11
"""Fewest people of whom anything is told, and fewest that must be left over wherever something is taken away."""

WIDTH = 5
"""Narrowest interval in which a withheld count of people may be placed."""

PARTS_MAX = 10
WEEKS = (13, 26, 52)
"""At which return to work leaves, and no other."""


@dataclass(frozen=True, slots=True)
class Period:
    """The days measured, both included. A plan's periods are equal or have no day in common."""

    first_on: date
    last_on: date

    def overlaps(self, other: Period) -> bool:
        """Whether they share a day."""
        return self.first_on <= other.last_on and other.first_on <= self.last_on


@dataclass(frozen=True, slots=True)
class Count:
    """People with something, of those counted by `of` ('': of all the plan covers).

    `most` and `rest_most` are what the employer's own records bound: no more people than that can be in this count,
    and in the rest of its whole. Both are known to the employer, none is a secret; None is no bound.
    """

    name: str
    value: int
    of: str = ""
    most: int | None = None
    rest_most: int | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """A count told apart: the parts are exclusive and add up to it.

    Their order is fixed for all periods, likely large ones first: from its end the companions of a withheld part are
    taken. A part is named `<count>/<part>` and may be the whole of other counts.
    """

    of: str
    cells: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Strata:
    """A count by the parts of its whole: of each part, how many are in the count."""

    of: str
    cells: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Contributors:
    """Who is behind a sum: how many people, and what the two largest of them have in it."""

    people: int
    largest: int
    second: int


@dataclass(frozen=True, slots=True)
class Amount:
    """A sum over people of `of`: cents, visits, units. Never negative; `everyone`: each of them has a part in it.

    `pieces` is of how many an outsider who knows the price of one could tell that the sum is made; None: of its units.
    """

    name: str
    total: int
    of: str
    contributors: Contributors
    everyone: bool = False
    pieces: int | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a sum and the rest of it, as units of biosimilars and of reference products over people treated."""

    name: str
    of: str
    part: int
    part_contributors: Contributors
    rest: int
    rest_contributors: Contributors


@dataclass(frozen=True, slots=True)
class Returns:
    """Return to work of the people counted by `of`: for each the week and cause of A.2 (`return_to_work.incidence`).

    `own_returned` and `own_waiting` are of the employer's leave file, all causes of absence: who came back in each
    interval (to week 13, 26, 52), and who was away at its start and did not come back in it. Without them nothing of
    return to work leaves.
    """

    name: str
    of: str
    observations: tuple[tuple[int, int], ...]
    own_returned: tuple[int, int, int] | None = None
    own_waiting: tuple[int, int, int] | None = None


Given = Count | Parts | Strata | Amount | Share | Returns


@dataclass(frozen=True, slots=True)
class Report:
    """Everything of one period, wholes before what is of them."""

    period: Period
    figures: tuple[Given, ...]

    def __post_init__(self) -> None:
        """A report that contradicts itself is a mistake of ours."""
        counts: dict[str, int] = {}
        parts: dict[str, tuple[str, ...]] = {}
        for given in self.figures:
            match given:
                case Count():
                    assert 0 <= given.value <= (counts[given.of] if given.of else given.value), given.name
                    assert given.most is None or given.value <= given.most, given.name
                    rest = counts[given.of] - given.value if given.of else 0
                    assert given.rest_most is None or rest <= given.rest_most, given.name
                    counts[given.name] = given.value
                case Parts():
                    assert 2 <= len(given.cells) <= PARTS_MAX, given.of
                    assert sum(count for _, count in given.cells) == counts[given.of], given.of
                    parts[given.of] = tuple(part for part, _ in given.cells)
                    counts |= {f"{given.of}/{part}": count for part, count in given.cells}
                case Strata():
                    assert sum(count for _, count in given.cells) == counts[given.of], given.of
                case Amount() | Share():
                    assert given.of in counts, given.name
                case Returns():
                    assert len(given.observations) == counts[given.of], given.name
                case _:
                    assert_never(given)


Kind = Literal["count", "part", "stratum", "sum", "percent"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure as it leaves: its value, or None with the interval it lies in (`high` None: without bound).

    `whole` is the figure a count is of, whose pooled rest can be told by subtraction; '' where there is none.
    """

    name: str
    kind: Kind
    value: int | None
    low: int = 0
    high: int | None = None
    whole: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the employer is shown of a period."""

    period: Period
    figures: tuple[Figure, ...]

    def shown(self, name: str) -> int | None:
        """A figure's value, None where it is withheld or not in the report."""
        return next((figure.value for figure in self.figures if figure.name == name), None)

    def withheld(self) -> Iterator[Figure]:
        """The figures without value."""
        return (figure for figure in self.figures if figure.value is None)


@dataclass(frozen=True, slots=True)
class Gated:
    """An outcome, and for auditors alone: which rule withheld each figure, and whether a correction was held back."""

    outcome: Outcome
    rules: tuple[tuple[str, str], ...]
    held: bool = False
