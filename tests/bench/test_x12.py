"""The 837 of the intake benchmark is valid, and each reader finds its claims."""

from __future__ import annotations

import pytest

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
