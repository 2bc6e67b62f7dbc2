"""`/v1/access`: who read personal data, for whoever may see that."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from gateway.parts import Parts, parts_of
from gateway.principals import Principal, needs
from gateway.problems import RESPONSES
from projections.access import reads

LISTED = 100

router = APIRouter(tags=["access"], responses=RESPONSES)


class Access(BaseModel):
    """One read of personal data."""

    event_id: UUID
    at: datetime
    by: str = Field(description="the principal, or the operator and the user of the machine")
    what: str
    subject: str = Field(description="a member's token, the id of a reject or a run; - where it was of many members")
    purpose: str
    payer: str = Field(description="- where it was of every payer's members")
    plan: str


class AccessLog(BaseModel):
    """Oldest first; `next` is what to give as `after` for the page behind, and null on the last."""

    reads: list[Access]
    next: UUID | None


@router.get("/v1/access", summary="Who read personal data")
async def read_access(
    caller: Annotated[Principal, Depends(needs("access:read"))],
    parts: Annotated[Parts, Depends(parts_of)],
    after: Annotated[UUID | None, Query(description="the last of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = LISTED,
) -> AccessLog:
    """Reads of the credential's payer and plan, by anybody: its own callers, operators, those who broke the glass."""
    asked = caller.payer or None, caller.plan or None, after, limit + 1
    async with (await parts.doors.pool()).acquire() as connection:
        found = [Access.model_validate(each) async for each in reads(connection, *asked)]
    page = found[:limit]
    return AccessLog(reads=page, next=page[-1].event_id if len(found) > limit else None)
