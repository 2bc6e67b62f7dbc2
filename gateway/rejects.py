"""`/v1/rejects`: what could not be taken in, where it was, why, and how to mend it. No record itself is shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from gateway.parts import Parts, parts_of
from gateway.principals import Principal, needs
from gateway.problems import RESPONSES, Problem
from projections.rejects import rejects_after, rejects_named

LISTED = 100

router = APIRouter(tags=["rejects"], responses=RESPONSES)

Reader = Annotated[Principal, Depends(needs("rejects:read"))]
SomeParts = Annotated[Parts, Depends(parts_of)]


class RejectShown(BaseModel):
    """One reject. Its bytes stay sealed."""

    reject_id: UUID
    payer: str
    plan: str
    status: Literal["open", "retried", "dropped"]
    code: str
    file: str | None = Field(description="`http` where it came by HTTP")
    line: int | None
    field: str | None
    reason: str
    remedy: str
    rows: int
    event_id: UUID | None
    known_at: datetime
    why: str | None = Field(description="of one dropped or retried")


class RejectsShown(BaseModel):
    """Oldest first; `next` is what to give as `after` for the page behind, and null on the last."""

    rejects: list[RejectShown]
    next: UUID | None


@router.get("/v1/rejects", summary="List rejects")
async def list_rejects(
    caller: Reader,
    parts: SomeParts,
    status: Annotated[Literal["open", "retried", "dropped"] | None, Query()] = None,
    code: Annotated[str | None, Query(max_length=64, pattern=r"^[a-z0-9_]+$")] = None,
    after: Annotated[UUID | None, Query(description="the last of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = LISTED,
) -> RejectsShown:
    """Those of the credential's payer and plan, oldest first."""
    asked = caller.payer or None, caller.plan or None, status, code, after, limit + 1
    async with (await parts.doors.pool()).acquire() as connection:
        found = await rejects_after(connection, *asked)
    page = [RejectShown.model_validate(each) for each in found[:limit]]
    return RejectsShown(rejects=page, next=page[-1].reject_id if len(found) > limit else None)


@router.get("/v1/rejects/{reject_id}", summary="One reject")
async def show_reject(reject_id: UUID, caller: Reader, parts: SomeParts) -> RejectShown:
    """Place, code, reason and remedy."""
    async with (await parts.doors.pool()).acquire() as connection:
        found = await rejects_named(connection, [reject_id])
    if not found or not caller.sees(found[0]["payer"], found[0]["plan"]):
        raise Problem(404, "not_found", "there is no such reject")
    return RejectShown.model_validate(found[0])
