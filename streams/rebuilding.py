"""Rebuilding projections beside the live ones, from the log; catching up; checking; exchanging.

The log is read without a group, up to ends fixed before, by the agent that live work runs, on tables of its own: what
it emits stays in an outbox that no relay reads. Positions are in those tables too, so that it goes on where it ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka import TopicPartition

from contracts.roster import contract_digest
from projections import rebuilt, store
from projections.episode_events import Told, send, versions
from projections.migrate import make_partitions, migrate
from projections.rebuilt import ONE_AT_A_TIME, SCHEMA
from streams.agents import CONSUMER, Batch, ContractAgent
from streams.app import folder_of
from streams.beside import Processes
from streams.connections import Connections
from streams.output import groupless, id_of, partitions_of
from streams.reconciling import log_ends
from streams.replay import SHORT_RECORDS, brief
from streams.roster import Payer
from streams.topics import episodes_topic, log_topic, payments_topic
from streams.verifying_log import read, records_of

BATCH_RECORDS = 2_000
OWNER = "rebuild"
NICENESS = 10
TELL_SECONDS = 1.0
Say = Callable[[str], None]


class Held(Exception):
    """Another process rebuilds or exchanges now."""


class CannotRebuild(Exception):
    """The rebuild cannot go on; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Published:
    """A payment, or a version of an episode, that was published and is not as rebuilt."""

    payer: str
    payment_id: str
    expected: str | None
    found: str


class PublishedDiffers(Exception):
    """What was published is not what the rebuild pays, so that it may not take the place of what is live."""

    def __init__(self, found: Published) -> None:
        super().__init__(f"{found.payer}: payment {found.payment_id} was published and is not as rebuilt")
        self.found = found


@asynccontextmanager
async def opened(connections: Connections) -> AsyncIterator[Any]:
    """A connection of the owner that alone may rebuild; `Held` while another has it."""
    connection = await asyncpg.connect(connections.postgres, timeout=10)
    try:
        await connection.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", ONE_AT_A_TIME):
            raise Held("another process rebuilds or exchanges projections of this database now")
        yield connection
    finally:
        await connection.close()


async def rebuild(
    connections: Connections, connection: Any, payers: Sequence[Payer], say: Say = lambda _: None
) -> dict[str, int]:
    """Begin, or go on where an earlier call ended; answers how many records of each payer were folded now."""
    clauses = {payer.name: contract_digest(payer.contract) for payer in payers}
    found = await rebuilt.state(connection)
    if found is not None and found["state"] == "before":
        raise CannotRebuild(
            "what was live before the last exchange is kept beside; `carepact replay switch --back` brings it back, "
            "`carepact replay rebuild --cancel` gives it up"
        )
    if found is not None and found["clauses"] and found["clauses"] != clauses:
        raise CannotRebuild("it was begun by another build; `carepact replay rebuild --cancel`, then begin again")
    ends = {payer.name: await log_ends(connections, payer.name) for payer in payers}
    if found is None or not found["clauses"]:
        partitions = max(len(end) for end in ends.values())
        await migrate(connections.postgres, partitions=partitions, schema=SCHEMA)
        await rebuilt.note(connection, {"state": "building", "clauses": clauses})
    wanted = {payer.name: {int(p): end for p, end in ends[payer.name].items()} for payer in payers}
    beside = await rebuilt.positions(connection, SCHEMA)
    left = sum(
        end - beside.get((log_topic(name), partition), 0)
        for name, own in wanted.items()
        for partition, end in own.items()
    )
    if left < SHORT_RECORDS:
        return {payer.name: await catch_up(connections, payer, wanted[payer.name], say) for payer in payers}
    return await _in_processes(connections, connection, payers, wanted, say)


@dataclass(frozen=True)
class _Partition:
    """A partition of a payer's log, folded in a process of its own."""

    connections: Connections
    payer: Payer
    partition: int
    end: int

    async def done(self) -> int:
        """How many records were folded."""
        return await catch_up(self.connections, self.payer, {self.partition: self.end})


async def _in_processes(
    connections: Connections,
    connection: Any,
    payers: Sequence[Payer],
    wanted: Mapping[str, Mapping[int, int]],
    say: Say,
) -> dict[str, int]:
    """Partitions beside each other, behind live work; progress is read from the tables."""
    async with Processes(niceness=NICENESS) as processes:
        doing = {
            payer.name: asyncio.gather(
                *(
                    processes.do(_Partition(connections, payer, partition, end))
                    for partition, end in sorted(wanted[payer.name].items())
                )
            )
            for payer in payers
        }
        telling = asyncio.create_task(_tell(connection, wanted, say))
        try:
            return {name: sum(await folded) for name, folded in doing.items()}
        finally:
            telling.cancel()
            for folded in doing.values():
                folded.cancel()
            await asyncio.gather(telling, *doing.values(), return_exceptions=True)


