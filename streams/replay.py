"""Folds a log again, from its first record to a cut, on nothing but memory: no live table is read, nothing is sent.

One partition at a time, since nothing reads across partitions. Kept are the members' parts, the ids seen, and the
sums of the rows' digests; the rows themselves only of a bucket that is to be looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import heapq
import pickle
import resource
import sys
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from hashlib import blake2b
from typing import Any
from uuid import uuid5

import asyncpg

from contracts.envelope import NAMESPACE, Fact
from contracts.fold import Fold
from contracts.parts import Adoption
from contracts.roster import contract_digest, fold_for
from projections.digests import TABLES, Bucket, Compared, Sums, live_sums
from projections.rows import EPISODE, EPISODE_TO_OFFSET, PAYMENT, Row, Rows, Want
from projections.store import REJECT, instant
from streams.chain import Reached, leaf, stretch
from streams.codec import UnknownType, Unreadable, decode_record
from streams.connections import Connections
from streams.folding import Folder, Poisoned, Stopped
from streams.output import groupless
from streams.roster import Payer
from streams.topics import log_topic, payments_topic
from streams.verifying_log import UnreadableLog, read

RECORDS_MAX = 10_000
"""At a time: parts are written once for all of them."""
EPISODE_ID, VERSION = EPISODE.index("episode_id"), EPISODE.index("version")
REJECT_OFFSET = REJECT.index("log_offset")
PAYMENT_ID, EVENT = PAYMENT.index("payment_id"), PAYMENT.index("event")
NO_END = 1 << 62

Part = tuple[str, str]
"""(kind, key)"""

MakeFolds = Callable[[Payer], Callable[[Adoption], Fold]]


def folds(payer: Payer) -> Callable[[Adoption], Fold]:
    """The payer's contract, for each partition's adoption, as live agents fold it."""
    return partial(fold_for, payer.contract, payer.name)


@dataclass
class Capture:
    """The rows of one bucket of each of some tables: what is fetched where two sums differ."""

    buckets: Mapping[str, Bucket]
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def take(self, table: Compared, rows: Iterable[Sequence[Any]]) -> None:
        """Note rows if they are of the bucket."""
        if (wanted := self.buckets.get(table.table)) is not None:
            self.rows[table.table] += [tuple(row) for row in rows if table.bucket(row) == wanted]


class ReplayParts:
    """One partition's parts and due days in memory (a `PartStore`); what a batch wrote can be taken back."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[Part, tuple[bytes, int]]] = {}
        self.due_days: dict[str, date] = {}
        self.adopted: tuple[bytes, int] | None = None
        self.written: list[Rows] = []
        self._undo: list[tuple[str, Part, tuple[bytes, int] | None]] = []
        self._undo_due: list[tuple[str, date | None]] = []
        self._undo_adopted: list[tuple[bytes, int] | None] = []

    async def load(self, wants: Sequence[Want]) -> Iterable[tuple[str, str, str, bytes]]:
        """All parts within the ranges."""
        found: list[tuple[str, str, str, bytes]] = []
        for token, kind, low, high in wants:
            parts = self.parts.get(token, {})
            if kind in {"claim", "head"}:
                part = parts.get((kind, low))
                if part is not None:
                    found.append((token, kind, low, part[0]))
            else:
                found += [
                    (token, kind, key, data) for (k, key), (data, _) in parts.items() if k == kind and low <= key < high
                ]
        return found

    async def due(self, partition: int, through: date, after: str, limit: int) -> Sequence[str]:
        """By token."""
        del partition
        return heapq.nsmallest(limit, (token for token, on in self.due_days.items() if on <= through and token > after))

    async def heads(self, partition: int, after: str, limit: int) -> Sequence[str]:
        """By token."""
        del partition
        return heapq.nsmallest(limit, (token for token in self.parts if token > after))

    async def write(self, rows: Rows) -> None:
        """Keep the parts at once, and the rows until the batch is done."""
        for _, _, token, kind, key, data, offset in (*rows.new_parts, *rows.changed_parts):
            parts = self.parts.setdefault(token, {})
            self._undo.append((token, (kind, key), parts.get((kind, key))))
            parts[kind, key] = data, offset
        for _, token, on in rows.due:
            self._undo_due.append((token, self.due_days.get(token)))
            self._set_due(token, on)
        for _, data, offset in rows.adoptions:
            self._undo_adopted.append(self.adopted)
            self.adopted = data, offset
        self.written.append(rows)

    def commit(self) -> list[Rows]:
        """The batch is done: what it wrote."""
        written, self.written = self.written, []
        self._undo, self._undo_due, self._undo_adopted = [], [], []
        return written

    def rollback(self) -> None:
        """The batch failed: all is as it was before."""
        for token, part, before in reversed(self._undo):
            if before is not None:
                self.parts[token][part] = before
                continue
            del self.parts[token][part]
            if not self.parts[token]:
                del self.parts[token]
        for token, on in reversed(self._undo_due):
            self._set_due(token, on)
        for adopted in reversed(self._undo_adopted):
            self.adopted = adopted
        self.commit()

    def _set_due(self, token: str, on: date | None) -> None:
        if on is None:
            self.due_days.pop(token, None)
        else:
            self.due_days[token] = on


