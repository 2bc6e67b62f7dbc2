"""The streams that are open, and whether their readers still may read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from gateway.principals import Authenticates, Principal
from gateway.problems import Problem

SCOPE = "feed:read"
CHECK_SECONDS = 5.0


@dataclass(eq=False)
class Stream:
    """One open stream. `wake` is set when there is news, or when it is over, for the reason in `ended`."""

    callers: Authenticates
    token: str
    principal: Principal
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ended: str = ""

    def end(self, why: str) -> None:
        """Have it closed."""
        self.ended = why
        self.wake.set()


class Streams:
    """All open streams of this process; their credentials are asked for again every `CHECK_SECONDS`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[Stream] = set()
        self._checking: asyncio.Task[None] | None = None

    @property
    def all_open(self) -> tuple[Stream, ...]:
        """Those that are open."""
        return tuple(self._open)

    def room(self) -> None:
        """`Problem` 503 when there are as many as there may be."""
        if len(self._open) >= self._most:
            raise Problem(503, "busy", "as many streams are open as may be; read by cursor, or later", retry_after=5)

    @contextmanager
    def opened(self, stream: Stream) -> Iterator[None]:
        """Watch over a stream until it is left."""
        self._open.add(stream)
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check_on(), name="check-streams")
        try:
            yield
        finally:
            self._open.discard(stream)

    async def close(self) -> None:
        """End all of them."""
        for stream in self._open:
            stream.end("stopping")
        if self._checking is not None:
            self._checking.cancel()
            with suppress(asyncio.CancelledError):
                await self._checking

    async def _check_on(self) -> None:
        while self._open:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check()

    async def check(self) -> None:
        """End those whose credential no longer opens them."""
        for stream in list(self._open):
            try:
                holder = await stream.callers.holder(stream.token)
            except Problem:
                holder = None
            if holder is None or holder != stream.principal or SCOPE not in holder.scopes:
                stream.end("unauthenticated")
