"""`/v1/members`: what is held under one member's token; for the payer's own, and for who must break the glass."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from contracts.events import PersonalDataRead
from gateway.parts import Parts, parts_of
from gateway.principals import BREAK_GLASS, Principal, needs
from gateway.problems import RESPONSES, Problem
from projections.members import member_shown
from projections.positions import NOW, AsOf, BadAsOf
from projections.tenancy import Tenant, seen_by

OWN = "the payer's own work"

router = APIRouter(tags=["members"], responses=RESPONSES)


class MemberShown(BaseModel):
    """What is computed of a member, under the token. Nothing of it names the person; it is personal all the same."""

    member: str
    facts: dict[str, int] = Field(description="in the log, by type")
    episodes: list[dict[str, Any]]
    payments: list[dict[str, Any]]
    at_risk: list[dict[str, Any]] = Field(description="paid months that would come back as things stand")


@router.get("/v1/members/{member}", summary="What is held under a member's token")
async def show_member(
    member: Annotated[str, Path(pattern=r"^[a-z2-7]{26}$")],
    caller: Annotated[Principal, Depends(needs("members:read"))],
    parts: Annotated[Parts, Depends(parts_of)],
    reason: Annotated[
        str, Query(max_length=500, pattern=r"^[^\x00]*$", description="why; who breaks the glass must say it")
    ] = "",
    as_of: Annotated[
        str,
        Query(max_length=300, description="what was known then: a time with zone, a day, or log positions as 3:118"),
    ] = "",
    on: Annotated[
        date | None, Query(description="episodes that run on a day of service, payments effective through it")
    ] = None,
) -> MemberShown:
    """Facts by type, episodes and payments. Each read is noted, with its reason, before anything is shown."""
    said, then = reason.strip(), _point(as_of, caller.payer)
    if caller.role == BREAK_GLASS and not said:
        raise Problem(422, "reason_required", "say why the glass is broken; it is noted", pointer="/query/reason")
    tenant = Tenant("break_glass" if caller.role == BREAK_GLASS else "payer", caller.payer, caller.plan, reason=said)
    holder = {"payer": caller.payer, "plan": caller.plan, "by": caller.by}
    async with (await parts.doors.pool()).acquire() as connection:
        placed = await then.placed(connection)
        async with seen_by(connection, tenant):
            found = await member_shown(connection, member, placed, on)
    if not found["facts"]:
        raise Problem(404, "not_found", "there is no such member")
    await parts.doors.state(PersonalDataRead(**holder, what="member", subject=member, purpose=said or OWN))
    return MemberShown.model_validate({"member": member} | found)


def _point(text: str, payer: str) -> AsOf:
    try:
        return AsOf.parse(text, payer or None) if text else NOW
    except BadAsOf as error:
        raise Problem(422, "bad_as_of", str(error), pointer="/query/as_of") from None
