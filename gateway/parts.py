"""What the routes share. A route takes it by `Annotated[Parts, Depends(parts_of)]`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from fastapi import Request

from gateway.acknowledgements import Acknowledgements
from gateway.credentials import PURPOSE, Credentials, looks_like_key
from gateway.doors import Doors
from gateway.idempotency import PURPOSE as IDEMPOTENCY
from gateway.idempotency import Idempotency
from gateway.limits import Budget, Limits, Rate
from gateway.metrics import Metrics
from gateway.noting import Accesses
from gateway.oidc import Issuers, Tokens
from gateway.open_streams import Streams
from gateway.principals import Principal
from gateway.problems import Problem
from gateway.reaching import Reach
from gateway.runs import Runs
from gateway.spool import Spool
from gateway.tails import Tails
from projections.credentials import in_force
from streams.connections import Connections
from streams.keys import WrappedKeyStore
from streams.roster import Roster
from streams.topics import Topic


@dataclass(frozen=True)
class Config:
    """What a gateway is made of. `catalogue` are the pages of `docs/reference/events`; `spool` a folder of its own."""

    roster: Roster
    connections: Connections
    declared: Sequence[Topic]
    open_keys: Callable[[], WrappedKeyStore]
    catalogue: Mapping[str, str]
    spool: Path
    issuers: Issuers = field(default_factory=Issuers)
    limits: Limits = field(default_factory=Limits)
    webhooks_private: bool = False  # endpoints may be anywhere, by plain HTTP too: for tests
    webhooks_ca_file: Path | None = None


class Callers:
    """Who calls, by key or token, and how often (`gateway.principals.Authenticates`)."""

    def __init__(self, doors: Doors, issuers: Issuers, limits: Limits) -> None:
        async def rows() -> Any:
            async with (await doors.pool()).acquire() as connection:
                return await in_force(connection)

        def now() -> float:
            return asyncio.get_running_loop().time()

        self._credentials = Credentials(rows, lambda: doors.keys().platform_key(PURPOSE))
        self._tokens = Tokens(issuers)
        self._rate = Rate(limits.requests_per_second, limits.burst, now)
        self._unknown = Rate(limits.unknown_per_second, limits.unknown_burst, now)

    async def principal(self, token: str | None, client: str) -> Principal:
        """See `Authenticates.principal`. Clients that show no valid credential are slowed down by their address.

        Those that show one are not, for behind a proxy all have one address.
        """
        if token is None:
            self._refuse(client, "send `Authorization: Bearer` with a key or a token")
        found = await self.holder(token)
        if found is None:
            self._refuse(client, "the credential is unknown, expired or revoked")
        self._rate.take(str(found))
        return found

    async def holder(self, token: str) -> Principal | None:
        """See `Authenticates.holder`."""
        return await (self._credentials if looks_like_key(token) else self._tokens).holder(token)

    def _refuse(self, client: str, why: str) -> NoReturn:
        self._unknown.take(client)
        raise Problem(401, "unauthenticated", why, headers={"WWW-Authenticate": 'Bearer realm="carepact"'})


class Parts:
    """What one gateway has."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.limits = config.limits
        self.doors = Doors(config.roster, config.connections, config.declared, config.open_keys)
        self.callers = Callers(self.doors, config.issuers, config.limits)
        self.idempotency = Idempotency(self.doors.writing, lambda: self.doors.keys().platform_key(IDEMPOTENCY))
        self.metrics = Metrics()
        self.bytes_held = Budget(config.limits.in_flight_bytes)
        self.files_held = Budget(config.limits.files_at_once)
        self.spool = Spool(config.spool)
        self.acknowledgements = Acknowledgements(config.spool)
        self.accesses = Accesses(self.doors.state)
        self.runs = Runs(self.doors, self.acknowledgements, self.metrics)
        self.tails = Tails(self.doors.reading, [payer.name for payer in config.roster.payers])
        self.streams = Streams(config.limits.streams)
        self.tests_held = Budget(config.limits.tests_at_once)

    def open(self) -> None:
        """Begin with an empty spool, and without acknowledgements that are too old."""
        self.spool.clear()
        self.acknowledgements.clear()

    def reach(self) -> Reach:
        """The way to endpoints that subscribers name."""
        return Reach(private=self.config.webhooks_private, ca_file=self.config.webhooks_ca_file)

    async def close(self) -> None:
        """Let go of everything."""
        await self.streams.close()
        await self.tails.close()
        await self.runs.close()
        await self.doors.close()


def parts_of(request: Request) -> Parts:
    """The parts of the app that serves a request."""
    parts: Parts = request.app.state.parts
    return parts
