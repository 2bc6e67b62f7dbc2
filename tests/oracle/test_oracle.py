"""The independent fold of a generated population shows every case, and the contract core comes to the same."""

from __future__ import annotations

import ast
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from carepact.generate import PAYERS, Made, bench_events, write
from carepact.generate.practices import broadcasts
from contracts.events import DayClosed
from tests.oracle.core import Core
from tests.oracle.fold import Episode, Folded, fold, read
from tests.oracle.work import accounts

CLOSED = "2025-06-30"
MEMBERS = 1_000


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Made]:
    out = tmp_path_factory.mktemp("population")
    return out, write(out, MEMBERS, seed=7)


@pytest.fixture(scope="module")
def folded(population: tuple[Path, Made]) -> dict[str, Folded]:
    out, _ = population
    return {payer: fold(payer, out / f"{payer}.ndjson", out / "practices.ndjson", CLOSED) for payer in PAYERS}


@pytest.mark.parametrize("module", ["fold", "work"])
def test_the_oracle_imports_nothing_of_the_product(module: str) -> None:
    tree = ast.parse(Path(__file__).with_name(f"{module}.py").read_text())
    imports = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imports |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert imports <= {
        "__future__", "array", "bisect", "collections", "csv", "dataclasses", "datetime", "fractions", "json",
        "pathlib", "tests", "typing",
    }  # fmt: skip


REASONS = (
    "included", "before_model", "after_model", "car_t", "part_a", "part_b", "medicare_advantage", "esrd",
    "other_primary", "no_em_visit", "low_risk_breast", "low_intensity_prostate",
)  # fmt: skip


def test_every_reason_and_exclusion_of_the_model_occurs(folded: dict[str, Folded]) -> None:
    counts = folded["medicare"].reasons()
    print(dict(counts))
    assert [reason for reason in REASONS if not counts[reason]] == []


@pytest.mark.parametrize("payer", ["bcbs-sc", "employers"])
def test_every_reason_of_a_care_fee_occurs(folded: dict[str, Folded], payer: str) -> None:
    counts = folded[payer].reasons()
    print(payer, dict(counts))
    expected = ("included", "plan", "other_primary", "no_em_visit", "before_contract", "after_contract")
    assert [reason for reason in expected if not counts[reason]] == []


SHOWN = (
    "original", "replacement", "adjustment", "void", "late", "two originals", "same content twice", "denied claim",
    "denied line", "void without original", "void before original", "replacement before original", "partial void",
    "negative family", "another payer's claim", "encounter code", "in hospital", "not covered",
    "fill 59 days after a diagnosis", "fill without a diagnosis", "service of another practice",
    "service after death or hospice", "service of one not taking part", "second service in a month", "seventh month",
    "dual addition", "of 70 dollars", "of 110 dollars",
)  # fmt: skip


def test_every_row_of_the_claims_table_and_every_limit_of_the_payment_occurs(folded: dict[str, Folded]) -> None:
    seen = folded["medicare"].saw
    print(dict(seen), folded["medicare"].duplicates)
    assert [case for case in SHOWN if not seen[case]] == []
    assert folded["medicare"].duplicates > 0


FLIPS = (
    "breast_flips", "breast_flips_back", "prostate_flips", "late_trigger", "replaced_trigger", "void_trigger",
    "void_everything", "void_then_other_day", "mistaken_cancer", "two_cancers", "short_first_visit",
    "quarter_of_visits", "reinstated", "late_enrollment", "lost_before_start", "died", "death_corrected",
    "died_then_uncovered", "hospice",
    "becomes_dual", "pharmacy_late_diagnosis", "late_visit", "late_services", "years_end", "equipment_supplier",
)  # fmt: skip


def test_every_change_of_mind_occurs(population: tuple[Path, Made]) -> None:
    _, made = population
    print(dict(made.shows))
    assert [flip for flip in FLIPS if not made.shows[flip]] == []


def test_a_member_with_an_episode_has_at_least_fifty_events(
    population: tuple[Path, Made], folded: dict[str, Folded]
) -> None:
    out, _ = population
    for payer, result in folded.items():
        events = Counter(e["data"]["person"]["identifier"]["value"] for e in read(out / f"{payer}.ndjson"))
        assert min(events[e.member[2]] for e in result.episodes) >= 50, payer


