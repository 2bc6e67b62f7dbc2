"""`/me`: a subscriber's own page, without scripts: events, endpoints, attempts, reports, statements, keys.

What it shows and does is what `/v1` shows and does, under the same rights.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from gateway import cursors, endpoints, reports, statements
from gateway.endpoint_desk import NewEndpoint
from gateway.event_examples import EXAMPLES, TYPES
from gateway.pages import page, rendered
from gateway.parts import Parts, parts_of
from gateway.principals import EMPLOYER, OPEN, Principal
from gateway.problems import RESPONSES, Problem
from gateway.reaching import URL_MAX
from gateway.sessions import COOKIE, PLACE, SIGN_IN, TOKEN_MAX, PageNeeds, form_of, sealed, session_key, signed_in
from projections import webhooks
from projections.credentials import in_force
from projections.feed import standing
from projections.released import Release, releases
from projections.tenancy import seen_by

DELIVERIES, MONTHS, KEYS_MAX = 20, 24, 20
DONE = {
    "test": "A test was sent.",
    "pause": "Nothing is sent to it until it is resumed.",
    "resume": "It is sent to again.",
    "replay": "What came since is sent again; events keep their ids.",
    "delete": "The endpoint is forgotten, with all that it was sent.",
    "signed-out": "You are signed out.",
}
"""What a page says after a form, by the word in its address."""

router = APIRouter(tags=["page"], responses=RESPONSES, include_in_schema=False)
Reader = Annotated[Principal, Depends(PageNeeds("page:read"))]
Manager = Annotated[Principal, Depends(PageNeeds("endpoints:manage"))]
Shared = Annotated[Parts, Depends(parts_of)]


@router.get(SIGN_IN, dependencies=[Depends(OPEN)])
async def show_sign_in() -> Response:
    """The form."""
    return page(rendered("sign_in.html", refused=""))


@router.post(SIGN_IN, dependencies=[Depends(OPEN)])
async def sign_in(request: Request, parts: Shared) -> Response:
    """Take a key; the browser is led to the page of its holder."""
    token = (await form_of(request)).get("key", "")
    client = request.client.host if request.client else ""
    try:
        if not token or len(token) > TOKEN_MAX:
            raise Problem(401, "unauthenticated", "give a key")
        await request.app.state.callers.principal(token, client)
    except Problem as problem:
        if problem.status != 401:
            raise
        return page(rendered("sign_in.html", refused="This key opens nothing."), 401)
    return signed_in(sealed(await session_key(parts), token, time.time()), request, PLACE)


@router.post("/me/sign-out")
async def sign_out(caller: Reader) -> Response:
    """Forget the key."""
    del caller
    response = Response(status_code=303, headers={"Location": SIGN_IN})
    response.delete_cookie(COOKIE, path=PLACE, httponly=True, samesite="strict")
    return response


@router.get(PLACE)
async def show(
    caller: Reader, parts: Shared, done: Annotated[str, Query(max_length=20, pattern=r"^[a-z-]*$")] = ""
) -> Response:
    """The page."""
    return page(await _page(caller, parts, DONE.get(done, "")))


async def _page(caller: Principal, parts: Parts, said: str = "", secret: str = "") -> str:
    async with endpoints.desk(caller, parts) as mine, parts.doors.reading() as connection:
        place = await standing(connection)
        keys = [row for row in await in_force(connection) if _holder(row) == _own(caller)]
        released: list[Release] | None = None
        if caller.role == EMPLOYER:
            released = await releases(connection, caller.payer, caller.plan)
        hooks: list[dict[str, Any]] | None = None
        if "endpoints:manage" in caller.scopes:
            async with seen_by(connection, mine.tenant):
                hooks = [
                    {**endpoints.document(found).model_dump(), "deliveries": await _deliveries(connection, found)}
                    for found in await webhooks.endpoints(connection, mine.tenant)
                ]
        key = await asyncio.to_thread(lambda: parts.doors.keys().platform_key(cursors.PURPOSE))
        return rendered(
            "subscriber.html",
            who=str(caller),
            said=said,
            secret=secret,
            cursor=cursors.sealed(key, mine.tenant, place),
            individual="individual:read" in caller.scopes,
            types=[_type(name, parts.config.catalogue) for name in TYPES[caller.role]],
            endpoints=hooks,
            releases=released,
            months=months(datetime.now(UTC).date()),
            keys=keys[:KEYS_MAX],
        )


async def _deliveries(connection: Any, found: webhooks.Endpoint) -> list[dict[str, Any]]:
    rows = await webhooks.deliveries(connection, found.endpoint_id, None, None, DELIVERIES)
    return [endpoints.delivery(row).model_dump() for row in rows]


def _own(caller: Principal) -> tuple[str, str, str, str]:
    return caller.role, caller.payer, caller.plan, caller.practice


def _holder(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] for name in ("role", "payer", "plan", "practice"))


def _type(name: str, catalogue: Mapping[str, str]) -> dict[str, str]:
    schema = orjson.loads(catalogue[f"emitted/{name}.v1.json"])
    written = orjson.dumps(EXAMPLES[name], option=orjson.OPT_INDENT_2).decode()
    title = schema.get("description", schema["title"]).partition("\n")[0]
    return {"name": name, "title": title, "example": written, "schema": catalogue[f"emitted/{name}.v1.json"]}


def months(today: date) -> list[str]:
    """The months that are over, the newest first: on 2 February 2026 from 2026-01 back."""
    last = today.year * 12 + today.month - 2
    return [f"{month // 12}-{month % 12 + 1:02d}" for month in range(last, last - MONTHS, -1)]


@router.get("/me/statement")
async def statement(
    caller: Annotated[Principal, Depends(PageNeeds("statements:read"))],
    parts: Shared,
    month: Annotated[str, Query(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")],
    form: Annotated[Literal["csv", "parquet"], Query(alias="format")] = "csv",
) -> Response:
    """A statement, as `/v1/statements` gives it."""
    return await statements.read_statement(caller, parts, month, form)


@router.get("/me/reports/{release}")
async def report(
    caller: Annotated[Principal, Depends(PageNeeds("reports:read"))],
    parts: Shared,
    release: Annotated[str, Path(pattern=r"^[1-9][0-9]{0,4}$")],
) -> Response:
    """A released report, as `/v1/reports` gives it."""
    return await reports.read_report(caller, parts, release, "html")


@router.post("/me/endpoints")
async def add_endpoint(caller: Manager, parts: Shared, request: Request) -> Response:
    """Add one; the page shows its secret, this once."""
    form = await form_of(request)
    only = [f"carepact.{name}.v1" for name in TYPES[caller.role] if f"only-{name}" in form]
    asked = NewEndpoint(url=form.get("url", "")[:URL_MAX], event_types=only)
    async with endpoints.desk(caller, parts) as mine:
        _, secret = await mine.create(asked)
    return page(await _page(caller, parts, "The endpoint was added.", secret), 201)


@router.post("/me/endpoints/{endpoint_id}/{act}")
async def act_on_endpoint(
    caller: Manager,
    parts: Shared,
    request: Request,
    endpoint_id: UUID,
    act: Literal["test", "pause", "resume", "replay", "rotate", "delete"],
) -> Response:
    """Do it, and show the page."""
    match act:
        case "test":
            tested = await endpoints.test_endpoint(endpoint_id, caller, parts)
            said = f"A test was sent: {tested.outcome}, {tested.ms} ms."
            return page(await _page(caller, parts, said))
        case "pause":
            await endpoints.pause_endpoint(endpoint_id, caller, parts)
        case "resume":
            await endpoints.resume_endpoint(endpoint_id, caller, parts)
        case "rotate":
            renewed = await endpoints.rotate_endpoint(endpoint_id, caller, parts, endpoints.Rotation())
            said = f"It signs by a new secret; the old one signs too for {endpoints.OVERLAP_HOURS} hours."
            return page(await _page(caller, parts, said, renewed.secret or ""))
        case "delete":
            await endpoints.delete_endpoint(endpoint_id, caller, parts)
        case "replay":
            since = _day((await form_of(request)).get("since", ""))
            await endpoints.replay_endpoint(endpoint_id, caller, parts, endpoints.Replay(since=since))
    return Response(status_code=303, headers={"Location": f"{PLACE}?done={act}"})


def _day(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    except ValueError:
        raise Problem(422, "bad_request", "give a day, YYYY-MM-DD") from None
