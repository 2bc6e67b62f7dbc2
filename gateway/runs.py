"""Runs of files: one file through the door, its progress, and what is told of it.

A run is told to the operations topic when it begins, when it has ended, and once more when the projection has been
waited for: only then is it known which rows were duplicates. A run that broke off, whatever killed it, is gone on with
when the same bytes come again; what it had written then counts as duplicate. The same bytes that come while they are
being taken in join that run.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

import asyncpg
import structlog
from aiokafka.errors import KafkaError

from contracts.events import FileRunRecorded, MemberLinkRequested
from contracts.events.operations import SubmittedFile
from formats import mapping
from formats.detect import check_file, read_files
from formats.mapping import FORMAT
from formats.mapping_file import Mapping
from formats.table import UnknownLayout
from formats.x12 import Validate
from formats.x12_acknowledge import Hearing
from gateway.acknowledgements import Acknowledgements
from gateway.doors import Doors, WayIn
from gateway.metrics import Metrics
from gateway.principals import Principal
from gateway.problems import Problem, told
from gateway.sending import taken
from gateway.spool import Spooled
from projections.facts import links_asked_for, retired_among
from projections.file_runs import broken_off
from streams.operations import submitted_as
from streams.publishing import Published, StandsStill, settle
from streams.quality import Card

KEPT = 1_000
COUNTS = ("read", "accepted", "duplicate", "rejected")
SETTLE_SECONDS = 600
TELL_SECONDS = 30

Status = Literal["running", "complete", "broken"]

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Run:
    """One file on its way. `over` is set when it has ended, `settled` when its counts are exact or stay inexact."""

    run_id: str
    payer: str
    plan: str
    by: str
    format: str
    shift_years: int
    file: SubmittedFile
    published: Published
    card: Card
    status: Status = "running"
    problem: Problem | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    finished_at: datetime | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def document(self) -> dict[str, Any]:
        """As the API tells it."""
        return {
            "run_id": self.run_id,
            "payer": self.payer,
            "plan": self.plan,
            "status": self.status,
            "format": self.format,
            "shift_years": self.shift_years,
            "size_bytes": self.file.size_bytes,
            **self.published.summary(),
            "quality": self.card.document().model_dump(),
            "problem": self.problem.code if self.problem else None,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
        }


class Runs:
    """The runs of this process."""

    def __init__(self, doors: Doors, acknowledgements: Acknowledgements, metrics: Metrics) -> None:
        self._doors, self._acknowledgements, self._metrics = doors, acknowledgements, metrics
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._at_work: dict[tuple[str, str, str], Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, run_id: str) -> Run | None:
        """A run of this process."""
        return self._runs.get(run_id)

    def of(self, caller: Principal) -> list[Run]:
        """Those that a caller may see, newest first."""
        return [run for run in reversed(self._runs.values()) if caller.sees(run.payer, run.plan)]

    async def close(self) -> None:
        """Break off what is under way; it is told to have broken off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def begin(
        self,
        caller: Principal,
        way: WayIn,
        spooled: Spooled,
        name: str,
        format_: str,
        validate: Validate,
        held: ExitStack,
        by: Mapping | None = None,
    ) -> Run:
        """Take a file in, in a task of its own; `held` is closed when that has ended. `Problem` 422: of no format.

        With a mapping (`by`) it is a table that the mapping reads.
        """
        payer, plan = caller.tenant
        await known_format(spooled, format_, by)
        format_, sha256 = (format_, spooled.sha256) if by is None else (FORMAT, _mapped(by, spooled.sha256))
        keys = await asyncio.to_thread(lambda: self._doors.keys().payer_keys(payer))
        file = submitted_as(name, spooled.size_bytes, keys, sha256)
        at = payer, f"{plan}|{format_}|{validate}|{way.door.shift_years}", file.content_digest
        if (same := self._at_work.get(at)) is not None:
            held.close()
            return same
        publisher = await self._doors.publisher(way)
        run_id = await self._broken_off(payer, plan, file.content_digest) or str(uuid4())
        if (same := self._at_work.get(at)) is not None:  # it came while we asked
            held.close()
            return same
        shift_years = way.door.shift_years
        publisher.card = card = Card()
        run = Run(run_id, payer, plan, caller.by, format_, shift_years, file, publisher.published, card)
        self._at_work[at] = self._runs[run_id] = run
        while len(self._runs) > KEPT:
            self._runs.popitem(last=False)

        hearing = Hearing(validate)
        publisher.refused = hearing.refused

        async def work() -> None:
            with held:
                try:
                    await self._tell(run, complete=False)
                    items = read_files([spooled.path], format_, validate=validate, by=by, readers=hearing.readers)
                    async for _ in taken(self._doors, way, publisher, items):
                        pass
                    await self._ask_for_links(run, way)
                    answers = ((kind, text) for _, _, kind, text in hearing.answers(datetime.now(UTC)))
                    await asyncio.to_thread(self._acknowledgements.keep, run.run_id, keys, answers)
                    await self._ended(run, "complete")
                except BaseException as error:
                    run.problem = _problem_of(error)
                    await self._ended(run, "broken")
                    if isinstance(error, asyncio.CancelledError):
                        raise
                finally:
                    self._at_work.pop(at, None)
                    run.over.set()
            await self._settle(run)

        self._task(work(), run)
        return run

    async def _ask_for_links(self, run: Run, way: WayIn) -> None:
        """Have it noted which members are one person by a file: the gateway cannot read the log to move their facts."""
        if not (pairs := way.door.take_links()):
            return
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with (await self._doors.pool()).acquire() as connection:
                done = await retired_among(connection, run.payer, [retired for _, retired in pairs])
                asked = set(await links_asked_for(connection, run.payer))
                pairs = [pair for pair in pairs if pair[1] not in done and pair not in asked]
        for survivor, retired in pairs:
            said = {"payer": run.payer, "plan": run.plan, "by": run.by}
            await self._doors.state(MemberLinkRequested(**said, survivor=survivor, retired=retired))
        log.info("links_asked_for", run_id=run.run_id, payer=run.payer, count=len(pairs))

    def _task(self, work: Any, run: Run) -> None:
        task = asyncio.create_task(work, name=f"run-{run.run_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: run.settled.set())

    async def _ended(self, run: Run, status: Status) -> None:
        run.finished_at = datetime.now(UTC)
        run.status = status
        counts = {name: getattr(run.published, name) for name in COUNTS}
        self._metrics.events(run.payer, {name: count for name, count in counts.items() if name != "read"})
        log.info("file_run", run_id=run.run_id, payer=run.payer, status=status, **counts)
        await self._tell(run, complete=status == "complete")

    async def _settle(self, run: Run) -> None:
        """Count exactly, once the projection has come so far."""
        if run.status != "complete":
            return
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, StandsStill):
            async with asyncio.timeout(SETTLE_SECONDS), self._doors.connected() as connection:
                await settle(connection, run.payer, run.published)
            await self._tell(run, complete=True)

    async def _tell(self, run: Run, complete: bool) -> None:
        """Have it in the operations topic; a run that cannot be told goes on being one that broke off."""
        counts = {
            f"rows_{name}": getattr(run.published, name) for name in ("read", "accepted", "duplicate", "rejected")
        }
        act = FileRunRecorded(
            payer=run.payer,
            plan=run.plan,
            by=run.by,
            run_id=run.run_id,
            format=run.format,
            shift_years=run.shift_years,
            files=(run.file,),
            file_count=1,
            **counts,
            exact=run.published.exact,
            complete=complete,
            quality=run.card.document(),
            started_at=run.started_at,
            finished_at=run.finished_at or datetime.now(UTC),
        )
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await self._doors.state(act)
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning("run_not_told", run_id=run.run_id, error=type(error).__name__)

    async def _broken_off(self, payer: str, plan: str, content: str) -> str | None:
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with (await self._doors.pool()).acquire() as connection:
                return await broken_off(connection, payer, plan, content)
        return None


def _mapped(by: Mapping, sha256: bytes) -> bytes:
    """What tells a file apart that is read by a mapping: the same bytes by another one are another file."""
    return hashlib.sha256(mapping.head_of(by) + sha256).digest()


async def known_format(spooled: Spooled, format_: str, by: Mapping | None = None) -> None:
    """`Problem` 422 when a file is of no format that can be told, or not of the one named, or not the mapping's."""
    try:
        await asyncio.to_thread(check_file, spooled.path, format_, by)
    except UnknownLayout as unknown:
        if by is not None:
            raise Problem(422, "bad_mapping", str(unknown)) from None
        detail = "the file is of no format that can be told by its content, or not of the one named"
        raise Problem(422, "unknown_format", detail) from None


def _problem_of(error: BaseException) -> Problem:
    if isinstance(error, UnknownLayout):
        return Problem(422, "unknown_format", "what follows in the file is of no format that can be told")
    if isinstance(error, Exception):
        return told(error)
    return Problem(503, "away", "the gateway was stopped; send the same file again", retry_after=5)
