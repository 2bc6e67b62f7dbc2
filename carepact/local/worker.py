"""One worker process of the contract agents, as a part that is kept running."""

from __future__ import annotations

import signal
import sys

from carepact.local.home import Home
from carepact.local.processes import spawn
from carepact.local.supervisor import Process


class Worker:
    """`carepact worker` number `index`. It answers once it runs; what it has done shows in its positions."""

    stop_signal = signal.SIGTERM
    stop_seconds = 20.0

    def __init__(self, home: Home, index: int) -> None:
        self._home, self.index = home, index
        self.name = f"worker-{index}"

    async def prepare(self) -> None:
        """A worker keeps nothing on disk."""

    async def start(self) -> Process:
        """Start the worker's process."""
        return await spawn(
            [sys.executable, "-m", "carepact", "worker", "--home", str(self._home), "--index", str(self.index)],
            self._home.path,
            self._home.logs / f"{self.name}.log",
        )

    async def answers(self) -> bool:
        """Whether it runs, which the supervisor knows."""
        return True
