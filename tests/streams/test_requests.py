"""Settlement requests: answered from what stood at their cut, whenever they are read, and once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import asyncpg
import orjson
import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from carepact.telling import tell_payment
from projections.settled_payments import explain_settled, settled_payments
from streams import settling
from streams.connections import Connections
from streams.log_writer import LogWriter
from streams.output import groupless
from streams.reconciling import Asked, answer_of, ask, log_ends, until_answered
from streams.relay import take_over
from streams.replay import log_records
from streams.requests import Desk, Requests
from streams.roster import Payer, Roster
from streams.topics import episodes_topic, log_topic, payments_topic, requests_topic, settlements_topic
from tests.streams.logs import Log, population
from tests.streams.replayed import Sent
from tests.streams.test_folding import agent_on, give
from tests.streams.test_relay import read_all, until_async

pytestmark = pytest.mark.platform


@dataclass
class World:
    """One payer's log in Kafka, and a database that has it or not."""

    payer: Payer
    connections: Connections
    new_database: Callable[[], Awaitable[str]] | None = None
    connection: Any = None

    async def use_new_database(self) -> None:
        """Go on with an empty database."""
        assert self.new_database is not None
        await self.connection.close()
        self.connections = replace(self.connections, dsn=await self.new_database())
        self.connection = await self.connect()

    async def connect(self) -> Any:
        """A connection to the database in use."""
        return await asyncpg.connect(self.connections.postgres)

    async def publish(self) -> None:
        """Made-up lives into the log."""
        log = population(Log(self.payer.name, self.payer.contract), 8, 20)
        sent = [Sent(p, r.key or b"", r.value) for p, records in log.records.items() for r in records[1:]]
        async with LogWriter(self.connections) as writer:
            await writer.write(log_topic(self.payer.name), sent)

    async def apply(self, ends: dict[str, int] | None = None) -> None:
        """Apply the log, as far as said."""
        ends = ends or await log_ends(self.connections, self.payer.name)
        async with agent_on(self.connections.postgres, self.payer) as agent:
            for partition, end in ends.items():
                async for records in log_records(self.connections, log_topic(self.payer.name), int(partition), end):
                    await give(agent, {int(partition): records})

    async def ask(self, period: int = 2, run: str = "initial", **given: Any) -> Asked:
        """Ask for a period."""
        return await ask(self.connections, self.payer.name, self.payer.contract, period, run, **given)

    @asynccontextmanager
    async def desk(self) -> AsyncIterator[Desk]:
        """Whoever answers, step by step."""
        connection = await self.connect()
        async with groupless(self.connections) as consumer:
            desk = Desk(self.payer.name, self.payer.contract, self.connections, connection, consumer)
            await desk.open("test")
            yield desk
        await connection.close()

    async def answers(self, *asked: Asked) -> list[tuple[Any, ...]]:
        """What was answered to these requests, by practice; without any, to all."""
        rows = await self.connection.fetch(
            "SELECT practice, settlement_id, event FROM settlement WHERE request_id = ANY($1) OR $2 ORDER BY 1, 2",
            [one.request_id for one in asked],
            not asked,
        )
        return [tuple(row) for row in rows]

    async def until_told(self, desk: Desk, asked: Asked) -> dict[str, Any]:
        """Let the desk work until a request is answered or refused."""
        while (answer := await answer_of(self.connection, asked)) is None:
            await desk.step(100)
        return answer


@pytest_asyncio.fixture(scope="module")
async def applied(platform: LocalPlatform) -> AsyncIterator[tuple[Payer, str]]:
    """One payer whose log is in Kafka, and a database that has it all."""
    shipped = Roster.load().within("asked")
    roster = shipped.model_copy(update={"payers": shipped.payers[:1]})
    await platform.make_ready(roster)
    dsn = await platform.create_database("asked")
    world = World(roster.payers[0], replace(platform.connections(), dsn=dsn))
    await world.publish()
    await world.apply()
    yield world.payer, dsn
    await platform.drop_database("asked")


