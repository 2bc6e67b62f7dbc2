"""Three payers' logs in Kafka, applied to a database and relayed: what replays and audits are tested on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import asyncpg

from carepact.local.platform import LocalPlatform
from projections.digests import LOG_BATCHES, TABLES, Sums
from streams.connections import Connections
from streams.log_writer import LogWriter
from streams.reconciling import log_ends
from streams.relay import take_over
from streams.replay import log_records
from streams.roster import Payer, Roster
from streams.topics import episodes_topic, log_topic, payments_topic
from streams.verifying import Report, verify
from streams.verifying_log import Batches
from tests.streams.logs import Log, population
from tests.streams.test_folding import agent_on, give


@dataclass
class Sent:
    """A made-up record as the log writer takes it."""

    partition: int
    key: bytes
    value: bytes


def chained(log: str, partition: int, boundaries: Sequence[int], records: Sequence[Any]) -> Sums:
    """The sums of a log's chain, given where its batches ended."""
    sums = Sums()
    sums.add(TABLES[LOG_BATCHES], Batches(log, partition, boundaries).take(records))
    return sums


@dataclass
class World:
    """Three payers' logs in Kafka, applied and relayed."""

    roster: Roster
    connections: Connections
    connection: Any

    async def publish(self, payer: Payer) -> None:
        """Made-up lives into the payer's log, behind the first record that is there already."""
        log = population(Log(payer.name, payer.contract, plan=payer.plans[0].name if payer.plans else ""), 12, 20)
        records = [
            Sent(partition, record.key or b"", record.value)
            for partition, own in log.records.items()
            for record in own[1:]
        ]
        async with LogWriter(self.connections) as writer:
            await writer.write(log_topic(payer.name), records)

    async def apply(self, payer: Payer) -> None:
        """Fold and store the payer's whole log."""
        ends = await log_ends(self.connections, payer.name)
        async with agent_on(self.connections.postgres, payer) as agent:
            for partition in range(4):
                cut = ends[str(partition)]
                async for records in log_records(self.connections, log_topic(payer.name), partition, cut):
                    await give(agent, {partition: records})

    async def relay(self, payer: Payer) -> None:
        """Send all that is in the payer's outbox."""
        arguments = (
            payer.name,
            [payments_topic(payer.name), episodes_topic(payer.name)],
            self.connections,
            self.connection,
        )
        async with take_over(*arguments) as shard:
            assert shard is not None
            while await shard.step():
                pass

    async def verify(self, payer: str = "medicare") -> Report:
        """Verify one payer as an operator would."""
        return await verify(self.connections, [one for one in self.roster.payers if one.name.endswith(payer)])

    @asynccontextmanager
    async def changed(self, statement: str, back: str) -> AsyncIterator[None]:
        """Something is wrong in the live tables for a while."""
        await self.connection.execute(statement)
        try:
            yield
        finally:
            await self.connection.execute(back)


@asynccontextmanager
async def world_of(platform: LocalPlatform, name: str, payers: int = 3) -> AsyncIterator[World]:
    """A world of the first payers, `<name>-medicare` and so on, all applied, the first one relayed."""
    whole = Roster.load()
    roster = whole.model_copy(update={"payers": whole.payers[:payers]}).within(name)
    await platform.make_ready(roster)
    dsn = await platform.create_database(name)
    connection = await asyncpg.connect(dsn)
    made = World(roster, replace(platform.connections(), dsn=dsn), connection)
    for payer in roster.payers:
        await made.publish(payer)
        await made.apply(payer)
    await made.relay(roster.payers[0])
    try:
        yield made
    finally:
        await connection.close()
        await platform.drop_database(name)
