"""A practice reads its own last settlement of a period, of either run or of one, as the role of practices."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest

from carepact.local.platform import LocalPlatform
from carepact.local.postgres import READER
from projections.settlements import SETTLEMENT, latest, packed
from projections.tenancy import Tenant, seen_by

pytestmark = pytest.mark.platform


def row(practice: str, offset: int, period: int, run: str) -> tuple[Any, ...]:
    told = {"period": period, "run": run, "n": offset}
    pack = packed({"of": offset})[1]
    return ("medicare", f"r{offset}", practice, uuid4(), offset, b"{}", orjson.dumps(told), pack, "")


async def test_the_last_settlement_is_found_by_period_and_run(
    platform: LocalPlatform, space: str, fresh_database: str
) -> None:
    owner = await asyncpg.connect(fresh_database)
    rows = [
        row("P1", 1, 3, "initial"), row("P1", 2, 3, "true-up"), row("P1", 3, 4, "initial"), row("P2", 4, 3, "initial"),
    ]  # fmt: skip
    await owner.copy_records_to_table("settlement", records=rows, columns=SETTLEMENT)
    await owner.close()
    reader = await asyncpg.connect(platform.dsn(READER, space))
    try:
        async with seen_by(reader, Tenant("practice", "medicare", "", "P1")):
            found = [
                await latest(reader, "medicare", *asked)
                for asked in (("P1", 3), ("P1", 3, "initial"), ("P1", 5), ("P2", 3))
            ]
    finally:
        await reader.close()
    assert [one and (one[0]["n"], one[1]) for one in found] == [(2, {"of": 2}), (1, {"of": 1}), None, None]
