"""Kafka and PostgreSQL as every other test finds them."""

from __future__ import annotations

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from carepact.local.platform import LocalPlatform
from streams.roster import Roster
from streams.topics import log_topic

pytestmark = [pytest.mark.platform, pytest.mark.payers("medicare")]


async def test_an_agent_writes_a_log_and_reads_it_back(platform: LocalPlatform, roster: Roster) -> None:
    topic = log_topic(roster.names[0])
    agents = platform.connections("agents").aiokafka()
    async with AIOKafkaProducer(**agents, acks="all", enable_idempotence=True) as producer:
        written = await producer.send_and_wait(topic, b"fact", key=b"member", partition=2)
    assert written.timestamp_type == 1, "the log keeps the broker's time"
    consumer = AIOKafkaConsumer(topic, **agents, auto_offset_reset="earliest")
    async with consumer:
        read = await anext(record async for record in consumer if record.offset == 1)
    assert (read.partition, read.offset, read.key, read.value) == (2, 1, b"member", b"fact")


async def test_each_database_role_has_its_rights_and_limits(platform: LocalPlatform, fresh_database: str) -> None:
    name = fresh_database.partition("?")[0].rpartition("/")[2]
    owner = await asyncpg.connect(fresh_database)
    agent = await asyncpg.connect(platform.dsn("carepact_agent", name))
    reader = await asyncpg.connect(platform.dsn("carepact_reader", name))
    try:
        await owner.execute("CREATE TABLE seen (id int)")
        await agent.execute("INSERT INTO seen VALUES (1)")
        assert await reader.fetchval("SELECT id FROM seen") == 1
        assert await agent.fetchval("SHOW statement_timeout") == "10s"
        assert await agent.fetchval("SHOW idle_in_transaction_session_timeout") == "5s"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await agent.execute("DROP TABLE seen")
        with pytest.raises(asyncpg.PostgresError):
            await reader.execute("INSERT INTO seen VALUES (2)")
    finally:
        for connection in (owner, agent, reader):
            await connection.close()
