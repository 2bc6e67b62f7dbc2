"""One Kafka and one PostgreSQL for the whole run; each test gets its own topics and its own database on them."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from carepact.local.postgres import OWNER, SUPER
from streams.roster import Roster
from tests.homes import home_folder, naming_logs
from tests.payers import shipped

_spaces = itertools.count(1)
MIGRATED = "migrated"
TOLD = {"fsync": "off", "min_wal_size": "'64MB'", "max_wal_size": "'256MB'"}


class QuickPlatform(LocalPlatform):
    """The local platform, whose further databases are copies of one that was made as all are made.

    PostgreSQL leaves it to the system when its files reach the disk. That matters to what survives a loss of power,
    which no test brings about: a process that is killed has given its writes to the system. What a home's own server
    is told is asked in `tests/local`.
    """

    async def start(self) -> None:
        """Start, and make what is copied."""
        await super().start()
        self._copying = asyncio.Lock()
        await self._told(
            *(f"ALTER SYSTEM SET {name} = {value}" for name, value in TOLD.items()), "SELECT pg_reload_conf()"
        )
        await super().create_database(MIGRATED)
        await self._told(f"ALTER DATABASE {MIGRATED} WITH ALLOW_CONNECTIONS false")

    async def create_database(self, name: str) -> str:
        """See the class."""
        async with self._copying:
            await self._told(f'CREATE DATABASE "{name}" OWNER {OWNER} TEMPLATE {MIGRATED} STRATEGY file_copy')
        return self.dsn(OWNER, name)

    async def _told(self, *statements: str) -> None:
        server = await asyncpg.connect(self.dsn(SUPER, "postgres"))
        try:
            for statement in statements:
                await server.execute(statement)
        finally:
            await server.close()


@pytest_asyncio.fixture(scope="session")
async def platform() -> AsyncIterator[LocalPlatform]:
    """The running platform, without workers. Its own roster's topics stay empty: tests take `roster`.

    In the end no log of the run, of whichever process, is to name one of the people that tests plant.
    """
    for name in [name for name in os.environ if name.startswith("CAREPACT_")]:
        if name not in {"CAREPACT_MAVEN", "CAREPACT_KAFKA_JARS"}:
            del os.environ[name]
    with home_folder("carepact-") as folder:
        async with QuickPlatform(Path(folder) / "home") as running:
            yield running
        from tests.streams.ways_in import CANARIES  # it needs what this has set

        assert naming_logs(running.home.logs, CANARIES) == []


@pytest.fixture
def space() -> str:
    """A word that no other test of this run has, for names of its own."""
    return f"t{next(_spaces)}"


@pytest_asyncio.fixture
async def roster(platform: LocalPlatform, space: str, request: pytest.FixtureRequest) -> Roster:
    """The shipped payers under names of this test's own (`t7-medicare`): topics and users made, logs opened.

    Where a test is marked by `payers("medicare")`, that one alone.
    """
    marked = request.node.get_closest_marker("payers")
    own = shipped(*(marked.args if marked else ())).within(space)
    await platform.make_ready(own)
    return own


@pytest_asyncio.fixture
async def fresh_database(platform: LocalPlatform, space: str) -> AsyncIterator[str]:
    """The owner's address of a new, migrated, empty database; `platform.dsn(role, space)` gives other roles'."""
    yield await platform.create_database(space)
    await platform.drop_database(space)


@pytest_asyncio.fixture
async def make_database(platform: LocalPlatform, space: str) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """Makes as many new databases as a test asks for, as `fresh_database` makes one."""
    made: list[str] = []

    async def make() -> str:
        made.append(f"{space}_{len(made)}")
        return await platform.create_database(made[-1])

    yield make
    for name in made:
        await platform.drop_database(name)
