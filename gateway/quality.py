"""`/v1/quality`: what a tenant's files were like in a month, beside the month before."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from gateway.parts import Parts, parts_of
from gateway.principals import Principal, needs
from gateway.problems import RESPONSES, Problem
from projections.quality import quality

router = APIRouter(tags=["files"], responses=RESPONSES)


@router.get("/v1/quality", summary="The quality card of a month's files")
async def show_quality(
    caller: Annotated[Principal, Depends(needs("files:read"))],
    parts: Annotated[Parts, Depends(parts_of)],
    month: Annotated[
        str | None, Query(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", description="YYYY-MM; else the last with a run")
    ] = None,
    payer: Annotated[
        str | None, Query(max_length=64, description="for credentials that are not of one payer; others have their own")
    ] = None,
) -> dict[str, Any]:
    """Completeness, lateness, unknown codes, duplicates, rejects, volume and cost; shares as text."""
    asked = caller.payer or payer or ""
    if payer not in (None, asked) or asked not in parts.config.roster.names:
        raise Problem(404, "not_found", "there is no such payer, or it is not this credential's")
    async with (await parts.doors.pool()).acquire() as connection:
        card = await quality(connection, asked, caller.plan or None, month)
    if card is None:
        raise Problem(404, "not_found", "no files were taken in")
    return card
