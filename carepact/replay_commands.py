"""`carepact replay`: what the log says, computed again and held against what is live."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any

import asyncpg
import orjson
import typer
from aiokafka.errors import KafkaError
from rich.console import Console

from carepact.local.errors import PlatformError, Refused, TryAgain
from carepact.platform_commands import Home, Json, reported, settings_of
from carepact.settings import Settings, connection
from streams.topics import OPERATOR
from streams.verifying import CannotReplay, Report, verify

app = typer.Typer(no_args_is_help=True, add_completion=False)
DIFFERS = 6


class NoSuchPayer(PlatformError):
    """The roster names no such payer."""

    exit_code = 4


@app.callback()
def replay() -> None:
    """Compute again from the log, and compare."""


@app.command("verify")
def verify_command(
    payer: Annotated[str | None, typer.Option(help="Only this payer.", show_default=False)] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Fold the logs again without reading live rows, then compare every row and every emitted event.

    Exits 6 at the first difference and names it: table, key, field, what the log says, what was found, and where.

    Example: carepact replay verify --payer medicare --json
    """
    with reported():
        report = asyncio.run(_verify(settings_of(home), payer))
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
    else:
        _show(report)
    raise typer.Exit(DIFFERS if report.difference else 0)


async def _verify(settings: Settings, payer: str | None) -> Report:
    roster = settings.load_roster()
    if payer is not None and payer not in roster.names:
        raise NoSuchPayer(f"there is no payer {payer}; there are {', '.join(roster.names)}")
    payers = [one for one in roster.payers if payer in (None, one.name)]
    try:
        return await verify(connection(settings, OPERATOR), payers)
    except CannotReplay as stopped:
        raise Refused(str(stopped)) from stopped
    except (OSError, TimeoutError, asyncpg.PostgresError, KafkaError) as error:
        raise TryAgain(
            f"Kafka or PostgreSQL does not answer ({type(error).__name__}); is the platform up? (`carepact status`)"
        ) from error


def _show(report: Report) -> None:
    say = Console(highlight=False, markup=False, soft_wrap=True).print
    for name, (rows, _) in report.tables.items():
        say(f"{name:<16} {rows:>10,} rows")
    say(f"{report.events:,} events of {', '.join(report.payers)} replayed in {report.seconds:.1f} s")
    if report.behind:
        say(f"{report.behind:,} events are in the log and not applied yet; verified up to where live stands")
    if (difference := report.difference) is None:
        say(f"the same result: every row, and {report.emitted:,} emitted events")
        return
    key = ", ".join(f"{name} {value}" for name, value in difference.key.items())
    say(f"DIFFERENCE in {difference.table}: {key}" + (f", {difference.field}" if difference.field else ""))
    say(f"  the log says: {_value(difference.expected)}")
    say(f"  found:        {_value(difference.found)}")
    if at := difference.position:
        say(f"  at {at['topic']}[{at['partition']}] offset {at['offset']}")


def _value(value: Any) -> str:
    return "nothing" if value is None else str(value)
