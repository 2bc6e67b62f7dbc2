"""As of: every read asked at a past position answers what it answered then, whatever was learned since."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import orjson
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from carepact.telling import tell_fact
from projections.episodes import episodes
from projections.explain import explain_episode, explain_payment
from projections.lineage import explain_fact
from projections.members import member_shown
from projections.payments import payments
from projections.positions import NOW, AsOf
from projections.returns import returns
from streams.roster import Roster
from tests.streams.logs import Log, population
from tests.streams.test_folding import agent_on, give

POSITIONS = 20
EMPLOYERS = Roster.load().payer("employers")


@dataclass
class Told:
    """A log applied in uneven parts, and what each read answered after every part."""

    connection: Any
    log: Log
    then: list[tuple[AsOf, dict[str, Any]]] = field(default_factory=list)


async def ask(connection: Any, as_of: AsOf = NOW) -> dict[str, Any]:
    """What every read answers."""
    asked: dict[str, Any] = {
        "episodes": [row async for row in episodes(connection, as_of=as_of)],
        "payments": [row async for row in payments(connection, as_of=as_of)],
        "returns": [row async for row in returns(connection, as_of=as_of)],
    }
    for member in sorted({row["member"] for row in asked["episodes"]})[:3]:
        asked[member] = await member_shown(connection, member, as_of)
    for some, explain in (("episodes", explain_episode), ("payments", explain_payment)):
        for row in asked[some][::7]:
            name = row[f"{some[:-1]}_id"]
            asked[name] = await explain(connection, name, as_of)
    return asked


@pytest_asyncio.fixture(scope="module")
async def told(platform: LocalPlatform) -> AsyncIterator[Told]:
    log = population(Log("employers", "employer", plan="palmetto-manufacturing"), 10, 25)
    dsn = await platform.create_database("as_of")
    connection = await asyncpg.connect(dsn)
    chance, made = random.Random(3), Told(connection, log)
    at = dict.fromkeys(log.records, 0)
    async with agent_on(dsn, EMPLOYERS) as agent:
        for part in range(POSITIONS):
            batch = {}
            for partition, records in log.records.items():
                share = max(1, (len(records) - at[partition]) // (POSITIONS - part))
                end = len(records) if part == POSITIONS - 1 else at[partition] + chance.randrange(1, 2 * share)
                batch[partition] = records[at[partition] : end]
                at[partition] = min(end, len(records))
            await give(agent, {partition: records for partition, records in batch.items() if records})
            places = ",".join(f"{partition}:{end - 1}" for partition, end in at.items())
            made.then.append((AsOf.parse(places, "employers"), await ask(connection)))
    yield made
    await connection.close()
    await platform.drop_database("as_of")


async def test_reads_as_of_twenty_positions_answer_what_was_answered_then(told: Told) -> None:
    assert len(told.then) == POSITIONS
    for as_of, answered in told.then:
        asked = await ask(told.connection, as_of)
        assert asked == answered
    assert told.then[5][1]["returns"] and told.then[-1][1]["payments"]


async def test_a_history_applied_through_kills_answers_the_same_of_every_position(
    told: Told, make_database: Callable[[], Awaitable[str]]
) -> None:
    """Agents end in the middle of a batch, wherever they are in it; the next one begins some records earlier."""
    dsn, chance, killed = await make_database(), random.Random(11), 0
    connection = await asyncpg.connect(dsn)
    ends = {partition: len(records) for partition, records in told.log.records.items()}
    for attempt in range(10_000):
        async with agent_on(dsn, EMPLOYERS) as agent:
            rows = await connection.fetch("SELECT partition, next_offset FROM consumer_offset")
            at = {row["partition"]: row["next_offset"] for row in rows}
            if at == ends:
                break
            batch = {
                partition: told.log.records[partition][max(0, offset - 2) : offset + chance.randrange(1, 80)]
                for partition, offset in at.items()
            }
            applying = asyncio.create_task(give(agent, batch))
            if attempt % 2 == 0:
                for _ in range(chance.randrange(1_500)):
                    await asyncio.sleep(0)
                killed += applying.cancel()
                await asyncio.gather(applying, return_exceptions=True)
            else:
                await applying
    assert killed > 2
    for as_of, answered in told.then:
        assert await ask(connection, as_of) == answered
    await connection.close()


async def test_what_is_explained_was_there_by_then_or_is_not(told: Told) -> None:
    (early, _), (_, late) = told.then[8], told.then[-1]
    for payment in late["payments"]:
        why = await explain_payment(told.connection, payment["payment_id"], early)
        at = payment["position"]
        known = at["offset"] < (await early.cut(told.connection))["employers", at["partition"]]
        assert (why is not None) == known


async def test_a_time_is_the_position_of_the_last_record_by_then_though_clocks_went_back(
    told: Told, make_database: Callable[[], Awaitable[str]]
) -> None:
    log = Log(partitions=1)
    log.open()
    times = [10, 20, 15, 30, 25, 40]
    log.records[0] = [
        type(record)(record.offset, at * 1000, record.key, record.value)
        for record, at in zip(log.records[0], times, strict=False)
    ]
    dsn = await make_database()
    async with agent_on(dsn) as agent:
        await give(agent, {0: log.records[0][:2]})
        await give(agent, {0: log.records[0][2:]})
    connection = await asyncpg.connect(dsn)
    first_unknown = {9: 0, 10: 1, 15: 1, 20: 3, 25: 3, 30: 5, 39: 5}
    for at, offset in first_unknown.items():
        cut = await AsOf(datetime.fromtimestamp(at, UTC)).cut(connection)
        assert cut == {("medicare", 0): offset}, at
    assert await AsOf(datetime.fromtimestamp(40, UTC)).cut(connection) == {}
    await connection.close()


class Counted:
    """A connection that counts the pages which PostgreSQL goes through to answer."""

    def __init__(self, connection: Any) -> None:
        self._connection, self.pages = connection, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def fetch(self, question: str, *arguments: Any) -> Any:
        await self._count(question, arguments)
        return await self._connection.fetch(question, *arguments)

    async def cursor(self, question: str, *arguments: Any, prefetch: int) -> AsyncIterator[Any]:
        await self._count(question, arguments)
        async for row in self._connection.cursor(question, *arguments, prefetch=prefetch):
            yield row

    async def _count(self, question: str, arguments: tuple[Any, ...]) -> None:
        told = await self._connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {question}", *arguments)
        plan = orjson.loads(told)[0]["Plan"]
        self.pages += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


OTHERS = 300
"""So many more have each member's rows, so that what is not reached by an index shows."""


