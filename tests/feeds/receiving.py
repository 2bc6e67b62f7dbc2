"""Receivers of webhooks for tests, good and hostile, and a deliverer that may reach them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from carepact.local.platform import LocalPlatform
from carepact.local.postgres import AGENT, READER
from gateway.delivering import Config, Deliverer
from gateway.reaching import Reach
from gateway.signing import PURPOSE
from streams.keys import SqliteKeyStore
from tests.feeds.emitting import Acts

Answers = Callable[[asyncio.StreamWriter], Awaitable[bool]]
"""Answers one request; whether the connection stays open."""


@dataclass(frozen=True)
class Received:
    """One request."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The message's id."""
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """What came. `answer` may be changed at any time; `came` is set at each request."""

    answer: Answers
    url: str = ""
    received: list[Received] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, count: int) -> None:
        """Return when so many requests came."""
        async with asyncio.timeout(120), self.came:
            await self.came.wait_for(lambda: len(self.received) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take requests of one connection."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                lines = head.split("\r\n")[1:-2]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                async with self.came:
                    self.received.append(Received(headers, body))
                    self.came.notify_all()
                if not await self.answer(writer):
                    break
        writer.close()


def says(status: int, more: str = "") -> Answers:
    """Answers with a status."""

    async def answer(writer: asyncio.StreamWriter) -> bool:
        writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n{more}\r\n".encode())
        await writer.drain()
        return True

    return answer


async def hangs(_: asyncio.StreamWriter) -> bool:
    """Never answers."""
    await asyncio.Event().wait()
    return False


async def drips(writer: asyncio.StreamWriter) -> bool:
    """Answers for ever, a header at a time, until who asked has gone."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    gone = asyncio.ensure_future(writer.wait_closed())
    try:
        while not gone.done():
            writer.write(b"X-Drip: 1\r\n")
            await writer.drain()
            await asyncio.wait({gone}, timeout=0.2)
    finally:
        gone.cancel()
    return False


async def floods(writer: asyncio.StreamWriter) -> bool:
    """Answers 200 with ten gigabytes."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x" * 65_536)
        await writer.drain()
    return False


@asynccontextmanager
async def receiving(answer: Answers, context: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    made = Receiver(answer)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(made.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    scheme = "https" if context else "http"
    made.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield made
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Clock:
    """Time that a test moves on."""

    passed: timedelta = timedelta()

    def __call__(self) -> datetime:
        """Now."""
        return datetime.now(UTC) + self.passed


@asynccontextmanager
async def sending(
    platform: LocalPlatform,
    space: str,
    folder: Path,
    clock: Clock | None = None,
    payers: Sequence[str] = ("medicare", "bcbs-sc", "employers"),
    acts: Acts | None = None,
) -> AsyncIterator[Deliverer]:
    """A deliverer that runs, for the endpoints of a test's database."""
    keys = SqliteKeyStore(folder / "keys.sqlite3")
    config = Config(
        reader=platform.dsn(READER, space),
        agent=platform.dsn(AGENT, space),
        payers=payers,
        key=keys.platform_key(PURPOSE),
        reach=Reach(private=True),
        state=acts or Acts(),
        now=clock or Clock(),
    )
    keys.close()
    stopped = asyncio.Event()
    made = Deliverer(config)
    running = asyncio.create_task(made.run(stopped))
    try:
        yield made
    finally:
        stopped.set()
        await running
