"""What the pipeline is held against: the same topic read by a bare consumer, and by a bare Faust agent.

    python -m bench.plain_readers {aiokafka|faust} HOME TOPIC EVENTS

Each decodes every record as JSON and counts it, and prints one JSON object. Neither stores nor decides anything.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import faust
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from carepact.settings import Settings, connection
from streams.connections import Connections

GIVE_UP_SECONDS = 180


async def aiokafka_reader(connections: Connections, topic: str, events: int) -> float:
    """Seconds from the first batch until `events` records are decoded."""
    consumer = AIOKafkaConsumer(
        **connections.aiokafka(), group_id=None, enable_auto_commit=False, auto_offset_reset="earliest",
        isolation_level="read_committed", max_partition_fetch_bytes=1_048_588,
    )  # fmt: skip
    await consumer.start()
    try:
        await consumer._client._wait_on_metadata(topic)  # its public call wants a subscription
        consumer.assign([TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)])
        counted, began = 0, time.perf_counter()
        while counted < events:
            for records in (await consumer.getmany(timeout_ms=1000, max_records=2_000)).values():
                for record in records:
                    counted += bool(orjson.loads(record.value)["id"])
        return time.perf_counter() - began
    finally:
        await consumer.stop()


async def faust_agent(connections: Connections, topic: str, events: int) -> float:
    """Seconds from an agent's first event to its last, one at a time as Faust's documentation has it."""
    app = faust.App(
        f"carepact.bench.{time.time_ns()}",
        broker=connections.faust_broker,
        broker_credentials=connections.faust_credentials(),
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        store="memory://",
        web_enabled=False,
        stream_wait_empty=False,
        broker_request_timeout=60,
        broker_session_timeout=30,
        broker_heartbeat_interval=3,
    )
    done = asyncio.Event()
    seen = {"events": 0, "began": 0.0, "ended": 0.0}

    @app.agent(app.topic(topic, value_serializer="json", key_serializer="raw"))  # type: ignore[untyped-decorator]
    async def count(stream: Any) -> None:
        async for event in stream:
            if not seen["events"]:
                seen["began"] = time.perf_counter()
            seen["events"] += bool(event["id"])
            if seen["events"] == events:
                seen["ended"] = time.perf_counter()
                done.set()

    await app.start()
    try:
        await done.wait()
    finally:
        await app.stop()
    return seen["ended"] - seen["began"]


READERS = {"aiokafka": aiokafka_reader, "faust": faust_agent}


def main(name: str, home: str, topic: str, events: str) -> None:
    """Read, and print the rate."""

    async def read() -> float:
        async with asyncio.timeout(GIVE_UP_SECONDS):
            return await READERS[name](connection(Settings(home=Path(home))), topic, int(events))

    seconds = asyncio.run(read())
    sys.stdout.buffer.write(orjson.dumps({"events": int(events), "seconds": seconds}) + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:5])
