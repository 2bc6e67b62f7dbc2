"""A worker whose intake stops between the log and its commit, and says so: `python -m tests.streams.held_worker`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from carepact.logging import to_stderr
from carepact.settings import Settings
from carepact.worker_command import run
from streams.intake import Intake

SAYS = "in the log, not committed"


async def _never(self: Intake, consumer: Any, reached: Any) -> bool:
    """In place of the commit."""
    del self, consumer, reached
    print(SAYS, flush=True)
    return bool(await asyncio.Event().wait())


if __name__ == "__main__":
    to_stderr()
    Intake.commit = _never  # type: ignore[method-assign]
    sys.exit(asyncio.run(run(Settings(), 0)))
