"""`/v1/rejects`: what could not be taken in, where it was, why, and how to mend it.

A record itself is shown as far as the caller's role and scopes allow (gateway/masking.py). Each look at one is noted in
the operations topic before it is opened.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from contracts.events import PersonalDataRead
from gateway.masking import MOST, VIEWS, View, as_seen
from gateway.parts import Parts, parts_of
from gateway.principals import Principal, needs
from gateway.problems import RESPONSES, Problem
from projections.rejects import rejects_after, rejects_named
from streams.keys import KeyDestroyed
from streams.rejects import Kept, RejectBook
from streams.retrying import values_at
from streams.topics import rejects_topic

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


class RejectOpened(RejectShown):
    """One reject with its record. A conflict's record stands in the log, and is not shown here."""

    view: View
    format: str | None = None
    held_against: str | None = Field(default=None, description="schema of the event, with its version, or catalogue")
    record_bytes: int | None = Field(default=None, description="of the record as it came")
    record: str | None = None
    record_base64: str | None = Field(default=None, description="in its place, where it is no text")


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


@router.get("/v1/rejects/{reject_id}", summary="One reject, and its record as far as is allowed")
async def show_reject(
    reject_id: UUID,
    caller: Reader,
    parts: SomeParts,
    view: Annotated[View, Query(description="how much of the record; limited and full need rejects:open")] = "masked",
    purpose: Annotated[
        str, Query(min_length=1, max_length=200, pattern=r"^[^\x00]+$", description="in words that name no patient")
    ] = "to mend a rejected record",
) -> RejectOpened:
    """Place, code, reason and remedy, with the record masked, or as `view` asks. Every view but `none` is noted."""
    async with (await parts.doors.pool()).acquire() as connection:
        found = await rejects_named(connection, [reject_id])
    if not found or not caller.sees(found[0]["payer"], found[0]["plan"]):
        raise Problem(404, "not_found", "there is no such reject")
    _allow(caller, view)
    reject = found[0]
    if view == "none" or reject["topic"] != rejects_topic(reject["payer"]):
        return RejectOpened.model_validate(reject | {"view": "none"})
    holder = {"payer": reject["payer"], "plan": reject["plan"], "by": caller.by}
    said = f"{view}: {purpose}"
    await parts.doors.state(PersonalDataRead(**holder, what="reject", subject=str(reject_id), purpose=said))
    kept = await _kept(parts, reject)
    shown = {"view": view, "format": kept.event.format, "record_bytes": kept.event.raw_bytes}
    shown |= {"held_against": kept.event.held_against or None}
    return RejectOpened.model_validate(reject | shown | as_seen(kept.head + kept.raw, kept.event.format, view))


def _allow(caller: Principal, view: View) -> None:
    most = MOST.get(caller.role, "none")
    if "rejects:open" not in caller.scopes and VIEWS.index(most) > VIEWS.index("masked"):
        most = "masked"
    if VIEWS.index(view) > VIEWS.index(most):
        raise Problem(403, "forbidden", f"{caller} may see a record as {most} at most")


async def _kept(parts: Parts, reject: dict[str, Any]) -> Kept:
    """The record, opened."""
    at = reject["topic"], reject["partition"], reject["offset"]
    found = await values_at(parts.config.connections, [at])
    if at not in found:
        raise Problem(404, "not_found", "the record is not kept any more")
    try:
        return await asyncio.to_thread(lambda: RejectBook(reject["payer"], parts.doors.keys()).kept(found[at]))
    except KeyDestroyed:
        raise Problem(410, "erased", "the record named a person who was erased; it can be opened no more") from None
