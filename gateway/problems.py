"""What goes wrong, told by RFC 9457: one shape for every refusal, and never a word of what was sent.

The handlers here also answer for what FastAPI, the stores and our own mistakes raise; a caller sees no traceback and
no input. A refusal that may pass carries `Retry-After`.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import structlog
from aiokafka.errors import KafkaError
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from formats.schema_errors import pointer
from streams.keys import KeyStoreError
from streams.log_writer import NoSuchTopic, PartitionsDiffer

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:carepact:problem:"
AWAY_SECONDS = 5
PLACES = 8
TITLES = {
    "bad_request": "The request cannot be read",
    "unauthenticated": "No valid credential",
    "forbidden": "The credential does not allow this",
    "not_found": "There is no such thing",
    "method_not_allowed": "The method is not for this path",
    "cursor_invalid": "The cursor is not one of this feed",
    "cursor_expired": "The feed has begun anew",
    "too_many_endpoints": "No more endpoints for this subscriber",
    "address_refused": "Not an address that a feed is sent to",
    "too_large": "More than the gateway takes at once",
    "too_deep": "JSON with too many levels",
    "too_expanded": "Packed data that grows too much",
    "unsupported_media_type": "A media type that the gateway does not read",
    "unknown_format": "The format cannot be told",
    "bad_mapping": "The mapping cannot be used",
    "not_kept": "The record was not kept whole",
    "done_with": "The reject is no longer open",
    "digest_mismatch": "The body is not what its digest says",
    "too_slow": "The body did not come",
    "in_progress": "The same key is at work",
    "key_reused": "The key belongs to another request",
    "too_many_requests": "More requests than allowed",
    "busy": "The gateway is full",
    "away": "A store does not answer",
    "internal": "The mistake is ours",
}

log = structlog.get_logger(__name__)


class ProblemDocument(BaseModel):
    """A refusal, as RFC 9457 has it."""

    type: str = Field(description=f"`{TYPE}` and the code", examples=[f"{TYPE}forbidden"])
    title: str
    status: int
    detail: str = ""
    code: str = Field(description="stays the same from one version to the next")
    pointer: str | None = Field(default=None, description="JSON pointer to what is wrong, if it is in the body")
    request_id: str = Field(default="", description="as in the header X-Request-Id, and in the log")


class Problem(Exception):
    """Raised anywhere below a route, it becomes the response."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        pointer: str | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.pointer = status, code, detail, pointer
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)


def away(what: str) -> Problem:
    """A store that does not answer: nothing was accepted, or what was is a duplicate when it comes again."""
    return Problem(503, "away", f"{what} does not answer; what was sent may be sent again", retry_after=AWAY_SECONDS)


def response_of(problem: Problem, request_id: str = "") -> Response:
    """The problem as a response."""
    document: dict[str, Any] = {
        "type": TYPE + problem.code,
        "title": TITLES.get(problem.code, HTTPStatus(problem.status).phrase),
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    document |= {"pointer": problem.pointer} if problem.pointer is not None else {}
    document |= {"request_id": request_id} if request_id else {}
    return Response(orjson.dumps(document), problem.status, problem.headers, MEDIA_TYPE)


def handle_problems(app: FastAPI) -> None:
    """Have every refusal of the app answered by a problem. What nobody meant is answered around the app (`told`)."""

    def answer(request: Request, problem: Problem) -> Response:
        return response_of(problem, getattr(request.state, "request_id", ""))

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> Response:
        return answer(request, error)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        codes = {401: "unauthenticated", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}
        code = codes.get(error.status_code, "bad_request")
        return answer(request, Problem(error.status_code, code, "", headers=error.headers))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = pointer(tuple(first["loc"][1:]))
        detail = f"the {first['loc'][0]} parameter {place.removeprefix('/')} is not as the API has it ({first['type']})"
        return answer(request, Problem(422, "bad_request", detail, pointer=place or None))


def told(error: Exception) -> Problem:
    """What is told of an error that nobody meant: that a store is away, or that the mistake is ours."""
    match error:
        case Problem():
            return error
        case KeyStoreError():
            return away("the key store")
        case asyncpg.PostgresError() | asyncpg.InterfaceError():
            return away("the database")
        case KafkaError() | NoSuchTopic() | PartitionsDiffer():
            return away("the log")
        case TimeoutError() | asyncio.CancelledError() | OSError():
            return away("a store")
        case _:
            log.error("internal_error", error=type(error).__name__, places=places(error))
            return Problem(500, "internal", "it was noted; nothing was accepted that the answer would have named")


def places(error: BaseException) -> list[str]:
    """Where an error was raised, innermost last: without its words and without values, which may repeat input."""
    frames = traceback.extract_tb(error.__traceback__)[-PLACES:]
    return [f"{Path(frame.filename).parent.name}/{Path(frame.filename).name}:{frame.lineno}" for frame in frames]


_PROBLEM: dict[str, Any] = {
    "description": "a problem (RFC 9457)",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
}
RESPONSES: dict[int | str, dict[str, Any]] = {422: _PROBLEM, "default": _PROBLEM}
"""For the `responses` of a router."""
