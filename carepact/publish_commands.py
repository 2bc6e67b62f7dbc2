"""The commands by which facts come in: publish and close-day."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import asyncpg
import orjson
import typer
from aiokafka.errors import KafkaError
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from carepact.acknowledging import Acknowledging
from carepact.local.errors import PlatformError, TryAgain
from carepact.logging import to_stderr
from carepact.platform_commands import Home, Json, reported, settings_of
from carepact.read_commands import NotFound, Usage, known_payer
from carepact.settings import Settings, acting, connection, open_key_store
from contracts.events import FileRunRecorded, MemberLinkRequested, OperatorAct
from contracts.events.operations import FILES_MAX
from formats.detect import READERS, check_file, read_files
from formats.fhir import Validate
from formats.mapping import FORMAT
from formats.mapping_file import BadMapping, Mapping
from formats.reading import Read
from formats.table import UnknownLayout
from projections.facts import retired_among
from streams.broadcasts import close_day
from streams.connections import Connections
from streams.door import Door, Submission
from streams.keys import KeyStore, KeyStoreAway, KeyStoreError
from streams.linking import Linked, link
from streams.log_writer import LogWriter, NoSuchTopic, PartitionsDiffer
from streams.operations import state, submitted
from streams.publishing import Published, Publisher, StandsStill, settle, until_projected
from streams.quality import Card
from streams.rejects import RejectBook
from streams.roster import Roster
from streams.topics import OPERATOR, log_topic, topics

app = typer.Typer(no_args_is_help=True, add_completion=False)

DONE_IN_PART = 5
TELL_SECONDS = 30

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
    mapping: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML or YAML that says which column is which field.")
    ] = None,
    validate: Annotated[
        str, typer.Option(help="Of X12 and FHIR: syntax, or full, by the guides and FHIR's own schema.")
    ] = "syntax",
    acknowledge: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Of X12: write TA1, 999 and 277CA of each file there.")
    ] = None,
    wait: Wait = False,
    timeout: Timeout = 300,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take files of any supported format into a payer's log. Exits 5 when something was rejected.

    Sending a file again, whole or in pieces, changes nothing: its rows are duplicates.

    Example: carepact publish --payer medicare claims.ndjson --wait
    """

    checked: Validate = "full" if validate == "full" else "syntax"
    answers = Acknowledging(checked, acknowledge)
    written: list[Path] = []
    linked: list[Linked] = []

    async def publish() -> Published:
        settings = settings_of(home)
        check(settings, payer, plan, format_)
        if validate not in ("syntax", "full"):
            raise Usage(f"--validate is syntax or full; not {validate}")
        by = None if mapping is None else mapping_of(mapping)
        if by is not None and format_ != "auto":
            raise Usage("--mapping says what the files are; leave --format out")
        files = [file for path in paths for file in _files(path)]
        probe(files, format_, by)
        async with way_in(settings, payer, plan, shift_years) as way:
            publisher = way.publisher()
            publisher.refused = answers.refused
            publisher.card = card = Card()
            async with _told(way, files, FORMAT if by else format_, publisher.published, card) as tell:
                with _progress(as_json) as told:
                    items = read_files(files, format_, validate=checked, by=by, readers=answers.readers)
                    published = await publisher.publish(items, told)
            written.extend(answers.write(datetime.now(UTC)))
            linked.extend(await make_links(way, way.door.take_links()))
            if wait:
                await waiting(settings, timeout, lambda database: settle(database, payer, published))
                await tell()
        return published

    with refusals():
        published = asyncio.run(publish())
    _show(published, as_json, written, len(linked))
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
        check(settings, payer)
        day: date = through.date()
        async with way_in(settings, payer) as way:
            positions = await close_day(way.writer, way.door, day)
        offsets = dict(positions)
        if wait:
            await waiting(settings, timeout, lambda database: until_projected(database, payer, offsets))
        stand = [{"topic": log_topic(payer), "partition": p, "offset": o} for p, o in sorted(offsets.items())]
        return {"payer": payer, "through_on": day.isoformat(), "positions": stand}

    with refusals():
        closed = asyncio.run(close())
    if as_json:
        print_json(closed)
    else:
        typer.echo(f"{payer}: closed through {closed['through_on']}")


def check(settings: Settings, payer: str, plan: str = "", format_: str = "auto") -> None:
    """Refuse what the roster and the formats do not know."""
    known_payer(settings, payer)
    plans = [each.name for each in settings.load_roster().payer(payer).plans]
    if plan and plan not in plans:
        raise NotFound(f"{payer} has no plan {plan}; there are {', '.join(plans) or 'none'}")
    if format_ != "auto" and format_ not in READERS:
        raise Usage(f"--format is auto, {', '.join(READERS)}; not {format_}")


