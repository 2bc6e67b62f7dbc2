"""A service that runs beside the agents and starts again by itself when a store is away."""

from __future__ import annotations

import asyncio
import sqlite3
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from mode import Service

from projections.store import Fenced
from streams.connections import BROKEN, Connections

AWAY = (KafkaError, asyncpg.PostgresError, *BROKEN, sqlite3.OperationalError, OSError, TimeoutError)
BACK_OFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
STEADY_SECONDS = 30.0

log = structlog.get_logger(__name__)


class Restarting(Service):  # type: ignore[misc]
    """Calls `run` until it is asked to stop. What a store does to it is said once and tried again; all else crashes."""

    abstract = True

    @Service.task  # type: ignore[untyped-decorator]
    async def _keep_running(self) -> None:
        tries, loop = 0, asyncio.get_running_loop()
        while not self.should_stop:
            began = loop.time()
            try:
                await self.run(self._asked_to_stop)
                tries = 0
            except Fenced:
                log.info("fenced", service=self.label)
                await self.sleep(BACK_OFF_SECONDS[2])
            except AWAY as error:
                tries = 1 if loop.time() - began > STEADY_SECONDS else tries + 1
                if tries == 1:
                    log.warning("store_away", service=self.label, error=type(error).__name__)
                await self.sleep(BACK_OFF_SECONDS[min(tries, len(BACK_OFF_SECONDS)) - 1])

    @abstractmethod
    async def run(self, stopped: Callable[[], bool]) -> None:
        """The work, until `stopped()`."""

    def _asked_to_stop(self) -> bool:
        return bool(self.should_stop)


class GroupConsumer:
    """A consumer in a group that commits nothing by itself. `forget` is called when partitions may have been lost."""

    def __init__(
        self, connections: Connections, group: str, topics: list[str], forget: Callable[[], None] = lambda: None
    ) -> None:
        self._topics = topics
        self._forget = forget
        self._consumer = AIOKafkaConsumer(
            **connections.aiokafka(),
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=6_000,
            heartbeat_interval_ms=1_000,
            rebalance_timeout_ms=30_000,
            max_partition_fetch_bytes=5 * 1_048_576,
        )

    async def __aenter__(self) -> Any:
        self._consumer.subscribe(self._topics, listener=_Forgetting(self._forget))
        try:
            await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        return self._consumer

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()


class _Forgetting(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, forget: Callable[[], None]) -> None:
        self._forget = forget

    async def on_partitions_revoked(self, revoked: Any) -> None:
        del revoked
        self._forget()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        del assigned
