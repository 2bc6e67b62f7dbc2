"""The contract agents: whole batches of one payer's log, each in one PostgreSQL transaction.

A batch is folded, and its facts, parts, decisions, rejects and position are stored together or not at all. What stops
everything is retried until it is cured or the partitions are lost; what one record causes is parked or rejected, and
the others go on (seams 16, 17). The result depends on the order of the log only, never on how it was cut into batches.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid5

import faust
import structlog
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from contracts.envelope import NAMESPACE, Fact
from contracts.events import LogOpened
from projections import batches, store
from projections.rows import Row
from streams import chain
from streams.codec import UnknownType, Unreadable, decode_record, digest_of
from streams.connections import BROKEN
from streams.folding import Folder, Poisoned, Stopped, is_data_error
from streams.roster import Payer
from streams.topics import log_topic

CONSUMER = "contract"
BACK_OFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
UNSAID_TRIES = 3
NO_END = 1 << 62
LOG_OPENED = LogOpened.type_name()
TRANSIENT_CLASSES = {"08", "25", "28", "3D", "40", "53", "55", "57", "58"}
"""SQLSTATE classes that pass: connection, session limits, access while starting, locks, resources, operator, system."""
TIMED_OUT = {"57014", "55P03", "25P03"}

log = structlog.get_logger(__name__)


class Dropped(Exception):
    """The partitions were lost while the batch waited; their new owner reads it again."""


@dataclass(slots=True)
class Item:
    """One record and what it says: a fact, or why it is none. `stop`: no build before a newer one can tell."""

    partition: int
    offset: int
    known_at: int
    value: bytes
    leaf: bytes
    fact: Fact | None = None
    unreadable: str = ""
    stop: str = ""


@dataclass(slots=True)
class Applied:
    """How a batch ended: where each partition goes on, and those that stand still, with the offset and why."""

    next_offsets: dict[int, int] = field(default_factory=dict)
    stops: dict[int, Stopped] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """Records of some partitions of one log, in order, and the epochs they were read under.

    The dict of epochs is the very one the transport holds: when it holds another, the batch is no longer ours.
    """

    epochs: dict[int, int]
    records: Mapping[int, Sequence[Any]]
    done: asyncio.Future[Applied]


@dataclass(slots=True)
class Counts:
    """What this process did for a payer."""

    facts: int = 0
    batches: int = 0
    duplicates: int = 0
    conflicts: int = 0
    unreadable: int = 0
    parked: int = 0
    fenced: int = 0
    retries: int = 0


@dataclass(slots=True)
class Interruption:
    """Which of a payer's lanes wait for something to be cured: the first to wait says so, the last to go on."""

    lanes: set[int] = field(default_factory=set)

    def begins(self, lane: int) -> bool:
        """A lane waits; whether it is the first."""
        first = not self.lanes
        self.lanes.add(lane)
        return first

    def ends(self, lane: int) -> bool:
        """A lane goes on, or has nothing to wait for any more; whether it was the last that waited."""
        waited = lane in self.lanes
        self.lanes.discard(lane)
        return waited and not self.lanes


RECENT_IDS = 30_000
"""So many ids of a partition, and up to as many before them, are remembered to tell what is likely to be stored."""


class Recent:
    """Hashes of the ids of the facts stored last: what is among them is likely to have come before, the rest is not."""

    def __init__(self) -> None:
        self._young: set[int] = set()
        self._old: set[int] = set()

    def __contains__(self, event_id: str) -> bool:
        name = hash(event_id)
        return name in self._young or name in self._old

    def add(self, event_id: str) -> None:
        """Remember an id, and forget the older half when there are enough."""
        self._young.add(hash(event_id))
        if len(self._young) >= RECENT_IDS:
            self._old, self._young = self._young, set()


@dataclass(slots=True)
class _Plan:
    """What earlier tries of a batch taught: who must be parked where, which partition stops where."""

    parks: dict[str, Poisoned] = field(default_factory=dict)
    stops: dict[int, Stopped] = field(default_factory=dict)
    tries: int = 0


