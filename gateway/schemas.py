"""The catalogue of events, as `docs/reference/events` has it."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from gateway.parts import Parts, parts_of
from gateway.principals import Principal, needs
from gateway.problems import RESPONSES, Problem

router = APIRouter(tags=["schemas"], responses=RESPONSES)

Reader = Annotated[Principal, Depends(needs("schemas:read"))]


class Schema(BaseModel):
    """One JSON Schema of the catalogue."""

    name: str
    kind: str
    title: str
    href: str


class Schemas(BaseModel):
    """`inbound`: as sent; `stored`: as kept in a log; `emitted`: as given out; `envelope`: what is around them."""

    schemas: list[Schema]


@router.get("/v1/schemas", summary="List the schemas of events")
async def list_schemas(caller: Reader, parts: Annotated[Parts, Depends(parts_of)]) -> Schemas:
    """Every event that may be sent, is kept or is given out."""
    del caller
    return Schemas(schemas=[_named(name, page) for name, page in parts.config.catalogue.items() if _is_schema(name)])


@router.get(
    "/v1/schemas/{name:path}",
    response_model=dict[str, Any],
    summary="One JSON Schema",
    openapi_extra={"responses": {"200": {"content": {"application/schema+json": {}}}}},
)
async def show_schema(name: str, caller: Reader, parts: Annotated[Parts, Depends(parts_of)]) -> Response:
    """The schema of a name that the list gives, such as `inbound/EnrollmentChanged.v1`."""
    del caller
    page = parts.config.catalogue.get(f"{name}.json")
    if page is None:
        raise Problem(404, "not_found", "there is no such schema; /v1/schemas lists them")
    return Response(page, media_type="application/schema+json")


def _is_schema(name: str) -> bool:
    return name.endswith(".json")


def _named(file: str, page: str) -> Schema:
    name = file.removesuffix(".json")
    kind = name.partition("/")[0] if "/" in name else "envelope"
    return Schema(name=name, kind=kind, title=orjson.loads(page)["title"], href=f"/v1/schemas/{name}")
