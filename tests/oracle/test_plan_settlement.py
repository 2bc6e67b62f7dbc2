"""BCBS South Carolina's settled periods are what an independent account of the same files comes to, to the cent."""

from __future__ import annotations

import ast
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from carepact.generate import write
from carepact.generate.codes import CANCERS
from carepact.generate.practices import PRACTICES
from carepact.generate.settling import figures, settling_practices
from contracts.determining import Asked, Standing
from contracts.given_back import tried_settled
from contracts.outcome import Payment
from contracts.parts import Adoption
from contracts.reference_values import References
from contracts.settled import Settlement
from contracts.settlement_payments import moved
from contracts.statement import Document, answer, contest_pack, statement
from contracts.trial.answer import answer as tried
from contracts.trial.answer import find
from tests.contracts.tried_again import tried_again
from tests.oracle.gathered import Gathered, Recorded, gathered
from tests.oracle.plan_settlement import STOP, Told, collect, settle
from tests.oracle.settlement import Figures, half_up, period_first

PERIODS = (1, 2, 3, 4, 5, 6)
"""The last is two-sided."""
RATIOS = (Fraction(85, 100), Fraction(99, 100), Fraction(120, 100))
POOLED = [practice.tin for practice in PRACTICES[:2]]


@dataclass(frozen=True)
class Made:
    """The files, and what both make of them."""

    practices: Path
    figures: Path
    product: Gathered
    told: dict[int, dict[str, Told]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    out = tmp_path_factory.mktemp("plan")
    write(out, 520, seed=11, months=42, payers=("bcbs-sc",))
    practices, said, events = out / "with_pool.ndjson", out / "figures.ndjson", out / "bcbs-sc.ndjson"
    practices.write_bytes(b"".join(line + b"\n" for line in settling_practices(1, POOLED)))
    accounts = collect(events, practices)
    said.write_bytes(b"".join(line + b"\n" for line in figures(_values(accounts))))
    core = Recorded("bcbs-sc")
    for path in (practices, said, events):
        core.publish(path)
    known = Figures(practices, said)
    told = {period: settle(accounts, practices, known, period) for period in PERIODS}
    return Made(practices, said, gathered("bcbs-sc", core.facts), told)


def _values(accounts: list[Any]) -> Iterator[tuple[str, str, str, str, str]]:
    """A target for each practice and cancer, so that cost stands to it as one of `RATIOS`; quality as reported."""
    costs: dict[tuple[int, str], list[int]] = defaultdict(list)
    for account in accounts:
        if account.settles:
            costs[account.period, account.episode.practice].append(min(account.cost, STOP))
    for period in PERIODS:
        on = period_first(period).isoformat()
        for i, practice in enumerate(PRACTICES):
            held = costs.get((period, practice.tin), [1_000_000])
            price = half_up(Fraction(sum(held), len(held)) / RATIOS[(i + period) % 3])
            for cancer in CANCERS:
                yield "target_price", f"{practice.tin}/{cancer}", f"{max(price, 1) / 100:.2f}", "USD", on
            if i % 5 != 4:
                yield (
                    "quality_score",
                    f"{practice.tin}/{period}",
                    ("90", "72.5", "30")[(i + period) % 3],
                    "per cent",
                    on,
                )
            else:
                yield "quality_points", f"{practice.tin}/{period}/EOM-6", "9", "points", on


def test_the_account_imports_nothing_of_the_product() -> None:
    tree = ast.parse(Path(__file__).with_name("plan_settlement.py").read_text())
    names = {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert names <= {"__future__", "collections", "dataclasses", "datetime", "fractions", "math", "pathlib", "tests",
                     "typing"}  # fmt: skip


def test_every_episode_and_cent_of_six_periods_agrees(made: Made) -> None:
    seen: Counter[str] = Counter()
    for period in PERIODS:
        settlement = made.product.settled(period)
        ours = {practice.name: practice for practice, _ in settlement.practices if practice.priced}
        theirs = {name: told for name, told in made.told[period].items() if told.episodes}
        assert ours.keys() == theirs.keys()
        for name, practice in ours.items():
            told = theirs[name]
            mine = sorted((p.case.started_on, p.benchmark_cents, p.case.expenditure_cents) for p in practice.priced)
            assert mine == sorted((a.episode.start.isoformat(), a.target, a.cost) for a in told.episodes)
            assert practice.share_cents == told.share, (period, name)
            seen[told.zone] += 1
            seen["pooled"] += practice.pool != ""
            seen["cut"] += any(p.winsorised for p in practice.priced)
        assert all(group.pending == [] for group in settlement.groups)
    print(dict(seen))
    assert [what for what in ("earned", "neutral", "owed", "pooled", "cut") if not seen[what]] == []


def documents(made: Made, period: int, standing: dict[str, list[Standing]]) -> Iterator[tuple[Document, list[Payment]]]:
    """Each practice's statement, and what moves."""
    settlement: Settlement = made.product.settled(period)
    held = made.product.gatherer.adoption.sheets[""]
    asked = Asked("bcbs-sc", "bcbs-sc", "d", "request", "requests", 0, "log", 0, held.ref)
    for practice, group in settlement.practices:
        before = standing.get(practice.name, [])
        payments = moved(asked, made.product.sheet, settlement, practice, group, before, "0" * 64)
        adoption: Adoption = made.product.gatherer.adoption
        told = statement(made.product.sheet, adoption, settlement, practice, group, before, payments)
        assert contest_pack(settlement, practice, "bcbs-sc", "log")["invented"]
        assert told["invented"] and told["illustrative"]
        assert group is None or "illustrative_terms" in answer(told, settlement)["said"]
        yield told, payments


def test_what_is_given_back_to_the_calculator_gives_the_same_cents(made: Made) -> None:
    trial = find("bcbs-sc", "shared-savings")
    kinds = set()
    for period in PERIODS:
        for told, payments in documents(made, period, {}):
            if told["group"] and told["group"]["operands"]:
                result = tried(trial, told["group"]["operands"])
                assert result["amount_cents"] == told["group"]["pbp_cents"] - told["group"]["pbr_cents"]
                assert result["target_cents"] == told["group"]["benchmark_cents"]
            for payment in payments:
                named = {"kind": payment.kind, "contract": "bcbs-sc", "plan": ""}
                tried_again(tried_settled(named, json.loads(json.dumps(told))), payment.amount_cents)
                kinds.add(payment.kind)
                assert sum(line["amount_cents"] for line in payment.event["lines"]) == payment.amount_cents
                assert any(term["illustrative"] for line in payment.event["lines"] for term in line["terms"])
    assert kinds == {"SHARED_SAVINGS", "SHARED_LOSS"}


def test_a_second_run_that_comes_to_the_same_moves_nothing_and_another_the_difference(made: Made) -> None:
    first = {told["practice"]: payments for told, payments in documents(made, 2, {})}
    standing = {
        name: [Standing(p.payment_id, p.kind, p.amount_cents, ()) for p in payments] for name, payments in first.items()
    }
    assert all(not payments for _, payments in documents(made, 2, standing))
    less = {name: [Standing("x", p.kind, p.amount_cents - 1, ()) for p in held] for name, held in standing.items()}
    for told, payments in documents(made, 2, less):
        assert told["moved_cents"] == sum(p.amount_cents for p in payments) == len(less.get(told["practice"], ()))


def test_without_a_target_nothing_is_settled_and_it_is_said(made: Made) -> None:
    known = made.product.references
    made.product.references = References({})
    try:
        found = made.product.settled(2)
    finally:
        made.product.references = known
    assert {reason for group in found.groups if group.priced for reason in group.pending} >= {"no_target"}
    assert all(group.result is None and group.amount_cents == 0 for group in found.groups)
