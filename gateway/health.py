"""Whether the gateway lives, whether it can serve, and what it has counted."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from gateway.feed_metrics import of_streams, of_webhooks
from gateway.parts import Parts, parts_of
from gateway.principals import OPEN, Principal, needs
from gateway.problems import RESPONSES
from gateway.tails import STORE_ERRORS

ASK_SECONDS = 3

router = APIRouter(tags=["health"], responses=RESPONSES)


class Readiness(BaseModel):
    """Each store, and whether it answers. Without `postgres`, events are taken in, and known keys hold for a while."""

    kafka: bool
    postgres: bool
    keys: bool


@router.get("/health/live", dependencies=[Depends(OPEN)], summary="Whether it lives")
async def live() -> dict[str, str]:
    """200 as long as the process answers."""
    return {"status": "live"}


@router.get(
    "/health/ready",
    dependencies=[Depends(OPEN)],
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "a store does not answer"}},
    summary="Whether it can serve",
)
async def ready(parts: Annotated[Parts, Depends(parts_of)]) -> Response:
    """200 when Kafka, PostgreSQL and the key store answer, else 503."""

    async def kafka() -> None:
        await (await parts.doors.writer()).answers()

    async def postgres() -> None:
        async with (await parts.doors.pool()).acquire() as connection:
            await connection.fetchval("SELECT 1")

    async def keys() -> None:
        await asyncio.to_thread(lambda: parts.doors.keys().generation())

    found = {ask.__name__: await _answers(ask) for ask in (kafka, postgres, keys)}
    return Response(orjson.dumps(found), 200 if all(found.values()) else 503, media_type="application/json")


async def _answers(ask: Any) -> bool:
    try:
        async with asyncio.timeout(ASK_SECONDS):
            await ask()
    except Exception:
        return False
    return True


@router.get("/metrics", response_class=PlainTextResponse, summary="Counters, as Prometheus reads them")
async def metrics(
    caller: Annotated[Principal, Depends(needs("metrics:read"))], parts: Annotated[Parts, Depends(parts_of)]
) -> PlainTextResponse:
    """Requests by route and status, events by payer and result, streams, and what endpoints of webhooks wait for."""
    del caller
    lines = [*of_streams(parts.streams.all_open)]
    with suppress(*STORE_ERRORS):
        async with asyncio.timeout(ASK_SECONDS), parts.doors.reading() as connection:
            lines += [line async for line in of_webhooks(connection)]
    return PlainTextResponse(parts.metrics.text() + "\n".join(lines) + "\n")
