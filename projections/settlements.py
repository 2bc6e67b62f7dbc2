"""Settlements: what a practice's episodes of a period come to as of a cut, what runs determined, their documents."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import orjson

from contracts.determining import Standing, ledger
from contracts.outcome import Payment

_QUESTION = """
    WITH cut AS (SELECT * FROM unnest($1::int[], $2::bigint[]) c (partition, next_offset)),
    known AS (
        SELECT e.episode_id, e.plan, e.practice, e.status, e.included, e.partition, c.next_offset
          FROM episode e JOIN cut c USING (partition)
         WHERE e.payer = $3 AND e.contract = $4 AND e.performance_period = $5
           AND e.from_offset < c.next_offset AND (e.to_offset IS NULL OR e.to_offset >= c.next_offset)
    ),
    counted AS (
        SELECT k.plan, k.practice,
               count(*) FILTER (WHERE k.status = 'valid')                      AS episodes,
               count(*) FILTER (WHERE k.included)                              AS included,
               coalesce(sum(s.total_cents) FILTER (WHERE k.included), 0)::bigint AS expenditure_cents
          FROM known k
          LEFT JOIN LATERAL (
               SELECT total_cents FROM episode_spend s
                WHERE s.episode_id = k.episode_id AND s.log_offset < k.next_offset
                ORDER BY s.log_offset DESC LIMIT 1) s ON true
         GROUP BY k.plan, k.practice
    ),
    paid AS (
        SELECT p.plan, p.practice, sum(p.amount_cents)::bigint AS payments_cents
          FROM payment p JOIN known k USING (episode_id)
         WHERE p.log_offset < k.next_offset
         GROUP BY p.plan, p.practice
    )
    SELECT plan, practice, coalesce(episodes, 0) AS episodes, coalesce(included, 0) AS included,
           coalesce(expenditure_cents, 0) AS expenditure_cents, coalesce(payments_cents, 0) AS payments_cents
      FROM counted FULL JOIN paid USING (plan, practice)
     ORDER BY plan, practice
"""
_STANDING = """
    SELECT p.plan, p.practice, p.payment_id, p.kind, p.amount_cents, p.event
      FROM settlement_payment p
     WHERE p.payer = $1 AND p.contract = $2 AND p.period = $3 AND p.log_offset < $4 AND p.reverses IS NULL
       AND NOT EXISTS (SELECT FROM settlement_payment r
                        WHERE r.payer = p.payer AND r.reverses = p.payment_id AND r.log_offset < $4)
     ORDER BY p.plan, p.practice, p.kind
"""
_MONTHS = """
    SELECT p.member, p.practice, p.period
      FROM payment p JOIN unnest($2::uuid[]) m (payment_id) USING (payment_id)
     WHERE p.payer = $1 AND p.kind = 'MEOS' AND p.reverses IS NULL
