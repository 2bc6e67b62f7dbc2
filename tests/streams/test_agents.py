"""An agent and its batches: what is stored together, what is refused, what stops, and who is fenced."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import date
from typing import Any

import asyncpg
import pytest

from contracts.fold import NotAdopted
from projections import store
from streams.agents import Applied, Batch, Dropped, declare
from streams.app import faust_app
from streams.connections import Connections
from streams.roster import Roster
from tests.streams.fakes import raising
from tests.streams.logs import Log, Record, claim, population
from tests.streams.tables import assert_same, rows
from tests.streams.test_folding import agent_on, claim_all, give, run
from tests.streams.test_parking import facts_of

MakeDatabase = Callable[[], Awaitable[str]]
DAY = date(2024, 1, 5)


def rejects(made: dict[str, list[tuple[Any, ...]]]) -> list[tuple[str, int]]:
    """(code, offset) of each reject."""
    return sorted((row[6], row[5]) for row in made["reject"])


async def test_one_id_with_two_contents_is_a_conflict_and_with_one_a_duplicate(make_database: MakeDatabase) -> None:
    log = Log(partitions=1)
    log.open()
    first = claim(DAY)
    log.tell("m", first, "a")
    log.tell("m", first, "a")
    wrong = log.tell("m", claim(DAY, paid_cents=1), "a")
    for size in (1, 100):
        made = await run(await make_database(), log.batches(size))
        assert rejects(made) == [("conflict", wrong.offset)]
        assert len([row for row in made["fact"] if row[6]]) == 1


async def test_what_came_before_a_take_over_is_known_after_it(fresh_database: str) -> None:
    log = Log(partitions=1)
    log.open()
    for sent in ("first", "again"):
        for name in "abc":
            log.tell("m", claim(DAY, claim_id=name), name)
        log.tell("m", claim(DAY, claim_id="new"), sent)
    wrong = log.tell("m", claim(DAY, paid_cents=1), "b")
    half = len(log.records[0]) - 5
    async with agent_on(fresh_database) as agent:
        await give(agent, {0: log.records[0][:half]})
        await claim_all(agent, agent._pool, [0])
        await give(agent, {0: log.records[0][half:]})
        made = await rows(agent._pool)
        assert (agent.counts.duplicates, agent.counts.conflicts) == (3, 1)
    assert rejects(made) == [("conflict", wrong.offset)]
    assert len([row for row in made["fact"] if row[6]]) == 5


async def test_after_a_repeated_id_facts_are_inserted_until_a_batch_without_one(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To send all again costs one refused copy, and not one for each batch (seam 17)."""
    log = Log(partitions=1)
    log.open()
    for name in ("a", "b", "c", "a", "b", "c", "new", "newer"):
        log.tell("m", claim(DAY, claim_id=name), name)
    half = len(log.records[0]) - 5
    ways: list[str] = []
    copied, inserted = store.copy_facts, store.insert_facts

    async def copy(*arguments: Any) -> None:
        ways.append("copy refused")
        await copied(*arguments)
        ways[-1] = "copy"

    async def insert(*arguments: Any) -> Any:
        ways.append("insert")
        return await inserted(*arguments)

    monkeypatch.setattr(store, "copy_facts", copy)
    monkeypatch.setattr(store, "insert_facts", insert)
    async with agent_on(fresh_database) as agent:
        await give(agent, {0: log.records[0][:half]})
        await claim_all(agent, agent._pool, [0])
        ways.clear()
        for record in log.records[0][half:]:
            await give(agent, {0: [record]})
        assert agent.counts.duplicates == 3
    assert ways == ["copy refused", "insert", "insert", "insert", "insert", "copy"]


async def test_an_unreadable_record_is_rejected_and_the_others_go_on(fresh_database: str) -> None:
    log = Log(partitions=1)
    log.open()
    bad = log.raw(0, b"\xff not json", b"key")
    log.tell("m", claim(DAY))
    made = await run(fresh_database, log.batches(100))
    assert rejects(made) == [("unreadable", bad.offset)]
    assert made["position"][0][3] == len(log.records[0])


async def test_an_unknown_newer_type_stops_its_partition_only(fresh_database: str) -> None:
    log = population(Log(partitions=2), members=6, facts=6)
    value = json.loads(log.records[0][12].value) | {"type": "carepact.EnrollmentChanged.v9"}
    log.records[0][12] = replace(log.records[0][12], value=json.dumps(value).encode())
    async with agent_on(fresh_database) as agent:
        applied = await give(agent, log.records)
        assert applied.next_offsets == {0: 12, 1: len(log.records[1])}
        assert applied.stops[0].offset == 12 and "v9" in applied.stops[0].reason


async def test_a_partition_without_terms_stops_until_it_is_cured(fresh_database: str) -> None:
    log = population(Log(), members=8, facts=6)
    name = next(f"m{i}" for i in range(8) if log.partition(f"m{i}") == 1)
    stopped = {facts_of(log, name)[4]}
    make = raising(stopped, lambda: NotAdopted("no terms are adopted"))
    whole = await run(fresh_database, log.batches(500))
    async with agent_on(await _other(fresh_database), make_folds=make) as agent:
        applied = await give(agent, log.records)
        assert set(applied.stops) == {1} and applied.stops[1].reason == "no terms are adopted"
        assert applied.next_offsets[0] == len(log.records[0])
        stopped.clear()
        await give(agent, {1: log.records[1][applied.stops[1].offset :]})
        assert_same(whole, await rows(agent._pool))