class PartitionReplay:
    """One partition's log, folded; afterwards `sums` are of the rows that live tables must have.

    `payments` are the events that its topic must have, by id, each as its `brief` digest.
    """

    def __init__(
        self,
        payer: Payer,
        partition: int,
        make_folds: MakeFolds = folds,
        capture: Capture | None = None,
        boundaries: Sequence[int] | None = None,
    ) -> None:
        self.payer = payer.name
        self.topic = log_topic(payer.name)
        self.partition = partition
        self.sums = Sums()
        self.events = 0
        self.stopped: Stopped | None = None
        self.payments: dict[bytes, bytes] = {}
        self._capture = capture
        self._folder = Folder(payer.name, payer.contract, payments_topic(payer.name), make_folds(payer))
        self._folder.open(partition, None)
        self._parts = ReplayParts()
        self._contract = payer.contract
        self._unknown = False
        self._seen: dict[bytes, bytes] = {}
        self._parked: dict[str, Poisoned] = {}
        self._versions: dict[tuple[str, str], list[Any]] = {}
        self._batches = None if boundaries is None else _Batches(self.topic, partition, boundaries)

    async def feed(self, records: Sequence[Any]) -> None:
        """Fold some records, in order. Beyond where the partition stopped, none are taken."""
        if self._batches is not None:
            self._add("log_batch", self._batches.take(records))
        facts, rejects = self.sift(records)
        facts = await self.fold(facts)
        self.events += sum(record.offset < self._end for record in records)
        self._add("fact", [self._fact_row(fact) for fact in facts])
        self._add("reject", [row for row in rejects if row[REJECT_OFFSET] < self._end])

    async def fold(self, facts: list[Fact]) -> list[Fact]:
        """Fold facts and count what they make; answers those that came before where the partition stopped."""
        while True:
            waiting = {member: poisoned.offset for member, poisoned in self._parked.items()}
            facts = [fact for fact in facts if fact.offset < self._end]
            try:
                await self._folder.fold(facts, self._parts, waiting)
                break
            except Poisoned as poisoned:
                self._undo()
                if poisoned.member in self._parked:
                    self._stop(Stopped(poisoned.partition, poisoned.offset, poisoned.reason))
                else:
                    self._parked[poisoned.member] = poisoned
            except Stopped as stopped:
                self._undo()
                self._stop(stopped)
        self._folder.commit()
        for rows in self._parts.commit():
            self.take(rows)
        return facts

    def finish(self) -> Sums:
        """Add what stands only at the end: parts, due days, adoption, parked members, versions in force."""
        payer, partition = self.payer, self.partition
        for (table, _), row in self._versions.items():
            self._add(table, [row])
        self._versions = {}
        for token, parts in self._parts.parts.items():
            self._add(
                "state_part",
                [(payer, partition, token, kind, key, data, at) for (kind, key), (data, at) in parts.items()],
            )
        self._add("due", [(payer, partition, token, on) for token, on in self._parts.due_days.items()])
        if self._parts.adopted is not None:
            self._add("partition_state", [(payer, partition, *self._parts.adopted)])
        self._add(
            "parked_member",
            [(payer, partition, p.member, p.offset, p.event_id) for p in self._parked.values()],
        )
        return self.sums

    @property
    def halt(self) -> Halt | None:
        """Where and why the partition stopped."""
        if (stopped := self.stopped) is None:
            return None
        adopted, ours = self._folder.adoption(self.partition).contract_digest, contract_digest(self._contract)
        if self._unknown or adopted == ours:
            return Halt(stopped.offset, stopped.reason, newer=self._unknown)
        return Halt(stopped.offset, stopped.reason, adopted=adopted, ours=ours)

    @property
    def _end(self) -> int:
        return NO_END if self.stopped is None else self.stopped.offset

    def _stop(self, stopped: Stopped) -> None:
        if stopped.offset < self._end:
            self.stopped = stopped

    def _undo(self) -> None:
        self._folder.rollback()
        self._parts.rollback()

    def sift(self, records: Sequence[Any]) -> tuple[list[Fact], list[Row]]:
        """The facts that are new, and a reject for what cannot be read or came before with other content."""
        facts: list[Fact] = []
        rejects: list[Row] = []
        for record in records:
            try:
                fact = decode_record(
                    self.topic, self.partition, record.offset, record.timestamp, record.key, record.value
                )
            except Unreadable as unreadable:
                rejects.append(self._reject(record, None, "unreadable", str(unreadable)))
                continue
            except UnknownType as unknown:
                self._unknown = True
                self._stop(Stopped(self.partition, record.offset, str(unknown)))
                break
            name, content = id_bytes(fact.event_id), fact.digest.encode()
            before = self._seen.setdefault(name, content)
            if before is content:
                facts.append(fact)
            elif before != content:
                rejects.append(
                    self._reject(record, fact, "conflict", "the same event id came before with other content")
                )
        return facts, rejects

    def _reject(self, record: Any, fact: Fact | None, code: str, reason: str) -> Row:
        remedy = {
            "unreadable": "send the record again, as documented",
            "conflict": "send changed content under an id of its own",
        }[code]
        return (
            str(uuid5(NAMESPACE, f"reject|{self.topic}|{self.partition}|{record.offset}")),
            self.payer,
            fact.plan if fact else "",
            self.topic,
            self.partition,
            record.offset,
            code,
            reason,
            remedy,
            fact.event_id if fact else None,
            instant(record.timestamp),
        )

    def _fact_row(self, fact: Fact) -> Row:
        return (
            self.payer,
            self.partition,
            fact.offset,
            fact.event_id,
            fact.type,
            fact.plan,
            fact.member,
            fact.digest,
            instant(fact.known_at),
        )

    def take(self, rows: Rows) -> None:
        """Count a batch's rows. A version counts once it is superseded or the log ends, as its last column is known."""
        for table, closes, made in (
            ("episode", rows.closes, rows.episodes),
            ("return_to_work", rows.return_closes, rows.returns),
        ):
            for episode_id, version, to_offset in closes:
                held = self._versions.pop((table, episode_id))
                assert held[VERSION] == version, "versions close in order"
                held[EPISODE_TO_OFFSET] = to_offset
                self._add(table, [held])
            for newer in made:
                if newer[EPISODE_TO_OFFSET] is None:
                    self._versions[table, newer[EPISODE_ID]] = list(newer)
                else:
                    self._add(table, [newer])
        self._add("episode_spend", rows.spends)
        self._add("payment", rows.payments)
        self._add("ledger_line", rows.ledger)
        for payment in rows.payments:
            self.payments[id_bytes(payment[PAYMENT_ID])] = brief(payment[EVENT])

    def _add(self, name: str, rows: Iterable[Sequence[Any]]) -> None:
        table = TABLES[name]
        if self._capture is not None:
            rows = list(rows)
            self._capture.take(table, rows)
        self.sums.add(table, rows)


