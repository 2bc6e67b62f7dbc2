"""What a practice's episodes of a period come to, as of a cut: the answer to a reconciliation request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_QUESTION = """
    WITH cut AS (SELECT * FROM unnest($1::int[], $2::bigint[]) c (partition, next_offset)),
    known AS (
        SELECT e.episode_id, e.practice, e.status, e.included, e.partition, c.next_offset
          FROM episode e JOIN cut c USING (partition)
         WHERE e.payer = $3 AND e.contract = $4 AND e.performance_period = $5
           AND e.from_offset < c.next_offset AND (e.to_offset IS NULL OR e.to_offset >= c.next_offset)
    ),
    counted AS (
        SELECT k.practice,
               count(*) FILTER (WHERE k.status = 'valid')                      AS episodes,
               count(*) FILTER (WHERE k.included)                              AS included,
               coalesce(sum(s.total_cents) FILTER (WHERE k.included), 0)::bigint AS expenditure_cents
          FROM known k
          LEFT JOIN LATERAL (
               SELECT total_cents FROM episode_spend s
                WHERE s.episode_id = k.episode_id AND s.log_offset < k.next_offset
                ORDER BY s.log_offset DESC LIMIT 1) s ON true
         GROUP BY k.practice
    ),
    paid AS (
        SELECT p.practice, sum(p.amount_cents)::bigint AS payments_cents
          FROM payment p JOIN known k USING (episode_id)
         WHERE p.log_offset < k.next_offset
         GROUP BY p.practice
    )
    SELECT practice, coalesce(episodes, 0) AS episodes, coalesce(included, 0) AS included,
           coalesce(expenditure_cents, 0) AS expenditure_cents, coalesce(payments_cents, 0) AS payments_cents
      FROM counted FULL JOIN paid USING (practice)
     ORDER BY practice
"""


@dataclass(frozen=True, slots=True)
class Settled:
    """One practice and period. Reversals are part of `payments_cents`; expenditure is that of counted episodes."""

    practice: str
    episodes: int
    included: int
    expenditure_cents: int
    payments_cents: int


async def settled(connection: Any, payer: str, contract: str, period: int, cut: Mapping[int, int]) -> list[Settled]:
    """By practice, from the versions and payments before the cut only. '' stands for no practice."""
    rows = await connection.fetch(_QUESTION, list(cut), list(cut.values()), payer, contract, period)
    return [Settled(**dict(row)) for row in rows if row["episodes"] or row["payments_cents"]]
