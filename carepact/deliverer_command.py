"""`carepact deliverer`: the process that sends feeds to endpoints. `carepact up` starts and watches it."""

from __future__ import annotations

import asyncio
import gc
import signal
from pathlib import Path
from typing import Annotated

import typer

from carepact.logging import to_stderr
from carepact.platform_commands import reported, settings_of
from carepact.settings import Settings, connection, open_key_store
from contracts.events import OperatorAct
from gateway.delivering import Config, Deliverer
from gateway.reaching import Reach
from gateway.signing import PURPOSE
from streams.log_writer import LogWriter, Position
from streams.operations import state
from streams.topics import AGENTS, OPERATOR


def deliverer(
    home: Annotated[
        Path | None, typer.Option(help="The platform's folder.", envvar="CAREPACT_HOME", show_default=False)
    ] = None,
) -> None:
    """Send feeds to the endpoints of their subscribers until Ctrl-C or SIGTERM. Of several, one sends.

    Example: carepact deliverer
    """
    to_stderr()
    with reported():
        config = config_of(settings_of(home))
    gc.freeze()
    asyncio.run(_run(config))


def config_of(settings: Settings) -> Config:
    """What the settings say of a deliverer."""
    keys = open_key_store(settings)
    try:
        key = keys.platform_key(PURPOSE)
    finally:
        keys.close()
    roster = settings.load_roster()

    async def stated(act: OperatorAct) -> Position:
        """It is rare, so that it has a producer of its own each time."""
        async with LogWriter(connection(settings, AGENTS), "carepact.deliverer") as writer:
            return await state(writer, roster, act)

    return Config(
        reader=connection(settings, OPERATOR).postgres,
        agent=connection(settings, AGENTS).postgres,
        payers=[payer.name for payer in roster.payers],
        key=key,
        reach=Reach(private=settings.webhooks_private, ca_file=settings.webhooks_ca),
        state=stated,
    )


async def _run(config: Config) -> None:
    stopped = asyncio.Event()
    for wish in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(wish, stopped.set)
    await Deliverer(config).run(stopped)
