"""What an employer owes since money last moved: for its people, by price and without naming any; and by settlements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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


_SETTLED = """
    SELECT s.period, s.kind, sum(s.amount_cents)::bigint AS cents, max(s.log_offset) AS through,
           (array_agg(r.period ORDER BY s.log_offset DESC))[1] AS number,
           (array_agg(r.run ORDER BY s.log_offset DESC))[1] AS run,
           NOT EXISTS (SELECT FROM settlement_payment b WHERE b.payer = $1 AND b.plan = $2 AND b.period = s.period
                                                        AND b.log_offset <= $3) AS new
      FROM settlement_payment s JOIN request r USING (payer, request_id)
     WHERE s.payer = $1 AND s.plan = $2 AND s.log_offset > $3
     GROUP BY s.period, s.kind ORDER BY s.period, s.kind
"""


@dataclass(slots=True)
class MovedPeriod:
    """What was moved for a period since: cents by kind, by which run it was last settled, and whether it is new."""

    number: int
    run: str
    new: bool
    cents: dict[str, int] = field(default_factory=dict)


async def settled(connection: Any, payer: str, plan: str, since: int) -> tuple[list[MovedPeriod], int] | None:
    """What settlements of a plan moved behind an offset of the payer's requests, and how far that is.

    None while a request waits: its answer would come behind that.
    """
    if await connection.fetchval("SELECT 1 FROM request WHERE payer = $1 AND status = 'waiting' LIMIT 1", payer):
        return None
    found: dict[str, MovedPeriod] = {}
    through = since
    for row in await connection.fetch(_SETTLED, payer, plan, since):
        one = found.setdefault(row["period"], MovedPeriod(row["number"], row["run"], row["new"]))
        one.cents[row["kind"]] = row["cents"]
        through = max(through, row["through"])
    return list(found.values()), through
