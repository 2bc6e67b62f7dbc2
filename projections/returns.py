"""Which returns to work there are: the version in force, or the one that was as of a point in the log.

For operators: what is known of one person at work leaves the platform only with the person's authorization.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

from projections.positions import NOW, AsOf, columns, each, position

_QUESTION = """
    WITH cut AS (SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[]) c (payer, partition, next_offset))
    SELECT r.*
      FROM return_to_work r
      LEFT JOIN cut c ON c.payer = r.payer AND c.partition = r.partition
     WHERE (c.next_offset IS NULL OR r.from_offset < c.next_offset)
       AND (r.to_offset IS NULL OR r.to_offset >= c.next_offset)
       AND ($4::text IS NULL OR r.payer = $4)
       AND ($5::text IS NULL OR r.member = $5)
       AND ($6::date IS NULL OR r.absence_on <= $6)
     ORDER BY r.payer, r.plan, r.member, r.absence_on, r.episode_id
"""
DAYS = ("absence_on", "partial_on", "returned_on", "confirmed_on", "lapsed_on", "ended_on")


async def returns(
    connection: Any, payer: str | None = None, member: str | None = None, as_of: AsOf = NOW, on: date | None = None
) -> AsyncIterator[dict[str, Any]]:
    """The returns known, by payer, plan, member and day of absence.

    `on` leaves absences that had begun by a day.
    """
    arguments = [*columns(await as_of.cut(connection)), payer, member, on]
    async for row in each(connection, _QUESTION, arguments):
        yield {
            "episode_id": str(row["episode_id"]),
            "payer": row["payer"],
            "plan": row["plan"],
            "contract": row["contract"],
            "member": row["member"],
            "eligible": row["eligible"],
            "status": row["status"],
            "competing_cause": row["competing_cause"],
            **{name: row[name].isoformat() if row[name] else None for name in DAYS},
            "held_days": row["held_days"],
            "duty": row["duty"] or None,
            "conflict": row["conflict"],
            "version": row["version"],
            "cause": str(row["cause_event_id"]),
            "position": position(row, "from_offset"),
        }
