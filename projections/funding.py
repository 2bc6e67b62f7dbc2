"""What an employer owes for its people since money last moved: by price, and by person without naming any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.disclosure_figures import Contributors
from contracts.disclosure_money import Priced

_OWED = """
    WITH cut AS (SELECT * FROM unnest($3::int[], $4::bigint[], $5::bigint[]) c (partition, since, next_offset)),
    owed AS (
        SELECT p.member, p.kind, abs(p.amount_cents) AS price, sign(p.amount_cents)::int AS units
          FROM payment p JOIN cut c USING (partition)
         WHERE p.payer = $1 AND p.plan = $2 AND p.member <> '' AND p.amount_cents <> 0
           AND p.log_offset >= c.since AND p.log_offset < c.next_offset
    )
    SELECT grouping(member) = 0 AS person, kind, price, sum(units)::int AS units, sum(price * units)::bigint AS cents
      FROM owed
     GROUP BY GROUPING SETS ((kind, price), (member))
     ORDER BY person, kind, price, abs(sum(price * units)) DESC
"""


async def owed(
    connection: Any, payer: str, plan: str, since: Mapping[int, int], cut: Mapping[int, int]
) -> tuple[list[Priced], Contributors]:
    """Payments and reversals of people between two cuts (next offset by partition), and who is behind them."""
    parts = sorted(cut)
    arguments = payer, plan, parts, [since.get(part, 0) for part in parts], [cut[part] for part in parts]
    rows = await connection.fetch(_OWED, *arguments)
    priced = [Priced(row["kind"], row["price"], row["units"]) for row in rows if not row["person"]]
    people = [abs(row["cents"]) for row in rows if row["person"] and row["cents"]]
    largest, second = (*people[:2], 0, 0)[:2]
    return priced, Contributors(len(people), largest, second)
