"""The Faust app of one worker: contract agents for each payer, the transport that feeds them, and what runs beside.

Faust supervises and gives agents their channels. Its tables, commits and producer carry nothing here; its one topic
agent is on a control topic, because an app without any does not start.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
import mode

from contracts.fold import Fold
from contracts.parts import Adoption
from contracts.roster import fold_for
from streams.agents import ContractAgent, Interruption, declare
from streams.connections import Connections
from streams.folding import Folder
from streams.member_cache import CACHE_BYTES, Budget
from streams.roster import Payer, Roster
from streams.topics import control_topic, payments_topic
from streams.transport import BATCH_RECORDS, GROUP, Transport

LANES = 2
"""Of each payer in one worker: one folds while the other's transaction is with PostgreSQL."""

MakeFolds = Callable[[Payer], Callable[[Adoption], Fold]]


def folds(payer: Payer) -> Callable[[Adoption], Fold]:
    """The payer's contract, for each partition's adoption."""
    return lambda adoption: fold_for(payer.contract, payer.name, adoption)


def folder_of(payer: Payer, make_folds: MakeFolds = folds, budget: Budget | None = None) -> Folder:
    """A payer's folding engine, as live agents and replays use it. Without a `budget` it has one of its own."""
    return Folder(payer.name, payer.contract, payments_topic(payer.name), make_folds(payer), budget)


@dataclass(frozen=True)
class Built:
    """An app and its parts."""

    app: Any
    agents: Sequence[ContractAgent]
    transport: Transport


def build(
    roster: Roster,
    connections: Connections,
    pool: Any,
    *,
    index: int = 0,
    owner: str = "",
    batch_records: int = BATCH_RECORDS,
    cache_bytes: int = CACHE_BYTES,
    make_folds: MakeFolds = folds,
    beside: Iterable[mode.ServiceT] = (),
    after_commit: Callable[[str], None] = lambda _: None,
) -> Built:
    """The app of worker `index`. `beside` are services that start before the transport and stop after it.

    `after_commit(payer)` is called in this process after every committed batch; others learn by LISTEN.
    """
    space = f".{roster.space}" if roster.space else ""
    app = faust_app(f"{GROUP}.app{space}", roster, connections)
    budget = Budget(cache_bytes)
    lanes: list[tuple[ContractAgent, int]] = []
    for payer in roster.payers:
        said_once = Interruption()
        for lane in range(LANES):
            folder = folder_of(payer, make_folds, budget)
            lanes.append((ContractAgent(payer, pool, folder, after_commit=after_commit, interruption=said_once), lane))
    transport = Transport(
        connections,
        pool,
        [(agent, declare(app, agent, lane)) for agent, lane in lanes],
        instance=f"worker-{index}",
        owner=owner or f"worker-{index}",
        group=f"{GROUP}{space}",
        batch_records=batch_records,
        beacon=app.beacon,
    )
    app.on_start_services = [*beside, transport]
    return Built(app, [agent for agent, _ in lanes], transport)


class App(faust.App):  # type: ignore[misc]
    """A Faust app that starts services of ours once its agents run, and stops them first."""

    on_start_services: Iterable[Any] = ()

    async def on_started(self) -> None:
        """Agents are up: start what feeds them."""
        await super().on_started()
        for service in self.on_start_services:
            await self.add_runtime_dependency(service)

    async def on_stop(self) -> None:
        """Stop what feeds the agents while they still serve."""
        for service in reversed(list(self.on_start_services)):
            await service.stop()
        await super().on_stop()


def faust_app(name: str, roster: Roster, connections: Connections) -> App:
    """Faust with the settings under which it does no harm."""
    app = App(
        name,
        broker=connections.faust_broker,
        broker_credentials=connections.faust_credentials(),
        datadir=Path(tempfile.gettempdir()) / "carepact-faust",  # it is made and stays empty: there are no tables
        processing_guarantee="at_least_once",
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        stream_wait_empty=False,
        broker_session_timeout=6,
        broker_heartbeat_interval=1,
        broker_rebalance_timeout=30,
        broker_request_timeout=60,
        broker_max_poll_interval=86400,
        consumer_auto_offset_reset="earliest",
        producer_acks=-1,
        value_serializer="raw",
        key_serializer="raw",
        store="memory://",
        web_enabled=False,
        web_tables_enabled=False,
        web_router_enabled=False,
        agent_supervisor=mode.CrashingSupervisor,
    )

    @app.agent(app.topic(control_topic(roster.space), value_serializer="raw", key_serializer="raw"), name="control")  # type: ignore[untyped-decorator]
    async def control(records: Any) -> None:
        async for _ in records:
            pass

    return app
