"""Replay: the log folded again gives what is live, to the cent and the byte, or the name of the first difference."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from carepact.local.platform import LocalPlatform
from carepact.replay_commands import app
from contracts.decision import ContractFold
from contracts.eom import EomClauses
from contracts.fold import NotAdopted
from contracts.parts import Adoption
from contracts.roster import fold_for
from projections.digests import live_sums
from streams import slices as slicing
from streams.beside import Processes
from streams.connections import Connections
from streams.log_writer import LogWriter
from streams.replay import PartitionReplay
from streams.replaying import Job, Replayed, folded, maker, replayed
from streams.roster import Payer, Roster
from streams.slices import Spool
from streams.topics import log_topic, payments_topic
from streams.verifying import verify
from streams.verifying_log import boundaries
from tests.streams.logs import Log, claim, population
from tests.streams.replayed import Sent, World, chained, world_of
from tests.streams.test_folding import agent_on, give

pytestmark = pytest.mark.platform
MEDICARE = Roster.load().payer("medicare")


@pytest_asyncio.fixture(scope="module")
async def world(platform: LocalPlatform) -> AsyncIterator[World]:
    async with world_of(platform, "replay") as made:
        yield made


async def test_what_is_live_is_what_the_log_says(world: World) -> None:
    report = await world.verify()
    assert report.difference is None
    assert report.events == await world.connection.fetchval(
        "SELECT sum(next_offset) FROM consumer_offset WHERE consumer = 'contract' AND topic LIKE '%medicare%'"
    )
    counted = {name: rows for name, (rows, _) in report.tables.items()}
    for table in ("fact", "episode", "payment", "ledger_line", "state_part"):
        live = await world.connection.fetchval(f"SELECT count(*) FROM {table} WHERE payer LIKE '%medicare'")
        assert counted[table] == live > 0, table
    assert report.emitted == counted["payment"] + counted["episode"]


async def test_one_planted_cent_is_named(world: World) -> None:
    row = await world.connection.fetchrow(
        "SELECT * FROM payment WHERE payer LIKE '%medicare' ORDER BY payment_id LIMIT 1"
    )
    where = f"WHERE payment_id = '{row['payment_id']}'"
    add = "UPDATE payment SET amount_cents = amount_cents + {} " + where
    async with world.changed(add.format(1), add.format(-1)):
        difference = (await world.verify()).difference
    assert difference is not None
    assert (difference.table, difference.key, difference.field) == (
        "payment", {"payment_id": str(row["payment_id"])}, "amount_cents",
    )  # fmt: skip
    assert (difference.expected, difference.found) == (row["amount_cents"], row["amount_cents"] + 1)
    assert difference.position == {
        "topic": log_topic(row["payer"]), "partition": row["partition"], "offset": row["log_offset"],
    }  # fmt: skip


async def test_a_changed_episode_is_named(world: World) -> None:
    row = await world.connection.fetchrow(
        "SELECT * FROM episode WHERE payer LIKE '%medicare' AND status = 'valid' LIMIT 1"
    )
    where = f"WHERE episode_id = '{row['episode_id']}' AND version = {row['version']}"
    async with world.changed(
        f"UPDATE episode SET status = 'void' {where}", f"UPDATE episode SET status = 'valid' {where}"
    ):
        difference = (await world.verify()).difference
    assert difference is not None
    assert (difference.table, difference.field, difference.expected, difference.found) == (
        "episode", "status", "valid", "void",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("table", "change", "back"),
    [
        ("fact", "INSERT INTO fact SELECT payer, partition, 5, gen_random_uuid(), type, plan, member, digest, known_at"
         " FROM fact WHERE payer = 'replay-medicare' AND partition = 1 LIMIT 1",
         "DELETE FROM fact WHERE event_id IN (SELECT event_id FROM fact WHERE log_offset = 5 AND partition = 1"
         " ORDER BY ctid DESC LIMIT 1)"),
        ("due", "UPDATE due SET due_on = due_on + 1 WHERE payer = 'replay-medicare'",
         "UPDATE due SET due_on = due_on - 1 WHERE payer = 'replay-medicare'"),
        ("state_part", "UPDATE state_part SET log_offset = log_offset + 1"
         " WHERE payer = 'replay-medicare' AND kind = 'head'",
         "UPDATE state_part SET log_offset = log_offset - 1"
         " WHERE payer = 'replay-medicare' AND kind = 'head'"),
        ("ledger_line", "UPDATE ledger_line SET amount_cents = -amount_cents WHERE payer = 'replay-medicare'",
         "UPDATE ledger_line SET amount_cents = -amount_cents WHERE payer = 'replay-medicare'"),
    ],
)  # fmt: skip
async def test_a_change_in_any_table_is_found(world: World, table: str, change: str, back: str) -> None:
    async with world.changed(change, back):
        difference = (await world.verify()).difference
    assert difference is not None
    assert difference.table == table
    assert (await world.verify()).difference is None


async def test_rows_that_wait_in_the_outbox_are_no_difference(world: World) -> None:
    report = await world.verify("employers")
    assert report.difference is None
    assert report.emitted == 0 < report.tables["payment"][0]


async def test_an_event_lost_from_the_topic_is_named(world: World) -> None:
    payer = world.roster.payers[1]
    lost = await world.connection.fetchrow(
        "DELETE FROM outbox WHERE outbox_id = (SELECT max(outbox_id) FROM outbox WHERE payer = $1) RETURNING *",
        payer.name,
    )
    await world.relay(payer)
    difference = (await world.verify("bcbs-sc")).difference
    assert difference is not None
    assert (difference.table, difference.field, difference.expected, difference.found) == (
        payments_topic(payer.name), "times", 1, 0,
    )  # fmt: skip
    assert difference.key["id"] == str(lost["event_id"])


async def test_an_event_that_is_on_the_topic_twice_is_named(world: World) -> None:
    payer = world.roster.payers[2]
    again = await world.connection.fetchrow(
        "SELECT topic, key, event FROM outbox JOIN payment ON payment_id = event_id WHERE outbox.payer = $1 LIMIT 1",
        payer.name,
    )
    await world.relay(payer)
    async with AIOKafkaProducer(**world.connections.aiokafka(), acks="all") as producer:
        await producer.send_and_wait(again["topic"], again["event"], again["key"])
    difference = (await world.verify("employers")).difference
    assert difference is not None
    assert (difference.table, difference.field, difference.found) == (payments_topic(payer.name), "times", 2)


async def test_the_command_exits_6_and_names_what_differs(
    world: World, platform: LocalPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roster = tmp_path / "roster.toml"
    payer = world.roster.payers[0]
    roster.write_text(
        f'[[payers]]\nname = "{payer.name}"\ntitle = "t"\ncontract = "{payer.contract}"\ntime_zone = "UTC"\n'
    )
    monkeypatch.setenv("CAREPACT_HOME", str(platform.home.path))
    monkeypatch.setenv("CAREPACT_ROSTER", str(roster))
    monkeypatch.setenv("CAREPACT_POSTGRES", world.connections.postgres)

    async def run(*arguments: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, app, ["verify", *arguments])

    good = await run("--json")
    assert (good.exit_code, orjson.loads(good.stdout)["verified"]) == (0, True), good.output
    assert "the same result" in (await run()).stdout
    plus, minus = (
        f"UPDATE payment SET amount_cents = amount_cents {sign} 1 WHERE payer = '{payer.name}'" for sign in "+-"
    )
    async with world.changed(plus, minus):
        bad = await run("--json")
        assert bad.exit_code == 6
        assert orjson.loads(bad.stdout)["difference"]["field"] == "amount_cents"
        assert "DIFFERENCE in payment" in (await run()).stdout
    assert (await run("--payer", "nobody")).exit_code == 4


async def test_partitions_folded_in_processes_of_their_own_give_the_same(world: World) -> None:
    payers = world.roster.payers[:1]
    here = await verify(world.connections, payers)
    async with Processes(2) as processes:
        beside = await verify(world.connections, payers, processes.do)
    here.seconds = beside.seconds = 0.0
    assert here.as_json() == beside.as_json()


async def test_a_log_of_another_builds_clauses_is_not_replayed(world: World) -> None:
    def other_build(payer: Payer) -> Any:
        return lambda adoption: ContractFold(payer.name, payer.contract, "0" * 64, EomClauses, adoption)

    difference = (
        await verify(world.connections, world.roster.payers[:1], lambda job: replayed(job, other_build))
    ).difference
    assert difference is not None
    assert (difference.table, difference.field) == ("contract", "fold")
    assert "start that build" in difference.found


@pytest.mark.parametrize("size", [1, 7, 2_000])
async def test_replay_equals_live_whatever_the_batches(fresh_database: str, size: int) -> None:
    log = population(Log(), 8, 20)
    async with agent_on(fresh_database) as agent:
        for batch in log.batches(50):
            await give(agent, batch)
    await assert_replay_is_live(fresh_database, log, size)


async def test_replay_parks_whom_the_live_fold_parks(fresh_database: str) -> None:
    log = population(Log(), 8, 20)
    poisoned = log.token("m3")

    def make_folds(payer: Payer) -> Any:
        return lambda adoption: Poison(payer, adoption, poisoned)

    async with agent_on(fresh_database, make_folds=make_folds) as agent:
        for batch in log.batches(500):
            await give(agent, batch)
    await assert_replay_is_live(fresh_database, log, 100, make_folds)


class Unwell:
    """A fold that stops a partition at a member's second claim, as one without terms for it would."""

    def __init__(self, payer: Payer, adoption: Adoption, member: str) -> None:
        self._fold = fold_for(payer.contract, payer.name, adoption)
        self._member, self._claims = member, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fold, name)

    def apply(self, member: Any, fact: Any) -> Any:
        if member.token == self._member and "Claim" in fact.type:
            self._claims += 1
            if self._claims > 1:
                raise NotAdopted("no terms for it")
        return self._fold.apply(member, fact)


