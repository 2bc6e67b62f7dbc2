"""`carepact up` and `carepact down`: a platform as a process of its own, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

import structlog

from carepact.local import jars
from carepact.local.errors import PlatformError, TryAgain
from carepact.local.home import Home
from carepact.local.platform import LocalPlatform
from carepact.local.processes import end, gone, left_over
from carepact.settings import Settings

INTERRUPTED = 130
DOWN_SECONDS = 90
log = structlog.get_logger(__name__)


async def up(platform: LocalPlatform, *, with_parent: bool, ready: Callable[[], None]) -> int:
    """Run until Ctrl-C, SIGTERM or, `with_parent`, the death of the process that started this one."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    why: list[str] = []

    def stop(reason: str) -> None:
        why.append(reason)
        stopped.set()

    loop.add_signal_handler(signal.SIGINT, stop, "interrupted")
    loop.add_signal_handler(signal.SIGTERM, stop, "asked to end")
    orphaned = asyncio.create_task(_until_orphaned(stop)) if with_parent else None
    stopping = asyncio.create_task(stopped.wait())
    starting = asyncio.create_task(platform.start())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            ready()
            await stopping
        log.info("stopping", why=why[0])
    finally:
        for task in filter(None, (orphaned, stopping, starting)):
            task.cancel()
        await asyncio.wait({starting})
        await platform.stop()
    return INTERRUPTED if why[0] == "interrupted" else 0


async def _until_orphaned(stop: Callable[[str], None]) -> None:
    if (parent := os.getppid()) > 1:
        await gone(parent)
        stop("the process that started this one has ended")


def up_detached(settings: Settings, workers: int, options: Sequence[str] = ()) -> None:
    """Start a supervisor in the background and return when all is ready; what it refuses is raised here.

    `options` are further ones of `carepact up`. What must be fetched is fetched first, where its progress can be seen.
    """
    home = settings.home_folder
    home.make()
    if settings.kafka is None:
        jars.class_path(settings.kafka_jars, settings.maven)
    reading, writing = os.pipe()
    words = [sys.executable, "-m", "carepact.platform_commands", "up", "--home", str(home), "--workers", str(workers)]
    words += options
    with (home.logs / "supervisor.log").open("ab") as printed:
        subprocess.Popen(
            [*words, "--ready-descriptor", str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            pass_fds=(writing,),
            start_new_session=True,
        )
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as answer:
        code, _, message = answer.read().partition(" ")
    if code != "0":
        failed = PlatformError(message or f"the supervisor ended before it was ready; see {home.logs}/supervisor.log")
        failed.exit_code = int(code or 1)
        raise failed


def down(home: Home) -> bool:
    """Stop the platform of a home, whoever runs it; answers whether there was something to stop."""
    holder = home.holder()
    if holder:
        os.kill(holder, signal.SIGTERM)
        try:
            asyncio.run(_until_gone(holder))
        except TimeoutError:
            raise TryAgain(f"process {holder} has not stopped within {DOWN_SECONDS} s") from None
    orphans = left_over(home.path)
    end(orphans)
    return bool(holder or orphans)


async def _until_gone(pid: int) -> None:
    async with asyncio.timeout(DOWN_SECONDS):
        await gone(pid)


def tell(descriptor: int | None, code: int, message: str = "") -> None:
    """Answer the process that waits for this one in `up_detached`, once."""
    if descriptor is not None:
        os.write(descriptor, f"{code} {message}".encode())
        os.close(descriptor)
