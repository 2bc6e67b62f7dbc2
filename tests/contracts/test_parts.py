"""What a fact loads and writes is bounded by what it touches, however long the member's history is."""

from __future__ import annotations

import sys
from datetime import date, timedelta

from contracts.fold import Needs
from tests.contracts.given import Data, Folded, Log
from tests.contracts.stored import StoredFold

EOM = "medicare-eom"


def test_a_coverage_change_eight_months_on_leaves_a_first_fill_alone() -> None:
    """The months loaded begin with the fill's own: what it looks back to is not there, so it is not judged."""
    told: list[Data] = [
        {"visit": "2025-02-01"},
        {"fill": "2025-03-01"},
        {"visit": "2025-03-15"},
        {"covered": "dual", "from": "2025-11-10", "code": "02"},
    ]
    log = Log(EOM).opened().enrolled().told(told)
    assert StoredFold(EOM, log.facts).outcomes[-1] == Folded(EOM, log.facts).outcomes[-1]


def test_a_void_of_an_old_claim_asks_for_its_months() -> None:
    told: list[Data] = [
        {"drug": "2024-01-10", "id": "c1"},
        {"visit": "2024-01-12"},
        {"replace": "c1", "drug": "2026-01-10", "effective": "2026-02-01"},
    ]
    log = Log(EOM).opened().enrolled().told(told)
    last = StoredFold(EOM, log.facts).outcomes[-1]
    assert [(e.started_on, e.status) for e in last.episodes] == [("2024-01-10", "cancelled"), ("2026-01-10", "void")]


def test_facts_say_what_they_need() -> None:
    log = Log(EOM).opened().enrolled()
    log.told(
        [{"drug": "2025-01-10", "id": "c1"}, {"uncovered": "part_b", "from": "2025-06-30"}, {"died": "2025-06-30"}]
    )
    fold = Folded(EOM, log.facts).fold
    assert [fold.needs(fact) for fact in log.facts[-3:]] == [
        Needs(("c1",), "2024-05"),
        Needs(since="2024-10"),
        Needs(since=""),
    ]


DAY: tuple[Data, ...] = (
    {"drug": ""},
    {"visit": ""},
    {"visit": "", "code": "85025"},
    {"fill": "", "ndc": "99999999999"},
    {"outpatient": "", "code": "36415"},
    {"inpatient": "", "code": "99999"},
)


def history(facts: int) -> Log:
    """Therapy, a visit, laboratory, a fill and hospital claims on each day, and services once a month."""
    log = Log(EOM).opened().enrolled()
    told: list[Data] = []
    for i in range(facts):
        short = {"meos": ""} if i % 180 == 8 else DAY[i % 6]
        on = (date(2023, 7, 1) + timedelta(days=i // 6)).isoformat()
        told.append({**short, next(iter(short)): on, "id": f"c{i}", "paid": 98})
    return log.told(told)


def work(log: Log, counted: int) -> tuple[float, float]:
    """(parts dirtied, functions called) for each of the last `counted` facts, on the average."""
    folded = Folded(EOM, log.facts[:-counted])
    member = folded.members["m1"]
    parts = calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    for fact in log.facts[-counted:]:
        member.dirty.clear()
        sys.setprofile(count)
        folded.fold.apply(member, fact)
        sys.setprofile(None)
        parts += len(member.dirty)
    return parts / counted, calls / counted


def test_ten_thousand_facts_cost_no_more_a_fact_than_ten() -> None:
    """Counted, not timed: parts to be written and functions called for a fact, in a long history and in a short one."""
    parts, calls = work(history(10_000), 720)
    few_parts, few_calls = work(history(18), 12)
    assert parts <= 1.1 * few_parts
    assert calls <= 1.5 * few_calls


def test_hours_of_many_years_cost_no_more_than_those_of_one() -> None:
    """Hours that no course of treatment watches load and write their own month; employment is small and stays so."""
    log = Log("employer").opened().enrolled()
    log.told([{"schedule": "2015-01-01", "hours": 40}, {"workdays": "2018-01-01", "through": "2019-12-31"}])
    stored = StoredFold("employer", log.facts)
    assert {parts for parts, _ in stored.written[-400:]} == {1}
    assert max(stored.loaded[-400:]) == 3
    assert max(size for _, size in stored.written[-400:]) < 3_000


def test_only_employers_members_have_parts_of_work() -> None:
    log = Log(EOM).opened().enrolled().told([{"schedule": "2024-01-01", "hours": 40}, {"hours": "2025-01-10"}])
    assert {kind for kind, _ in StoredFold(EOM, log.facts).parts["m1"]} == {"head"}
