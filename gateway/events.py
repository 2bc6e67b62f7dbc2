"""`POST /v1/events`: one CloudEvent, an array of them, or one on each line; an answer for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
import orjson
from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel, Field

from formats.ndjson import read_one
from formats.reading import Place, Read, Reject
from gateway.doors import WayIn
from gateway.idempotency import Replayed
from gateway.limits import body_of
from gateway.parts import Parts, parts_of
from gateway.principals import Principal, needs
from gateway.problems import RESPONSES, Problem
from gateway.sending import CONFLICT, Taken, taken
from streams.door import FileSubmission

PLACE = "http"
"""In place of a file's name, of events that came by HTTP; the line is the place in the request, from 1."""

router = APIRouter(tags=["events"], responses=RESPONSES)


class EventResult(BaseModel):
    """What became of one event."""

    index: int = Field(description="its place in the request, from 0")
    result: Literal["accepted", "duplicate", "rejected"]
    event_id: str | None = Field(default=None, description="its id in the log; absent when rejected")
    code: str | None = Field(default=None, description="why it was rejected")
    pointer: str | None = Field(default=None, description="JSON pointer into the event, to what is wrong")
    reason: str | None = None
    remedy: str | None = None
    reject_id: str | None = Field(default=None, description="under which its bytes are kept, sealed")


class EventResults(BaseModel):
    """`accepted + duplicate + rejected = read`. `accepted`: the log has it, on every replica."""

    read: int
    accepted: int
    duplicate: int
    rejected: int
    results: list[EventResult]


_EVENT = {"$ref": "#/components/schemas/InboundEvent"}
BODY = {
    "requestBody": {
        "required": True,
        "description": "One event, an array, or one event on each line (NDJSON). Events without an id get one from "
        "their content, so that sending again is harmless. `Content-Encoding: gzip` is understood.",
        "content": {
            "application/cloudevents+json": {"schema": _EVENT},
            "application/cloudevents-batch+json": {"schema": {"type": "array", "items": _EVENT}},
            "application/json": {"schema": {"oneOf": [_EVENT, {"type": "array", "items": _EVENT}]}},
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
    }
}
_LINES = {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
_JSON = {"application/json", "application/cloudevents+json", "application/cloudevents-batch+json"}


@router.post(
    "/v1/events",
    status_code=202,
    response_model=EventResults,
    summary="Send events",
    openapi_extra=BODY,
    responses={202: {"description": "each event's own result; a rejected one stops no other"}},
)
async def send_events(
    request: Request,
    caller: Annotated[Principal, Depends(needs("events:write"))],
    parts: Annotated[Parts, Depends(parts_of)],
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200, pattern=r"^[!-~]+$")] = None,
) -> Response:
    """Check, seal and write events to the log of the credential's payer."""
    payer, plan = caller.tenant
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type not in _LINES | _JSON:
        raise Problem(415, "unsupported_media_type", f"send {', '.join(sorted(_JSON | _LINES))}")
    with parts.bytes_held.held() as take:
        body = await body_of(request, parts.limits, take)
        asked = (b"POST /v1/events", media_type.encode(), body)
        async with parts.idempotency.once(str(caller), idempotency_key, asked) as once:
            if once.answer is not None:
                return Replayed(once.answer)
            events = _lines(body) if media_type in _LINES else _elements(body)
            if len(events) > parts.limits.items:
                raise Problem(413, "too_large", f"more than {parts.limits.items} events; send them in parts")
            once.answer = await _sent(parts, payer, plan, events)
        return Response(once.answer, 202, media_type="application/json")


async def _sent(parts: Parts, payer: str, plan: str, events: list[bytes]) -> bytes:
    way = await parts.doors.way_in(payer, plan)
    publisher = await parts.doors.publisher(way, FileSubmission())
    found: list[bytes] = []
    counts = dict.fromkeys(("accepted", "duplicate", "rejected"), 0)
    async for chunk in taken(parts.doors, way, publisher, _read(events)):
        for one in chunk:
            if one.answer.rows:  # not a further copy of a broadcast
                counts[one.result] += 1
                found.append(_told(one, way))
    parts.metrics.events(payer, counts)
    head = orjson.dumps({"read": len(events), **counts})
    return head[:-1] + b',"results":[' + b",".join(found) + b"]}"


def _read(events: list[bytes]) -> Iterator[Read]:
    for number, event in enumerate(events, 1):
        yield read_one(event, Place(PLACE, number))


def _told(one: Taken, way: WayIn) -> bytes:
    answer, index = one.answer, one.answer.place.line - 1
    if not isinstance(answer, Reject):
        if not one.is_conflict:
            return b'{"index":%d,"result":"%s","event_id":"%s"}' % (
                index, one.result.encode(), answer.fact_id.encode(),
            )  # fmt: skip
        told: dict[str, Any] = {
            "code": "conflict",
            "pointer": "/id",
            "reason": CONFLICT[0],
            "remedy": CONFLICT[1],
        }
    else:
        told = {
            "code": answer.code,
            "pointer": answer.place.field or None,
            "reason": answer.reason,
            "remedy": answer.remedy,
            "reject_id": way.book.reject_id(answer, way.plan),
        }
    return orjson.dumps({"index": index, "result": "rejected", **told})


def _lines(body: bytes) -> list[bytes]:
    return [line for line in body.removeprefix(b"\xef\xbb\xbf").splitlines() if line.strip()]


def _elements(body: bytes) -> list[bytes]:
    """The events of a JSON document: itself, or the elements of an array, each as it was sent."""
    text = body.removeprefix(b"\xef\xbb\xbf").strip()
    if not text:
        raise Problem(400, "bad_request", "the body is empty")
    if not text.startswith(b"["):
        return [text]
    try:
        return [bytes(memoryview(each)) for each in _array.decode(text)]
    except RecursionError:
        raise Problem(400, "too_deep", "JSON with too many levels of objects and lists") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Problem(400, "bad_request", "the body is no JSON array; nothing was taken in") from None


_array = msgspec.json.Decoder(list[msgspec.Raw])
