"""M1, M3, M4, M7 and return to work of a generated population, as an independent account has them, period by period."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from carepact.generate import write
from contracts.employer_evidence import EmployerGatherer
from contracts.employer_report import scope_of
from contracts.events import DayClosed
from contracts.metrics import returns
from contracts.metrics.biosimilars import share
from contracts.metrics.measured import Measured
from contracts.metrics.spending import medical_cost
from contracts.metrics.use import admissions, emergency_to_inpatient, emergency_visits
from tests.oracle import metrics as oracle
from tests.oracle.fold import Codes, Episode, Facts, Member, fold
from tests.oracle.gathered import Recorded
from tests.oracle.more_claims import add

PLANS = ("palmetto-manufacturing", "lowcountry-retail")
CLOSED = date(2025, 9, 30)
PERIODS = (
    (date(2023, 7, 1), date(2023, 12, 31)),
    (date(2024, 1, 1), date(2024, 6, 30)),
    (date(2024, 7, 1), date(2024, 12, 31)),
    (date(2025, 1, 1), date(2025, 6, 30)),
    (date(2025, 7, 1), date(2025, 12, 31)),
)
RUN_OUT = 60


@dataclass
class Told:
    """The same people as the product and as the oracle have them."""

    core: Recorded
    gatherer: EmployerGatherer
    everybody: dict[Member, Facts]
    episodes: list[Episode]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    out = tmp_path_factory.mktemp("employers")
    write(out, 480, seed=11, payers=("employers",))
    add(out / "employers.ndjson", out / "more.ndjson", seed=5)
    core = Recorded("employers")
    core.publish(out / "practices.ndjson")
    core.publish(out / "more.ndjson")
    core.close(DayClosed(through_on=CLOSED))
    gatherer = EmployerGatherer("employers")
    for fact in core.facts:
        gatherer.take(fact)
    gatherer.close()
    folded = fold("employers", out / "more.ndjson", out / "practices.ndjson", CLOSED.isoformat())
    return Told(core, gatherer, oracle.people(out / "more.ndjson"), folded.episodes)


def test_gathered_once_it_is_what_the_fold_decided_fact_by_fact(told: Told) -> None:
    """Every episode, its cost and fees, and what each return stands at."""
    live, gathered = {}, {}
    for token, member in told.core.members.items():
        for start in member.head.episodes:
            e, followed = member.episodes[start], member.employment.followed.get(start)
            fees = sum(o.amount_cents for o in e.owed.values() if o.kind != "RTW_BONUS")
            eligible = followed is not None and followed.eligible
            absence = followed.said[2] if eligible and followed is not None else ""
            live[token, start] = (
                e.ends_on,
                e.cancer_type,
                e.practice,
                e.included,
                e.expenditure_cents,
                fees,
                eligible,
                absence,
            )
    for plan in PLANS:
        found = told.gatherer.plan(plan)
        for record, own in found.episodes:
            returned = found.returns.get(own.episode_id)
            gathered[record.member, own.started_on] = (
                own.ends_on, own.cancer, own.practice, own.included, own.expenditure_cents, own.fees_cents,
                returned is not None, returned.absence_on if returned else "",
            )  # fmt: skip
    assert gathered == live and len(live) > 50


def sums(measured: Measured) -> tuple[int, int]:
    return int(measured.numerator), int(measured.denominator)


def test_the_oracle_imports_nothing_of_the_product() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text())
    named = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    named |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert named <= {
        "__future__",
        "collections",
        "csv",
        "dataclasses",
        "datetime",
        "fractions",
        "pathlib",
        "tests",
        "typing",
    }


def test_the_metrics_of_every_period_are_those_of_an_independent_account(told: Told) -> None:
    shown: Counter[str] = Counter()
    codes = Codes()
    for plan in PLANS:
        gathered = told.gatherer.plan(plan)
        own = [e for e in told.episodes if e.member[0] == plan]
        for first, last in PERIODS:
            scope = scope_of(gathered, first.isoformat(), last.isoformat())
            episodes = oracle.counted(own, first, last, CLOSED, RUN_OUT)
            visits, admitted, stays, of = oracle.emergency(told.everybody, episodes)
            assert sums(emergency_visits(scope)) == (visits, of)
            assert sums(emergency_to_inpatient(scope)) == (admitted, of)
            assert sums(admissions(scope)) == (stays, of)
            assert sums(medical_cost(scope)) == oracle.cost(told.everybody, plan, first, last, codes)
            given = oracle.units(told.everybody, plan, first, last)
            for molecule in scope.codes.molecules:
                assert sums(share(scope, molecule)) == given.get(molecule, (0, 0))
                shown[f"M7 {molecule}"] += given.get(molecule, (0, 0))[1] > 0
            shown |= {"M3": visits, "M3-admitted": admitted, "M4": stays, "episodes": of}
    print(dict(shown))
    wanted = (
        "M3",
        "M3-admitted",
        "M4",
        "episodes",
        "M7 bevacizumab",
        "M7 pegfilgrastim",
        "M7 rituximab",
        "M7 filgrastim",
    )
    assert [name for name in wanted if not shown[name]] == []


@pytest.mark.parametrize("held", [28, 90])
def test_returns_to_work_are_those_of_an_independent_account(told: Told, held: int) -> None:
    seen: Counter[int] = Counter()
    for plan in PLANS:
        records = list(told.gatherer.plan(plan).returns.values())
        absent = returns.cohort(records)
        own = [episode for episode in told.episodes if episode.member[0] == plan]
        expected = sorted(observed for _, observed in oracle.cohort(own, CLOSED, held))
        found = [(one.days, one.cause) if held == 28 else (one.strict_days, one.strict_cause) for one in absent]
        plain = sorted((days, 3 if cause == returns.DISABLED else cause) for days, cause in found)
        assert plain == expected != []
        seen.update(cause for _, cause in plain)
        for by in returns.DAYS:
            assert returns.curve(records, strict=held == 90).at(by) == oracle.returned(expected, by)
        assert Fraction(0) < oracle.returned(expected, 182) < 1
    assert sorted(seen) == [0, 1, 2, 3]
