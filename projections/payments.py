"""What is owed: determinations and their exact reversals, in the order each member's were made.

Warnings of recoupments are no payments; they have a question of their own (warnings.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

from contracts.recoupment_risk import KIND as WARNING
from projections.positions import NOW, AsOf, columns, each, position

_QUESTION = """
    WITH cut AS (SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[]) c (payer, partition, next_offset))
    SELECT p.payment_id, p.payer, p.plan, p.contract, p.kind, p.amount_cents, p.member, p.episode_id, p.practice,
           p.period, p.effective_on, p.reverses, p.supersedes, p.cause, p.sequence, p.partition, p.log_offset,
           (SELECT coalesce(sum(r.amount_cents), 0)::bigint FROM remittance r
             WHERE r.payer = p.payer AND r.payment_id = p.payment_id::text
               AND (c.next_offset IS NULL OR r.partition <> p.partition OR r.log_offset < c.next_offset))
           AS remitted_cents
      FROM payment p
      LEFT JOIN cut c ON c.payer = p.payer AND c.partition = p.partition
     WHERE (c.next_offset IS NULL OR p.log_offset < c.next_offset)
       AND ($4::text IS NULL OR p.payer = $4)
       AND ($5::text IS NULL OR p.member = $5)
       AND ($6::uuid IS NULL OR p.episode_id = $6)
       AND p.kind <> $9 AND ($7::text IS NULL OR p.kind = $7)
       AND ($8::date IS NULL OR p.effective_on <= $8)
     ORDER BY p.payer, p.plan, p.member, p.sequence
"""


async def payments(
    connection: Any,
    payer: str | None = None,
    member: str | None = None,
    episode_id: str | None = None,
    kind: str | None = None,
    as_of: AsOf = NOW,
    on: date | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """All payments known; a reversal is a row of its own, so that the rows of an episode add up to what is owed.

    `on` leaves those that are effective by a day of service: they add up to what is owed for the time through it.
    """
    arguments = [*columns(await as_of.cut(connection)), payer, member, episode_id, kind, on, WARNING]
    async for row in each(connection, _QUESTION, arguments):
        yield {
            "payment_id": str(row["payment_id"]),
            "payer": row["payer"],
            "contract": row["contract"],
            "kind": row["kind"],
            "amount_cents": row["amount_cents"],
            "member": row["member"],
            "episode_id": _text(row["episode_id"]),
            "practice": row["practice"] or None,
            "period": row["period"],
            "effective_on": row["effective_on"].isoformat(),
            "reverses": _text(row["reverses"]),
            "supersedes": _text(row["supersedes"]),
            "cause": str(row["cause"]),
            "plan": row["plan"],
            "remitted_cents": row["remitted_cents"],
            "sequence": row["sequence"],
            "position": position(row),
        }


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
