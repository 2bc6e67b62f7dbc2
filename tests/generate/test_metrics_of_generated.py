"""Generated employees give every metric something to count, and nearly every share something on either side."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from fractions import Fraction
from pathlib import Path

from carepact.generate import write
from contracts.employer_evidence import EmployerGatherer
from contracts.employer_report import report
from contracts.events import DayClosed
from contracts.metrics.catalogue import CATALOGUE
from tests.oracle.gathered import Recorded

PERIODS = (("2023-07-01", "2024-06-30"), ("2024-07-01", "2025-06-30"))
FEW = {"M16-hospice", "M16-therapy", "M16-use", "M19-closed"}
"""Of people who died, or who are in need: too few of a small population to be on both sides."""


def test_every_metric_has_a_figure_of_generated_data(tmp_path: Path) -> None:
    write(tmp_path, 640, seed=7, payers=("employers",))
    core = Recorded("employers")
    core.publish(tmp_path / "practices.ndjson")
    core.publish(tmp_path / "employers.ndjson")
    core.close(DayClosed(through_on=date(2025, 12, 31)))
    gatherer = EmployerGatherer("employers")
    for fact in core.facts:
        gatherer.take(fact)
    gatherer.close()
    hits: dict[str, Fraction] = defaultdict(Fraction)
    of: dict[str, Fraction] = defaultdict(Fraction)
    shares: set[str] = set()
    for plan in gatherer.plans():
        for period in PERIODS:
            for cell in report(gatherer.plan(plan), "employers", period, {0: 1}, b"k").cells:
                if cell.value is not None:
                    hits[cell.metric] += cell.numerator
                    of[cell.metric] += cell.denominator
                if cell.unit == "fraction":
                    shares.add(cell.metric)
    names = {metric.metric for metric in CATALOGUE}
    assert {name for name in names if not hits[name]} - FEW == set()
    assert {name for name in shares & names if hits[name] >= of[name]} - FEW - {"M18-enrolled", "M15-screened"} == set()