"""
SETTLEMENT = (
    "payer", "request_id", "practice", "settlement_id", "log_offset", "event", "statement", "pack", "plan",
)  # fmt: skip
PAYMENT = (
    "payer", "contract", "payment_id", "kind", "amount_cents", "practice", "period", "effective_on", "reverses",
    "supersedes", "cause", "ordinal", "request_id", "log_offset", "event", "plan",
)  # fmt: skip
LEDGER = ("payer", "payment_id", "line", "account", "party", "amount_cents", "log_offset")


@dataclass(frozen=True, slots=True)
class Settled:
    """One practice and period. Reversals are part of `payments_cents`; expenditure is that of counted episodes."""

    plan: str
    practice: str
    episodes: int
    included: int
    expenditure_cents: int
    payments_cents: int


async def settled(connection: Any, payer: str, contract: str, period: int, cut: Mapping[int, int]) -> list[Settled]:
    """By practice, from the versions and payments before the cut only. '' stands for no practice."""
    rows = await connection.fetch(_QUESTION, list(cut), list(cut.values()), payer, contract, period)
    return [Settled(**dict(row)) for row in rows if row["episodes"] or row["payments_cents"]]


async def standing(
    connection: Any, payer: str, contract: str, period: int, before: int
) -> dict[tuple[str, str], list[Standing]]:
    """By plan and practice, what runs asked for before an offset of the requests determined and did not reverse."""
    found: dict[tuple[str, str], list[Standing]] = {}
    for row in await connection.fetch(_STANDING, payer, contract, f"PP{period}", before):
        lines = orjson.loads(row["event"])["data"]["lines"]
        said = tuple((line["clause"], line["label"], line["amount_cents"]) for line in lines if line["amount_cents"])
        one = Standing(str(row["payment_id"]), row["kind"], row["amount_cents"], said)
        found.setdefault((row["plan"], row["practice"]), []).append(one)
    return found


async def remitted_months(connection: Any, payer: str, payments: Iterable[str]) -> frozenset[tuple[str, str, str]]:
    """(member, practice, month) of the monthly payments among some ids."""
    named = [name for name in payments if _is_id(name)]
    rows = await connection.fetch(_MONTHS, payer, [UUID(name) for name in named]) if named else []
    return frozenset((row["member"], row["practice"], row["period"]) for row in rows)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


async def store(
    connection: Any,
    answers: Sequence[tuple[Any, ...]],
    payments: Sequence[tuple[Payment, bytes]],
    payer: str,
    request_id: str,
) -> None:
    """Keep a request's answers (rows of `SETTLEMENT`) and what they determine, each with its emitted bytes."""
    await connection.copy_records_to_table("settlement", records=answers, columns=SETTLEMENT)
    rows = [
        (
            payer, p.contract, p.payment_id, p.kind, p.amount_cents, p.practice, p.period,
            date.fromisoformat(p.effective_on), p.reverses or None, p.supersedes or None, p.cause, p.sequence,
            request_id, p.offset, event, p.plan,
        )
        for p, event in payments
    ]  # fmt: skip
    lines = [
        (payer, line.payment_id, line.line, line.account, line.party, line.amount_cents, p.offset)
        for p, _ in payments
        for line in ledger(p, payer)
    ]
    await connection.copy_records_to_table("settlement_payment", records=rows, columns=PAYMENT)
    await connection.copy_records_to_table("settlement_ledger_line", records=lines, columns=LEDGER)


def packed(document: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """A contest pack's canonical bytes, and what is kept of them."""
    plain = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return plain, zlib.compress(plain, 6)


async def documents(connection: Any, payer: str, request_id: str) -> list[dict[str, Any]]:
    """A request's statement and contest pack of each practice, as far as the contract makes them."""
    rows = await connection.fetch(
        """
        SELECT plan, practice, statement, pack FROM settlement
         WHERE payer = $1 AND request_id = $2 ORDER BY plan, practice
        """,
        payer,
        request_id,
    )
    return [
        {
            "plan": row["plan"],
            "practice": row["practice"],
            "statement": orjson.loads(row["statement"]),
            "pack": orjson.loads(zlib.decompress(row["pack"])),
        }
        for row in rows
        if row["statement"] is not None
    ]


async def latest(
    connection: Any, payer: str, practice: str, period: int, run: str | None = None, plan: str = ""
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """A practice's statement and contest pack of the last settlement of a period, of one run or any; None: none is."""
    row = await connection.fetchrow(
        """
        SELECT statement, pack FROM settlement
         WHERE payer = $1 AND practice = $2 AND plan = $3 AND statement IS NOT NULL
           AND (convert_from(statement, 'UTF8')::jsonb ->> 'period')::int = $4
           AND ($5::text IS NULL OR convert_from(statement, 'UTF8')::jsonb ->> 'run' = $5)
         ORDER BY log_offset DESC LIMIT 1
        """,
        payer,
        practice,
        plan,
        period,
        run,
    )
    return None if row is None else (orjson.loads(row["statement"]), orjson.loads(zlib.decompress(row["pack"])))
