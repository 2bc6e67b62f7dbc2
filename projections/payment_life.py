"""What became of each determination: what was remitted for it and came back, what is open, and since when.

A payment and its reversal are one row, under the payment's id. Ages are by the terms that the payer's log has adopted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from datetime import date, datetime
from typing import Any

import msgspec

from contracts.errors import NoTermInForce
from contracts.parts import Adoption
from contracts.payment_life import Life, age
from contracts.terms import TermSheet
from projections.packing import unpack
from projections.positions import NOW, AsOf, columns, each

_LIVES = """
    WITH cut AS (SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[]) c (payer, partition, next_offset)),
    told AS (
        SELECT p.payer, p.plan, p.contract, p.kind, p.amount_cents, p.member, p.practice, p.period, p.effective_on,
               p.payment_id, v.payment_id AS reversed_by, coalesce(v.amount_cents, 0) AS taken_back_cents,
               p.event, p.log_offset, p.partition
          FROM payment p
          LEFT JOIN cut c ON c.payer = p.payer AND c.partition = p.partition
          LEFT JOIN payment v ON v.payer = p.payer AND v.member = p.member AND v.reverses = p.payment_id
               AND (c.next_offset IS NULL OR v.log_offset < c.next_offset)
         WHERE p.reverses IS NULL AND p.amount_cents <> 0 AND (c.next_offset IS NULL OR p.log_offset < c.next_offset)
           AND {which}
         UNION ALL
        SELECT p.payer, p.plan, p.contract, p.kind, p.amount_cents, '', p.practice, p.period, p.effective_on,
               p.payment_id, v.payment_id, coalesce(v.amount_cents, 0), p.event, p.log_offset, 0
          FROM settlement_payment p
          JOIN request q USING (payer, request_id)
          LEFT JOIN (settlement_payment v JOIN request w USING (payer, request_id))
               ON v.payer = p.payer AND v.reverses = p.payment_id AND ($4::timestamptz IS NULL OR w.known_at <= $4)
         WHERE p.reverses IS NULL AND p.amount_cents <> 0 AND ($4::timestamptz IS NULL OR q.known_at <= $4)
           AND NOT $9::bool AND {which}
    )
    SELECT t.*, coalesce(m.remitted_cents, 0)::bigint AS remitted_cents,
           coalesce(m.returned_cents, 0)::bigint AS returned_cents, coalesce(m.moves, 0) AS moves,
           NOT EXISTS (SELECT FROM outbox o WHERE o.payer = t.payer AND o.event_id = t.payment_id) AS sent
      FROM told t
      LEFT JOIN LATERAL (
           SELECT sum(r.amount_cents) FILTER (WHERE r.kind <> 'returned') AS remitted_cents,
                  -sum(r.amount_cents) FILTER (WHERE r.kind = 'returned') AS returned_cents, count(*) AS moves
             FROM remittance r
             LEFT JOIN cut d ON d.payer = r.payer AND d.partition = r.partition
            WHERE r.payer = t.payer AND r.payment_id IN (t.payment_id::text, t.reversed_by::text)
              AND (d.next_offset IS NULL OR r.log_offset < d.next_offset)) m ON true
     WHERE ($5::text IS NULL OR t.payer = $5) AND ($6::text IS NULL OR t.member = $6)
       AND ($7::text IS NULL OR t.kind = $7) AND ($8::text IS NULL OR t.practice = $8)
     ORDER BY t.payer, t.plan, t.practice, t.member, t.period, t.log_offset, t.payment_id
"""
_MOVES = """
    SELECT * FROM remittance WHERE payer = $1 AND payment_id = ANY($2::text[])
     ORDER BY known_at, partition, log_offset, ordinal
