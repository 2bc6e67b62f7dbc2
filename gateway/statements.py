"""`/v1/statements/{month}`: the caller's events of a month as a file, the same events and ids as its feed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from gateway.feeds import tenant_of
from gateway.parts import Parts, parts_of
from gateway.principals import Principal, needs
from gateway.problems import RESPONSES, Problem
from gateway.statement_files import MEDIA, write_statement
from projections.feed import emitted_within

router = APIRouter(tags=["statements"], responses=RESPONSES)

BODIES: dict[int | str, dict[str, Any]] = {
    200: {"content": {media.partition(";")[0]: {"schema": {"type": "string"}} for media in MEDIA.values()}}
}


@router.get("/v1/statements/{month}", response_model=None, responses=BODIES, summary="Your events of a month as a file")
async def read_statement(
    caller: Annotated[Principal, Depends(needs("statements:read"))],
    parts: Annotated[Parts, Depends(parts_of)],
    month: Annotated[str, Path(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$", description="YYYY-MM, UTC")],
    form: Annotated[Literal["csv", "parquet"], Query(alias="format")] = "csv",
) -> Response:
    """Every event of the caller's own whose time is in the month. 404 for a month that is not over yet."""
    if not is_over(month):
        raise Problem(404, "not_found", "the month is not over; read what there is of it by /v1/feed")
    tenant = tenant_of(caller)
    place = parts.spool.place(f"statement.{form}")
    path = place.__enter__()
    try:
        async with parts.doors.connected() as connection:
            await write_statement(emitted_within(connection, tenant, month), path, form)
    except BaseException:
        place.__exit__(None, None, None)
        raise
    done = BackgroundTask(place.__exit__, None, None, None)
    return FileResponse(path, media_type=MEDIA[form], filename=f"{month}.{form}", background=done)


def is_over(month: str, now: datetime | None = None) -> bool:
    """Whether a month has ended, in UTC."""
    return f"{(now or datetime.now(UTC)):%Y-%m}" > month
