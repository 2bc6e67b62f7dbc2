"""The relay: what the fold decided goes from the outbox to the output topics, each event once.

One process at a time relays a payer. It sends rows in a Kafka transaction, then deletes them and notes how far the
topics reach in one PostgreSQL transaction that compares its lease. Whoever takes over first reads the topics from the
noted positions to their ends and strikes what is already there. Without positions (the database was dropped) it reads
whole topics; ids whose rows the fold has still to make again wait in `output_found` and strike them as they come.

Rows are selected by "still there", never by "later than the last": transactions commit out of order. The rows of one
subject are made in order, have one key and so stay in order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import mode
import structlog
from aiokafka.errors import KafkaError

from streams.connections import BROKEN, Connections
from streams.lease import TTL, Lease, LeaseLost
from streams.output import At, Output, Record, read_ids

CHANNEL = "carepact_outbox"
ROWS_MAX = 2_000
POLL_SECONDS = 1.0
BACK_OFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
TRANSIENT = (KafkaError, asyncpg.PostgresError, *BROKEN, OSError, TimeoutError)

Connect = Callable[[], Awaitable[Any]]
log = structlog.get_logger(__name__)

_WAITING = """
    SELECT o.outbox_id, o.topic, o.key, coalesce(o.value, p.event) AS value, o.event_id, f.event_id IS NOT NULL AS found
      FROM outbox o
      LEFT JOIN payment p ON o.value IS NULL AND p.payment_id = o.event_id
      LEFT JOIN output_found f ON f.payer = o.payer AND f.event_id = o.event_id
     WHERE o.payer = $1
     ORDER BY o.outbox_id
     LIMIT $2
"""
_REACHED = """
    INSERT INTO output_position (payer, topic, partition, next_offset)
    SELECT $1, * FROM unnest($2::text[], $3::int[], $4::bigint[])
    ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset
"""
_STRIKE = "DELETE FROM outbox WHERE payer = $1 AND event_id = ANY($2::uuid[]) RETURNING event_id"
_REMEMBER = """
    INSERT INTO output_found (payer, event_id) SELECT $1, unnest($2::uuid[]) ON CONFLICT DO NOTHING
