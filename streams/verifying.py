"""Holds what is live against what the log says: rows by replay, emitted events by what the replay emits.

One snapshot of PostgreSQL gives the positions and all rows. The positions are the cut: the logs are folded up to them
and no further, however far live work goes meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import asyncpg
from aiokafka import TopicPartition

from projections.digests import (
    COMPARED,
    FACTS,
    LOG_BATCHES,
    TABLES,
    WHOLE,
    Bucket,
    Compared,
    Difference,
    Sums,
    first_difference,
    live_rows,
    live_sums,
)
from projections.rows import Row
from streams.beside import Processes
from streams.connections import Connections
from streams.output import groupless, partitions_of
from streams.replay import SHORT_RECORDS, Halt
from streams.replaying import Job, Replayed, replayed
from streams.roster import Payer
from streams.topics import log_topic
from streams.verifying_log import UnreadableLog, boundaries, changed_record, event_of, records_of
from streams.verifying_outputs import Outputs

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
    async with _snapshot(connections) as live, Processes() as processes:
        for payer in payers:
            progress(f"{payer.name}: replaying")
            report.payers.append(payer.name)
            report.difference = await _Payer(connections, live, payer, replays, processes, report).verify()
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
        self,
        connections: Connections,
        live: Any,
        payer: Payer,
        replays: Replays | None,
        processes: Processes,
        report: Report,
    ) -> None:
        self._connections = connections
        self._live = live
        self._payer = payer
        self._replays, self._processes = replays, processes
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
        return await self._outputs(applied)

    async def _outputs(self, applied: dict[int, int]) -> Difference | None:
        """What was sent, and what waits to be."""
        outputs = Outputs(self._connections, self._live, self._payer)
        try:
            return (
                await outputs.payments(self._expected, applied)
                or await outputs.episodes(applied)
                or await outputs.settlements()
                or await outputs.outcomes()
            )
        except UnreadableLog as damaged:
            return self._unreadable(damaged.topic, damaged.partition, damaged.first, damaged.last)
        finally:
            self._report.emitted += outputs.emitted

    async def _ends(self) -> dict[int, int]:
        async with groupless(self._connections) as consumer:
            parts = [TopicPartition(self._log, n) for n in sorted(await partitions_of(consumer, self._log))]
            ends = await consumer.end_offsets(parts)
        return {part.partition: ends[part] for part in parts}

    async def _rows(self, jobs: Sequence[Job]) -> Difference | None:
        """Replays run beside each other; the first partition that differs is told."""
        if self._replays is None:
            self._replays = replayed if sum(job.cut for job in jobs) < SHORT_RECORDS else self._processes.do
        snapshot = await self._live.fetchval("SELECT pg_export_snapshot()")
        jobs = [replace(job, snapshot=snapshot) for job in jobs]
        replays = [asyncio.create_task(self._replay(job)) for job in jobs]
        try:
            for job, task in zip(jobs, replays, strict=True):
                made = await task
                self._count(made)
                if (difference := await self._compare(job, made)) is not None:
                    return difference
            return None
        finally:
            for task in replays:
                task.cancel()
            await asyncio.gather(*replays, return_exceptions=True)

    async def _replay(self, job: Job) -> Replayed:
        assert self._replays is not None
        return await self._replays(job)

    def _count(self, made: Replayed) -> None:
        self._report.peak_bytes = max(self._report.peak_bytes, made.peak_bytes)
        self._report.events += made.events
        for name, count in made.sums.rows.items():
            held = self._report.tables[name]
            held[0], held[1] = held[0] + count, (held[1] + made.sums.total(name)) % WHOLE

    async def _compare(self, job: Job, made: Replayed) -> Difference | None:
        self._expected |= made.payments
        if made.unreadable is not None:
            return self._unreadable(self._log, job.partition, *made.unreadable)
        if (halt := made.stopped) is not None:
            return await self._changed(job, made) or self._other_clauses(job.partition, halt)
        live = made.live
        if live is None:
            live = await live_sums(self._live, self._payer.name, job.partition, self._log)
        if not (buckets := made.sums.differing(live)):
            return None
        expected = (await self._replay(replace(job, capture=buckets))).rows
        if not job.whole and await self._repeated(job, expected.get(FACTS, [])):
            whole = replace(job, whole=True)
            return await self._compare(whole, await self._replay(whole))
        found = [
            await self._first_of(job, TABLES[name], bucket, expected.get(name, [])) for name, bucket in buckets.items()
        ]
        return min(found, key=lambda one: one.position["offset"] if one.position else -1)

    async def _repeated(self, job: Job, facts: Sequence[Row]) -> bool:
        """Whether an id is told of two members: of slices each takes it for new, where the whole log does not."""
        table = TABLES[FACTS]
        at = {(table.key_of(row)[0], row[table.at]) for row in facts}
        rows = await self._live.fetch(
            "SELECT event_id::text, log_offset FROM fact"
            " WHERE payer = $1 AND partition = $2 AND event_id = ANY($3::uuid[])",
            self._payer.name,
            job.partition,
            [name for name, _ in at],
        )
        live = dict(rows)
        return any(live.get(name, offset) < offset for name, offset in at)

    async def _changed(self, job: Job, made: Replayed) -> Difference | None:
        """The record that is not the one that was applied, if that is why a log cannot be folded on."""
        table, live = TABLES[LOG_BATCHES], Sums()
        async for rows in live_rows(self._live, table, self._payer.name, job.partition, self._log):
            live.add(table, rows)
        bucket = made.sums.differing(live).get(table.table)
        if bucket is None:
            return None
        expected = (await self._replay(replace(job, capture={table.table: bucket}))).rows
        return await self._first_of(job, table, bucket, expected.get(table.table, []))

    async def _first_of(self, job: Job, table: Compared, bucket: Bucket, expected: Sequence[Row]) -> Difference:
        """The first row of a bucket that differs; where it is the log that was changed, the record."""
        rows = live_rows(self._live, table, self._payer.name, job.partition, self._log)
        kept = [row async for some in rows for row in some if table.bucket(row) == bucket]
        if table.table == LOG_BATCHES:
            reader = partial(records_of, self._connections, self._log, job.partition)
            changed = await changed_record(reader, self._log, job.partition, expected, kept)
            if changed is not None:
                return replace(changed, event_id=changed.event_id or await self._event_applied(changed.position))
        found = first_difference(table, expected, kept, self._log, job.partition)
        told = await self._event_at(found.position) or await self._event_applied(found.position)
        return replace(found, event_id=told)

    async def _event_at(self, at: dict[str, Any] | None) -> str | None:
        """The id of the event at a position, as the log has it."""
        if at is None:
            return None
        first = at["offset"]
        async for record in records_of(self._connections, at["topic"], at["partition"], first, first + 1):
            return event_of(record)
        return None

    async def _event_applied(self, at: dict[str, Any] | None) -> str | None:
        """The id of the event that was applied from a position, where the log no longer tells it."""
        if at is None:
            return None
        name: str | None = await self._live.fetchval(
            "SELECT event_id::text FROM fact WHERE payer = $1 AND partition = $2 AND log_offset = $3",
            self._payer.name,
            at["partition"],
            at["offset"],
        )
        return name

    @staticmethod
    def _unreadable(topic: str, partition: int, first: int, last: int) -> Difference:
        at = {"topic": topic, "partition": partition, "offset": first}
        key = {"partition": partition, "first_offset": first, "last_offset": last}
        return Difference(topic, key, "batch", "readable", f"unreadable from offset {first} to {last}", at)

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
