"""`carepact demo`: the main job on a fresh home, with real Kafka and real PostgreSQL, on one screen."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import orjson
import structlog
import typer
from rich.console import Console
from rich.table import Table

from carepact.adopting import adopt_bundled
from carepact.generate import write
from carepact.local.errors import PlatformError
from carepact.local.platform import LocalPlatform
from carepact.local.waiting import wait
from carepact.platform_commands import Json, reported
from carepact.settings import Settings, connection, open_key_store
from carepact.telling import dollars, tell_payment
from formats.detect import read_file
from projections.explain import explain_payment
from projections.payer_panel import Panel, payer_panel, payment_worth_explaining
from streams.broadcasts import close_day
from streams.door import Door
from streams.log_writer import LogWriter
from streams.publishing import Publisher
from streams.rejects import RejectBook
from streams.topics import OPERATOR, log_topic, topics
from streams.verifying import Report, verify

FIRST_YEAR, FIRST_MONTH = 2023, 7
WAIT_SECONDS = 300
DIFFERS = 6


class DemoFailed(PlatformError):
    """The demo did not come to its end."""


def demo_command(
    members: Annotated[int, typer.Option(min=20, help="People of the population, over three payers.")] = 2_000,
    seed: Annotated[int, typer.Option(help="Same seed, same people.")] = 7,
    months: Annotated[int, typer.Option(min=3, max=72, help="Months of service, from July 2023.")] = 24,
    workers: Annotated[int, typer.Option(min=1, max=4, help="Worker processes.")] = 1,
    home: Annotated[
        Path | None, typer.Option(help="An empty folder to use and keep; a temporary one without it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the whole path: three payers' events into Kafka, contracts folding them, payments explained and verified.

    Example: carepact demo --members 200
    """
    quiet = structlog.make_filtering_bound_logger(40)
    structlog.configure(wrapper_class=quiet, logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with reported(), _folder(home) as folder:
        shown = asyncio.run(_run(Settings(home=folder / "home"), folder, members, seed, months, workers))
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(shown.document(), option=orjson.OPT_INDENT_2) + b"\n")
    else:
        shown.print()
    raise typer.Exit(DIFFERS if shown.report.difference else 0)


@contextmanager
def _folder(home: Path | None) -> Iterator[Path]:
    if home is not None:
        if home.exists() and any(home.iterdir()):
            raise DemoFailed(f"{home} is not empty; the demo wants a fresh folder")
        home.mkdir(parents=True, exist_ok=True)
        yield home
        return
    with tempfile.TemporaryDirectory(prefix="carepact-demo-") as folder:
        yield Path(folder)


class _Steps:
    """Says on standard error what is done, as it is done, and keeps the seconds of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._console = Console(stderr=True, highlight=False)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step of the demo."""
        begun = time.monotonic()
        self._console.print(f"[dim]{name} ...[/dim]")
        yield
        self.seconds[name] = time.monotonic() - begun


async def _run(settings: Settings, folder: Path, members: int, seed: int, months: int, workers: int) -> _Shown:
    steps = _Steps()
    with steps.step("making a population"):
        made = write(folder / "population", members, seed, months)
    platform = LocalPlatform(settings=settings, workers=workers, prepared=lambda: _adopt(settings))
    with steps.step("starting Kafka and PostgreSQL (the first start fetches Kafka's jars)"):
        await platform.start()
    try:
        with steps.step(f"publishing {sum(made.files.values()):,} events through the door"):
            read = await _publish(settings, folder / "population", _last_day(months))
        with steps.step("folding, deciding, relaying"):
            await wait(settings, WAIT_SECONDS)
        with steps.step("replaying the log beside it"):
            report = await verify(connection(settings, OPERATOR), list(settings.load_roster().payers))
        database = await asyncpg.connect(connection(settings, OPERATOR).postgres)
        try:
            panels = [await payer_panel(database, name) for name in settings.load_roster().names]
            chosen = await payment_worth_explaining(database)
            why = await explain_payment(database, chosen) if chosen else None
        finally:
            await database.close()
        rejects = sum(count["rejected"] for count in read.values())
        return _Shown(panels, why, report, read, rejects, steps.seconds)
    finally:
        with steps.step("stopping"):
            await platform.stop()


async def _adopt(settings: Settings) -> None:
    await adopt_bundled(settings)


