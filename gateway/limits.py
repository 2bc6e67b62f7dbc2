"""How much, how fast, how deep: what a caller may ask of the gateway at once, and how it is told to wait.

Everything that is read from a caller is counted against a budget before it is held. Full means 503 with `Retry-After`;
a caller who asks more often than allowed gets 429. Nothing that was taken is forgotten by that: neither answer accepts.
"""

from __future__ import annotations

import asyncio
import math
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import Request
from starlette.requests import ClientDisconnect

from gateway.problems import Problem

CHUNK_SECONDS = 30
_SMALL_BYTES = 1_000_000
_CALLERS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """In bytes, items and requests. `expansion` is how many times larger packed data may become."""

    body_bytes: int = 32_000_000
    file_bytes: int = 8_000_000_000
    in_flight_bytes: int = 256_000_000
    files_at_once: int = 4
    items: int = 50_000
    expansion: int = 200
    requests_per_second: float = 100.0
    burst: int = 200
    unknown_per_second: float = 2.0
    unknown_burst: int = 20
    streams: int = 2_000
    tests_at_once: int = 8  # of endpoints


class Rate:
    """Token buckets, one for each caller; those long unused are forgotten."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """One request; `Problem` 429 says when the next may come."""
        now = self._clock()
        left, at = self._left.pop(caller, (float(self._burst), now))
        left = min(float(self._burst), left + (now - at) * self._per_second)
        self._left[caller] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > _CALLERS_KEPT:
            self._left.popitem(last=False)
        if left < 1:
            wait = max(1, math.ceil((1 - left) / self._per_second))
            raise Problem(429, "too_many_requests", "wait before the next request", retry_after=wait)


class Budget:
    """What may be held at once, of bytes or of anything else that is counted."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0

    @property
    def in_use(self) -> int:
        """What is held now."""
        return self._held

    @contextmanager
    def held(self) -> Iterator[Callable[[int], None]]:
        """Gives what takes a share; all of it is given back at the end. `Problem` 503 when there is none left."""
        mine = 0

        def take(share: int) -> None:
            nonlocal mine
            if self._held + share > self._most:
                raise Problem(503, "busy", "others are being served; send it again", retry_after=1)
            self._held += share
            mine += share

        try:
            yield take
        finally:
            self._held -= mine


async def chunks_of(request: Request, most_bytes: int) -> AsyncIterator[bytes]:
    """The body as it comes; `Problem` 413 when it is too large, 408 when it stops coming, 400 when it breaks off."""
    told = request.headers.get("content-length", "")
    if told.isdecimal() and len(told) < 20 and int(told) > most_bytes:
        raise too_large(most_bytes)
    read, stream = 0, request.stream().__aiter__()
    while True:
        try:
            async with asyncio.timeout(CHUNK_SECONDS):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise Problem(408, "too_slow", f"nothing came for {CHUNK_SECONDS} s") from None
        except ClientDisconnect:
            raise Problem(400, "bad_request", "the body breaks off") from None
        if chunk is None:
            return
        read += len(chunk)
        if read > most_bytes:
            raise too_large(most_bytes)
        yield chunk


async def body_of(request: Request, limits: Limits, take: Callable[[int], None]) -> bytes:
    """The whole body, unpacked if it is packed."""
    packed: list[bytes] = []
    async for chunk in chunks_of(request, limits.body_bytes):
        take(len(chunk))
        packed.append(chunk)
    match request.headers.get("content-encoding", "identity").strip().lower():
        case "identity" | "":
            return b"".join(packed)
        case "gzip":
            return _unpacked(packed, limits, take)
        case _:
            raise Problem(415, "unsupported_media_type", "Content-Encoding is gzip or none")


def _unpacked(packed: list[bytes], limits: Limits, take: Callable[[int], None]) -> bytes:
    """Gzip undone step by step, so that a bomb is seen before it is held."""
    most = min(limits.body_bytes, max(_SMALL_BYTES, limits.expansion * sum(map(len, packed))))
    out: list[bytes] = []
    size, one = 0, zlib.decompressobj(31)
    try:
        for chunk in packed:
            rest = chunk
            while rest:
                if one.eof:  # another member follows
                    one = zlib.decompressobj(31)
                part = one.decompress(rest, most - size + 1)
                size += len(part)
                if size > most:
                    raise Problem(413, "too_expanded", f"it unpacks to more than {most} bytes")
                take(len(part))
                out.append(part)
                rest = one.unconsumed_tail or one.unused_data
    except zlib.error:
        raise Problem(400, "bad_request", "the gzip data is damaged") from None
    if not one.eof:
        raise Problem(400, "bad_request", "the gzip data breaks off")
    return b"".join(out)


def too_large(most_bytes: int) -> Problem:
    """413, with the bound."""
    return Problem(413, "too_large", f"more than {most_bytes} bytes; send it in parts, or as a file")
