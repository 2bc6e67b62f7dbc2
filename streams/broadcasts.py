"""What the platform itself states to every partition of a log: that a day is closed, which terms and clauses hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson
from aiokafka import TopicPartition

from contracts.events import ContractAdopted, DayClosed, TermsAdopted
from contracts.parts import Adoption
from projections import store
from projections.packing import unpack
from streams.connections import Connections
from streams.door import Door
from streams.log_writer import LogWriter, Position
from streams.output import groupless
from streams.topics import log_topic

CALENDAR = "calendar"
ADOPTIONS = "adoptions"
TERMS, CLAUSES = TermsAdopted.type_name(), ContractAdopted.type_name()
_CONTRACT = "contract"

Adopting = TermsAdopted | ContractAdopted
What = tuple[str, str]
"""Type and plan: each plan of a payer may have terms of its own."""


@dataclass(slots=True)
class _Newest:
    digest: str = ""
    offset: int = -1


async def close_day(writer: LogWriter, door: Door, through: date) -> list[Position]:
    """Broadcast that time has passed through this day. Again, or for an earlier day, it does nothing (seam 10)."""
    day = through.isoformat()
    copies = door.admit_own(DayClosed(through_on=through), CALENDAR, day)
    return await writer.broadcast(log_topic(door.payer.name), copies)


async def adopt(
    connections: Connections,
    writer: LogWriter,
    door: Door,
    events: Sequence[Adopting],
    database: Any | None = None,
    *,
    first_only: bool = False,
) -> list[Position]:
    """Broadcast those of `events` whose digest is not the newest that the log has adopted; the positions of the copies.

    With `first_only`, only where nothing of the kind is adopted yet, for all plans or for one: a change of terms or
    clauses is a decision, and is never made by starting a program. What is newest is read from the projection and the
    log behind it; without a `database`, from the whole log. One caller at a time: a second one adopts the same again,
    which changes nothing but is written.
    """
    topic = log_topic(door.payer.name)
    newest = await _newest(connections, door.payer.name, database)
    positions: list[Position] = []
    for event in events:
        before = newest.get((event.type_name(), getattr(event, "plan", "")), _Newest())
        for_all = newest.get((event.type_name(), ""), _Newest())
        if before.digest == event.digest or (first_only and max(before.offset, for_all.offset) >= 0):
            continue
        # The position of what it displaces is part of the id: terms taken back and adopted again are a new adoption.
        producer_id = f"{event.contract}|{getattr(event, 'plan', '')}|{event.digest}|{before.offset}"
        positions += await writer.broadcast(topic, door.admit_own(event, ADOPTIONS, producer_id))
    return positions


async def _newest(connections: Connections, payer: str, database: Any | None) -> dict[What, _Newest]:
    """Digest and position of the newest adoptions in partition 0, to which every broadcast comes last."""
    newest: dict[What, _Newest] = {}
    start = 0
    if database is not None:
        async with database.transaction(isolation="repeatable_read", readonly=True):
            start = await _projected(database, payer, newest)
    topic = TopicPartition(log_topic(payer), 0)
    async with groupless(connections) as consumer:
        consumer.assign([topic])
        end = (await consumer.end_offsets([topic]))[topic]
        if start < end:
            consumer.seek(topic, start)
        while start < end:
            for record in (await consumer.getmany(topic, timeout_ms=500, max_records=5_000)).get(topic, []):
                if not record.key and b"Adopted.v1" in (record.value or b""):
                    _note(newest, record)
            start = await consumer.position(topic)
    return newest


def _note(newest: dict[What, _Newest], record: Any) -> None:
    event = orjson.loads(record.value)
    if event["type"] in (TERMS, CLAUSES):
        data = event["data"]
        newest[event["type"], data.get("plan", "")] = _Newest(data["digest"], record.offset)


async def _projected(database: Any, payer: str, newest: dict[What, _Newest]) -> int:
    """Fill `newest` as the projection has it; answers the offset up to which it has read."""
    stored = (await store.adoptions(database, payer, [0])).get(0)
    adoption = unpack(Adoption, stored) if stored else Adoption()
    for plan, sheet in adoption.sheets.items():
        newest[TERMS, plan] = _Newest(sheet.digest, sheet.ref[2])
    offset = await database.fetchval(
        "SELECT max(log_offset) FROM fact WHERE partition = 0 AND payer = $1 AND member = '' AND type = $2",
        payer, CLAUSES,
    )  # fmt: skip
    if offset is not None:
        newest[CLAUSES, ""] = _Newest(adoption.contract_digest, offset)
    reached: int | None = await database.fetchval(
        "SELECT next_offset FROM consumer_offset WHERE consumer = $1 AND topic = $2 AND partition = 0",
        _CONTRACT, log_topic(payer),
    )  # fmt: skip
    return reached or 0
