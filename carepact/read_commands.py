"""The commands that read: episodes, payments, explain; and reconcile, which asks for a settlement and shows it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import orjson
import typer
from rich.console import Console

from carepact.local.errors import PlatformError, TryAgain
from carepact.noting import PURPOSE, noted
from carepact.platform_commands import Home, Json, reported, say, settings_of
from carepact.settings import Settings, connection
from carepact.settlement_documents import write_documents
from carepact.telling import tell_episode, tell_fact, tell_payment, tell_settlement
from projections.access import member_of
from projections.episodes import episodes
from projections.explain import explain_episode, explain_payment
from projections.lineage import explain_fact
from projections.payment_life import aging, lives
from projections.payments import payments
from projections.positions import NOW, AsOf, BadAsOf
from projections.returns import returns
from projections.settled_payments import explain_settled, settled_payments
from projections.settlements import documents
from projections.warnings import at_risk
from streams.reconciling import Asked, ask, until_answered
from streams.topics import OPERATOR

app = typer.Typer(no_args_is_help=True, add_completion=False)

Payer = Annotated[str | None, typer.Option(help="Only this payer.", show_default=False)]
Member = Annotated[str | None, typer.Option(help="Only this member (the token).", show_default=False)]
At = Annotated[
    str | None,
    typer.Option("--as-of", help="As known then: a time with zone, a day, or partition:offset,...", show_default=False),
]
Purpose = Annotated[str, typer.Option(help="Why it is read; that it is read is noted.")]
On = Annotated[
    str | None, typer.Option("--on", help="A day of service, apart from what was known when.", show_default=False)
]


class NotFound(PlatformError):
    """What was named is not there."""

    exit_code = 4


class Refused(PlatformError):
    """The platform answered, and the answer is no."""

    exit_code = 1


class Usage(PlatformError):
    """The command was given something it cannot mean."""

    exit_code = 2


@app.command("episodes")
def episodes_command(
    payer: Payer = None,
    member: Member = None,
    as_of: At = None,
    on: On = None,
    purpose: Purpose = PURPOSE,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Every episode known, one JSON object a line; void and excluded ones with their reason. --on: that run on a day.

    Example: carepact episodes --payer medicare --as-of 2026-01-31 --on 2025-11-01
    """
    del as_json  # a list is NDJSON either way

    async def read(database: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        await noted(settings, "episodes", payer, member, purpose, as_of=as_of, on=on)
        await write_lines(episodes(database, payer, member, as_of=point(as_of, payer), on=day(on)))

    run(home, read)


@app.command("payments")
def payments_command(
    payer: Payer = None,
    member: Member = None,
    episode: Annotated[str | None, typer.Option(help="Only this episode's.", show_default=False)] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind, e.g. MEOS.", show_default=False)] = None,
    practice: Annotated[
        str | None, typer.Option(help="With --open, --aging or --at-risk, only this practice's.", show_default=False)
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="What is not remitted, or not come back, and its age.")] = False,
    aging_: Annotated[bool, typer.Option("--aging", help="What is open by practice, netted, and by age.")] = False,
    at_risk_: Annotated[
        bool, typer.Option("--at-risk", help="Paid months that would come back as things stand, and why.")
    ] = False,
    as_of: At = None,
    on: On = None,
    purpose: Purpose = PURPOSE,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Every payment and reversal, one JSON object a line; those of an episode add up to what is owed for it.

    After them what settlements of periods determined, by practice. --on: those effective through a day; with --open and
    --aging the day by which what is open is aged, today if not said.

    Example: carepact payments --payer medicare --open --on 2026-01-31
    """
    del as_json

    async def read(database: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        if open_ or aging_:
            if episode is not None:
                raise Usage("--open and --aging are of all payments, not of one episode's")
            aged_by = day(on) or datetime.now(UTC).date()
            rows = lives(database, payer, member, kind, practice, point(as_of, payer), aged_by)
            await write_lines(_each(await aging(rows)) if aging_ else _still_open(rows))
            return
        of = str(identifier(episode)) if episode else None
        then = point(as_of, payer)
        if at_risk_:
            await noted(settings, "at_risk", payer, member, purpose, episode=of, practice=practice, as_of=as_of)
            await write_lines(at_risk(database, payer, member, of, practice, then))
            return
        await noted(settings, "payments", payer, member, purpose, episode=of, kind=kind, as_of=as_of, on=on)
        await write_lines(payments(database, payer, member, of, kind, then, day(on)))
        if member is None and of is None:
            await write_lines(settled_payments(database, payer, kind, then, day(on)))

    run(home, read)


async def _still_open(rows: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    async for row in rows:
        if row["open_cents"]:
            yield row


async def _each(rows: Iterable[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for row in rows:
        yield row


@app.command("returns")
def returns_command(
    payer: Payer = None,
    member: Member = None,
    as_of: At = None,
    on: On = None,
    purpose: Purpose = PURPOSE,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Every return to work known, one JSON object a line: status, days, competing cause; for operators only.

    --on: absences that had begun by a day.

    Example: carepact returns --payer employers
    """
    del as_json

    async def read(database: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        await noted(settings, "returns", payer, member, purpose, as_of=as_of, on=on)
        await write_lines(returns(database, payer, member, point(as_of, payer), day(on)))

    run(home, read)


@app.command("explain")
def explain_command(
    what: Annotated[
        str, typer.Argument(metavar="PAYMENT|EPISODE|EVENT", help="The id of a payment, an episode, or a fact.")
    ],
    as_of: At = None,
    on: On = None,
    payer: Annotated[
        str | None, typer.Option(help="Whose log positions without a topic are of.", show_default=False)
    ] = None,
    purpose: Purpose = PURPOSE,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Why: clause, dated value, arithmetic, and the log positions of the facts it rests on.

    Of a fact, as a claim: the episodes and payments that it moved, and what became of them. --on: of an episode, claims
    and payments for services through a day.

    Example: carepact explain 8f14e45f-ceea-567e-8a36-dcf4b0c1a6d2
    """

    async def read(database: Any, settings: Settings) -> None:
        name, then = str(identifier(what)), point(as_of, payer)
        await noted(settings, "explanation", payer, await member_of(database, name), purpose, of=name, as_of=as_of)
        if payment := await explain_payment(database, name, then):
            show(payment, tell_payment, as_json)
        elif settled := await explain_settled(database, name):
            show(settled, tell_payment, as_json)
        elif episode := await explain_episode(database, name, then, day(on)):
            show(episode, tell_episode, as_json)
        elif fact := await explain_fact(database, name, then):
            show(fact, tell_fact, as_json)
        else:
            known = " by then" if as_of else ""
            raise NotFound(
                f"there is no payment, episode or fact {name}{known}; `carepact payments` and `episodes` list them"
            )

    run(home, read)


@app.command("reconcile")
def reconcile_command(
    payer: Annotated[str, typer.Option(help="The payer.")],
    period: Annotated[int, typer.Option(min=1, max=99, help="The performance period.")],
    run_: Annotated[str, typer.Option("--run", help="initial or true-up.")] = "initial",
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for the answer.")] = 120,
    out: Annotated[
        Path | None, typer.Option(help="Folder for each practice's statement and contest pack.", show_default=False)
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Ask the log for a settlement at its present end, and show it; with --out also its documents, JSON and HTML.

    Example: carepact reconcile --payer medicare --period 4 --run true-up --out statements
    """

    async def read(database: Any, settings: Settings) -> None:
        if run_ not in ("initial", "true-up"):
            raise Usage(f"--run is initial or true-up, not {run_!r}")
        known_payer(settings, payer)
        contract = settings.load_roster().payer(payer).contract
        asked = await ask(connection(settings, OPERATOR), payer, contract, period, run_)
        answer = await answered(database, asked, timeout)
        if answer["status"] == "refused":
            raise Refused(f"the request was refused: {answer['reason']}")
        if out is not None:
            await noted(settings, "contest_packs", payer, period=period, run=run_)
            written = write_documents(out, contract, await documents(database, payer, asked.request_id))
            say(f"{len(written)} files in {out}")
        show(answer, tell_settlement, as_json)

    run(home, read)


async def answered(database: Any, asked: Asked, timeout_seconds: float) -> dict[str, Any]:
    """The answer, or `TryAgain` when it does not come in time."""
    try:
        async with asyncio.timeout(timeout_seconds):
            return await until_answered(database, asked)
    except TimeoutError:
        raise TryAgain(
            f"no answer to request {asked.request_id} in {timeout_seconds:g} s; is a worker up? (`carepact status`)"
        ) from None


def run(home: Any, read: Callable[[Any, Settings], Awaitable[None]]) -> None:
    """Call `read` with a connection that reads; what it refuses is one line and an exit code."""

    async def opened() -> None:
        settings = settings_of(home)
        async with reading(settings) as database:
            await read(database, settings)

    with reported():
        asyncio.run(opened())


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[Any]:
    """A connection that reads; `TryAgain` when the database does not answer."""
    reach = connection(settings, OPERATOR)
    try:
        database = await asyncpg.connect(reach.postgres, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise TryAgain(
            f"PostgreSQL does not answer ({type(error).__name__}); is the platform up? (`carepact status`)"
        ) from None
    try:
        yield database
    finally:
        await database.close()


async def write_lines(rows: AsyncIterator[dict[str, Any]]) -> None:
    """One JSON object a line on standard output, as they come."""
    async for row in rows:
        sys.stdout.buffer.write(orjson.dumps(row) + b"\n")
    sys.stdout.buffer.flush()


def show(document: Mapping[str, Any], tell: Callable[[Mapping[str, Any]], Iterable[str]], as_json: bool) -> None:
    """One document: as JSON, or as text for a reader."""
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
        sys.stdout.buffer.flush()
        return
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for line in tell(document):
        console.print(line, style="bold yellow" if "**" in line else None)


def known_payer(settings: Settings, payer: str | None) -> None:
    """Refuse a payer that no roster names."""
    roster = settings.load_roster()
    if payer is not None and payer not in roster.names:
        raise NotFound(f"there is no payer {payer}; there are {', '.join(roster.names)}")


def point(text: str | None, payer: str | None) -> AsOf:
    """The point that `--as-of` names."""
    try:
        return AsOf.parse(text, payer) if text else NOW
    except BadAsOf as error:
        raise Usage(f"--as-of: {error}") from None


def day(text: str | None) -> date | None:
    """The day that `--on` names."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Usage("--on is a day, YYYY-MM-DD") from None


def identifier(text: str) -> UUID:
    """An id as users give it; anything else is nothing that there is."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("that is not an id of a payment or an episode; `carepact payments` lists them") from None
