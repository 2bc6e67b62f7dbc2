"""`/v1/feed`: what was emitted to the caller, each event once by its cursor, byte for byte as on its topic.

An employer reads its released reports and nothing else; a payer and a practice their payments and settlements.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from gateway.cursors import PURPOSE, BadCursor, opened, sealed
from gateway.parts import Parts, parts_of
from gateway.principals import EMPLOYER, PAYER, PRACTICE, Principal, needs
from gateway.problems import RESPONSES, Problem
from projections.feed import OtherHistory, emitted_after
from projections.tenancy import Role, Tenant

READ_AT_ONCE = 500
MOST_AT_ONCE = 2_000
_ROLES: dict[str, Role] = {PAYER: "payer", EMPLOYER: "employer", PRACTICE: "practice"}

router = APIRouter(tags=["feeds"], responses=RESPONSES)


class FeedPage(BaseModel):
    """A page of a feed; `next` is the cursor behind it, also where the page is empty."""

    events: list[dict[str, Any]]
    next: str
    caught_up: bool = Field(description="nothing more is there now; ask again later with `next`")


@router.get("/v1/feed", response_model=FeedPage, summary="Read what was emitted to you")
async def read_feed(
    caller: Annotated[Principal, Depends(needs("feed:read"))],
    parts: Annotated[Parts, Depends(parts_of)],
    after: Annotated[str | None, Query(max_length=1_000, description="`next` of the page before; none: all")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_AT_ONCE)] = READ_AT_ONCE,
) -> Response:
    """Events of the credential's own, in the order of each subject. 410 when the feed begins anew: read all again."""
    tenant = tenant_of(caller)
    key = await asyncio.to_thread(lambda: parts.doors.keys().platform_key(PURPOSE))
    try:
        place = None if after is None else opened(key, tenant, after)
        async with (await parts.doors.pool()).acquire() as connection:
            page = await emitted_after(connection, tenant, place, limit)
    except (BadCursor, OtherHistory) as error:
        raise refused(error) from None
    rest = orjson.dumps({"next": sealed(key, tenant, page.at), "caught_up": page.caught_up})
    events = b",".join(each.event for each in page.events)
    return Response(b'{"events":[' + events + b"]," + rest[1:], media_type="application/json")


def refused(error: BadCursor | OtherHistory) -> Problem:
    """What a reader is told of a cursor that leads nowhere."""
    if isinstance(error, BadCursor):
        return Problem(400, "cursor_invalid", "give `next` of a page that this credential's holder was given")
    return Problem(410, "cursor_expired", "the tables were made anew; read from the beginning, events keep their ids")


def tenant_of(caller: Principal) -> Tenant:
    """Whose rows a caller's feed has; `Problem` 403 for one that subscribes to none."""
    role = _ROLES.get(caller.role)
    if role is None or not caller.payer:
        raise Problem(403, "forbidden", f"nothing is emitted to a credential of the role {caller.role}")
    return Tenant(role, caller.payer, caller.plan, caller.practice)
