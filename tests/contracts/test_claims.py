"""CMS's own example of signed sums, and the pairing of records within a family (outcome rules D.5)."""

from __future__ import annotations

import pytest

from contracts.claims import receive, survivors
from contracts.parts import ClaimRecord, Family, Unit

ORIGINAL, VOID, ADJUSTMENT = "original", "void", "adjustment"


def record(claim: str, paid: dict[int, int], action: str, on: str, replaces: str = "") -> ClaimRecord:
    """A record of (line: paid dollars)."""
    units = [Unit(line, dollars * 100, [], []) for line, dollars in paid.items()]
    return ClaimRecord(claim, action, replaces, on, (b"", "", 0), units)


PART_A = [
    record("1", {0: 200}, ORIGINAL, "2016-07-20"),
    record("2", {0: 0}, ADJUSTMENT, "2016-09-20"),
    record("3", {0: 200}, VOID, "2016-08-07"),
    record("4", {0: 210}, ADJUSTMENT, "2016-09-20"),
    record("5", {0: 0}, ADJUSTMENT, "2016-08-07"),
    record("6", {0: 0}, VOID, "2016-10-07"),
]
PART_A_OTHER = [record("7", {0: 50}, ORIGINAL, "2016-09-20")]
PART_B = [
    record("1", {3: 0, 1: 380, 2: 227}, VOID, "2016-09-02"),
    record("2", {1: 380, 2: 227, 3: 100}, ORIGINAL, "2016-09-02"),
    record("3", {3: 0, 1: 380, 2: 227}, ORIGINAL, "2016-08-15"),
]


def total(records: list[ClaimRecord]) -> int:
    """What survives, in dollars."""
    return sum(records[i].units[j].paid_cents for i, j in survivors(records)) // 100


@pytest.mark.parametrize("turned", [False, True], ids=["as sent", "turned around"])
def test_cms_example_adds_up_to_967(turned: bool) -> None:
    a, other, b = ([*r][:: -1 if turned else 1] for r in (PART_A, PART_A_OTHER, PART_B))
    assert total(a) + total(other) == 260  # 200 - 200 + 0 - 0 + 210, and 50
    assert total(b) == 707  # 380 + 227 + 100, the rest voided
    assert total(a) + total(other) + total(b) == 967


def test_cms_example_leaves_the_final_action_claims() -> None:
    assert sorted(PART_A[i].claim_id for i, _ in survivors(PART_A)) == ["2", "4"]  # one of 2 and 5, both zero
    assert {PART_B[i].claim_id for i, _ in survivors(PART_B)} == {"2"}


def test_what_ceases_and_what_comes_to_count_is_named() -> None:
    family = Family()
    old, new = (
        record("c1", {1: 100, 2: 50}, ORIGINAL, "2025-01-01"),
        record("c2", {1: 75}, "replacement", "2025-02-01", "c1"),
    )
    assert receive(family, old) == ([], old.units)
    assert receive(family, new) == (old.units, new.units)
    assert receive(family, record("c3", {1: 75}, VOID, "2025-03-01", "c2")) == (new.units, [])


def test_a_payer_that_keeps_one_number_replaces_by_the_newest_version() -> None:
    versions = [
        record("c1", {1: 100}, ORIGINAL, "2025-01-01"),
        record("c1", {1: 75}, "replacement", "2025-02-01", "c1"),
        record("c1", {1: 60}, "replacement", "2025-03-01", "c1"),
    ]
    assert total(versions) == 60
    assert total(versions[::-1]) == 60


def test_a_void_takes_one_line_of_equal_number_and_amount() -> None:
    both = [record("c1", {1: 100, 2: 100}, ORIGINAL, "2025-01-01"), record("c2", {2: 100}, VOID, "2025-02-01")]
    assert survivors(both) == [(0, 0)]


def test_a_void_of_another_amount_holds_nothing() -> None:
    assert total([record("c1", {1: 100}, ORIGINAL, "2025-01-01"), record("c2", {1: 99}, VOID, "2025-02-01")]) == 100
