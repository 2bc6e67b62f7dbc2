"""Small JSON bodies: read only of callers who may ask, and only so many bytes.

A body that FastAPI reads itself is read before anybody was asked for a credential, however long it is.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from formats.schema_errors import pointer
from gateway.limits import chunks_of
from gateway.problems import Problem

BODY_BYTES = 64_000

M = TypeVar("M", bound=BaseModel)


def body_as(model: type[M]) -> Callable[[Request], Coroutine[Any, Any, M]]:
    """A dependency that gives the body as a model; it stands behind the rule of its route. No body is an empty one."""

    async def read(request: Request) -> M:
        raw = b"".join([chunk async for chunk in chunks_of(request, BODY_BYTES)])
        try:
            return model.model_validate_json(raw or b"{}")
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            place = pointer(tuple(first["loc"]))
            raise Problem(
                422, "bad_request", f"the body is not as the API has it ({first['type']})", pointer=place or None
            ) from None

    return read


def takes(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """The same for a route's `openapi_extra`."""
    schema = model.model_json_schema()
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}
