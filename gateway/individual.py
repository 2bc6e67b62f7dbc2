"""`/v1/individual-feed`: a person's return to work, for the recipient whom the person's authorization names.

Whether it holds is asked at every attempt, and each delivery is noted of the person before it is answered. When it was
revoked or is over, the same id answers `revoked` and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel

from contracts.events import PersonalDataRead
from gateway.cursors import BadCursor, opened, sealed
from gateway.feeds import refused
from gateway.parts import Parts, parts_of
from gateway.principals import Principal, needs
from gateway.problems import RESPONSES, Problem
from projections.feed import OtherHistory, Place, standing
from projections.individual import Told, told_after, told_one
from projections.tenancy import Tenant
from streams import individual

PURPOSE = "individual feed cursors"
MOST_AT_ONCE = 100

router = APIRouter(tags=["individual"], responses=RESPONSES)

Recipient = Annotated[Principal, Depends(needs("individual:read"))]
Shared = Annotated[Parts, Depends(parts_of)]


class Individual(BaseModel):
    """One event while its authorization holds; its id and `revoked` when it does not."""

    id: UUID
    state: Literal["told", "revoked"]
    event: dict[str, Any] | None = None


class IndividualPage(BaseModel):
    """A page; `next` is the cursor behind it."""

    events: list[Individual]
    next: str
    caught_up: bool


@router.get("/v1/individual-feed", response_model=IndividualPage, summary="Read returns to work you may be told of")
async def read_individual(
    caller: Recipient,
    parts: Shared,
    after: Annotated[str | None, Query(max_length=1_000, description="`next` of the page before; none: all")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_AT_ONCE)] = MOST_AT_ONCE,
) -> Response:
    """Events under authorizations that name the caller, in the order they were made."""
    tenant = Tenant("employer", caller.payer, caller.plan)
    key = await asyncio.to_thread(lambda: parts.doors.keys().platform_key(PURPOSE))
    async with parts.doors.reading() as connection:
        now = await standing(connection)
        try:
            place = Place(now.history) if after is None else opened(key, tenant, after)
            if place.history != now.history:
                raise OtherHistory
        except (BadCursor, OtherHistory) as error:
            raise refused(error) from None
        rows = await told_after(connection, caller.payer, caller.plan, place.made_by, limit + 1)
    page = rows[:limit]
    at = Place(now.history, page[-1].number if page else place.made_by)
    said = {"next": sealed(key, tenant, at), "caught_up": len(rows) <= limit}
    return _answered({"events": await _told(parts, caller, page), **said})


@router.get("/v1/individual-feed/{event_id}", response_model=Individual, summary="Ask for one of them again")
async def read_one(caller: Recipient, parts: Shared, event_id: UUID) -> Response:
    """The event while its authorization holds, or `revoked`."""
    async with parts.doors.reading() as connection:
        row = await told_one(connection, caller.payer, caller.plan, event_id)
    if row is None:
        raise Problem(404, "not_found", "nothing of this id was told to you")
    return _answered((await _told(parts, caller, [row]))[0])


async def _told(parts: Parts, caller: Principal, rows: Sequence[Told]) -> list[dict[str, Any]]:
    """Each row as it may be told now, its delivery noted before."""
    today = datetime.now(UTC).date()
    answers: list[dict[str, Any]] = []
    for row in rows:
        event = None
        if row.standing(caller.plan, today) == "in_force":
            event = await asyncio.to_thread(individual.opened, parts.doors.keys(), row)
        if event is None:
            answers.append({"id": str(row.event_id), "state": "revoked"})
            continue
        holder = {"payer": caller.payer, "plan": caller.plan, "by": caller.by}
        purpose = f"told under authorization {row.authorization_id}"
        await parts.doors.state(PersonalDataRead(**holder, what="return_to_work", subject=row.member, purpose=purpose))
        answers.append({"id": str(row.event_id), "state": "told", "event": orjson.Fragment(event)})
    return answers


def _answered(document: Any) -> Response:
    return Response(orjson.dumps(document), media_type="application/json")
