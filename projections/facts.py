"""Which facts the log is known to have, by id; and which members turned out to be one person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


async def digests_of(database: Any, payer: str, at: Sequence[tuple[int, str]]) -> dict[str, str]:
    """The content's digest of each of these (log partition, event id) that has been taken in."""
    rows = await database.fetch(
        """
        SELECT f.event_id::text, f.digest
          FROM unnest($2::int[], $3::text[]::uuid[]) AS asked (partition, event_id)
          JOIN fact f ON f.partition = asked.partition AND f.payer = $1 AND f.event_id = asked.event_id
        """,
        payer,
        [partition for partition, _ in at],
        [event_id for _, event_id in at],
    )
    return {row[0]: row[1] for row in rows}


async def retired_among(database: Any, payer: str, members: Sequence[str]) -> set[str]:
    """Which of these members were retired in favour of another."""
    rows = await database.fetch(
        "SELECT member FROM fact WHERE payer = $1 AND member = ANY($2::text[]) AND type = 'carepact.MemberRetired.v1'",
        payer,
        list(members),
    )
    return {row[0] for row in rows}


async def links_asked_for(database: Any, payer: str) -> list[tuple[str, str]]:
    """Links of a payer's members that were asked for: who stays, and who is to be retired; the first asked first."""
    rows = await database.fetch(
        """
        SELECT DISTINCT ON (data->>'survivor', data->>'retired') data->>'survivor', data->>'retired', log_offset
          FROM operation WHERE payer = $1 AND type = 'carepact.MemberLinkRequested.v1'
         ORDER BY data->>'survivor', data->>'retired', log_offset
        """,
        payer,
    )
    return [(row[0], row[1]) for row in sorted(rows, key=lambda row: row[2])]
