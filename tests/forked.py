"""Programs of the product as processes of their own, forked from a server that has imported them already.

To start one is a second and a half of imports, and a run of the tests starts hundreds. Such a process has all that
`python -m MODULE` gives: arguments, environment, working folder, standard streams, a session, signals, an exit code.
It lacks the start itself, which `carepact up` and its children go through in `tests/local` and
`tests/end_to_end/test_commands.py`, and `/proc/PID/environ` shows the server's.
"""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import functools
import gc
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO

from carepact.__main__ import COMMANDS
from carepact.local.child import PR_SET_PDEATHSIG
from carepact.local.processes import MARK
from carepact.schemas import pages

ROOT = Path(__file__).parents[1]
PRELOADED = sorted({named.partition(":")[0] for named in COMMANDS.values()} - {"bench.command"})
REQUEST_BYTES_MAX = 1 << 20
_NUMBER = struct.Struct("=i")
_making = threading.Lock()


class Forked:
    """A running program, as `asyncio.subprocess.Process` shows one."""

    def __init__(self, pid: int, told: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._told = told
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(told, self._end)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._told)
        self.returncode = _number(self._told)
        self._told.close()
        if not self._ended.done():
            self._ended.set_result(self.returncode)

    async def wait(self) -> int:
        """Its exit code once it has ended; minus the signal that ended it."""
        return await asyncio.shield(self._ended)

    def send_signal(self, wish: int) -> None:
        """Signal it, if it lives."""
        if self.returncode is None:
            os.kill(self.pid, wish)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


async def keep(words: Sequence[str], home: Path, output: Path, environment: Mapping[str, str]) -> Forked:
    """Start `python -m words...` as the supervisor's `spawn` starts a part of a home."""
    with output.open("ab") as printed:
        return await start(words, {**os.environ, **environment, MARK: str(home)}, printed, printed)


async def start(words: Sequence[str], environment: Mapping[str, str], out: IO[bytes], err: IO[bytes]) -> Forked:
    """Start `python -m words...`; it ends with the tests at the latest."""
    return Forked(*await asyncio.to_thread(_begin, words, environment, out, err))


def run(words: Sequence[str], environment: Mapping[str, str], seconds: float = 200) -> subprocess.CompletedProcess[str]:
    """Run `python -m words...` to its end, killed when that has not come by then."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid, told = _begin(words, environment, out, err)
        told.settimeout(seconds)
        try:
            code = _number(told)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            raise
        finally:
            told.close()
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(list(words), code, out.read().decode(), err.read().decode())


def _begin(
    words: Sequence[str], environment: Mapping[str, str], out: IO[bytes], err: IO[bytes]
) -> tuple[int, socket.socket]:
    ours, its = socket.socketpair()
    with its:
        request = {"words": list(words), "environment": dict(environment), "folder": str(Path.cwd())}
        socket.send_fds(_server(), [json.dumps(request).encode()], [its.fileno(), out.fileno(), err.fileno()])
    return _number(ours), ours


def _number(told: socket.socket) -> int:
    answer = told.recv(_NUMBER.size, socket.MSG_WAITALL)
    assert len(answer) == _NUMBER.size, "the server of forked processes has ended"
    return int(_NUMBER.unpack(answer)[0])


def _server() -> socket.socket:
    with _making:
        return _made()


@functools.cache
def _made() -> socket.socket:
    """The server of this process, which ends with it: a request is a message, and its end the end of all."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        serving = subprocess.Popen(
            [sys.executable, "-m", "tests.forked", str(its.fileno())],
            cwd=ROOT,
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        serving.wait()

    atexit.register(end)
    return ours


def serve(requests: socket.socket) -> list[str] | None:
    """Answer requests until there are no more, which is None; in each child, return the program it is to become."""
    for name in PRELOADED:
        import_module(name)
    pages()  # half a second of each gateway's start
    assert threading.active_count() == 1, "a fork copies one thread only"
    gc.collect()
    gc.freeze()
    running: dict[int, socket.socket] = {}
    woken, wakes = socket.socketpair()
    for end in (woken, wakes):
        end.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            woken.recv(4096)
            _tell_ends(running)
        if requests not in ready:
            continue
        request, descriptors, _, _ = socket.recv_fds(requests, REQUEST_BYTES_MAX, 3)
        if not request:
            return None
        told, out, err = socket.socket(fileno=descriptors[0]), *descriptors[1:]
        if pid := os.fork():
            running[pid] = told
            with suppress(OSError):
                told.send(_NUMBER.pack(pid))
            os.close(out)
            os.close(err)
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for inherited in (requests, woken, wakes, told, *running.values()):
            inherited.close()
        return _become(json.loads(request), out, err)


def _tell_ends(running: dict[int, socket.socket]) -> None:
    """Give each ended child's exit code to who started it."""
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with running.pop(pid) as told, suppress(OSError):
            told.send(_NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _become(request: dict[str, object], out: int, err: int) -> list[str]:
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # as it may be stopped when the tests are killed
    for descriptor, standard in ((out, 1), (err, 2)):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    environment = request["environment"]
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(str(request["folder"]))
    words = request["words"]
    assert isinstance(words, list)
    return words


if __name__ == "__main__":
    if program := serve(socket.socket(fileno=int(sys.argv[1]))):
        sys.argv = program
        sys.modules.pop(f"{program[0]}.__main__", None)  # run anew, as `-m` does
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
