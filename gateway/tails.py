"""The newest events of every subscriber that is followed, looked for once for all who follow it.

One look asks the database whether its horizon moved, and for whom something was emitted; only for those is a page
read, under their own rights. A thousand followers of nothing new cost one query for each look. Who stands further back
than what is kept reads the tables for itself, so that a slow reader is nobody else's burden.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import structlog

from projections.feed import Emitted, OtherHistory, Page, Place, emitted_after, standing, told_between
from projections.tenancy import Tenant

LOOK_SECONDS = 0.2
AWAY_SECONDS = 2.0
PAGE = 250
KEPT_BYTES = 16_000_000
KEPT_BYTES_EACH = 64_000
STORE_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

log = structlog.get_logger(__name__)


@dataclass
class Tail:
    """What was emitted last to one tenant: all that is told from `start` to `end`.

    `lost` says that the tables were made anew, and that nobody can read on from here.
    """

    tenant: Tenant
    start: Place
    end: Place
    events: list[Emitted] = field(default_factory=list)
    fresh: bool = True
    caught_up: bool = True
    lost: bool = False
    held_bytes: int = 0
    followers: set[asyncio.Event] = field(default_factory=set)

    def page(self, after: Place) -> Page | None:
        """What is behind a place; None for who stands where events are no longer kept."""
        if self.lost:
            raise OtherHistory
        if after < self.start or after.history != self.start.history:
            return None
        first = bisect_right(self.events, after, key=_place)
        found = self.events[first : first + PAGE]
        if first + PAGE < len(self.events):
            return Page(found, found[-1].place, False)
        return Page(found, max(after, self.end), self.caught_up)

    def grow(self, page: Page, most_bytes: int) -> None:
        """Keep a page behind `end`, and no more than so many bytes; wake who follows."""
        self.events += page.events
        self.held_bytes += sum(len(each.event) for each in page.events)
        self.end, self.caught_up = page.at, page.caught_up
        dropped = 0
        while self.held_bytes > most_bytes:
            self.held_bytes -= len(self.events[dropped].event)
            self.start = self.events[dropped].place
            dropped += 1
        del self.events[:dropped]
        if page.events:
            self.wake()

    def wake(self) -> None:
        """Have every follower look."""
        for follower in self.followers:
            follower.set()


def _place(emitted: Emitted) -> Place:
    return emitted.place


class Tails:
    """The tails of all tenants that are followed in this process. `connected` gives a reader's connection."""

    def __init__(self, connected: Callable[[], AbstractAsyncContextManager[Any]], payers: Sequence[str]) -> None:
        self._connected, self._payers = connected, payers
        self._tails: dict[Tenant, Tail] = {}
        self._looking: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    @asynccontextmanager
    async def followed(self, tenant: Tenant, wake: asyncio.Event) -> AsyncIterator[Tail]:
        """The tail of a tenant; `wake` is set whenever it grew."""
        key = Tenant(tenant.role, tenant.payer, "" if tenant.practice else tenant.plan, tenant.practice)
        if (tail := self._tails.get(key)) is None:
            async with self._connected() as connection:
                now = await standing(connection)
            tail = self._tails.setdefault(key, Tail(key, now, now))
        tail.followers.add(wake)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_on(), name="look-for-news")
        try:
            yield tail
        finally:
            tail.followers.discard(wake)
            if not tail.followers and self._tails.get(key) is tail:
                del self._tails[key]

    async def read(self, tenant: Tenant, after: Place | None) -> Page:
        """A page of the tables: for who begins, or is behind what is kept."""
        async with self._connected() as connection:
            return await emitted_after(connection, tenant, after, PAGE)

    async def _look_on(self) -> None:
        known: Place | None = None
        while self._tails:
            try:
                known = await self._look(known)
                pause = LOOK_SECONDS
            except STORE_ERRORS as error:
                log.warning("news_not_read", error=type(error).__name__, again_seconds=AWAY_SECONDS)
                pause = AWAY_SECONDS
            await asyncio.sleep(pause)

    async def _look(self, known: Place | None) -> Place:
        """Read what is new since the last look for whom it is; answers how far the look went."""
        async with self._connected() as connection:
            now = await standing(connection)
            told: set[Tenant] | None = None
            if known is not None and known.history == now.history:
                told = set() if known == now else await told_between(connection, self._payers, known, now)
            for tail in list(self._tails.values()):
                if told is None or tail.fresh or tail.tenant in told or not tail.caught_up:
                    await self._refresh(connection, tail)
        return now

    async def _refresh(self, connection: Any, tail: Tail) -> None:
        most = max(KEPT_BYTES_EACH, KEPT_BYTES // max(1, len(self._tails)))
        try:
            while True:
                page = await emitted_after(connection, tail.tenant, tail.end, PAGE)
                tail.grow(page, most)
                if page.caught_up:
                    break
        except OtherHistory:
            tail.lost = True
            self._tails.pop(tail.tenant, None)
            tail.wake()
        tail.fresh = False
