"""Publication: what readers yield goes through the door to the log, and every row is accounted for.

`accepted + duplicate + rejected = read`, in rows of the input. Before `settle` has waited for the projection, all that
was written counts as accepted; after it, a row is accepted when its fact stands at the very position we produced,
rejected when a reject stands there (one id with two contents), and a duplicate otherwise (seam 3).
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from formats.reading import Read, ReadFact, Reject
from streams.door import Admitted, Door, FileSubmission, Submission
from streams.log_writer import LogWriter
from streams.quality import Card
from streams.rejects import CONSUMER as REJECTS
from streams.rejects import RejectBook
from streams.topics import log_topic, rejects_topic

CONTRACT = "contract"
CHUNK_ROWS = 2_000
CHUNK_SECONDS = 120
"""After which a broker that does not answer is given up: the producer alone would try for ever."""

_LOOK_SECONDS = 0.05
_SLICE = 20_000


class StandsStill(Exception):
    """A partition's fold has halted, so waiting for it would not end. The message has its reason."""


@dataclass(slots=True)
class Produced:
    """What was written to one partition, in offset order: 12 bytes a record, whatever the size of the input."""

    offsets: array[int] = field(default_factory=lambda: array("q"))
    rows: array[int] = field(default_factory=lambda: array("l"))

    def add(self, offset: int, rows: int) -> None:
        """One more record; a record written again after a lost connection may stand before the last one."""
        if self.offsets and offset < self.offsets[-1]:
            at = bisect_left(self.offsets, offset)
            self.offsets.insert(at, offset)
            self.rows.insert(at, rows)
        else:
            self.offsets.append(offset)
            self.rows.append(rows)


@dataclass(slots=True)
class Published:
    """The account of a publication, in rows; `events` counts the facts written, by family.

    `warned` are rows with findings that do not keep them from being taken.
    """

    read: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    rejects: int = 0
    warned: int = 0
    exact: bool = False
    events: Counter[str] = field(default_factory=Counter)
    produced: dict[int, Produced] = field(default_factory=dict)
    last_reject: int = -1

    def summary(self) -> dict[str, Any]:
        """As `publish --json` prints it. `exact` is false where nobody waited for the projection."""
        return {
            "read": self.read,
            "accepted": self.accepted,
            "duplicate": self.duplicate,
            "rejected": self.rejected,
            "events": dict(sorted(self.events.items())),
            "exact": self.exact,
        } | ({"warned": self.warned} if self.warned else {})


class Publisher:
    """One submission to one payer's log. Files of any size: a chunk of rows is in memory at a time."""

    def __init__(
        self,
        door: Door,
        writer: LogWriter,
        book: RejectBook,
        plan: str = "",
        submission: Submission | None = None,
    ) -> None:
        self._door = door
        self._writer = writer
        self._book = book
        self._plan = plan
        self._payer = door.payer.name
        self._submission = submission or FileSubmission()
        self.published = Published()
        self.refused: Callable[[Reject], None] | None = None
        """Hears of what was read well and is refused at the door."""
        self.card: Card | None = None
        """Counts what the rows are like, where somebody asks."""

    async def publish(
        self, items: Iterable[Read], told: Callable[[int], None] = lambda rows: None, chunk: int = CHUNK_ROWS
    ) -> Published:
        """Take in everything; returns when Kafka has all of it. `told` hears of the rows read so far.

        `TimeoutError` when Kafka does not answer: what was written is in the log, and sending all again is harmless.
        """
        for part in _chunks(items, chunk):
            async with asyncio.timeout(CHUNK_SECONDS):
                await self.publish_chunk(part)
            told(self.published.read)
        return self.published

    async def publish_chunk(self, items: Sequence[Read]) -> list[Admitted | Reject]:
        """Take in a few items; answers what became of them, all of it written when this returns."""
        answers = self.admit(items)
        await self.write(answers)
        return answers

    def admit(self, items: Sequence[Read]) -> list[Admitted | Reject]:
        """What is to be written of a few items. This computes, and waits for the key store; nothing else."""
        self.published.read += sum(item.rows for item in items)
        self.published.warned += sum(item.rows for item in items if isinstance(item, ReadFact) and item.findings)
        answers = self._door.admit(items, self._submission)
        if self.card is not None:
            self.card.hear(items)
            self.card.refused(answer for answer in answers if isinstance(answer, Reject))
        if self.refused is not None:
            read = {id(item) for item in items if isinstance(item, Reject)}
            for answer in answers:
                if isinstance(answer, Reject) and id(answer) not in read:
                    self.refused(answer)
        return answers

    async def write(self, answers: Sequence[Admitted | Reject], known: Container[int] = ()) -> None:
        """Write what was admitted. `known` are places in `answers` whose records the log has already."""
        published = self.published
        records = [answer for n, answer in enumerate(answers) if isinstance(answer, Admitted) and n not in known]
        rejects = [answer for answer in answers if isinstance(answer, Reject)]
        published.duplicate += sum(a.rows for n, a in enumerate(answers) if isinstance(a, Admitted) and n in known)
        for record, position in zip(records, await self._writer.write(log_topic(self._payer), records), strict=True):
            published.produced.setdefault(position.partition, Produced()).add(position.offset, record.rows)
            published.accepted += record.rows
            if record.member or position.partition == 0:
                published.events[record.family] += 1
        if rejects:
            told = await asyncio.to_thread(self._book.records, rejects, self._plan, self._door.shift_years)
            positions = await self._writer.write(rejects_topic(self._payer), told)
            published.last_reject = max(published.last_reject, *(position.offset for position in positions))
            published.rejects += len(rejects)
            published.rejected += sum(reject.rows for reject in rejects)