async def _tell(connection: Any, wanted: Mapping[str, Mapping[int, int]], say: Say) -> None:
    while True:
        beside = await rebuilt.positions(connection, SCHEMA)
        for name, ends in wanted.items():
            done, total = sum(beside.get((log_topic(name), p), 0) for p in ends), sum(ends.values())
            if done < total:
                say(f"{name}: {done:,} of {total:,} records")
                break
        await asyncio.sleep(TELL_SECONDS)


async def catch_up(connections: Connections, payer: Payer, ends: Mapping[int, int], say: Say = lambda _: None) -> int:
    """Fold one payer's log, from where the tables beside stand, up to these ends; answers how many records."""
    pool = await asyncpg.create_pool(
        connections.postgres,
        min_size=1,
        max_size=3,
        command_timeout=store.COMMAND_SECONDS,
        server_settings=store.SESSION | {"search_path": SCHEMA},
    )
    done, total = 0, sum(ends.values())
    try:
        agent = ContractAgent(payer, pool, folder_of(payer))
        async with pool.acquire() as connection:
            await make_partitions(connection, max(ends) + 1)
            claimed = await store.claim(connection, CONSUMER, [(agent.topic, p) for p in ends], OWNER)
        await agent.open(sorted(ends))
        at = {partition: position for (_, partition), position in claimed.items()}
        before = sum(position.next_offset for position in at.values())
        epochs = {partition: position.epoch for partition, position in at.items()}
        for partition in sorted(ends):
            start = at[partition].next_offset
            if start >= ends[partition]:
                continue
            async with groupless(connections) as consumer:
                async for records in read(consumer, agent.topic, partition, start, ends[partition], BATCH_RECORDS):
                    await _apply(agent, epochs, partition, records)
                    done += len(records)
                    say(f"{payer.name}: {before + done:,} of {total:,} records")
    finally:
        await pool.close()
    return done


async def _apply(agent: ContractAgent, epochs: dict[int, int], partition: int, records: Sequence[Any]) -> None:
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    applied = await agent.apply(Batch(epochs, {partition: records}, done))
    for stopped in applied.stops.values():
        raise CannotRebuild(f"{agent.topic}[{stopped.partition}] offset {stopped.offset}: {stopped.reason}")


async def published(connections: Connections, topic: str) -> dict[UUID, str]:
    """The events of an output topic by id, each as a digest of its bytes."""
    async with groupless(connections) as consumer:
        parts = [TopicPartition(topic, p) for p in sorted(await partitions_of(consumer, topic))]
        ends = await consumer.end_offsets(parts)
    found: dict[UUID, str] = {}
    for part in parts:
        if ends[part]:
            async for record in records_of(connections, topic, part.partition, 0, ends[part]):
                if (name := id_of(record.value)) is not None:
                    found[name] = brief(record.value).hex()
    return found


@dataclass(frozen=True, slots=True)
class Lost:
    """What of a payer no topic has and did not wait, as far as live work had come (`behind`)."""

    payer: str
    payments: list[UUID]
    episodes: list[Told]
    behind: Mapping[int, int]


async def check_published(connections: Connections, connection: Any, payer: Payer, schema: str = SCHEMA) -> Lost:
    """Hold a payer's topics against a schema's payments and episodes; `PublishedDiffers` names the first not equal.

    What waited and how far live work had come is read first: what was sent meanwhile is then on the topic.
    """
    behind = {p: end for (log, p), end in (await rebuilt.positions(connection)).items() if log == log_topic(payer.name)}
    question = f"""
        SELECT payment_id, event, member, sequence, partition, log_offset
          FROM {f"{schema}." if schema else ""}payment WHERE payer = $1
    """  # noqa: S608 - our own name
    lost = []
    for topic, decided in (
        (payments_topic(payer.name), _each(connection, question, payer.name)),
        (episodes_topic(payer.name), versions(connection, payer.name, schema)),
    ):
        rows = await connection.fetch("SELECT event_id FROM outbox WHERE topic = $1", topic)
        waiting = {row[0] for row in rows}
        sent = await published(connections, topic)
        missing: list[Told] = []
        async with connection.transaction():
            async for one in decided:
                event = brief(one.event).hex()
                if (found := sent.pop(one.event_id, None)) is None:
                    if one.event_id not in waiting and one.log_offset < behind.get(one.partition, 0):
                        missing.append(one)
                elif found != event:
                    raise PublishedDiffers(Published(payer.name, str(one.event_id), event, found))
        if sent:
            name = min(sent)
            raise PublishedDiffers(Published(payer.name, str(name), None, sent[name]))
        lost.append(missing)
    payments, episodes = lost
    return Lost(payer.name, [one.event_id for one in payments], episodes, behind)


