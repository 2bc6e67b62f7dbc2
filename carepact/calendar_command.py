"""`carepact calendar`: closes each payer's days as they pass. `carepact up --close-days` runs and watches it.

The one place where the clock becomes facts: at each payer's midnight the day that ended is broadcast as closed, and
from then on only the log speaks of it (seam 10). After a standstill one closing covers all days missed.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import structlog
import typer
from aiokafka.errors import KafkaError

from carepact.logging import to_stderr
from carepact.settings import Settings, connection, open_key_store
from streams.broadcasts import close_day
from streams.door import Door
from streams.log_writer import LogWriter
from streams.roster import Payer
from streams.topics import OPERATOR, log_topic, topics

AGAIN_SECONDS = 5.0
log = structlog.get_logger(__name__)


def calendar(
    home: Annotated[
        Path | None, typer.Option(help="The platform's folder.", envvar="CAREPACT_HOME", show_default=False)
    ] = None,
) -> None:
    """Close each payer's days as they pass, in the roster's time zones, until Ctrl-C or SIGTERM.

    Example: carepact calendar
    """
    to_stderr()
    settings = Settings(home=home) if home else Settings()
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    stopped = asyncio.Event()
    for wish in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(wish, stopped.set)
    await keep(settings, stopped, lambda: datetime.now(UTC))


async def keep(settings: Settings, stopped: asyncio.Event, now: Callable[[], datetime]) -> None:
    """Until `stopped`: close what has passed, then wait for any payer's next midnight. A lost broker is retried."""
    payers = settings.load_roster().payers
    closed: dict[str, date] = {}
    while not stopped.is_set():
        seconds = AGAIN_SECONDS
        try:
            await close_passed(settings, payers, closed, now())
            seconds = min(until_midnight(payer, now()) for payer in payers)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("days_not_closed", error=type(error).__name__, again_seconds=seconds)
        try:
            await asyncio.wait_for(stopped.wait(), seconds)
        except TimeoutError:
            continue


async def close_passed(
    settings: Settings, payers: tuple[Payer, ...], closed: dict[str, date], instant: datetime
) -> None:
    """Close, for each payer whose last closed day is older, the day before the one it is there now."""
    due = {payer: passed_in(payer, instant) for payer in payers}
    due = {payer: day for payer, day in due.items() if closed.get(payer.name, date.min) < day}
    if not due:
        return
    declared = {topic.name: topic for topic in topics(settings.load_roster(), settings.log_partitions)}
    keys = open_key_store(settings)
    try:
        async with LogWriter(connection(settings, OPERATOR), "carepact.calendar") as writer:
            for payer, day in due.items():
                door = Door(payer, keys, await writer.partitions(declared[log_topic(payer.name)]))
                await close_day(writer, door, day)
                closed[payer.name] = day
                log.info("day_closed", payer=payer.name, through_on=day.isoformat())
    finally:
        keys.close()


def passed_in(payer: Payer, instant: datetime) -> date:
    """The last day that has wholly passed where the payer is."""
    return instant.astimezone(ZoneInfo(payer.time_zone)).date() - timedelta(days=1)


def until_midnight(payer: Payer, instant: datetime) -> float:
    """Seconds until the payer's next day begins; summer time is the zone's affair."""
    zone = ZoneInfo(payer.time_zone)
    tomorrow = instant.astimezone(zone).date() + timedelta(days=1)
    begins = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone)
    return max((begins.astimezone(UTC) - instant).total_seconds(), 0.0) + 1.0