async def test_what_was_known_then_costs_at_most_three_times_what_is_known_now(told: Told) -> None:
    (early, _), (_, now) = told.then[9], told.then[-1]
    middle = await told.connection.fetchval("SELECT (min(known_at) + max(known_at)) / 2 FROM log_batch")
    instant = datetime.fromtimestamp(middle / 1000, UTC)
    held = told.connection.transaction()
    await held.start()
    try:
        for table, name in (("episode", "episode_id"), ("payment", "payment_id"), ("return_to_work", "episode_id")):
            columns = await told.connection.fetchval(
                """
                SELECT string_agg(column_name, ', ') FROM information_schema.columns
                 WHERE table_schema = current_schema() AND table_name = $1 AND column_name <> ALL($2::text[])
                """,
                table,
                [name, "member"],
            )
            await told.connection.execute(
                f"INSERT INTO {table} ({name}, member, {columns}) "
                f"SELECT md5({name}::text || n)::uuid, member || n, {columns} "
                f"FROM {table}, generate_series(1, {OTHERS}) n"
            )
            await told.connection.execute(f"ANALYZE {table}")
        for question, rows in ((episodes, "episodes"), (payments, "payments"), (returns, "returns")):
            counted = {}
            for name, as_of in (("now", NOW), ("then", early), ("by a time", AsOf(instant))):
                counted[name] = Counted(told.connection)
                for member in sorted({row["member"] for row in now[rows]}):
                    async for row in question(counted[name], member=member, as_of=as_of):
                        assert row["member"] == member
            for name in ("then", "by a time"):
                assert counted[name].pages <= 3 * counted["now"].pages, (rows, name)
    finally:
        await held.rollback()


async def test_a_service_day_is_asked_for_apart_from_what_was_known(told: Told) -> None:
    (then, _), (_, now) = told.then[12], told.then[-1]
    day = date(2024, 3, 1)
    for as_of in (NOW, then):
        every = [row async for row in episodes(told.connection, as_of=as_of)]
        some = [row async for row in episodes(told.connection, as_of=as_of, on=day)]
        assert some == [row for row in every if row["started_on"] <= "2024-03-01" <= row["ends_on"]]
    paid = [row async for row in payments(told.connection, on=day)]
    assert paid == [row for row in now["payments"] if row["effective_on"] <= "2024-03-01"]
    absent = [row async for row in returns(told.connection, on=date(2024, 2, 1))]
    assert absent and all(row["absence_on"] <= "2024-02-01" for row in absent)
    whole = await explain_episode(told.connection, now["episodes"][0]["episode_id"])
    part = await explain_episode(told.connection, now["episodes"][0]["episode_id"], on=day)
    assert whole and part and len(part["claims"]) < len(whole["claims"])


async def test_a_claim_names_the_episodes_and_payments_it_moved(told: Told) -> None:
    (_, now) = told.then[-1]
    caused = {payment["cause"] for payment in now["payments"]}
    seen_tree = 0
    for record in (record for records in told.log.records.values() for record in records if record.key):
        if b"ClaimReceived" not in record.value:
            continue
        event_id = orjson.loads(record.value)["id"]
        fact = await explain_fact(told.connection, event_id)
        if fact is None:
            continue  # it was refused as a conflict
        mine = [payment for payment in now["payments"] if payment["cause"] == event_id]
        assert [one["payment_id"] for one in fact["payments"]] == [one["payment_id"] for one in mine]
        assert fact["payments_cents"] == sum(payment["amount_cents"] for payment in mine)
        changed = [e for e in now["episodes"] if e["cause"] == event_id]
        assert {e["episode_id"] for e in changed} <= {e["episode_id"] for e in fact["episodes"]}
        seen_tree += any(branch["then"] for branch in fact["tree"])
        assert fact["event_id"] in "\n".join(tell_fact(fact))
        caused.discard(event_id)
    assert seen_tree
    for event_id in caused:  # coverage, work, days that closed
        fact = await explain_fact(told.connection, event_id)
        assert fact is not None and fact["payments"]


async def test_a_fact_that_came_later_is_not_known_then(told: Told) -> None:
    last = orjson.loads(next(r.value for r in reversed(told.log.records[1]) if r.key and r.value[:6] == b'{"spec'))[
        "id"
    ]
    assert await explain_fact(told.connection, last) is not None
    assert await explain_fact(told.connection, last, told.then[3][0]) is None
    assert await explain_fact(told.connection, "no id") is None
