"""A first run determines; a true-up takes back what comes out otherwise, and what is in force is the new result."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from contracts.determining import Standing, ledger
from contracts.events import PaymentDetermined
from contracts.outcome import Payment
from contracts.trial.answer import answer, find
from streams.answers import Answers
from streams.settling import Gathered
from tests.oracle.gathered import Recorded, gathered
from tests.oracle.settling import Made, make

PERIODS = (1, 2, 3)


@dataclass
class Runs:
    """What two runs of some periods moved, and what their answers said."""

    statements: dict[tuple[int, str, str], dict[str, Any]] = field(default_factory=dict)
    payments: list[tuple[str, Payment, bytes]] = field(default_factory=list)

    def standing(self, period: int) -> dict[str, list[Standing]]:
        """By practice, what is in force."""
        gone = {payment.reverses for _, payment, _ in self.payments}
        found: dict[str, list[Standing]] = defaultdict(list)
        for _, p, _ in self.payments:
            if p.period == f"PP{period}" and not p.reverses and p.payment_id not in gone:
                lines = tuple((x["clause"], x["label"], x["amount_cents"]) for x in p.event["lines"])
                found[p.practice].append(Standing(p.payment_id, p.kind, p.amount_cents, lines))
        return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    made = make(tmp_path_factory.mktemp("runs"), 90, seed=5, variants=1, known_through=date(2025, 3, 31))
    found = Runs()
    for offset, (run, events) in enumerate((("initial", made.initial), ("true-up", made.all))):
        held = of(made, events)
        for period in PERIODS:
            row = {
                "request_id": f"{run}-{period}", "contract": "medicare-eom", "period": period, "run": run,
                "event_id": f"00000000-0000-5000-8000-00000000{offset}{period:03d}", "topic": "requests",
                "log_offset": 10 * offset + period, "known_at": datetime(2026, 1, 1, tzinfo=UTC),
            }  # fmt: skip
            answers = Answers("medicare", row, held, {}, found.standing(period))
            answers.make(frozenset())
            for _, _, practice, _, _, _, statement, *_ in answers.answers:
                found.statements[period, run, practice] = orjson.loads(statement)
            found.payments += [(run, payment, event) for payment, event in answers.payments]
    return found


def of(made: Made, events: Path) -> Gathered:
    """What a log with these files comes to."""
    core = Recorded("medicare")
    for path in (made.practices, made.figures, events):
        core.publish(path)
    got = gathered("medicare", core.facts)
    return Gathered(0, got.gatherer.adoption, got.references, got.cases)


def test_what_is_in_force_after_both_runs_is_the_later_result(runs: Runs) -> None:
    kinds = defaultdict[str, int](int)
    for period in PERIODS:
        standing = runs.standing(period)
        for (of_period, run, practice), told in runs.statements.items():
            if of_period == period and run == "true-up" and not told["pending"]:
                in_force = sum(one.amount_cents for one in standing[practice])
                assert in_force == told["in_force_cents"] == told["share_cents"] - told["meos"]["recouped_cents"]
    for run, payment, _ in runs.payments:
        kinds[f"{run} {payment.kind}{' reversal' if payment.reverses else ''}"] += 1
    print(dict(kinds))
    wanted = ("initial PBP", "initial PBR", "initial MEOS_RECOUPMENT", "true-up PBP reversal", "true-up PBR")
    assert [kind for kind in wanted if not kinds[kind]] == []


def test_a_reversal_is_the_exact_negative_and_both_sides_of_each_payment_sum_to_nought(runs: Runs) -> None:
    amounts = {payment.payment_id: payment.amount_cents for _, payment, _ in runs.payments}
    assert len(amounts) == len(runs.payments)
    for _, payment, _ in runs.payments:
        assert sum(line.amount_cents for line in ledger(payment, "medicare")) == 0
        if payment.reverses:
            assert amounts[payment.reverses] == -payment.amount_cents


def test_the_lines_of_each_payment_add_up_and_its_event_is_as_declared(runs: Runs) -> None:
    for _, payment, event in runs.payments:
        told = PaymentDetermined.model_validate_json(orjson.dumps(orjson.loads(event)["data"]))
        assert sum(line.amount_cents for line in told.lines) == told.amount_cents == payment.amount_cents
        assert told.reverses or any(line.terms for line in told.lines if line.amount_cents)
        assert told.facts


def test_the_operands_of_a_result_given_to_the_calculator_give_the_same_cents(runs: Runs) -> None:
    trial, tried = find("medicare-eom", "reconciliation"), 0
    for told in runs.statements.values():
        group = told["group"]
        if group and group["operands"]:
            result = answer(trial, group["operands"])
            assert (result["pbp_cents"], result["pbr_cents"]) == (group["pbp_cents"], group["pbr_cents"])
            assert result["zone"] == group["zone"]
            tried += 1
    assert tried > 10


def test_without_figures_nothing_is_paid_and_what_lacks_is_said(tmp_path: Path) -> None:
    made = make(tmp_path, 24, seed=5, variants=1, known_through=date(2026, 12, 31))
    made.figures.write_bytes(b"")
    row = {
        "request_id": "r", "contract": "medicare-eom", "period": 2, "run": "initial", "topic": "requests",
        "event_id": "00000000-0000-5000-8000-000000000001", "log_offset": 1,
        "known_at": datetime(2026, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    answers = Answers("medicare", row, of(made, made.all), {}, {})
    answers.make(frozenset())
    assert {payment.kind for payment, _ in answers.payments} <= {"MEOS_RECOUPMENT"}
    told = [orjson.loads(one[6]) for one in answers.answers]
    settled = [one for one in told if one["episodes"]["settled"]]
    lacks = {"no_arrangement", "no_baseline", "no_experience", "no_trend", "no_quality_score", "no_geography"}
    assert settled and all(set(one["pending"]) == lacks for one in settled)
