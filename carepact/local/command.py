"""A carepact command that keeps nothing on disk of its own, as a part that is kept running."""

from __future__ import annotations

import asyncio
import signal
import sys

from carepact.local.home import Home
from carepact.local.processes import spawn


class Command:
    """`carepact <name>`: `calendar`, `checkpoints`, `deliverer`."""

    stop_signal = signal.SIGTERM

    def __init__(self, home: Home, name: str, stop_seconds: float = 10.0) -> None:
        self._home, self.name, self.stop_seconds = home, name, stop_seconds

    async def prepare(self) -> None:
        """There is nothing to make ready."""

    async def start(self) -> asyncio.subprocess.Process:
        """Start the process."""
        command = [sys.executable, "-m", "carepact", self.name, "--home", str(self._home)]
        return await spawn(command, self._home.path, self._home.logs / f"{self.name}.log")

    async def answers(self) -> bool:
        """Whether it runs, which the supervisor knows."""
        return True
