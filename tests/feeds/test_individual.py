"""A person's return to work is told to whom the person named, while that holds, and to nobody else by any way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from carepact.local.platform import LocalPlatform
from carepact.local.postgres import AGENT, READER
from carepact.schemas import pages
from contracts.authorizations import Authorization, Authorizations, told
from contracts.events import AuthorizationGiven, AuthorizationRevoked, DayClosed, OperatorAct, SubjectErased
from gateway.app import create_app
from gateway.parts import Config
from gateway.principals import EMPLOYER, PAYER, SCOPES, Principal, scopes_of
from projections.feed import emitted_after
from projections.individual import Told
from projections.tenancy import Tenant
from streams.connections import Connections
from streams.individual import KEY, key_name, look
from streams.key_errors import KeyDestroyed
from streams.keys import SqliteKeyStore
from streams.log_writer import LogWriter
from streams.reading import log_reader
from streams.roster import Roster
from streams.topics import log_topic, topics
from tests.gateway.served import Named, client_of
from tests.streams.logs import Log, population
from tests.streams.replayed import Sent
from tests.streams.test_requests import World

TODAY = date(2026, 2, 1)
LAST = date(2099, 12, 31)


class Growing(World):
    """A world whose log grows."""

    log: Log
    written: dict[int, int]

    async def grow(self) -> None:
        """What the log has more, into Kafka and the tables."""
        sent = [
            Sent(part, one.key or b"", one.value)
            for part, records in self.log.records.items()
            for one in records[max(1, self.written.get(part, 0)) :]
        ]
        self.written = {part: len(records) for part, records in self.log.records.items()}
        async with LogWriter(self.connections) as writer:
            await writer.write(log_topic(self.payer.name), sent)
        await self.apply()


def given(
    name: str, recipient: str, last: date = LAST, scope: Literal["return_to_work", "part2"] = "return_to_work"
) -> AuthorizationGiven:
    return AuthorizationGiven(
        authorization_id=name, recipient=recipient, scope=scope, purpose="benefits",
        signed_on=date(2024, 6, 1), expires_on=last, text_version="2026-1",
    )  # fmt: skip


@pytest.mark.platform
@pytest.mark.payers("employers")
async def test_returns_are_told_under_an_authorization_and_no_more_when_it_is_over(
    platform: LocalPlatform,
    roster: Roster,
    space: str,
    make_database: Callable[[], Awaitable[str]],
    tmp_path: Path,
) -> None:
    payer = next(one for one in roster.payers if one.contract == "employer")
    plan, other = (one.name for one in payer.plans)
    world = Growing(payer, replace(platform.connections(), dsn=await make_database()), make_database)
    world.connection, world.written = await world.connect(), {}
    world.log = population(Log(payer.name, payer.contract, plan=plan), 12, 25)
    world.log.broadcast(DayClosed(through_on=date(2025, 12, 31)))
    await world.grow()
    back = await world.connection.fetch(
        """
        SELECT member FROM return_to_work
         WHERE eligible AND NOT conflict AND to_offset IS NULL AND status = ANY('{observed,sustained,lapsed}')
         ORDER BY member LIMIT 4
        """
    )
    names = {world.log.token(f"m{n}"): f"m{n}" for n in range(12)}
    first, second, third, fourth = (names[row["member"]] for row in back)
    keys = SqliteKeyStore(tmp_path / "keys.sqlite3")

    async def looked(today: date = TODAY) -> None:
        await world.grow()
        agent = await asyncpg.connect(platform.dsn(AGENT, f"{space}_0"))
        async with log_reader(world.connections) as reader:
            while await look(agent, reader, keys, payer.name, today):
                pass
        await agent.close()

    await looked()
    assert await rows(world) == []
    for who, name, recipient in ((first, "a-1", plan), (second, "a-2", plan), (third, "a-3", other)):
        world.log.tell(who, given(name, recipient))
    world.log.tell(fourth, given("a-4", plan, last=date(2026, 1, 31)))  # over before today
    world.log.tell(first, given("a-5", plan, scope="part2"))  # of something else
    await looked()
    told_of = {row["authorization_id"]: row for row in await rows(world)}
    assert set(told_of) == {"a-1", "a-2", "a-3", "a-4"} and told_of["a-4"]["sealed"] is None
    reading = replace(platform.connections(), dsn=platform.dsn(READER, f"{space}_0"))
    await assert_nowhere_else(world, reading, [row["event_id"] for row in told_of.values()])

    served = Served(world, reading, roster, tmp_path, {"mine": plan, "theirs": other})
    page = await served.page("mine")
    assert sorted(one["state"] for one in page) == ["revoked", "told", "told"]  # partitions tell in any order
    events = {one["event"]["subject"]: one["event"] for one in page if one["state"] == "told"}
    assert set(events) == {"a-1", "a-2"}
    for event in events.values():
        assert set(event["data"]) == {"status", "on"} and "time" not in event
        assert not {"cancer", "episode", "contract", payer.contract, world.log.token(first)} & set(words(event))
    assert {act.subject for act in served.noted} == {world.log.token(first), world.log.token(second)}
    assert [one["event"]["subject"] for one in await served.page("theirs")] == ["a-3"]
    assert (await served.get("theirs", f"/{told_of['a-1']['event_id']}"))[0] == 404
    assert (await served.get("administrator", ""))[0] == 403

    world.log.tell(first, AuthorizationRevoked(authorization_id="a-1", revoked_on=date(2026, 2, 1)))
    world.log.tell(second, SubjectErased(reason="request"))
    await looked()
    noted = len(served.noted)
    for name in ("a-1", "a-2"):
        answer = await served.get("mine", f"/{told_of[name]['event_id']}")
        assert answer == (200, {"id": str(told_of[name]["event_id"]), "state": "revoked"})
    assert [one["state"] for one in await served.page("mine")] == ["revoked"] * 3
    assert len(served.noted) == noted, "nothing was told, nothing is noted"
    with pytest.raises(KeyDestroyed):
        keys.own_key(payer.name, KEY, key_name(world.log.token(first), "a-1"))

    await world.connection.execute("TRUNCATE authorization_held, individual_outcome, individual_position")
    await looked()
    again = {row["authorization_id"]: row for row in await rows(world)}
    assert {name: row["event_id"] for name, row in again.items()} == {
        name: row["event_id"] for name, row in told_of.items()
    }
    assert [name for name, row in sorted(again.items()) if row["sealed"]] == ["a-3"], "what is over stays over"
    await looked(date(2100, 1, 1))
    assert [row["sealed"] for row in await rows(world)] == [None] * 4
    assert [one["state"] for one in await served.page("theirs")] == ["revoked"]
    await served.close()
    await world.connection.close()


class Served:
    """The gateway's app on the world's tables; what it notes is kept here, Kafka is away."""

    def __init__(self, world: World, reading: Connections, roster: Roster, folder: Path, plans: dict[str, str]) -> None:
        self.noted: list[Any] = []
        config = Config(
            roster=roster,
            connections=reading,
            declared=topics(roster),
            open_keys=lambda: SqliteKeyStore(folder / "keys.sqlite3"),
            catalogue=pages(),
            spool=folder / "spool",
        )
        self._app = create_app(config)
        payer = world.payer.name
        callers = {who: Principal(EMPLOYER, payer, plan, scopes=scopes_of(EMPLOYER)) for who, plan in plans.items()}
        self._app.state.callers = Named(**callers, administrator=Principal(PAYER, payer, scopes=scopes_of(PAYER)))
        self._app.state.parts.doors.state = self._note

    async def _note(self, act: OperatorAct) -> None:
        self.noted.append(act)

    async def get(self, who: str, path: str) -> tuple[int, Any]:
        """An answer's status and document."""
        async with client_of(self._app, who) as client:
            answer = await client.get(f"/v1/individual-feed{path}")
        return answer.status_code, answer.json()

    async def page(self, who: str) -> list[dict[str, Any]]:
        """All that a caller reads, one event a page."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            status, page = await self.get(who, f"?limit=1{after}")
            assert status == 200
            found += page["events"]
            if page["caught_up"]:
                return found
            after = f"&after={page['next']}"

    async def close(self) -> None:
        """Let go of the database."""
        await self._app.state.parts.close()


async def rows(world: World) -> list[Any]:
    found: list[Any] = await world.connection.fetch("SELECT * FROM individual_outcome ORDER BY number")
    return found


async def assert_nowhere_else(world: World, reading: Connections, ids: list[UUID]) -> None:
    """Not on its way to a topic, in no feed and so in no stream, webhook or statement, and sealed where it is."""
    assert await world.connection.fetchval("SELECT count(*) FROM outbox WHERE event_id = ANY($1)", ids) == 0
    payer, reader = world.payer, await asyncpg.connect(reading.postgres)
    tenants = [Tenant("payer", payer.name), *(Tenant("employer", payer.name, plan.name) for plan in payer.plans)]
    for tenant in tenants:
        page = await emitted_after(reader, tenant, None, 5_000)
        assert page.caught_up and not {one.place.event_id for one in page.events} & set(ids)
    await reader.close()
    for row in await rows(world):
        assert not row["sealed"] or (b"returned" not in row["sealed"] and b"lapsed" not in row["sealed"])


def words(event: dict[str, Any]) -> list[str]:
    """Names and values of an event."""
    return [*event, *(str(value) for value in event.values()), *event["data"]]


def test_only_a_return_is_told_and_a_status_has_one_day() -> None:
    days = date(2025, 2, 1), date(2025, 3, 1), date(2025, 4, 1)
    assert told("lapsed", *days) == ("lapsed", days[2])
    assert told("sustained", *days) == ("confirmed", days[1])
    assert told("observed", *days) == ("returned", days[1])
    assert told("absent", days[0], None, None) == ("returned_in_part", days[0])
    for status in ("none", "absent", "died", "exited", "censored"):
        assert told(status, None, None, None) is None
    assert told("died", *days) is None


def test_it_is_asked_at_every_attempt_whether_the_recipient_may_be_told() -> None:
    row = Told(1, uuid4(), "employers", "m", "a-1", "acme", date(2026, 1, 10), date(2026, 12, 31), False, b"x")
    for on, standing in (
        (date(2026, 1, 9), "not_yet"),
        (date(2026, 12, 31), "in_force"),
        (date(2027, 1, 1), "expired"),
    ):
        assert row.standing("acme", on) == standing
    assert row.standing("zenith", TODAY) == "not_the_recipient"
    assert replace(row, revoked=True).standing("acme", TODAY) == "revoked"
    assert replace(row, sealed=None).standing("acme", TODAY) == "revoked"


def test_who_may_be_told_is_asked_by_scope_and_day() -> None:
    held = Authorizations()
    for name, scope, last in (("a", "part2", "2026-06-30"), ("b", "return_to_work", "2026-12-31")):
        held.given[name] = Authorization("P1", "2026-01-01", last, scope)
    assert held.recipients("part2", "2026-06-30") == {"P1"}
    assert held.recipients("part2", "2026-07-01") == held.recipients("part2", "") == frozenset()
    held.revoked.add("a")
    assert held.recipients("part2", "2026-06-30") == frozenset()


def test_only_an_employer_may_be_told_of_a_person() -> None:
    assert SCOPES["individual:read"].roles == (EMPLOYER,)
    assert orjson.loads(pages()["emitted/ReturnToWorkTold.v1.json"])["properties"].keys() == {"status", "on"}
