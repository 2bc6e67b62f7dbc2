"""`/v1/rejects/...`: rejected records sent again as they were, or corrected, or dropped with a reason.

Each act is told to the operations topic, and the table follows it: what was retried is shown as open for a moment yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from contracts.events import OperatorAct, RejectDropped
from contracts.events.operations import Words
from formats.detect import READERS, read_files
from formats.reading import Read, Reject
from formats.table import UnknownLayout
from gateway.bodies import body_as, takes
from gateway.doors import Doors, WayIn
from gateway.idempotency import Replayed
from gateway.limits import chunks_of
from gateway.parts import Parts, parts_of
from gateway.principals import Principal, needs
from gateway.problems import RESPONSES, Problem
from gateway.runs import known_format
from gateway.sending import CONFLICT, taken
from gateway.spool import received
from projections.rejects import RETRIED, rejects_named
from streams.door import Submission
from streams.keys import KeyStore
from streams.publishing import Published
from streams.resending import Resent, Way, as_they_were, corrected
from streams.retrying import NotKept

AT_ONCE_MAX = 500
CORRECTED_AT_ONCE_MAX = 100

router = APIRouter(tags=["rejects"], responses=RESPONSES)

Writer = Annotated[Principal, Depends(needs("rejects:write"))]
SomeParts = Annotated[Parts, Depends(parts_of)]
Key = Annotated[str | None, Header(min_length=1, max_length=200, pattern=r"^[!-~]+$")]
Row = dict[str, Any]


class Asked(BaseModel):
    """Which rejects are to be sent again."""

    model_config = ConfigDict(extra="forbid")

    reject_ids: list[UUID] = Field(min_length=1, max_length=AT_ONCE_MAX)


class Why(BaseModel):
    """Why a record will not be sent again."""

    model_config = ConfigDict(extra="forbid")

    why: Words


class Refusal(BaseModel):
    """What is still wrong with a record that was sent again."""

    code: str
    field: str | None
    reason: str
    remedy: str
    reject_id: str | None = Field(default=None, description="under which it is kept now; a conflict stands in the log")


class RejectSent(BaseModel):
    """What became of one reject. `open`: it was refused again, and stays."""

    reject_id: str
    status: Literal["retried", "open"]
    refusals: list[Refusal] = []


class RejectsSent(BaseModel):
    """`accepted + duplicate + rejected = read`, in rows of what was sent; results in the order of their refusal."""

    read: int
    accepted: int
    duplicate: int
    rejected: int
    results: list[RejectSent]


class RejectDone(BaseModel):
    """A reject that was dropped."""

    reject_id: str
    status: Literal["dropped"] = "dropped"
    why: str


@router.post(
    "/v1/rejects/retry",
    response_model=RejectsSent,
    summary="Send rejects again as they were",
    openapi_extra=takes(Asked),
)
async def retry(
    caller: Writer, parts: SomeParts, asked: Annotated[Asked, Depends(body_as(Asked))], idempotency_key: Key = None
) -> Response:
    """In the order in which they were refused, through the same door: after a mapping, a plan or a reader was mended.

    Each counts by itself. None is sent when one of them was not kept whole.
    """
    request = b"POST /v1/rejects/retry", *(each.bytes for each in asked.reject_ids)
    async with parts.idempotency.once(str(caller), idempotency_key, request) as once:
        if once.answer is not None:
            return Replayed(once.answer, 200)
        rows = await _rows(parts, caller, asked.reject_ids)
        opened = _opened(parts, caller, rows[0])
        try:
            sent = [each async for each in as_they_were(parts.config.connections, rows, opened)]
        except NotKept as refused:
            raise Problem(422, "not_kept", f"nothing was sent: {refused}") from None
        once.answer = await _answer(sent, parts, rows[0])
    return Response(once.answer, 200, media_type="application/json")


BODY = {
    "requestBody": {
        "required": True,
        "description": "The corrected record or records, as a file of any format.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post(
    "/v1/rejects/corrections", response_model=RejectsSent, summary="Send corrected records", openapi_extra=BODY
)
async def correct(
    request: Request,
    caller: Writer,
    parts: SomeParts,
    reject_id: Annotated[
        list[UUID],
        Query(min_length=1, max_length=CORRECTED_AT_ONCE_MAX, description="those in whose place the body stands"),
    ],
    format_: Annotated[str, Query(alias="format", description=f"auto, {', '.join(READERS)}")] = "auto",
) -> Response:
    """The body goes through the door in place of the rejects named; when all of it is taken they are done with."""
    if format_ != "auto" and format_ not in READERS:
        raise Problem(422, "unknown_format", f"format is auto, {', '.join(READERS)}")
    rows = await _rows(parts, caller, reject_id)
    with parts.files_held.held() as take, parts.spool.place("") as path:
        take(1)
        spooled = await received(chunks_of(request, parts.limits.body_bytes), path, None)
        await known_format(spooled, format_)
        items = read_files([path], format_)
        opened = _opened(parts, caller, rows[0])
        try:
            sent = await corrected(parts.config.connections, rows, items, opened)
        except UnknownLayout:
            detail = "what follows in the body is of no format that can be told"
            raise Problem(422, "unknown_format", detail) from None
        except NotKept as refused:
            raise Problem(422, "bad_request", str(refused)) from None
        answer = await _answer([sent], parts, rows[0])
    return Response(answer, 200, media_type="application/json")


@router.post(
    "/v1/rejects/{reject_id}/drop",
    response_model=RejectDone,
    summary="Drop a reject, with a reason",
    openapi_extra=takes(Why),
)
async def drop(
    reject_id: UUID, caller: Writer, parts: SomeParts, asked: Annotated[Why, Depends(body_as(Why))]
) -> RejectDone:
    """It will not be sent again. It stays in the list, with the reason and who decided it."""
    (row,) = await _rows(parts, caller, [reject_id])
    why = asked.why.strip()
    if not why:
        raise Problem(422, "bad_request", "the reason is empty", pointer="/why")
    if row["status"] == RETRIED:
        raise Problem(409, "done_with", "it was sent again already")
    await parts.doors.state(RejectDropped(**_who(caller, row), reject_id=row["reject_id"], why=why))
    return RejectDone(reject_id=row["reject_id"], why=why)


@dataclass(frozen=True)
class _OfCaller:
    """A tenant's way in, used by a caller (`streams.resending.Way`)."""

    doors: Doors
    way: WayIn
    keys: KeyStore
    who: dict[str, Any]

    async def send(self, items: Iterable[Read], submission: Submission, refused: Callable[[Reject], None]) -> Published:
        """An id that the log has with other content counts as rejected here, for so it will be."""
        publisher = await self.doors.publisher(self.way, submission)
        publisher.refused = refused
        published = publisher.published
        async for chunk in taken(self.doors, self.way, publisher, items):
            for one in chunk:
                if one.is_conflict:
                    rows = one.answer.rows
                    published.accepted, published.rejected = published.accepted - rows, published.rejected + rows
                    refused(Reject(one.answer.place, "conflict", *CONFLICT))
        return published

    async def state(self, act: OperatorAct) -> None:
        """See `streams.resending.Way.state`."""
        await self.doors.state(act)


