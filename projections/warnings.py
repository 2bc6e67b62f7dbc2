"""Paid months at risk: warnings that stand, each with what would come back and why. No warning is a payment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec

from contracts.recoupment_risk import KIND
from projections.positions import NOW, AsOf, columns, each, position

_QUESTION = """
    WITH cut AS (SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[]) c (payer, partition, next_offset))
    SELECT p.payment_id, p.payer, p.plan, p.contract, p.member, p.episode_id, p.practice, p.period, p.effective_on,
           p.cause, p.partition, p.log_offset, p.event
      FROM payment p
      LEFT JOIN cut c ON c.payer = p.payer AND c.partition = p.partition
     WHERE p.kind = $4 AND p.reverses IS NULL AND (c.next_offset IS NULL OR p.log_offset < c.next_offset)
       AND ($5::text IS NULL OR p.payer = $5)
       AND ($6::text IS NULL OR p.member = $6)
       AND ($7::uuid IS NULL OR p.episode_id = $7)
       AND ($8::text IS NULL OR p.practice = $8)
       AND NOT EXISTS (SELECT FROM payment r
                        WHERE r.payer = p.payer AND r.member = p.member AND r.reverses = p.payment_id
                          AND (c.next_offset IS NULL OR r.log_offset < c.next_offset))
     ORDER BY p.payer, p.plan, p.practice, p.member, p.sequence
"""


class _Data(msgspec.Struct):
    at_risk_cents: int
    reason: str


class _Event(msgspec.Struct):
    data: _Data


_read = msgspec.json.Decoder(_Event).decode


async def at_risk(
    connection: Any,
    payer: str | None = None,
    member: str | None = None,
    episode_id: str | None = None,
    practice: str | None = None,
    as_of: AsOf = NOW,
) -> AsyncIterator[dict[str, Any]]:
    """Every paid month that would come back as things stand, by practice; `explain` takes a `warning_id`."""
    of = None if episode_id is None else UUID(episode_id)
    arguments = [*columns(await as_of.cut(connection)), KIND, payer, member, of, practice]
    async for row in each(connection, _QUESTION, arguments):
        said = _read(row["event"]).data
        yield {
            "warning_id": str(row["payment_id"]),
            "payer": row["payer"],
            "plan": row["plan"],
            "contract": row["contract"],
            "practice": row["practice"] or None,
            "member": row["member"],
            "episode_id": None if row["episode_id"] is None else str(row["episode_id"]),
            "period": row["period"],
            "service_on": row["effective_on"].isoformat(),
            "at_risk_cents": said.at_risk_cents,
            "reason": said.reason,
            "cause": str(row["cause"]),
            "position": position(row),
        }
