"""The 837 of the intake benchmark is valid, and each reader finds its claims."""

from __future__ import annotations

import pytest

from bench import large
from bench import x12 as bench


@pytest.mark.parametrize("claims", [0, 1, 30])
def test_every_reader_finds_every_claim(claims: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "CLAIMS_IN_SET", 20)
    parts = list(bench.written(claims))
    assert len(parts) == 2 + -(-claims // 20)
    assert bench.read(parts).claims == claims
    if claims:
        text = b"".join(parts)
        assert bench.read_by_pyx12(text).claims == bench.validated_by_pyx12(text).claims == claims
        assert bench.read(parts, "full").claims == claims


def test_a_file_goes_through_the_reader_and_the_door_whole() -> None:
    held = large.taken(0.05)
    assert (held.claims, 40_000 < held.file_bytes < 60_000) == (119, True)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_a_large_837_needs_no_more_memory_than_a_small_one() -> None:
    """A gigabyte is measured by `carepact bench large`; what outgrows memory would show here."""
    assert large.run(300).peak_bytes < 256_000_000
