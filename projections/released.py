"""What was released to an employer: its releases, the figures of one, as its own role may read them, and its drafts."""

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


class Draft(NamedTuple):
    """What was told of a draft of a plan's terms; no amount where the disclosure gate withheld it."""

    ordinal: int
    sheet_version: str
    sheet_digest: str
    amount_cents: int | None


async def drafts(connection: Any, payer: str, plan: str, kind: str) -> list[Draft]:
    """Every draft of a plan that was priced, the newest first, by acts of a `kind`; for the platform's own reader."""
    rows = await connection.fetch(
        """
        SELECT (data->>'ordinal')::int, data->>'sheet_version', data->>'sheet_digest',
               (data->>'amount_cents')::bigint
          FROM operation WHERE payer = $1 AND plan = $2 AND type = $3 ORDER BY log_offset DESC
        """,
        payer,
        plan,
        kind,
    )
    return [Draft(*row) for row in rows]
