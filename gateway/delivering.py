"""The process that sends webhooks: one at a time for all endpoints, by a lease; others stand by and take over.

Each endpoint has a courier of its own, so that one that hangs holds up nothing but itself. Endpoints are looked at
every second; one that was changed has its courier stopped, and then another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import structlog

from gateway.courier import Courier, Means
from gateway.reaching import Reach
from gateway.tails import STORE_ERRORS, Tails
from projections import webhooks
from streams.endpoint_acts import State
from streams.lease import TTL, Lease, LeaseLost

SHARD = "webhooks"
LOOK_SECONDS = 1.0
AGAIN_SECONDS = 2.0
IN_FLIGHT_MAX = 512
CONNECTIONS = 4
COMMAND_SECONDS = 10
STOP_SECONDS = 18.0
ATTEMPTS_KEPT = timedelta(days=30)
FORGET_SECONDS = 3_600.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Config:
    """What a deliverer is made of: a reader's and an agent's address of the database, the key of secrets, and
    the way to state an act."""

    reader: str
    agent: str
    payers: Sequence[str]
    key: bytes
    reach: Reach
    state: State
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ttl: timedelta = TTL


class Deliverer:
    """`run` sends until it is told to stop."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._couriers: dict[UUID, tuple[int, Courier, asyncio.Task[None]]] = {}

    async def run(self, stopped: asyncio.Event) -> None:
        """Take the lease whenever it is free; keep it until `stopped`, or until another has taken it."""
        async with self._config.reach, _pool(self._config.reader) as readers, _pool(self._config.agent) as agents:
            while not stopped.is_set():
                try:
                    async with agents.acquire() as connection:
                        lease = await Lease.take(connection, SHARD, str(uuid4()), self._config.ttl)
                    if lease is not None:
                        log.info("webhooks_held", epoch=lease.epoch)
                        await self._hold(lease, readers, agents, stopped)
                except LeaseLost:
                    log.warning("webhooks_lost")
                except STORE_ERRORS as error:
                    log.warning("webhooks_wait_for_store", error=type(error).__name__)
                await _until(stopped, AGAIN_SECONDS)

    async def _hold(self, lease: Lease, readers: Any, agents: Any, stopped: asyncio.Event) -> None:
        tails = Tails(readers.acquire, self._config.payers)
        means = Means(
            self._config.reach, tails, readers.acquire, agents.acquire, lease.compare, self._config.key,
            asyncio.Semaphore(IN_FLIGHT_MAX), self._config.state, self._config.now,
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        forget_at = loop.time()
        try:
            while not stopped.is_set():
                async with agents.acquire() as connection:
                    await lease.hold(connection)
                    await self._look(connection, means)
                    if loop.time() >= forget_at:
                        await webhooks.forget_attempts(connection, self._config.now() - ATTEMPTS_KEPT)
                        forget_at = loop.time() + FORGET_SECONDS
                await _until(stopped, LOOK_SECONDS)
        finally:
            await self._stop()
            await tails.close()
            with suppress(*STORE_ERRORS):
                async with agents.acquire() as connection:
                    await lease.release(connection)

    async def _look(self, connection: Any, means: Means) -> None:
        """Have a courier for each endpoint as it is now."""
        known = await webhooks.generations(connection)
        for endpoint_id, (generation, courier, task) in list(self._couriers.items()):
            if task.done():
                del self._couriers[endpoint_id]
                if not task.cancelled() and (error := task.exception()) is not None:
                    if isinstance(error, LeaseLost):
                        raise error
                    log.error("courier_failed", endpoint=str(endpoint_id), error=type(error).__name__)
            elif known.get(endpoint_id) != generation:
                courier.stop()
        for endpoint_id in known.keys() - self._couriers.keys():
            found = await webhooks.endpoint(connection, None, endpoint_id)
            if found is not None and found.status == "active":
                courier = Courier(found, means)
                task = asyncio.create_task(courier.run(), name=f"courier-{endpoint_id}")
                self._couriers[endpoint_id] = found.generation, courier, task

    async def _stop(self) -> None:
        """Let couriers finish what is under way."""
        tasks = [task for _, _, task in self._couriers.values()]
        for _, courier, _ in self._couriers.values():
            courier.stop()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._couriers.clear()


def _pool(dsn: str) -> Any:
    """Connections that are made when they are needed."""
    return asyncpg.create_pool(
        dsn, min_size=0, max_size=CONNECTIONS, timeout=COMMAND_SECONDS, command_timeout=COMMAND_SECONDS
    )


async def _until(stopped: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopped.wait()
