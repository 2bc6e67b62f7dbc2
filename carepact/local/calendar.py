"""The process that closes days, as a part that is kept running."""

from __future__ import annotations

import asyncio
import signal
import sys

from carepact.local.home import Home
from carepact.local.processes import spawn


class Calendar:
    """`carepact calendar`."""

    name = "calendar"
    stop_signal = signal.SIGTERM
    stop_seconds = 10.0

    def __init__(self, home: Home) -> None:
        self._home = home

    async def prepare(self) -> None:
        """It keeps nothing on disk."""

    async def start(self) -> asyncio.subprocess.Process:
        """Start the process."""
        command = [sys.executable, "-m", "carepact", "calendar", "--home", str(self._home)]
        return await spawn(command, self._home.path, self._home.logs / f"{self.name}.log")

    async def answers(self) -> bool:
        """Whether it runs, which the supervisor knows."""
        return True
