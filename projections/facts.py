"""Which facts the log is known to have, by id."""

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
