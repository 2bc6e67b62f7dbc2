"""`carepact replay`: what the log says, computed again and held against what is live."""

from __future__ import annotations

import asyncio
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import orjson
import typer
from aiokafka.errors import KafkaError
from rich.console import Console

from carepact.local.errors import PlatformError, Refused, TryAgain
from carepact.platform_commands import Home, Json, reported, settings_of
from carepact.rebuild_commands import register
from carepact.settings import Settings, connection
from carepact.telling import dollars, in_words
from contracts.drafts import Change, frozen
from contracts.errors import BadSheet, ContractError
from contracts.lint import lint
from contracts.roster import PLAN_SHEETS, SHEETS, bundled_sheet
from contracts.terms import TermSheet, content_of
from streams.reconciling import log_ends
from streams.topics import OPERATOR
from streams.verifying import CannotReplay, Report, verify
from streams.what_if import NONE, CannotFold, Imagining, Options, WhatIf

app = typer.Typer(no_args_is_help=True, add_completion=False)
register(app)
DIFFERS = 6


class NoSuchPayer(PlatformError):
    """The roster names no such payer, or no such plan of it."""

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
        event = f", event {difference.event_id}" if difference.event_id else ""
        say(f"  at {at['topic']}[{at['partition']}] offset {at['offset']}{event}")


def _value(value: Any) -> str:
    return "nothing" if value is None else str(value)


@app.command("what-if")
def what_if_command(
    payer: Annotated[str, typer.Option(help="The payer.")],
    terms: Annotated[
        str | None, typer.Option(help="A term sheet (TOML), a contract of this build, or one as of a day: C@DAY.")
    ] = None,
    plan: Annotated[str, typer.Option(help="Of an employers' log: whose money is told, under these terms.")] = "",
    arrangement: Annotated[str | None, typer.Option(help="The risk arrangement of every practice, e.g. RA2.")] = None,
    in_time: Annotated[
        list[str] | None, typer.Option(help="A claim's event id: had it come before its day was closed.")
    ] = None,
    without: Annotated[list[str] | None, typer.Option(help="A fact's event id: had it never come.")] = None,
    period: Annotated[int | None, typer.Option(min=1, max=99, help="Only this period, and its settlement.")] = None,
    run_: Annotated[str, typer.Option("--run", help="Of the settlement: initial or true-up.")] = "initial",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """The same history under other terms, or with a fact changed: what would have been paid. Nothing is written.

    Sums by practice and clause, and every episode whose money differs. --terms ocm/eom-years tells Medicare's history
    under EOM's predecessor.

    Of a plan, a draft of its terms, and with --period the settlement by each clause: for operators and the plan's
    administrator alone. What its employer may see of a draft, `carepact draft` tells.

    Example: carepact replay what-if --payer medicare --terms medicare-eom@2025-01-01 --period 3
    """
    with reported():
        if not (terms or arrangement or in_time or without):
            raise typer.BadParameter("name what is to be other: --terms, --arrangement, --in-time or --without")
        change = Change(
            sheet=sheet_of(terms) if terms else None,
            plan=None if plan else "",  # the plan may have no sheet of its own; of the others nothing is told
            arrangement=arrangement or "",
            in_time=frozenset(in_time or ()),
            without=frozenset(without or ()),
        )
        answer = asyncio.run(imagined(settings_of(home), payer, NONE, change, Options(period, run_, plan)))
    show_what_if(answer, as_json)


def sheet_of(named: str) -> dict[str, Any]:
    """The terms that a user names: a file, a contract of this build, or either as of a day after '@'."""
    shipped = SHEETS.keys() | PLAN_SHEETS
    name, _, day = (named, "", "") if Path(named).is_file() or named in shipped else named.rpartition("@")
    try:
        content = bundled_sheet(name)[2] if name in shipped else _draft(name)
        return frozen(content, date.fromisoformat(day).isoformat()) if day else content
    except OSError:
        raise typer.BadParameter(f"there is no file and no contract {name or named}") from None
    except (BadSheet, KeyError, ValueError) as error:
        raise typer.BadParameter(f"{named} is no term sheet: {error}; `carepact contract lint` says more") from None


def _draft(name: str) -> dict[str, Any]:
    """A sheet of the user's; refused with all that `contract lint` says of it: file, term, day, problem and remedy."""
    text = Path(name).read_text(encoding="utf-8")
    if found := lint(name, text):
        raise typer.BadParameter("\n".join(map(str, found)))
    content = content_of(text)
    TermSheet(content)
    return content


async def imagined(settings: Settings, payer: str, before: Change, after: Change, options: Options) -> WhatIf:
    """A payer's whole log under two changes."""
    roster = settings.load_roster()
    if payer not in roster.names:
        raise NoSuchPayer(f"there is no payer {payer}; there are {', '.join(roster.names)}")
    if options.plan and options.plan not in (plans := [plan.name for plan in roster.payer(payer).plans]):
        raise NoSuchPayer(f"{payer} has no plan {options.plan}; it has {', '.join(plans) or 'none'}")
    reach = connection(settings, OPERATOR)
    try:
        imagining = Imagining(roster.payer(payer), before, after, options)
        cut = await log_ends(reach, payer)
        await imagining.read(reach, {int(partition): end for partition, end in cut.items()})
        return imagining.result()
    except (CannotFold, ContractError) as refused:
        raise Refused(str(refused)) from refused
    except (OSError, TimeoutError, KafkaError) as error:
        raise TryAgain(f"Kafka does not answer ({type(error).__name__}); is the platform up?") from error


def show_what_if(answer: WhatIf, as_json: bool) -> None:
    """As JSON, or as text for a reader."""
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(answer.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
        return
    say = Console(highlight=False, markup=False, soft_wrap=True).print
    told = answer.as_json()
    for title, key in (("practice", "practices"), ("clause", "clauses")):
        say(f"{title:<24} {'as it is':>16} {'what if':>16} {'difference':>16}")
        for row in told[key]:
            figures = (dollars(row[f"{name}_cents"]) for name in ("before", "after", "difference"))
            say(f"{row['name'] or '(none)':<24} " + " ".join(f"{figure:>16}" for figure in figures))
        say("")
    for row in told["rows"]:
        say(f"{row['episode_id'] or row['practice']}  {row['clause']:<16} {dollars(row['difference_cents']):>14}")
    for practice, reasons in told["settlement_pending"].items():
        say(f"{practice or '(none)'}: its settlement is pending: {', '.join(in_words(one) for one in reasons)}")
    figures = (dollars(told[f"{name}_cents"]) for name in ("before", "after", "difference"))
    say("as it is {}, what if {}: a difference of {}".format(*figures))
