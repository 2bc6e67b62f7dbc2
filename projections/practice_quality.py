"""A practice's quality as its settlements told it: the statement of the last run of each period."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from projections.tenancy import Tenant, seen_by


class Settled(NamedTuple):
    """One period's run, and its statement for the practice."""

    plan: str
    contract: str
    period: int
    run: str
    statement: dict[str, Any]


async def settled_quality(connection: Any, payer: str, practice: str) -> list[Settled]:
    """By plan and period, from the rows that the practice's own role may read."""
    async with seen_by(connection, Tenant("practice", payer, practice=practice)):
        rows = await connection.fetch(
            """
            SELECT plan, statement FROM settlement
             WHERE payer = $1 AND practice = $2 AND statement IS NOT NULL ORDER BY log_offset
            """,
            payer,
            practice,
        )
    last: dict[tuple[str, int], Settled] = {}
    for row in rows:
        told = orjson.loads(row["statement"])
        last[row["plan"], told["period"]] = Settled(row["plan"], told["contract"], told["period"], told["run"], told)
    return [last[key] for key in sorted(last)]