@pytest.mark.parametrize("payer", PAYERS)
def test_the_contract_core_comes_to_the_same(
    population: tuple[Path, Made], folded: dict[str, Folded], payer: str
) -> None:
    out, _ = population
    agree(payer, out, folded[payer])


def test_the_contract_core_comes_to_the_same_on_the_benchmark(tmp_path: Path) -> None:
    (tmp_path / "practices.ndjson").write_bytes(b"\n".join(broadcasts()) + b"\n")
    (tmp_path / "medicare.ndjson").write_bytes(b"\n".join(bench_events(50, 3_000, seed=3)) + b"\n")
    agree("medicare", tmp_path, fold("medicare", tmp_path / "medicare.ndjson", tmp_path / "practices.ndjson", CLOSED))


def agree(payer: str, out: Path, expected: Folded) -> None:
    core = Core(payer)
    core.publish(out / "practices.ndjson")
    core.publish(out / f"{payer}.ndjson")
    core.close(DayClosed(through_on=date.fromisoformat(CLOSED)))
    wanted = {
        (e.member, e.start.isoformat()): (
            e.end.isoformat(), e.cancer_type, e.status, e.void_reason, e.exclusion, e.included, e.practice, e.months,
        )
        for e in expected.episodes
    }  # fmt: skip
    got = {
        (who, e.started_on): (
            e.ends_on, e.cancer_type, e.status, e.void_reason, e.exclusion, e.included, e.practice,
            {o.period: o.amount_cents for o in e.owed.values() if o.kind != "RTW_BONUS"},
        )
        for who, e in core.episodes()
    }  # fmt: skip
    assert got == wanted
    assert sum(p.amount_cents for p in core.payments if p.kind != "RTW_BONUS") == expected.cents


STATUSES = ("none", "absent", "observed", "sustained", "lapsed", "died", "exited", "censored")
CLOSES = ("2023-10-02", "2023-12-31", "2024-03-31", "2024-07-01", "2024-10-31", CLOSED, "2027-06-30")


def test_returns_to_work_and_their_bonuses_are_as_an_independent_account_has_them(
    population: tuple[Path, Made], folded: dict[str, Folded]
) -> None:
    """At several closed days: every status, day, cause, conflict and cent; the counts show that all of them occur."""
    out, _ = population
    core = Core("employers")
    core.publish(out / "practices.ndjson")
    core.publish(out / "employers.ndjson")
    seen: Counter[str] = Counter()
    people: dict[object, list[Episode]] = {}
    for episode in folded["employers"].episodes:
        people.setdefault(episode.member, []).append(episode)
    for closed in CLOSES:
        core.close(DayClosed(through_on=date.fromisoformat(closed)))
        wanted: dict[object, tuple[Any, ...]] = {}
        got: dict[object, tuple[Any, ...]] = {}
        for who, episodes in people.items():
            facts = episodes[0].facts
            assert facts is not None
            for start, account in accounts(episodes, facts.born, date.fromisoformat(closed)).items():
                if account is not None:
                    days = (account.absence, account.partial, account.returned, account.ended)
                    wanted[who, start.isoformat()] = (
                        account.status, account.cause, *(day.isoformat() if day else "" for day in days), account.held,
                        account.conflict, account.bonus,
                    )  # fmt: skip
                    seen[account.status] += 1
                    seen[f"held {account.held}"] += 1
                    seen[f"bonus {account.bonus}"] += 1
                    seen["conflict"] += account.conflict
                    seen["partial"] += account.partial is not None
        for name, decided in core.episodes():
            one = core.employment(name).followed.get(decided.started_on)
            if one is not None and one.eligible:
                status, cause, absence, partial, returned, _, held, _, ended, _, conflict = one.said
                bonus = sum(o.amount_cents for o in decided.owed.values() if o.kind == "RTW_BONUS")
                got[name, decided.started_on] = (
                    status, cause, absence, partial, returned, ended, held, conflict, bonus,
                )  # fmt: skip
        assert got == wanted
        paid = sum(p.amount_cents for p in core.payments if p.kind == "RTW_BONUS")
        assert paid == sum(account[-1] for account in wanted.values())
    print(dict(seen))
    shown = (*STATUSES, "held 28", "held 90", "bonus 250000", "bonus 150000", "bonus 75000", "conflict", "partial")
    assert [one for one in shown if not seen[one]] == []
    assert any(p.reverses for p in core.payments if p.kind == "RTW_BONUS"), "a bonus was taken back"
