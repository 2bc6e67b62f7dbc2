"""Reads the logs in batches and hands each to its payer's agent; keeps claims and rebalances in order.

Kafka's group says who reads which partition, PostgreSQL says from where and refuses whoever lost it. Each payer has
lanes of its own, so that a slow payer holds up no other: a lane has some of the payer's partitions and one batch in
flight, so that one lane folds while another waits for PostgreSQL. On revocation the epochs are forgotten first, which
ends the retries of what is in flight, and then that is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mode
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from projections import store
from projections.migrate import make_partitions
from streams.agents import CONSUMER, Applied, Batch, BatchChannel, ContractAgent, Dropped, is_transient
from streams.codec import UnknownType, Unreadable, decode_record, digest_of
from streams.connections import Connections
from streams.folding import Stopped
from streams.reading import log_reader

GROUP = "carepact.contract"
BATCH_RECORDS = 2_000
BATCH_BYTES = 8_000_000
FETCH_BYTES = 4_000_000
POLL_MS = 500
SESSION_MS = 6_000
HEARTBEAT_MS = 1_000
FENCED_SECONDS = 1.5  # longer than a heartbeat: by then we know whether the partition is still ours
HALTED_SECONDS = 5.0
COMMIT_SECONDS = 2.0
CLAIM_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Lane:
    """The reading of some of a payer's partitions: what is claimed, where each goes on, what stands still."""

    agent: ContractAgent
    channel: BatchChannel
    assigned: list[int] = field(default_factory=list)
    epochs: dict[int, int] = field(default_factory=dict)
    generation: int = -1  # of the assignment that was claimed
    next_offsets: dict[int, int] = field(default_factory=dict)
    halted: dict[int, float] = field(default_factory=dict)  # until when it stands still before it is tried again
    noted: set[int] = field(default_factory=set)  # partitions with a row in halted_partition
    in_flight: asyncio.Future[Applied] | None = None