@pytest.fixture
async def world(
    platform: LocalPlatform, applied: tuple[Payer, str], make_database: Callable[[], Awaitable[str]]
) -> AsyncIterator[World]:
    made = World(applied[0], replace(platform.connections(), dsn=applied[1]), make_database)
    made.connection = await made.connect()
    yield made
    await made.connection.close()


async def test_answer_adds_up_the_episodes_and_payments_of_the_period(world: World) -> None:
    asked = await world.ask()
    async with Requests(world.payer.name, world.payer.contract, world.connections, world.connect):
        answer = await until_answered(world.connection, asked)
    assert answer["status"] == "answered"
    row = await world.connection.fetchrow(
        """
        SELECT count(*) FILTER (WHERE status = 'valid') AS episodes, count(*) FILTER (WHERE included) AS included
          FROM episode WHERE performance_period = 2 AND to_offset IS NULL
        """
    )
    paid = await world.connection.fetchval(
        "SELECT sum(amount_cents) FROM payment"
        " WHERE episode_id IN (SELECT episode_id FROM episode WHERE performance_period = 2)"
    )
    settlements = answer["settlements"]
    assert sum(one["episodes"] for one in settlements) == row["episodes"] > 0
    assert sum(one["included"] for one in settlements) == row["included"]
    assert sum(one["payments_cents"] for one in settlements) == paid > 0
    assert all("no_baseline" in one["pending"] for one in settlements if one["included"])
    assert all(one["benchmark_cents"] == one["pbp_cents"] == one["pbr_cents"] == 0 for one in settlements)


async def test_request_waits_until_the_log_is_applied_to_its_cut(world: World) -> None:
    await world.use_new_database()
    ends = await log_ends(world.connections, world.payer.name)
    await world.apply(ends | {"2": ends["2"] - 1})
    asked = await world.ask()
    async with world.desk() as desk:
        await until_async(lambda: is_read(world, asked, desk))
        assert await answer_of(world.connection, asked) is None
        await world.apply()
        await desk.step(0)
    answer = await answer_of(world.connection, asked)
    assert answer is not None
    assert answer["cut"] == ends


