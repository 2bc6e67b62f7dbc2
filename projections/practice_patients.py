"""A practice's patients: the episodes attributed to it now, the months paid for them, and where their facts stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any
from uuid import UUID

import orjson

_EPISODES = """
    SELECT episode_id, member, partition, started_on, ends_on, cancer_type, status, void_reason, exclusion,
           performance_period
      FROM episode
     WHERE payer = $1 AND practice = $2 AND to_offset IS NULL AND status <> 'cancelled'
       AND ($3::date IS NULL OR ends_on >= $3) AND ($4::date IS NULL OR started_on <= $4)
       AND ($5::int IS NULL OR performance_period = $5)
     ORDER BY member, started_on
"""
_PAID = """
    SELECT episode_id, period FROM payment
     WHERE payer = $1 AND episode_id = ANY($2::uuid[]) AND kind = $3
     GROUP BY episode_id, period HAVING sum(amount_cents) <> 0
"""
_FACTS = """
    SELECT partition, log_offset FROM fact
     WHERE payer = $1 AND member = ANY($2::text[]) AND type = ANY($3::text[])
     ORDER BY partition, log_offset
"""
_BROADCASTS = """
    SELECT partition, log_offset FROM fact
     WHERE payer = $1 AND member = '' AND partition = 0 AND type = ANY($2::text[])
     ORDER BY log_offset
"""


async def episodes_of(
    connection: Any,
    payer: str,
    practice: str,
    first: date | None = None,
    last: date | None = None,
    period: int | None = None,
) -> list[Any]:
    """The practice's episodes, by member and start; with days those that run on any of them."""
    rows: list[Any] = await connection.fetch(_EPISODES, payer, practice, first, last, period)
    return rows


async def paid_months(
    connection: Any, payer: str, episodes: Iterable[UUID], kind: str = "MEOS"
) -> dict[UUID, frozenset[str]]:
    """By episode, the months whose payment is in force."""
    found: dict[UUID, set[str]] = {}
    for row in await connection.fetch(_PAID, payer, list(episodes), kind):
        found.setdefault(row["episode_id"], set()).add(row["period"])
    return {episode: frozenset(months) for episode, months in found.items()}


async def places_of(connection: Any, payer: str, members: Sequence[str], types: Iterable[str]) -> list[tuple[int, int]]:
    """(partition, offset) of the members' facts of some types, in the order of the log."""
    rows = await connection.fetch(_FACTS, payer, sorted(set(members)), sorted(types))
    return [(row["partition"], row["log_offset"]) for row in rows]


async def broadcast_places(connection: Any, payer: str, types: Iterable[str]) -> list[tuple[int, int]]:
    """The same of facts about no one member, as one partition has them."""
    rows = await connection.fetch(_BROADCASTS, payer, sorted(types))
    return [(row["partition"], row["log_offset"]) for row in rows]


async def readiness_told(connection: Any, payer: str, practice: str, month: str) -> dict[str, Any] | None:
    """What a practice was told last of a month's readiness, and when; None: nothing."""
    row = await connection.fetchrow(
        """
        SELECT data, known_at FROM operation
         WHERE payer = $1 AND type = 'carepact.PracticeReadinessTold.v1' AND data ->> 'practice' = $2
           AND data ->> 'month' = $3
         ORDER BY log_offset DESC LIMIT 1
        """,
        payer,
        practice,
        month,
    )
    if row is None:
        return None
    told: dict[str, Any] = orjson.loads(row["data"])
    del told["by"]
    return {**told, "told_at": row["known_at"].isoformat(timespec="seconds")}
