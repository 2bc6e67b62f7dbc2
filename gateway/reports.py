"""`/v1/reports`: what was released to an employer, as a page, document, table or FHIR; a practice's quality as FHIR.

An employer's report is made from the events of one release and nothing else: no figure is computed for a reader.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, Field

from contracts.events import DraftPriced
from gateway import measure_reports, report_pages
from gateway.pages import page
from gateway.parts import Parts, parts_of
from gateway.principals import Principal, needs
from gateway.problems import RESPONSES, Problem
from projections.practice_quality import settled_quality
from projections.released import drafts, figures, releases

router = APIRouter(tags=["reports"], responses=RESPONSES)

Form = Literal["json", "html", "csv", "fhir"]
Reader = Annotated[Principal, Depends(needs("reports:read"))]
Shared = Annotated[Parts, Depends(parts_of)]
BODIES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/html": {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
            "application/fhir+json": {"schema": {"type": "object"}},
        }
    }
}


class ReleaseLine(BaseModel):
    """One release; `from` and `to` are of the period that was new in it."""

    release: int
    as_of: str
    first_on: str = Field(serialization_alias="from")
    last_on: str = Field(serialization_alias="to")
    href: str


class Releases(BaseModel):
    """An employer's releases, the newest first."""

    releases: list[ReleaseLine]


@router.get("/v1/reports", summary="List what was released to you")
async def list_reports(caller: Reader, parts: Shared) -> Releases:
    """Each release of the employer's plan, the newest first."""
    async with parts.doors.reading() as connection:
        found = await releases(connection, caller.payer, caller.plan)
    return Releases(
        releases=[
            ReleaseLine(
                release=one.ordinal,
                as_of=one.window_on.isoformat(),
                first_on=one.from_on.isoformat(),
                last_on=one.through_on.isoformat(),
                href=f"/v1/reports/{one.ordinal}",
            )
            for one in found
        ]
    )


@router.get("/v1/reports/{release}", response_model=None, responses=BODIES, summary="Read one released report")
async def read_report(
    caller: Reader,
    parts: Shared,
    release: Annotated[str, Path(pattern=r"^(latest|[1-9][0-9]{0,4})$", description="its number, or `latest`")],
    form: Annotated[Form, Query(alias="format", description="`html` prints")] = "json",
) -> Response:
    """The employer's four steps in cancer care: each figure as it left, or `withheld` with its interval."""
    payer, plan = caller.payer, caller.plan
    async with parts.doors.reading() as connection:
        found = await releases(connection, payer, plan)
        chosen = next((one for one in found if release in ("latest", str(one.ordinal))), None)
        if chosen is None:
            raise Problem(404, "not_found", "there is no such release of yours; /v1/reports lists them")
        events = await figures(connection, payer, plan, chosen.ordinal)
    titles = {one.name: one.title for one in parts.doors.roster.payer(payer).plans}
    report = report_pages.document(plan, titles.get(plan, plan), chosen, events)
    match form:
        case "html":
            return page(report_pages.as_html(report))
        case "csv":
            return Response(report_pages.as_csv(report), media_type="text/csv; charset=utf-8")
        case "fhir":
            written = await asyncio.to_thread(measure_reports.of_employer, report, payer)
            return Response(written, media_type=measure_reports.FHIR)
        case _:
            return Response(report_pages.as_json(report), media_type="application/json")


class DraftLine(BaseModel):
    """What a plan would have paid for its people under a draft of its terms, up to the last funding call that moved."""

    release: int = Field(description="in whose window it was told")
    sheet_version: str
    sheet_digest: str
    amount_cents: int | None = Field(description="null: withheld")


class Drafts(BaseModel):
    """The drafts that were priced for an employer, one in each window, the newest first."""

    drafts: list[DraftLine]


@router.get("/v1/drafts", summary="List what drafts of your terms would have cost")
async def list_drafts(caller: Reader, parts: Shared) -> Drafts:
    """Each draft that `carepact draft` told of the employer's plan. Another one waits for the next window."""
    async with parts.doors.reading() as connection:
        found = await drafts(connection, caller.payer, caller.plan, DraftPriced.type_name())
    return Drafts(
        drafts=[
            DraftLine(
                release=one.ordinal,
                sheet_version=one.sheet_version,
                sheet_digest=one.sheet_digest,
                amount_cents=one.amount_cents,
            )
            for one in found
        ]
    )


@router.get(
    "/v1/measure-reports",
    response_model=None,
    responses={200: {"content": {"application/fhir+json": {"schema": {"type": "object"}}}}},
    summary="Read your settled quality measures as FHIR",
)
async def read_measures(caller: Annotated[Principal, Depends(needs("measures:read"))], parts: Shared) -> Response:
    """A practice's quality by period, of the last run of each, as Da Vinci VBPR MeasureReports."""
    if not caller.practice:
        raise Problem(403, "forbidden", "quality measures are a practice's")
    async with parts.doors.reading() as connection:
        settled = await settled_quality(connection, caller.payer, caller.practice)
    if not settled:
        raise Problem(404, "not_found", "no period of yours is settled yet")
    written = await asyncio.to_thread(measure_reports.of_practice, caller.payer, caller.practice, settled)
    return Response(written, media_type=measure_reports.FHIR)
