"""The commands by which facts come in: publish, close-day; and rejects, what could not be taken in."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import orjson
import typer
from aiokafka.errors import KafkaError
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from carepact.local.errors import PlatformError, TryAgain
from carepact.logging import to_stderr
from carepact.platform_commands import Home, Json, reported, settings_of
from carepact.read_commands import NotFound, Usage, known_payer
from carepact.read_commands import run as run_reading
from carepact.settings import Settings, connection
from formats.detect import READERS, read_file
from formats.reading import Read
from formats.table import UnknownLayout
from streams.broadcasts import close_day
from streams.connections import Connections
from streams.door import Door
from streams.keys import KeyStoreError, SqliteKeyStore
from streams.log_writer import LogWriter, NoSuchTopic, PartitionsDiffer
from streams.publishing import Published, Publisher, StandsStill, settle, until_projected
from streams.rejects import RejectBook
from streams.topics import OPERATOR, log_topic, topics

app = typer.Typer(no_args_is_help=True, add_completion=False)
rejects_app = typer.Typer(no_args_is_help=True, help="What could not be taken in, with its place and its remedy.")
app.add_typer(rejects_app, name="rejects")

DONE_IN_PART = 5

Payer = Annotated[str, typer.Option(help="The payer whose log it is.")]
Wait = Annotated[bool, typer.Option("--wait", help="Until it is projected: then the count is exact.")]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait at most, with --wait.")]


class CannotPublish(PlatformError):
    """Nothing was taken in, and the message says why."""


@app.command("publish")
def publish_command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", exists=True, help="Files, or folders of files.")],
    payer: Payer,
    plan: Annotated[str, typer.Option(help="The employer's plan, for records that name none.")] = "",
    format_: Annotated[str, typer.Option("--format", help=f"auto, {', '.join(READERS)}.")] = "auto",
    shift_years: Annotated[int, typer.Option(min=-200, max=200, help="Move every day by whole years.")] = 0,
    wait: Wait = False,
    timeout: Timeout = 300,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take files of any supported format into a payer's log. Exits 5 when something was rejected.

    Sending a file again, whole or in pieces, changes nothing: its rows are duplicates.

    Example: carepact publish --payer medicare claims.ndjson --wait
    """

    async def publish() -> Published:
        settings = settings_of(home)
        _check(settings, payer, plan, format_)
        files = [file for path in paths for file in _files(path)]
        _probe(files, format_)
        async with way_in(settings, payer, plan, shift_years) as (writer, door, book):
            publisher = Publisher(door, writer, book, plan)
            with _progress(as_json) as told:
                published = await publisher.publish(_read(files, format_), told)
        if wait:
            await _waiting(settings, timeout, lambda database: settle(database, payer, published))
        return published

    with refusals():
        published = asyncio.run(publish())
    _show(published, as_json)
    raise typer.Exit(DONE_IN_PART if published.rejects else 0)


