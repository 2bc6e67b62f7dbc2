"""What each payer's contract has come to: facts taken in, episodes by standing, dollars by kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts.recoupment_risk import KIND as WARNING
from projections.warnings import at_risk


@dataclass(frozen=True, slots=True)
class Kind:
    """Payments of one kind: how many were determined, how many reversed, and the cents left."""

    kind: str
    determined: int
    reversed: int
    net_cents: int


@dataclass(frozen=True, slots=True)
class Panel:
    """One payer. `members` are those with an episode in force, valid or void; `warned` are paid months at risk."""

    payer: str
    facts: int
    members: int
    valid: int
    included: int
    void: int
    kinds: tuple[Kind, ...]
    warned: int
    at_risk_cents: int


async def payer_panel(connection: Any, payer: str) -> Panel:
    """The panel of one payer, as of now."""
    facts = await connection.fetchval("SELECT count(*) FROM fact WHERE payer = $1", payer)
    episodes = await connection.fetchrow(
        """
        SELECT count(DISTINCT member)                         AS members,
               count(*) FILTER (WHERE status = 'valid')       AS valid,
               count(*) FILTER (WHERE included)               AS included,
               count(*) FILTER (WHERE status = 'void')        AS void
          FROM episode
         WHERE payer = $1 AND to_offset IS NULL AND status <> 'cancelled'
        """,
        payer,
    )
    kinds = await connection.fetch(
        """
        SELECT kind,
               count(*) FILTER (WHERE reverses IS NULL)     AS determined,
               count(*) FILTER (WHERE reverses IS NOT NULL) AS reversed,
               sum(amount_cents)::bigint                    AS net_cents
          FROM payment WHERE payer = $1 AND kind <> $2 GROUP BY kind ORDER BY kind
        """,
        payer,
        WARNING,
    )
    risks = [one["at_risk_cents"] async for one in at_risk(connection, payer)]
    return Panel(
        payer,
        facts,
        episodes["members"],
        episodes["valid"],
        episodes["included"],
        episodes["void"],
        tuple(Kind(row["kind"], row["determined"], row["reversed"], row["net_cents"]) for row in kinds),
        len(risks),
        sum(risks),
    )


async def payment_worth_explaining(connection: Any) -> str | None:
    """A payment in force that shows most: several lines, and a correction before it where there is one."""
    found = await connection.fetchval(
        """
        SELECT p.payment_id
          FROM payment p
         WHERE p.reverses IS NULL
           AND NOT EXISTS (SELECT 1 FROM payment r WHERE r.reverses = p.payment_id)
         ORDER BY (p.supersedes IS NOT NULL) DESC, p.amount_cents DESC, p.payment_id
         LIMIT 1
        """
    )
    return None if found is None else str(found)
