"""`/v1/files`: whole files of any format, streamed; each is a run with progress and a result."""

from __future__ import annotations

import asyncio
import re
from contextlib import ExitStack, suppress
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from contracts.events import PersonalDataRead
from contracts.events.operations import QualityCard
from formats.detect import READERS
from formats.x12_acknowledge import Kind
from gateway.forms import MEDIA_TYPE, file_with_mapping
from gateway.limits import chunks_of
from gateway.parts import Parts, parts_of
from gateway.principals import Principal, needs
from gateway.problems import RESPONSES, Problem
from gateway.runs import COUNTS, Run
from gateway.spool import received
from projections.file_runs import file_run, file_runs

X12 = "application/edi-x12"
WAIT_SECONDS = 20
WAIT_SECONDS_MAX = 120
LISTED = 100
_WAIT = re.compile(r"(?:^|[\s,;])wait=([0-9]{1,4})(?:$|[\s,;])")

router = APIRouter(tags=["files"], responses=RESPONSES)

Reader = Annotated[Principal, Depends(needs("files:read"))]
SomeParts = Annotated[Parts, Depends(parts_of)]


class FileRun(BaseModel):
    """One file. `accepted + duplicate + rejected = read`, in rows; which were duplicates is known when `exact`.

    `running`: what is counted as accepted is in the log, the rest not yet. `broken`: send the same bytes again.
    """

    run_id: str
    payer: str
    plan: str
    status: Literal["running", "complete", "broken"]
    format: str = Field(description="as asked for; auto: told by the content")
    shift_years: int = 0
    size_bytes: int | None = None
    read: int
    accepted: int
    duplicate: int
    rejected: int
    events: dict[str, int] | None = Field(default=None, description="facts written, by family")
    exact: bool
    quality: QualityCard | None = Field(default=None, description="what its rows were like")
    acknowledgements: list[Kind] = Field(default=[], description="of X12; kept for 30 days")
    problem: str | None = Field(default=None, description="why it broke off")
    started_at: datetime
    finished_at: datetime | None = None


class FileRuns(BaseModel):
    """Newest first."""

    runs: list[FileRun]


BODY = {
    "requestBody": {
        "required": True,
        "description": "The bytes of one file, packed by gzip or zip or not; its format is told by its content. Or a "
        "form: a mapping, and the table that it reads.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["mapping", "file"],
                    "properties": {
                        "mapping": {"type": "string", "description": "TOML or JSON; it stands first"},
                        "file": {"type": "string", "format": "binary"},
                    },
                }
            },
        },
    }
}


@router.post(
    "/v1/files",
    status_code=202,
    response_model=FileRun,
    summary="Send a file",
    openapi_extra=BODY,
    responses={202: {"description": "the run, ended or not: `Location` is where it is told"}},
)
async def send_file(
    request: Request,
    response: Response,
    caller: Annotated[Principal, Depends(needs("files:write"))],
    parts: SomeParts,
    format_: Annotated[str, Query(alias="format", description=f"auto, {', '.join(READERS)}")] = "auto",
    shift_years: Annotated[int, Query(ge=-200, le=200, description="move every day by whole years")] = 0,
    validate: Annotated[
        Literal["syntax", "full"], Query(description="full: X12 and FHIR held against their own schemas too")
    ] = "syntax",
    file_name: Annotated[
        str | None,
        Header(max_length=255, description="of CMS files, whose names say a month or a year; it is not kept"),
    ] = None,
    content_digest: Annotated[str | None, Header(max_length=500, description="`sha-256=:...:`, RFC 9530")] = None,
    prefer: Annotated[str | None, Header(max_length=200, description="`wait=N`: answer within N seconds")] = None,
) -> FileRun:
    """Take a file in. The same bytes sent again go on where a run broke off, and otherwise are all duplicates.

    Answers when every row is in the log and counted exactly, or after `Prefer: wait=N` seconds (20).
    """
    payer, plan = caller.tenant
    content_type = request.headers.get("content-type", "")
    is_form = content_type.partition(";")[0].strip().lower() == MEDIA_TYPE
    if format_ != "auto" and (is_form or format_ not in READERS):
        raise Problem(422, "unknown_format", f"format is auto, {', '.join(READERS)}; with a mapping leave it out")
    if is_form and content_digest:
        raise Problem(422, "bad_request", "Content-Digest is of a file that is sent by itself")
    with ExitStack() as stack:
        stack.enter_context(parts.files_held.held())(1)
        way = await parts.doors.way_in(payer, plan, shift_years)
        path = stack.enter_context(parts.spool.place(file_name or ""))
        chunks, by = chunks_of(request, parts.limits.file_bytes), None
        if is_form:
            by, chunks = await file_with_mapping(chunks, content_type)
        spooled = await received(chunks, path, content_digest)
        held = stack.pop_all()  # the run lets go of it
        try:
            run = await parts.runs.begin(caller, way, spooled, file_name or "", format_, validate, held, by)
        except BaseException:
            held.close()
            raise
    await _waited(run, prefer)
    if run.problem is not None and run.status == "broken":
        raise run.problem
    response.headers["Location"] = f"/v1/files/{run.run_id}"
    return _shown(parts, run.document())


