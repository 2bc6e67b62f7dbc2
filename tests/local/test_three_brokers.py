"""The three brokers of `compose.yaml` as three processes: the loss of one stops no acknowledged write."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from carepact.local import compose, jars
from carepact.local.home import Home, free_ports
from carepact.local.kafka import LOG4J, QUIET, java, storage_format
from carepact.local.kafka_properties import Node, render
from carepact.local.processes import spawn
from streams.admin import Admin
from streams.connections import Connections
from streams.roster import Roster
from streams.topics import log_topic, topics

SMALL = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
CLUSTER_ID = "Y2FyZXBhY3QtY2x1c3Rlcg"
WHERE = {"controller.quorum.voters", "listeners", "advertised.listeners", "log.dirs"}


@dataclass(frozen=True)
class Cluster:
    """Three brokers that run, and how the platform's user reaches them."""

    processes: dict[int, Process]
    connections: Connections


def settings_of(properties: str, secrets: str) -> dict[str, str]:
    """What a broker is told, addresses and paths aside."""
    lines = [line.partition("=") for line in properties.replace(secrets, "SECRETS").splitlines() if line[0] != "#"]
    return {name: value for name, _, value in lines if name not in WHERE}


@asynccontextmanager
async def three_brokers(home: Home) -> AsyncIterator[Cluster]:
    """Brokers told the same as those of compose, on ports of this machine."""
    home.make()
    ports = free_ports(6)
    nodes = [
        Node(number, "127.0.0.1", ports[2 * number - 2], ports[2 * number - 1], str(home.kafka / str(number)))
        for number in (1, 2, 3)
    ]
    for user in ("platform", "controller"):
        home.secret(user)
    class_path = jars.class_path()
    files = []
    for node in nodes:
        file = home.kafka / f"kafka-{node.node_id}.properties"
        file.write_text(render(node, nodes, str(home.secrets)))
        shipped = (compose.FOLDER / file.name).read_text()
        assert settings_of(shipped, "/run/secrets") == settings_of(file.read_text(), str(home.secrets))
        await storage_format(class_path, file, CLUSTER_ID, home.secret("platform"), home.kafka)
        files.append(file)
    async with AsyncExitStack() as running:
        processes = {}
        for node, file in zip(nodes, files, strict=True):
            words = [str(java()), *SMALL, *QUIET, f"-Dlog4j2.configurationFile={LOG4J}"]
            words += ["-cp", ":".join(map(str, class_path)), "kafka.Kafka", str(file)]
            process = await spawn(words, home.path, home.logs / f"kafka-{node.node_id}.log")
            running.push_async_callback(ended, process)
            processes[node.node_id] = process
        bootstrap = ",".join(f"127.0.0.1:{node.client_port}" for node in nodes)
        connections = Connections("platform", bootstrap, "platform", home.secret("platform"))
        await asyncio.to_thread(until_all_are_there, connections)
        yield Cluster(processes, connections)


async def ended(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


def until_all_are_there(connections: Connections) -> None:
    client = AdminClient({**connections.confluent(), "log_level": 0})
    for _ in range(600):
        with suppress(KafkaException):
            if len(client.list_topics(timeout=5).brokers) == 3:
                return
        client.poll(0.2)  # whatever the client hears meanwhile; a broker that joins is told to nobody
    raise AssertionError("three brokers did not come up")


@pytest.mark.platform
@pytest.mark.chaos
async def test_writes_go_on_when_a_leader_is_killed(short_folder: Path) -> None:
    roster = Roster.load()
    log = log_topic(roster.names[0])
    async with three_brokers(Home(short_folder / "three")) as cluster:
        admin = Admin(cluster.connections.confluent())
        declared = [topic for topic in topics(roster) if topic.kind == "log"]
        assert len(await asyncio.to_thread(admin.ensure_topics, declared)) == 3
        client = AdminClient({**cluster.connections.confluent(), "log_level": 0})
        made: dict[int, Any] = {}
        async with asyncio.timeout(120):
            while not made:  # the broker that answers may not have heard of the topic yet
                made = (await asyncio.to_thread(client.list_topics, log, timeout=120)).topics[log].partitions
        assert {len(partition.replicas) for partition in made.values()} == {3}

        async with AIOKafkaProducer(**cluster.connections.aiokafka(), acks="all", enable_idempotence=True) as producer:
            for number in range(50):
                await producer.send_and_wait(log, b"%d" % number, partition=0)
            leader = made[0].leader
            cluster.processes[leader].kill()
            await cluster.processes[leader].wait()
            for number in range(50, 100):
                await producer.send_and_wait(log, b"%d" % number, partition=0)

        async with AIOKafkaConsumer(log, **cluster.connections.aiokafka(), auto_offset_reset="earliest") as consumer:
            read = [int((await consumer.getone()).value or b"") for _ in range(100)]
    assert read == list(range(100))
