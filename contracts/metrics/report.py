"""One employer's figures of a period at a cut, as the plan's administrator may see them: raw, before any gate.

Made by a pure function of measured figures. It holds no person's key and no day of service, but it does hold small
counts: it is given whole to the disclosure gate, and nothing of it leaves for an employer by another way. Figures from
which facts under 42 CFR Part 2 and germline tests are absent already: the records leave them out.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from contracts.metrics.measured import Measured, four_places, wilson


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of one metric for one stratum ('' for all), exact, with how many people are behind it.

    `numerator_people` and `denominator_people` count persons; `numerator` and `denominator` may count episodes, visits,
    units or cents. `contributions` are what each person has in the numerator, the largest first. `low` and `high` bound
    a proportion of people by Wilson's 95 %. `benchmark` is what the figure is compared with, `benchmark_id` its name.
    `rest` is what each person has in the denominator beside the numerator, the largest first.
    """

    metric: str
    definition: str
    title: str
    stratum: str
    kind: str
    unit: str
    numerator: Fraction
    denominator: Fraction
    value: Fraction | None
    numerator_people: int
    denominator_people: int
    contributions: tuple[Fraction, ...] = ()
    rest: tuple[Fraction, ...] = ()
    low: Fraction | None = None
    high: Fraction | None = None
    benchmark: Fraction | None = None
    benchmark_id: str = ""

    def document(self) -> dict[str, Any]:
        """The cell as JSON shows it to an administrator: fractions as decimals, no contributions."""
        return {
            "metric_id": self.metric,
            "metric_version": self.definition,
            "title": self.title,
            "stratum": self.stratum,
            "unit": self.unit,
            "numerator": four_places(self.numerator),
            "denominator": four_places(self.denominator),
            "value": four_places(self.value),
            "ci_low": four_places(self.low),
            "ci_high": four_places(self.high),
            "benchmark": four_places(self.benchmark),
            "benchmark_id": self.benchmark_id or None,
        }


@dataclass(frozen=True, slots=True)
class ReturnsCell:
    """The return to work of a cohort: for each person the week and cause of A.2, in no order that tells who it is.

    `own_returned` and `own_waiting` are of all leaves of the plan's employees in the same time, whatever for: who came
    back in weeks 1 to 13, 14 to 26 and 27 to 52, and who was away when each began and did not come back in it.
    """

    definition: str
    observations: tuple[tuple[int, int], ...]
    own_returned: tuple[int, int, int]
    own_waiting: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class EmployerReport:
    """Everything measured for one plan and period, as of a cut; `supersedes` is the run it takes the place of.

    `covered` people had coverage on some day of the period, `people` of them an episode that counts in it, which
    `by_cancer` tells apart (of two episodes the later). `money` is what a settlement moved by kind, over all practices.
    `bounds` is what whoever has the enrollment records knows: of how many people at most a metric could be asked.
    """

    payer: str
    plan: str
    contract: str
    contract_version: str
    contract_digest: str
    from_on: str
    through_on: str
    closed_through: str
    cut: tuple[tuple[int, int], ...]
    run_id: str
    supersedes: str
    inputs_digest: str
    covered: int
    people: int
    by_cancer: tuple[tuple[str, int], ...]
    cells: tuple[Cell, ...]
    returns: ReturnsCell
    money: tuple[tuple[str, int], ...] = ()
    pending: tuple[str, ...] = ()
    bounds: tuple[tuple[str, int], ...] = ()

    def cell(self, metric: str, stratum: str = "") -> Cell | None:
        """The figure of a metric for a stratum."""
        return next((cell for cell in self.cells if (cell.metric, cell.stratum) == (metric, stratum)), None)

    def document(self) -> dict[str, Any]:
        """The whole report as JSON, for the plan's administrator only."""
        return {
            "contract_id": self.contract,
            "contract_version": self.contract_version,
            "contract_digest": self.contract_digest,
            "employer_id": self.plan,
            "measurement_period": {"from": self.from_on, "to": self.through_on},
            "as_of": {"closed_through": self.closed_through, "cut": {str(p): at for p, at in self.cut}},
            "run_id": self.run_id,
            "supersedes": self.supersedes or None,
            "inputs_digest": self.inputs_digest,
            "people": {"covered": self.covered, "with_episodes": self.people, "by_cancer": dict(self.by_cancer)},
            "money_cents": dict(self.money),
            "pending": list(self.pending),
            "figures": [cell.document() for cell in self.cells],
        }


def inputs_digest(key: bytes, inputs: Iterable[tuple[str, str]]) -> str:
    """HMAC-SHA256, under a key of the payer's, over the (event id, digest) of every fact read, whatever their order."""
    lines = "\n".join(f"{event_id} {digest}" for event_id, digest in sorted(inputs))
    return hmac.new(key, lines.encode(), hashlib.sha256).hexdigest()


def cell_of(
    measured: Measured,
    definition: str,
    title: str,
    unit: str,
    of_people: bool,
    benchmarks: Mapping[tuple[str, str], tuple[str, Fraction]],
) -> Cell:
    """A measured figure as a cell; an interval only where the figure is a proportion of people."""
    bounds = wilson(measured.numerator_people, measured.denominator_people) if of_people else None
    low, high = bounds or (None, None)
    name, benchmark = benchmarks.get((measured.metric, measured.stratum), ("", None))
    return Cell(
        measured.metric, definition, title, measured.stratum, measured.kind, unit, measured.numerator,
        measured.denominator, measured.value, measured.numerator_people, measured.denominator_people,
        measured.contributions, measured.rest, low, high, benchmark, name,
    )  # fmt: skip


def run_id(contract: str, plan: str, period: tuple[str, str], cut: Sequence[tuple[int, int]], digest: str) -> str:
    """A run is named by what it rests on: the same cut and the same facts are the same run."""
    said = json.dumps([contract, plan, list(period), [list(one) for one in cut], digest], separators=(",", ":"))
    return hashlib.sha256(said.encode()).hexdigest()[:32]
