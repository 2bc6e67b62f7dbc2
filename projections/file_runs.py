"""Which files were taken in, and what became of their rows."""

from __future__ import annotations

import json
from typing import Any

_COLUMNS = """
    SELECT run_id, payer, plan, format, shift_years, rows_read, rows_accepted, rows_duplicate, rows_rejected, exact,
           complete, started_at, finished_at, quality
      FROM file_run
"""


async def file_run(database: Any, run_id: str) -> dict[str, Any] | None:
    """One run."""
    row = await database.fetchrow(f"{_COLUMNS} WHERE run_id = $1", run_id)
    return _as_document(row) if row else None


async def file_runs(database: Any, payer: str | None, plan: str | None, most: int) -> list[dict[str, Any]]:
    """The last runs, newest first."""
    rows = await database.fetch(
        f"""
        {_COLUMNS}
         WHERE ($1::text IS NULL OR payer = $1) AND ($2::text IS NULL OR plan = $2)
         ORDER BY started_at DESC, run_id LIMIT $3
        """,
        payer,
        plan,
        most,
    )
    return [_as_document(row) for row in rows]


def _as_document(row: Any) -> dict[str, Any]:
    return dict(row) | {"quality": json.loads(row["quality"]) if row["quality"] else None}


async def broken_off(database: Any, payer: str, plan: str, content: str) -> str | None:
    """The last run of the same bytes, if it broke off: it is the one to go on with."""
    row = await database.fetchrow(
        """
        SELECT run_id, complete FROM file_run WHERE payer = $1 AND plan = $2 AND content = $3
         ORDER BY started_at DESC LIMIT 1
        """,
        payer,
        plan,
        content,
    )
    return None if row is None or row["complete"] else str(row["run_id"])