@router.get("/v1/files", summary="List runs of files")
async def list_files(
    caller: Reader, parts: SomeParts, limit: Annotated[int, Query(ge=1, le=1_000)] = LISTED
) -> FileRuns:
    """The last runs, newest first, those under way among them."""
    now = {run.run_id: run.document() for run in parts.runs.of(caller)[:limit]}
    async with (await parts.doors.pool()).acquire() as connection:
        stored = await file_runs(connection, caller.payer or None, caller.plan or None, limit)
    found = [*now.values(), *(_as_document(row) for row in stored if row["run_id"] not in now)]
    found.sort(key=lambda run: run["started_at"], reverse=True)
    return FileRuns(runs=[_shown(parts, run) for run in found[:limit]])


@router.get("/v1/files/{run_id}", summary="One run: its progress or its result")
async def show_file(run_id: str, caller: Reader, parts: SomeParts) -> FileRun:
    """How far it has come, or how it ended."""
    return _shown(parts, await _found(run_id, caller, parts))


@router.get(
    "/v1/files/{run_id}/acknowledgements/{kind}",
    response_class=Response,
    summary="The answer to an X12 file",
    responses={200: {"content": {X12: {}}, "description": "X12 interchanges"}},
)
async def show_acknowledgement(
    run_id: str,
    kind: Kind,
    caller: Annotated[Principal, Depends(needs("acknowledgements:read"))],
    parts: SomeParts,
) -> Response:
    """TA1 of each interchange, 999 of each group, 277CA of its claims. Reading a 277CA is noted."""
    run = await _found(run_id, caller, parts)
    keys = await asyncio.to_thread(lambda: parts.doors.keys().payer_keys(run["payer"]))
    answer = parts.acknowledgements.read(run_id, kind, keys)
    if answer is None:
        raise Problem(404, "not_found", "the run has no such acknowledgement, or not yet, or no longer")
    if kind == "277ca":
        holder = {"payer": run["payer"], "plan": run["plan"], "by": caller.by}
        seen = PersonalDataRead(
            **holder, what="acknowledgement", subject=run_id, purpose="the sender fetched its 277CA"
        )
        await parts.doors.state(seen)
    return StreamingResponse(answer, media_type=X12)


async def _found(run_id: str, caller: Principal, parts: Parts) -> dict[str, Any]:
    """The document of a run that the caller may see."""
    run = parts.runs.find(run_id)
    document = run.document() if run else None
    if document is None and re.fullmatch(r"[0-9a-zA-Z-]{1,64}", run_id):
        async with (await parts.doors.pool()).acquire() as connection:
            row = await file_run(connection, run_id)
        document = _as_document(row) if row else None
    if document is None or not caller.sees(document["payer"], document["plan"]):
        raise Problem(404, "not_found", "there is no such run")
    return document


def _shown(parts: Parts, document: dict[str, Any]) -> FileRun:
    return FileRun.model_validate(document | {"acknowledgements": parts.acknowledgements.kinds(document["run_id"])})


async def _waited(run: Run, prefer: str | None) -> None:
    asked = _WAIT.search(prefer or "")
    seconds = min(int(asked[1]), WAIT_SECONDS_MAX) if asked else WAIT_SECONDS
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await run.over.wait()
            await run.settled.wait()


def _as_document(row: dict[str, Any]) -> dict[str, Any]:
    """A run that this process does not have: one that is not complete has broken off, or another gateway has it."""
    status = "complete" if row["complete"] else "broken"
    counts = {name: row[f"rows_{name}"] for name in COUNTS}
    names = ("run_id", "payer", "plan", "format", "shift_years", "exact", "quality", "started_at", "finished_at")
    same = {name: row[name] for name in names}
    return same | counts | {"status": status}
