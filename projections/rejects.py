"""Which records could not be taken in, where they were, why, and what became of them since."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

OPEN, RETRIED, DROPPED = "open", "retried", "dropped"

_COLUMNS = """
    SELECT r.reject_id, r.payer, r.plan, r.code, r.reason, r.remedy, r.place_file, r.place_line, r.place_field,
           r.rows, r.topic, r.partition, r.log_offset, r.event_id, r.known_at,
           coalesce(d.status, 'open') AS status, d.why, d.by
      FROM reject r LEFT JOIN reject_resolution d USING (reject_id)
"""
COUNT_OPEN = """
    SELECT count(*) AS counted FROM reject r
     WHERE NOT EXISTS (SELECT FROM reject_resolution d WHERE d.reject_id = r.reject_id)
"""


async def rejects(database: Any, payer: str | None = None, status: str | None = None) -> AsyncIterator[dict[str, Any]]:
    """The rejects, oldest first. A conflict's place is its position in the log."""
    async with database.transaction(readonly=True):
        async for row in database.cursor(
            f"""
            {_COLUMNS}
             WHERE ($1::text IS NULL OR r.payer = $1) AND ($2::text IS NULL OR coalesce(d.status, 'open') = $2)
             ORDER BY r.known_at, r.topic, r.partition, r.log_offset, r.reject_id
            """,
            payer,
            status,
        ):
            yield _as_document(row)


async def rejects_after(
    database: Any,
    payer: str | None,
    plan: str | None,
    status: str | None,
    code: str | None,
    after: UUID | None,
    most: int,
) -> list[dict[str, Any]]:
    """A page of the rejects, oldest first: those behind the one named, or the first."""
    rows = await database.fetch(
        f"""
        {_COLUMNS}
         WHERE ($1::text IS NULL OR r.payer = $1) AND ($2::text IS NULL OR r.plan = $2)
           AND ($3::text IS NULL OR coalesce(d.status, 'open') = $3) AND ($4::text IS NULL OR r.code = $4)
           AND ($5::uuid IS NULL OR (r.known_at, r.reject_id) >
                (SELECT known_at, reject_id FROM reject WHERE reject_id = $5))
         ORDER BY r.known_at, r.reject_id LIMIT $6
        """,  # noqa: S608 - our own columns
        payer, plan, status, code, after, most,
    )  # fmt: skip
    return [_as_document(row) for row in rows]


async def rejects_named(database: Any, ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Those of these ids that there are, in the order in which they were refused."""
    rows = await database.fetch(
        f"{_COLUMNS} WHERE r.reject_id = ANY($1::uuid[]) ORDER BY r.known_at, r.topic, r.partition, r.log_offset",
        list(ids),
    )
    return [_as_document(row) for row in rows]


def _as_document(row: Any) -> dict[str, Any]:
    return {
        "reject_id": str(row["reject_id"]),
        "payer": row["payer"],
        "plan": row["plan"],
        "status": row["status"],
        "code": row["code"],
        "file": row["place_file"] or None,
        "line": row["place_line"] if row["place_file"] else None,
        "field": row["place_field"] or None,
        "reason": row["reason"],
        "remedy": row["remedy"],
        "rows": row["rows"],
        "event_id": str(row["event_id"]) if row["event_id"] else None,
        "topic": row["topic"],
        "partition": row["partition"],
        "offset": row["log_offset"],
        "known_at": row["known_at"].isoformat().replace("+00:00", "Z"),
        "why": row["why"],
        "by": row["by"],
    }
