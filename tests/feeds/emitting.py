"""What is emitted, written as the fold writes it; and a gateway's app served in this process on real tables."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import orjson
import uvicorn
from fastapi import FastAPI

from carepact.local.platform import LocalPlatform
from carepact.local.postgres import READER
from carepact.schemas import pages
from contracts.envelope import NAMESPACE
from contracts.events import OperatorAct
from gateway.app import create_app
from gateway.parts import Config
from gateway.principals import Principal, scopes_of
from projections.episode_events import of_row
from streams.connections import Connections
from streams.keys import SqliteKeyStore
from streams.log_writer import Position
from streams.roster import Roster
from streams.topics import topics
from tests.gateway.served import Named

PRACTICE = Principal("practice", "medicare", practice="P1", scopes=scopes_of("practice"))
PAYER = Principal("payer", "medicare", scopes=scopes_of("payer"))
OTHER = Principal("payer", "bcbs-sc", scopes=scopes_of("payer"))


async def pay(connection: Any, payer: str, member: str, sequence: int, practice: str = "P1", topic: str = "") -> bytes:
    """One payment's row, and its row for the relay if a topic is named; answers its event."""
    made = uuid4()
    event = orjson.dumps({"id": str(made), "subject": member, "sequence": f"{sequence:09}", "payer": payer})
    await connection.execute(
        """
        INSERT INTO payment (payer, plan, contract, payment_id, kind, amount_cents, member, practice, period,
                             effective_on, cause, sequence, partition, log_offset, event)
        VALUES ($1, '', 'c', $2, 'k', 1, $3, $7, '', $4, $2, $5, 0, 0, $6)
        """,
        payer, made, member, date(2026, 1, 1), sequence, event, practice,
    )  # fmt: skip
    if topic:
        await _wait(connection, payer, topic, member, event, made)
    return event


async def change(connection: Any, payer: str, member: str, version: int, topic: str = "") -> bytes:
    """A version of a member's one episode, and its row for the relay if a topic is named; answers its event."""
    episode = uuid5(NAMESPACE, f"{payer} {member}")
    stands = await connection.fetchval(
        """
        INSERT INTO episode (payer, plan, contract, episode_id, version, member, partition, from_offset, cause_event_id,
                             started_on, ends_on, performance_period, cancer_type, status, void_reason, included,
                             exclusion, practice, opened_by, closed, known_at)
        VALUES ($1, '', 'c', $2, $3::int, $4, 0, $3::int, $5::uuid, $6, $6, 1, 'breast', 'valid', '', true, '', 'P1',
                $5::uuid::text, false, '2026-01-01T00:00:00.123Z')
        RETURNING row_to_json(episode)::text
        """,
        payer, episode, version, member, uuid4(), date(2026, 1, 1),
    )  # fmt: skip
    name, event = of_row(stands)
    if topic:
        await _wait(connection, payer, topic, member, event, name)
    return event


async def _wait(connection: Any, payer: str, topic: str, member: str, event: bytes, name: UUID) -> None:
    await connection.execute(
        "INSERT INTO outbox (payer, topic, key, value, event_id, partition, log_offset) "
        "VALUES ($1, $2, $3, $4, $5, 0, 0)",
        payer, topic, member.encode(), event, name,
    )  # fmt: skip


class Acts:
    """Stands for the operations topic: acts in the order in which they were stated."""

    def __init__(self) -> None:
        self.stated: list[OperatorAct] = []

    async def __call__(self, act: OperatorAct) -> Position:
        """Where it would stand."""
        self.stated.append(act)
        return Position(0, len(self.stated) - 1)


class Unnoted:
    """Stands for the access log, which is in Kafka."""

    async def note(self, caller: Principal, what: str) -> None:
        """Note nothing."""


def reaching(
    platform: LocalPlatform,
    space: str,
    folder: Path,
    roster: Roster | None = None,
    *,
    webhooks_private: bool = False,
    **principals: Principal,
) -> FastAPI:
    """A gateway's app on a database of its own; Kafka is away. A token is a name given, else a role's."""
    roster = roster or Roster.load()
    config = Config(
        roster=roster,
        connections=Connections("gateway", "127.0.0.1:9", dsn=platform.dsn(READER, space)),
        declared=topics(roster),
        open_keys=lambda: SqliteKeyStore(folder / "keys.sqlite3"),
        catalogue=pages(),
        spool=folder / "spool",
        webhooks_private=webhooks_private,
    )
    app = create_app(config)
    app.state.accesses = Unnoted()
    app.state.parts.doors.state = Acts()
    app.state.callers = Named(**(principals or {"practice": PRACTICE, "payer": PAYER, "other": OTHER}))
    return app


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    """The app behind a real server; answers its address."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5))
        serving = asyncio.create_task(server.serve(sockets=[own]))
        while not server.started and not serving.done():  # noqa: ASYNC110 - a server tells nobody when it begins
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{own.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
