"""`/v1/practice`: what a practice is sent back of a settled period, and what its month lacks to be billed.

A practice reads its own; its payer and operators name one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse

from contracts.feedback import feedback
from gateway.parts import Parts, parts_of
from gateway.principals import PAYER, PRACTICE, Principal, needs
from gateway.problems import RESPONSES, Problem
from gateway.settlement_pages import feedback_page
from projections.practice_patients import readiness_told
from projections.settlements import latest
from projections.tenancy import Tenant, seen_by

router = APIRouter(tags=["practices"], responses=RESPONSES)
Named = Annotated[
    str | None, Query(max_length=32, pattern=r"^[A-Za-z0-9-]+$", description="for credentials that are of no practice")
]
OfPayer = Annotated[str | None, Query(max_length=64, description="for credentials that are of no payer")]
Caller = Annotated[Principal, Depends(needs("practice:read"))]
Shared = Annotated[Parts, Depends(parts_of)]


@router.get("/v1/practice/feedback", summary="The feedback report of a settled period")
async def read_feedback(
    caller: Caller,
    parts: Shared,
    period: Annotated[int, Query(ge=1, le=99)],
    run: Literal["initial", "true-up"] | None = None,
    practice: Named = None,
    payer: OfPayer = None,
) -> dict[str, Any]:
    """Of the last settlement, or the last of one run: spending, use, quality, attribution, claims, sharing."""
    return await _report(caller, parts, *asked_of(caller, parts, practice, payer), period, run)


@router.get("/v1/practice/feedback.html", summary="The same as a page", response_class=HTMLResponse)
async def read_feedback_page(
    caller: Caller,
    parts: Shared,
    period: Annotated[int, Query(ge=1, le=99)],
    run: Literal["initial", "true-up"] | None = None,
    practice: Named = None,
    payer: OfPayer = None,
) -> HTMLResponse:
    """One HTML page with nothing to load; claim lines stand in the JSON alone."""
    report = await _report(caller, parts, *asked_of(caller, parts, practice, payer), period, run)
    return HTMLResponse(feedback_page(report))


@router.get("/v1/practice/readiness", summary="What a month lacks to be billable")
async def read_readiness(
    caller: Caller,
    parts: Shared,
    month: Annotated[str, Query(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", description="YYYY-MM")],
    practice: Named = None,
    payer: OfPayer = None,
) -> dict[str, Any]:
    """As told last by `carepact practice readiness --tell`: the activities shown, and episodes by what they lack."""
    of_payer, of_practice = asked_of(caller, parts, practice, payer)
    async with (await parts.doors.pool()).acquire() as connection:
        told = await readiness_told(connection, of_payer, of_practice, month)
    if told is None:
        raise Problem(404, "not_found", "nothing was told of this month")
    return told


def asked_of(caller: Principal, parts: Parts, practice: str | None, payer: str | None) -> tuple[str, str]:
    """The payer and practice that a caller asks of; 404 for what is not its own, as for what is not there."""
    of_payer = caller.payer or payer or ""
    of_practice = caller.practice if caller.role == PRACTICE else practice or ""
    others = (payer not in (None, of_payer)) or (practice not in (None, of_practice))
    if others or of_payer not in parts.config.roster.names or (caller.role == PAYER and caller.plan):
        raise Problem(404, "not_found", "there is no such practice, or it is not this credential's")
    if not of_practice:
        raise Problem(400, "bad_request", "name a practice")
    return of_payer, of_practice


async def _report(
    caller: Principal, parts: Parts, payer: str, practice: str, period: int, run: str | None
) -> dict[str, Any]:
    """A practice reads as the database's role of practices, which sees no other's rows."""
    async with (await parts.doors.pool()).acquire() as connection:
        if caller.role == PRACTICE:
            async with seen_by(connection, Tenant("practice", payer, "", practice)):
                found = await latest(connection, payer, practice, period, run)
        else:
            found = await latest(connection, payer, practice, period, run)
    if found is None:
        raise Problem(404, "not_found", "this period is not settled")
    return feedback(*found)
