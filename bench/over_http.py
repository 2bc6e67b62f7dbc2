"""Events over HTTP: NDJSON to `POST /v1/events`, checked, sealed and acknowledged by Kafka, by one gateway process.

The figure is events by processor time of the gateway's process: what one core does. It runs beside a broker on the same
machine, so by the clock it is less. Beside it the same by `bench.plain_gateway`.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from bench.machine import cpu_seconds
from carepact.generate.bench import bench_events
from carepact.local.gateway import Gateway
from carepact.local.home import free_ports
from carepact.local.platform import LocalPlatform
from carepact.settings import Settings, connection
from gateway.credentials import PURPOSE, new_key, secret_digest
from gateway.principals import scopes_of
from streams.keys import SqliteKeyStore
from streams.topics import AGENTS, GATEWAY, log_topic

PAYER = "medicare"
IN_REQUEST = 2_000
AT_ONCE = 3
WARM_REQUESTS = 3
ASK_SECONDS = 0.1

Say = Callable[[str], None]


@dataclass(frozen=True)
class Served:
    """What one server took in."""

    events: int
    seconds: float
    cpu_seconds: float

    @property
    def per_core(self) -> float:
        """Events a second of the server's processor time."""
        return self.events / self.cpu_seconds

    @property
    def per_second(self) -> float:
        """Events a second by the clock."""
        return self.events / self.seconds


class Wrong(Exception):
    """A server did not accept what it was sent, so there is no figure."""


async def run(events: int, members: int, say: Say = lambda _: None) -> tuple[Served, Served]:
    """Ours and the plain one, each on topics of one fresh platform."""
    with tempfile.TemporaryDirectory(prefix="carepact-bench-") as name:
        settings = Settings(
            home=Path(name) / "home", keys=None, kafka=None, postgres=None, gateway_requests_per_second=1e6
        )
        part = Gateway(settings.home_folder, "127.0.0.1", free_ports(1)[0])
        say("starting Kafka, PostgreSQL and the gateway")
        async with LocalPlatform(settings=settings, gateway=part) as platform:
            key = await payer_key(settings)
            bodies = await asyncio.to_thread(_bodies, members, events)
            say(f"sending {events:,} events of {members:,} members")
            assert platform.gateway is not None
            pid, url = platform.gateway.pid, part.url
            assert pid is not None and url is not None
            ours = await asyncio.to_thread(_measured, pid, url, key, bodies, events)
            await platform.gateway.stop()
            say("sending the same to a plain route")
            plain = await _plain(settings, bodies, events)
        return ours, plain


async def payer_key(settings: Settings) -> str:
    """A payer's key, put where the projection would put it."""
    made, keys = new_key(), SqliteKeyStore(settings.key_store)
    digest = secret_digest(keys.platform_key(PURPOSE), made.text)
    keys.close()
    database = await asyncpg.connect(connection(settings, AGENTS).postgres)
    try:
        await database.execute(
            "INSERT INTO credential (credential_id, role, payer, plan, practice, name, scopes, secret_digest,"
            " created_at, created_by, log_offset) VALUES ($1, 'payer', $2, '', '', '', $3, $4, now(), 'bench', 0)",
            made.credential_id, PAYER, sorted(scopes_of("payer")), digest,
        )  # fmt: skip
    finally:
        await database.close()
    return made.text


def _bodies(members: int, events: int) -> list[bytes]:
    """Requests, the first of them to warm up with; no event comes twice."""
    lines = iter(dict.fromkeys(bench_events(members, events + WARM_REQUESTS * IN_REQUEST)))
    return [b"\n".join(part) for part in iter(lambda: list(islice(lines, IN_REQUEST)), [])]


def _measured(pid: int, url: str, key: str, bodies: Sequence[bytes], events: int) -> Served:
    _send(url, key, bodies[:WARM_REQUESTS])
    before, began = cpu_seconds({"server": lambda: [pid]})["server"], time.perf_counter()
    accepted = _send(url, key, bodies[WARM_REQUESTS:])
    seconds, spent = time.perf_counter() - began, cpu_seconds({"server": lambda: [pid]})["server"] - before
    if accepted < 0.98 * events:
        raise Wrong(f"of {events:,} events {accepted:,} were accepted")
    return Served(accepted, seconds, spent)


def _send(url: str, key: str, bodies: Iterable[bytes]) -> int:
    """Send requests, a few at a time; how many events were accepted."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
    host = urlsplit(url).netloc

    def send(mine: Iterable[bytes]) -> int:
        accepted, client = 0, http.client.HTTPConnection(host)
        for body in mine:
            client.request("POST", "/v1/events", body, headers)
            answer = client.getresponse()
            document = answer.read()
            if answer.status != 202:
                raise Wrong(f"HTTP {answer.status}: {document[:200]!r}")
            accepted += json.loads(document)["accepted"]
        client.close()
        return accepted

    dealt = list(bodies)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return sum(threads.map(send, [dealt[n::AT_ONCE] for n in range(AT_ONCE)]))


async def _plain(settings: Settings, bodies: Sequence[bytes], events: int) -> Served:
    (port,) = free_ports(1)
    words = [sys.executable, "-m", "bench.plain_gateway", str(port), log_topic(PAYER)]
    process = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(json.dumps(connection(settings, GATEWAY).aiokafka()).encode())
    process.stdin.close()
    try:
        await asyncio.to_thread(_until_listening, port)
        return await asyncio.to_thread(_measured, process.pid, f"http://127.0.0.1:{port}", "", bodies, events)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


def _until_listening(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            client.request("GET", "/openapi.json")
            client.getresponse().read()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(ASK_SECONDS)
        finally:
            client.close()
