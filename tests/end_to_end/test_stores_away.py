"""A database away, or a disk full: consumption stops with one clear line, and goes on by itself when cured."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

from carepact.local.platform import LocalPlatform
from carepact.local.postgres import SUPER
from carepact.local.supervisor import Kept
from tests.end_to_end.harness import World, population, until, world_of

pytestmark = pytest.mark.platform
Cure = Callable[[], Awaitable[None]]
STOPPED, GOES_ON = '"projection_interrupted"', '"projection_goes_on"'


def said(worker: Kept, word: str) -> list[str]:
    """The worker's log lines that have a word."""
    text: str = worker.part.output.read_text(encoding="utf-8", errors="replace")  # type: ignore[attr-defined]
    return [line for line in text.splitlines() if word in line]


@asynccontextmanager
async def administered(world: World) -> AsyncIterator[asyncpg.Connection]:
    """The super user's connection to another database of the server."""
    connection = await asyncpg.connect(world.platform.dsn(SUPER, "postgres"))
    try:
        yield connection
    finally:
        await connection.close()


async def test_a_database_away_stops_consumption_with_one_line_until_it_is_back(
    platform: LocalPlatform, space: str, tmp_path: Path
) -> None:
    async with world_of(platform, space, tmp_path, ("medicare",)) as world, world.working(1) as (worker,):
        lines = population(tmp_path, space, 30, seed=6)
        half = len(lines["medicare"]) // 2
        await world.publish("medicare", lines["practices"] + lines["medicare"][:half])
        await world.settled()
        async with administered(world) as database:
            await database.execute(f'ALTER DATABASE "{world.database}" ALLOW_CONNECTIONS false')
            await database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", world.database
            )
            await world.publish("medicare", lines["medicare"][half:])
            code, _, complained = await world.command("wait", "--timeout", "3")
            assert (code, "PostgreSQL does not answer" in complained) == (75, True)
            await until(lambda: has(worker, STOPPED), "the worker says that it stopped")
            await database.execute(f'ALTER DATABASE "{world.database}" ALLOW_CONNECTIONS true')
        await world.settled()
        assert len(said(worker, STOPPED)) == 1
        assert len(said(worker, GOES_ON)) == 1
        assert len(said(worker, '"relay_interrupted"')) <= 1
        assert len(said(worker, '"requests_interrupted"')) <= 1
        assert worker.starts == 1
        await world.assert_whole()
        await world.assert_as_folded_elsewhere()


async def has(worker: Kept, word: str) -> bool:
    return bool(said(worker, word))


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system of its own with hardly any room; None where this machine does not let us make one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=320k,mode=0700", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


async def test_a_full_disk_stops_consumption_with_one_line_until_there_is_room(
    platform: LocalPlatform, space: str, tmp_path: Path
) -> None:
    folder = platform.home.path / f"{space}-disk"
    async with world_of(platform, space, tmp_path, ("medicare",)) as world:
        with small_disk(folder) as disk:
            async with filled(world, disk) if disk else said_to_be_full(world) as cure:
                await fill(world, cure)


@asynccontextmanager
async def filled(world: World, disk: Path) -> AsyncIterator[Cure]:
    """Parts of members are kept on a disk that is too small for them, until it is made larger."""
    async with administered(world) as database, world.opened(SUPER) as own:
        await database.execute(f"CREATE TABLESPACE {world.space} LOCATION '{disk}'")
        await own.execute(f"ALTER TABLE state_part SET TABLESPACE {world.space}")

    async def cure() -> None:
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)

    try:
        yield cure
        await assert_all_is_well(world)
    finally:
        await world.drop_database()
        async with administered(world) as database:
            await database.execute(f"DROP TABLESPACE {world.space}")


@asynccontextmanager
async def said_to_be_full(world: World) -> AsyncIterator[Cure]:
    """Where nothing can be mounted, the server raises what it raises when a disk is full, until it is told not to."""
    async with world.opened() as database:
        await database.execute("""
            CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE disk_full USING MESSAGE = 'could not extend file: No space left on device'; END $$;
            CREATE TRIGGER full_disk BEFORE INSERT ON episode FOR EACH STATEMENT EXECUTE FUNCTION full_disk();
        """)

        async def cure() -> None:
            await database.execute("DROP TRIGGER full_disk ON episode")

        yield cure
    await assert_all_is_well(world)


async def fill(world: World, cure: Cure) -> None:
    """More members than there is room for, until there is room."""
    lines = population(world.folder, world.space, 40, seed=6)
    async with world.working(1) as (worker,):
        await world.publish("medicare", lines["practices"] + lines["medicare"])
        await until(lambda: has(worker, STOPPED), "the worker says that it stopped")
        assert '"sqlstate": "53100"' in said(worker, STOPPED)[0]
        with suppress(AssertionError):
            await until(lambda: has(worker, GOES_ON), "", seconds=2)
        assert not said(worker, GOES_ON)
        await cure()
        await world.settled()
        assert len(said(worker, STOPPED)) == len(said(worker, GOES_ON)) == 1
        assert worker.starts == 1


async def assert_all_is_well(world: World) -> None:
    """Nobody was parked or rejected for it, and everything is there."""
    async with world.opened() as database:
        assert await database.fetchval("SELECT count(*) FROM parked_member") == 0
        assert await database.fetchval("SELECT count(*) FROM reject") == 0
    await world.assert_whole()
    await world.assert_as_folded_elsewhere()
