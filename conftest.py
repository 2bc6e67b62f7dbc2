"""Quick tests first: what starts no platform, then what needs one, then what kills its parts.

Side by side it is the other way about, and they come by files: what takes long begins at once, and what is quick fills
the rest of each process's time.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).parent / "tests"
LONGEST = (
    "chaos/test_nemesis.py", "local/test_platform.py", "gateway/test_http.py", "end_to_end/test_order.py",
    "end_to_end/test_real_files.py", "streams/test_rebuild.py", "oracle/test_oracle.py", "streams/test_requests.py",
    "end_to_end/test_commands.py", "streams/test_publish_killed.py", "audit/test_tampers.py",
    "streams/test_worker.py", "audit/test_packets.py", "streams/test_folding.py", "feeds/test_webhooks.py",
    "gateway/test_killed.py", "local/test_three_brokers.py", "streams/test_replay.py", "contracts/test_properties.py",
    "streams/test_keys.py", "end_to_end/test_bad_input.py", "oracle/test_settlement.py", "end_to_end/test_settled.py",
    "end_to_end/test_stores_away.py", "streams/test_employer_requests.py", "streams/test_relay.py",
    "feeds/test_channels.py", "oracle/test_metrics.py", "streams/test_intake_killed.py", "gateway/test_openapi.py",
    "streams/test_every_sample.py", "house/test_time_zones.py", "generate/test_written_as.py",
    "contracts/test_seven_properties.py",
)  # fmt: skip
"""Files that take most time, the longest first, as `--durations=100` tells; only the order of a run depends on it."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes the platform fixture by itself, so that `-m "not platform"` is always right, and sort."""
    for item in items:
        if "platform" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.platform)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        items.sort(key=_cost)
        return
    dearest: dict[Path, int] = {}
    for item in items:
        dearest[item.path] = max(dearest.get(item.path, 0), _cost(item))
    places = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (places.get(item.path, len(places)), -dearest[item.path]))


def _cost(item: pytest.Item) -> int:
    return 2 if item.get_closest_marker("chaos") else 1 if item.get_closest_marker("platform") else 0