@pytest.mark.parametrize("slices", [2, 5, 40])
@pytest.mark.parametrize("sick", ["", "parked", "stopped"])
async def test_slices_come_to_what_the_whole_partition_comes_to(slices: int, sick: str) -> None:
    log = population(Log(partitions=1), 9, 20)
    log.raw(0, b"no event", b"no member")
    log.raw(0, b"no event")
    chosen, fold = log.token("m3"), {"parked": Poison, "stopped": Unwell}.get(sick)

    def make_folds(payer: Payer) -> Any:
        return lambda adoption: (
            fold(payer, adoption, chosen) if fold else fold_for(payer.contract, payer.name, adoption)
        )

    made = []
    for count in (1, slices):
        with Spool(count) as spool:
            for some in cut(log.records[0], 100):
                spool.add(some)
            job = Job(Connections("", ""), MEDICARE, 0, len(log.records[0]))
            made.append(await folded(spool, maker(job, make_folds)))
    whole, sliced = made
    assert sliced.sums.differing(whole.sums) == {}
    assert (sliced.sums.rows, sliced.payments, sliced.events) == (whole.sums.rows, whole.payments, whole.events)
    assert sliced.stopped == whole.stopped
    assert (sliced.stopped is not None) == (sick == "stopped")
    assert sliced.sums.rows["parked_member"] == (sick == "parked")
    assert sliced.sums.rows["reject"] > 1 or sick == "stopped"