async def test_what_came_after_the_cut_has_no_part_in_the_answer(world: World) -> None:
    ends = await log_ends(world.connections, world.payer.name)
    cut = {partition: end * 2 // 3 for partition, end in ends.items()}
    asked = await world.ask(1, cut=cut)  # a period that no test asks for at a later cut, behind which it would wait
    async with world.desk() as desk:
        await world.until_told(desk, asked)
    afterwards = await world.answers(asked)
    await world.use_new_database()
    await world.apply(cut)
    async with world.desk() as desk:
        await world.until_told(desk, asked)
    assert await world.answers(asked) == afterwards != []


@pytest.mark.parametrize(
    ("cut", "words"),
    [({"0": 10**6}, "ended at"), ({"7": 1}, "must name the log's partitions"), ({"3": None}, "must name")],
)
async def test_a_cut_that_no_log_has_is_refused_with_the_reason(world: World, cut: dict[str, Any], words: str) -> None:
    ends: dict[str, Any] = await log_ends(world.connections, world.payer.name)
    asked = await world.ask(cut={p: end for p, end in (ends | cut).items() if end is not None})
    async with Requests(world.payer.name, world.payer.contract, world.connections, world.connect):
        answer = await until_answered(world.connection, asked)
    assert answer["status"] == "refused"
    assert words in answer["reason"]
    assert await world.answers(asked) == []


async def test_the_same_request_twice_is_answered_once(world: World) -> None:
    once, again, last = [await world.ask(request_id=name) for name in ("r-1", "r-1", "r-2")]
    async with world.desk() as desk:
        await world.until_told(desk, last)
    practices = [practice for practice, *_ in await world.answers(once, again)]
    assert len(practices) == len(set(practices)) > 0


async def test_an_unreadable_request_is_rejected_and_the_next_is_answered(world: World) -> None:
    async with LogWriter(world.connections) as writer:
        await writer.write(requests_topic(world.payer.name), [Sent(0, b"", b"?")])
    asked = await world.ask()
    async with world.desk() as desk:
        assert (await world.until_told(desk, asked))["status"] == "answered"
    assert await world.connection.fetchval("SELECT code FROM reject WHERE topic LIKE '%requests%'") == "unreadable"


async def test_dropped_database_answers_again_and_nothing_is_sent_twice(world: World) -> None:
    asked = await world.ask()
    before = []
    for _ in range(2):
        async with world.desk() as desk:
            await world.until_told(desk, asked)
        await relay(world)
        paid = await world.connection.fetch("SELECT payment_id, event FROM settlement_payment ORDER BY 1")
        before.append((await world.answers(), [tuple(row) for row in paid]))
        if len(before) == 1:
            await world.use_new_database()
            await world.apply()
    assert before[0] == before[1]
    topic = settlements_topic(world.payer.name)
    sent = [orjson.loads(record.value)["id"] for record in await read_all(world.connections, topic)]
    answers, paid = before[0]
    assert sorted(sent) == sorted([*(str(name) for _, name, _ in answers), *(str(name) for name, _ in paid)])
    lines = await world.connection.fetch(
        "SELECT sum(amount_cents)::bigint, count(*) FROM settlement_ledger_line GROUP BY payment_id"
    )
    assert [tuple(line) for line in lines] == [(0, 2)] * len(paid) != []


async def test_what_a_settlement_moves_is_listed_and_explained(world: World) -> None:
    asked = await world.ask()
    async with world.desk() as desk:
        await world.until_told(desk, asked)
    listed = [one async for one in settled_payments(world.connection, world.payer.name)]
    assert {one["kind"] for one in listed} == {"MEOS_RECOUPMENT"}
    assert all(one["amount_cents"] < 0 or one["reverses"] for one in listed)
    for one in listed:
        why = await explain_settled(world.connection, one["payment_id"])
        assert why is not None
        assert sum(line["amount_cents"] for line in why["lines"]) == why["amount_cents"] == one["amount_cents"]
        assert all(fact["digest"] for fact in why["facts"] if fact["topic"] == log_topic(world.payer.name))
        assert "".join(tell_payment(why))


async def test_partitions_gathered_in_processes_of_their_own_come_to_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = {int(part): end for part, end in (await log_ends(world.connections, world.payer.name)).items()}
    told = []

    async def between() -> None:
        told.append(True)

    asked = world.connections, world.payer.name, world.payer.contract, cut, between
    one_by_one = await settling.gather(*asked)
    monkeypatch.setattr(settling, "SHORT_RECORDS", 0)
    told.clear()
    beside = await settling.gather(*asked)
    assert one_by_one.cases and told and len(cut) > 1
    for name in ("partition", "adoption", "cases", "failed", "remitted"):
        assert getattr(beside, name) == getattr(one_by_one, name)


async def test_a_first_run_after_a_true_up_is_refused(world: World) -> None:
    later, first = await world.ask(5, "true-up"), await world.ask(5)
    async with world.desk() as desk:
        assert (await world.until_told(desk, first))["status"] == "refused"
        assert (await world.until_told(desk, later))["status"] == "answered"


async def test_a_second_answerer_stands_by(world: World) -> None:
    arguments = world.payer.name, world.payer.contract, world.connections, world.connect, timedelta(seconds=1)
    async with Requests(*arguments) as first, Requests(*arguments):
        await until_answered(world.connection, await world.ask())
        await first.stop()
        answer = await until_answered(world.connection, await world.ask())
    assert answer["status"] == "answered"


async def relay(world: World) -> None:
    """Send all that waits."""
    topics = [kind(world.payer.name) for kind in (payments_topic, episodes_topic, settlements_topic)]
    connection = await world.connect()
    async with take_over(world.payer.name, topics, world.connections, connection) as shard:
        assert shard is not None
        while await shard.step():
            pass
    await connection.close()


async def is_read(world: World, asked: Asked, desk: Desk) -> bool:
    """Let the desk work; whether it has read the request."""
    await desk.step(100)
    return bool(await world.connection.fetchval("SELECT 1 FROM request WHERE request_id = $1", asked.request_id))
