"""Where in a payer's log the surveys of its members stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SURVEY, RETIRED = "carepact.EproResponseReceived.v1", "carepact.MemberRetired.v1"


@dataclass(frozen=True, slots=True)
class SurveyAt:
    """The position of one survey in its payer's log."""

    partition: int
    offset: int
    member: str


async def partitions(database: Any) -> list[int]:
    """The partitions that facts were taken from."""
    rows = await database.fetch(
        "SELECT DISTINCT partition FROM consumer_offset WHERE consumer = 'contract' ORDER BY partition"
    )
    return [row["partition"] for row in rows]


async def surveys(database: Any, payer: str, partition: int, member: str | None = None) -> list[SurveyAt]:
    """Every survey of one partition, or of one of its members, in the order of the log.

    Those of a member who was retired were written again under the one who stays, and are left out.
    """
    rows = await database.fetch(
        """
        SELECT f.partition, f.log_offset, f.member
          FROM fact f
         WHERE f.payer = $1 AND f.partition = $2 AND f.type = $4 AND ($3::text IS NULL OR f.member = $3)
           AND NOT EXISTS (SELECT FROM fact r WHERE r.payer = $1 AND r.partition = $2 AND r.member = f.member
                                                AND r.type = $5)
         ORDER BY f.log_offset
        """,
        payer,
        partition,
        member,
        SURVEY,
        RETIRED,
    )
    return [SurveyAt(row["partition"], row["log_offset"], row["member"]) for row in rows]
