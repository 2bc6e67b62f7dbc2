"""What was released to an employer: its releases, and the figures of one, as its own role may read them."""

from __future__ import annotations

from datetime import date
from typing import Any, NamedTuple

from projections.tenancy import Tenant, seen_by


class Release(NamedTuple):
    """One release of a plan, by its number; `from_on` begins the period that was new in it."""

    ordinal: int
    window_on: date
    from_on: date
    through_on: date


async def releases(connection: Any, payer: str, plan: str) -> list[Release]:
    """Every release of a plan, the newest first."""
    async with seen_by(connection, Tenant("employer", payer, plan)):
        rows = await connection.fetch(
            """
            SELECT ordinal, window_on, from_on, through_on FROM employer_release
             WHERE payer = $1 AND plan = $2 ORDER BY ordinal DESC
            """,
            payer,
            plan,
        )
    return [Release(*row) for row in rows]


async def figures(connection: Any, payer: str, plan: str, ordinal: int) -> list[bytes]:
    """The events of one release, byte for byte, in the order they were sent."""
    async with seen_by(connection, Tenant("employer", payer, plan)):
        rows = await connection.fetch(
            "SELECT event FROM employer_outcome WHERE payer = $1 AND plan = $2 AND ordinal = $3 ORDER BY number",
            payer,
            plan,
            ordinal,
        )
    return [row["event"] for row in rows]
