"""What settlements moved, and why: a practice's payments for a period, beside those of episodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any
from uuid import UUID

import msgspec

from contracts.given_back import reversal, tried_settled
from projections.payment_life import life_of
from projections.positions import NOW, AsOf, each

_QUESTION = """
    SELECT p.*, r.topic
      FROM settlement_payment p JOIN request r USING (payer, request_id)
     WHERE ($1::text IS NULL OR p.payer = $1)
       AND ($2::text IS NULL OR p.kind = $2)
       AND ($3::timestamptz IS NULL OR r.known_at <= $3)
       AND ($4::date IS NULL OR p.effective_on <= $4)
     ORDER BY p.payer, p.plan, p.practice, p.log_offset, p.ordinal
"""
_ONE = """
    SELECT p.*, r.topic, (SELECT payment_id FROM settlement_payment b
                           WHERE b.payer = p.payer AND b.reverses = p.payment_id) AS reversed_by
      FROM settlement_payment p JOIN request r USING (payer, request_id)
     WHERE p.payment_id = $1
"""
_DIGESTS = """
    SELECT f.partition, f.log_offset, f.digest
      FROM fact f JOIN unnest($2::int[], $3::bigint[]) w (partition, log_offset) USING (partition, log_offset)
     WHERE f.payer = $1
"""


async def settled_payments(
    connection: Any, payer: str | None = None, kind: str | None = None, as_of: AsOf = NOW, on: date | None = None
) -> AsyncIterator[dict[str, Any]]:
    """All that settlements determined, each reversal a row of its own; by the time its request was known.

    A point given by positions of a log says nothing of requests, which have a topic of their own: then there are none.
    """
    if as_of.places:
        return
    async for row in each(connection, _QUESTION, [payer, kind, as_of.instant, on]):
        yield _named(row) | {"sequence": row["ordinal"], "position": _position(row)}


async def explain_settled(connection: Any, payment_id: str) -> dict[str, Any] | None:
    """A settlement's payment, in the form of `explain_payment`; None if there is none."""
    row = await connection.fetchrow(_ONE, UUID(payment_id))
    if row is None:
        return None
    event = msgspec.json.decode(row["event"])["data"]
    facts = [(fact, fact["position"]) for fact in event["facts"]]
    of_log = [at for _, at in facts if at["topic"] != row["topic"]]
    digests = {
        (one["partition"], one["log_offset"]): one["digest"]
        for one in await connection.fetch(
            _DIGESTS, row["payer"], [at["partition"] for at in of_log], [at["offset"] for at in of_log]
        )
    }
    terms = [term for line in event["lines"] for term in line["terms"]]
    return _named(row) | {
        "lines": event["lines"],
        "facts": [
            {
                "event_id": fact["event_id"],
                "type": fact["type"],
                **at,
                "digest": digests.get((at["partition"], at["offset"])) if at["topic"] != row["topic"] else None,
                "says": fact["says"],
            }
            for fact, at in facts
        ],
        "contract": {
            "id": row["contract"],
            "version": event["contract_version"],
            "digest": event["contract_digest"],
        },
        "as_of": [_position(row)],
        "cause_kind": event["cause_kind"],
        "reversed_by": _text(row["reversed_by"]),
        "life": await life_of(connection, row["payment_id"]),
        "illustrative": any(term["illustrative"] for term in terms),
        "try": await _tried(connection, row, event),
    }


async def _tried(connection: Any, row: Any, event: dict[str, Any]) -> dict[str, Any] | None:
    """What `contract try` takes to give it again, out of the run's statement or, of a reversal, its own lines."""
    if row["reverses"]:
        return reversal(event)
    held = await connection.fetchval(
        "SELECT statement FROM settlement WHERE payer = $1 AND request_id = $2 AND practice = $3 AND plan = $4",
        row["payer"], row["request_id"], row["practice"], row["plan"],
    )  # fmt: skip
    return None if held is None else tried_settled(row, msgspec.json.decode(held))


def _named(row: Any) -> dict[str, Any]:
    """What `payments` says of every payment."""
    return {
        "payment_id": str(row["payment_id"]),
        "payer": row["payer"],
        "contract": row["contract"],
        "kind": row["kind"],
        "amount_cents": row["amount_cents"],
        "member": None,
        "episode_id": None,
        "practice": row["practice"] or None,
        "period": row["period"],
        "effective_on": row["effective_on"].isoformat(),
        "reverses": _text(row["reverses"]),
        "supersedes": _text(row["supersedes"]),
        "cause": str(row["cause"]),
        "plan": row["plan"],
    }


def _position(row: Any) -> dict[str, Any]:
    return {"topic": row["topic"], "partition": 0, "offset": row["log_offset"]}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
