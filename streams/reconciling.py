"""Asking for a settlement, and waiting for its answer."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
from aiokafka import TopicPartition

from contracts.envelope import Envelope, broadcast_copy_id, broadcast_fact_id, schema_urn
from contracts.events import ReconciliationRequested, SettlementAnswered
from streams.connections import Connections
from streams.door import log_source
from streams.log_writer import LogWriter
from streams.output import groupless, partitions_of
from streams.topics import log_topic, requests_topic

ANSWERS = "carepact_answers"
"""The channel that says of an answer, by its request id."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it went to the log."""

    payer: str
    request_id: str


@dataclass(slots=True)
class _Record:
    value: bytes
    partition: int = 0
    key: bytes = b""


async def ask(
    connections: Connections,
    payer: str,
    contract: str,
    period: int,
    run: str,
    cut: dict[str, int] | None = None,
    request_id: str | None = None,
) -> Asked:
    """Send a request for a settlement at `cut`, or at the log's end as it stands now; a repeated id asks once."""
    name = request_id or str(uuid4())
    requested = ReconciliationRequested.model_validate(
        {
            "request_id": name,
            "contract": contract,
            "period": period,
            "run": run,
            "cut": await log_ends(connections, payer) if cut is None else cut,
        }
    )
    async with LogWriter(connections, "carepact.reconcile") as writer:
        await writer.write(requests_topic(payer), [_Record(encode(payer, requested))])
    return Asked(payer, name)


def encode(payer: str, requested: ReconciliationRequested) -> bytes:
    """The request as the requests topic keeps it."""
    fact_id = broadcast_fact_id(payer, "reconcile", requested.request_id)
    envelope = Envelope(
        id=broadcast_copy_id(fact_id, 0),
        factid=fact_id,
        source=log_source(payer, "reconcile"),
        type=requested.type_name(),
        dataschema=schema_urn(type(requested)),
        payer=payer,
        data=requested.model_dump(mode="json"),
    )
    return orjson.dumps(envelope.model_dump(mode="json", exclude_defaults=True) | {"specversion": "1.0"})


async def log_ends(connections: Connections, payer: str) -> dict[str, int]:
    """The next offset of every partition of the payer's log, as a request's cut names them."""
    async with groupless(connections) as consumer:
        topic = log_topic(payer)
        parts = [TopicPartition(topic, partition) for partition in sorted(await partitions_of(consumer, topic))]
        ends = await consumer.end_offsets(parts)
    return {str(part.partition): ends[part] for part in parts}


async def until_answered(connection: Any, asked: Asked) -> dict[str, Any]:
    """The request with its answers, once it is answered or refused."""
    told = asyncio.Event()

    def heard(_connection: Any, _pid: int, _channel: str, request_id: str) -> None:
        if request_id == asked.request_id:
            told.set()

    await connection.add_listener(ANSWERS, heard)
    try:
        while (answer := await answer_of(connection, asked)) is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await told.wait()
        return answer
    finally:
        await connection.remove_listener(ANSWERS, heard)


async def answer_of(connection: Any, asked: Asked) -> dict[str, Any] | None:
    """What became of a request; None while it waits or is not read yet."""
    row = await connection.fetchrow(
        "SELECT * FROM request WHERE payer = $1 AND request_id = $2 AND status <> 'waiting'",
        asked.payer,
        asked.request_id,
    )
    if row is None:
        return None
    settlements = await connection.fetch(
        """
        SELECT settlement_id, event, statement FROM settlement
         WHERE payer = $1 AND request_id = $2 ORDER BY plan, practice
        """,
        asked.payer,
        asked.request_id,
    )
    return {
        "request_id": row["request_id"],
        "payer": row["payer"],
        "contract": row["contract"],
        "period": row["period"],
        "run": row["run"],
        "status": row["status"],
        "reason": row["reason"] or None,
        "cut": orjson.loads(row["cut"]),
        "settlements": [_shown(one) for one in settlements],
    }


COUNTED = ("practice", "episodes", "included", "expenditure_cents", "payments_cents", "pending")
SETTLED = (
    "said", "pool", "benchmark_cents", "actual_cents", "zone", "quality_score", "share_cents", "pbp_cents",
    "pbr_cents", "recouped_cents", "moved_cents", "pack_digest",
)  # fmt: skip


def _shown(row: Any) -> dict[str, Any]:
    """One practice's answer; where the contract settles periods, with its result and what the run moved."""
    data = SettlementAnswered.model_validate_json(orjson.dumps(orjson.loads(row["event"])["data"]))
    told = data.model_dump(mode="json")
    found = {"settlement_id": str(row["settlement_id"])} | {name: told[name] for name in COUNTED}
    if told["plan"]:
        found["plan"] = told["plan"]
    if row["statement"] is None:
        return found
    statement = orjson.loads(row["statement"])
    found |= {name: told[name] for name in SETTLED}
    return found | {name: statement[name] for name in ("group", "moved", "in_force_cents", "illustrative")}
