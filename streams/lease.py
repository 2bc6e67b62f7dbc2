"""A shard held by one process at a time, in one row of PostgreSQL, until a time of the database's own clock.

A row and not a session lock: a stopped process keeps its session, and with it a lock, for ever. Taking over bumps
the epoch, so whoever wakes later as a former holder is told by the first transaction it tries.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

TTL = timedelta(seconds=6)

_TAKE = """
    INSERT INTO relay_lease AS held (shard, owner, epoch, expires_at)
    VALUES ($1, $2, 1, clock_timestamp() + $3)
    ON CONFLICT (shard) DO UPDATE
       SET owner = excluded.owner, epoch = held.epoch + 1, expires_at = excluded.expires_at
     WHERE held.expires_at <= clock_timestamp()
    RETURNING epoch
"""
_HOLD = """
    UPDATE relay_lease SET expires_at = clock_timestamp() + $4
     WHERE shard = $1 AND owner = $2 AND epoch = $3
"""
_COMPARE = "SELECT 1 FROM relay_lease WHERE shard = $1 AND owner = $2 AND epoch = $3 FOR SHARE"
_RELEASE = """
    UPDATE relay_lease SET expires_at = clock_timestamp()
     WHERE shard = $1 AND owner = $2 AND epoch = $3
"""


class LeaseLost(Exception):
    """Another process took the shard over; nothing of the transaction that noticed it was kept."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A holder's proof: whoever took the shard over has a higher epoch."""

    shard: str
    owner: str
    epoch: int
    ttl: timedelta = TTL

    @classmethod
    async def take(cls, connection: Any, shard: str, owner: str, ttl: timedelta = TTL) -> Lease | None:
        """The shard's lease if nobody holds it now, else None. `owner` is unique to one try of one process."""
        epoch = await connection.fetchval(_TAKE, shard, owner, ttl)
        return None if epoch is None else cls(shard, owner, epoch, ttl)

    async def hold(self, connection: Any) -> None:
        """Renew, and lock the row until the transaction ends; raises `LeaseLost` once another has taken over.

        A lease that has expired and that nobody took is still ours.
        """
        if await connection.execute(_HOLD, self.shard, self.owner, self.epoch, self.ttl) != "UPDATE 1":
            raise LeaseLost(f"shard {self.shard}: epoch {self.epoch} was taken over")

    async def compare(self, connection: Any) -> None:
        """As `hold` without renewing it: transactions that only compare do not wait for each other."""
        if await connection.fetchval(_COMPARE, self.shard, self.owner, self.epoch) is None:
            raise LeaseLost(f"shard {self.shard}: epoch {self.epoch} was taken over")

    async def release(self, connection: Any) -> None:
        """Let the next one have it at once; nothing happens if another already does."""
        await connection.execute(_RELEASE, self.shard, self.owner, self.epoch)
