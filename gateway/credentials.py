"""API keys: how they are made, what is kept of them, and who holds one that is shown.

A key is `cp_`, an id that is no secret, and 32 random bytes. What is kept is its HMAC-SHA256 under a pepper that lies
in the key store, so neither the operations topic nor its table is of use to who steals them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import math
import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
import structlog

from gateway.principals import Principal, scopes_of
from gateway.problems import away

PURPOSE = "credentials"
"""Of the key store's key that is the pepper."""

ACTIVE_MAX = 2
"""Keys that one holder may have at once: the old one and the new one, while they are changed."""

FRESH_SECONDS = 2.0
AGAIN_SECONDS = 0.25
STALE_SECONDS = 300.0
"""While the database is away, what was last read of it holds for so long; a key revoked meanwhile opens until then."""

_KEY = re.compile(r"cp_([a-z2-7]{16})_[A-Za-z0-9_-]{43}")
_NONE = "0" * 64

log = structlog.get_logger(__name__)

Rows = Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: its text is shown once and kept nowhere."""

    credential_id: str
    text: str = field(repr=False)


def new_key() -> NewKey:
    """A random key."""
    credential_id = base64.b32encode(os.urandom(10)).decode("ascii").lower()
    secret = base64.urlsafe_b64encode(os.urandom(32)).decode("ascii").rstrip("=")
    return NewKey(credential_id, f"cp_{credential_id}_{secret}")


def looks_like_key(token: str) -> bool:
    """Whether a bearer token is meant as an API key."""
    return token.startswith("cp_")


def secret_digest(pepper: bytes, text: str) -> str:
    """What is kept of a key."""
    return hmac.digest(pepper, text.encode(), hashlib.sha256).hex()


@dataclass(frozen=True, slots=True)
class _Known:
    digest: str
    expires_at: datetime | None
    principal: Principal


class Credentials:
    """The keys in force, as the table has them; read again as often as `FRESH_SECONDS`, and when a key is unknown."""

    def __init__(self, rows: Rows, pepper: Callable[[], bytes], clock: Callable[[], float] = time.monotonic) -> None:
        self._rows, self._find_pepper, self._clock = rows, pepper, clock
        self._pepper: bytes | None = None
        self._known: dict[str, _Known] = {}
        self._read_at = self._tried_at = -math.inf
        self._reading = asyncio.Lock()

    async def holder(self, text: str, now: datetime | None = None) -> Principal | None:
        """Who holds a key; None when nobody does. `Problem` 503 when that cannot be known now."""
        named = _KEY.fullmatch(text)
        if named is None:
            return None
        await self._refresh(FRESH_SECONDS)
        if named[1] not in self._known:  # perhaps it is new; who guesses waits too
            await asyncio.sleep(max(0.0, AGAIN_SECONDS - (self._clock() - self._tried_at)))
            await self._refresh(AGAIN_SECONDS)
        known = self._known.get(named[1])
        if self._pepper is None:
            self._pepper = await asyncio.to_thread(self._find_pepper)
        right = hmac.compare_digest(secret_digest(self._pepper, text), known.digest if known else _NONE)
        if known is None or not right:
            return None
        if known.expires_at is not None and known.expires_at <= (now or datetime.now(UTC)):
            return None
        return known.principal

    async def _refresh(self, after_seconds: float) -> None:
        clock = self._clock
        async with self._reading:
            if clock() - self._tried_at < after_seconds:
                if clock() - self._read_at > STALE_SECONDS:
                    raise away("the database")
                return
            self._tried_at = clock()
            try:
                rows = await self._rows()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("credentials_not_read", error=type(error).__name__)
                if clock() - self._read_at > STALE_SECONDS:
                    raise away("the database") from None
                return
            self._known = {row["credential_id"]: _known(row) for row in rows}
            self._read_at = clock()


def _known(row: Mapping[str, Any]) -> _Known:
    holder = {name: row[name] for name in ("role", "payer", "plan", "practice", "name")}
    scopes = frozenset(row["scopes"]) & scopes_of(row["role"])  # a role may have lost one since
    principal = Principal(**holder, scopes=scopes, credential=row["credential_id"])
    return _Known(row["secret_digest"], row["expires_at"], principal)
