"""A month's card adds up its runs, and is compared with the month before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson

from projections.quality import quality

INSERT = """
    INSERT INTO file_run (run_id, payer, plan, format, shift_years, file_count, rows_read, rows_accepted,
                          rows_duplicate, rows_rejected, exact, complete, started_at, finished_at, log_offset, quality)
    VALUES ($1, $2, '', 'x12', 0, 1, $3, $4, $5, $6, true, $7, $8, $8, 0, $9::jsonb)
"""


async def test_a_month_is_told_beside_the_one_before(fresh_database: str) -> None:
    database = await asyncpg.connect(fresh_database)
    try:
        assert await quality(database, "medicare", None, None) is None
        card: dict[str, Any] = {"paid_cents": 500, "asked": {"claim.tin": 8}, "missing": {"claim.tin": 2}}
        card |= {"codes": {"diagnosis": 9}, "unknown": {"diagnosis": 3}}
        december, january = datetime(2025, 12, 31, 23, tzinfo=UTC), datetime(2026, 1, 31, 23, tzinfo=UTC)
        for name, payer, rows, complete, at, told in (
            ("before", "medicare", (100, 100, 0, 0), True, december, {"paid_cents": 1_000}),
            ("first", "medicare", (100, 40, 50, 10), True, datetime(2026, 1, 1, tzinfo=UTC), card),
            ("second", "medicare", (50, 50, 0, 0), True, january, None),
            ("broken", "medicare", (9, 9, 0, 0), False, january, None),
            ("other", "bcbs-sc", (9, 9, 0, 0), True, january, None),
        ):
            sent = orjson.dumps(told).decode() if told else None
            await database.execute(INSERT, name, payer, *rows, complete, at, sent)
        found = await quality(database, "medicare", None, None)
        assert found is not None
        assert (found["month"], found["runs"], found["read"]) == ("2026-01", 2, 150)
        assert (found["duplicate_share"], found["rejected_share"]) == ("0.3333", "0.0667")
        assert found["completeness"] == {"claim.tin": "0.7500"}
        assert found["unknown_share"] == {"diagnosis": "0.3333"}
        assert (found["rows_to_before"], found["paid_to_before"]) == ("1.5000", "0.5000")
        assert (found["before"]["runs"], found["before"]["paid_cents"]) == (1, 1_000)
        alone = await quality(database, "medicare", None, "2025-12")
        assert alone is not None
        assert (alone["before"], alone["rows_to_before"]) == (None, None)
    finally:
        await database.close()
