"""How far the logs are applied, and what a question "as of then" means in positions.

A cut is, for each log partition, the next offset: what stands before it is known. A partition that a cut does not
name is taken as far as it is applied.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from projections.batches import known_by

LOG = re.compile(r"carepact\.(?P<payer>.+)\.events\.v1")
PLACE = re.compile(r"(?:(?P<topic>[A-Za-z0-9._-]+)/)?(?P<partition>[0-9]{1,9}):(?P<offset>[0-9]{1,18})")

Cut = dict[tuple[str, int], int]
"""(payer, partition) -> next offset"""


class BadAsOf(ValueError):
    """`--as-of` is neither a time nor positions; the message says what it may be."""


@dataclass(frozen=True, slots=True)
class AsOf:
    """A point in what is known: an instant, or the offset of the last known record of some partitions."""

    instant: datetime | None = None
    places: tuple[tuple[str, int, int], ...] = ()

    @classmethod
    def parse(cls, text: str, payer: str | None = None) -> AsOf:
        """`2026-01-31T12:00:00Z`, `2026-01-31` (through its end, UTC), or `3:118,0:7`: partition and last known offset.

        A position may name its topic, `carepact.medicare.events.v1/3:118`; one that does not is `payer`'s.
        """
        if all(matches := [PLACE.fullmatch(part.strip()) for part in text.split(",")]):
            return cls(places=tuple(_place(match, payer) for match in matches if match))
        try:
            if len(text) == len("2026-01-31"):
                return cls(datetime.combine(date.fromisoformat(text), time.max, UTC))
            instant = datetime.fromisoformat(text)
            if instant.tzinfo is not None:
                return cls(instant.astimezone(UTC))
        except (ValueError, OverflowError):
            raise BadAsOf(
                f"{text!r} is not a point in time or log: give 2026-01-31T12:00:00Z, a day, or 3:118 "
                "(partition:offset), several with commas"
            ) from None
        raise BadAsOf(f"{text!r} does not say in which zone: add Z or an offset such as -05:00")

    async def cut(self, connection: Any) -> Cut:
        """The positions this means in the database at hand."""
        if self.instant is None:
            return {(payer, partition): offset + 1 for payer, partition, offset in self.places}
        found = await known_by(connection, self.instant)
        logs = {topic: match["payer"] for topic, _ in found if (match := LOG.fullmatch(topic))}
        return {(logs[topic], partition): offset for (topic, partition), offset in found.items() if topic in logs}

    async def placed(self, connection: Any) -> AsOf:
        """The same as positions, which a reader without the right to ask of times can take."""
        cut = await self.cut(connection)
        return AsOf(places=tuple((payer, partition, end - 1) for (payer, partition), end in cut.items()))


NOW = AsOf()


def _place(match: re.Match[str], payer: str | None) -> tuple[str, int, int]:
    topic = match["topic"]
    if topic and (log := LOG.fullmatch(topic)):
        payer = log["payer"]
    elif topic:
        raise BadAsOf(f"{topic} is not the log of a payer")
    if payer is None:
        raise BadAsOf("a position without a topic needs --payer, since every payer has a log of its own")
    return payer, int(match["partition"]), int(match["offset"])


def columns(cut: Cut) -> tuple[list[str], list[int], list[int]]:
    """A cut as the three arrays that questions unnest."""
    return [at[0] for at in cut], [at[1] for at in cut], list(cut.values())


async def applied(connection: Any, payer: str | None = None) -> Cut:
    """How far each log partition is applied, of one payer or of all."""
    rows = await connection.fetch(
        """
        SELECT topic, partition, next_offset FROM consumer_offset
         WHERE consumer = 'contract' ORDER BY topic, partition
        """
    )
    found: Cut = {}
    for row in rows:
        log = LOG.fullmatch(row["topic"])
        if log and payer in (None, log["payer"]):
            found[log["payer"], row["partition"]] = row["next_offset"]
    return found


def position(row: Any, offset: str = "log_offset") -> dict[str, Any]:
    """A row's cause, where it stands in the log."""
    return {"topic": f"carepact.{row['payer']}.events.v1", "partition": row["partition"], "offset": row[offset]}


async def each(connection: Any, question: str, arguments: Sequence[Any]) -> AsyncIterator[Any]:
    """A question's rows one after another, however many there are, as of one moment.

    In the caller's transaction, if there is one: a tenant's has its role and settings.
    """
    own = connection.transaction(isolation="repeatable_read", readonly=True)
    async with contextlib.nullcontext() if connection.is_in_transaction() else own:
        async for row in connection.cursor(question, *arguments, prefetch=500):
            yield row
