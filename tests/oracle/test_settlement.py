"""Settled periods are, on every episode, month and cent, what an independent account of the same files comes to."""

from __future__ import annotations

import ast
import json
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from contracts.determining import Asked, Standing
from contracts.given_back import reversal, tried_settled
from contracts.settled import Group, Practice, Settlement
from contracts.settlement_payments import moved, operands
from contracts.statement import statement
from contracts.trial import answer, find
from tests.contracts.tried_again import tried_again
from tests.oracle.gathered import Gathered, Recorded, gathered
from tests.oracle.settlement import Figures, Result, collect, settle
from tests.oracle.settling import PERIODS, Made, make
from tests.oracle.shown import OUTCOMES, SOURCES, STEPS, of_members, of_results

KNOWN_THROUGH = date(2025, 6, 30)


def test_the_account_imports_nothing_of_the_product() -> None:
    tree = ast.parse(Path(__file__).with_name("settlement.py").read_text())
    names = {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert names <= {"__future__", "collections", "dataclasses", "datetime", "fractions", "pathlib", "tests", "typing"}


def of_product(made: Made, events: Path) -> Gathered:
    """The product's settlement of the same files, from memory."""
    core = Recorded("medicare")
    for path in (made.practices, made.figures, events):
        core.publish(path)
    return gathered("medicare", core.facts)


def agree(found: Gathered, made: Made, events: Path, run: str) -> Counter[str]:
    """Hold both against each other; what was seen."""
    population = collect(events, made.practices)
    figures = Figures(made.practices, made.figures)
    seen: Counter[str] = Counter()
    wanted = {
        (a.episode.member[2], a.episode.start.isoformat()): (
            a.episode.end.isoformat(), a.episode.cancer_type, a.episode.status, a.episode.void_reason,
            a.episode.exclusion, a.episode.practice, a.settles, len(a.episode.months), a.cost,
        )
        for a in population.accounts
    }  # fmt: skip
    got = {
        (c.member.split("|")[2], c.started_on): (
            c.ends_on, c.cancer_type, c.status, c.void_reason, c.exclusion, c.practice, c.settles, c.meos_months,
            c.expenditure_cents,
        )
        for c in found.cases
        if c.episode_id
    }  # fmt: skip
    assert got == wanted
    for period in PERIODS:
        results = settle(population, figures, period)
        settlement = found.settled(period, run)
        for practice, group in settlement.practices:
            result = results.get(practice.name, Result())
            mine = [(p.case.started_on, p.counted_cents, p.benchmark_cents) for p in practice.priced]
            assert sorted(mine) == sorted(
                (a.episode.start.isoformat(), a.counted, a.benchmark) for a in result.episodes
            )
            assert (practice.share_cents, practice.recouped_cents) == (result.share, result.recouped), practice.name
            if group is not None and group.result is not None and practice.priced:
                assert group.result.zone == result.zone
                again = answer(find("medicare-eom", "reconciliation"), dict(operands(settlement, group) or {}))
                assert (again["pbp_cents"], again["pbr_cents"]) == (group.result.pbp_cents, group.result.pbr_cents)
            elif practice.priced:
                pytest.fail(f"period {period}, practice {practice.name} is pending: {group and group.pending}")
            given_back(found, settlement, practice, group, seen)
        seen += of_results(figures, period, results.items())
    return seen + of_members(population)


def given_back(
    found: Gathered, settlement: Settlement, practice: Practice, group: Group | None, seen: Counter[str]
) -> None:
    """Each payment, tried again on what its explanation says, gives the same cents; and so does taking it back."""
    adoption = found.gatherer.adoption
    asked = Asked("medicare", "medicare-eom", "d", "request", "requests", 0, "log", 0, adoption.sheets[""].ref)
    for standing in ([], [Standing("earlier", "PBP", 100, (("PBP", "An earlier run's", 100),))]):
        payments = moved(asked, found.sheet, settlement, practice, group, standing, "0" * 64)
        told = statement(found.sheet, adoption, settlement, practice, group, standing, payments)
        for payment in payments:
            if payment.reverses:
                tried_again(reversal(payment.event), payment.amount_cents)
            else:
                named = {"kind": payment.kind, "contract": payment.contract, "plan": payment.plan}
                back = tried_settled(named, json.loads(json.dumps(told)))
                tried_again(back, payment.amount_cents)
                seen[f"tried {payment.kind}{' of a pool' if back and 'of' in back else ''}"] += 1


TRIED = ("tried PBP", "tried PBR", "tried PBP of a pool", "tried PBR of a pool", "tried MEOS_RECOUPMENT")


def test_two_runs_of_five_periods_agree_with_an_independent_account(tmp_path: Path) -> None:
    """Small enough for every change; `test_two_thousand.py` asks for twenty of everything, through Kafka."""
    made = make(tmp_path, 150, seed=7, variants=3, known_through=KNOWN_THROUGH)
    first = agree(of_product(made, made.initial), made, made.initial, "initial")
    later = agree(of_product(made, made.all), made, made.all, "true-up")
    seen = first + later
    print(dict(sorted(seen.items())))
    assert first != later
    assert [one for one in (*SOURCES, *STEPS, *OUTCOMES, *TRIED) if not seen[one]] == []
