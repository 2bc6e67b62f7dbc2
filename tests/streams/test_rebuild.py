"""Rebuild: tables made again beside the live ones are equal, take their place in one transaction, and can go back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from carepact.local.platform import LocalPlatform
from carepact.replay_commands import app
from projections import rebuilt
from projections.digests import COMPARED, live_sums
from projections.rebuilt import SCHEMA
from projections.store import Fenced
from streams import rebuilding
from streams.rebuilding import CannotRebuild, Held, PublishedDiffers, opened, rebuild, republish, switch
from streams.topics import log_topic, payments_topic
from tests.streams.logs import Record
from tests.streams.replayed import World, world_of
from tests.streams.test_folding import agent_on, give

pytestmark = pytest.mark.platform
RIGHTS = (
    "SELECT tablename, policyname, roles, qual FROM pg_policies WHERE schemaname = 'public' ORDER BY 1, 2",
    "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1",
    "SELECT table_name, grantee, privilege_type FROM information_schema.role_table_grants"
    " WHERE table_schema = 'public' ORDER BY 1, 2, 3",
)


@pytest_asyncio.fixture(scope="module")
async def world(platform: LocalPlatform) -> AsyncIterator[World]:
    async with world_of(platform, "rebuild") as made:
        for payer in made.roster.payers[1:]:
            await made.relay(payer)
        yield made


@pytest_asyncio.fixture
async def alone(world: World) -> AsyncIterator[Any]:
    async with opened(world.connections) as connection:
        yield connection
        await rebuilt.drop(connection)


async def sums(world: World) -> dict[str, Any]:
    """The digests of every compared live table of every partition."""
    found: dict[str, Any] = {}
    async with world.connection.transaction():
        for payer in world.roster.payers:
            for partition in range(4):
                made = await live_sums(world.connection, payer.name, partition, log_topic(payer.name))
                for table in COMPARED:
                    if table.table != "log_batch":  # its rows are as batches were cut
                        found[f"{payer.name} {partition} {table.table}"] = made.total(table.table)
    return found


async def test_rebuilt_equals_live_byte_for_byte_and_takes_its_place(world: World, alone: Any) -> None:
    before = await sums(world)
    queued = await world.connection.fetchval("SELECT count(*) FROM outbox")
    folded = await rebuild(world.connections, alone, world.roster.payers)
    applied = await rebuilt.positions(alone)
    assert sum(folded.values()) == sum(applied.values())
    assert await rebuilt.difference(alone) == {"equal": True, "tables": [], "payments": []}
    assert sum((await rebuild(world.connections, alone, world.roster.payers)).values()) == 0
    rights = [await world.connection.fetch(question) for question in RIGHTS]
    assert await switch(world.connections, alone, world.roster.payers) == dict.fromkeys(folded, 0)
    assert await sums(world) == before
    assert [await world.connection.fetch(question) for question in RIGHTS] == rights
    assert await world.connection.fetchval("SELECT count(*) FROM outbox") == queued
    for payer in world.roster.payers:
        assert (await world.verify(payer.name)).difference is None
    with pytest.raises(CannotRebuild, match="--back"):
        await rebuild(world.connections, alone, world.roster.payers)


async def test_partitions_rebuilt_in_processes_of_their_own_come_to_the_same(
    world: World, alone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "SHORT_RECORDS", 0)
    told: list[str] = []
    folded = await rebuild(world.connections, alone, world.roster.payers, told.append)
    assert sum(folded.values()) == sum((await rebuilt.positions(alone)).values())
    assert (await rebuilt.difference(alone))["equal"]
    assert told and all("records" in one for one in told)
    assert sum((await rebuild(world.connections, alone, world.roster.payers)).values()) == 0


async def test_live_work_goes_on_after_a_switch_and_back_again(world: World, alone: Any) -> None:
    payer = world.roster.payers[1]
    await rebuild(world.connections, alone, world.roster.payers)
    await world.publish(payer)  # the same facts again: duplicates, and positions that move on
    await world.apply(payer)
    await switch(world.connections, alone, world.roster.payers)
    before = await sums(world)
    await switch(world.connections, alone, world.roster.payers)
    assert await sums(world) == before
    assert (await world.verify(payer.name)).difference is None


async def test_a_worker_of_before_is_fenced_by_the_switch(world: World, alone: Any) -> None:
    payer = world.roster.payers[0]
    await rebuild(world.connections, alone, world.roster.payers)
    async with agent_on(world.connections.postgres, payer) as agent:
        await switch(world.connections, alone, world.roster.payers)
        with pytest.raises(Fenced, match="claimed by another worker"):
            await give(agent, {0: [Record(10_000, 0, b"", b"{}")]})


async def test_a_damaged_row_is_told_and_healed(world: World, alone: Any) -> None:
    payer = world.roster.payers[0].name
    row = await alone.fetchrow("SELECT * FROM payment WHERE payer = $1 ORDER BY payment_id LIMIT 1", payer)
    await alone.execute("UPDATE payment SET amount_cents = amount_cents + 7 WHERE payment_id = $1", row["payment_id"])
    await alone.execute("DELETE FROM due WHERE payer = $1", payer)
    await rebuild(world.connections, alone, world.roster.payers)
    found = await rebuilt.difference(alone)
    assert {table["table"] for table in found["tables"]} == {"payment", "due"}
    (payment,) = found["payments"]
    assert (payment["payer"], payment["kind"], payment["difference_cents"]) == (payer, row["kind"], -7)
    assert payment["cause"] == orjson.loads(row["event"])["data"]["cause_kind"]
    await switch(world.connections, alone, world.roster.payers)
    assert (await world.verify(payer)).difference is None


async def test_payments_that_differ_from_those_published_never_take_their_place(world: World, alone: Any) -> None:
    await rebuild(world.connections, alone, world.roster.payers)
    name = await alone.fetchval(
        f"UPDATE {SCHEMA}.payment SET event = event || '\\x20'::bytea WHERE payment_id = (SELECT payment_id"
        f" FROM {SCHEMA}.payment WHERE payer = $1 LIMIT 1) RETURNING payment_id", world.roster.payers[0].name,
    )  # fmt: skip
    before = await sums(world)
    with pytest.raises(PublishedDiffers, match=str(name)):
        await switch(world.connections, alone, world.roster.payers)
    await alone.execute(f"DELETE FROM {SCHEMA}.payment WHERE payment_id = $1", name)
    with pytest.raises(PublishedDiffers, match=str(name)):
        await switch(world.connections, alone, world.roster.payers)
    assert await sums(world) == before


async def test_one_rebuild_at_a_time_and_it_goes_on_where_it_was_killed(
    world: World, alone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Held):
        async with opened(world.connections):
            pass
    apply, calls = rebuilding._apply, 0

    async def dies(agent: Any, epochs: Any, partition: int, records: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise ConnectionResetError
        await apply(agent, epochs, partition, records)

    monkeypatch.setattr(rebuilding, "_apply", dies)
    with pytest.raises(ConnectionResetError):
        await rebuild(world.connections, alone, world.roster.payers)
    done = sum((await rebuilt.positions(alone, SCHEMA)).values())
    live = sum((await rebuilt.positions(alone)).values())
    assert 0 < done < live
    folded = await rebuild(world.connections, alone, world.roster.payers)
    assert sum(folded.values()) == live - done
    assert (await rebuilt.difference(alone))["equal"]


async def test_what_a_topic_lost_is_sent_again_and_nothing_twice(world: World, alone: Any) -> None:
    payer = world.roster.payers[2]
    topic = payments_topic(payer.name)
    count = len(await rebuilding.published(world.connections, topic))
    assert await republish(world.connections, alone, payer) == 0
    row = await alone.fetchrow("SELECT * FROM payment WHERE payer = $1 LIMIT 1", payer.name)
    copy = {**dict(row), "payment_id": "00000000-0000-4000-8000-000000000001"}
    copy["event"] = row["event"].replace(str(row["payment_id"]).encode(), copy["payment_id"].encode())
    columns = ", ".join(copy)
    places = ", ".join(f"${n}" for n in range(1, len(copy) + 1))
    await alone.execute(f"INSERT INTO payment ({columns}) VALUES ({places})", *copy.values())
    assert await republish(world.connections, alone, payer) == 1
    assert await republish(world.connections, alone, payer) == 0
    await world.relay(payer)
    sent = await rebuilding.published(world.connections, topic)
    assert len(sent) == count + 1
    assert await republish(world.connections, alone, payer) == 0
    await alone.execute("DELETE FROM payment WHERE payment_id = $1", copy["payment_id"])


async def test_the_commands_rebuild_differ_and_switch(
    world: World, platform: LocalPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roster = tmp_path / "roster.toml"
    roster.write_text(
        "".join(
            f'[[payers]]\nname = "{payer.name}"\ntitle = "t"\ncontract = "{payer.contract}"\ntime_zone = "UTC"\n'
            for payer in world.roster.payers[:2]
        )
    )
    monkeypatch.setenv("CAREPACT_HOME", str(platform.home.path))
    monkeypatch.setenv("CAREPACT_ROSTER", str(roster))
    monkeypatch.setenv("CAREPACT_POSTGRES", world.connections.postgres)

    async def run(*arguments: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))

    assert (await run("diff")).exit_code == 1
    assert (await run("switch", "--back")).exit_code == 1
    done = await run("rebuild", "--json")
    assert done.exit_code == 0, done.output
    assert sum(orjson.loads(done.stdout)["records"].values()) > 0
    assert (await run("diff", "--json")).exit_code == 0
    assert "the same rows" in (await run("diff")).stdout
    refused = await run("switch")
    assert refused.exit_code == 1, "a payer of the logs was not rebuilt"
    assert (await run("rebuild", "--cancel")).exit_code == 0
