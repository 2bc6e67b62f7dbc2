"""What searches for odd bytes have found, and seeds by hand: the rules hold of each, in every run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fuzz import cms_bytes, cursor_bytes, json_bytes, table_bytes, x12_bytes
from tests.fuzz.looking import seeds


@pytest.mark.parametrize(
    ("corpus", "holds", "least"),
    [
        ("x12", x12_bytes.holds, 250),
        ("cms", cms_bytes.holds, 300),
        ("tables", table_bytes.holds, 300),
        ("json", json_bytes.holds, 100),
        ("cursors", cursor_bytes.holds, 2),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_was_found_once_holds(corpus: str, holds: Callable[[bytes], None], least: int) -> None:
    kept = seeds(corpus)
    assert len(kept) >= least
    for name, sent in kept:
        try:
            holds(sent)
        except Exception as error:
            raise AssertionError(f"{name} of {corpus} does not hold") from error
