"""Which stretches of a log were applied together, what they hash to, and when each was known.

A row is written in the transaction that applies its records. Rows of a partition follow one another without a gap from
the offset at which a database began to keep them (0, unless it is older than this table).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

COLUMNS = ("topic", "partition", "first_offset", "next_offset", "known_at", "chain", "steps", "marks")


class Kept(NamedTuple):
    """A row: records from `first_offset` to before `next_offset`, and the chain behind the last of them."""

    first_offset: int
    next_offset: int
    known_at: int
    chain: bytes
    steps: Sequence[int]
    marks: bytes


async def keep(connection: Any, topic: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Store stretches: rows of COLUMNS without the topic."""
    await connection.copy_records_to_table("log_batch", records=[(topic, *row) for row in rows], columns=COLUMNS)


async def ends(connection: Any, topic: str, next_offsets: Mapping[int, int]) -> dict[int, tuple[bytes, int]]:
    """The chain and the latest append time of partitions where they stand; of those that have a row there."""
    rows = await connection.fetch(
        """
        SELECT b.partition, b.chain, b.known_at
          FROM unnest($2::int[], $3::bigint[]) w (partition, next_offset)
          JOIN log_batch b ON b.topic = $1 AND b.partition = w.partition AND b.next_offset = w.next_offset
        """,
        topic,
        list(next_offsets),
        list(next_offsets.values()),
    )
    return {row[0]: (row[1], row[2]) for row in rows}


async def rows_of(connection: Any, topic: str, partition: int) -> list[Kept]:
    """All rows of a partition, in order."""
    rows = await connection.fetch(
        """
        SELECT first_offset, next_offset, known_at, chain, steps, marks
          FROM log_batch WHERE topic = $1 AND partition = $2 ORDER BY next_offset
        """,
        topic,
        partition,
    )
    return [Kept(*row) for row in rows]


async def known_by(connection: Any, instant: datetime) -> dict[tuple[str, int], int]:
    """By topic and partition, the first offset that was not yet known at an instant; of those that have one.

    Append times may go back when a broker takes over; a record is known when the latest time before it has come.
    """
    milliseconds = int(instant.timestamp() * 1000)
    rows = await connection.fetch(
        """
        SELECT o.topic, o.partition, b.steps
          FROM consumer_offset o
         CROSS JOIN LATERAL (
               SELECT steps FROM log_batch b
                WHERE b.topic = o.topic AND b.partition = o.partition AND b.known_at > $1
                ORDER BY b.known_at, b.next_offset LIMIT 1) b
         WHERE o.consumer = 'contract'
        """,
        milliseconds,
    )
    found = {}
    for topic, partition, steps in rows:
        later = (offset for offset, at in zip(steps[::2], steps[1::2], strict=True) if at > milliseconds)
        found[topic, partition] = next(later)
    return found
