"""Work in processes beside this one, so that several cores fold at once. What work is, it says itself."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import pickle
import resource
import sys
from pathlib import Path
from struct import Struct
from typing import Any, Protocol, Self, TypeVar, cast

Answer_co = TypeVar("Answer_co", covariant=True)

CORES = os.cpu_count() or 1
CHILD = "from streams.beside import main; main()"
LENGTH = Struct("<q")


class Work(Protocol[Answer_co]):
    """Something to be done in another process: it and its answer can be pickled."""

    async def done(self) -> Answer_co:
        """Do it."""


class WorkFailed(Exception):
    """A process did not come to its end; what it said is on standard error."""


class Processes:
    """Processes that do work, each one thing at a time. They start when there is something to do, and end with this.

    `niceness` is added to theirs, so that live work comes first.
    """

    def __init__(self, at_most: int = CORES, niceness: int = 0) -> None:
        self._room = asyncio.Semaphore(at_most)
        self._niceness = niceness
        self._idle: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for child in self._idle:
            await _end(child)

    async def do(self, work: Work[Answer_co]) -> Answer_co:
        """Have something done in one of them. What it raises is raised here."""
        async with self._room:
            child = self._idle.pop() if self._idle else await self._start()
            try:
                well, answer = await _ask(child, work)
            except BaseException:
                await _end(child)
                raise
            self._idle.append(child)
        if not well:
            raise cast(Exception, answer)
        return cast(Answer_co, answer)

    async def _start(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        words = (sys.executable, "-c", CHILD, str(self._niceness))
        return await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe)


async def _ask(child: asyncio.subprocess.Process, work: Work[Any]) -> tuple[bool, Any]:
    assert child.stdin is not None and child.stdout is not None
    asked = pickle.dumps(work)
    try:
        child.stdin.write(LENGTH.pack(len(asked)) + asked)
        await child.stdin.drain()
        (length,) = LENGTH.unpack(await child.stdout.readexactly(LENGTH.size))
        answer: tuple[bool, Any] = pickle.loads(await child.stdout.readexactly(length))  # noqa: S301 - our own child's
    except (asyncio.IncompleteReadError, ConnectionError):
        raise WorkFailed(f"a process for {type(work).__name__} ended with {await child.wait()}") from None
    return answer


async def _end(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    await child.wait()


def main() -> None:
    """Work from standard input, one thing after another, each answer to standard output."""
    asked, answer = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    os.nice(int(sys.argv[1]))
    gc.set_threshold(50_000, 20, 50)  # parts live long; as in a worker
    while head := asked.read(LENGTH.size):
        work: Work[Any] = pickle.loads(asked.read(*LENGTH.unpack(head)))  # noqa: S301 - from our own parent
        said = _said(work)
        answer.write(LENGTH.pack(len(said)) + said)
        answer.flush()


def _said(work: Work[Any]) -> bytes:
    try:
        return pickle.dumps((True, asyncio.run(work.done())))
    except Exception as error:
        said = pickle.dumps((False, error))
        pickle.loads(said)  # noqa: S301 - an error that cannot be read again is one of ours, and ends this process
        return said


@contextlib.contextmanager
def no_collector() -> Any:
    """Leave garbage to whoever calls `gc.collect`, after each slice; what was there before is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def peak_bytes() -> int:
    """What this process held at most; where the system tells it, without what it was forked from."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(status[status.index("VmHWM:") :].split(maxsplit=2)[1])
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
