"""`Idempotency-Key`: the same request again gets the same answer, word for word.

Without a key nothing is lost either: an event's id makes a second sending a duplicate. Answers are kept in memory, so
after a restart the second answer says `duplicate` where the first said `accepted`; what is in the log is the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Response

from gateway.problems import Problem

KEPT = 10_000
KEPT_BYTES = 64_000_000


@dataclass(slots=True)
class Once:
    """One request: its answer, when there is one already or when it was found."""

    digest: bytes
    answer: bytes | None = None


class Idempotency:
    """The answers of the last requests that had a key, by caller and key."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Once] = OrderedDict()
        self._under_way: set[tuple[str, str]] = set()
        self._bytes = 0

    @asynccontextmanager
    async def once(self, caller: str, key: str | None, digest: bytes) -> AsyncIterator[Once]:
        """`Problem` 409 while the same key is at work, 422 when it came with another request."""
        if key is None:
            yield Once(digest)
            return
        at = caller, key
        if at in self._under_way:
            raise Problem(409, "in_progress", "a request with this key is at work; ask again", retry_after=1)
        if (known := self._kept.get(at)) is not None:
            if known.digest != digest:
                raise Problem(422, "key_reused", "this Idempotency-Key came with another request; take a new one")
            yield known
            return
        self._under_way.add(at)
        try:
            made = Once(digest)
            yield made
            if made.answer is not None:
                self._keep(at, made)
        finally:
            self._under_way.discard(at)

    def _keep(self, at: tuple[str, str], made: Once) -> None:
        self._kept[at] = made
        self._bytes += len(made.answer or b"")
        while len(self._kept) > KEPT or self._bytes > KEPT_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest.answer or b"")


class Replayed(Response):
    """An answer given before."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer, 202, {"Idempotency-Replayed": "true"}, "application/json")