"""


NO_END = (1 << 63) - 1


class _Event(msgspec.Struct):
    time: datetime


_read = msgspec.json.Decoder(_Event).decode


async def lives(
    connection: Any,
    payer: str | None = None,
    member: str | None = None,
    kind: str | None = None,
    practice: str | None = None,
    as_of: AsOf = NOW,
    on: date | None = None,
    payment_id: Any = None,
) -> AsyncIterator[dict[str, Any]]:
    """Each determination with what became of it; aged by the day `on`, where one is named.

    `as_of` positions say nothing of requests: then there are no settlements' payments. `sent` is as it is now.
    """
    sheets = await _sheets(connection)
    arguments = [
        *columns(await as_of.cut(connection)), as_of.instant, payer, member, kind, practice, bool(as_of.places),
        payment_id,
    ]  # fmt: skip
    which = "p.payment_id = $10::uuid" if payment_id is not None else "$10::uuid IS NULL"
    async for row in each(connection, _LIVES.format(which=which), arguments):
        life = Life(
            row["amount_cents"] + row["taken_back_cents"], row["remitted_cents"], row["returned_cents"], row["sent"],
            row["moves"],
        )  # fmt: skip
        yield _shown(row, life, sheets, on)


async def _sheets(connection: Any) -> Mapping[tuple[str, str], TermSheet]:
    """The terms adopted, by payer and plan."""
    found = {}
    for row in await connection.fetch("SELECT payer, data FROM partition_state WHERE partition = 0"):
        for plan, sheet in unpack(Adoption, row["data"]).sheets.items():
            found[row["payer"], plan] = TermSheet(sheet.content)
    return found


def _shown(row: Any, life: Life, sheets: Mapping[tuple[str, str], TermSheet], on: date | None) -> dict[str, Any]:
    determined_on = _read(row["event"]).time.date()
    shown = {
        "payment_id": str(row["payment_id"]),
        "payer": row["payer"],
        "plan": row["plan"],
        "contract": row["contract"],
        "kind": row["kind"],
        "member": row["member"] or None,
        "practice": row["practice"] or None,
        "period": row["period"],
        "amount_cents": row["amount_cents"],
        "reversed_by": None if row["reversed_by"] is None else str(row["reversed_by"]),
        "due_cents": life.due_cents,
        "remitted_cents": life.remitted_cents,
        "returned_cents": life.returned_cents,
        "open_cents": life.open_cents,
        "status": life.status,
        "determined_on": determined_on.isoformat(),
    }
    sheet = sheets.get((row["payer"], row["plan"])) or sheets.get((row["payer"], ""))
    if on is None or sheet is None:
        return shown
    try:
        aged = age(sheet, determined_on, on)
    except NoTermInForce:  # terms adopted before there was one
        return shown
    is_open = life.open_cents != 0
    return shown | {
        "due_on": aged.due_on.isoformat(),
        "overdue_days": aged.overdue_days if is_open else 0,
        "age": (aged.bucket or "not due") if is_open else None,
    }


async def life_of(connection: Any, payment_id: Any, as_of: AsOf = NOW) -> dict[str, Any] | None:
    """One determination's life with each of its moves and where it stands; None of a reversal, or of nothing."""
    found = [one async for one in lives(connection, as_of=as_of, payment_id=payment_id)]
    if not found:
        return None
    (one,) = found
    names = [name for name in (one["payment_id"], one["reversed_by"]) if name]
    cut = await as_of.cut(connection)
    told = ("due_cents", "remitted_cents", "returned_cents", "open_cents", "status")
    return {name: one[name] for name in told} | {
        "moves": [
            {
                "kind": row["kind"],
                "amount_cents": row["amount_cents"],
                "on": row["moved_on"].isoformat(),
                "source": row["source"],
                "trace": row["trace"] or None,
                "reason": row["reason"] or None,
                "event_id": str(row["event_id"]),
                "topic": f"carepact.{row['payer']}.events.v1",
                "partition": row["partition"],
                "offset": row["log_offset"],
            }
            for row in await connection.fetch(_MOVES, one["payer"], names)
            if row["log_offset"] < cut.get((row["payer"], row["partition"]), NO_END)
        ]
    }


async def aging(rows: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is open by payer, plan and practice: to the practice, from it, the two netted, and by age."""
    sums: dict[tuple[str, str, str], dict[str, Any]] = {}
    async for row in rows:
        cents = row["open_cents"]
        if not cents:
            continue
        key = (row["payer"], row["plan"], row["practice"] or "")
        held = sums.setdefault(key, {"to_practice": 0, "from_practice": 0, "ages": defaultdict(int)})
        held["to_practice" if cents > 0 else "from_practice"] += cents
        held["ages"][row.get("age") or "unknown"] += cents
    return [
        {
            "payer": payer,
            "plan": plan,
            "practice": practice or None,
            "to_practice_cents": held["to_practice"],
            "from_practice_cents": held["from_practice"],
            "net_cents": held["to_practice"] + held["from_practice"],
            "ages": dict(sorted(held["ages"].items())),
        }
        for (payer, plan, practice), held in sorted(sums.items())
    ]
