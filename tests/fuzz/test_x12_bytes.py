"""No bytes make the X12 reader fall over, say what was in them, or read otherwise when they come in other pieces."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.x12 import written
from formats import x12
from tests.fuzz.x12_bytes import FOUND, holds

FILES = sorted(FOUND.iterdir())
SECONDS = os.environ.get("CAREPACT_FUZZ_SECONDS", "120")
GIGABYTE, MOST_BYTES = 1_000_000_000, 256_000_000
ODD = (
    b"",
    b"~",
    b"*",
    b":",
    b"\x00",
    b"\xff\xfe",
    b"\n",
    b"99999999",
    b"-1",
    b"1e9",
    b"HL",
    b"CLM*",
    b"ISA",
    b"NM1*IL*1",
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_corpus_broken_at_random_holds(data: st.DataObject) -> None:
    sent = bytearray(data.draw(st.sampled_from(FILES)).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(1, len(sent)))
        cut = data.draw(st.integers(0, 20))
        sent[at : at + cut] = data.draw(st.sampled_from(ODD) | st.binary(max_size=8))
    holds(bytes(sent))


@pytest.mark.long
@pytest.mark.timeout(7_200)
@pytest.mark.skipif(sys.platform != "linux", reason="atheris has no wheel here")
def test_bytes_are_looked_for_that_do_not_hold(tmp_path: Path) -> None:
    """For `CAREPACT_FUZZ_SECONDS`, two minutes by default. What fails is left in the folder that pytest names."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.x12_bytes", SECONDS, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr[-4_000:]


def pieces(size: int) -> Iterator[bytes]:
    """A file of at least so many bytes, made as it is read."""
    for part in written(size // 400):
        for at in range(0, len(part), 65_536):
            yield part[at : at + 65_536]


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_a_gigabyte_is_read_in_bounded_memory() -> None:
    """By another process, so that nothing before it counts: about two minutes."""
    script = "from tests.fuzz.test_x12_bytes import read_gigabyte; read_gigabyte()"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    claims, size, peak = map(int, told.stdout.split())
    assert (claims, size >= GIGABYTE, peak < MOST_BYTES) == (GIGABYTE // 400, True, True), told.stdout


def read_gigabyte() -> None:
    """Prints claims, bytes read, and the most memory the process had."""
    size = 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for piece in pieces(GIGABYTE):
            size += len(piece)
            yield piece

    claims = sum(1 for _ in x12.read(counted(), "claims.837"))
    print(claims, size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
