"""A gateway for tests: its app alone, with callers of a test's own; or as a process beside a worker, on real stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
from fastapi import FastAPI
from typer.testing import CliRunner

from carepact.__main__ import app
from carepact.local.gateway import Gateway
from carepact.local.home import free_ports
from carepact.local.postgres import READER
from carepact.local.supervisor import Kept
from carepact.logging import to_stderr
from carepact.schemas import pages
from contracts.events import CredentialCreated
from contracts.events.operations import EVERY_PAYER, Role
from gateway.app import create_app
from gateway.credentials import PURPOSE, new_key, secret_digest
from gateway.limits import Limits
from gateway.parts import Config
from gateway.principals import Principal, scopes_of
from gateway.problems import Problem
from streams.connections import Connections
from streams.keys import SqliteKeyStore
from streams.log_writer import LogWriter
from streams.operations import state
from streams.roster import Roster
from streams.topics import topics
from tests import forked
from tests.end_to_end.harness import World, until

MEDICARE = Principal("payer", "medicare", scopes=scopes_of("payer"))


class Named:
    """Callers whose token is their role's name, or one given."""

    def __init__(self, **principals: Principal) -> None:
        self._principals = principals

    async def principal(self, token: str | None, client: str) -> Principal:
        """See `gateway.principals.Authenticates`."""
        del client
        if token not in self._principals:
            raise Problem(401, "unauthenticated", "no")
        return self._principals[token]

    async def holder(self, token: str) -> Principal | None:
        """See `gateway.principals.Authenticates`."""
        return self._principals.get(token)


def app_of(folder: Path, limits: Limits | None = None, **principals: Principal) -> FastAPI:
    """The app without stores: whoever needs one is told that it is away."""
    roster = Roster.load()
    config = Config(
        roster=roster,
        connections=Connections("gateway", "127.0.0.1:9", dsn="postgresql://nobody@127.0.0.1:9/none"),
        declared=topics(roster),
        open_keys=lambda: SqliteKeyStore(folder / "keys.sqlite3"),
        catalogue=pages(),
        spool=folder / "spool",
        limits=limits or Limits(),
    )
    made = create_app(config)
    if principals:
        made.state.callers = Named(**principals)
    return made


@asynccontextmanager
async def client_of(served_app: FastAPI, token: str = "") -> AsyncIterator[httpx.AsyncClient]:
    """Calls the app in this process; our mistakes are answered as they would be by a server."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = httpx.ASGITransport(app=served_app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
        yield client


class GatewayOf(Gateway):
    """The gateway's process for a world."""

    def __init__(self, world: World, **settings: str) -> None:
        super().__init__(world.platform.home, "127.0.0.1", free_ports(1)[0])
        self.name = f"{world.space}-gateway"
        self.output = world.platform.home.logs / f"{self.name}.log"
        reader = world.platform.dsn(READER, world.database)
        reader = f"{reader}&application_name={self.name}"
        self._environment = world.environment(self.name) | {"CAREPACT_POSTGRES": reader} | settings

    async def start(self) -> forked.Forked:
        """Start it as the supervisor starts its own."""
        words = ["carepact", "gateway", "--port", str(self.port)]
        return await forked.keep(words, self._home.path, self.output, self._environment)


@dataclass
class Served:
    """A world with a worker and a gateway. `answers` are all that the gateway said by these clients."""

    world: World
    kept: Kept
    answers: list[bytes] = field(default_factory=list)

    @property
    def part(self) -> GatewayOf:
        """What is served."""
        return cast(GatewayOf, self.kept.part)

    async def key(self, role: str, short: str = "", plan: str = "", **more: Any) -> str:
        """A key, in force when the gateway first sees it. Names are those of the shipped roster."""
        world, made = self.world, new_key()
        act = CredentialCreated(
            payer=world.payer(short).name if short else EVERY_PAYER,
            plan=f"{world.space}-{plan}" if plan else "",
            by="test",
            credential_id=made.credential_id,
            role=cast(Role, role),
            scopes=tuple(sorted(scopes_of(role))),
            secret_digest=secret_digest(world.keys.platform_key(PURPOSE), made.text),
            **more,
        )
        async with LogWriter(world.connections(), "carepact.test") as writer:
            await state(writer, world.roster, act)
        await until(lambda: self.has_key(made.credential_id), "the key is in its table")
        return made.text

    async def has_key(self, credential_id: str) -> bool:
        """Whether the table has it."""
        async with self.world.opened() as database:
            return bool(await database.fetchval("SELECT 1 FROM credential WHERE credential_id = $1", credential_id))

    async def command(self, *words: str, reading: bool = False, **more: str) -> Any:
        """`carepact ...` of this world, in this process; `reading` as the user of PostgreSQL that the gateway is."""
        environment = self.world.environment("command") | more
        if reading:
            environment["CAREPACT_POSTGRES"] = self.world.platform.dsn(READER, self.world.database)

        def run() -> Any:
            try:
                return CliRunner().invoke(app, words, env=environment)
            finally:
                to_stderr()  # or the next line logged goes to the command's own, which is closed

        return await asyncio.to_thread(run)

    @asynccontextmanager
    async def client(self, key: str = "", **options: Any) -> AsyncIterator[httpx.AsyncClient]:
        """A client with a key; what it is answered is remembered, headers and body."""

        async def heard(response: httpx.Response) -> None:
            self.answers.append(str(response.headers).encode() + await response.aread())

        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url, hooks = str(self.part.url), {"response": [heard]}
        async with httpx.AsyncClient(base_url=url, headers=headers, event_hooks=hooks, timeout=60, **options) as client:
            yield client


@asynccontextmanager
async def served(world: World, **settings: str) -> AsyncIterator[Served]:
    """A worker and a gateway of a world, with these settings of the environment, and their end."""
    kept = Kept(GatewayOf(world, **settings), lambda: None)
    async with world.working():
        try:
            await kept.start()
            yield Served(world, kept)
        finally:
            await kept.stop()
            print(GatewayOf.__name__, cast(GatewayOf, kept.part).output.read_text(errors="replace"))