def _last_day(months: int) -> date:
    """The day after which everything has happened: six months after the last month of service."""
    year, month = divmod(FIRST_YEAR * 12 + FIRST_MONTH - 1 + months + 6, 12)
    return date(year, month + 1, 1)


async def _publish(settings: Settings, files: Path, through: date) -> dict[str, dict[str, Any]]:
    roster = settings.load_roster()
    declared = {topic.name: topic for topic in topics(roster, settings.log_partitions)}
    keys = open_key_store(settings)
    read: dict[str, dict[str, Any]] = {}
    try:
        async with LogWriter(connection(settings, OPERATOR), "carepact.demo") as writer:
            for payer in roster.payers:
                door = Door(payer, keys, await writer.partitions(declared[log_topic(payer.name)]))
                publisher = Publisher(door, writer, RejectBook(payer.name, keys))
                for file in (files / "practices.ndjson", files / f"{payer.name}.ndjson"):
                    await publisher.publish(read_file(file, "ndjson"))
                await close_day(writer, door, through)
                read[payer.name] = publisher.published.summary()
    finally:
        keys.close()
    return read


class _Shown:
    """What the demo found, for a screen or a script."""

    def __init__(
        self,
        panels: list[Panel],
        why: dict[str, Any] | None,
        report: Report,
        read: dict[str, dict[str, Any]],
        rejects: int,
        seconds: dict[str, float],
    ) -> None:
        self.panels, self.why, self.report = panels, why, report
        self.read, self.rejects, self.seconds = read, rejects, seconds

    def document(self) -> dict[str, Any]:
        """The same as one JSON document."""
        return {
            "payers": [
                {
                    "payer": panel.payer,
                    "events_in": self.read[panel.payer]["read"],
                    "facts": panel.facts,
                    "members_with_episode": panel.members,
                    "episodes": {"valid": panel.valid, "included": panel.included, "void": panel.void},
                    "payments": [
                        {
                            "kind": kind.kind,
                            "determined": kind.determined,
                            "reversed": kind.reversed,
                            "net_cents": kind.net_cents,
                        }
                        for kind in panel.kinds
                    ],
                    "at_risk": {"months": panel.warned, "cents": panel.at_risk_cents},
                }
                for panel in self.panels
            ],
            "explained": self.why,
            "verify": self.report.as_json(),
            "rejects": self.rejects,
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }

    def print(self) -> None:
        """One screen: who is owed what, why, and that replay gives the same."""
        console = Console(highlight=False)
        table = Table(title="Who is owed what", title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for name in ("payer", "events", "episodes", "counted", "void", "kind", "made", "reversed", "net"):
            table.add_column(name, justify="left" if name in ("payer", "kind") else "right", no_wrap=True)
        for panel in self.panels:
            for index, kind in enumerate(panel.kinds or (None,)):
                first = (
                    panel.payer,
                    f"{self.read[panel.payer]['read']:,}",
                    f"{panel.valid + panel.void:,}",
                    f"{panel.included:,}",
                    f"{panel.void:,}",
                )
                money = (
                    (kind.kind, f"{kind.determined:,}", f"{kind.reversed:,}", dollars(kind.net_cents))
                    if kind
                    else ("-", "0", "0", dollars(0))
                )
                table.add_row(*(first if index == 0 else ("",) * 5), *money)
        console.print(table)
        for panel in self.panels:
            if panel.warned:
                at_risk = dollars(panel.at_risk_cents)
                console.print(f"{panel.payer}: {panel.warned:,} paid months at risk, {at_risk} would come back")
        if self.why is not None:
            console.print("\n[bold]One payment, explained[/bold]")
            for line in tell_payment(self.why, brief=True):
                console.print(line, markup=False, soft_wrap=True)
        console.print()
        if self.report.difference is None:
            console.print(
                f"[bold]{self.report.events:,} events replayed from the log: the same result[/bold], "
                f"every row and all {self.report.emitted:,} payments and warnings on Kafka."
            )
        else:
            console.print(f"[bold red]replay differs in {self.report.difference.table}[/bold red]")
        if self.rejects:
            console.print(f"{self.rejects:,} records were rejected, with place and remedy")
        console.print(f"[dim]{sum(self.seconds.values()):.0f} s in all[/dim]")
