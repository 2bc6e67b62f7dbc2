"""Reads a payer's log up to a cut, once and without a group, into what settlements rest on.

Of a partition the facts are in memory until its episodes replace them. Records of one id count once, as in the fold.
Work is done beside the event loop, a few thousand records at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from contracts.cases import Case
from contracts.envelope import Fact
from contracts.errors import ContractError
from contracts.fold import NotAdopted, OtherBuild
from contracts.gathering import Gatherer
from contracts.parts import Adoption, Sheet
from contracts.payment_life import MOVES, moves
from contracts.practice_facts import PracticeFacts
from contracts.reference_values import References
from streams.beside import Processes, no_collector
from streams.codec import UnknownType, Unreadable, decode_record
from streams.connections import Connections
from streams.replay import SHORT_RECORDS, id_bytes, log_records
from streams.topics import log_topic

Between = Callable[[], Awaitable[None]]


class CannotSettle(Exception):
    """The log cannot be settled by this build: it adopted another one's clauses, or newer facts."""


@dataclass
class Gathered:
    """What a log comes to at a cut. Terms, practices and figures are those of its first partition.

    `remitted` are cents by payment id, as far as remittances name one.
    """

    partition: int
    adoption: Adoption
    references: References
    cases: list[Case] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    remitted: dict[str, int] = field(default_factory=dict)
    practices: PracticeFacts = field(default_factory=PracticeFacts)

    def add(self, other: Gathered) -> None:
        """Take in what another partition comes to."""
        self.cases += other.cases
        self.failed += other.failed
        self.remitted |= other.remitted

    @property
    def sheet(self) -> Sheet:
        """The terms in force at the cut."""
        return self.adoption.sheets[""]


class Takes(Protocol):
    """What is given a log's facts."""

    def take(self, fact: Fact) -> None:
        """The next fact."""


class PartitionReader:
    """One partition's records, in order, each fact once."""

    def __init__(self, payer: str, partition: int, gatherer: Takes) -> None:
        self._gatherer = gatherer
        self.remitted: dict[str, int] = {}
        self._topic = log_topic(payer)
        self._partition = partition
        self._seen: set[bytes] = set()

    def feed(self, records: Sequence[Any]) -> None:
        """The next records."""
        for record in records:
            try:
                fact = decode_record(
                    self._topic, self._partition, record.offset, record.timestamp, record.key, record.value
                )
            except Unreadable:  # a reject of the fold; it has said so
                continue
            except UnknownType as unknown:
                raise CannotSettle(f"{self._topic}[{self._partition}] offset {record.offset}: {unknown}") from unknown
            name = id_bytes(fact.event_id)
            if name in self._seen:
                continue
            self._seen.add(name)
            self._take(fact)

    def _take(self, fact: Fact) -> None:
        if fact.type in MOVES:
            for one in moves(fact):
                self.remitted[one.payment_id] = self.remitted.get(one.payment_id, 0) + one.amount_cents
            if fact.member:
                return
        try:
            self._gatherer.take(fact)
        except (NotAdopted, OtherBuild, ContractError) as error:
            raise CannotSettle(f"{self._topic}[{self._partition}] offset {fact.offset}: {error}") from error


async def gather(
    connections: Connections, payer: str, contract: str, cut: Mapping[int, int], between: Between
) -> Gathered:
    """The payer's log up to a cut; `between` is awaited every few thousand records, or every second.

    Partitions of a long log are read in processes of their own, beside each other.
    """
    parts = [_Part(connections, payer, contract, partition, cut[partition]) for partition in sorted(cut)]
    if len(parts) == 1 or sum(cut.values()) < SHORT_RECORDS:
        found = await parts[0].read(between)
        for part in parts[1:]:
            found.add(await part.read(between, found.references))
        return found
    async with Processes() as processes:
        reading = asyncio.gather(*map(processes.do, parts))
        try:
            read: list[Gathered] = await meanwhile(reading, between)
        finally:
            reading.cancel()
    found = read[0]
    for part, one in zip(parts[1:], read[1:], strict=True):
        same = one.adoption.references == found.adoption.references  # else the cut parts what was told to everybody
        found.add(one if same else await part.read(between, found.references))
    return found


@dataclass(frozen=True)
class _Part:
    """One partition of a payer's log up to a cut."""

    connections: Connections
    payer: str
    contract: str
    partition: int
    cut: int

    async def done(self) -> Gathered:
        """What it comes to; in a process of its own."""
        return await self.read(_nothing)

    async def read(self, between: Between, references: References | None = None) -> Gathered:
        """What it comes to, by `references` or its own."""
        gatherer = Gatherer(self.payer, self.contract, self.partition)
        reader, log = PartitionReader(self.payer, self.partition, gatherer), log_topic(self.payer)
        with no_collector():  # what is read lives until it is judged, and a collector would look at it again and again
            async for records in log_records(self.connections, log, self.partition, self.cut):
                await asyncio.to_thread(reader.feed, records)
                await between()
            if references is None:
                references = References(gatherer.adoption.references)
                if "" not in gatherer.adoption.sheets:
                    raise CannotSettle(f"{log} has adopted no terms before the cut")
            try:
                cases = await beside(partial(_cases, gatherer, references), between)
            except (NotAdopted, OtherBuild, ContractError) as error:
                raise CannotSettle(str(error)) from error
        return Gathered(
            self.partition, gatherer.adoption, references, cases, gatherer.failed, reader.remitted, gatherer.practices
        )


async def _nothing() -> None:
    """What is awaited where nobody waits."""


def _cases(gatherer: Gatherer, references: References) -> list[Case]:
    return list(gatherer.cases(references))


async def beside(work: Callable[[], Any], between: Between) -> Any:
    """Work done in a thread of its own, while `between` is awaited now and then."""
    return await meanwhile(asyncio.ensure_future(asyncio.to_thread(work)), between)


async def meanwhile(task: asyncio.Future[Any], between: Between) -> Any:
    """What a task comes to, while `between` is awaited now and then."""
    while not task.done():
        await asyncio.wait([task], timeout=1)
        await between()
    return task.result()
