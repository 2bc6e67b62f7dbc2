"""Worker processes on the real Kafka and PostgreSQL: any number of them, killed and stopped, make the same rows."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from carepact.local.platform import LocalPlatform
from projections import store
from streams.reading import log_reader
from streams.roster import Roster
from streams.topics import log_topic, payments_topic
from tests.streams.logs import Log, population
from tests.streams.tables import assert_same, rows
from tests.streams.test_folding import run
from tests.streams.test_parking import produce
from tests.streams.workers import watch, workers_on

pytestmark = [pytest.mark.platform, pytest.mark.payers("medicare")]
MakeDatabase = Callable[[], Awaitable[str]]
SENT = ("outbox", "order")


async def sent_payments(platform: LocalPlatform, payer: str) -> Counter[str]:
    """The ids in a payer's payments topic, as a `read_committed` subscriber gets them."""
    topic = payments_topic(payer)
    async with log_reader(platform.connections()) as reader:
        begins, ends = await reader.bounds([(topic, p) for p in range(4)])
        found = await reader.records({at: range(begins[at], ends[at]) for at in ends})
    return Counter(json.loads(record.value)["id"] for record in found.values())


async def compared(dsn: str, payer: str) -> dict[str, list[tuple[object, ...]]]:
    """All compared rows of one payer but the outbox, which is relayed."""
    pool = await store.open_pool(dsn, 1)
    try:
        made = await rows(pool, *SENT)
    finally:
        await pool.close()
    return {
        table: [row for row in part if payer in row or log_topic(payer) in row or table == "ledger_line"]
        for table, part in made.items()
    }


async def test_one_and_three_workers_make_the_same_rows_and_send_each_payment_once(
    platform: LocalPlatform, roster: Roster, make_database: MakeDatabase, tmp_path: Path
) -> None:
    payer = roster.payers[0]
    log = population(Log(payer.name), members=20, facts=20)
    await produce(platform, log)
    expected = await run(await make_database(), log.batches(2000), payer=payer)
    for numbers in ((0,), (0, 1, 2)):
        dsn = await make_database()
        async with workers_on(platform, roster, dsn, tmp_path) as workers, watch(dsn) as look:
            await workers.start(*numbers)
            await look.until_read(payer.name, sum(map(len, log.records.values())))
            await look.until_relayed()
            assert await workers.stop() == [0] * len(numbers)
        made = await compared(dsn, payer.name)
        assert_same({name: part for name, part in expected.items() if name not in SENT}, made)
        assert await sent_payments(platform, payer.name) == Counter(str(row[3]) for row in made["payment"])


@pytest.mark.chaos
async def test_killed_and_stopped_workers_lose_and_repeat_nothing(
    platform: LocalPlatform, roster: Roster, make_database: MakeDatabase, tmp_path: Path
) -> None:
    payer = roster.payers[0]
    log = population(Log(payer.name), members=40, facts=24)
    whole = {partition: records[1:] for partition, records in log.records.items()}
    dsn = await make_database()
    producer = AIOKafkaProducer(**platform.connections().aiokafka(), acks="all")
    await producer.start()
    sent = 4

    async def send(share: float) -> None:
        nonlocal sent
        for partition, records in whole.items():
            count = int(len(records) * share) + 1
            for record in records[:count]:
                await producer.send(log_topic(payer.name), record.value, key=record.key, partition=partition)
            sent += len(records[:count])
            whole[partition] = records[count:]
        await producer.flush()

    async with workers_on(platform, roster, dsn, tmp_path) as workers, watch(dsn) as look:
        await workers.start(0, 1)
        await send(0.2)
        await look.until_read(payer.name, sent)
        owned = await look.until(
            "SELECT array_agg(owner) FROM (SELECT DISTINCT owner FROM consumer_offset WHERE consumer = 'contract'"
            " AND topic = $1) o HAVING count(*) = 2",
            log_topic(payer.name),
        )
        await send(0.3)
        victim = await workers.kill(0)
        assert f"worker-0/{victim}" in owned
        await workers.start(0)
        await send(0.3)
        await look.until(
            "SELECT sum(next_offset) > $2 FROM consumer_offset WHERE topic = $1", *(log_topic(payer.name), 40)
        )
        zombie = workers.send(1, signal.SIGSTOP)
        assert f"worker-1/{zombie}" in (await look.owners(payer.name)).values()
        await send(0.5)
        await look.until(
            "SELECT bool_and(owner LIKE 'worker-0/%') FROM consumer_offset WHERE consumer = 'contract' AND topic = $1",
            log_topic(payer.name),
        )
        workers.send(1, signal.SIGCONT)
        await send(1)
        await look.until_read(payer.name, sent)
        await look.until_relayed()
        await workers.stop()
    await producer.stop()
    topic = log_topic(payer.name)
    async with log_reader(platform.connections()) as reader:
        begins, ends = await reader.bounds([(topic, p) for p in range(4)])
        found = await reader.records({at: range(begins[at], ends[at]) for at in ends})
    log.records = {p: [found[topic, p, o] for o in range(ends[topic, p])] for p in range(4)}
    assert sum(map(len, log.records.values())) == sent
    expected = await run(await make_database(), log.batches(2000), payer=payer)
    made = await compared(dsn, payer.name)
    assert_same({name: part for name, part in expected.items() if name not in SENT}, made)
    assert await sent_payments(platform, payer.name) == Counter(str(row[3]) for row in made["payment"])
