"""A member whose fold raises is parked; the others go on; released, it is as if nothing had happened."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest
from aiokafka import AIOKafkaProducer

from carepact.local.platform import LocalPlatform
from contracts.envelope import Fact
from contracts.events import DayClosed
from streams.member_cache import Cached
from streams.parking import NotParked, Released, release
from streams.reading import log_reader
from streams.roster import Roster
from streams.topics import log_topic
from tests.streams.fakes import raising
from tests.streams.logs import Log, population
from tests.streams.tables import assert_same, rows
from tests.streams.test_folding import agent_on, give, run

MakeDatabase = Callable[[], Awaitable[str]]


def facts_of(log: Log, name: str) -> list[str]:
    """The ids of a member's facts, in order."""
    key = log.token(name).encode()
    return [
        json.loads(r.value)["id"] for r in log.records[log.partition(name)] if r.key == key and b'"no"' not in r.value
    ]


async def produce(platform: LocalPlatform, log: Log) -> None:
    """Put a made-up log into its opened topic, and take it as the topic has it: first record and append times."""
    producer = AIOKafkaProducer(**platform.connections().aiokafka(), acks="all")
    await producer.start()
    topic = log_topic(log.payer)
    try:
        for partition, records in log.records.items():
            for r in records[1:]:
                await producer.send(topic, r.value, key=r.key, partition=partition)
        await producer.flush()
    finally:
        await producer.stop()
    async with log_reader(platform.connections()) as reader:
        found = await reader.records({(topic, p): range(len(records)) for p, records in log.records.items()})
    for partition, records in log.records.items():
        log.records[partition] = [found[topic, partition, offset] for offset in range(len(records))]


async def test_a_raising_member_is_parked_and_the_others_go_on(make_database: MakeDatabase) -> None:
    log = population(Log(), members=10, facts=15)
    poisoned = {facts_of(log, "m3")[7]}
    whole = await run(await make_database(), log.batches(2000), make_folds=raising(poisoned))
    assert_same(whole, await run(await make_database(), log.batches(7), make_folds=raising(poisoned)))
    [parked] = whole["parked_member"]
    assert parked[2] == log.token("m3")
    assert "ZeroDivisionError" in parked[5] and "secret" not in parked[5]
    others = await run(await make_database(), log.batches(2000))
    assert whole["fact"] == others["fact"]
    token = log.token("m3")
    assert [r for r in whole["payment"] if r[6] != token] == [r for r in others["payment"] if r[6] != token]
    assert len(whole["payment"]) < len(others["payment"])


@pytest.mark.platform
@pytest.mark.payers("medicare")
async def test_a_released_member_is_as_if_never_parked(
    platform: LocalPlatform, roster: Roster, make_database: MakeDatabase
) -> None:
    payer = roster.payer(roster.names[0])
    log = population(Log(payer.name), members=8, facts=15)
    broadcast = next(r for r in log.records[log.partition("m4")] if DayClosed.type_name().encode() in r.value)
    fact_id = json.loads(broadcast.value)["factid"]
    poisoned = {facts_of(log, "m3")[0], facts_of(log, "m5")[9], f"{fact_id}/{log.token('m4')}", facts_of(log, "m6")[-3]}
    await produce(platform, log)
    whole = await run(await make_database(), log.batches(500), payer=payer)
    async with agent_on(await make_database(), payer=payer, make_folds=raising(poisoned)) as agent:
        batches = list(log.batches(40))
        for batch in batches[:-3]:
            await give(agent, batch)
        members = [row[2] for row in (await rows(agent._pool))["parked_member"]]
        assert len(members) >= 3
        again = await release(agent._pool, platform.connections(), payer, members[0], raising(poisoned))
        assert again.parked_at is not None
        told: list[int] = []

        async def tell(released: Released) -> None:
            told.append(released.facts)
            if len(told) == 1:
                raise ConnectionError

        with pytest.raises(ConnectionError):
            await release(agent._pool, platform.connections(), payer, members[0], tell=tell)
        assert members[0] in [row[2] for row in (await rows(agent._pool))["parked_member"]], (
            "what is not told is undone"
        )
        assert (await release(agent._pool, platform.connections(), payer, members[0], tell=tell)).parked_at is None
        assert told[0] == told[1] > 0
        for member in members[1:]:
            assert (await release(agent._pool, platform.connections(), payer, member)).parked_at is None
        poisoned.clear()
        for batch in batches[-3:]:
            await give(agent, batch)
        assert_same(whole, await rows(agent._pool))
        with pytest.raises(NotParked):
            await release(agent._pool, platform.connections(), payer, members[0])


async def test_a_value_postgres_refuses_parks_only_its_member(fresh_database: str) -> None:
    log = population(Log(), members=6, facts=10)
    token, refused = log.token("m2"), facts_of(log, "m2")[6]

    class Refused(Exception):
        sqlstate = "22003"

    async with agent_on(fresh_database) as agent:
        real = agent.folder._mark

        def mark(fact: Fact, cached: Cached) -> None:
            real(fact, cached)
            if fact.event_id == refused:
                raise Refused

        agent.folder._mark = mark  # type: ignore[method-assign]
        await give(agent, log.records)
        made = await rows(agent._pool)
    assert [row[2] for row in made["parked_member"]] == [token]
    assert made["parked_member"][0][5] == "SQLSTATE 22003"
    assert sum(row[3] for row in made["position"]) == sum(map(len, log.records.values()))
