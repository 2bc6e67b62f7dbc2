"""Kafka, PostgreSQL and the workers of one home, as one thing that starts, is kept running, and stops."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog
from confluent_kafka import KafkaException

from carepact.local import database, jars
from carepact.local.errors import Refused
from carepact.local.gateway import Gateway
from carepact.local.kafka import Kafka
from carepact.local.opening import log_opened
from carepact.local.postgres import AGENT, OWNER, READER, SUPER, Postgres
from carepact.local.processes import end, left_over
from carepact.local.supervisor import Kept, Part, stop_all
from carepact.local.worker import Worker
from carepact.settings import Settings, connection, remote_dsn, with_database
from streams.admin import Admin, LogNotOpened, Opening, TopicMismatch
from streams.connections import Connections
from streams.roster import Roster
from streams.topics import AGENTS, PLATFORM, Topic, principals, topics

log = structlog.get_logger(__name__)


class LocalPlatform:
    """`async with LocalPlatform(home) as platform:` runs both stores, made ready for the roster, until its end.

    A part that `CAREPACT_KAFKA` or `CAREPACT_POSTGRES` replaces is None here. `opening` gives the first record of each
    log (see `Admin.open_log`); with None, logs are left without one. `prepared` runs when the stores are ready, before
    any worker starts: the place to adopt terms. Start it in the main thread: on Linux the parts
    are told to stop when the thread that started them is gone.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        workers: int = 0,
        partitions: int | None = None,
        roster: Roster | None = None,
        opening: Opening | None = log_opened,
        settings: Settings | None = None,
        gateway: Gateway | None = None,
        more_parts: Sequence[Part] = (),
        prepared: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        given: dict[str, Any] = {"home": home, "partitions": partitions}
        base = settings or Settings()
        self.settings = base.model_copy(update={name: value for name, value in given.items() if value is not None})
        self.home = self.settings.home_folder
        self.roster = roster or self.settings.load_roster()
        self.kafka: Kept | None = None
        self.postgres: Kept | None = None
        self.workers: list[Kept] = []
        self.gateway: Kept | None = None
        self.beside: list[Kept] = []
        self._gateway = gateway
        self._worker_count, self._opening, self._more_parts = workers, opening, more_parts
        self._prepared = prepared
        self._kept: list[Kept] = []
        self._locked = ExitStack()
        self._started_at = datetime.now(UTC)
        self._ready = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything and return when it is ready. `Held` when another process holds this home."""
        self._locked.enter_context(self.home.locked())
        try:
            if orphans := left_over(self.home.path):
                log.warning("left_over_ended", pids=orphans)
                await asyncio.to_thread(end, orphans)
            await self._start_stores()
            await self.make_ready(self.roster)
            await self.renew_grants()
            self.home.choose(partitions=self.settings.log_partitions)
            if self._prepared is not None:
                await self._prepared()
            self.workers = [self._keep(Worker(self.home, index)) for index in range(self._worker_count)]
            self.gateway = self._keep(self._gateway) if self._gateway else None
            self.beside = [self._keep(part) for part in self._more_parts]
            for kept in (*self.workers, *([self.gateway] if self.gateway else []), *self.beside):
                await kept.start()
            self._ready = True
            self._say()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything in reverse order and let go of the home."""
        self._ready = False
        await stop_all(self._kept)
        if self._kept:
            self._say()
        self._kept.clear()
        self._locked.close()

    def connections(self, principal: str = AGENTS) -> Connections:
        """How a principal reaches both stores: `platform`, `agents`, `operator`, a payer or a plan."""
        return connection(self.settings, principal)

    def topics(self, roster: Roster | None = None) -> tuple[Topic, ...]:
        """The declared topics, of this platform's roster or of another."""
        return topics(roster or self.roster, self.settings.log_partitions)

    async def make_ready(self, roster: Roster) -> None:
        """Topics, users, access lists and first records for a roster; a test may bring one with names of its own."""
        declared = self.topics(roster)
        passwords = {name: self.home.secret(name) for name in principals(roster)}
        admin = Admin(self.connections(PLATFORM).confluent())
        try:
            made = await asyncio.to_thread(admin.prepare, declared, passwords)
            if self._opening:
                await asyncio.to_thread(admin.open_log, declared, self._opening)
        except (TopicMismatch, LogNotOpened) as error:
            raise Refused(str(error)) from error
        except KafkaException as error:
            raise Refused(f"Kafka at {self.connections(PLATFORM).bootstrap} refused to be set up: {error}") from error
        if made:
            log.info("topics_made", count=len(made))

    async def renew_grants(self) -> None:
        """Have the Kafka users of keys made before may what their roles may now, as of topics that came later."""
        may = await database.kafka_grants(self.connections(PLATFORM).postgres)
        if may and (renewed := await asyncio.to_thread(Admin(self.connections(PLATFORM).confluent()).renew, may)):
            log.info("grants_renewed", users=len(renewed))

    async def create_database(self, name: str) -> str:
        """Make and migrate one more database; answers its owner's data source name. Local PostgreSQL only."""
        local = Postgres(self.home)
        await database.create_database(local.dsn(), name)
        await database.ensure_schema(local.dsn(OWNER, name), self.settings.log_partitions)
        return local.dsn(OWNER, name)

    async def drop_database(self, name: str) -> None:
        """Remove a database made by `create_database`. Only a super user may end the vacuum that runs in it."""
        await database.drop_database(Postgres(self.home).dsn(SUPER, "postgres"), name)

    def dsn(self, role: str = OWNER, database: str = "carepact") -> str:
        """The data source name of a role (carepact, carepact_agent, carepact_reader) in a database of this server."""
        return Postgres(self.home).dsn(role, database)

    def kill(self, kept: Kept) -> int:
        """SIGKILL a part; answers the process id it had. It will be started again."""
        return self._signal(kept, signal.SIGKILL)

    def pause(self, kept: Kept) -> int:
        """SIGSTOP a part, as a machine that hangs would look."""
        return self._signal(kept, signal.SIGSTOP)

    def resume(self, kept: Kept) -> int:
        """SIGCONT a paused part."""
        return self._signal(kept, signal.SIGCONT)

    async def until_up(self) -> None:
        """Return when every part answers."""
        for kept in self._kept:
            await kept.until_up()

    def _signal(self, kept: Kept, wish: signal.Signals) -> int:
        pid = kept.pid
        assert pid is not None, f"{kept.name} has no process to signal"
        kept.send(wish)
        return pid

    async def _start_stores(self) -> None:
        """Both at once: one waits for the disk while the other loads classes."""
        postgres = Postgres(self.home)
        if self.settings.postgres is None:
            self.postgres = self._keep(postgres)
        if self.settings.kafka is None:
            class_path = await asyncio.to_thread(jars.class_path, self.settings.kafka_jars, self.settings.maven)
            self.kafka = self._keep(Kafka(self.home, class_path))
        await _all_or_first_error(self._kept, None if self.settings.postgres else self._set_up(postgres))
        if self.settings.postgres:
            await self._set_up_remote()

    async def _set_up(self, postgres: Postgres) -> None:
        assert self.postgres is not None
        await self.postgres.until_up()
        await database.ensure_roles(postgres.dsn(SUPER, "postgres"), self._passwords())
        postgres.write_password_file()
        await database.ensure_schema(postgres.dsn(), self.settings.log_partitions)

    async def _set_up_remote(self) -> None:
        """Where the home has the super user's password, roles and database too; else they are the administrator's."""
        as_super = remote_dsn(self.settings, SUPER)
        if (self.home.secrets / f"postgres-{SUPER}").exists():
            await database.ensure_roles(with_database(as_super, "postgres"), self._passwords())
        await database.ensure_schema(remote_dsn(self.settings, OWNER), self.settings.log_partitions)

    def _passwords(self) -> dict[str, str]:
        return {role: self.home.secret(f"postgres-{role}") for role in (OWNER, AGENT, READER)}

    def _keep(self, part: Part) -> Kept:
        kept = Kept(part, self._say)
        self._kept.append(kept)
        return kept

    def _say(self) -> None:
        self.home.say(
            {
                "supervisor": {"pid": os.getpid(), "started_at": self._started_at.isoformat()},
                "ready": self._ready,
                "kafka": self._said(self.kafka) | {"bootstrap": self._bootstrap()},
                "postgres": self._said(self.postgres) | {"dsn": Postgres(self.home).shown_dsn},
                "workers": [self._said(worker) for worker in self.workers],
                "gateway": self._said(self.gateway) | {"url": self._gateway.url if self._gateway else None},
                "parts": [{"name": kept.name} | self._said(kept) for kept in self.beside],
            }
        )

    def _bootstrap(self) -> str | None:
        ports = self.home.choices().get("kafka_ports")
        return self.settings.kafka or (f"127.0.0.1:{ports[0]}" if ports else None)

    def _said(self, kept: Kept | None) -> dict[str, Any]:
        return {"pid": kept.pid, "up": kept.up, "starts": kept.starts} if kept else {"pid": None, "up": None}


async def _all_or_first_error(kept: Sequence[Kept], also: Any) -> None:
    """Start parts at once; the first failure cancels the waiting for the others and is raised."""
    tasks = [asyncio.ensure_future(one.start()) for one in kept]
    if also is not None:
        tasks.append(asyncio.ensure_future(also))
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
