"""What the local platform's own tests start for themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from carepact.local.home import Home
from carepact.local.running import down
from tests import forked
from tests.homes import home_folder


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder near the root of the file system, as a socket's path may have 107 bytes only."""
    with home_folder("cp-") as folder:
        yield Path(folder)


class Command:
    """`carepact` as its user runs it: a process, its home, its standard error."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.running: list[subprocess.Popen[bytes]] = []

    def run(self, *words: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return forked.run(self._words(*words), self._environment(), timeout)

    def start(self, *words: str, until: bytes) -> subprocess.Popen[bytes]:
        """Start a command and return when it has said `until`."""
        program = [sys.executable, "-m", *self._words(*words)]
        process = subprocess.Popen(program, env=self._environment(), stderr=subprocess.PIPE)
        self.running.append(process)
        assert process.stderr is not None
        said = []
        while line := process.stderr.readline():
            said.append(line.decode())
            if until in line:
                return process
        raise AssertionError("".join(said))

    def _words(self, *words: str) -> list[str]:
        return ["carepact.platform_commands", words[0], "--home", str(self.home), *words[1:]]

    def _environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name != "CAREPACT_HOME"}


@pytest.fixture
def carepact(short_folder: Path) -> Iterator[Command]:
    """The command on a home of its own; whatever it left running is ended."""
    command = Command(short_folder / "home")
    yield command
    for process in command.running:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(120)
        assert process.stderr is not None
        process.stderr.close()
    down(Home(command.home))
