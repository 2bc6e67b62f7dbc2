"""Reading logs without a group: single records by position, and ranges up to a cut. Live work is not touched."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.connections import Connections

At = tuple[str, int]
"""(topic, partition)"""

FETCH_SECONDS = 30


class LogReader:
    """A consumer without a group, used by one caller at a time."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    async def bounds(self, at: Iterable[At]) -> tuple[dict[At, int], dict[At, int]]:
        """The first and the next offset of each partition."""
        parts = [TopicPartition(*one) for one in at]
        begins = await self._consumer.beginning_offsets(parts)
        ends = await self._consumer.end_offsets(parts)
        return {(tp.topic, tp.partition): o for tp, o in begins.items()}, {
            (tp.topic, tp.partition): o for tp, o in ends.items()
        }

    async def records(self, wanted: Mapping[At, Sequence[int]]) -> dict[tuple[str, int, int], Any]:
        """The records at these offsets; one that is not there (below the log's start, a gap) is left out.

        Every offset asked for must be below its partition's end.
        """
        todo = {TopicPartition(*at): sorted(set(offsets), reverse=True) for at, offsets in wanted.items() if offsets}
        found: dict[tuple[str, int, int], Any] = {}
        if not todo:
            return found
        self._consumer.assign(list(todo))
        for tp, offsets in todo.items():
            self._consumer.seek(tp, offsets[-1])
        async with asyncio.timeout(FETCH_SECONDS):
            while todo:
                got = await self._consumer.getmany(*todo, timeout_ms=1000, max_records=500)
                for tp, records in got.items():
                    _take(tp, records, todo[tp], found)
                for tp in list(todo):
                    position = await self._consumer.position(tp)
                    while todo[tp] and todo[tp][-1] < position:
                        todo[tp].pop()  # a gap: what transactions leave, or below the log's start
                    if not todo[tp]:
                        del todo[tp]
                    elif todo[tp][-1] > position:
                        self._consumer.seek(tp, todo[tp][-1])
        return found


def _take(
    tp: TopicPartition, records: Sequence[Any], offsets: list[int], found: dict[tuple[str, int, int], Any]
) -> None:
    """Move what was asked for from `records`; offsets passed over are not in the log."""
    for record in records:
        while offsets and offsets[-1] < record.offset:
            offsets.pop()
        if offsets and offsets[-1] == record.offset:
            found[tp.topic, tp.partition, record.offset] = record
            offsets.pop()


@asynccontextmanager
async def log_reader(connections: Connections) -> AsyncIterator[LogReader]:
    """A reader that sees what is committed."""
    consumer = AIOKafkaConsumer(
        **connections.aiokafka(),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    try:
        async with asyncio.timeout(FETCH_SECONDS):
            await consumer.start()
        yield LogReader(consumer)
    finally:
        await consumer.stop()


def grouped(positions: Iterable[tuple[str, int, int]]) -> dict[At, list[int]]:
    """(topic, partition, offset) as offsets by partition."""
    made: dict[At, list[int]] = defaultdict(list)
    for topic, partition, offset in positions:
        made[topic, partition].append(offset)
    return made