class ContractAgent:
    """Fold and transaction of one payer's contract, for some of its partitions. One batch at a time."""

    def __init__(
        self,
        payer: Payer,
        pool: Any,
        folder: Folder,
        is_current: Callable[[Mapping[int, int]], bool] = lambda _: True,
        after_commit: Callable[[str], None] = lambda _: None,
        interruption: Interruption | None = None,
    ) -> None:
        self.payer = payer
        self.topic = log_topic(payer.name)
        self.folder = folder
        self.counts = Counts()
        self.is_current = is_current
        self.after_commit = after_commit
        self._pool = pool
        self._careful = False
        self._recent: defaultdict[int, Recent] = defaultdict(Recent)
        self._interruption = interruption or Interruption()
        self._chains = chain.Chains()
        self._log = log.bind(payer=payer.name)

    async def open(self, partitions: Sequence[int]) -> None:
        """Begin with claimed partitions, as they are stored."""
        self._interruption.ends(id(self))
        self.folder.close(self.folder.partitions)
        self._recent.clear()
        async with self._pool.acquire() as connection:
            adopted = await store.adoptions(connection, self.payer.name, partitions)
        for partition in partitions:
            self.folder.open(partition, adopted.get(partition))

    async def serve(self, batch: Batch) -> None:
        """Apply a batch and tell its future, whatever happens: an exception here would be swallowed by Faust."""
        try:
            applied = await self.apply(batch)
        except asyncio.CancelledError:
            batch.done.cancel()
            raise
        except Exception as error:
            if not batch.done.done():
                batch.done.set_exception(error)
        else:
            if not batch.done.done():
                batch.done.set_result(applied)

    async def apply(self, batch: Batch) -> Applied:
        """Apply a whole batch, in parts where it must be."""
        items = self._decode(batch.records)
        plan, applied = _Plan(), Applied()
        start, size = 0, len(items)
        while start < len(items):
            part = items[start : start + size]
            try:
                await self._transact(batch.epochs, part, plan, applied)
            except store.Repeated:
                self._careful = True  # facts are kept before any is folded: there is nothing to roll back
                continue
            except Poisoned as poisoned:
                self._park(plan, poisoned)
            except Stopped as stopped:
                plan.stops[stopped.partition] = stopped
            except store.Fenced:
                self.counts.fenced += 1
                self.folder.rollback()
                raise
            except Exception as error:
                size = await self._after(error, batch, part, plan)
            else:
                start, size, plan.tries = start + len(part), min(len(items), 2 * size), 0
                self.folder.sweep_members = max(self.folder.sweep_members, 500 if size > 1 else 1)
                continue
            self.folder.rollback(batch.epochs)
        applied.stops = plan.stops
        return applied

    # -- one transaction ----------------------------------------------------------------------------------------------

    async def _transact(self, epochs: Mapping[int, int], part: Sequence[Item], plan: _Plan, applied: Applied) -> None:
        mine = {item.partition: epochs[item.partition] for item in part}
        payer = self.payer.name
        async with self._pool.acquire() as connection, connection.transaction():
            held = await store.hold(connection, CONSUMER, self.topic, mine)
            items = [
                item
                for item in part
                if held[item.partition].next_offset <= item.offset < self._end(plan, item.partition)
            ]
            self._refuse_unknown(items)
            waiting = await store.parked(connection, payer)
            parks = [one for one in plan.parks.values() if any(_is_at(item, one) for item in items)]
            waiting.update({one.member: one.offset for one in parks if one.member not in waiting})
            facts, rejects, repeated = await self._sift(connection, items)
            if facts:
                await self.folder.fold(facts, store.LiveParts(connection, payer), waiting)
            if rejects:
                await store.copy_rejects(connection, rejects)
            if parks:
                rows = [(one.partition, one.member, one.offset, one.event_id, one.reason) for one in parks]
                await store.park(connection, payer, rows)
            reached = _reached(items)
            made = await self._chain(connection, held, items)
            if reached:
                await store.advance(connection, CONSUMER, self.topic, reached)
        self.folder.commit()
        self._chains.note(made)
        for fact in facts:
            self._recent[fact.partition].add(fact.event_id)
        self._count(facts, rejects, repeated, parks)
        applied.next_offsets.update({p: at.next_offset for p, at in held.items()})
        applied.next_offsets.update({one.partition: one.next_offset for one in reached})
        self.after_commit(payer)

    async def _chain(
        self, connection: Any, held: Mapping[int, store.Position], items: Sequence[Item]
    ) -> list[chain.Stretch]:
        """Store what the records hash to behind those before them."""
        by_partition: dict[int, list[tuple[int, int, bytes]]] = {}
        for item in items:
            by_partition.setdefault(item.partition, []).append((item.offset, item.known_at, item.leaf))
        if not by_partition:
            return []
        stand = {partition: held[partition].next_offset for partition in by_partition}
        chains = self._chains
        if missing := chains.missing(stand):
            ends = await batches.ends(connection, self.topic, {p: stand[p] for p in missing})
            for p in missing:
                chains.reached[p] = chain.Reached(stand[p], *ends.get(p, ()))
        made = [chain.stretch(chains.reached[p], p, records) for p, records in by_partition.items()]
        await batches.keep(connection, self.topic, [one.row for one in made])
        return made

    async def _sift(self, connection: Any, items: Sequence[Item]) -> tuple[list[Fact], list[Row], int]:
        """Store the facts that are new; answers them, the rejects, and how many facts came before.

        One id with the same digest is a duplicate and drops out; with another it is a conflict, and is rejected.
        """
        rejects: list[Row] = []
        first: dict[tuple[int, str], Fact] = {}
        again: list[tuple[Item, Fact]] = []
        for item in items:
            fact = item.fact
            if fact is None:
                remedy = "send the record again, as documented"
                rejects.append(self._reject(item, "unreadable", item.unreadable, remedy))
            elif first.setdefault((fact.partition, fact.event_id), fact) is not fact:
                again.append((item, fact))
        facts, known = await self._keep(connection, list(first.values()))
        if known:
            came = [(item, item.fact) for item in items if item.fact is not None and _name(item.fact) in known]
            again += [(item, fact) for item, fact in came if first[_name(fact)] is fact]
        for item, fact in again:
            before = known.get(_name(fact)) or first[_name(fact)].digest
            if before != fact.digest:
                reason = "the same event id came before with other content"
                rejects.append(self._reject(item, "conflict", reason, "send changed content under an id of its own"))
        return facts, rejects, len(again)

    async def _keep(self, connection: Any, facts: list[Fact]) -> tuple[list[Fact], dict[tuple[int, str], str]]:
        """Store facts, each id once in this batch; answers those that are new, and the digests of the others' ids."""
        if not facts:
            return [], {}
        recent, payer = self._recent, self.payer.name
        likely = facts if self._careful else [fact for fact in facts if fact.event_id in recent[fact.partition]]
        if not likely:
            await store.copy_facts(connection, payer, facts)
            return facts, {}
        if not self._careful:
            apart = {_name(fact) for fact in likely}
            await store.copy_facts(connection, payer, [fact for fact in facts if _name(fact) not in apart])
        new = await store.insert_facts(connection, payer, likely)
        came = {_name(fact): fact for fact in likely if (fact.partition, fact.offset) not in new}
        self._careful = any(fact.event_id not in recent[fact.partition] for fact in came.values())
        known = await store.known_digests(connection, payer, came.values())
        return [fact for fact in facts if _name(fact) not in came], known

    def _reject(self, item: Item, code: str, reason: str, remedy: str) -> Row:
        fact = item.fact
        return (
            uuid5(NAMESPACE, f"reject|{self.topic}|{item.partition}|{item.offset}"),
            self.payer.name,
            fact.plan if fact else "",
            self.topic,
            item.partition,
            item.offset,
            code,
            reason,
            remedy,
            fact.event_id if fact else None,
            store.instant(item.known_at),
        )

    def _refuse_unknown(self, items: Sequence[Item]) -> None:
        for item in items:
            if item.stop:
                raise Stopped(item.partition, item.offset, item.stop)

    @staticmethod
    def _end(plan: _Plan, partition: int) -> int:
        stopped = plan.stops.get(partition)
        return NO_END if stopped is None else stopped.offset

    def _count(self, facts: Sequence[Fact], rejects: Sequence[Row], repeated: int, parks: Sequence[Poisoned]) -> None:
        counts = self.counts
        conflicts = sum(1 for row in rejects if row[6] == "conflict")
        counts.batches += 1
        counts.facts += len(facts)
        counts.conflicts += conflicts
        counts.unreadable += len(rejects) - conflicts
        counts.duplicates += repeated - conflicts
        counts.parked += len(parks)
        if self._interruption.ends(id(self)):
            self._log.info("projection_goes_on")

    # -- what went wrong ----------------------------------------------------------------------------------------------

    def _park(self, plan: _Plan, poisoned: Poisoned) -> None:
        if poisoned.member in plan.parks:
            reason = f"a parked member's fact was folded: {poisoned.reason}"
            plan.stops[poisoned.partition] = Stopped(poisoned.partition, poisoned.offset, reason)
            return
        plan.parks[poisoned.member] = poisoned
        self._log.error("member_parked", partition=poisoned.partition, offset=poisoned.offset, reason=poisoned.reason)

    async def _after(self, error: Exception, batch: Batch, part: Sequence[Item], plan: _Plan) -> int:
        """What to do about an error of the database or of ours: answers how many items to try next."""
        state = str(getattr(error, "sqlstate", None) or "")
        if is_data_error(error):
            if len(part) > 1:
                return max(1, len(part) // 2)
            self._blame(part[0], f"SQLSTATE {state}", plan)
            return 1
        plan.tries += 1
        if not is_transient(error) and plan.tries >= UNSAID_TRIES:
            raise error
        await self._wait(error, state, batch, plan.tries)
        if state in TIMED_OUT or isinstance(error, TimeoutError):
            return max(1, len(part) // 2)
        return len(part)

    def _blame(self, item: Item, reason: str, plan: _Plan) -> None:
        """One record cannot be stored: its member is parked; failing that, its partition stops."""
        fact = item.fact
        if fact is not None and fact.member and fact.member not in plan.parks:
            self._park(plan, Poisoned(fact, fact.member, reason))
        elif fact is not None and not fact.member and self.folder.sweep_members > 1:
            self.folder.sweep_members = 1
        else:
            plan.stops[item.partition] = Stopped(item.partition, item.offset, f"cannot be stored: {reason}")

    async def _wait(self, error: Exception, state: str, batch: Batch, tries: int) -> None:
        self.counts.retries += 1
        if self._interruption.begins(id(self)):
            self._log.warning(
                "projection_interrupted", error=type(error).__name__, sqlstate=state, retries="until cured"
            )
        await asyncio.sleep(BACK_OFF_SECONDS[min(tries, len(BACK_OFF_SECONDS)) - 1])
        if not self.is_current(batch.epochs):
            raise Dropped from error

    def _decode(self, records: Mapping[int, Sequence[Any]]) -> list[Item]:
        topic = self.topic
        items = []
        for partition in sorted(records):
            for record in records[partition]:
                item = Item(partition, record.offset, record.timestamp, record.value or b"", chain.leaf(record))
                try:
                    item.fact = decode_record(
                        topic, partition, record.offset, record.timestamp, record.key, record.value
                    )
                except Unreadable as unreadable:
                    item.unreadable = str(unreadable)
                except UnknownType as unknown:
                    item.stop = str(unknown)
                items.append(item)
        return items


def is_transient(error: BaseException) -> bool:
    """Whether the same statement may succeed later: connection, disk, lock, time-out."""
    if isinstance(error, (OSError, TimeoutError, *BROKEN)):
        return True
    return str(getattr(error, "sqlstate", None) or "")[:2] in TRANSIENT_CLASSES


def _name(fact: Fact) -> tuple[int, str]:
    return fact.partition, fact.event_id


def _is_at(item: Item, poisoned: Poisoned) -> bool:
    return item.offset == poisoned.offset and item.partition == poisoned.partition


def _reached(items: Sequence[Item]) -> list[store.Advance]:
    """How far the items bring each partition. They are in order, so the last of each counts."""
    last = {item.partition: item for item in items}
    opened = {
        item.partition: item.fact.data.log_id
        for item in items
        if item.offset == 0 and item.fact is not None and item.fact.type == LOG_OPENED
    }
    return [
        store.Advance(partition, item.offset + 1, digest_of(item.value), opened.get(partition))
        for partition, item in sorted(last.items())
    ]


class BatchChannel(faust.Channel):  # type: ignore[misc]
    """A channel whose messages are batches. Faust's own queues are emptied at each rebalance; this one is not."""

    def __init__(self, app: Any, **arguments: Any) -> None:
        super().__init__(app, **arguments)
        self._queue: Any = arguments.get("queue")
        self.listened = asyncio.Event()

    @property
    def queue(self) -> Any:
        """One batch at most."""
        if self._queue is None:
            never = FlowControlEvent(initially_suspended=False)
            self._queue = ThrowableQueue(maxsize=1, flow_control=never, clear_on_resume=False)
        return self._queue

    def clone(self, *, is_iterator: bool | None = None, **arguments: Any) -> Any:
        """As Faust's; notes that somebody listens now, since what is put before is lost."""
        made = super().clone(is_iterator=is_iterator, **arguments)
        if is_iterator:
            (self._root or self).listened.set()
        return made


def declare(app: Any, agent: ContractAgent, lane: int = 0) -> BatchChannel:
    """A Faust agent for one lane of a payer; answers the channel, its own, that feeds it."""
    channel = BatchChannel(app)

    @app.agent(channel, name=f"carepact.{agent.payer.name}.{lane}")  # type: ignore[untyped-decorator]
    async def contract_agent(batches: Any) -> None:
        async for batch in batches:
            await agent.serve(batch)

    return channel
