"""`carepact checkpoints`: signs the heads of all logs as they grow. `carepact up` runs and watches it."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import structlog
import typer
from aiokafka.errors import KafkaError

from carepact.logging import to_stderr
from carepact.settings import Settings, connection
from streams.checkpointing import EDGES, Keeper
from streams.checkpoints import FILE, KEY, Book, Signer
from streams.topics import OPERATOR
from streams.verifying_log import UnreadableLog

AGAIN_SECONDS = 5.0
log = structlog.get_logger(__name__)


def checkpoints(
    home: Annotated[
        Path | None, typer.Option(help="The platform's folder.", envvar="CAREPACT_HOME", show_default=False)
    ] = None,
) -> None:
    """Sign the heads of every payer's logs whenever they moved, every CAREPACT_CHECKPOINT_SECONDS, until SIGTERM.

    Example: carepact checkpoints
    """
    to_stderr()
    asyncio.run(_run(Settings(home=home) if home else Settings()))


async def _run(settings: Settings) -> None:
    stopped = asyncio.Event()
    for wish in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(wish, stopped.set)
    await keep(settings, stopped)


def keeper_of(settings: Settings) -> Keeper:
    """Signs in the home's book with the home's key."""
    reach, roster, home = connection(settings, OPERATOR), settings.load_roster(), settings.home_folder
    book = Book(reach, home.path / FILE, roster.space)
    return Keeper(reach, roster, book, Signer(home.secrets / KEY), home.path / EDGES)


async def keep(settings: Settings, stopped: asyncio.Event) -> None:
    """Until `stopped`: sign what moved, then wait. A lost broker is retried; a damaged log is told again and again."""
    keeper = keeper_of(settings)
    while not stopped.is_set():
        seconds = float(settings.checkpoint_seconds)
        try:
            for payer in await keeper.step(lambda: datetime.now(UTC)):
                log.info("checkpoint_signed", payer=payer)
        except UnreadableLog as damaged:
            log.error("log_unreadable", topic=damaged.topic, first=damaged.first, last=damaged.last)
        except (KafkaError, OSError, TimeoutError) as error:
            seconds = AGAIN_SECONDS
            log.warning("no_checkpoint", error=type(error).__name__, again_seconds=seconds)
        try:
            await asyncio.wait_for(stopped.wait(), seconds)
        except TimeoutError:
            continue