@app.command("close-day")
def close_day_command(
    payer: Payer,
    through: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The last day that has passed.")],
    wait: Wait = False,
    timeout: Timeout = 300,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Time passes: everything due through this day is decided. An earlier or repeated day does nothing.

    Example: carepact close-day --payer medicare --through 2026-01-31
    """

    async def close() -> dict[str, Any]:
        settings = settings_of(home)
        _check(settings, payer)
        day: date = through.date()
        async with way_in(settings, payer) as (writer, door, _):
            positions = await close_day(writer, door, day)
        offsets = dict(positions)
        if wait:
            await _waiting(settings, timeout, lambda database: until_projected(database, payer, offsets))
        stand = [{"topic": log_topic(payer), "partition": p, "offset": o} for p, o in sorted(offsets.items())]
        return {"payer": payer, "through_on": day.isoformat(), "positions": stand}

    with refusals():
        closed = asyncio.run(close())
    if as_json:
        _print_json(closed)
    else:
        typer.echo(f"{payer}: closed through {closed['through_on']}")


@rejects_app.command("list")
def rejects_list_command(
    payer: Annotated[str | None, typer.Option(help="Only this payer.", show_default=False)] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Every reject: where it was, what is wrong, and what to do. With --json one object a line.

    Example: carepact rejects list --payer medicare
    """

    async def show(database: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        async for reject in rejects(database, payer):
            if as_json:
                sys.stdout.buffer.write(orjson.dumps(reject) + b"\n")
            else:
                typer.echo("\n".join(_told(reject)))
        sys.stdout.flush()

    run_reading(home, show)


async def rejects(database: Any, payer: str | None = None) -> AsyncIterator[dict[str, Any]]:
    """The rejects, oldest first. A conflict's place is its position in the log."""
    async with database.transaction(readonly=True):
        async for row in database.cursor(
            """
            SELECT reject_id, payer, plan, code, reason, remedy, place_file, place_line, place_field, rows,
                   topic, partition, log_offset, event_id, known_at
              FROM reject WHERE $1::text IS NULL OR payer = $1
             ORDER BY known_at, topic, partition, log_offset, reject_id
            """,
            payer,
        ):
            yield {
                "reject_id": str(row["reject_id"]),
                "payer": row["payer"],
                "plan": row["plan"],
                "code": row["code"],
                "file": row["place_file"] or None,
                "line": row["place_line"] if row["place_file"] else None,
                "field": row["place_field"] or None,
                "reason": row["reason"],
                "remedy": row["remedy"],
                "rows": row["rows"],
                "event_id": str(row["event_id"]) if row["event_id"] else None,
                "topic": row["topic"],
                "partition": row["partition"],
                "offset": row["log_offset"],
                "known_at": row["known_at"].isoformat().replace("+00:00", "Z"),
            }


def _told(reject: dict[str, Any]) -> Iterator[str]:
    log = f"{reject['topic']}[{reject['partition']}] offset {reject['offset']}"
    place = f"{reject['file']}:{reject['line']}" if reject["file"] else log
    field = f" {reject['field']}" if reject["field"] else ""
    yield f"{place}{field}"
    yield f"    {reject['code']}: {reject['reason']}"
    yield f"    {reject['remedy']}  ({reject['payer']}, {reject['reject_id']})"


def _check(settings: Settings, payer: str, plan: str = "", format_: str = "auto") -> None:
    known_payer(settings, payer)
    plans = [each.name for each in settings.load_roster().payer(payer).plans]
    if plan and plan not in plans:
        raise NotFound(f"{payer} has no plan {plan}; there are {', '.join(plans) or 'none'}")
    if format_ != "auto" and format_ not in READERS:
        raise Usage(f"--format is auto, {', '.join(READERS)}; not {format_}")


def _files(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


def _probe(files: Iterable[Path], format_: str) -> None:
    """Look at the beginning of every file, so that a wrong one is refused before anything is written."""
    for file in files:
        with closing(_items(file, format_)) as items:
            try:
                next(items, None)
            except (UnknownLayout, OSError) as refused:
                raise CannotPublish(str(refused)) from None


def _read(files: Iterable[Path], format_: str) -> Iterator[Read]:
    for file in files:
        yield from _items(file, format_)


def _items(file: Path, format_: str) -> Any:
    return read_file(file, format_)


@asynccontextmanager
async def way_in(
    settings: Settings, payer: str, plan: str = "", shift_years: int = 0
) -> AsyncIterator[tuple[LogWriter, Door, RejectBook]]:
    """The operator's writer and the payer's door, for as long as the command runs."""
    reach: Connections = connection(settings, OPERATOR)
    roster = settings.load_roster()
    log = next(each for each in topics(roster, settings.log_partitions) if each.name == log_topic(payer))
    keys = SqliteKeyStore(settings.key_store)
    try:
        async with LogWriter(reach, "carepact.publish") as writer:
            partitions = await writer.partitions(log)
            door = Door(roster.payer(payer), keys, partitions, plan, shift_years)
            yield writer, door, RejectBook(payer, keys)
    finally:
        keys.close()


async def _waiting(settings: Settings, seconds: float, wait: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
    try:
        async with asyncio.timeout(seconds):
            database = await asyncpg.connect(connection(settings, OPERATOR).postgres, timeout=10)
            try:
                await wait(database)
            finally:
                await database.close()
    except TimeoutError:
        raise TryAgain(
            f"all is in the log, but not projected after {seconds:g} s; is a worker up? (`carepact status`)"
        ) from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise TryAgain(f"all is in the log; PostgreSQL does not answer ({type(error).__name__})") from None


@contextmanager
def refusals() -> Iterator[None]:
    to_stderr()
    with reported():
        try:
            yield
        except (KafkaError, TimeoutError) as error:
            raise TryAgain(f"Kafka does not answer ({type(error).__name__}); what was sent may be sent again") from None
        except (KeyStoreError, NoSuchTopic, PartitionsDiffer, StandsStill) as refused:
            raise CannotPublish(str(refused)) from None


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int], None]]:
    """Rows so far, on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield lambda rows: None
        return
    from rich.console import Console  # noqa: PLC0415 - not needed by scripts

    columns = (SpinnerColumn(), TextColumn("{task.completed:,} rows"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("publish", total=None)
        yield lambda rows: progress.update(task, completed=rows)


def _show(published: Published, as_json: bool) -> None:
    summary = published.summary()
    if as_json:
        _print_json(summary)
        return
    typer.echo(
        f"{published.read:,} rows read: {published.accepted:,} accepted, {published.duplicate:,} duplicate, "
        f"{published.rejected:,} rejected" + ("" if published.exact else " (duplicates are known with --wait)")
    )
    for family, count in summary["events"].items():
        typer.echo(f"  {count:>9,} {family}")
    if published.rejects:
        typer.echo("  `carepact rejects list` says where and why")


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.buffer.flush()
