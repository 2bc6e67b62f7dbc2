"""Which episodes there are: the version in force, or the one that was as of a point in the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

from projections.positions import NOW, AsOf, columns, each, position

_QUESTION = """
    WITH cut AS (SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[]) c (payer, partition, next_offset))
    SELECT e.episode_id, e.payer, e.plan, e.contract, e.member, e.cancer_type, e.started_on, e.ends_on,
           e.performance_period, e.status, e.void_reason, e.included, e.exclusion, e.practice, e.opened_by, e.version,
           e.closed, e.partition, e.from_offset, e.cause_event_id, coalesce(s.total_cents, 0) AS expenditure_cents
      FROM episode e
      LEFT JOIN cut c ON c.payer = e.payer AND c.partition = e.partition
      LEFT JOIN LATERAL (
           SELECT total_cents FROM episode_spend s
            WHERE s.episode_id = e.episode_id AND (c.next_offset IS NULL OR s.log_offset < c.next_offset)
            ORDER BY s.log_offset DESC LIMIT 1) s ON true
     WHERE (c.next_offset IS NULL OR e.from_offset < c.next_offset)
       AND (e.to_offset IS NULL OR e.to_offset >= c.next_offset)
       AND ($4::text IS NULL OR e.payer = $4)
       AND ($5::text IS NULL OR e.member = $5)
       AND ($6::uuid IS NULL OR e.episode_id = $6)
       AND ($7::date IS NULL OR $7 BETWEEN e.started_on AND e.ends_on)
     ORDER BY e.payer, e.plan, e.member, e.started_on, e.version
"""


async def episodes(
    connection: Any,
    payer: str | None = None,
    member: str | None = None,
    episode_id: str | None = None,
    as_of: AsOf = NOW,
    on: date | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """The episodes known, by payer, plan, member and start; `expenditure_cents` is as of the same point.

    `on` leaves those that run on a day of service, whenever they became known.
    """
    arguments = [*columns(await as_of.cut(connection)), payer, member, episode_id, on]
    async for row in each(connection, _QUESTION, arguments):
        yield {
            "episode_id": str(row["episode_id"]),
            "payer": row["payer"],
            "contract": row["contract"],
            "member": row["member"],
            "cancer_type": row["cancer_type"] or None,
            "started_on": row["started_on"].isoformat(),
            "ends_on": row["ends_on"].isoformat(),
            "performance_period": row["performance_period"],
            "status": row["status"],
            "included": row["included"],
            "expenditure_cents": row["expenditure_cents"],
            "practice": row["practice"] or None,
            "opened_by": row["opened_by"] or None,
            "version": row["version"],
            "plan": row["plan"],
            "void_reason": row["void_reason"] or None,
            "exclusion": row["exclusion"] or None,
            "closed": row["closed"],
            "cause": str(row["cause_event_id"]),
            "position": position(row, "from_offset"),
        }
