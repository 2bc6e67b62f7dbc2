"""`/v1/endpoints`: where a subscriber has its feed sent, by Standard Webhooks, and what was sent.

All of it is read and written under the subscriber's own rights, by `gateway/endpoint_desk.py`. The deliverer begins
nothing for an endpoint that was changed, and goes on with it as it is now within a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gateway import cursors, signing
from gateway.bodies import body_as, takes
from gateway.cursors import BadCursor, opened
from gateway.endpoint_desk import ENDPOINTS_MAX, Desk, NewEndpoint, NoSuchEndpoint, TooMany
from gateway.feeds import refused, tenant_of
from gateway.parts import Parts, parts_of
from gateway.principals import Principal, needs
from gateway.problems import RESPONSES, Problem
from gateway.reaching import BadUrl
from projections import webhooks
from projections.feed import OtherHistory
from projections.tenancy import seen_by
from projections.webhooks import Endpoint

OVERLAP_HOURS, OVERLAP_HOURS_MAX = 24, 24 * 14
DELIVERIES, DELIVERIES_MAX = 100, 1_000

router = APIRouter(tags=["endpoints"], responses=RESPONSES)
Manager = Annotated[Principal, Depends(needs("endpoints:manage"))]
Shared = Annotated[Parts, Depends(parts_of)]


class Replay(BaseModel):
    """What is sent again: what came to the endpoint's turn since a time, or all behind a cursor; neither: all."""

    model_config = ConfigDict(extra="forbid")

    since: AwareDatetime | None = None
    after: Annotated[str | None, Field(max_length=1_000)] = None


class Rotation(BaseModel):
    """For how long the old secret signs too."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: Annotated[int, Field(ge=0, le=OVERLAP_HOURS_MAX)] = OVERLAP_HOURS


class EndpointDocument(BaseModel):
    """An endpoint. `secret` is there once, when it was made."""

    endpoint_id: UUID
    url: str
    event_types: list[str]
    at_once: int
    status: Literal["active", "paused", "disabled"]
    why: str
    failing_since: datetime | None
    old_secret_until: datetime | None
    created_at: datetime
    created_by: str
    secret: str | None = None


class Endpoints(BaseModel):
    """All of a subscriber's."""

    endpoints: list[EndpointDocument]


class Replayed(BaseModel):
    """How many events are sent again; null: all behind the cursor, which were not counted."""

    events: int | None


class Tested(BaseModel):
    """What came of a test."""

    event_id: UUID
    outcome: str
    http_status: int | None
    ms: int


class DeliveryDocument(BaseModel):
    """An event at an endpoint, with its attempts of the last 30 days."""

    event_id: UUID
    type: str
    status: Literal["waiting", "delivered", "failed", "gone"]
    attempts: int
    queued_at: datetime
    next_at: datetime | None
    done_at: datetime | None
    tries: list[dict[str, Any]]


class Deliveries(BaseModel):
    """Newest first; `before` leads to older ones, null where there are none."""

    deliveries: list[DeliveryDocument]
    before: int | None


@asynccontextmanager
async def desk(caller: Principal, parts: Parts) -> AsyncIterator[Desk]:
    """The caller's endpoints; what they refuse becomes a problem."""
    tenant = tenant_of(caller)
    key = await asyncio.to_thread(lambda: parts.doors.keys().platform_key(signing.PURPOSE))
    try:
        yield Desk(tenant, caller.by, parts.doors.writing, parts.doors.state, key, parts.config.webhooks_private)
    except NoSuchEndpoint:
        raise Problem(404, "not_found", "there is no such endpoint; /v1/endpoints lists them") from None
    except TooMany:
        raise Problem(409, "too_many_endpoints", f"there are {ENDPOINTS_MAX} already; delete one first") from None
    except BadUrl as error:
        raise Problem(422, "address_refused", str(error), pointer="/url") from None
    except (BadCursor, OtherHistory) as error:
        raise refused(error) from None


@router.post(
    "/v1/endpoints", status_code=201, summary="Have the feed sent to an address", openapi_extra=takes(NewEndpoint)
)
async def create_endpoint(
    caller: Manager, parts: Shared, asked: Annotated[NewEndpoint, Depends(body_as(NewEndpoint))]
) -> EndpointDocument:
    """The answer has the secret that signs, this once."""
    async with desk(caller, parts) as mine:
        made, secret = await mine.create(asked)
    return document(made, secret)


@router.get("/v1/endpoints", summary="List endpoints")
async def list_endpoints(caller: Manager, parts: Shared) -> Endpoints:
    """All of the caller's, oldest first."""
    async with desk(caller, parts) as mine, parts.doors.reading() as connection, seen_by(connection, mine.tenant):
        return Endpoints(endpoints=[document(each) for each in await webhooks.endpoints(connection, mine.tenant)])


@router.get("/v1/endpoints/{endpoint_id}", summary="One endpoint")
async def show_endpoint(endpoint_id: UUID, caller: Manager, parts: Shared) -> EndpointDocument:
    """As it stands now."""
    async with desk(caller, parts) as mine, mine.changing(endpoint_id) as (_, found):
        return document(found)