"""


@dataclass(slots=True)
class Counts:
    """What this process relayed so far."""

    sent: int = 0
    struck: int = 0
    take_overs: int = 0


@dataclass
class Shard:
    """A payer's relay in one holder's hands: its lease, its connection, its producer."""

    payer: str
    topics: Sequence[str]
    connections: Connections
    connection: Any
    lease: Lease
    output: Output
    counts: Counts = field(default_factory=Counts)

    async def step(self, rows_max: int = ROWS_MAX) -> int:
        """Relay the oldest rows; answers how many left the outbox."""
        rows = await self.waiting(rows_max)
        if not rows:
            return 0
        await self.settle(rows, await self.publish(rows))
        return len(rows)

    async def waiting(self, rows_max: int = ROWS_MAX) -> list[Any]:
        """The oldest rows still there."""
        rows: list[Any] = await self.connection.fetch(_WAITING, self.payer, rows_max)
        return rows

    async def publish(self, rows: Sequence[Any]) -> dict[At, int]:
        """Send the rows that no topic has yet; answers how far each partition now reaches."""
        records = [Record(row["topic"], row["key"], row["value"]) for row in rows if not row["found"]]
        if foreign := {record.topic for record in records} - set(self.topics):
            raise AssertionError(f"outbox of {self.payer} names topics that are not its own: {sorted(foreign)}")
        return await self.output.send(records) if records else {}

    async def settle(self, rows: Sequence[Any], reached: Mapping[At, int]) -> None:
        """Delete what the topics now have, and note how far they reach."""
        found = [row["event_id"] for row in rows if row["found"]]
        async with self.connection.transaction():
            await self.lease.hold(self.connection)
            gone = [row["outbox_id"] for row in rows]
            await self.connection.execute("DELETE FROM outbox WHERE outbox_id = ANY($1::bigint[])", gone)
            await self._note(reached)
            if found:
                forget = "DELETE FROM output_found WHERE payer = $1 AND event_id = ANY($2::uuid[])"
                await self.connection.execute(forget, self.payer, found)
        self.counts.sent += len(rows) - len(found)
        self.counts.struck += len(found)

    async def read_back(self) -> None:
        """Strike from the outbox what the topics have beyond the noted positions, or keep it for rows to come."""
        noted = await self.connection.fetch(
            "SELECT topic, partition, next_offset FROM output_position WHERE payer = $1", self.payer
        )
        positions = {(row["topic"], row["partition"]): row["next_offset"] for row in noted}
        async for ids, reached in read_ids(self.connections, self.topics, positions):
            await self._strike(ids, reached)

    async def _strike(self, ids: Iterable[UUID], reached: Mapping[At, int]) -> None:
        there = set(ids)
        async with self.connection.transaction():
            await self.lease.hold(self.connection)
            struck = {row["event_id"] for row in await self.connection.fetch(_STRIKE, self.payer, list(there))}
            if to_come := there - struck:
                await self.connection.execute(_REMEMBER, self.payer, list(to_come))
            await self._note(reached)
        self.counts.struck += len(struck)

    async def _note(self, reached: Mapping[At, int]) -> None:
        topics, partitions = [at[0] for at in reached], [at[1] for at in reached]
        await self.connection.execute(_REACHED, self.payer, topics, partitions, list(reached.values()))


@contextlib.asynccontextmanager
async def take_over(
    payer: str,
    topics: Sequence[str],
    connections: Connections,
    connection: Any,
    ttl: timedelta = TTL,
    counts: Counts | None = None,
) -> AsyncIterator[Shard | None]:
    """The payer's shard, fenced and read back; None while another holds it. Released at the end.

    The lease is compared again after the producer is open: a holder that was stopped in between would otherwise fence
    its successor and send beside it.
    """
    lease = await Lease.take(connection, f"relay:{payer}", str(uuid4()), ttl)
    if lease is None:
        yield None
        return
    output = Output(connections, f"carepact.relay.{payer}")
    shard = Shard(payer, topics, connections, connection, lease, output, counts or Counts())
    try:
        await output.open()
        await lease.hold(connection)
        await shard.read_back()
        shard.counts.take_overs += 1
        yield shard
    finally:
        try:
            await output.close()
        finally:  # also when it is cut short: the next one fences what is left of it
            with contextlib.suppress(*TRANSIENT):
                await lease.release(connection)


class Relay(mode.Service):  # type: ignore[misc]
    """Relays one payer for as long as it runs, or stands by while another process does.

    `topics` are all topics the payer's outbox may name. `connect` gives a new connection to PostgreSQL that is the
    relay's alone. Kafka or PostgreSQL away: it starts again from the take-over, later and later.
    """

    def __init__(
        self, payer: str, topics: Sequence[str], connections: Connections, connect: Connect, ttl: timedelta = TTL
    ) -> None:
        super().__init__()
        self.payer = payer
        self.topics = tuple(topics)
        self.counts = Counts()
        self._connections = connections
        self._connect = connect
        self._ttl = ttl
        self._woken = asyncio.Event()
        self._log = log.bind(payer=payer)

    def wake(self) -> None:
        """Say that there may be new rows."""
        self._woken.set()

    async def on_stop(self) -> None:
        """Let a waiting loop see that it shall end."""
        self.wake()

    @mode.Service.task  # type: ignore[untyped-decorator]
    async def _run(self) -> None:
        failed = 0
        while not self.should_stop:
            before = self.counts.sent + self.counts.struck
            try:
                await self._hold_and_relay()
                failed = 0
            except LeaseLost as lost:
                self._log.warning("relay_taken_over", reason=str(lost))
            except TRANSIENT as error:
                failed = 1 if self.counts.sent + self.counts.struck > before else failed + 1
                pause = BACK_OFF_SECONDS[min(failed, len(BACK_OFF_SECONDS)) - 1]
                if failed == 1:
                    self._log.warning("relay_interrupted", error=type(error).__name__, retries="until cured")
                await self.sleep(pause)

    async def _hold_and_relay(self) -> None:
        connection = await self._connect()
        try:
            await connection.add_listener(CHANNEL, self._notified)
            while not self.should_stop:
                arguments = self.payer, self.topics, self._connections, connection, self._ttl, self.counts
                async with take_over(*arguments) as shard:
                    if shard is not None:
                        self._log.info("relay_holds", epoch=shard.lease.epoch)
                        await self._relay(shard)
                await self.sleep(self._ttl.total_seconds() / 3)
        finally:
            with contextlib.suppress(*TRANSIENT):
                await connection.close(timeout=2)

    async def _relay(self, shard: Shard) -> None:
        while not self.should_stop:
            self._woken.clear()
            if await shard.step() == 0:
                await shard.lease.hold(shard.connection)
                await self._wait(min(POLL_SECONDS, self._ttl.total_seconds() / 3))

    def _notified(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        if payload in ("", self.payer):
            self._woken.set()

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
