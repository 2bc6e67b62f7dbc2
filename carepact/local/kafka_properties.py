"""One declaration of how our brokers run, rendered for the local one and for the three of `compose.yaml`.

Passwords are not in these properties: the broker reads each from a file of its secrets folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PLATFORM, CONTROLLER = "platform", "controller"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


@dataclass(frozen=True)
class Node:
    """One broker that is a controller too. It listens on the address by which the others and the clients reach it."""

    node_id: int
    host: str
    client_port: int
    controller_port: int
    data: str


def render(node: Node, nodes: Sequence[Node], secrets: str) -> str:
    """The `server.properties` of one node of a cluster. `secrets` is a folder with a file for each user's password."""
    declared = {
        **_addresses(node, nodes),
        **_security(secrets),
        **_durability(len(nodes)),
        **_size(),
    }
    head = "# Rendered from carepact/local/kafka_properties.py; change that, not this.\n"
    return head + "".join(f"{name}={value}\n" for name, value in declared.items())


def _addresses(node: Node, nodes: Sequence[Node]) -> dict[str, str]:
    voters = ",".join(f"{other.node_id}@{other.host}:{other.controller_port}" for other in nodes)
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.node_id),
        "controller.quorum.voters": voters,
        "listeners": f"CLIENT://{node.host}:{node.client_port},CONTROLLER://{node.host}:{node.controller_port}",
        "advertised.listeners": f"CLIENT://{node.host}:{node.client_port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "CLIENT",
        "log.dirs": node.data,
    }


def _security(secrets: str) -> dict[str, str]:
    """SCRAM for clients, PLAIN between controllers, and nothing allowed that no list allows."""

    def password(user: str) -> str:
        return f"${{secret:{secrets}:{user}}}"

    controller = f'username="{CONTROLLER}" password="{password(CONTROLLER)}"'
    return {
        "config.providers": "secret",
        "config.providers.secret.class": "org.apache.kafka.common.config.provider.DirectoryConfigProvider",
        "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.client.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.client.scram-sha-512.sasl.jaas.config": (
            f'{SCRAM} required username="{PLATFORM}" password="{password(PLATFORM)}";'
        ),
        "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.controller.plain.sasl.jaas.config": (
            f'{PLAIN} required {controller} user_{CONTROLLER}="{password(CONTROLLER)}";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{PLATFORM};User:{CONTROLLER}",
        "allow.everyone.if.no.acl.found": "false",
        "auto.create.topics.enable": "false",
        "delete.topic.enable": "true",
    }


def _durability(nodes: int) -> dict[str, str]:
    """With three nodes two must have a record before it is acknowledged; one node can promise only itself."""
    copies, in_sync = str(min(nodes, 3)), "2" if nodes >= 3 else "1"
    return {
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        "unclean.leader.election.enable": "false",
        "log.retention.ms": "-1",
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
    }


def _size() -> dict[str, str]:
    """Small enough for one machine; each is an upper bound that the broker's default puts far higher."""
    return {
        "num.partitions": "1",
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
        "log.cleaner.dedupe.buffer.size": "8388608",
        "log.index.size.max.bytes": "2097152",
    }