@router.delete("/v1/endpoints/{endpoint_id}", status_code=204, summary="Delete an endpoint")
async def delete_endpoint(endpoint_id: UUID, caller: Manager, parts: Shared) -> Response:
    """With all that is known of what it was sent."""
    async with desk(caller, parts) as mine:
        await mine.delete(endpoint_id)
    return Response(status_code=204)


@router.post("/v1/endpoints/{endpoint_id}/pause", summary="Send nothing for now")
async def pause_endpoint(endpoint_id: UUID, caller: Manager, parts: Shared) -> EndpointDocument:
    """What is emitted meanwhile is sent after it was resumed."""
    async with desk(caller, parts) as mine:
        return document(await mine.set_status(endpoint_id, "paused"))


@router.post("/v1/endpoints/{endpoint_id}/resume", summary="Send again")
async def resume_endpoint(endpoint_id: UUID, caller: Manager, parts: Shared) -> EndpointDocument:
    """From where it was, what waits first. A disabled endpoint is active again."""
    async with desk(caller, parts) as mine:
        return document(await mine.set_status(endpoint_id, "active"))


@router.post(
    "/v1/endpoints/{endpoint_id}/rotate",
    summary="Sign by a new secret",
    openapi_extra=takes(Rotation, required=False),
)
async def rotate_endpoint(
    endpoint_id: UUID, caller: Manager, parts: Shared, asked: Annotated[Rotation, Depends(body_as(Rotation))]
) -> EndpointDocument:
    """The answer has the new secret, this once; until the overlap ends deliveries have a signature by each."""
    async with desk(caller, parts) as mine:
        found, secret = await mine.rotate(endpoint_id, timedelta(hours=asked.overlap_hours))
    return document(found, secret)


@router.post("/v1/endpoints/{endpoint_id}/test", summary="Send a test")
async def test_endpoint(endpoint_id: UUID, caller: Manager, parts: Shared) -> Tested:
    """An event of the type `carepact.EndpointTested.v1`, sent now and once; the answer says what came of it."""
    with parts.tests_held.held() as take:
        take(1)
        async with desk(caller, parts) as mine, parts.reach() as reach:
            event_id, answer = await mine.test(reach, endpoint_id)
    return Tested(event_id=event_id, outcome=answer.outcome, http_status=answer.status, ms=answer.ms)


@router.post(
    "/v1/endpoints/{endpoint_id}/replay",
    summary="Send again what was sent",
    openapi_extra=takes(Replay, required=False),
)
async def replay_endpoint(
    endpoint_id: UUID, caller: Manager, parts: Shared, asked: Annotated[Replay, Depends(body_as(Replay))]
) -> Replayed:
    """Events keep their ids, so a receiver that drops ids it has seen handles each once."""
    if asked.since and asked.after:
        raise Problem(422, "bad_request", "give `since` or `after`", pointer="/since")
    async with desk(caller, parts) as mine:
        place = None
        if asked.after is not None:
            key = await asyncio.to_thread(lambda: parts.doors.keys().platform_key(cursors.PURPOSE))
            place = opened(key, mine.tenant, asked.after)
        return Replayed(events=await mine.replay(endpoint_id, asked.since, place))


@router.get("/v1/endpoints/{endpoint_id}/deliveries", summary="What was sent, and what waits")
async def list_deliveries(
    endpoint_id: UUID,
    caller: Manager,
    parts: Shared,
    status: Annotated[Literal["waiting", "delivered", "failed", "gone"] | None, Query()] = None,
    before: Annotated[int | None, Query(ge=0, le=2**62)] = None,
    limit: Annotated[int, Query(ge=1, le=DELIVERIES_MAX)] = DELIVERIES,
) -> Deliveries:
    """With every attempt of the last 30 days."""
    async with desk(caller, parts) as mine, mine.changing(endpoint_id) as (connection, _):
        rows = await webhooks.deliveries(connection, endpoint_id, status, before, limit)
    return Deliveries(
        deliveries=[delivery(row) for row in rows], before=rows[-1]["ordinal"] if len(rows) == limit else None
    )


def document(found: Endpoint, secret: str | None = None) -> EndpointDocument:
    """An endpoint as it is shown."""
    return EndpointDocument(
        endpoint_id=found.endpoint_id,
        url=found.url,
        event_types=list(found.event_types),
        at_once=found.at_once,
        status=found.status,
        why=found.why,
        failing_since=found.failing_since,
        old_secret_until=found.old_until,
        created_at=found.created_at,
        created_by=found.created_by,
        secret=secret,
    )


def delivery(row: Any) -> DeliveryDocument:
    """A delivery as it is shown."""
    same = {name: row[name] for name in ("event_id", "type", "status", "attempts", "queued_at", "done_at")}
    next_at = row["next_at"] if row["status"] == "waiting" else None
    return DeliveryDocument(**same, next_at=next_at, tries=orjson.loads(row["tries"]))
