"""No outcome depends on where the machine is: contracts, door, readers and clocks, byte for byte (seam 8)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ZONES = ("UTC", "Pacific/Kiritimati", "America/New_York")  # 14 hours before it, and where there is summer time


def outcomes(zone: str) -> bytes:
    """What a process in a time zone makes of everything."""
    environment = os.environ | {"TZ": zone, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.house.outcomes"],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout


def test_outcomes_are_the_same_in_every_time_zone() -> None:
    first, *others = (outcomes(zone).splitlines() for zone in ZONES)
    assert len(first) > 1_000
    for other in others:
        assert [] == [pair for pair in zip(first, other, strict=True) if pair[0] != pair[1]][:1]