async def _other(dsn: str) -> str:
    """The same database, emptied."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        names = [row[0] for row in tables if row[0] != "migration"]
        await connection.execute(f"TRUNCATE {', '.join(names)}")
    finally:
        await connection.close()
    return dsn


async def test_a_zombie_is_fenced_and_leaves_nothing(fresh_database: str) -> None:
    log = population(Log(), members=6, facts=6)
    async with agent_on(fresh_database) as zombie, agent_on(fresh_database) as owner:
        with pytest.raises(store.Fenced):
            await give(zombie, log.records)
        assert (await rows(owner._pool))["fact"] == []
        await give(owner, log.records)
        assert len((await rows(owner._pool))["fact"]) > 50


async def test_a_claim_waits_for_the_former_owners_transaction(fresh_database: str) -> None:
    async with agent_on(fresh_database) as former:
        async with former._pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await store.hold(connection, "contract", former.topic, former.epochs)  # type: ignore[attr-defined]
            await store.advance(connection, "contract", former.topic, [store.Advance(0, 9, "d")])
            claiming = asyncio.create_task(_claim_elsewhere(fresh_database, former.topic))
            done, _ = await asyncio.wait({claiming}, timeout=0.2)
            assert not done
            await transaction.commit()
        assert (await claiming)[former.topic, 0].next_offset == 9


async def test_a_claim_ends_a_former_owner_that_stopped_in_the_middle_of_a_copy(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "STALLED_SECONDS", 0.0)
    never, copies = asyncio.Event(), asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield b"a worker that is stopped sends no more"
        copies.set()
        await never.wait()

    async with agent_on(fresh_database) as former, former._pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await store.hold(connection, "contract", former.topic, former.epochs)  # type: ignore[attr-defined]
        await connection.execute("CREATE TEMPORARY TABLE told (line text)")
        copying = asyncio.create_task(connection.copy_to_table("told", source=stalled()))
        await copies.wait()
        claimed = None
        while claimed is None:  # the server may not have come to wait for its client yet
            with contextlib.suppress(asyncpg.LockNotAvailableError):
                claimed = await _claim_elsewhere(fresh_database, former.topic)
        assert claimed[former.topic, 0].next_offset == 0
        never.set()
        await asyncio.wait({copying})
        assert copying.exception() is not None, "its session is gone"


async def _claim_elsewhere(dsn: str, topic: str) -> dict[tuple[str, int], store.Position]:
    pool = await store.open_pool(dsn, size=1)
    try:
        async with pool.acquire() as connection:
            return await store.claim(connection, "contract", [(topic, 0)], "new")
    finally:
        await pool.close()


async def test_a_passing_error_is_retried_until_cured_and_changes_nothing(make_database: MakeDatabase) -> None:
    log = population(Log(), members=6, facts=8)
    whole = await run(await make_database(), log.batches(500))
    errors: list[Exception] = [
        asyncpg.DiskFullError("disk full"),
        asyncpg.QueryCanceledError("time-out"),
        asyncpg.InterfaceError("connection is closed"),
        OSError("no such socket"),
    ]
    async with agent_on(await make_database()) as agent:
        real = agent.folder.fold

        async def fold(*given: Any) -> None:
            await real(*given)
            if errors:
                raise errors.pop(0)

        agent.folder.fold = fold  # type: ignore[method-assign, assignment]
        await give(agent, log.records)
        assert agent.counts.retries == 4
        assert_same(whole, await rows(agent._pool))


async def test_a_batch_whose_partitions_are_lost_is_dropped(fresh_database: str) -> None:
    log = population(Log(), members=2, facts=2)
    async with agent_on(fresh_database) as agent:
        agent.is_current = lambda epochs: False

        async def fold(*given: Any) -> None:
            raise OSError("away")

        agent.folder.fold = fold  # type: ignore[method-assign, assignment]
        with pytest.raises(Dropped):
            await give(agent, log.records)


async def test_a_connection_lost_during_commit_is_safe_to_repeat(make_database: MakeDatabase) -> None:
    log = population(Log(), members=6, facts=8)
    whole = await run(await make_database(), log.batches(500))
    async with agent_on(await make_database()) as agent:
        for batch in log.batches(50):
            await give(agent, batch)
            await claim_all(agent, agent._pool)
            await give(agent, batch)
        assert_same(whole, await rows(agent._pool))


async def test_a_faust_agent_serves_batches_and_its_exceptions_reach_the_future(fresh_database: str) -> None:
    roster = Roster.load()
    log = population(Log(), members=3, facts=3)
    async with agent_on(fresh_database) as agent:
        app = faust_app("carepact.test", roster, Connections("agents", "localhost:1"))
        declare(app, agent)
        loop = asyncio.get_running_loop()
        served: asyncio.Future[Applied] = loop.create_future()
        failed: asyncio.Future[Applied] = loop.create_future()
        async with app.agents["carepact.medicare.0"].test_context() as tested:
            put = tested.stream().channel.put
            epochs: dict[int, int] = agent.epochs  # type: ignore[attr-defined]
            await put(Batch(epochs, log.records, served))
            assert (await served).next_offsets == {p: len(r) for p, r in log.records.items()}
            await put(Batch(dict.fromkeys(epochs, -1), log.records, failed))
            with pytest.raises(store.Fenced):
                await failed


def test_a_batch_is_cut_by_bytes() -> None:
    from streams.transport import BATCH_BYTES, _within_bytes

    big = b"x" * (BATCH_BYTES // 3)
    cut = _within_bytes({0: [Record(i, 0, None, big) for i in range(7)], 1: [Record(0, 0, None, b"y")]})
    assert [sum(len(r.value) for part in batch.values() for r in part) <= BATCH_BYTES for batch in cut] == [True] * 3
    assert [r.offset for batch in cut for r in batch.get(0, ())] == list(range(7))
