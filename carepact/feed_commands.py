"""`carepact feed`: feeds as their subscribers get them, and the endpoints that they are sent to."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
import orjson
import typer

from carepact.local.errors import TryAgain
from carepact.noting import PURPOSE, noted
from carepact.platform_commands import Home, Json, reported, say, settings_of
from carepact.read_commands import NotFound, Refused, Usage, known_payer
from carepact.read_commands import run as run_reading
from carepact.settings import Settings, acting, connection, open_key_store
from contracts.events import OperatorAct
from gateway import cursors, signing
from gateway.endpoint_desk import Desk, NewEndpoint, NoSuchEndpoint, TooMany
from gateway.endpoints import OVERLAP_HOURS, delivery, document
from gateway.feeds import MOST_AT_ONCE
from gateway.principals import EMPLOYER, PAYER, PRACTICE, principal_name
from gateway.reaching import BadUrl, Reach
from projections import webhooks
from projections.feed import OtherHistory, Place, emitted_after, told_to
from projections.tenancy import Role, Tenant
from streams.log_writer import LogWriter, Position
from streams.operations import state
from streams.topics import OPERATOR

app = typer.Typer(no_args_is_help=True, help="Feeds as subscribers get them, and the endpoints they are sent to.")

LOOK_SECONDS = 0.5
_ROLES: dict[str, Role] = {PAYER: "payer", EMPLOYER: "employer", PRACTICE: "practice"}

Subscriber = Annotated[
    str, typer.Argument(help="Such as payer:medicare, practice:medicare/P1, employer:employers/lowcountry-retail.")
]
Endpoint = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Its id, as `carepact feed endpoints` names it.")]
After = Annotated[str | None, typer.Option(help="A cursor: only what is behind it.", show_default=False)]


@app.command("list")
def list_command(
    payer: Annotated[str | None, typer.Option(help="Only this payer's.", show_default=False)] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Subscribers, how many events each was told, and how many endpoints it has. With --json one object a line.

    Example: carepact feed list --payer medicare
    """

    async def show(database: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        counted = await told_to(database)
        sent_to = [each.tenant for each in await webhooks.endpoints(database)]
        everybody = {*counted, *sent_to, *_declared(settings)}
        for tenant in sorted(everybody, key=lambda one: (one.payer, one.role, one.plan, one.practice)):
            if payer in (None, tenant.payer):
                events, endpoints = counted.get(tenant, 0), sent_to.count(tenant)
                row = {"subscriber": _named(tenant), **asdict(tenant), "events": events, "endpoints": endpoints}
                del row["reason"]
                _line(row, as_json, f"{_named(tenant):<44} {events:>9,} events  {endpoints} endpoints")

    run_reading(home, show)


@app.command("tail")
def tail_command(
    subscriber: Subscriber,
    after: After = None,
    follow: Annotated[bool, typer.Option(help="Go on with what comes, until Ctrl-C.")] = False,
    purpose: Annotated[str, typer.Option(help="Why it is read; that it is read is noted.")] = PURPOSE,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """A feed, one event a line, byte for byte as its subscriber gets it; then the cursor, on standard error.

    With --json each line is `{"event", "next"}`: the event, and the cursor behind it.

    Example: carepact feed tail practice:medicare/P1 --after "$CURSOR"
    """

    async def show(database: Any, settings: Settings) -> None:
        tenant = _tenant(settings, subscriber)
        key = _platform_key(settings, cursors.PURPOSE)
        place = _place(key, tenant, after)
        if tenant.role != EMPLOYER:
            await noted(settings, "feed", tenant.payer, None, purpose, subscriber=_named(tenant))
        while True:
            try:
                page = await emitted_after(database, tenant, place, MOST_AT_ONCE)
            except OtherHistory:
                raise Refused("the tables were made anew; read from the beginning, events keep their ids") from None
            for at, event in page.events:
                line = b'{"event":%s,"next":"%s"}' % (event, cursors.sealed(key, tenant, at).encode())
                sys.stdout.buffer.write((line if as_json else event) + b"\n")
            sys.stdout.buffer.flush()
            place = page.at
            if page.caught_up:
                if not follow:
                    break
                await asyncio.sleep(LOOK_SECONDS)
        say(f"next: {cursors.sealed(key, tenant, place)}")

    run_reading(home, show)


@app.command("replay")
def replay_command(
    endpoint: Endpoint,
    after: After = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"], help="UTC: what came to its turn from then on."),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Have an endpoint sent again what it was sent: since a time, behind a cursor, or from the beginning.

    Example: carepact feed replay 3f0c9a52-6c0e-4c55-9f2b-0c1d2e3f4a5b --since 2026-01-31
    """
    if after and since:
        raise typer.BadParameter("give --after or --since")

    async def replay(desk: Desk, of: UUID, settings: Settings) -> dict[str, Any]:
        place = _place(_platform_key(settings, cursors.PURPOSE), desk.tenant, after)
        events = await desk.replay(of, since.replace(tzinfo=UTC) if since else None, place)
        return {"endpoint_id": str(of), "events": events}

    told = _change(home, endpoint, replay)
    count = "all behind the cursor" if told["events"] is None else f"{told['events']} events"
    _line(told, as_json, f"{endpoint} is sent again: {count}")


@app.command("endpoints")
def endpoints_command(
    subscriber: Annotated[str | None, typer.Argument(help="Only this one's.", show_default=False)] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Endpoints, how they stand, and of whom they are; never their secrets. With --json one object a line.

    Example: carepact feed endpoints practice:medicare/P1
    """

    async def show(database: Any, settings: Settings) -> None:
        tenant = _tenant(settings, subscriber) if subscriber else None
        for each in await webhooks.endpoints(database, tenant):
            row = {"subscriber": _named(each.tenant)} | _shown(each)
            _line(
                row, as_json, f"{each.endpoint_id}  {each.status:<8} {row['subscriber']} {each.url} {each.why}".rstrip()
            )

    run_reading(home, show)


@app.command("add")
def add_command(
    subscriber: Subscriber,
    url: Annotated[str, typer.Argument(help="Where events are posted; https, of a public address.")],
    only: Annotated[
        list[str] | None, typer.Option(help="Only events of this type; may be given again.", show_default=False)
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Requests beside each other.")] = 8,
    from_now: Annotated[bool, typer.Option(help="Leave out what was emitted before.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Have a feed sent to an address. Shows the secret that signs, this once.

    Example: carepact feed add practice:medicare/P1 https://hooks.example/carepact
    """

    async def add() -> dict[str, Any]:
        settings = settings_of(home)
        tenant = _tenant(settings, subscriber)
        start = "now" if from_now else "beginning"
        asked = NewEndpoint.model_validate({"url": url, "event_types": only or [], "at_once": at_once, "start": start})
        async with _desk(settings, tenant) as desk:
            made, secret = await desk.create(asked)
        return _shown(made, secret)

    with reported():
        told = asyncio.run(add())
    _line(told, as_json, f"{told['endpoint_id']}\n{told['secret']}")


@app.command("pause")
def pause_command(endpoint: Endpoint, home: Home = None, as_json: Json = False) -> None:
    """Send nothing to an endpoint for now; what is emitted meanwhile is sent after `resume`.

    Example: carepact feed pause 3f0c9a52-6c0e-4c55-9f2b-0c1d2e3f4a5b
    """
    _set_status(home, endpoint, "paused", as_json)


@app.command("resume")
def resume_command(endpoint: Endpoint, home: Home = None, as_json: Json = False) -> None:
    """Send to an endpoint again that was paused or disabled, from where it was.

    Example: carepact feed resume 3f0c9a52-6c0e-4c55-9f2b-0c1d2e3f4a5b
    """
    _set_status(home, endpoint, "active", as_json)


@app.command("remove")
def remove_command(endpoint: Endpoint, home: Home = None, as_json: Json = False) -> None:
    """Delete an endpoint, with all that is known of what it was sent.

    Example: carepact feed remove 3f0c9a52-6c0e-4c55-9f2b-0c1d2e3f4a5b
    """

    async def remove(desk: Desk, of: UUID, _: Settings) -> dict[str, Any]:
        await desk.delete(of)
        return {"endpoint_id": str(of), "status": "removed"}

    _line(_change(home, endpoint, remove), as_json, f"{endpoint} removed")


@app.command("rotate")
def rotate_command(
    endpoint: Endpoint,
    overlap_hours: Annotated[int, typer.Option(min=0, max=336, help="How long the old one signs too.")] = OVERLAP_HOURS,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Sign an endpoint's deliveries by a new secret, shown this once, and by the old one for a while.

    Example: carepact feed rotate 3f0c9a52-6c0e-4c55-9f2b-0c1d2e3f4a5b --overlap-hours 48
    """

    async def rotate(desk: Desk, of: UUID, _: Settings) -> dict[str, Any]:
        found, secret = await desk.rotate(of, timedelta(hours=overlap_hours))
        return _shown(found, secret)

    told = _change(home, endpoint, rotate)
    _line(told, as_json, str(told["secret"]))


@app.command("test")
def test_command(endpoint: Endpoint, home: Home = None, as_json: Json = False) -> None:
    """Send an endpoint an event that says nothing, now and once; exits 1 when it was not taken.

    Example: carepact feed test 3f0c9a52-6c0e-4c55-9f2b-0c1d2e3f4a5b
    """

    async def test(desk: Desk, of: UUID, settings: Settings) -> dict[str, Any]:
        async with Reach(private=settings.webhooks_private, ca_file=settings.webhooks_ca) as reach:
            event_id, answer = await desk.test(reach, of)
        return {"event_id": str(event_id), "outcome": answer.outcome, "http_status": answer.status, "ms": answer.ms}

    told = _change(home, endpoint, test)
    _line(told, as_json, f"{told['outcome']} (HTTP {told['http_status'] or '-'}, {told['ms']} ms)")
    raise typer.Exit(0 if told["outcome"] == "delivered" else 1)


@app.command("deliveries")
def deliveries_command(
    endpoint: Endpoint,
    status: Annotated[str | None, typer.Option(help="waiting, delivered, failed or gone.", show_default=False)] = None,
    most: Annotated[int, typer.Option(min=1, max=100_000, help="How many, newest first.")] = 100,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What an endpoint was sent or is owed, newest first, with each attempt. With --json one object a line.

    Example: carepact feed deliveries 3f0c9a52-6c0e-4c55-9f2b-0c1d2e3f4a5b --status waiting
    """

    async def show(database: Any, settings: Settings) -> None:
        del settings
        of = _id(endpoint)
        if await webhooks.endpoint(database, None, of) is None:
            raise NotFound(_NONE)
        for row in await webhooks.deliveries(database, of, status, None, most):
            told = delivery(row).model_dump(mode="json")
            last = told["tries"][-1]["outcome"] if told["tries"] else "not tried"
            text = f"{told['event_id']}  {told['status']:<9} {told['attempts']} attempts, {last}  {told['type']}"
            _line(told, as_json, text)

    run_reading(home, show)


_NONE = "there is no such endpoint; `carepact feed endpoints` lists them"


def _set_status(home: Any, endpoint: str, status: Literal["active", "paused"], as_json: bool) -> None:
    async def change(desk: Desk, of: UUID, _: Settings) -> dict[str, Any]:
        return _shown(await desk.set_status(of, status))

    _line(_change(home, endpoint, change), as_json, f"{endpoint} {status}")


def _change(
    home: Any, endpoint: str, change: Callable[[Desk, UUID, Settings], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    """Do something to an endpoint under its subscriber's rights."""

    async def changed() -> dict[str, Any]:
        settings, of = settings_of(home), _id(endpoint)
        async with _writing(settings) as database:
            found = await webhooks.endpoint(database, None, of)
        if found is None:
            raise NotFound(_NONE)
        async with _desk(settings, found.tenant) as desk:
            return await change(desk, of, settings)

    with reported():
        return asyncio.run(changed())


@asynccontextmanager
async def _desk(settings: Settings, tenant: Tenant) -> AsyncIterator[Desk]:
    key, roster = _platform_key(settings, signing.PURPOSE), settings.load_roster()
    try:
        async with LogWriter(connection(settings, OPERATOR), "carepact.feed") as writer:

            async def stated(act: OperatorAct) -> Position:
                return await state(writer, roster, act)

            yield Desk(tenant, acting(), lambda: _writing(settings), stated, key, settings.webhooks_private)
    except NoSuchEndpoint:
        raise NotFound(_NONE) from None
    except TooMany:
        raise Refused(f"{_named(tenant)} has as many endpoints as it may have; remove one first") from None
    except BadUrl as error:
        raise Usage(str(error)) from None


@asynccontextmanager
async def _writing(settings: Settings) -> AsyncIterator[Any]:
    """A connection that may take a subscriber's role and write what is the subscriber's."""
    reach, may_write = connection(settings, OPERATOR), {"default_transaction_read_only": "off"}
    try:
        database = await asyncpg.connect(reach.postgres, timeout=10, server_settings=may_write)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise TryAgain(f"PostgreSQL does not answer ({type(error).__name__})") from None
    try:
        yield database
    finally:
        await database.close()


def _platform_key(settings: Settings, purpose: str) -> bytes:
    keys = open_key_store(settings)
    try:
        return keys.platform_key(purpose)
    finally:
        keys.close()


def _tenant(settings: Settings, text: str) -> Tenant:
    """The subscriber that words name."""
    role, _, of = text.partition(":")
    payer, _, within = of.partition("/")
    if role not in _ROLES or not payer or (role != PAYER and not within):
        raise Usage("a subscriber is payer:PAYER, payer:PAYER/PLAN, employer:PAYER/PLAN or practice:PAYER/PRACTICE")
    known_payer(settings, payer)
    if role == PRACTICE:
        return Tenant("practice", payer, practice=within)
    plans = [plan.name for plan in settings.load_roster().payer(payer).plans]
    if within and within not in plans:
        raise NotFound(f"{payer} has no plan {within}; there are {', '.join(plans) or 'none'}")
    return Tenant(_ROLES[role], payer, within)


def _declared(settings: Settings) -> set[Tenant]:
    """The subscribers that the roster names, whether anything was emitted to them or not."""
    found: set[Tenant] = set()
    for payer in settings.load_roster().payers:
        found.add(Tenant("payer", payer.name))
        found |= {Tenant(role, payer.name, plan.name) for plan in payer.plans for role in ("payer", "employer")}
    return found


def _named(tenant: Tenant) -> str:
    return principal_name(tenant.role, tenant.payer, tenant.plan, tenant.practice, "")


def _place(key: bytes, tenant: Tenant, cursor: str | None) -> Place | None:
    try:
        return None if cursor is None else cursors.opened(key, tenant, cursor)
    except cursors.BadCursor:
        raise Usage("the cursor is none of this subscriber's") from None


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(_NONE) from None


def _shown(found: webhooks.Endpoint, secret: str | None = None) -> dict[str, Any]:
    told = document(found, secret).model_dump(mode="json")
    return told if secret else {name: value for name, value in told.items() if name != "secret"}


def _line(row: Mapping[str, Any], as_json: bool, text: str) -> None:
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(row) + b"\n")
        sys.stdout.buffer.flush()
    else:
        typer.echo(text)
