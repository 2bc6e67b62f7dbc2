"""Keeps parts running: starts them in order, starts a dead one again with back-off, stops them in reverse order."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from carepact.local.errors import PlatformError, Refused

BACK_OFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
STEADY_SECONDS = 30.0
READY_SECONDS = 180.0  # a start takes 4 s, and far longer on a machine that is busy otherwise
ASK_AGAIN_SECONDS = 0.05
log = structlog.get_logger(__name__)


class Process(Protocol):
    """What the supervisor asks of a running process."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    async def wait(self) -> int:
        """Its exit code, once it has ended."""


class Part(Protocol):
    """What the supervisor must know of a program to keep it running."""

    name: str
    stop_signal: signal.Signals
    stop_seconds: float

    async def prepare(self) -> None:
        """Make ready for a start; raise `Refused` where it must not be started."""

    async def start(self) -> Process:
        """Start the process."""

    async def answers(self) -> bool:
        """Whether it does its work now."""


class Kept:
    """One part and its process. `pid` changes whenever it was started again; None while there is no process."""

    def __init__(self, part: Part, changed: Callable[[], None]) -> None:
        self.part, self._changed = part, changed
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._started = asyncio.Event()  # replaced at each start, so that a waiter sees the next
        self._stopping = False
        self.starts = 0

    @property
    def name(self) -> str:
        """The part's name in logs and in `status`."""
        return self.part.name

    @property
    def pid(self) -> int | None:
        """The process id, or None between a death and the next start."""
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def up(self) -> bool:
        """Whether the part has answered since its last start."""
        return self._up.is_set()

    async def start(self) -> None:
        """Start the part and return when it answers; from then on it is kept running."""
        self._task = asyncio.create_task(self._keep(), name=f"keep-{self.name}")
        waiting = asyncio.create_task(self.until_up())
        await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED, timeout=READY_SECONDS)
        if self._task.done():
            waiting.cancel()
            await self._task
        if not self.up:
            waiting.cancel()
            raise PlatformError(f"{self.name} did not answer within {READY_SECONDS:.0f} s; its log says why")

    async def until_up(self) -> None:
        """Return when the part answers, which is at once if it does already."""
        await self._up.wait()

    async def until_started_again(self, starts: int) -> None:
        """Return when the part answers after more than `starts` starts, a count taken before it was killed."""
        while self.starts <= starts:
            await self._started.wait()
        await self.until_up()

    async def stop(self) -> None:
        """Stop the part for good: asked first, killed when it does not listen."""
        self._stopping = True
        process = self._process
        if process and process.returncode is None:
            self.send(self.part.stop_signal)
            self.send(signal.SIGCONT)
            try:
                await asyncio.wait_for(process.wait(), self.part.stop_seconds)
            except TimeoutError:
                log.warning("part_killed", part=self.name, after_seconds=self.part.stop_seconds)
                self.send(signal.SIGKILL)
                await process.wait()
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError, PlatformError):
                await self._task
        self._up.clear()

    def send(self, wish: signal.Signals) -> None:
        """Send a signal to the part's process, if it lives."""
        if pid := self.pid:
            with suppress(ProcessLookupError):
                os.kill(pid, wish)

    async def _keep(self) -> None:
        failures = 0
        while True:
            started_at = time.monotonic()
            await self._run_once()
            if self._stopping:
                return
            failures = 0 if time.monotonic() - started_at > STEADY_SECONDS else failures + 1
            pause = BACK_OFF_SECONDS[min(failures, len(BACK_OFF_SECONDS)) - 1] if failures else BACK_OFF_SECONDS[0]
            code = self._process.returncode if self._process else None
            log.warning("part_died", part=self.name, exit_code=code, starts_again_in_seconds=pause)
            await asyncio.sleep(pause)

    async def _run_once(self) -> None:
        """From a start to the process's end. A refusal at the first start is the caller's; later it is tried again."""
        try:
            await self.part.prepare()
            self._process = await self.part.start()
        except Refused:
            if not self.starts:
                raise
            log.exception("part_refused", part=self.name)
            return
        self.starts += 1
        self._started.set()
        self._started = asyncio.Event()
        process = self._process
        answering = asyncio.create_task(self._until_it_answers(process))
        self._changed()
        try:
            await process.wait()
        finally:
            answering.cancel()
            self._up.clear()
            if not self._stopping:
                self._changed()

    async def _until_it_answers(self, process: Process) -> None:
        while not await self.part.answers():  # noqa: ASYNC110 - a server tells nobody when it begins to answer
            await asyncio.sleep(ASK_AGAIN_SECONDS)
        if process.returncode is None:
            self._up.set()
            log.info("part_up", part=self.name, pid=process.pid, starts=self.starts)
            self._changed()


async def stop_all(kept: Sequence[Kept]) -> None:
    """Stop parts in the reverse of their order, whatever one of them does."""
    for one in reversed(kept):
        try:
            await one.stop()
        except Exception:
            log.exception("part_did_not_stop", part=one.name)