class _Batches:
    """The rows of `log_batch` that a log must have, given where live batches ended.

    `boundaries`: the first offset that they tell of, then each batch's next offset.
    """

    def __init__(self, topic: str, partition: int, boundaries: Sequence[int]) -> None:
        self._topic, self._partition = topic, partition
        self._reached = Reached(boundaries[0] if boundaries else 0)
        self._ends = deque(boundaries[1:])
        self._held: list[tuple[int, int, bytes]] = []

    def take(self, records: Sequence[Any]) -> list[Row]:
        """The rows that these records complete."""
        rows: list[Row] = []
        for record in records:
            if record.offset < self._reached.next_offset:
                continue
            while self._ends and record.offset >= self._ends[0]:
                rows += self._close()
            self._held.append((record.offset, record.timestamp, leaf(record)))
            if self._ends and record.offset + 1 == self._ends[0]:
                rows += self._close()
        return rows

    def _close(self) -> list[Row]:
        end, held = self._ends.popleft(), self._held
        self._held = []
        made = stretch(self._reached, self._partition, held)
        self._reached = Reached(end, made.chain, made.known_at)
        return [(self._topic, *made.row[:2], end, *made.row[3:])]


def id_bytes(text: str) -> bytes:
    """The 16 bytes of an id."""
    return bytes.fromhex(text.replace("-", ""))