async def _each(connection: Any, question: str, payer: str) -> AsyncIterator[Told]:
    async for row in connection.cursor(question, payer, prefetch=2_000):
        yield Told(*row)


async def republish(connections: Connections, connection: Any, payer: Payer) -> int:
    """Put into the outbox what was decided, is on no topic and does not wait; the relay sends it. Answers how many."""
    lost = await check_published(connections, connection, payer, schema="")
    async with connection.transaction():
        paid = await rebuilt.unsent(connection, payer.name, payments_topic(payer.name), lost.payments)
        return paid + await send(connection, payer.name, episodes_topic(payer.name), lost.episodes)


async def switch(
    connections: Connections, connection: Any, payers: Sequence[Payer], say: Say = lambda _: None
) -> dict[str, int]:
    """Exchange live and rebuilt tables in one transaction; answers how many events of each payer were lost before.

    Live work waits for the last records to be folded here, and is fenced: workers claim anew.
    """
    said = await rebuilt.state(connection)
    if said is None:
        raise CannotRebuild("nothing is rebuilt; `carepact replay rebuild` does that")
    live = await rebuilt.positions(connection)
    for payer in payers:
        await catch_up(connections, payer, _ends(live, payer), say)
    lost = []
    for payer in payers:
        say(f"{payer.name}: holding payments against those published")
        lost.append(await check_published(connections, connection, payer))
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{rebuilt.LOCK_SECONDS}s'")
        await connection.fetch(
            "SELECT 1 FROM consumer_offset WHERE consumer = 'contract' ORDER BY topic, partition FOR UPDATE"
        )
        live = await rebuilt.positions(connection)
        for payer in payers:
            await catch_up(connections, payer, _ends(live, payer), say)
        await _same_new_payments(connection, lost)
        await _same_new_episodes(connection, lost)
        beside = await rebuilt.positions(connection, SCHEMA)
        if beside.keys() != live.keys() or any(beside[at] < end for at, end in live.items()):
            raise CannotRebuild("the rebuilt tables do not cover every log that is applied")
        await rebuilt.exchange(connection, {payer.name: log_topic(payer.name) for payer in payers})
        sent = {}
        for payer, one in zip(payers, lost, strict=True):
            topic = payments_topic(payer.name)
            ahead = await connection.fetch(
                """
                SELECT p.payment_id FROM payment p JOIN unnest($2::int[], $3::bigint[]) c (partition, next_offset)
                    ON c.partition = p.partition AND p.log_offset >= c.next_offset WHERE p.payer = $1
                """,
                payer.name, list(_ends(live, payer)), list(_ends(live, payer).values()),
            )  # fmt: skip
            names = [*one.payments, *(row[0] for row in ahead)]
            sent[payer.name] = await rebuilt.unsent(connection, payer.name, topic, names)
            newer = [each async for each in versions(connection, payer.name, since=_ends(live, payer))]
            sent[payer.name] += await send(connection, payer.name, episodes_topic(payer.name), [*one.episodes, *newer])
        await rebuilt.note(connection, said | {"state": "before"})
    return sent


def _ends(positions: Mapping[tuple[str, int], int], payer: Payer) -> dict[int, int]:
    return {partition: end for (topic, partition), end in positions.items() if topic == log_topic(payer.name)}


async def _same_new_payments(connection: Any, lost: Sequence[Lost]) -> None:
    """What live work decided since the topics were read may be sent by now: it must be as rebuilt, byte for byte."""
    for one in lost:
        row = await connection.fetchrow(
            f"""
            SELECT l.payment_id, r.payment_id IS NULL AS gone
              FROM payment l JOIN unnest($2::int[], $3::bigint[]) c (partition, next_offset)
                ON c.partition = l.partition AND l.log_offset >= c.next_offset
              LEFT JOIN {SCHEMA}.payment r ON r.payment_id = l.payment_id AND r.event = l.event
             WHERE l.payer = $1 AND r.payment_id IS NULL LIMIT 1
            """,  # noqa: S608 - our own name
            one.payer,
            list(one.behind),
            list(one.behind.values()),
        )
        if row is not None:
            raise PublishedDiffers(Published(one.payer, str(row["payment_id"]), None, "decided by live work"))


async def _same_new_episodes(connection: Any, lost: Sequence[Lost]) -> None:
    """The same of episodes."""
    for one in lost:
        beside = {each.event_id: each.event async for each in versions(connection, one.payer, SCHEMA, one.behind)}
        async for each in versions(connection, one.payer, since=one.behind):
            if beside.get(each.event_id) != each.event:
                raise PublishedDiffers(Published(one.payer, str(each.event_id), None, "decided by live work"))
