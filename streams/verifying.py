"""Holds what is live against what the log says: rows by replay, emitted events by what the replay emits.

One snapshot of PostgreSQL gives the positions and all rows. The positions are the cut: the logs are folded up to them
and no further, however far live work goes meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from aiokafka import TopicPartition

from projections.digests import (
    COMPARED,
    LOG_BATCHES,
    TABLES,
    WHOLE,
    Bucket,
    Compared,
    Difference,
    first_difference,
    live_rows,
    live_sums,
)
from projections.rows import Row
from streams.connections import Connections
from streams.output import groupless, partitions_of
from streams.replay import Halt, Job, Replayed, brief, replayed, replayed_beside
from streams.roster import Payer
from streams.topics import log_topic, payments_topic, settlements_topic
from streams.verifying_log import boundaries, changed_record, event_of, records_of

PROCESSES_MAX = min(4, os.cpu_count() or 1)
SHORT_RECORDS = 20_000
"""A log below this is folded sooner than processes start."""

Replays = Callable[[Job], Awaitable[Replayed]]


class CannotReplay(Exception):
    """This build cannot fold the log as far as it was applied: it holds facts that only a newer build knows."""


@dataclass(slots=True)
class Report:
    """What was replayed, and the first difference if there is one. `behind` records are not applied live yet.

    `peak_bytes` is what a replaying process held at most, where there were such.
    """

    events: int = 0
    behind: int = 0
    payers: list[str] = field(default_factory=list)
    tables: dict[str, list[int]] = field(default_factory=lambda: {one.table: [0, 0] for one in COMPARED})
    emitted: int = 0
    difference: Difference | None = None
    seconds: float = 0.0
    peak_bytes: int = 0

    def as_json(self) -> dict[str, Any]:
        """With stable keys; a table's digest does not depend on the order of its rows."""
        return {
            "verified": self.difference is None,
            "events": self.events,
            "payers": self.payers,
            "tables": {
                name: {"rows": rows, "digest": f"{total % WHOLE:032x}"} for name, (rows, total) in self.tables.items()
            },
            "difference": self.difference.as_json() if self.difference else None,
            "seconds": round(self.seconds, 3),
            "emitted": self.emitted,
            "behind": self.behind,
        }


class _Event(msgspec.Struct):
    """What of an emitted event is compared beside its bytes."""

    id: UUID
    data: _Data
    subject: str = ""
    sequence: str = ""


class _Data(msgspec.Struct):
    position: _Position | None = None


class _Position(msgspec.Struct):
    topic: str
    partition: int
    offset: int


_read_event = msgspec.json.Decoder(_Event).decode


