"""Settled periods are, on every episode, month and cent, what an independent account of the same files comes to."""

from __future__ import annotations

import ast
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from carepact.generate.settling import stories
from contracts.settlement_payments import operands
from contracts.trial import answer, find
from tests.oracle.gathered import Gathered, Recorded, gathered
from tests.oracle.settlement import Figures, Result, collect, settle
from tests.oracle.settling import PERIODS, Made, make

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


def agree(found: Gathered, made: Made, events: Path, run: str) -> tuple[Counter[str], dict[str, Result]]:
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
    results: dict[str, Result] = {}
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
                vintage = "2025" if period >= 4 else "2023"
                seen[f"{result.zone} {result.arrangement} {vintage} {result.tier}"] += 1
                seen["pooled"] += bool(group.pool)
            elif practice.priced:
                pytest.fail(f"period {period}, practice {practice.name} is pending: {group and group.pending}")
            seen["winsorised"] += sum(bool(p.winsorised) for p in practice.priced)
            seen["recouped"] += bool(practice.recouped)
            seen["novel"] += result.novel
    for account in population.accounts:
        seen[f"opened by {account.episode.source}"] += 1
        seen[account.how.split(", ")[0]] += 1
        seen[account.how.split(", ")[-1]] += 1
        seen[account.episode.void_reason or account.episode.exclusion or "included"] += 1
        for name in ("admitted", "emergency", "died", "late_therapy", "hospice"):
            seen[name] += getattr(account, name)
    return seen + Counter({name: n for name, n in population.saw.items() if n}), results


SOURCES = ("opened by outpatient", "opened by physician", "opened by dmepos", "opened by part_d")
STEPS = (
    "first visit", "plurality", "latest visit", "last digit", "no visit", "one cancer", "most visits",
    "cancer by latest visit", "cancer by an earlier visit", "cancer by last digit",
)  # fmt: skip
OUTCOMES = ("admitted", "emergency", "died", "late_therapy", "hospice", "winsorised", "recouped", "pooled", "novel")
CELLS = tuple(
    f"{zone} {arrangement} {vintage} {tier}"
    for zone in ("earned", "neutral", "owed")
    for arrangement in ("RA1", "RA2")
    for vintage in ("2023", "2025")
    for tier in (75, 50, 30, 0)
)
CLAIMS = (
    "replacement", "adjustment", "void", "two originals", "same content twice", "denied claim", "denied line",
    "void without original", "void before original", "replacement before original", "partial void", "negative family",
    "another payer's claim",
)  # fmt: skip
VOID = (
    "car_t", "part_a", "part_b", "medicare_advantage", "esrd", "other_primary", "no_em_visit", "low_risk_breast",
    "low_intensity_prostate", "before_model",
)  # fmt: skip


def test_two_runs_of_five_periods_agree_with_an_independent_account(tmp_path: Path) -> None:
    """Small enough for every change; the long run below asks for twenty of everything."""
    made = make(tmp_path, 150, seed=7, variants=3, known_through=KNOWN_THROUGH)
    first, _ = agree(of_product(made, made.initial), made, made.initial, "initial")
    later, _ = agree(of_product(made, made.all), made, made.all, "true-up")
    seen = first + later
    print(dict(sorted(seen.items())))
    assert first != later
    assert [one for one in (*SOURCES, *STEPS, *OUTCOMES) if not seen[one]] == []


STORIES = (
    "duplicate", "late", "replacement", "void_then_other_day", "void_trigger", "void_everything", "unmatched_void",
    "cancel_and_adjust", "replaced_trigger", "late_trigger", "lost_part_a", "lost_part_b", "lost_before_start",
    "reinstated", "late_enrollment", "breast_flips", "breast_flips_back", "prostate_flips", "mistaken_cancer",
)  # fmt: skip
"""What stories were made to show: rows of D.5 that leave no trace in the end, and each flip of a sub-type."""


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_a_population_has_at_least_twenty_of_everything_and_agrees(tmp_path: Path) -> None:
    """Twice 2,000 members, so that each story is told by twenty; five periods, initial and true-up.

    Counted once, as the true-up has it, but for results, of which each run has its own; fails below twenty.
    """
    made = make(tmp_path, 4_000, seed=7, variants=56, known_through=date(2025, 12, 31))
    first, _ = agree(of_product(made, made.initial), made, made.initial, "initial")
    seen, _ = agree(of_product(made, made.all), made, made.all, "true-up")
    seen.update({cell: first[cell] for cell in CELLS})
    known = set(made.initial.read_bytes().splitlines())
    later = [line for line in made.all.read_bytes().splitlines() if line not in known and b"ClaimReceived" in line]
    seen["claim after the first run's cut"] = len(later)
    told = stories(4_000, 7, 56)
    seen.update({f"story: {name}": told[name] for name in STORIES})
    rows = ("claim after the first run's cut", *(f"story: {name}" for name in STORIES))
    asked = (*SOURCES, *STEPS, *OUTCOMES, *VOID, *CLAIMS, *CELLS, *rows)
    for name in asked:
        print(f"{seen[name]:>8}  {name}")
    assert {name: seen[name] for name in asked if seen[name] < 20} == {}
