"""`carepact replay rebuild`, `diff`, `switch` and `republish`: projections made again beside the live ones."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import asyncpg
import orjson
import typer
from aiokafka.errors import KafkaError
from rich.console import Console

from carepact.local.errors import Held, PlatformError, TryAgain
from carepact.platform_commands import Home, Json, reported, settings_of
from carepact.settings import connection
from carepact.telling import dollars
from projections import rebuilt
from streams import rebuilding
from streams.connections import Connections
from streams.roster import Payer
from streams.topics import PLATFORM
from streams.verifying_log import UnreadableLog

DIFFERS = 6
Work = Callable[[Connections, Any, list[Payer]], Awaitable[Any]]


class Differs(PlatformError):
    """What was published is not what a rebuild pays."""

    exit_code = DIFFERS


class Cannot(PlatformError):
    """It cannot be done as things stand; the message says what to do."""

    exit_code = 1


def _run(home: Any, work: Work) -> Any:
    """Do something as the owner of the tables, alone."""

    async def opened() -> Any:
        settings = settings_of(home)
        reach, payers = connection(settings, PLATFORM), list(settings.load_roster().payers)
        async with rebuilding.opened(reach) as database:
            return await work(reach, database, payers)

    try:
        return asyncio.run(opened())
    except rebuilding.Held as held:
        raise Held(str(held)) from held
    except rebuilding.PublishedDiffers as differs:
        found = differs.found
        raise Differs(f"{differs}: rebuilt {found.expected or 'not at all'}, published {found.found}") from differs
    except (rebuilding.CannotRebuild, UnreadableLog) as refused:
        raise Cannot(str(refused)) from refused
    except (OSError, TimeoutError, asyncpg.PostgresError, KafkaError) as error:
        raise TryAgain(f"Kafka or PostgreSQL does not answer ({type(error).__name__}); is the platform up?") from error


def _say() -> Callable[[str], None]:
    """Progress, on a terminal only."""
    console = Console(stderr=True, highlight=False, markup=False)
    return (lambda line: console.print(line, end="\r")) if console.is_terminal else lambda _: None


def rebuild_command(
    cancel: Annotated[bool, typer.Option("--cancel", help="Give up what is rebuilt, or what was kept.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Fold the logs into tables beside the live ones; goes on where an earlier call ended. Nothing is sent.

    Then `replay diff` shows what differs, and `replay switch` exchanges the two.

    Example: carepact replay rebuild
    """
    with reported():

        async def work(reach: Connections, database: Any, payers: list[Payer]) -> dict[str, int]:
            if cancel:
                await rebuilt.drop(database)
                return {}
            return await rebuilding.rebuild(reach, database, payers, _say())

        folded = _run(home, work)
    if as_json:
        _write({"cancelled": cancel, "records": folded})
    elif cancel:
        typer.echo("what was beside is gone")
    else:
        for name, count in folded.items():
            typer.echo(f"{name}: {count:,} records folded, up to the end of the log as it was")


def diff_command(home: Home = None, as_json: Json = False) -> None:
    """What differs between live and rebuilt tables, as far as both have come: rows, and cents by cause. Exits 6 if so.

    Example: carepact replay diff --json
    """
    with reported():

        async def work(_: Connections, database: Any, __: list[Payer]) -> dict[str, Any]:
            if await rebuilt.state(database) is None:
                raise rebuilding.CannotRebuild("nothing is rebuilt; `carepact replay rebuild` does that")
            return await rebuilt.difference(database)

        found = _run(home, work)
    if as_json:
        _write(found)
    else:
        for table in found["tables"]:
            typer.echo(f"{table['table']}: {table['only_live']} rows only live, {table['only_rebuilt']} only rebuilt")
        for row in found["payments"]:
            change = f"{dollars(row['live_cents'])} -> {dollars(row['rebuilt_cents'])}"
            typer.echo(f"{row['payer']} {row['kind']} by {row['cause']}: {change}")
        typer.echo("the same rows" if found["equal"] else "THEY DIFFER")
    raise typer.Exit(0 if found["equal"] else DIFFERS)


def switch_command(
    back: Annotated[bool, typer.Option("--back", help="Bring back what was live before the last switch.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Exchange live and rebuilt tables in one transaction, caught up; never where published payments would differ.

    What was live is kept beside, until `replay rebuild --cancel`.

    Example: carepact replay switch
    """
    with reported():

        async def work(reach: Connections, database: Any, payers: list[Payer]) -> dict[str, int]:
            said = await rebuilt.state(database)
            if back != (said is not None and said["state"] == "before"):
                raise rebuilding.CannotRebuild(
                    "nothing was switched, so that there is nothing to bring back"
                    if back
                    else "there is no new rebuild: what is beside was live before; --back brings it back"
                )
            return await rebuilding.switch(reach, database, payers, _say())

        found = _run(home, work)
    if as_json:
        _write({"switched": True, "sent_again": found})
    else:
        typer.echo("switched; what was live is kept beside (`carepact replay switch --back`)")
        for name, count in found.items():
            if count:
                typer.echo(f"{name}: {count} payments were on no topic and will be sent")


def republish_command(home: Home = None, as_json: Json = False) -> None:
    """Send again what was decided and is on no topic, as after the loss of a topic's tail. What is there stays once.

    Example: carepact replay republish
    """
    with reported():

        async def work(reach: Connections, database: Any, payers: list[Payer]) -> dict[str, int]:
            return {payer.name: await rebuilding.republish(reach, database, payer) for payer in payers}

        found = _run(home, work)
    if as_json:
        _write({"queued": found})
    else:
        for name, count in found.items():
            typer.echo(f"{name}: {count} payments wait to be sent again")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("rebuild")(rebuild_command)
    app.command("diff")(diff_command)
    app.command("switch")(switch_command)
    app.command("republish")(republish_command)


def _write(document: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.buffer.flush()
