"""Processes of a home: started so that they end with their supervisor, found again when they did not."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

MARK = "CAREPACT_PART_OF"  # in the environment of every part, with the home as its value
CHILD = Path(__file__).with_name("child.py")
PATIENCE_SECONDS = 20
LOG_BYTES_MAX = 10_000_000  # a longer one is set aside at the next start


async def spawn(
    program: Sequence[str],
    home: Path,
    output: Path,
    *,
    death_signal: signal.Signals = signal.SIGTERM,
    user: str = "-",
    environment: Mapping[str, str] | None = None,
) -> asyncio.subprocess.Process:
    """Start a part in a session of its own, so that a terminal's Ctrl-C reaches the supervisor only."""
    _set_aside(output)
    launcher = [sys.executable, "-I", "-S", str(CHILD), str(os.getpid()), str(int(death_signal)), user, "--"]
    with output.open("ab") as printed:
        return await asyncio.create_subprocess_exec(
            *launcher,
            *program,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            env={**os.environ, **(environment or {}), MARK: str(home)},
            start_new_session=True,
        )


async def printed_by(program: asyncio.subprocess.Process) -> bytes:
    """All that a program prints until it ends; who waits no longer ends it."""
    try:
        return (await program.communicate())[0]
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()


def _set_aside(output: Path) -> None:
    if output.exists() and output.stat().st_size > LOG_BYTES_MAX:
        output.replace(output.with_suffix(".old.log"))


def left_over(home: Path) -> list[int]:
    """Processes of this home that an earlier supervisor left, by the mark in their environment."""
    wanted = f"{MARK}={home}".encode()
    mine = _ancestry()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            marked = wanted in (entry / "environ").read_bytes().split(b"\0")
            if marked and int(entry.name) not in mine and _state(int(entry.name)) != "Z":
                found.append(int(entry.name))
    return sorted(found)


def end(pids: Sequence[int], patience_seconds: float = PATIENCE_SECONDS) -> None:
    """End processes that may not be our children: asked first, then killed, and waited for."""
    descriptors = {pid: fd for pid in pids if (fd := _pidfd(pid)) is not None}
    alive = descriptors
    try:
        for wish, patience in ((signal.SIGTERM, patience_seconds), (signal.SIGKILL, PATIENCE_SECONDS)):
            for fd in alive.values():
                _send(fd, wish)
                _send(fd, signal.SIGCONT)
            alive = _outlasting(alive, patience)
    finally:
        for fd in descriptors.values():
            os.close(fd)


def _outlasting(alive: Mapping[int, int], patience_seconds: float) -> dict[int, int]:
    left, until = dict(alive), time.monotonic() + patience_seconds
    poll = select.poll()
    for fd in left.values():
        poll.register(fd, select.POLLIN)
    while left and (remaining := until - time.monotonic()) > 0:
        for fd, _ in poll.poll(remaining * 1000):
            poll.unregister(fd)
            left = {pid: other for pid, other in left.items() if other != fd}
    return left


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _send(pidfd: int, wish: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, wish)


def _ancestry() -> set[int]:
    pid, found = os.getpid(), set[int]()
    while pid > 1:
        found.add(pid)
        pid = int(_stat(pid)[1])
    return found


def _state(pid: int) -> str:
    return _stat(pid)[0]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold spaces: state, parent, ..."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")[2].split()


async def gone(pid: int) -> None:
    """Return when a process that is not our child has ended."""
    if (descriptor := _pidfd(pid)) is None:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
