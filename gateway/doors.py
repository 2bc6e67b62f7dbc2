"""The ways in of all tenants: one door each, one writer for all, and what the log is known to have already.

Everything is opened when it is first needed, so that the gateway starts, and says that it is not ready, while a store
is away.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import structlog

from contracts.events import OperatorAct
from formats.reading import Reject
from projections.facts import digests_of
from streams.connections import Connections
from streams.door import Admitted, Door, Submission
from streams.keys import WrappedKeyStore
from streams.log_writer import LogWriter, Position
from streams.operations import state
from streams.publishing import Publisher
from streams.rejects import RejectBook
from streams.roster import Roster
from streams.topics import Topic, log_topic

DOORS_KEPT = 200
RECENT_KEPT = 200_000
CONNECTIONS = 4
COMMAND_SECONDS = 10
LOOK_SECONDS = 2.0
LOOK_AGAIN_SECONDS = 5.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class WayIn:
    """One tenant's door; `turn` is held while it admits, which one thread does at a time."""

    door: Door
    book: RejectBook
    plan: str
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Recent:
    """Ids of records that Kafka has acknowledged to this process, the last of them, with the digest of each."""

    def __init__(self, most: int = RECENT_KEPT) -> None:
        self._half = most // 2
        self._digests: dict[str, str] = {}
        self._older: dict[str, str] = {}

    def get(self, event_id: str) -> str | None:
        """The digest it was written with."""
        return self._digests.get(event_id) or self._older.get(event_id)

    def add(self, records: Sequence[Admitted]) -> None:
        """They are in the log now."""
        self._digests.update((record.event_id, record.digest) for record in records)
        if len(self._digests) > self._half:
            self._older, self._digests = self._digests, {}


class Doors:
    """What the gateway reaches: Kafka by one writer, PostgreSQL by small pools, the key store."""

    def __init__(
        self,
        roster: Roster,
        connections: Connections,
        declared: Sequence[Topic],
        open_keys: Callable[[], WrappedKeyStore],
    ) -> None:
        self.roster, self.connections = roster, connections
        self._logs = {topic.name: topic for topic in declared if topic.kind == "log"}
        self._open_keys = open_keys
        self._keys: WrappedKeyStore | None = None
        self._writer: LogWriter | None = None
        self._pool: Any = None
        self._writing_pool: Any = None
        self._doors: OrderedDict[tuple[str, str, int], WayIn] = OrderedDict()
        self._opening = asyncio.Lock()
        self._recent: dict[str, Recent] = {}
        self._look_after = 0.0

    async def close(self) -> None:
        """Let go of everything; what is being written is written."""
        if self._writer is not None:
            await self._writer.stop()
        for pool in (self._pool, self._writing_pool):
            if pool is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(pool.close(), COMMAND_SECONDS)
        if self._keys is not None:
            self._keys.close()

    async def writer(self) -> LogWriter:
        """The one producer. `KafkaError` when no broker answers."""
        async with self._opening:
            if self._writer is None:
                made = LogWriter(self.connections, "carepact.gateway")
                await made.start()
                self._writer = made
            return self._writer

    async def pool(self) -> Any:
        """Connections that read."""
        async with self._opening:
            if self._pool is None:
                self._pool = await self._new_pool()
            return self._pool

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Any]:
        """A connection that reads."""
        async with (await self.pool()).acquire(timeout=COMMAND_SECONDS) as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Any]:
        """A connection that may write the little that is the gateway's own."""
        async with self._opening:
            if self._writing_pool is None:
                self._writing_pool = await self._new_pool(default_transaction_read_only="off")
        async with self._writing_pool.acquire(timeout=COMMAND_SECONDS) as connection:
            yield connection

    async def _new_pool(self, **settings: str) -> Any:
        return await asyncpg.create_pool(
            self.connections.postgres,
            min_size=0,
            max_size=CONNECTIONS,
            timeout=COMMAND_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings=settings,
        )

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        """A connection of its own, for who waits long."""
        connection = await asyncpg.connect(
            self.connections.postgres, timeout=COMMAND_SECONDS, command_timeout=COMMAND_SECONDS
        )
        try:
            yield connection
        finally:
            await connection.close()

    def keys(self) -> WrappedKeyStore:
        """The key store. Calls block."""
        if self._keys is None:
            self._keys = self._open_keys()
        return self._keys

    async def way_in(self, payer: str, plan: str, shift_years: int = 0) -> WayIn:
        """The door of a tenant."""
        at = payer, plan, shift_years
        if (found := self._doors.get(at)) is None:
            partitions = await (await self.writer()).partitions(self._logs[log_topic(payer)])
            keys = await asyncio.to_thread(self.keys)
            door = await asyncio.to_thread(Door, self.roster.payer(payer), keys, partitions, plan, shift_years)
            found = self._doors.setdefault(at, WayIn(door, RejectBook(payer, keys), plan))
            if len(self._doors) > DOORS_KEPT:
                self._doors.popitem(last=False)
        self._doors.move_to_end(at)
        return found

    async def publisher(self, way: WayIn, submission: Submission | None = None) -> Publisher:
        """A submission by a way in."""
        return Publisher(way.door, await self.writer(), way.book, way.plan, submission)

    async def state(self, act: OperatorAct) -> Position:
        """Have an act in the operations topic; where it stands there."""
        return await state(await self.writer(), self.roster, act)

    def written(self, payer: str, answers: Sequence[Admitted | Reject]) -> None:
        """Kafka has these."""
        recent = self._recent.setdefault(payer, Recent())
        recent.add([answer for answer in answers if isinstance(answer, Admitted)])

    async def known(self, payer: str, answers: Sequence[Admitted | Reject]) -> dict[int, bool]:
        """Places in `answers` of records with an id that the log has; True where the content is the same too.

        Those of the same content are duplicates and need not be written. While the database is away, what is not
        recent is not known, and the fold drops it later.
        """
        records = {n: answer for n, answer in enumerate(answers) if isinstance(answer, Admitted)}
        recent = self._recent.setdefault(payer, Recent())
        digests: dict[str, str] = {}
        asked: list[Admitted] = []
        for record in records.values():
            if (digest := recent.get(record.event_id)) is not None:
                digests[record.event_id] = digest
            else:
                asked.append(record)
        digests |= await self._looked_up(payer, asked)
        found: dict[int, bool] = {}
        for n, record in records.items():
            if (digest := digests.get(record.event_id)) is None:
                digests[record.event_id] = record.digest
            else:
                found[n] = digest == record.digest
        return found

    async def _looked_up(self, payer: str, records: Sequence[Admitted]) -> Mapping[str, str]:
        clock = asyncio.get_running_loop().time
        if not records or clock() < self._look_after:
            return {}
        try:
            async with asyncio.timeout(LOOK_SECONDS), (await self.pool()).acquire() as connection:
                return await digests_of(connection, payer, [(each.partition, each.event_id) for each in records])
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("duplicates_not_looked_up", error=type(error).__name__)
            self._look_after = clock() + LOOK_AGAIN_SECONDS
            return {}
