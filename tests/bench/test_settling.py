"""The benchmark of settlements settles what it says, and every amount of it."""

from __future__ import annotations

import gc

from bench.settling import run


def test_as_many_episodes_are_settled_as_asked_for() -> None:
    threshold = gc.get_threshold()
    try:
        figures = run(300, members=100)
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()
    assert figures.episodes == 300
    assert figures.payments > 0
    assert 0 < figures.gathered < figures.facts
