"""Order is all: the same log gives the same rows, however it is cut into batches and whoever folds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from projections import store
from projections.migrate import make_partitions
from streams.agents import Applied, Batch, ContractAgent
from streams.app import folder_of
from streams.member_cache import Budget
from streams.roster import Payer, Roster
from tests.streams.logs import Log, Record, population
from tests.streams.tables import assert_same, rows

MEDICARE = Roster.load().payer("medicare")


@asynccontextmanager
async def agent_on(dsn: str, payer: Payer = MEDICARE, **options: Any) -> AsyncIterator[ContractAgent]:
    """An agent of one payer that has claimed all partitions of its log."""
    pool = await store.open_pool(dsn, size=4)
    try:
        agent = ContractAgent(payer, pool, folder_of(payer, **options))
        await claim_all(agent, pool)
        yield agent
    finally:
        await pool.close()


async def claim_all(agent: ContractAgent, pool: Any, partitions: Iterable[int] = range(4)) -> dict[int, int]:
    """Claim; answers the epochs."""
    mine = list(partitions)
    async with pool.acquire() as connection:
        await make_partitions(connection, max(mine) + 1)
        claimed = await store.claim(connection, "contract", [(agent.topic, p) for p in mine], "test")
    await agent.open(mine)
    agent.epochs = {partition: at.epoch for (_, partition), at in claimed.items()}  # type: ignore[attr-defined]
    return agent.epochs  # type: ignore[attr-defined,no-any-return]


async def give(agent: ContractAgent, records: Mapping[int, Sequence[Record]]) -> Applied:
    """Have one batch applied."""
    done: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
    epochs: dict[int, int] = agent.epochs  # type: ignore[attr-defined]
    return await agent.apply(Batch(epochs, records, done))


async def run(dsn: str, batches: Iterable[Mapping[int, Sequence[Record]]], **options: Any) -> dict[str, Any]:
    """Apply batches on a database of their own; answers its rows."""
    async with agent_on(dsn, **options) as agent:
        for batch in batches:
            await give(agent, batch)
        return await rows(agent._pool)


MakeDatabase = Callable[[], Awaitable[str]]


@pytest.mark.parametrize(
    ("payer", "plan"), [("medicare", ""), ("bcbs-sc", ""), ("employers", "palmetto-manufacturing")]
)
async def test_batches_of_any_size_make_the_same_rows(make_database: MakeDatabase, payer: str, plan: str) -> None:
    named = Roster.load().payer(payer)
    log = population(Log(payer, named.contract, plan=plan), members=16, facts=25)
    whole = await run(await make_database(), log.batches(2000), payer=named)
    assert len(whole["payment"]) > 20 and len(whole["episode"]) > 5 and whole["reject"]
    if payer == "employers":
        assert {row[11] for row in whole["return_to_work"]} >= {"none", "absent", "observed", "sustained", "lapsed"}
        assert {row[4] for row in whole["payment"]} == {"CARE_FEE", "RTW_BONUS"}
    for size in (1, 7) if payer == "medicare" else (7,):
        assert_same(whole, await run(await make_database(), log.batches(size), payer=named))
    assert_same(whole, await run(await make_database(), log.batches(50), payer=named, budget=Budget(0)))


async def test_the_ledger_balances_and_the_outbox_carries_the_kept_bytes(fresh_database: str) -> None:
    made = await run(fresh_database, population(Log()).batches(500))
    assert sum(row[5] for row in made["ledger_line"]) == 0
    assert len(made["ledger_line"]) == 2 * len(made["payment"])
    waiting = {row[4]: row[3] for row in made["outbox"]}
    assert waiting.items() >= {row[3]: None for row in made["payment"]}.items()
    versions = [orjson.loads(value)["data"] for value in waiting.values() if value]
    names = {(one["episode_id"], one["version"]) for one in versions}
    assert names == {(str(row[3]), row[4]) for row in made["episode"]}
    assert len(waiting) == len(made["payment"]) + len(made["episode"])


async def test_redelivery_and_restarts_change_nothing(make_database: MakeDatabase) -> None:
    log = population(Log(), members=8, facts=10)
    once = await run(await make_database(), log.batches(100))
    async with agent_on(await make_database()) as agent:
        before: Mapping[int, Sequence[Record]] = {}
        for number, batch in enumerate(log.batches(30)):
            if number % 3 == 2:
                await claim_all(agent, agent._pool)
            await give(agent, {p: [*before.get(p, ()), *batch.get(p, ())] for p in range(4)})
            before = batch
        assert_same(once, await rows(agent._pool))


async def test_everything_sent_again_is_all_duplicates(fresh_database: str) -> None:
    log = population(Log(), members=8, facts=10)
    async with agent_on(fresh_database) as agent:
        await give(agent, log.records)
        once = await rows(agent._pool, "position")
        again = {
            p: [
                Record(r.offset + len(part), r.timestamp + 10**9, r.key, r.value)
                for r in part
                if b'"no"' not in r.value
            ]
            for p, part in log.records.items()
        }
        await give(agent, again)
        twice = await rows(agent._pool, "position")
        conflicts = len(twice["reject"]) - len(once["reject"])
        assert conflicts == sum(1 for row in once["reject"] if row[6] == "conflict")
        assert_same({**once, "reject": []}, {**twice, "reject": []})


async def test_a_long_history_costs_no_more_parts_for_each_fact(fresh_database: str) -> None:
    log = population(Log(partitions=1), members=1, facts=300)
    wanted: list[int] = []

    class Counting(store.LiveParts):
        async def load(self, wants: Sequence[Any]) -> Any:
            found = list(await super().load(wants))
            wanted.append(len(found))
            return found

    real, store.LiveParts = store.LiveParts, Counting  # type: ignore[misc]
    try:
        async with agent_on(fresh_database, budget=Budget(0)) as agent:
            for batch in log.batches(1):
                await give(agent, batch)
    finally:
        store.LiveParts = real  # type: ignore[misc]
    assert sorted(wanted[-200:])[150] <= 60  # some facts ask for all: a death, a sweep of everyone
