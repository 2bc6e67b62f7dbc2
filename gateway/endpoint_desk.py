"""One subscriber's endpoints, whoever acts for it: each change is an act in the operations topic, and its row.

The row is changed in a transaction that ends once Kafka has the act, so that there is no endpoint that the log does not
know. What a row cannot do is refused before.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field
from standardwebhooks import Webhook

from gateway import signing
from gateway.courier import deliver, test_event
from gateway.reaching import URL_MAX, Answer, Reach, check_url
from projections import webhooks
from projections.feed import Place, standing
from projections.tenancy import Tenant, written_by
from projections.webhooks import Endpoint
from streams.endpoint_acts import State, about

ENDPOINTS_MAX = 20
AT_ONCE, AT_ONCE_MAX = 8, 64
EVENT_TYPES_MAX = 50

Text = Annotated[str, Field(max_length=200, pattern=r"^[ -~]*$")]


class NewEndpoint(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, Field(max_length=URL_MAX, description="https, of a public address")]
    event_types: Annotated[list[Text], Field(max_length=EVENT_TYPES_MAX, description="only these; none: all")] = []
    at_once: Annotated[int, Field(ge=1, le=AT_ONCE_MAX, description="requests beside each other")] = AT_ONCE
    start: Annotated[
        Literal["beginning", "now"], Field(description="send what was emitted before, or only what comes")
    ] = "beginning"


class TooMany(Exception):
    """A subscriber has as many endpoints as it may have."""


class NoSuchEndpoint(Exception):
    """The subscriber has no such endpoint."""


@dataclass(frozen=True)
class Desk:
    """`writing` gives a connection that may write, `state` has an act in the operations topic, `by` is who acts."""

    tenant: Tenant
    by: str
    writing: Callable[[], Any]
    state: State
    key: bytes
    private: bool

    async def create(self, asked: NewEndpoint) -> tuple[Endpoint, str]:
        """A new endpoint, and its secret. `BadUrl`; `TooMany`."""
        check_url(asked.url, self.private)
        endpoint_id, secret = uuid4(), signing.new_secret()
        sealed = signing.sealed_secret(self.key, endpoint_id, secret)
        async with self.writing() as connection:
            place = await standing(connection) if asked.start == "now" else None
            async with written_by(connection, self.tenant):
                if len(await webhooks.endpoints(connection, self.tenant)) >= ENDPOINTS_MAX:
                    raise TooMany
                made = await webhooks.create(
                    connection, self.tenant, endpoint_id, asked.url, asked.event_types, asked.at_once, sealed, place,
                    self.by,
                )  # fmt: skip
                told = {"url": asked.url, "event_types": tuple(asked.event_types), "at_once": asked.at_once}
                await self._told(connection, endpoint_id, "created", sealed_secret=_text(sealed), **told)
        return made, secret

    @asynccontextmanager
    async def changing(self, endpoint_id: UUID) -> AsyncIterator[tuple[Any, Endpoint]]:
        """A transaction on an endpoint of the subscriber's; `NoSuchEndpoint`."""
        async with self.writing() as connection, written_by(connection, self.tenant):
            found = await webhooks.endpoint(connection, self.tenant, endpoint_id)
            if found is None:
                raise NoSuchEndpoint
            yield connection, found

    async def set_status(self, endpoint_id: UUID, status: Literal["active", "paused"]) -> Endpoint:
        """The endpoint, stopped or going on from where it was."""
        async with self.changing(endpoint_id) as (connection, _):
            found = await webhooks.set_status(connection, endpoint_id, status)
            await self._told(connection, endpoint_id, "resumed" if status == "active" else "paused")
        return found

    async def rotate(self, endpoint_id: UUID, overlap: timedelta) -> tuple[Endpoint, str]:
        """The endpoint with a new secret."""
        secret = signing.new_secret()
        async with self.changing(endpoint_id) as (connection, _):
            sealed = signing.sealed_secret(self.key, endpoint_id, secret)
            found = await webhooks.rotate(connection, endpoint_id, sealed, overlap)
            more = {"sealed_secret": _text(sealed), "old_until": found.old_until}
            await self._told(connection, endpoint_id, "rotated", **more)
        return found, secret

    async def delete(self, endpoint_id: UUID) -> None:
        """Forget it, with all that is known of what it was sent."""
        async with self.changing(endpoint_id) as (connection, _):
            await self._told(connection, endpoint_id, "deleted")
            await webhooks.delete(connection, endpoint_id)

    async def test(self, reach: Reach, endpoint_id: UUID) -> tuple[UUID, Answer]:
        """Send an event that says nothing, now."""
        async with self.changing(endpoint_id) as (connection, found):
            await self._told(connection, endpoint_id, "tested")
        event_id, at = uuid4(), datetime.now(UTC)
        signer = Webhook(signing.opened_secret(self.key, endpoint_id, found.secret))
        body = test_event(found, event_id, at)
        return event_id, await deliver(reach, found.url, [signer], event_id, at, body)

    async def replay(self, endpoint_id: UUID, since: datetime | None, place: Place | None) -> int | None:
        """Send again what came to its turn since a time, or all behind a place; how many, where that is known."""
        async with self.changing(endpoint_id) as (connection, _):
            count = None
            if since is not None:
                count = await webhooks.replay_since(connection, endpoint_id, since)
            else:
                await webhooks.replay_behind(connection, endpoint_id, place)
            await self._told(connection, endpoint_id, "replayed")
        return count

    async def _told(self, connection: Any, endpoint_id: UUID, change: str, **more: Any) -> None:
        act = about(self.tenant, self.by, endpoint_id, change, **more)
        await webhooks.acted(connection, endpoint_id, (await self.state(act)).offset)


def _text(sealed: bytes) -> str:
    return b64encode(sealed).decode()
