"""Quick tests first: what starts no platform, then what needs one, then what kills its parts.

Side by side it is the other way about, and they come by files: what takes long begins at once, and what is quick fills
the rest of both processes' time.
"""

from __future__ import annotations

import os

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes the platform fixture by itself, so that `-m "not platform"` is always right, and sort."""
    for item in items:
        if "platform" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.platform)
    items.sort(key=_cost, reverse="PYTEST_XDIST_WORKER" in os.environ)


def _cost(item: pytest.Item) -> int:
    return 2 if item.get_closest_marker("chaos") else 1 if item.get_closest_marker("platform") else 0
