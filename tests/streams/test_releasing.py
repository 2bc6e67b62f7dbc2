"""A window of an employer's feed: stated once, its figures on the employer's topic once, whatever is done again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from carepact.local.platform import LocalPlatform
from carepact.telling import tell_fact
from carepact.worker_command import outputs
from contracts.drafts import frozen
from contracts.events import DayClosed, DraftPriced, EmployerOutcomeReported, EnrollmentChanged, OutcomesReleased
from contracts.roster import bundled_sheet
from projections.lineage import explain_fact
from projections.released import drafts
from streams.checkpoints import Signer, heads_of, leaves_of, made, topics_of
from streams.drafting import draft
from streams.log_writer import LogWriter
from streams.operations import insert
from streams.packets import Subject
from streams.packets import made as packet_made
from streams.relay import take_over
from streams.releasing import CannotRelease, Desk, NotYet, release, releases
from streams.roster import Roster
from streams.topics import log_topic, operations_topic, outcomes_topic
from streams.verify_packet import check, files_of
from streams.verifying_outputs import Outputs
from tests import forked
from tests.end_to_end.harness import roster_toml, until
from tests.streams.logs import Log, population
from tests.streams.replayed import Sent
from tests.streams.test_requests import World
from tests.streams.ways_in import records_of

pytestmark = [pytest.mark.platform, pytest.mark.payers("employers")]
FIRST, SECOND, THIRD = "2024-01-01", "2024-07-01", "2025-01-01"


async def written(world: World, log: Log) -> None:
    sent = [Sent(part, one.key or b"", one.value) for part, records in log.records.items() for one in records[1:]]
    async with LogWriter(world.connections) as writer:
        await writer.write(log_topic(world.payer.name), sent)


async def test_a_window_is_stated_once_and_its_figures_are_sent_once(
    platform: LocalPlatform, roster: Roster, make_database: Callable[[], Awaitable[str]], tmp_path: Path
) -> None:
    payer = next(one for one in roster.payers if one.contract == "employer")
    plan, topic = payer.plans[0].name, outcomes_topic(payer.plans[0].name)
    world = World(payer, replace(platform.connections(), dsn=await make_database()), make_database)
    world.connection = await world.connect()
    log = population(Log(payer.name, payer.contract, plan=plan), 40, 12)
    for well in range(60):
        log.tell(f"w{well}", EnrollmentChanged(coverage="plan", from_on=date(2020, 1, 1)))
    log.broadcast(DayClosed(through_on=date(2025, 6, 30)))
    await written(world, log)

    async with LogWriter(world.connections) as writer:
        desk = Desk(world.connections, world.connection, writer, roster, payer, plan, b"k" * 32, "operator/test")
        with pytest.raises(NotYet, match="tables are behind"):
            await release(desk, FIRST)
        await world.apply()
        first, now = await release(desk, FIRST)
        assert (first.ordinal, now, len(first.periods)) == (1, True, 1)
        assert (first.settled_cents, first.settled_rule, first.settled_through) == (None, "nothing was settled", 0)
        assert any(one.value is not None for one in first.periods[0].figures)
        assert (await release(desk, FIRST))[1] is False
        other = await asyncpg.connect(world.connections.postgres)
        await other.fetchval("SELECT pg_advisory_lock(hashtextextended($1, 0))", f"carepact.release|{plan}")
        with pytest.raises(NotYet, match="another release"):
            await release(desk, SECOND)
        await other.close()
        second, _ = await release(desk, SECOND)
        assert (second.ordinal, [one.from_on.isoformat() for one in second.periods]) == (2, [FIRST, SECOND])
        assert second.periods[0] == first.periods[0]
        with pytest.raises(NotYet, match="opens when 2025-12-31"):
            await release(desk, THIRD)
        with pytest.raises(CannotRelease, match="in their order"):
            await release(desk, "2023-07-01")
        await assert_a_draft_is_told_once_in_a_window(desk, second)
    assert await releases(world.connections, roster, plan) == [first, second]

    await assert_told_by_the_command(platform, world, roster, plan, tmp_path)
    assert await projected_and_relayed(world, roster) > 0
    await assert_followed(world, plan)
    rows = await world.connection.fetch("SELECT event FROM employer_outcome ORDER BY ordinal, number")

    async def there() -> list[Any] | None:
        found = await records_of(world.connections, topic)
        return found if len(found) >= len(rows) else None  # a commit may be seen a moment later

    sent = await until(there, "all figures are on the employer's topic")
    await world.use_new_database()  # the database is lost: the same rows, and nothing is sent again
    assert await projected_and_relayed(world, roster) == 0
    assert rows == await world.connection.fetch("SELECT event FROM employer_outcome ORDER BY ordinal, number")
    assert [row["event"] for row in rows] == [record.value for record in sent]
    assert await world.connection.fetchval("SELECT count(*) FROM employer_release") == 2
    told_of = await drafts(world.connection, payer.name, plan, DraftPriced.type_name())
    assert [(one.ordinal, one.amount_cents) for one in told_of] == [(2, None)]
    assert await drafts(world.connection, payer.name, "another", DraftPriced.type_name()) == []
    events = [orjson.loads(record.value) for record in sent]
    assert len({event["id"] for event in events}) == len(events)
    assert [event["sequence"] for event in events] == sorted(event["sequence"] for event in events)
    told = [EmployerOutcomeReported.model_validate_json(orjson.dumps(event["data"])) for event in events]
    assert {one.employer_id for one in told} == {plan}
    await assert_proved_to_the_employer(world, roster, plan, tmp_path)
    ids = {event["id"] for event in events}
    assert {one.supersedes for one in told if one.supersedes} <= ids
    await world.connection.close()


async def assert_a_draft_is_told_once_in_a_window(desk: Desk, last: OutcomesReleased) -> None:
    """The same draft is told again, and another is refused. Few have earned a bonus, so that no amount is told."""
    calls = [one for one in await releases(desk.connections, desk.roster, desk.plan) if one.call_cents is not None]
    content = bundled_sheet("employer")[2]
    told, now = await draft(desk, content)
    assert (told.ordinal, now, told.cut) == (last.ordinal, True, calls[-1].call_cut)
    assert told.amount_cents is None and "a count can be solved" in told.rule
    assert await draft(desk, content) == (told, False)
    with pytest.raises(CannotRelease, match="already"):
        await draft(desk, frozen(content, "2025-01-01"))
    with pytest.raises(CannotRelease, match="is under employer"):
        await draft(desk, bundled_sheet("medicare-eom")[2])


async def assert_proved_to_the_employer(world: World, roster: Roster, plan: str, folder: Path) -> None:
    """What left is held to its rows, and a packet for the employer shows it and nothing of the act that released it."""
    async with world.connection.transaction():
        assert await Outputs(world.connections, world.connection, world.payer).outcomes() is None
    leaves, signer = await leaves_of(world.connections, topics_of(world.payer, roster.space)), Signer(folder / "key")
    at = datetime(2026, 1, 31, tzinfo=UTC)
    checkpoint = made(signer, world.payer.name, at, heads_of(leaves), "")
    subject = Subject(world.payer.name, subscriber=plan)
    arguments = world.connections, world.connection, subject, "subscriber", signer, checkpoint, leaves, at
    file = folder / "packet.zip"
    file.write_bytes(await packet_made(*arguments))
    right, found = check(file, signer.public_key)
    assert (right, found.wrong) == (True, [])
    held = files_of(file)
    assert orjson.loads(held["facts.json"]) == []
    shown = orjson.loads(held["payments.json"])
    assert len(shown) == await world.connection.fetchval("SELECT count(*) FROM employer_outcome WHERE plan = $1", plan)
    assert all(orjson.loads(record["value"])["subject"] == plan for record in shown)
    assert "What was released" in held["report.html"].decode()


async def assert_followed(world: World, plan: str) -> None:
    """What followed from a fact of an employee: the return to work, and the releases that knew of it."""
    fact = await world.connection.fetchval(
        "SELECT event_id::text FROM fact JOIN return_to_work r ON event_id = cause_event_id AND fact.member = r.member"
        " WHERE r.plan = $1 AND to_offset IS NULL ORDER BY log_offset LIMIT 1",
        plan,
    )
    followed = await explain_fact(world.connection, fact)
    assert followed is not None
    assert [release["ordinal"] for release in followed["releases"]] == [1, 2]
    assert followed["returns_to_work"]
    told = list(tell_fact(followed))
    assert any("release 2 to" in line for line in told) and any("return to work in" in line for line in told)


async def assert_told_by_the_command(
    platform: LocalPlatform, world: World, roster: Roster, plan: str, folder: Path
) -> None:
    """`carepact release` tells a window that is open, refuses a day that begins none, and waits for one to come."""
    file = folder / "roster.toml"
    file.write_text(roster_toml(roster))
    database = {"CAREPACT_POSTGRES": world.connections.postgres, "CAREPACT_ROSTER": str(file)}
    home = {"CAREPACT_HOME": str(platform.home.path)}

    said: list[str] = []

    async def told(window: str, *words: str) -> tuple[int, str]:
        named = ["carepact", "release", "--payer", world.payer.name, "--plan", plan, "--window", window]
        done = await asyncio.to_thread(forked.run, [*named, *words], {**os.environ, **home, **database})
        said.append(done.stderr)
        return done.returncode, done.stdout

    code, printed = await told(SECOND, "--json")
    document = orjson.loads(printed)
    assert (code, document["ordinal"], document["made_now"], len(document["periods"])) == (0, 2, False, 2)
    assert [code for code, _ in [await told(day) for day in (THIRD, "2025-02-01")]] == [75, 4], said


async def projected_and_relayed(world: World, roster: Roster) -> int:
    """The operations topic into its tables, and the outbox to the topics it names; answers how many were sent."""
    operations = operations_topic(roster.space)
    acts = await records_of(world.connections, operations)
    assert OutcomesReleased.type_name() in {orjson.loads(act.value)["type"] for act in acts}
    async with world.connection.transaction():
        await insert(world.connection, operations, acts)
    async with take_over(world.payer.name, outputs(world.payer), world.connections, world.connection) as shard:
        assert shard is not None
        while await shard.step():
            pass
        return shard.counts.sent
