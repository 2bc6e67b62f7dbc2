"""An employer's report of a period: all figures, no person and no day, the same whatever the order of facts."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

from contracts.employer_evidence import PlanEvidence
from contracts.employer_report import RETURN_FIGURES, report
from contracts.employer_settlement import settle
from contracts.metrics.catalogue import CATALOGUE
from contracts.metrics.reading import Reader
from contracts.metrics.records import EpisodeRecord
from contracts.metrics.report import EmployerReport
from tests.contracts.metrics.given import PLAN, facts_of
from tests.contracts.metrics.test_returns import people
from tests.contracts.test_employer_settlement import plan, sheet

GIVEN: list[dict[str, Any]] = [
    {"born": 1970, "sex": "female"},
    {"line": "2025-07-03", "code": "J9035", "units": 10, "allowed": 700, "paid": 500},
    {"line": "2024-07-03", "code": "J9035", "units": 10, "allowed": 500, "paid": 400},
    {"facility": "2025-07-04", "revenue": "0450"},
    {"survey": "2025-04-09", "of": "PHQ-9", "scores": {"phq9_total": 12}},
    {"experience": "2025-07-09", "scores": {"access": 80}},
    {"who": "b", "line": "2025-07-03", "code": "Q5118", "units": 30, "allowed": 900, "paid": 700},
]
EPISODES = {
    who: [EpisodeRecord(f"e-{who}", "2025-03-10", "2025-09-09", "breast", "P1", True, 90_000, 19_000)] for who in "ab"
}


def made(key: bytes = b"k", seed: int | None = None, **more: Any) -> EmployerReport:
    facts = facts_of([*GIVEN, {"closed": "2026-06-30"}])
    if seed is not None:
        Random(seed).shuffle(facts)
    reader = Reader()
    for fact in facts:
        reader.take(fact)
    returns = {one.episode_id: one for one in (replace(one, episode_id=f"e-{who}", member=who)
               for one, who in zip(people((100, 1), (200, 2)), "ab", strict=True))}  # fmt: skip
    given = PlanEvidence(PLAN, sheet(), reader.evidence(PLAN, EPISODES), returns)
    return report(given, "employers", ("2025-07-01", "2025-12-31"), {0: 100, 1: 90}, key, **more)


def test_every_metric_and_every_figure_of_return_to_work_is_in_it() -> None:
    found = {cell.metric for cell in made().cells}
    assert found == {d.metric for d in CATALOGUE} | {metric for metric, _, _ in RETURN_FIGURES}


def test_figures_stand_beside_what_they_are_compared_with() -> None:
    """1,600.00 over 2 x 6 member-months, 133.33 a month; a year before 500.00 over 12: 41.67."""
    told = made()
    cost, switch, visits = told.cell("M1-medical"), told.cell("M7", "bevacizumab"), told.cell("M3")
    assert cost is not None and switch is not None and visits is not None
    assert (cost.value, cost.benchmark, cost.benchmark_id) == (
        Fraction(160_000, 12), Fraction(50_000, 12), "the same months a year before",
    )  # fmt: skip
    assert (switch.value, switch.denominator_people) == (Fraction(3, 4), 2)
    assert (visits.value, visits.benchmark, visits.benchmark_id) == (Fraction(50), Fraction(30), "quality_goals")
    assert (told.covered, told.people, told.by_cancer) == (2, 2, (("breast", 2),))
    back = told.cell("RTW-182")
    assert back is not None and (back.value, back.benchmark) == (Fraction(1, 2), Fraction("0.55"))
    assert told.returns.observations == ((15, 1), (29, 2))


def test_it_names_no_person_and_no_day_of_service() -> None:
    text = json.dumps(made().document())
    assert not any(f'"{who}"' in text for who in ("a", "b", "e-a", "e-b"))
    assert not any(day in text for day in ("2025-07-03", "2025-07-04", "2025-04-09", "2025-03-10"))


def test_no_order_of_facts_changes_it_and_the_key_changes_the_digest_alone() -> None:
    wanted = made()
    assert made(seed=1) == made(seed=2) == wanted
    other = made(key=b"other")
    assert other.inputs_digest != wanted.inputs_digest and other.cells == wanted.cells
    assert other.run_id != wanted.run_id


def test_what_a_settlement_moves_is_told_by_kind() -> None:
    given = plan(terms={"settled_by": "T2 T5"}, cost=60_000)
    settlement = settle(given, 4, "initial")
    told = report(given, "employers", ("2025-07-01", "2025-12-31"), {0: 1}, b"k", settlement)
    assert told.money == (("RISK_CORRIDOR", 11_760_000),)
    assert made(supersedes="before").supersedes == "before"


def test_what_is_tagged_under_part_2_is_in_no_figure() -> None:
    facts = facts_of([{"survey": "2025-04-09", "of": "PHQ-9", "scores": {"phq9_total": 12}}, *GIVEN[:2]])
    reader = Reader()
    for fact in facts:
        reader.take(replace(fact, sensitivity="part2") if fact.type != "carepact.EnrollmentChanged.v1" else fact)
    member = reader.evidence(PLAN).members["a"]
    assert (member.answers, member.claims, len(member.withheld)) == ((), (), 1)
