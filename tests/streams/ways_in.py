"""What tests of the ways in share: a payer's door and writer on the running platform, and the records of a topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from aiokafka import TopicPartition
from typer.testing import CliRunner

from carepact.__main__ import app
from carepact.local.platform import LocalPlatform
from carepact.local.postgres import AGENT, READER
from carepact.logging import to_stderr
from contracts.events import ClaimLine, ContractAdopted, Person, ProfessionalClaimReceived, TermsAdopted
from contracts.events.base import Identifier
from contracts.roster import bundled_sheet, contract_digest
from projections.store import open_pool
from streams.app import build
from streams.broadcasts import Adopting, adopt
from streams.connections import Connections
from streams.door import Door
from streams.keys import SqliteKeyStore
from streams.log_writer import LogWriter
from streams.operations import OperationProjector
from streams.output import groupless, partitions_of
from streams.publishing import Publisher
from streams.rejects import RejectBook, RejectProjector
from streams.roster import Payer, Roster
from streams.topics import AGENTS, Topic
from tests.payers import shipped
from tests.streams.workers import write_roster

CANARIES = (b"Canaria", b"Quetzal", b"1EG4TE5MK73", b"1951-07-13", b"PCN-777")


@dataclass
class Ways:
    """A payer, as the ways in see it."""

    payer: Payer
    roster: Roster
    topics: tuple[Topic, ...]
    connections: Connections
    keys: SqliteKeyStore
    writer: LogWriter
    marked: dict[str, int] = field(default_factory=dict)

    async def mark(self) -> None:
        """From here on `records` and `facts` give only what is new."""
        self.marked = dict.fromkeys(("log", "rejects"), 0)
        self.marked = {kind: len(await self.records(kind)) for kind in self.marked}

    def door(self, plan: str = "", shift_years: int = 0) -> Door:
        """A new door of the payer."""
        return Door(self.payer, self.keys, self.topic("log").partitions, plan, shift_years)

    def publisher(self, plan: str = "") -> Publisher:
        """A new submission."""
        return Publisher(self.door(plan), self.writer, RejectBook(self.payer.name, self.keys), plan)

    def topic(self, kind: str) -> Topic:
        """The payer's topic of a kind."""
        return next(topic for topic in self.topics if topic.payer == self.payer.name and topic.kind == kind)

    async def records(self, kind: str) -> list[Any]:
        """The records of the payer's topic of a kind, in the order they came, since the mark."""
        found = await records_of(self.connections, self.topic(kind).name)
        found.sort(key=lambda record: (record.timestamp, record.partition, record.offset))
        return found[self.marked.get(kind, 0) :]

    async def facts(self) -> list[dict[str, Any]]:
        """The log's events since the mark, but for the first of each partition."""
        events = [orjson.loads(record.value) for record in await self.records("log")]
        return [event for event in events if event["type"] != "carepact.LogOpened.v1"]


@asynccontextmanager
async def ways_in(
    platform: LocalPlatform, space: str, folder: Path, payer: str, roster: Roster | None = None
) -> AsyncIterator[Ways]:
    """Topics and a database of the space, and the ways in of one of its payers: of the roster, or of that one alone."""
    roster = roster or shipped(payer).within(space)
    await platform.make_ready(roster)
    await platform.create_database(f"{space}_{payer}".replace("-", "_"))
    connections = replace(platform.connections(AGENTS), dsn=platform.dsn(AGENT, f"{space}_{payer}".replace("-", "_")))
    keys = SqliteKeyStore(folder / "keys.sqlite3")
    async with LogWriter(connections) as writer:
        own = next(each for each in roster.payers if each.name.endswith(payer))
        yield Ways(own, roster, platform.topics(roster), connections, keys, writer)
    keys.close()
    await platform.drop_database(f"{space}_{payer}".replace("-", "_"))


@asynccontextmanager
async def working(ways: Ways) -> AsyncIterator[Any]:
    """A worker of all contracts in this process, the payer's terms adopted; gives a pool of connections."""
    pool = await open_pool(ways.connections.postgres, 8)
    beside = [made(ways.connections, ways.roster, "test") for made in (RejectProjector, OperationProjector)]
    built = build(ways.roster, ways.connections, pool, beside=beside)
    await adopt(ways.connections, ways.writer, ways.door(), adoptions(ways.payer))
    try:
        await built.app.start()
        yield pool
    finally:
        await built.app.stop()
        await pool.close()


def commands(
    platform: LocalPlatform, ways: Ways, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Awaitable[Any]]:
    """Runs `carepact` commands against the test's own payers, key store and database."""
    database = urlsplit(ways.connections.postgres).path[1:]
    environment = {
        "CAREPACT_HOME": str(platform.home.path),
        "CAREPACT_ROSTER": str(write_roster(ways.roster, folder)),
        "CAREPACT_KEYS": str(ways.keys.path),
        "CAREPACT_POSTGRES": platform.dsn(READER, database),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def run(*words: Any) -> Any:
        try:
            return CliRunner().invoke(app, [str(word) for word in words])
        finally:
            to_stderr()  # or the next line logged goes to the command's own, which is closed

    to_stderr()  # what a worker in this process logs meanwhile is no output of the command

    return lambda *words: asyncio.to_thread(run, *words)


def adoptions(payer: Payer) -> list[Adopting]:
    """The terms and clauses of this build."""
    version, digest, content = bundled_sheet(payer.contract)
    return [
        TermsAdopted(contract=payer.contract, sheet_version=version, digest=digest, content=content),
        ContractAdopted(contract=payer.contract, digest=contract_digest(payer.contract), build="test"),
    ]


async def records_of(connections: Connections, topic: str) -> list[Any]:
    """Every record that a topic has now."""
    found: list[Any] = []
    async with groupless(connections) as consumer:
        parts = [TopicPartition(topic, partition) for partition in await partitions_of(consumer, topic)]
        begins, ends = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
        todo = {part for part in parts if begins[part] < ends[part]}
        consumer.assign(sorted(todo))
        for part in todo:
            consumer.seek(part, begins[part])
        while todo:
            for records in (await consumer.getmany(*todo, timeout_ms=200)).values():
                found += records
            todo -= {part for part in todo if await consumer.position(part) >= ends[part]}
    return sorted(found, key=lambda record: (record.partition, record.offset))


def claim(member: str, claim_id: str, **changes: Any) -> ProfessionalClaimReceived:
    """A claim of a member with names that must not be seen again."""
    person = Person(
        identifier=Identifier(kind="mbi", value=member),
        family_name="Canaria",
        given_name="Quetzal",
        birth_date=date(1951, 7, 13),
    )
    line = ClaimLine(line=1, service_on=date(2024, 3, 1), code="99213", diagnoses=("C50911",), paid_cents=10_000)
    fields: dict[str, Any] = {
        "person": person,
        "claim_id": claim_id,
        "family": claim_id,
        "effective_on": date(2024, 3, 5),
        "from_on": date(2024, 3, 1),
        "through_on": date(2024, 3, 1),
        "patient_control_number": "PCN-777",
        "lines": (line,),
    }
    return ProfessionalClaimReceived(**(fields | changes))


def ndjson(event: Any, producer_id: str | None = None, **attributes: Any) -> bytes:
    """The event as a sender writes it."""
    envelope = {"specversion": "1.0", "source": "clearinghouse", "type": event.type_name()}
    envelope |= ({"id": producer_id} if producer_id else {}) | attributes
    return orjson.dumps(envelope | {"data": orjson.Fragment(event.model_dump_json(exclude_defaults=True))})