def _opened(parts: Parts, caller: Principal, row: Row) -> Callable[[int], AbstractAsyncContextManager[Way]]:
    @asynccontextmanager
    async def opened(shift_years: int) -> AsyncIterator[Way]:
        way = await parts.doors.way_in(row["payer"], row["plan"], shift_years)
        keys = await asyncio.to_thread(parts.doors.keys)
        yield _OfCaller(parts.doors, way, keys, _who(caller, row))

    return opened


def _who(caller: Principal, row: Row) -> dict[str, Any]:
    return {"payer": row["payer"], "plan": row["plan"], "by": caller.by}


async def _rows(parts: Parts, caller: Principal, ids: Sequence[UUID]) -> list[Row]:
    """The rejects of these ids, in the order in which they were refused: each there, the caller's, of one tenant."""
    async with (await parts.doors.pool()).acquire() as connection:
        found = await rejects_named(connection, list(dict.fromkeys(ids)))
    seen = {row["reject_id"] for row in found if caller.sees(row["payer"], row["plan"])}
    if lacking := [each for each in ids if str(each) not in seen]:
        raise Problem(404, "not_found", f"there is no reject {lacking[0]}")
    if len({(row["payer"], row["plan"]) for row in found}) > 1:
        raise Problem(422, "bad_request", "they are of several payers or plans; send those of each apart")
    return found


async def _answer(sent: Sequence[Resent], parts: Parts, row: Row) -> bytes:
    way = await parts.doors.way_in(row["payer"], row["plan"])
    counts = dict.fromkeys(("read", "accepted", "duplicate", "rejected"), 0)
    results: list[RejectSent] = []
    for each in sent:
        counts = {name: count + getattr(each.published, name) for name, count in counts.items()}
        refusals = [] if each.taken else [_told(way, reject) for reject in each.refusals]
        status: Literal["retried", "open"] = "retried" if each.taken else "open"
        results += [RejectSent(reject_id=one, status=status, refusals=refusals) for one in each.ids]
    parts.metrics.events(row["payer"], {name: count for name, count in counts.items() if name != "read"})
    return RejectsSent(**counts, results=results).model_dump_json().encode()


def _told(way: WayIn, reject: Reject) -> Refusal:
    return Refusal(
        code=reject.code,
        field=reject.place.field or None,
        reason=reject.reason,
        remedy=reject.remedy,
        reject_id=None if reject.code == "conflict" else way.book.reject_id(reject, way.plan),
    )
