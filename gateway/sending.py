"""What came by HTTP goes through the door to the log, and each item learns what became of it.

A chunk is admitted by a thread while the chunk before it is on its way to Kafka. An item is `accepted` when every
replica has its record, `duplicate` when the log had it already, and `rejected` with its place and code; its bytes then
stand, sealed, with the other rejects.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from formats.reading import Read, Reject
from gateway.doors import Doors, WayIn
from gateway.problems import away
from streams.door import Admitted
from streams.publishing import Publisher

CHUNK_ROWS = 1_000
WRITE_SECONDS = 30

CONFLICT = (
    "an event of this id is in the log, with other content",
    "give it an id of its own, or send a correction as the event's schema has it",
)
"""Reason and remedy of what the fold will refuse."""

Result = Literal["accepted", "duplicate", "rejected"]
Answer = Admitted | Reject


@dataclass(slots=True)
class Taken:
    """One record or reject, and what became of it. `is_conflict`: the id stands in the log with other content."""

    answer: Answer
    result: Result
    is_conflict: bool = False


async def taken(doors: Doors, way: WayIn, publisher: Publisher, items: Iterable[Read]) -> AsyncIterator[list[Taken]]:
    """Take in everything; yields what Kafka has acknowledged, chunk by chunk, in order.

    `items` is read by a thread. `Problem` 503 when Kafka does not answer: what was written stays written.
    """
    payer, iterator = way.door.payer.name, iter(items)
    under_way: asyncio.Task[list[Taken]] | None = None
    try:
        while answers := await _admitted(way, publisher, iterator):
            known = await doors.known(payer, answers)
            before, under_way = under_way, asyncio.create_task(_written(doors, payer, publisher, answers, known))
            if before is not None:
                yield await before
        if under_way is not None:
            last, under_way = under_way, None
            yield await last
    finally:
        if under_way is not None:
            under_way.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await under_way


async def _admitted(way: WayIn, publisher: Publisher, items: Iterator[Read]) -> list[Answer]:
    """The next chunk, read and admitted by threads: one computes, the other waits for the key store's disk too.

    Only the second has the door to itself, since a reader may take long to its first item.
    """
    chunk = await asyncio.to_thread(lambda: list(islice(items, CHUNK_ROWS)))
    if not chunk:
        return []
    async with way.turn:
        return await asyncio.to_thread(publisher.admit, chunk)


async def _written(
    doors: Doors, payer: str, publisher: Publisher, answers: Sequence[Answer], known: dict[int, bool]
) -> list[Taken]:
    same = {n for n, is_same in known.items() if is_same}
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            await publisher.write(answers, same)
    except TimeoutError:
        raise away("the log") from None
    doors.written(payer, [answer for n, answer in enumerate(answers) if n not in known])
    return [_became(answer, known.get(n)) for n, answer in enumerate(answers)]


def _became(answer: Answer, is_same: bool | None) -> Taken:
    if isinstance(answer, Reject):
        return Taken(answer, "rejected")
    if is_same is None:
        return Taken(answer, "accepted")
    return Taken(answer, "duplicate") if is_same else Taken(answer, "rejected", is_conflict=True)
