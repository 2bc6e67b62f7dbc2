"""`Idempotency-Key`: the same request again gets the same answer, word for word, for a day.

Answers are kept in PostgreSQL, so a restart changes nothing and several gateways give one answer. What is kept of key
and request are digests under a key of the key store: both may name people. A request whose gateway was killed before it
answered is taken up by the next one like it, after `CLAIM_SECONDS` at most. A request without a key asks nothing of
PostgreSQL, and loses nothing either: an event's id makes a second sending a duplicate. So it is with a key whose answer
was lost together with the database, or is older than a day.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
from fastapi import Response

from gateway.problems import Problem
from projections import idempotency as kept

PURPOSE = "idempotency"
"""Of the key store's key under which digests are made."""

CLAIM_SECONDS = 30
KEPT_HOURS = 24
PURGE_SECONDS = 300.0
_FAST = 1  # of zlib: ids pack to a quarter, whatever the effort


@dataclass(slots=True)
class Once:
    """One request: its answer, when there is one already or when it was found."""

    answer: bytes | None = None


class Idempotency:
    """The answers of requests that had a key, by caller and key."""

    def __init__(
        self, connected: Callable[[], AbstractAsyncContextManager[Any]], find_key: Callable[[], bytes]
    ) -> None:
        self._connected, self._find_key = connected, find_key
        self._key: bytes | None = None
        self._purged_at = time.monotonic()

    @asynccontextmanager
    async def once(self, caller: str, key: str | None, request: Sequence[bytes]) -> AsyncIterator[Once]:
        """`Problem` 409 while the same key is at work, 422 when it came with another request.

        What is set as `answer` may be another one when this is left: the first of two that were at work.
        """
        if key is None:
            yield Once()
            return
        at, asked = await self._digest((caller.encode(), key.encode())), await self._digest(request)
        async with self._connected() as database:
            await self._purge(database)
            held = await kept.claim(database, at, asked, timedelta(seconds=CLAIM_SECONDS), timedelta(hours=KEPT_HOURS))
        if held is not None:
            yield Once(_given(held, asked))
            return
        made = Once()
        try:
            yield made
            if made.answer is not None:
                packed = zlib.compress(made.answer, _FAST)
                async with self._connected() as database:
                    made.answer = zlib.decompress(await kept.answered(database, at, asked, packed))
        except BaseException:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                async with self._connected() as database:
                    await kept.free(database, at, asked)
            raise

    async def _digest(self, parts: Sequence[bytes]) -> bytes:
        if self._key is None:
            self._key = await asyncio.to_thread(self._find_key)
        made = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in parts:
            made.update(b"%d:" % len(part))
            made.update(part)
        return made.digest()

    async def _purge(self, database: Any) -> None:
        if time.monotonic() - self._purged_at > PURGE_SECONDS:
            self._purged_at = time.monotonic()
            await kept.purge(database)


def _given(held: kept.Held, asked: bytes) -> bytes:
    """The answer that was given before; else why there is none."""
    if held.request_digest != asked:
        raise Problem(422, "key_reused", "this Idempotency-Key came with another request; take a new one")
    if held.answer is None:
        wait = max(1, held.seconds)
        raise Problem(409, "in_progress", "a request with this key is at work; ask again", retry_after=wait)
    return zlib.decompress(held.answer)


class Replayed(Response):
    """An answer given before."""

    def __init__(self, answer: bytes, status: int = 202) -> None:
        super().__init__(answer, status, {"Idempotency-Replayed": "true"}, "application/json")