def _files(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


def mapping_of(path: Path) -> Mapping:
    """The mapping of a file, which must fit the event catalogue."""
    try:
        return Mapping.read(path)
    except BadMapping as refused:
        raise Usage(str(refused)) from None


def probe(files: Iterable[Path], format_: str, by: Mapping | None = None) -> None:
    """Look at the beginning of every file, so that a wrong one is refused before anything is written."""
    for file in files:
        try:
            check_file(file, format_, by)
        except (UnknownLayout, OSError) as refused:
            raise CannotPublish(str(refused)) from None


def read_all(files: Iterable[Path], format_: str) -> Iterator[Read]:
    """The items of all files, those of one submission together."""
    return read_files(files, format_)


@dataclass(frozen=True)
class WayIn:
    """The operator's writer and one payer's door, for as long as a command runs."""

    settings: Settings
    roster: Roster
    reach: Connections
    keys: KeyStore
    writer: LogWriter
    door: Door
    book: RejectBook
    plan: str

    def publisher(self, submission: Submission | None = None) -> Publisher:
        """A submission to the payer's log."""
        return Publisher(self.door, self.writer, self.book, self.plan, submission)

    @property
    def who(self) -> dict[str, Any]:
        """What every act of this operator says."""
        return {"payer": self.door.payer.name, "plan": self.plan, "by": acting()}

    async def state(self, act: OperatorAct) -> None:
        """Have an act in the operations topic."""
        await state(self.writer, self.roster, act)


@asynccontextmanager
async def way_in(settings: Settings, payer: str, plan: str = "", shift_years: int = 0) -> AsyncIterator[WayIn]:
    """The way in of a payer, or of one of its plans."""
    reach: Connections = connection(settings, OPERATOR)
    roster = settings.load_roster()
    log = next(each for each in topics(roster, settings.log_partitions) if each.name == log_topic(payer))
    keys = open_key_store(settings)
    try:
        async with LogWriter(reach, "carepact.publish") as writer:
            partitions = await writer.partitions(log)
            door = Door(roster.payer(payer), keys, partitions, plan, shift_years)
            yield WayIn(settings, roster, reach, keys, writer, door, RejectBook(payer, keys), plan)
    finally:
        keys.close()


async def make_links(way: WayIn, pairs: Sequence[tuple[str, str]]) -> list[Linked]:
    """Link members that are one person, but for those of whom the log says that it was done. What is done is told."""
    if not pairs:
        return []
    payer, done = way.door.payer.name, set[str]()
    with suppress(OSError, asyncpg.PostgresError):  # without it links are made once more, which changes nothing
        database = await asyncpg.connect(way.reach.postgres, timeout=10)
        try:
            done = await retired_among(database, payer, [retired for _, retired in pairs])
        finally:
            await database.close()
    linked: list[Linked] = []
    for survivor, retired in pairs:
        if retired not in done:
            await way.state(MemberLinkRequested(**way.who, survivor=survivor, retired=retired))
            linked.append(await link(way.reach, way.writer, way.door, way.keys, survivor, retired))
    return linked


@asynccontextmanager
async def _told(
    way: WayIn, files: Sequence[Path], format_: str, published: Published, card: Card
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Tell the operations topic of a run when it ends, also when it breaks off; what is given tells it once more."""
    run_id, started_at = str(uuid4()), datetime.now(UTC)
    keys = way.keys.payer_keys(way.door.payer.name)
    sizes = tuple(submitted(file, keys) for file in files[:FILES_MAX])

    async def tell(complete: bool = True) -> None:
        counts = {f"rows_{name}": getattr(published, name) for name in ("read", "accepted", "duplicate", "rejected")}
        run = FileRunRecorded(
            **way.who,
            run_id=run_id,
            format=format_,
            shift_years=way.door.shift_years,
            files=sizes,
            file_count=len(files),
            **counts,
            exact=published.exact,
            complete=complete,
            quality=card.document(),
            started_at=started_at,
            finished_at=datetime.now(UTC),
        )
        async with asyncio.timeout(TELL_SECONDS):
            await way.state(run)

    try:
        yield tell
    except BaseException:
        with suppress(KafkaError, TimeoutError):
            await tell(complete=False)
        raise
    if not published.exact:
        await tell()


async def waiting(settings: Settings, seconds: float, wait: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
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
        except KeyStoreAway as error:
            raise TryAgain(f"{error}; what was sent may be sent again") from None
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


def _show(published: Published, as_json: bool, acknowledgements: Sequence[Path] = (), linked: int = 0) -> None:
    summary = published.summary()
    if as_json:
        summary |= {"linked": linked} if linked else {}
        summary |= {"acknowledgements": [str(path) for path in acknowledgements]} if acknowledgements else {}
        print_json(summary)
        return
    rows = "row" if published.read == 1 else "rows"
    typer.echo(
        f"{published.read:,} {rows} read: {published.accepted:,} accepted, {published.duplicate:,} duplicate, "
        f"{published.rejected:,} rejected" + ("" if published.exact else " (duplicates are known with --wait)")
    )
    for family, count in summary["events"].items():
        typer.echo(f"  {count:>9,} {family}")
    if published.warned:
        typer.echo(f"  {published.warned:>9,} rows stand with what a check has against them")
    if linked:
        typer.echo(f"  {linked:>9,} members were the same as another, and are linked")
    for path in acknowledgements:
        typer.echo(f"  answered by {path}")
    if published.rejects:
        typer.echo("  `carepact rejects list` says where and why")


def print_json(document: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.buffer.flush()
