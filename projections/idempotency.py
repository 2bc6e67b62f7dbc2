"""Which requests with an `Idempotency-Key` were answered, and how: for some hours, and of no log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

PURGED_AT_ONCE = 1_000

_CLAIM = """
    INSERT INTO idempotency AS held (key_digest, request_digest, claimed_until, expires_at)
    VALUES ($1, $2, clock_timestamp() + $3, clock_timestamp() + $4)
    ON CONFLICT (key_digest) DO UPDATE
       SET (request_digest, answer, claimed_until, expires_at)
         = (excluded.request_digest, NULL, excluded.claimed_until, excluded.expires_at)
     WHERE held.expires_at <= clock_timestamp()
        OR (held.answer IS NULL AND held.claimed_until <= clock_timestamp()
            AND held.request_digest = excluded.request_digest)
    RETURNING 1
"""
_HELD = """
    SELECT request_digest, answer, ceil(extract(epoch FROM claimed_until - clock_timestamp()))::int AS seconds
      FROM idempotency WHERE key_digest = $1
"""
_ANSWER = """
    UPDATE idempotency SET answer = coalesce(answer, $3) WHERE key_digest = $1 AND request_digest = $2
    RETURNING answer
"""
_FREE = "DELETE FROM idempotency WHERE key_digest = $1 AND request_digest = $2 AND answer IS NULL"
_PURGE = """
    DELETE FROM idempotency
     WHERE key_digest IN (SELECT key_digest FROM idempotency WHERE expires_at <= clock_timestamp() LIMIT $1)
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A key that is taken. Without an answer it is at work, for so many `seconds` yet, or was left at its request."""

    request_digest: bytes
    answer: bytes | None
    seconds: int


async def claim(database: Any, key: bytes, request: bytes, at_work: timedelta, kept: timedelta) -> Held | None:
    """Take a key for a request; what holds it when it is taken.

    One whose time has passed is free. One that was claimed for the same request, and not answered while the claim
    held, goes to who asks next: its process was killed, or is slow, and then the first answer of the two counts.
    """
    if await database.fetchval(_CLAIM, key, request, at_work, kept):
        return None
    row = await database.fetchrow(_HELD, key)
    return Held(request, None, 1) if row is None else Held(row["request_digest"], row["answer"], row["seconds"])


async def answered(database: Any, key: bytes, request: bytes, answer: bytes) -> bytes:
    """Keep an answer; the one that counts, which is the first that was kept."""
    first: bytes | None = await database.fetchval(_ANSWER, key, request, answer)
    return answer if first is None else first


async def free(database: Any, key: bytes, request: bytes) -> None:
    """Let go of a key that got no answer."""
    await database.execute(_FREE, key, request)


async def purge(database: Any) -> None:
    """Forget some of those whose time has passed."""
    await database.execute(_PURGE, PURGED_AT_ONCE)
