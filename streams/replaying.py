"""Partitions folded again, each in a process of its own, a slice of its members after another.

One pass reads a partition's log, recomputes its chain and lays the records into slices (`streams.slices`); then each
slice is folded and forgotten. So a process holds the parts of some hundred members at a time, however long the log is.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from projections.digests import LOG_BATCHES, TABLES, Bucket, Sums, live_sums
from projections.rows import Row
from streams.beside import no_collector, peak_bytes
from streams.connections import Connections
from streams.replay import Capture, Halt, MakeFolds, PartitionReplay, folds, log_records
from streams.roster import Payer
from streams.slices import Spool, slices_of
from streams.topics import log_topic
from streams.verifying_log import NO_END, Batches, UnreadableLog

FOLDED_AT_ONCE = 8_000
"""Records of a slice: parts are packed once for all of them."""

LEFT_OBJECTS = 200_000
"""A slice leaves none behind unless errors held it: so many are looked at by the collector."""


@dataclass(frozen=True)
class Job:
    """A partition to be folded up to `cut`; with `capture`, the tables and buckets whose rows are wanted.

    `boundaries` are those of live batches, whose chain is computed as well. A process of its own sums the live rows
    too, as of an exported `snapshot`. A `whole` partition is folded at once, in the memory that it takes.
    """

    connections: Connections
    payer: Payer
    partition: int
    cut: int
    capture: Mapping[str, Bucket] | None = None
    boundaries: Sequence[int] = ()
    snapshot: str = ""
    whole: bool = False

    async def done(self) -> Replayed:
        """The replay, and the sums of the live rows as of the snapshot of who gave it; in a process of its own."""
        with no_collector():
            made = await replayed(self)
        if self.snapshot and not made.stopped and not made.unreadable:
            made.live = await _live_sums(self)
        made.peak_bytes = peak_bytes()
        return made


@dataclass
class Replayed:
    """What a replay found out: sums of rows, rows of the captured buckets, digests of the events to be emitted."""

    sums: Sums
    rows: dict[str, list[Row]] = field(default_factory=dict)
    payments: dict[bytes, bytes] = field(default_factory=dict)
    events: int = 0
    stopped: Halt | None = None
    unreadable: tuple[int, int] | None = None
    live: Sums | None = None
    peak_bytes: int = 0


async def replayed(job: Job, make_folds: MakeFolds = folds) -> Replayed:
    """Do a job in this process."""
    log = log_topic(job.payer.name)
    with Spool(1 if job.whole else slices_of(job.cut)) as spool:
        records = log_records(job.connections, log, job.partition, job.cut)
        chained = await _spooled(job, records, spool)
        if chained.unreadable is not None:
            return chained
        made = await folded(spool, maker(job, make_folds))
    made.sums.merge(chained.sums)
    made.rows |= chained.rows
    return made


async def _spooled(job: Job, records: AsyncIterator[Sequence[Any]], spool: Spool) -> Replayed:
    """Lay the records into slices; answers the rows of the chain."""
    made, table = Replayed(Sums()), TABLES[LOG_BATCHES]
    capture = Capture(job.capture or {})
    batches = Batches(log_topic(job.payer.name), job.partition, job.boundaries)
    try:
        async for some in records:
            rows = batches.take(some)
            capture.take(table, rows)
            made.sums.add(table, rows)
            spool.add(some)
    except UnreadableLog as damaged:
        made.unreadable = damaged.first, damaged.last
    made.rows = dict(capture.rows)
    return made


MakeReplay = Callable[[bool, int], tuple[PartitionReplay, Capture | None]]
"""Of whether it is the first slice, and where the partition ends."""


def maker(job: Job, make_folds: MakeFolds = folds) -> MakeReplay:
    """Makes the replay of a job's slice."""

    def make(first: bool, end: int) -> tuple[PartitionReplay, Capture | None]:
        capture = Capture(job.capture) if job.capture else None
        return PartitionReplay(job.payer, job.partition, make_folds, capture, first=first, end=end), capture

    return make


async def folded(spool: Spool, make: MakeReplay) -> Replayed:
    """Fold every slice. Where one cannot be folded on, none of the others counts beyond that."""
    end, halt = NO_END, None
    while True:
        made = Replayed(Sums(), stopped=halt)
        for place in range(spool.slices):
            replay, capture = make(place == 0, end)
            for records in spool.records(place, FOLDED_AT_ONCE):
                await replay.feed(records)
            if replay.stopped is not None and replay.stopped.offset < end:
                end, halt = replay.stopped.offset, replay.halt
            made.sums.merge(replay.finish())
            made.payments.update(replay.payments)
            made.events += replay.events
            for name, rows in capture.rows.items() if capture else ():
                made.rows.setdefault(name, []).extend(rows)
            del replay, capture
            if gc.get_count()[0] > LEFT_OBJECTS and not gc.isenabled():
                gc.collect()
        if halt is made.stopped or spool.slices == 1:
            made.stopped = halt
            return made


async def _live_sums(job: Job) -> Sums:
    live = await asyncpg.connect(job.connections.postgres)
    try:
        await live.execute("SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0")
        async with live.transaction(isolation="repeatable_read", readonly=True):
            await live.execute(f"SET TRANSACTION SNAPSHOT '{job.snapshot}'")
            return await live_sums(live, job.payer.name, job.partition, log_topic(job.payer.name))
    finally:
        await live.close()
