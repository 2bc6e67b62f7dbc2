"""The gateway: HTTP before the door. `create_app(config)` makes it; `carepact gateway` runs it.

A router is added in `ROUTERS`; each of its routes declares who may call it (gateway/principals.py), or the app is not
made. What routes share they get by `Depends(parts_of)`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import structlog
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import (
    accesses,
    endpoints,
    events,
    feeds,
    files,
    health,
    individual,
    members,
    practices,
    quality,
    rejects,
    reports,
    resending,
    schemas,
    statements,
    streams,
    subscriber_page,
)
from gateway.parts import Config, Parts
from gateway.principals import require_rules, routes, rules
from gateway.problems import ProblemDocument, handle_problems, response_of, told

ROUTERS: Sequence[APIRouter] = (
    events.router,
    files.router,
    feeds.router,
    streams.router,
    reports.router,
    statements.router,
    individual.router,
    subscriber_page.router,
    endpoints.router,
    practices.router,
    quality.router,
    rejects.router,
    resending.router,
    members.router,
    accesses.router,
    schemas.router,
    health.router,
)
DESCRIPTION = """What payers and employers send, and what they get back.

The payer and plan are those of the credential; nothing in a path or a body can name another. What is accepted is in
the log on every replica. Every refusal is a problem as RFC 9457 has it, and names no patient.
"""

log = structlog.get_logger(__name__)


def create_app(config: Config) -> FastAPI:
    """An app with everything but a server. It reaches its stores when it is first asked for something."""
    parts = Parts(config)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        parts.open()
        try:
            yield
        finally:
            await parts.close()

    app = App(
        inbound_event(config),
        title="carepact gateway",
        version="1",
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.parts, app.state.callers, app.state.accesses = parts, parts.callers, parts.accesses
    for router in ROUTERS:
        app.include_router(router)
    handle_problems(app)
    require_rules(app)
    app.add_middleware(Noting, parts=parts)
    return app


class App(FastAPI):
    """Its OpenAPI document has what no model of a route has: an event as sent, a problem, and each route's scope."""

    def __init__(self, inbound: dict[str, Any], **words: Any) -> None:
        super().__init__(**words)
        self._inbound = inbound

    def openapi(self) -> dict[str, Any]:
        """OpenAPI 3.1, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            schemas = document["components"]["schemas"]
            schemas |= {"InboundEvent": self._inbound, "ProblemDocument": ProblemDocument.model_json_schema()}
            for route in routes(self.routes):
                if isinstance(route, APIRoute) and route.include_in_schema:
                    asked = [{"bearer": [scope]} for scope in rules(route) if scope]
                    for method in route.methods or ():
                        document["paths"][route.path_format][method.lower()]["security"] = asked
            self.openapi_schema = document
        return self.openapi_schema


def inbound_event(config: Config) -> dict[str, Any]:
    """The envelope as sent, as a part of another document."""
    schema: dict[str, Any] = orjson.loads(config.catalogue["envelope.inbound.json"])
    return {word: value for word, value in schema.items() if not word.startswith("$")}


class Noting:
    """Gives every request an id, counts it, and logs it by its route's pattern: a path or a query may name people.

    It answers for errors too: a server that hears of one would log its words, which may repeat what was sent.
    """

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app, self._parts = app, parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, request_id = time.perf_counter(), 0, uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"cache-control", b"no-store"),
                ]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            problem = told(error)
            if not status:
                await response_of(problem, request_id)(scope, receive, noting)
        finally:
            seconds = time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if route != "none" else "any"
            self._parts.metrics.request(method, route, status, seconds)
            if not route.startswith("/health/"):
                said = {"caller": str(scope["state"].get("principal", "")), "request_id": request_id}
                log.info("request", method=method, route=route, status=status, ms=round(seconds * 1e3, 1), **said)
