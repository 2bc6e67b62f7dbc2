"""Folds a log again, from its first record to a cut, on nothing but memory: no live table is read, nothing is sent.

One partition at a time, since nothing reads across partitions; or one slice of its members, since these never meet
(`streams.slices`). Kept are the members' parts, the ids seen, and the sums of the rows' digests; the rows themselves
only of a bucket that is to be looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any
from uuid import uuid5

from contracts.envelope import NAMESPACE, Fact
from contracts.fold import Fold
from contracts.parts import Adoption
from contracts.roster import contract_digest, fold_for
from projections.digests import TABLES, Bucket, Compared, Sums
from projections.rows import EPISODE, EPISODE_TO_OFFSET, PAYMENT, Row, Rows
from projections.store import REJECT, instant
from streams.codec import UnknownType, Unreadable, decode_record
from streams.connections import Connections
from streams.folding import Folder, Poisoned, Stopped
from streams.output import groupless
from streams.replay_parts import ReplayParts
from streams.roster import Payer
from streams.topics import log_topic, payments_topic
from streams.verifying_log import NO_END, read

RECORDS_MAX = 10_000
"""At a time: parts are written once for all of them."""
EPISODE_ID, VERSION = EPISODE.index("episode_id"), EPISODE.index("version")
REJECT_OFFSET = REJECT.index("log_offset")
PAYMENT_ID, EVENT = PAYMENT.index("payment_id"), PAYMENT.index("event")
SHORT_RECORDS = 20_000
"""A log below this is folded sooner than processes start."""


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


class PartitionReplay:
    """One partition's log, or a slice of it, folded; afterwards `sums` are of the rows that live tables must have.

    `payments` are the events that its topic must have, by id, each as its `brief` digest. What is told to everybody is
    counted in the `first` slice alone. Nothing from `end` on is taken.
    """

    def __init__(
        self,
        payer: Payer,
        partition: int,
        make_folds: MakeFolds = folds,
        capture: Capture | None = None,
        *,
        first: bool = True,
        end: int = NO_END,
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
        self._seen: dict[str, str] = {}
        self._parked: dict[str, Poisoned] = {}
        self._versions: dict[tuple[str, str], list[Any]] = {}
        self._first, self._until = first, end

    async def feed(self, records: Sequence[Any]) -> None:
        """Fold some records, in order. Beyond where the partition stopped, none are taken."""
        facts, rejects = self.sift(records)
        facts = await self.fold(facts)
        end, first = self._end, self._first
        counted = records if end == NO_END else [record for record in records if record.offset < end]
        self.events += len(counted) if first else len([True for record in counted if record.key])
        self._add("fact", self._fact_rows(facts if first else [fact for fact in facts if fact.member]))
        self._add("reject", [row for row in rejects if row[REJECT_OFFSET] < end])

    async def fold(self, facts: list[Fact]) -> list[Fact]:
        """Fold facts and count what they make; answers those that came before where the partition stopped."""
        while True:
            waiting = {member: poisoned.offset for member, poisoned in self._parked.items()}
            if self._end < NO_END:
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
        for parts in self._parts.parts.values():
            self._add("state_part", parts.values())
        self._add("due", [(payer, partition, token, on) for token, on in self._parts.due_days.items()])
        if self._parts.adopted is not None and self._first:
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
        return self._until if self.stopped is None else min(self._until, self.stopped.offset)

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
        topic, partition, first_said = self.topic, self.partition, self._seen.setdefault
        for record in records:
            try:
                fact = decode_record(topic, partition, record.offset, record.timestamp, record.key, record.value)
            except Unreadable as unreadable:
                if self._first or record.key:
                    rejects.append(self._reject(record, None, "unreadable", str(unreadable)))
                continue
            except UnknownType as unknown:
                self._unknown = True
                self._stop(Stopped(self.partition, record.offset, str(unknown)))
                break
            content = fact.digest
            before = first_said(fact.event_id, content)
            if before is content:
                facts.append(fact)
            elif before != content and (self._first or record.key):
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

    def _fact_rows(self, facts: Iterable[Fact]) -> list[Row]:
        payer, partition, last, known_at = self.payer, self.partition, -1, instant(0)
        rows: list[Row] = []
        for fact in facts:
            if fact.known_at != last:  # a broker gives all records of a batch one time
                last = fact.known_at
                known_at = instant(last)
            rows.append(
                (
                    payer, partition, fact.offset, fact.event_id, fact.type, fact.plan, fact.member, fact.digest,
                    known_at,
                )
            )  # fmt: skip
        return rows

    def take(self, rows: Rows) -> None:
        """Count a batch's rows. A version counts once it is superseded or the log ends, as its last column is known."""
        for table, closes, made in (
            ("episode", rows.closes, rows.episodes),
            ("return_to_work", rows.return_closes, rows.returns),
        ):
            closed: list[Sequence[Any]] = []
            for episode_id, version, to_offset in closes:
                held = self._versions.pop((table, episode_id))
                assert held[VERSION] == version, "versions close in order"
                held[EPISODE_TO_OFFSET] = to_offset
                closed.append(held)
            for newer in made:
                if newer[EPISODE_TO_OFFSET] is None:
                    self._versions[table, newer[EPISODE_ID]] = list(newer)
                else:
                    closed.append(newer)
            self._add(table, closed)
        self._add("episode_spend", rows.spends)
        self._add("payment", rows.payments)
        self._add("ledger_line", rows.ledger)
        self._add("remittance", rows.moves)
        for payment in rows.payments:
            self.payments[id_bytes(payment[PAYMENT_ID])] = brief(payment[EVENT])

    def _add(self, name: str, rows: Iterable[Sequence[Any]]) -> None:
        table = TABLES[name]
        if self._capture is not None:
            rows = list(rows)
            self._capture.take(table, rows)
        self.sums.add(table, rows)


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
