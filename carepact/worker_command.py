"""`carepact worker`: one process of the contract agents. `carepact up` starts and watches as many as it is asked."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import mode
import structlog
import typer
from aiokafka import AIOKafkaClient
from aiokafka.errors import KafkaError

from carepact.logging import to_stderr
from carepact.settings import Settings, connection, open_key_store
from projections.store import connect_by_key, open_pool
from streams.agents import is_transient
from streams.app import Built, build
from streams.connections import Connections
from streams.individual import Individual
from streams.intake import Intake
from streams.keys import WrappedKeyStore
from streams.operations import OperationProjector
from streams.rejects import RejectProjector
from streams.relay import Relay
from streams.requests import Requests
from streams.roster import Payer, Roster
from streams.topics import episodes_topic, outcomes_topic, payments_topic, settlements_topic, topics

PROGRESS_SECONDS = 30.0
AGAIN_SECONDS = 1.0
COLLECT = (1_000_000, 10, 100)
"""When the collector looks: what a batch makes holds no cycles, and parts live long."""

log = structlog.get_logger(__name__)


def worker(
    home: Annotated[
        Path | None, typer.Option(help="The platform's folder.", envvar="CAREPACT_HOME", show_default=False)
    ] = None,
    index: Annotated[int, typer.Option(min=0, help="The worker's number: its place in the group.")] = 0,
) -> None:
    """Run one worker of the contract agents until Ctrl-C or SIGTERM. `carepact up --workers N` does this for you.

    Example: carepact worker --index 0
    """
    to_stderr()
    settings = Settings(home=home) if home else Settings()
    gc.set_threshold(*COLLECT)
    raise typer.Exit(asyncio.run(run(settings, index)))


async def run(settings: Settings, index: int, **options: Any) -> int:
    """One worker; answers 0 when it was asked to end, 1 when it crashed and should be started again.

    `options` are those of `streams.app.build`.
    """
    roster, connections = settings.load_roster(), connection(settings)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for wish in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(wish, stopped.set)
    if not await _until(_kafka_answers, connections, stopped, "kafka_away"):
        return 0
    if not await _until(_postgres_answers, connections, stopped, "postgres_away"):
        return 0
    pool = await open_pool(connections.postgres, size=2 * len(roster.payers) + 2)
    keys = _Keys(settings)
    try:
        return await _serve(
            roster, connections, pool, index, stopped, _ways_in(settings, connections, keys, index), options
        )
    finally:
        keys.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pool.close(), 5)


class _Keys:
    """The key store, opened by who needs it first: folding goes on though it is away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: WrappedKeyStore | None = None

    def here(self) -> bool:
        """Whether there is one: a file made by a worker on another machine would give other tokens."""
        if self._settings.keys_database or self._settings.key_store.exists():
            return True
        log.warning("no_intake_here", reason="no key store", remedy="set CAREPACT_KEYS to the one that publishes")
        return False

    def open(self) -> WrappedKeyStore:
        """The store, the same at each call."""
        if self._store is None:
            self._store = open_key_store(self._settings)
        return self._store

    def close(self) -> None:
        """Let go of it."""
        if self._store is not None:
            self._store.close()


def _ways_in(settings: Settings, connections: Connections, keys: _Keys, index: int) -> list[mode.ServiceT]:
    """What takes in payers' own writes, and what brings rejects and operations into their tables.

    The groups share the topics out.
    """
    roster = settings.load_roster()
    beside: list[mode.ServiceT] = [
        projector(connections, roster, _owner(index)) for projector in (RejectProjector, OperationProjector)
    ]
    if keys.here():
        beside.append(Intake(connections, roster, topics(roster, settings.log_partitions), keys.open))
        beside.append(Individual(connections, roster, keys.open))
    return beside


def _owner(index: int) -> str:
    return f"worker-{index}/{os.getpid()}"


async def _serve(
    roster: Roster,
    connections: Connections,
    pool: Any,
    index: int,
    stopped: asyncio.Event,
    ways_in: list[mode.ServiceT],
    options: dict[str, Any],
) -> int:
    async def connect() -> Any:
        return await connect_by_key(connections.postgres)

    relays = {payer.name: Relay(payer.name, outputs(payer), connections, connect) for payer in roster.payers}
    beside: list[mode.ServiceT] = [*ways_in, *relays.values()]
    beside += [Requests(payer.name, payer.contract, connections, connect) for payer in roster.payers]
    built = build(
        roster,
        connections,
        pool,
        index=index,
        owner=_owner(index),
        beside=beside,
        after_commit=lambda payer: relays[payer].wake(),
        **options,
    )
    progress = asyncio.create_task(_say_progress(built))
    gc.freeze()
    try:
        await built.app.start()
        await built.app.wait(stopped)
        crashed = built.app.crash_reason
    finally:
        progress.cancel()
        await built.app.stop()
    if crashed is not None:
        log.error("worker_crashed", error=type(crashed).__name__, exc_info=crashed)
    return 1 if crashed is not None else 0


def outputs(payer: Payer) -> tuple[str, ...]:
    """Every topic that a payer's outbox may name."""
    own = payments_topic(payer.name), episodes_topic(payer.name), settlements_topic(payer.name)
    return (*own, *(outcomes_topic(plan.name) for plan in payer.plans))


async def _say_progress(built: Built) -> None:
    """A line for each payer that moved, so that a stuck worker shows by its silence."""
    before: dict[str, int] = {}
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for agent in built.agents:
            counts[agent.payer.name].update({name: getattr(agent.counts, name) for name in agent.counts.__slots__})
        for payer, counted in counts.items():
            if counted["batches"] != before.get(payer, 0):
                before[payer] = counted["batches"]
                log.info("worker_progress", payer=payer, **counted)


async def _until(
    answers: Callable[[Connections], Awaitable[None]], connections: Connections, stopped: asyncio.Event, said: str
) -> bool:
    """Try until a store answers; False when asked to end before."""
    first = True
    while not stopped.is_set():
        try:
            await answers(connections)
            return True
        except Exception as error:
            if not is_transient(error) and not isinstance(error, KafkaError):
                raise
            if first:
                log.warning(said, error=type(error).__name__)
            first = False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), AGAIN_SECONDS)
    return False


async def _kafka_answers(connections: Connections) -> None:
    arguments = connections.aiokafka()
    client = AIOKafkaClient(**arguments)
    try:
        await asyncio.wait_for(client.bootstrap(), 10)
    finally:
        await client.close()


async def _postgres_answers(connections: Connections) -> None:
    opened = await asyncpg.connect(connections.postgres, timeout=5)
    try:
        await opened.fetchval("SELECT 1 FROM consumer_offset LIMIT 1")
    finally:
        await opened.close()
