"""Parts sum to the whole, and a later run moves the difference."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.determining import parted

CENTS = st.integers(-(10**12), 10**12)


def test_cents_left_over_go_to_the_largest_remainders_then_to_the_first() -> None:
    assert parted(100, [1, 1, 1]) == [34, 33, 33]
    assert parted(-100, [2, 1]) == [-67, -33]
    assert parted(10, [0, 0]) == [0, 0]


@given(CENTS, st.lists(st.integers(0, 10**12), min_size=1, max_size=40))
def test_the_parts_of_a_pooled_result_sum_to_it(total: int, weights: list[int]) -> None:
    parts = parted(total, weights)
    assert sum(parts) == (total if sum(weights) else 0)
    assert all(part * total >= 0 for part in parts)
