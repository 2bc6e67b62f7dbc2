"""What is held under one member's token, as far as the transaction's tenant may see it."""

from __future__ import annotations

from datetime import date
from typing import Any

from contracts.recoupment_risk import KIND as WARNING
from projections.positions import NOW, AsOf, columns
from projections.warnings import at_risk

_FACTS = """
    WITH cut AS (SELECT * FROM unnest($2::text[], $3::int[], $4::bigint[]) c (payer, partition, next_offset))
    SELECT f.type, count(*)
      FROM fact f LEFT JOIN cut c ON c.payer = f.payer AND c.partition = f.partition
     WHERE f.member = $1 AND (c.next_offset IS NULL OR f.log_offset < c.next_offset)
     GROUP BY f.type ORDER BY f.type
"""
_EPISODES = """
    WITH cut AS (SELECT * FROM unnest($2::text[], $3::int[], $4::bigint[]) c (payer, partition, next_offset))
    SELECT e.episode_id::text, e.contract, e.started_on::text, e.ends_on::text, e.performance_period, e.cancer_type,
           e.status, e.included, e.practice, e.version
      FROM episode e LEFT JOIN cut c ON c.payer = e.payer AND c.partition = e.partition
     WHERE e.member = $1
       AND (c.next_offset IS NULL OR e.from_offset < c.next_offset)
       AND (e.to_offset IS NULL OR e.to_offset >= c.next_offset)
       AND ($5::date IS NULL OR $5 BETWEEN e.started_on AND e.ends_on)
     ORDER BY e.started_on, e.episode_id
"""
_PAYMENTS = """
    WITH cut AS (SELECT * FROM unnest($2::text[], $3::int[], $4::bigint[]) c (payer, partition, next_offset))
    SELECT p.payment_id::text, p.kind, p.amount_cents, p.episode_id::text, p.practice, p.period, p.effective_on::text,
           p.reverses::text
      FROM payment p LEFT JOIN cut c ON c.payer = p.payer AND c.partition = p.partition
     WHERE p.member = $1 AND p.kind <> $6
       AND (c.next_offset IS NULL OR p.log_offset < c.next_offset)
       AND ($5::date IS NULL OR p.effective_on <= $5)
     ORDER BY p.sequence, p.payment_id
"""


async def member_shown(database: Any, member: str, as_of: AsOf = NOW, on: date | None = None) -> dict[str, Any]:
    """Facts by type, episodes, payments and paid months at risk, now or as of a point in the log.

    `on` leaves episodes that run on a day of service and payments effective through it. Run it in a tenant's
    transaction (tenancy.py), whose role may not ask where a time is in the log: `AsOf.placed` says so before.
    """
    cut = columns(await as_of.cut(database))
    return {
        "facts": {row[0]: row[1] for row in await database.fetch(_FACTS, member, *cut)},
        "episodes": [dict(row) for row in await database.fetch(_EPISODES, member, *cut, on)],
        "payments": [dict(row) for row in await database.fetch(_PAYMENTS, member, *cut, on, WARNING)],
        "at_risk": [one async for one in at_risk(database, member=member, as_of=as_of)],
    }
