"""What is held under one member's token, as far as the transaction's tenant may see it."""

from __future__ import annotations

from typing import Any

from contracts.recoupment_risk import KIND as WARNING
from projections.warnings import at_risk


async def member_shown(database: Any, member: str) -> dict[str, Any]:
    """Facts by type, episodes as they are now, every payment, and paid months at risk.

    Run it in a tenant's transaction (tenancy.py).
    """
    facts = await database.fetch(
        "SELECT type, count(*) FROM fact WHERE member = $1 GROUP BY type ORDER BY type", member
    )
    episodes = await database.fetch(
        """
        SELECT episode_id::text, contract, started_on::text, ends_on::text, performance_period, cancer_type, status,
               included, practice, version
          FROM episode WHERE member = $1 AND to_offset IS NULL ORDER BY started_on, episode_id
        """,
        member,
    )
    payments = await database.fetch(
        """
        SELECT payment_id::text, kind, amount_cents, episode_id::text, practice, period, effective_on::text,
               reverses::text
          FROM payment WHERE member = $1 AND kind <> $2 ORDER BY sequence, payment_id
        """,
        member,
        WARNING,
    )
    return {
        "facts": {row[0]: row[1] for row in facts},
        "episodes": [dict(row) for row in episodes],
        "payments": [dict(row) for row in payments],
        "at_risk": [one async for one in at_risk(database, member=member)],
    }
