"""Releasing a parked member: its waiting facts are folded in order, as if it had never been parked.

Facts behind the one that raised are stored by position and wait in the log; they are read back from there, among the
broadcasts of the partition, which are folded from the beginning so that each waiting fact meets the terms and the time
that were adopted at its position.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from contracts.envelope import Fact
from projections import store
from streams.agents import CONSUMER
from streams.app import MakeFolds, folder_of, folds
from streams.codec import decode_record
from streams.connections import Connections
from streams.folding import Poisoned
from streams.reading import LogReader, log_reader
from streams.roster import Payer
from streams.topics import log_topic

log = structlog.get_logger(__name__)


class NotParked(Exception):
    """No such member of this payer is parked."""


class LogLacks(Exception):
    """A stored fact is not where the log should have it."""


@dataclass(frozen=True)
class Released:
    """How a release went: facts folded; when the fold raised again, where and why the member is parked now."""

    facts: int
    partition: int
    parked_at: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class _Parked:
    payer: Payer
    member: str
    partition: int
    offset: int


Tell = Callable[[Released], Awaitable[None]]
"""States a release where it is kept for ever."""


async def release(
    pool: Any,
    connections: Connections,
    payer: Payer,
    member: str,
    make_folds: MakeFolds = folds,
    tell: Tell | None = None,
) -> Released:
    """Fold a parked member's waiting facts; it stays parked at the first that raises. Workers go on meanwhile.

    The partition's position is locked for as long as the folding takes, so that no fact comes between. `tell` is
    called before anything of it stands: there is no release that was not told.
    """
    async with pool.acquire() as connection, log_reader(connections) as reader:
        row = await connection.fetchrow(
            "SELECT partition, log_offset FROM parked_member WHERE payer = $1 AND member = $2", payer.name, member
        )
        if row is None:
            raise NotParked(f"{payer.name} has no such parked member; `carepact parked list` names them")
        parked = _Parked(payer, member, row[0], row[1])
        known = await _facts(connection, reader, parked, {})
        async with connection.transaction():
            await connection.fetch(
                "SELECT 1 FROM consumer_offset WHERE consumer = $1 AND topic = $2 AND partition = $3 FOR UPDATE",
                CONSUMER,
                log_topic(payer.name),
                parked.partition,
            )
            facts = await _facts(connection, reader, parked, known)
            released = await _fold(connection, parked, list(facts.values()), make_folds)
            if tell is not None:
                await tell(released)
    log.info("member_released", payer=payer.name, facts=released.facts, parked_at=released.parked_at)
    return released


async def _facts(connection: Any, reader: LogReader, parked: _Parked, known: Mapping[int, Fact]) -> dict[int, Fact]:
    """The partition's broadcasts, and the member's facts from where it is parked, by offset; `known` are not read."""
    rows = await connection.fetch(
        """
        SELECT log_offset FROM fact
         WHERE payer = $1 AND partition = $2 AND (member = '' OR (member = $3 AND log_offset >= $4))
         ORDER BY log_offset
        """,
        parked.payer.name,
        parked.partition,
        parked.member,
        parked.offset,
    )
    offsets = [row[0] for row in rows]
    topic = log_topic(parked.payer.name)
    found = await reader.records({(topic, parked.partition): [o for o in offsets if o not in known]})
    facts = {}
    for offset in offsets:
        fact = known.get(offset)
        if fact is None:
            record = found.get((topic, parked.partition, offset))
            if record is None:
                raise LogLacks(f"{topic}[{parked.partition}] has no record at {offset}")
            fact = decode_record(topic, parked.partition, offset, record.timestamp, record.key, record.value)
        facts[offset] = fact
    return facts


async def _fold(connection: Any, parked: _Parked, facts: Sequence[Fact], make_folds: MakeFolds) -> Released:
    """Fold them, or those before the first that raises."""
    raised: Poisoned | None = None
    while True:
        todo = [fact for fact in facts if raised is None or fact.offset < raised.offset]
        try:
            async with connection.transaction():
                await _refold(connection, parked, todo, make_folds)
            break
        except Poisoned as poisoned:
            raised = poisoned
    if raised is None:
        await connection.execute(
            "DELETE FROM parked_member WHERE payer = $1 AND member = $2", parked.payer.name, parked.member
        )
    else:
        await connection.execute(
            "UPDATE parked_member SET log_offset = $3, event_id = $4, reason = $5 WHERE payer = $1 AND member = $2",
            parked.payer.name,
            parked.member,
            raised.offset,
            raised.event_id,
            raised.reason,
        )
    count = sum(1 for fact in todo if fact.member)
    return Released(count, parked.partition, raised.offset if raised else None, raised.reason if raised else "")


async def _refold(connection: Any, parked: _Parked, facts: Sequence[Fact], make_folds: MakeFolds) -> None:
    folder = folder_of(parked.payer, make_folds)
    folder.open(parked.partition, None)
    folder.adopt([fact for fact in facts if fact.offset < parked.offset])
    waiting = [fact for fact in facts if fact.offset >= parked.offset]
    await folder.refold(parked.member, waiting, store.LiveParts(connection, parked.payer.name))