async def settle(connection: Any, payer: str, published: Published) -> Published:
    """Wait until the projection has passed everything produced, then count exactly. Cancel it to stop waiting."""
    last = {partition: produced.offsets[-1] for partition, produced in published.produced.items()}
    await until_projected(connection, payer, last, published.last_reject)
    accepted = rejected = rejects = 0
    for partition, produced in published.produced.items():
        for start in range(0, len(produced.offsets), _SLICE):
            offsets = produced.offsets[start : start + _SLICE]
            rows = dict(zip(offsets, produced.rows[start : start + _SLICE], strict=True))
            low, high = offsets[0], offsets[-1]
            stand = await connection.fetch(
                "SELECT log_offset FROM fact WHERE partition = $1 AND payer = $2 AND log_offset BETWEEN $3 AND $4",
                partition, payer, low, high,
            )  # fmt: skip
            refused = await connection.fetch(
                "SELECT log_offset FROM reject WHERE topic = $1 AND partition = $2 AND log_offset BETWEEN $3 AND $4",
                log_topic(payer), partition, low, high,
            )  # fmt: skip
            accepted += sum(rows.get(row[0], 0) for row in stand)
            ours = [row[0] for row in refused if row[0] in rows]
            rejected += sum(rows[offset] for offset in ours)
            rejects += len(ours)
    published.duplicate += published.accepted - accepted - rejected
    published.accepted = accepted
    published.rejected += rejected
    published.rejects += rejects
    published.exact = True
    return published


async def until_projected(connection: Any, payer: str, offsets: Mapping[int, int], reject: int = -1) -> None:
    """Wait until the contract has passed these offsets of its log, and the table of rejects that of theirs.

    `StandsStill` when a partition has halted. Polls: positions move without anybody being told.
    """
    wanted = {(CONTRACT, log_topic(payer), partition): offset + 1 for partition, offset in offsets.items()}
    if reject >= 0:
        wanted[REJECTS, rejects_topic(payer), 0] = reject + 1
    while wanted:
        rows = await connection.fetch(
            "SELECT consumer, topic, partition, next_offset FROM consumer_offset WHERE topic = ANY($1::text[])",
            [log_topic(payer), rejects_topic(payer)],
        )
        reached = {(row[0], row[1], row[2]): row[3] for row in rows}
        wanted = {at: offset for at, offset in wanted.items() if reached.get(at, 0) < offset}
        if wanted:
            await _refuse_halted(connection, payer, {at[2] for at in wanted if at[0] == CONTRACT})
            await asyncio.sleep(_LOOK_SECONDS)


async def _refuse_halted(connection: Any, payer: str, partitions: set[int]) -> None:
    row = await connection.fetchrow(
        "SELECT partition, log_offset, reason FROM halted_partition WHERE payer = $1 AND partition = ANY($2::int[])",
        payer, list(partitions),
    )  # fmt: skip
    if row is not None:
        raise StandsStill(f"{log_topic(payer)}[{row[0]}] stands still at offset {row[1]}: {row[2]}")


def _chunks(items: Iterable[Read], size: int) -> Iterator[list[Read]]:
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part
