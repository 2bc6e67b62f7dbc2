"""Rejects sent again by an operator or by their sender: as they were, or corrected; in the order of their refusal.

What the door takes is told as retried, after the log has it: a kill between leaves a reject open, and sending it once
more is harmless. Any number may be sent: some are in memory at a time, each of the size of a record of their topic.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any, Protocol

from contracts.events import OperatorAct, RejectRetried
from formats.reading import Read, Reject
from streams.connections import Connections
from streams.door import FileSubmission, SingleRecords, Submission
from streams.keys import KeyStore
from streams.publishing import Published
from streams.retrying import At, NotKept, kept_of, read_again, told, values_at, why_not_kept

PART = 16
"""Rejects whose records are in memory at once; one has at most 4 MiB."""
REFUSALS_MAX = 20

Row = Mapping[str, Any]
"""A reject as `projections.rejects` gives it."""


class MixedShifts(NotKept):
    """One corrected file cannot be for rejects whose days were moved by different years."""

    def __init__(self) -> None:
        super().__init__("they are of runs that moved days by different years; retry those of each run apart")


class Way(Protocol):
    """The way in of one tenant, with its days moved by some years."""

    @property
    def keys(self) -> KeyStore:
        """The key store, which opens what was kept."""

    @property
    def who(self) -> dict[str, Any]:
        """What every act of this operator says."""

    async def send(self, items: Iterable[Read], submission: Submission, refused: Callable[[Reject], None]) -> Published:
        """Through the door to the log; `refused` hears of what was read well and is refused there."""

    async def state(self, act: OperatorAct) -> None:
        """Have an act in the operations topic."""


Opened = Callable[[int], AbstractAsyncContextManager[Way]]
"""The way in, by the years that days are moved."""


@dataclass(frozen=True, slots=True)
class Resent:
    """Rejects that were sent together, and what became of them; `taken` when the door took all of it."""

    ids: tuple[str, ...]
    published: Published
    refusals: list[Reject] = field(default_factory=list)

    @property
    def taken(self) -> bool:
        """Whether they are done with."""
        return bool(self.published.read) and not self.published.rejected


async def as_they_were(reach: Connections, rows: Sequence[Row], opened: Opened) -> AsyncIterator[Resent]:
    """Send rejects of one tenant again, each by itself. `NotKept` before the first when one was not kept whole."""
    shifts = await _shifts(reach, rows, needed_whole=True)
    together = FileSubmission()
    for shift, ours in groupby(rows, lambda row: shifts[row["reject_id"]]):
        async with opened(shift) as way:
            for part in _parts(ours):
                values = await values_at(reach, [at(row) for row in part])
                for row in part:
                    kept = kept_of(way.keys, row["payer"], row["topic"], values[at(row)])
                    alone = "/" in (row["file"] or "")  # from an inbox, where each record is a submission of its own
                    submission: Submission = SingleRecords() if alone else together
                    yield await _sent(way, [row], read_again(kept), submission, corrected=False)


async def corrected(reach: Connections, rows: Sequence[Row], items: Iterable[Read], opened: Opened) -> Resent:
    """Send what is to stand in place of rejects of one tenant."""
    shifts = set((await _shifts(reach, rows, needed_whole=False)).values())
    if len(shifts) > 1:
        raise MixedShifts
    async with opened(shifts.pop()) as way:
        return await _sent(way, rows, items, FileSubmission(), corrected=True)


async def _shifts(reach: Connections, rows: Sequence[Row], *, needed_whole: bool) -> dict[str, int]:
    """By how many years the days of each were moved."""
    found: dict[str, int] = {}
    for part in _parts(iter(rows)):
        values = await values_at(reach, [at(row) for row in part])
        for row in part:
            event = told(row["payer"], row["topic"], values[at(row)]) if at(row) in values else None
            if needed_whole and (why := why_not_kept(event)):
                raise NotKept(why)
            found[row["reject_id"]] = event.shift_years if event else 0
    return found


async def _sent(
    way: Way, rows: Sequence[Row], items: Iterable[Read], submission: Submission, *, corrected: bool
) -> Resent:
    """Through the door; then it is told that they were sent."""
    refusals: list[Reject] = []

    def refused(reject: Reject) -> None:
        if len(refusals) < REFUSALS_MAX:
            refusals.append(reject)

    published = await way.send(_heard(items, refused), submission, refused)
    counts: dict[str, Any] = {f"rows_{name}": getattr(published, name) for name in ("read", "accepted", "rejected")}
    ids = tuple(row["reject_id"] for row in rows)
    await way.state(RejectRetried(**way.who, reject_ids=ids, corrected=corrected, **counts))
    return Resent(ids, published, refusals)


def _heard(items: Iterable[Read], refused: Callable[[Reject], None]) -> Iterator[Read]:
    """The items; `refused` hears of those that are rejects already."""
    for item in items:
        if isinstance(item, Reject):
            refused(item)
        yield item


def at(row: Row) -> At:
    """Where the record of a reject stands."""
    return row["topic"], row["partition"], row["offset"]


def _parts(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while part := list(islice(rows, PART)):
        yield part