def brief(value: bytes) -> bytes:
    """96 bits of an emitted event, enough to tell it from another."""
    return blake2b(value, digest_size=12).digest()


async def log_records(connections: Connections, topic: str, partition: int, cut: int) -> AsyncIterator[Sequence[Any]]:
    """The records of a log partition before `cut`, a few thousand at a time."""
    if cut == 0:
        return
    async with groupless(connections) as consumer:
        async for records in read(consumer, topic, partition, 0, cut, RECORDS_MAX):
            yield records


@dataclass(frozen=True)
class Job:
    """A partition to be folded up to `cut`; with `capture`, the tables and buckets whose rows are wanted.

    `boundaries` are those of live batches, whose chain is computed as well (see `_Batches`). A process of its own sums
    the live rows too, as of an exported `snapshot`.
    """

    connections: Connections
    payer: Payer
    partition: int
    cut: int
    capture: Mapping[str, Bucket] | None = None
    boundaries: Sequence[int] = ()
    snapshot: str = ""


@dataclass(frozen=True)
class Replayed:
    """What a replay found out: sums of rows, rows of the captured buckets, digests of the events to be emitted."""

    sums: Sums
    rows: dict[str, list[Row]]
    payments: dict[bytes, bytes]
    events: int
    stopped: Halt | None
    unreadable: tuple[int, int] | None = None
    live: Sums | None = None
    peak_bytes: int = 0


@dataclass(frozen=True)
class Halt:
    """Where a log cannot be folded on, and why.

    `newer`: only a newer build can. `adopted` and `ours` are digests of clauses, if it is those that differ.
    """

    offset: int
    reason: str
    newer: bool = False
    adopted: str = ""
    ours: str = ""


async def replayed(job: Job, make_folds: MakeFolds = folds) -> Replayed:
    """Do a job in this process."""
    capture = Capture(job.capture) if job.capture else None
    replay = PartitionReplay(job.payer, job.partition, make_folds, capture, job.boundaries)
    unreadable = None
    try:
        async for records in log_records(job.connections, replay.topic, job.partition, job.cut):
            await replay.feed(records)
    except UnreadableLog as damaged:
        unreadable = damaged.first, damaged.last
    sums = replay.finish()
    rows = dict(capture.rows) if capture else {}
    return Replayed(sums, rows, replay.payments, replay.events, replay.halt, unreadable)


CHILD = "from streams.replay import main; main()"


async def replayed_beside(job: Job) -> Replayed:
    """Do a job in a process of its own, so that partitions are folded on several cores at once."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        answer, _ = await child.communicate(pickle.dumps(job))
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        raise
    if child.returncode != 0:
        raise ReplayFailed(f"the replay of {log_topic(job.payer.name)}[{job.partition}] ended with {child.returncode}")
    made: Replayed = pickle.loads(answer)  # noqa: S301 - from our own child
    return made


class ReplayFailed(Exception):
    """A replaying process did not come to its end; what it said is on standard error."""


def main() -> None:
    """One job from standard input, its result to standard output."""
    gc.set_threshold(50_000, 20, 50)  # parts live long; as in a worker
    answer = sys.stdout.buffer
    sys.stdout = sys.stderr
    job: Job = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 - from our own parent
    answer.write(pickle.dumps(asyncio.run(_both(job))))
    answer.flush()


async def _both(job: Job) -> Replayed:
    """The job, and the sums of the live rows as of the snapshot of who gave it."""
    made = await replayed(job)
    if not job.snapshot or made.stopped or made.unreadable:
        return made
    live = await asyncpg.connect(job.connections.postgres)
    try:
        await live.execute("SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0")
        async with live.transaction(isolation="repeatable_read", readonly=True):
            await live.execute(f"SET TRANSACTION SNAPSHOT '{job.snapshot}'")
            sums = await live_sums(live, job.payer.name, job.partition, log_topic(job.payer.name))
    finally:
        await live.close()
    unit = 1 if sys.platform == "darwin" else 1024
    return replace(made, live=sums, peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
