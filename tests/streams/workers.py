"""Worker processes of a test's own payers, on a database of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from carepact.local.platform import LocalPlatform
from streams.roster import Roster
from streams.topics import log_topic
from tests import forked


def write_roster(roster: Roster, folder: Path) -> Path:
    """The roster as a file that `CAREPACT_ROSTER` may name."""
    lines = [f'space = "{roster.space}"']
    for payer in roster.payers:
        lines += ["[[payers]]", f'name = "{payer.name}"', f'title = "{payer.title}"']
        lines += [f'contract = "{payer.contract}"', f'time_zone = "{payer.time_zone}"']
        for plan in payer.plans:
            lines += ["[[payers.plans]]", f'name = "{plan.name}"', f'title = "{plan.title}"']
    file = folder / "roster.toml"
    file.write_text("\n".join(lines) + "\n")
    return file


class Workers:
    """Starts workers by number, and ends those that are left."""

    def __init__(self, platform: LocalPlatform, roster: Roster, dsn: str, folder: Path) -> None:
        self.dsn = dsn
        self._home = platform.home.path
        self._folder = folder
        self._environment = os.environ | {
            "CAREPACT_ROSTER": str(write_roster(roster, folder)),
            "CAREPACT_POSTGRES": dsn,
        }
        self.running: dict[int, forked.Forked] = {}

    async def start(self, *numbers: int) -> None:
        """Start workers; what they print goes to a file each."""
        for number in numbers:
            with (self._folder / f"worker-{number}.log").open("ab") as printed:
                words = ["carepact", "worker", "--home", str(self._home), "--index", str(number)]
                self.running[number] = await forked.start(words, self._environment, printed, printed)

    def send(self, number: int, wish: signal.Signals) -> int:
        """Signal a worker that must be alive; answers its process id."""
        process = self.running[number]
        assert process.returncode is None, f"worker {number} has ended by itself:\n{self.printed(number)}"
        process.send_signal(wish)
        return process.pid

    async def kill(self, number: int) -> int:
        """kill -9, and see that it is gone; answers its process id."""
        pid = self.send(number, signal.SIGKILL)
        await self.running.pop(number).wait()
        return pid

    async def stop(self) -> list[int]:
        """Ask all to end; answers their exit codes."""
        for process in self.running.values():
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        return [await asyncio.wait_for(process.wait(), 120) for process in self.running.values()]

    def printed(self, number: int) -> str:
        """What a worker said."""
        return (self._folder / f"worker-{number}.log").read_text()[-4000:]


@asynccontextmanager
async def workers_on(platform: LocalPlatform, roster: Roster, dsn: str, folder: Path) -> AsyncIterator[Workers]:
    """Workers that are ended, whatever happens."""
    workers = Workers(platform, roster, dsn, folder)
    try:
        yield workers
    finally:
        for process in workers.running.values():
            if process.returncode is None:
                process.kill()
                await process.wait()


class Watch:
    """A connection that waits for rows."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def until(self, question: str, *arguments: Any, seconds: float = 150) -> Any:
        """The first true answer of a query."""
        async with asyncio.timeout(seconds):
            while not (answer := await self._connection.fetchval(question, *arguments)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # rows tell nobody that they have come
        return answer

    async def until_read(self, payer: str, count: int, seconds: float = 150) -> None:
        """Until so many records of a payer's log are stored."""
        reached = "SELECT sum(next_offset) >= $2 FROM consumer_offset WHERE consumer = 'contract' AND topic = $1"
        await self.until(reached, log_topic(payer), count, seconds=seconds)

    async def until_relayed(self, seconds: float = 150) -> None:
        """Until the outbox is empty."""
        await self.until("SELECT count(*) = 0 FROM outbox", seconds=seconds)

    async def owners(self, payer: str) -> dict[int, str]:
        """Who owns each partition: `worker-1/4711`."""
        rows = await self._connection.fetch(
            "SELECT partition, owner FROM consumer_offset WHERE consumer = 'contract' AND topic = $1", log_topic(payer)
        )
        return {row[0]: row[1] for row in rows}


@asynccontextmanager
async def watch(dsn: str) -> AsyncIterator[Watch]:
    """Look at a database."""
    connection = await asyncpg.connect(dsn)
    try:
        yield Watch(connection)
    finally:
        await connection.close()
