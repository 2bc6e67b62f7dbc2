"""A read as of a point that is none is refused before anything is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gateway.served import MEDICARE, app_of, client_of


@pytest.mark.parametrize(
    "told",
    ["soon", "3:x", "2026-01-31T12:00:00", "0001-01-01T00:00:00+14:00", "3:" + "9" * 30, "carepact.operations.v1/0:1"],
)
async def test_a_point_that_is_none_is_refused(told: str, tmp_path: Path) -> None:
    async with client_of(app_of(tmp_path, payer=MEDICARE), "payer") as client:
        answer = await client.get(f"/v1/members/{'a' * 26}", params={"as_of": told})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_as_of")