async def test_an_id_that_is_told_of_two_members_counts_once_in_slices_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slicing, "SLICE_RECORDS", 7)
    payer = world.roster.payers[0]
    log = Log(payer.name, payer.contract)
    members = [name for name in map("n{}".format, range(40)) if log.partition(name) == 3]
    told = [orjson.loads(log.tell(name, claim(date(2024, 3, 1))).value) for name in members]
    sent = [Sent(3, one["subject"].encode(), orjson.dumps(one | {"id": told[0]["id"]})) for one in told]
    assert len(sent) > 3
    async with LogWriter(world.connections) as writer:
        await writer.write(log_topic(payer.name), sent)
    await world.apply(payer)
    whole: list[bool] = []

    async def noted(job: Job) -> Replayed:
        whole.append(job.whole)
        return await replayed(job)

    assert (await verify(world.connections, [payer], noted)).difference is None
    assert True in whole


class Poison:
    """A fold that cannot bear one member's claims."""

    def __init__(self, payer: Payer, adoption: Adoption, member: str) -> None:
        self._fold = fold_for(payer.contract, payer.name, adoption)
        self._member = member

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fold, name)

    def apply(self, member: Any, fact: Any) -> Any:
        if member.token == self._member and "Claim" in fact.type:
            raise ZeroDivisionError
        return self._fold.apply(member, fact)


async def assert_replay_is_live(dsn: str, log: Log, size: int, make_folds: Any = None) -> None:
    """Each partition's log, folded in memory, has the sums of the live rows."""
    connection = await asyncpg.connect(dsn)
    try:
        for partition, records in log.records.items():
            more = {} if make_folds is None else {"make_folds": make_folds}
            log_name = log_topic(MEDICARE.name)
            batches, wrong = await boundaries(connection, log_name, partition, len(records))
            assert wrong is None
            replay = PartitionReplay(MEDICARE, partition, **more)
            for part in cut(records, size):
                await replay.feed(part)
            replay.finish().merge(chained(log_name, partition, batches, records))
            async with connection.transaction():
                live = await live_sums(connection, MEDICARE.name, partition, log_topic(MEDICARE.name))
            assert replay.sums.differing(live) == {}
            assert replay.events == len(records)
            assert live.rows["payment"] > 0 or log.partitions > 1
    finally:
        await connection.close()


def cut(records: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """In parts."""
    return [records[at : at + size] for at in range(0, len(records), size)]
