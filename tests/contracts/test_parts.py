"""What a fact loads and writes is bounded by what it touches, however long the member's history is."""

from __future__ import annotations

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


def history(facts: int, *, a_day: int) -> Log:
    """Visits with an unrelated claim between them, so many a day, after one therapy every half year."""
    log = Log(EOM).opened().enrolled()
    told: list[Data] = []
    first = date(2023, 7, 1)
    for i in range(facts):
        on = (first + timedelta(days=i // a_day)).isoformat()
        kind = "visit" if i % 3 == 0 else "drug" if i % 180 == 1 else "fill"
        told.append({kind: on, "id": f"c{i}", "paid": 98, **({"ndc": "99999999999"} if kind == "fill" else {})})
    return log.told(told)


def test_ten_thousand_facts_dirty_no_more_parts_a_fact_than_ten() -> None:
    """Counted, not timed: parts and bytes written and loaded for a fact, in a long history and in a short one."""
    long, short = history(10_000, a_day=6), history(10, a_day=6)
    many, few = Folded(EOM, long.facts), Folded(EOM, short.facts)
    assert few.members["m1"].head.sequence == many.members["m1"].head.sequence == 0
    assert len(many.members["m1"].head.episodes) > 8
    parts = {kind for kind, _ in many.members["m1"].dirty}
    assert parts == {"head", "month", "claim", "episode"}
