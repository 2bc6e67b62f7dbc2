"""A person is erased: every key that opens what names them is destroyed, and nothing else moves (seams 20, 21).

What the log, the tables and the outputs hold stays byte for byte: tokens, codes, days, cents, ids and digests. In this
order, so that a call that was cut off is made again and finishes:

1. the operations topic hears that it is to be done;
2. what names the person is opened for the last time, and remembered as keyed digests of identifiers that no reject is
   to keep any more;
3. rejected records and X12 answers that name the person lose their own keys, or are deleted;
4. `SubjectErased` goes to the payer's log for each token, where a restored key store is told of it;
5. the member's keys are destroyed; from the next batch on every door refuses the person's records and keeps none;
6. rejects that came meanwhile are looked at too, and the operations topic hears what was done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol
from uuid import UUID

from contracts.events import (
    OperatorAct,
    PersonalDataRead,
    RejectDropped,
    SubjectErased,
    SubjectErasureDone,
    SubjectErasureRefused,
    SubjectErasureRequested,
)
from contracts.events.operations import REJECTS_MAX
from contracts.retention import Retention, Running
from projections.rejects import OPEN, rejects_named
from streams.connections import Connections
from streams.door import Door
from streams.held import Named, held, rejects_naming
from streams.keys import KeyStore
from streams.log_writer import LogWriter
from streams.naming import Naming, word_of
from streams.own_keys import REJECT
from streams.topics import log_topic

SOURCE = "erasures"
REASON = "request"
PURPOSE = "to find what else names the person, before it is erased"
WHY_DROPPED = "its bytes were erased with a person whom they named"


class DutyToKeep(Exception):
    """The person is not erased: a duty to keep runs."""

    def __init__(self, running: Sequence[Running]) -> None:
        self.running = tuple(running)
        super().__init__(f"{running[0].label} ({running[0].source}); it ends on {running[0].ends_on.isoformat()}")


class Way(Protocol):
    """An operator's way in of one payer."""

    @property
    def reach(self) -> Connections:
        """How Kafka is reached."""

    @property
    def keys(self) -> KeyStore:
        """The key store."""

    @property
    def writer(self) -> LogWriter:
        """Writes the payer's log."""

    @property
    def door(self) -> Door:
        """The payer's."""

    @property
    def who(self) -> dict[str, Any]:
        """What every act of this operator says."""

    async def state(self, act: OperatorAct) -> None:
        """Have an act in the operations topic."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What was done. `rejects_left` are sealed under a key that is not theirs alone, and still open."""

    payer: str
    member: str
    tokens: tuple[str, ...]
    facts: int
    rejects: tuple[str, ...]
    rejects_left: tuple[str, ...]
    acknowledgements: int
    was_erased: bool


async def erase(
    way: Way,
    database: Any,
    token: str,
    why: str,
    today: date,
    duties: Retention,
    contract: str,
    forget: Callable[[Naming], Awaitable[int]],
) -> Erased:
    """Erase the person whom a token means. `DutyToKeep` while one runs; `UnknownSubject` when there is none.

    `forget` deletes what else is kept and names the person, and answers how many that were. Doing it again does
    nothing more.
    """
    payer, keys = way.door.payer.name, way.keys
    tokens = keys.tokens_of(payer, token)
    member, was_erased = tokens[0], set(tokens) <= set(keys.destroyed(payer))
    await way.state(PersonalDataRead(**way.who, what="erasure", subject=member, purpose=PURPOSE))
    found = await held(way.reach, database, keys, payer, tokens, today)
    who, naming = way.who | {"plan": found.plan or way.who["plan"]}, found.naming
    if running := duties.running(contract, found.last_service_on, today):
        first = running[0]
        await way.state(
            SubjectErasureRefused(**who, subject=member, duty=first.duty, ends_on=first.ends_on, why=first.label)
        )
        raise DutyToKeep(running)
    await way.state(SubjectErasureRequested(**who, subject=member, why=why))
    secret = keys.payer_keys(payer).rejects
    keys.suppress(payer, [word_of(secret, said) for said in naming.identifiers])
    named, end = await _forgotten(way, database, who, naming, 0)
    deleted = await forget(naming)
    for each in tokens:
        fact = way.door.admit_own(SubjectErased(reason=REASON), SOURCE, each, member=each, plan=found.plan)
        await way.writer.write(log_topic(payer), fact)
    keys.destroy(payer, member)
    late, _ = await _forgotten(way, database, who, naming, end)
    rejects = [each for each in (*named, *late) if each.is_own]
    left = [each for each in (*named, *late) if not each.is_own]
    done = SubjectErasureDone(
        **who,
        subject=member,
        also=tokens[1:],
        facts=found.sealed + found.destroyed,
        rejects=len(rejects),
        reject_ids=tuple(each.reject_id for each in rejects)[:REJECTS_MAX],
        rejects_left=len(left),
        acknowledgements=deleted,
    )
    await way.state(done)
    ids, left_ids = (tuple(each.reject_id for each in some) for some in (rejects, left))
    return Erased(payer, member, tokens, done.facts, ids, left_ids, deleted, was_erased)


async def _forgotten(
    way: Way, database: Any, who: Mapping[str, Any], naming: Naming, after: int
) -> tuple[list[Named], int]:
    """Rejects from an offset on that name the person, their own keys destroyed; and the offset behind the last."""
    if not naming:
        return [], after
    payer = way.door.payer.name
    named, end = await rejects_naming(way.reach, way.keys, payer, naming, after)
    own = [each for each in named if each.is_own]
    if own:
        way.keys.destroy_own(payer, REJECT, [each.reject_id for each in own])
    done_with = {
        row["reject_id"]
        for row in await rejects_named(database, [UUID(each.reject_id) for each in own])
        if row["status"] != OPEN
    }
    for each in own:
        if each.reject_id not in done_with:
            act = RejectDropped(**{**who, "plan": each.plan}, reject_id=each.reject_id, why=WHY_DROPPED)
            await way.state(act)
    return named, end