async def verify(
    connections: Connections,
    payers: Sequence[Payer],
    replays: Replays | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Replay the payers' logs and compare; ends at the first difference.

    `replays` folds one partition; if not said otherwise, partitions of a long log are folded in processes of their own.
    """
    report, began = Report(), time.monotonic()
    async with _snapshot(connections) as live:
        for payer in payers:
            progress(f"{payer.name}: replaying")
            report.payers.append(payer.name)
            report.difference = await _Payer(connections, live, payer, replays, report).verify()
            if report.difference is not None:
                break
    report.seconds = time.monotonic() - began
    return report


@asynccontextmanager
async def _snapshot(connections: Connections) -> AsyncIterator[Any]:
    live = await asyncpg.connect(connections.postgres)
    try:
        await live.execute("SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0")
        async with live.transaction(isolation="repeatable_read", readonly=True):
            yield live
    finally:
        await live.close()


class _Payer:
    """The verification of one payer."""

    def __init__(
        self, connections: Connections, live: Any, payer: Payer, replays: Replays | None, report: Report
    ) -> None:
        self._connections = connections
        self._live = live
        self._payer = payer
        self._replays = replays
        self._at_once = asyncio.Semaphore(PROCESSES_MAX)
        self._report = report
        self._log = log_topic(payer.name)
        self._expected: dict[bytes, bytes] = {}

    async def verify(self) -> Difference | None:
        """The first difference: rows by partition, then the ledger's sums, then the topics."""
        rows = await self._live.fetch(
            "SELECT partition, next_offset FROM consumer_offset WHERE consumer = 'contract' AND topic = $1", self._log
        )
        applied = {row["partition"]: row["next_offset"] for row in rows}
        ends = await self._ends()
        for partition, end in sorted(ends.items()):
            if (cut := applied.get(partition, 0)) > end:
                at = {"topic": self._log, "partition": partition, "offset": end}
                return Difference("log", {"partition": partition}, "records", cut, end, at)
            self._report.behind += end - cut
        jobs = []
        for partition in sorted(ends):
            cut = applied.get(partition, 0)
            batches, difference = await boundaries(self._live, self._log, partition, cut)
            if difference is not None:
                return difference
            jobs.append(Job(self._connections, self._payer, partition, cut, boundaries=batches))
        if (difference := await self._rows(jobs)) is not None:
            return difference
        if (difference := await self._ledger()) is not None:
            return difference
        if (difference := await self._payments(applied)) is not None:
            return difference
        return await self._settlements()

    async def _ends(self) -> dict[int, int]:
        async with groupless(self._connections) as consumer:
            parts = [TopicPartition(self._log, n) for n in sorted(await partitions_of(consumer, self._log))]
            ends = await consumer.end_offsets(parts)
        return {part.partition: ends[part] for part in parts}

    async def _rows(self, jobs: Sequence[Job]) -> Difference | None:
        """Replays run beside each other; the first partition that differs is told."""
        if self._replays is None:
            self._replays = replayed if sum(job.cut for job in jobs) < SHORT_RECORDS else replayed_beside
        snapshot = await self._live.fetchval("SELECT pg_export_snapshot()")
        jobs = [replace(job, snapshot=snapshot) for job in jobs]
        replays = [asyncio.create_task(self._replay(job)) for job in jobs]
        try:
            for job, task in zip(jobs, replays, strict=True):
                if (difference := await self._compare(job, await task)) is not None:
                    return difference
            return None
        finally:
            for task in replays:
                task.cancel()
            await asyncio.gather(*replays, return_exceptions=True)

    async def _replay(self, job: Job) -> Replayed:
        assert self._replays is not None
        async with self._at_once:
            return await self._replays(job)

    async def _compare(self, job: Job, made: Replayed) -> Difference | None:
        self._report.events += made.events
        self._report.peak_bytes = max(self._report.peak_bytes, made.peak_bytes)
        self._expected |= made.payments
        if made.unreadable is not None:
            return self._unreadable(job.partition, *made.unreadable)
        if (halt := made.stopped) is not None:
            return self._other_clauses(job.partition, halt)
        for name, count in made.sums.rows.items():
            held = self._report.tables[name]
            held[0], held[1] = held[0] + count, (held[1] + made.sums.total(name)) % WHOLE
        live = made.live
        if live is None:
            live = await live_sums(self._live, self._payer.name, job.partition, self._log)
        if not (buckets := made.sums.differing(live)):
            return None
        expected = (await self._replay(replace(job, capture=buckets))).rows
        found = [
            await self._first_of(job, TABLES[name], bucket, expected.get(name, [])) for name, bucket in buckets.items()
        ]
        return min(found, key=lambda one: one.position["offset"] if one.position else -1)

    async def _first_of(self, job: Job, table: Compared, bucket: Bucket, expected: Sequence[Row]) -> Difference:
        """The first row of a bucket that differs; where it is the log that was changed, the record."""
        rows = live_rows(self._live, table, self._payer.name, job.partition, self._log)
        kept = [row async for some in rows for row in some if table.bucket(row) == bucket]
        if table.table == LOG_BATCHES:
            reader = partial(records_of, self._connections, self._log, job.partition)
            changed = await changed_record(reader, self._log, job.partition, expected, kept)
            if changed is not None:
                return changed
        found = first_difference(table, expected, kept, self._log, job.partition)
        return replace(found, event_id=await self._event_at(found.position))

    async def _event_at(self, at: dict[str, Any] | None) -> str | None:
        """The id of the event at a position, as the log has it."""
        if at is None:
            return None
        first = at["offset"]
        async for record in records_of(self._connections, at["topic"], at["partition"], first, first + 1):
            return event_of(record)
        return None

    def _unreadable(self, partition: int, first: int, last: int) -> Difference:
        at = {"topic": self._log, "partition": partition, "offset": first}
        key = {"partition": partition, "first_offset": first, "last_offset": last}
        return Difference(self._log, key, "batch", "readable", f"unreadable from offset {first} to {last}", at)

    def _other_clauses(self, partition: int, halt: Halt) -> Difference:
        """Live work went on where this build cannot: it holds other clauses than those adopted, or terms changed."""
        if halt.newer:
            raise CannotReplay(f"{self._log}[{partition}] cannot be folded beyond {halt.offset}: {halt.reason}")
        at = {"topic": self._log, "partition": partition, "offset": halt.offset}
        key = {"contract": self._payer.contract, "partition": partition}
        if halt.adopted:
            return Difference("contract", key, "clauses digest", halt.adopted, halt.ours, at)
        return Difference("contract", key, "fold", "goes on", halt.reason, at)

    async def _ledger(self) -> Difference | None:
        """Every payment's lines sum to zero, and so does the whole."""
        row = await self._live.fetchrow(
            """
            SELECT payment_id::text, sum(amount_cents)::bigint AS cents, min(partition) AS partition,
                   min(log_offset) AS log_offset
              FROM ledger_line WHERE payer = $1 GROUP BY payment_id HAVING sum(amount_cents) <> 0
             ORDER BY payment_id LIMIT 1
            """,
            self._payer.name,
        )
        if row is None:
            return None
        at = {"topic": self._log, "partition": row["partition"], "offset": row["log_offset"]}
        return Difference("ledger_line", {"payment_id": row["payment_id"]}, "sum of amount_cents", 0, row["cents"], at)

    async def _payments(self, applied: dict[int, int]) -> Difference | None:
        """Each event that the log's facts make is on the topic once, byte for byte, in order; or waits to be sent."""
        topic = payments_topic(self._payer.name)
        waiting, seen = await self._waiting(topic), set[bytes]()
        last: dict[str, str] = {}
        async for record in self._committed(topic):
            event = _read_event(record.value)
            made_at = event.data.position
            if made_at is None or made_at.offset >= applied.get(made_at.partition, 0):
                continue
            name, key = event.id.bytes, {"subject": event.subject, "sequence": event.sequence}
            if name in seen:
                return _of_topic(topic, key, "times", 1, 2, made_at)
            if (wanted := self._expected.get(name)) != (found := brief(record.value)):
                return _of_topic(topic, key, "event", wanted.hex() if wanted else None, found.hex(), made_at)
            if event.sequence <= last.get(event.subject, ""):
                return _of_topic(topic, key, "order", f"after {event.sequence}", last[event.subject], made_at)
            last[event.subject] = event.sequence
            seen.add(name)
        self._report.emitted += len(seen)
        lost = sorted(name for name in self._expected if name not in seen and name not in waiting)
        return await self._lost(topic, UUID(bytes=lost[0])) if lost else None

    async def _lost(self, topic: str, name: UUID) -> Difference:
        row = await self._live.fetchrow("SELECT * FROM payment WHERE payment_id = $1", name)
        key = {"subject": row["member"], "sequence": f"{row['sequence']:09d}"}
        return _of_topic(
            topic, key, "times", 1, 0, _Position(self._log, row["partition"], row["log_offset"]), str(name)
        )

    async def _settlements(self) -> Difference | None:
        """Each answer and payment kept is on the topic once, byte for byte, or waits."""
        topic, waiting = settlements_topic(self._payer.name), await self._waiting(settlements_topic(self._payer.name))
        rows = await self._live.fetch(
            """
            SELECT settlement_id, event FROM settlement WHERE payer = $1
            UNION ALL SELECT payment_id, event FROM settlement_payment WHERE payer = $1
            """,
            self._payer.name,
        )
        expected = {row["settlement_id"].bytes: brief(row["event"]) for row in rows}
        seen: set[bytes] = set()
        async for record in self._committed(topic):
            name = _read_event(record.value).id.bytes
            if name in expected and (name in seen or expected[name] != brief(record.value)):
                field_, found = ("times", 2) if name in seen else ("event", brief(record.value).hex())
                return _of_topic(topic, {"id": str(UUID(bytes=name))}, field_, expected[name].hex(), found, None)
            seen.add(name)
        lost = sorted(name for name in expected if name not in seen and name not in waiting)
        return _of_topic(topic, {"id": str(UUID(bytes=lost[0]))}, "times", 1, 0, None) if lost else None

    async def _waiting(self, topic: str) -> set[bytes]:
        rows = await self._live.fetch("SELECT event_id FROM outbox WHERE topic = $1", topic)
        return {row["event_id"].bytes for row in rows}

    async def _committed(self, topic: str) -> AsyncIterator[Any]:
        """Every committed record of an output topic, up to its ends as they are when this is first asked."""
        async with groupless(self._connections) as consumer:
            parts = [TopicPartition(topic, n) for n in sorted(await partitions_of(consumer, topic))]
            ends = await consumer.end_offsets(parts)
            todo = {part for part in parts if ends[part] > 0}
            consumer.assign(sorted(todo))
            for part in todo:
                consumer.seek(part, 0)
            while todo:
                got = await consumer.getmany(*todo, timeout_ms=1_000, max_records=5_000)
                for records in got.values():
                    for record in records:
                        yield record
                todo = {part for part in todo if await consumer.position(part) < ends[part]}


def _of_topic(
    topic: str, key: dict[str, str], what: str, expected: Any, found: Any, at: _Position | None, name: str = ""
) -> Difference:
    position = {"topic": at.topic, "partition": at.partition, "offset": at.offset} if at else None
    return Difference(topic, key | ({"id": name} if name else {}), what, expected, found, position)