class Transport(mode.Service):  # type: ignore[misc]
    """The batch reader of one worker. `instance` is its static name in the group, so that it may come back at once."""

    def __init__(
        self,
        connections: Connections,
        pool: Any,
        lanes: Iterable[tuple[ContractAgent, BatchChannel]],
        *,
        instance: str,
        owner: str,
        group: str = GROUP,
        batch_records: int = BATCH_RECORDS,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._connections = connections
        self._pool = pool
        self._lanes = [Lane(*lane) for lane in lanes]
        self._instance, self._owner, self._group = instance, owner, group
        self._batch_records = batch_records
        self._generation = 0
        self._changed = asyncio.Event()
        self._consumer: Any = None
        for lane in self._lanes:
            lane.agent.is_current = _is_current(lane)

    @property
    def _topics(self) -> set[str]:
        return {lane.agent.topic for lane in self._lanes}

    # -- life -------------------------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Join the group; while the broker is away, try again."""
        tries = 0
        while not self.should_stop:
            self._consumer = self._new_consumer()
            try:
                await self._consumer.start()
                break
            except (KafkaError, OSError, TimeoutError) as error:
                await self._consumer.stop()
                if tries == 0:
                    log.warning("kafka_away", error=type(error).__name__)
                await self._pause(tries)
                tries += 1
        self._consumer.subscribe(sorted(self._topics), listener=_Listener(self))

    def _new_consumer(self) -> Any:
        return AIOKafkaConsumer(
            **self._connections.aiokafka(),
            group_id=self._group,
            group_instance_id=self._instance,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            rebalance_timeout_ms=30_000,
            max_poll_interval_ms=86_400_000,
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=250,
        )

    async def on_started(self) -> None:
        """Start a loop for each lane."""
        for lane in self._lanes:
            self.add_future(self._run(lane))
        self.add_future(self._commit())

    async def on_stop(self) -> None:
        """Let the batches in flight end, then leave. A static member keeps its place for one session time-out."""
        await self.forget()
        if self._consumer is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(self._consumer.stop(), 5)

    async def forget(self) -> None:
        """No partition is ours any more; returns when no batch is in flight."""
        self._generation += 1
        for lane in self._lanes:
            lane.assigned, lane.epochs = [], {}
        waiting = [lane.in_flight for lane in self._lanes if lane.in_flight is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=store.COMMAND_SECONDS)

    def assign(self, parts: Iterable[TopicPartition]) -> None:
        """These partitions are ours, dealt out to each payer's lanes; their claims are made by the lanes' loops."""
        self._generation += 1
        ours = sorted(parts)
        for topic in self._topics:
            lanes = [lane for lane in self._lanes if lane.agent.topic == topic]
            partitions = [tp.partition for tp in ours if tp.topic == topic]
            for i, lane in enumerate(lanes):
                lane.assigned = partitions[i :: len(lanes)]
        self._changed.set()
        self._changed = asyncio.Event()

    # -- one lane's loop ----------------------------------------------------------------------------------------------

    async def _run(self, lane: Lane) -> None:
        payer = lane.agent.payer.name
        await lane.channel.listened.wait()
        tries = 0
        while not self.should_stop:
            try:
                if not lane.assigned:
                    await self._assignment_changes()
                elif lane.generation != self._generation or not lane.epochs:
                    await self._claim(lane)
                else:
                    await self._step(lane)
                tries = 0
            except store.Fenced as fenced:
                log.warning("fenced", payer=payer, reason=str(fenced))
                lane.epochs = {}
                await self.sleep(FENCED_SECONDS)
            except (Dropped, IllegalStateError):
                lane.epochs = {}  # the partitions went to another worker meanwhile
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if not is_transient(error) and not isinstance(error, KafkaError):
                    log.exception("projection_failed", payer=payer, error=type(error).__name__)
                elif tries == 0:
                    log.warning("projection_waits", payer=payer, error=type(error).__name__)
                lane.epochs = {}
                await self._pause(tries)
                tries += 1

    async def _assignment_changes(self) -> None:
        await self.wait(self._changed)

    async def _claim(self, lane: Lane) -> None:
        """Claim what is assigned, see that the logs are those we know, and seek."""
        generation, partitions = self._generation, list(lane.assigned)
        payer, topic = lane.agent.payer.name, lane.agent.topic
        async with self._pool.acquire() as connection:
            await make_partitions(connection, max(partitions) + 1)
            claimed = await store.claim(connection, CONSUMER, [(topic, p) for p in partitions], self._owner)
        positions = {partition: position for (_, partition), position in claimed.items()}
        await lane.agent.open(partitions)
        wrong = await check_logs(self._connections, topic, positions)
        if generation != self._generation:
            return
        lane.halted.clear()
        async with self._pool.acquire() as connection:
            await store.unhalt(connection, payer, [p for p in partitions if p not in wrong])
        lane.noted = set(wrong)
        for stopped in wrong.values():
            await self._halt(lane, stopped)
        if generation != self._generation:
            return
        lane.next_offsets = {partition: position.next_offset for partition, position in positions.items()}
        for partition, offset in lane.next_offsets.items():
            self._consumer.seek(TopicPartition(topic, partition), offset)
        lane.generation = generation
        lane.epochs = {partition: position.epoch for partition, position in positions.items()}
        log.info("claimed", payer=payer, partitions=partitions, owner=self._owner)

    async def _step(self, lane: Lane) -> None:
        """Read one batch and have it applied."""
        topic, epochs = lane.agent.topic, lane.epochs
        if due := [p for p, until in lane.halted.items() if until <= time.monotonic()]:
            await self._retry_halted(lane, due[0])
            return
        free = [TopicPartition(topic, p) for p in epochs if p not in lane.halted]
        if not free:
            await self.sleep(HALTED_SECONDS / 5)
            return
        got = await self._consumer.getmany(*free, timeout_ms=POLL_MS, max_records=self._batch_records)
        if not got or lane.epochs is not epochs:
            return
        for records in _within_bytes({tp.partition: records for tp, records in got.items()}):
            await self._apply(lane, epochs, records)

    async def _apply(self, lane: Lane, epochs: dict[int, int], records: Mapping[int, Sequence[Any]]) -> None:
        payer = lane.agent.payer.name
        mine = {partition: part for partition, part in records.items() if partition not in lane.halted}
        if not mine:
            return
        done: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        lane.in_flight = done
        try:
            await lane.channel.put(Batch(epochs, mine, done))
            applied = await done
        finally:
            lane.in_flight = None
        if lane.epochs is not epochs:
            return
        lane.next_offsets.update(applied.next_offsets)
        for stopped in applied.stops.values():
            self._consumer.seek(TopicPartition(lane.agent.topic, stopped.partition), stopped.offset)
            await self._halt(lane, stopped)
        if gone_on := [p for p in mine if p in lane.noted and p not in applied.stops]:
            async with self._pool.acquire() as connection:
                await store.unhalt(connection, payer, gone_on)
            lane.noted -= set(gone_on)
            log.info("partition_goes_on", payer=payer, partitions=gone_on)

    async def _halt(self, lane: Lane, stopped: Stopped) -> None:
        """A partition stands still and is tried again later; said once for each reason."""
        payer = lane.agent.payer.name
        lane.halted[stopped.partition] = time.monotonic() + HALTED_SECONDS
        lane.noted.add(stopped.partition)
        async with self._pool.acquire() as connection:
            news = await store.halt(connection, payer, stopped.partition, stopped.offset, stopped.reason)
        if news:
            where = {"payer": payer, "partition": stopped.partition, "offset": stopped.offset}
            log.error("partition_halted", reason=stopped.reason, **where)

    async def _retry_halted(self, lane: Lane, partition: int) -> None:
        """One record of a halted partition by itself, after another look at the log."""
        topic, epochs = lane.agent.topic, lane.epochs
        async with self._pool.acquire() as connection, connection.transaction():
            held = await store.hold(connection, CONSUMER, topic, {partition: epochs[partition]})
        wrong = await check_logs(self._connections, topic, held)
        if lane.epochs is not epochs:
            return
        if wrong:
            await self._halt(lane, wrong[partition])
            return
        del lane.halted[partition]
        tp = TopicPartition(topic, partition)
        self._consumer.seek(tp, held[partition].next_offset)
        got = await self._consumer.getmany(tp, timeout_ms=POLL_MS, max_records=1)
        if got and lane.epochs is epochs:
            await self._apply(lane, epochs, {partition: got[tp]})

    async def _commit(self) -> None:
        """Tell Kafka how far we are, for displays of lag only."""
        while not self.should_stop:
            await self.sleep(COMMIT_SECONDS)
            offsets = {
                TopicPartition(lane.agent.topic, partition): offset
                for lane in self._lanes
                for partition, offset in lane.next_offsets.items()
                if partition in lane.epochs
            }
            if offsets:
                with contextlib.suppress(KafkaError, OSError, TimeoutError):
                    await self._consumer.commit(offsets)

    async def _pause(self, tries: int) -> None:
        await self.sleep(CLAIM_SECONDS[min(tries, len(CLAIM_SECONDS) - 1)])


def _is_current(lane: Lane) -> Callable[[Mapping[int, int]], bool]:
    return lambda epochs: lane.epochs is epochs


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Before a rebalance."""
        await self._transport.forget()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """After one."""
        self._transport.assign(assigned)


def _within_bytes(records: Mapping[int, Sequence[Any]]) -> list[dict[int, list[Any]]]:
    """Records cut into batches of at most BATCH_BYTES each (one record at least), in order."""
    batches: list[dict[int, list[Any]]] = [{}]
    size = 0
    for partition, part in records.items():
        for record in part:
            length = len(record.value or b"")
            if size + length > BATCH_BYTES and size:
                batches.append({})
                size = 0
            size += length
            batches[-1].setdefault(partition, []).append(record)
    return batches


async def check_logs(
    connections: Connections, topic: str, positions: Mapping[int, store.Position]
) -> dict[int, Stopped]:
    """Whether the log of each position is the one that was read: named by its first record, and still as long.

    Answers the partitions where it is not, with what is wrong.
    """
    read = {partition: position for partition, position in positions.items() if position.next_offset > 0}
    if not read:
        return {}
    async with log_reader(connections) as reader:
        begins, ends = await reader.bounds([(topic, p) for p in read])
        wanted = {
            (topic, p): [o for o in (0, at.next_offset - 1) if begins[topic, p] <= o < ends[topic, p]]
            for p, at in read.items()
        }
        found = await reader.records(wanted)
    wrong = {}
    for partition, at in read.items():
        first = found.get((topic, partition, 0))
        last = found.get((topic, partition, at.next_offset - 1))
        reason = _difference(topic, at, begins[topic, partition], ends[topic, partition], first, last)
        if reason:
            wrong[partition] = Stopped(partition, at.next_offset, f"{topic}[{partition}] {reason}")
    return wrong


def _difference(topic: str, at: store.Position, begin: int, end: int, first: Any, last: Any) -> str:
    if end < at.next_offset:
        return f"was shortened: it ends at {end}, and {at.next_offset} records of it were read"
    if begin > at.next_offset:
        return f"lost records: it begins at {begin}, and only {at.next_offset} were read"
    if at.log_id is not None and (name := _log_id(topic, first)) != at.log_id:
        return f"is another log: its first record names {name or 'none'}, and {at.log_id} was read"
    if at.last_digest is not None and (last is None or digest_of(last.value or b"") != at.last_digest):
        return f"was changed: the record at {at.next_offset - 1} is not the one that was read"
    return ""


def _log_id(topic: str, record: Any) -> str | None:
    if record is None:
        return None
    try:
        fact = decode_record(topic, record.partition, record.offset, record.timestamp, record.key, record.value)
    except (Unreadable, UnknownType):
        return None
    return getattr(fact.data, "log_id", None)
