"""A sum is divided by weights to whole cents; that parts sum to it is in test_seven_properties.py."""

from __future__ import annotations

from contracts.determining import parted


def test_cents_left_over_go_to_the_largest_remainders_then_to_the_first() -> None:
    assert parted(100, [1, 1, 1]) == [34, 33, 33]
    assert parted(-100, [2, 1]) == [-67, -33]
    assert parted(10, [0, 0]) == [0, 0]
