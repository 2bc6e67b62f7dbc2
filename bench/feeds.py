"""Feeds: what one gateway tells to one reader, what idle readers cost, webhooks to a fast receiver, row-level security.

On a fresh home. Figures by processor time are of the process that serves; the database runs beside it on the same
machine, and so does the reader.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import asyncpg
import httpx

from bench.machine import cpu_seconds, resident_bytes
from bench.over_http import Wrong, payer_key
from carepact.local.command import Command
from carepact.local.gateway import Gateway
from carepact.local.home import free_ports
from carepact.local.platform import LocalPlatform
from carepact.local.postgres import READER
from carepact.settings import Settings
from projections.feed import emitted_after
from projections.tenancy import Tenant, seen_by

PAYER = "medicare"
IN_TRANSACTION = 500
EVENT_BYTES = 700
PAGE = 2_000
IDLE = 1_000
SUBJECTS = 5_000
PATIENCE_SECONDS = 600
ASK_SECONDS = 0.1
AT_ONCE = 16
READ_BYTES = 1 << 18
ROUNDS = 4
PACE, PACED_SECONDS = 20, 20
HOSTILE = ("hang", "drip", "flood", "hang", "drip", "flood")

COLUMNS = (
    "payer", "plan", "contract", "payment_id", "kind", "amount_cents", "member", "practice", "period", "effective_on",
    "cause", "sequence", "partition", "log_offset", "event",
)  # fmt: skip

Say = Callable[[str], None]


@dataclass(frozen=True)
class Rate:
    """Events, how long they took by the clock, and by the serving process's time."""

    events: int
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        """By the clock."""
        return self.events / self.seconds

    @property
    def per_core(self) -> float:
        """By the time of the process that serves."""
        return self.events / self.cpu_seconds if self.cpu_seconds else 0.0


@dataclass(frozen=True)
class Figures:
    """All of them. `rls` is what a reading costs more under a tenant's role.

    `calm` and `beset` are the 99th percentile of milliseconds from an event's commit to its being taken, by an endpoint
    alone, and beside hostile ones.
    """

    cursor: Rate
    stream: Rate
    webhooks: Rate
    idle: int
    idle_bytes: int
    empty_bytes: int
    rls: float
    calm: float
    beset: float

    def as_json(self) -> dict[str, Any]:
        """With stable keys."""
        rates = {
            name: asdict(rate) | {"per_second": round(rate.per_second), "per_core_second": round(rate.per_core)}
            for name, rate in (("cursor", self.cursor), ("stream", self.stream), ("webhooks", self.webhooks))
        }
        held = {"idle_streams": self.idle, "bytes_with_idle_streams": self.idle_bytes, "bytes_before": self.empty_bytes}
        return {"benchmark": "feeds", **rates, **held, "rls_cost": round(self.rls, 3)} | {
            "p99_ms": round(self.calm), "p99_ms_beside_hostile": round(self.beset)
        }  # fmt: skip

    def told(self) -> list[str]:
        """For people."""
        told = (
            (self.cursor, "one reader by cursor"),
            (self.stream, "one reader by stream"),
            (self.webhooks, "one endpoint with a fast receiver"),
        )
        lines = [
            f"{rate.per_second:>10,.0f} events/s by the clock, {rate.per_core:,.0f} of one core: {what}"
            for rate, what in told
        ]
        before, idle = f"{self.empty_bytes / 1e6:,.0f} MB without", f"{self.idle_bytes / 1e6:>10,.0f} MB"
        lines.append(f"{idle} resident in a gateway with {self.idle:,} idle streams, {before}")
        lines.append(f"{self.rls:>10.1%} more time of the database for a reading under row-level security")
        of = f"from commit to taken at {PACE} events/s, p99, beside {len(HOSTILE)} hostile endpoints"
        return [*lines, f"{self.beset:>10,.0f} ms {of}; {self.calm:,.0f} ms alone"]


async def run(events: int, webhooks: int, say: Say = lambda _: None) -> Figures:
    """Measure all of it on a platform of its own."""
    with tempfile.TemporaryDirectory(prefix="carepact-bench-") as name, _told({"WEBHOOKS_PRIVATE": "1"}):
        settings = Settings(home=Path(name) / "home", keys=None, kafka=None, postgres=None)
        part = Gateway(settings.home_folder, "127.0.0.1", free_ports(1)[0])
        deliverer = Command(settings.home_folder, "deliverer", 25.0)
        say("starting Kafka, PostgreSQL, the gateway and the deliverer")
        async with LocalPlatform(settings=settings, gateway=part, more_parts=[deliverer]) as platform:
            key = await payer_key(settings)
            say(f"writing {events:,} events")
            await _fill(platform.dsn(), events)
            assert platform.gateway is not None and part.url is not None
            gateway = platform.gateway.pid
            assert gateway is not None and platform.beside[0].pid is not None
            say("reading by cursor")
            cursor, end = await _by_cursor(gateway, part.url, key, events)
            say("reading by stream")
            stream = await _by_stream(gateway, part.url, key, events)
            empty = resident_bytes(gateway)
            say(f"opening {IDLE:,} streams")
            idle = await _idle(gateway, part.url, key, end)
            say("measuring row-level security")
            rls = await _rls(platform.dsn(READER))
            say(f"sending {webhooks:,} webhooks")
            sent = await _webhooks(platform, part.url, key, platform.beside[0].pid, webhooks)
            say("sending slowly, then beside hostile receivers")
            calm = await _latency(platform, part.url, key, [])
            beset = await _latency(platform, part.url, key, HOSTILE)
    return Figures(cursor, stream, sent, IDLE, idle, empty, rls, calm, beset)


@contextmanager
def _told(settings: dict[str, str]) -> Iterator[None]:
    """What the parts are told by their environment: a reader of a benchmark asks as often as it likes."""
    told = {"GATEWAY_REQUESTS_PER_SECOND": "1000000"} | settings
    with patch.dict(os.environ, {f"CAREPACT_{name}": value for name, value in told.items()}):
        yield


async def _fill(dsn: str, events: int) -> None:
    """Payments as the fold writes them: some hundred in each transaction."""
    connection = await asyncpg.connect(dsn)
    for first in range(0, events, IN_TRANSACTION):
        rows = [_payment(number) for number in range(first, min(events, first + IN_TRANSACTION))]
        await connection.copy_records_to_table("payment", records=rows, columns=COLUMNS)
    await connection.execute("ANALYZE payment")
    await connection.close()


def _payment(number: int) -> tuple[Any, ...]:
    made, member = uuid4(), f"member{number % SUBJECTS:020}"
    envelope = {
        "specversion": "1.0", "id": str(made), "source": "/carepact/medicare/medicare-eom",
        "type": "carepact.PaymentDetermined.v1", "subject": member, "sequence": f"{number:09}", "data": {"told": ""},
    }  # fmt: skip
    envelope["data"] = {"told": "x" * max(0, EVENT_BYTES - len(json.dumps(envelope)))}
    event = json.dumps(envelope, separators=(",", ":")).encode()
    day = date(2026, 1, 1)
    return (
        PAYER,
        "",
        "medicare-eom",
        made,
        "MEOS",
        1,
        member,
        f"P{number % 50}",
        "",
        day,
        made,
        number,
        0,
        number,
        event,
    )


def _spent(pid: int) -> float:
    return cpu_seconds({"process": lambda: [pid]})["process"]


async def _by_cursor(pid: int, url: str, key: str, events: int) -> tuple[Rate, str]:
    after: dict[str, str] = {}
    async with _client(url, key) as client:
        await client.get("/v1/feed", params={"limit": 1})
        began, spent, seen = time.perf_counter(), _spent(pid), 0
        while True:
            answer = await client.get("/v1/feed", params={"limit": PAGE, **after})
            answer.raise_for_status()
            seen += answer.content.count(b'"specversion"')
            rest = json.loads(b"{" + answer.content[answer.content.rindex(b'"next"') :])
            after = {"after": rest["next"]}
            if rest["caught_up"]:
                break
    if seen != events:
        raise Wrong(f"of {events:,} events {seen:,} were told by cursor")
    return Rate(seen, time.perf_counter() - began, _spent(pid) - spent), rest["next"]


async def _by_stream(pid: int, url: str, key: str, events: int) -> Rate:
    began, spent, seen = time.perf_counter(), _spent(pid), 0
    async with _stream(url, key, "") as reader:
        tail = b""
        while b"event: caught-up" not in tail:
            chunk = await reader.read(READ_BYTES)
            both = tail[-20:] + chunk  # what is counted may be cut in two
            seen += both.count(b'"specversion"') - tail[-20:].count(b'"specversion"')
            tail = both[-200:]
    if seen != events:
        raise Wrong(f"of {events:,} events {seen:,} were streamed")
    return Rate(seen, time.perf_counter() - began, _spent(pid) - spent)


async def _idle(pid: int, url: str, key: str, end: str) -> int:
    """Resident bytes with that many streams that have nothing to tell."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        open_now = []
        try:
            for _ in range(IDLE):
                stream = _stream(url, key, end)
                reader = await stream.__aenter__()
                open_now.append(stream)
                await reader.readuntil(b"event: caught-up")
            return resident_bytes(pid)
        finally:
            for stream in open_now:
                await stream.__aexit__(None, None, None)


async def _rls(dsn: str) -> float:
    """What full readings under a tenant's role cost more than without one, by the database's processor time.

    Each way has a connection of its own, as no connection of a gateway reads a feed both ways: a statement that is kept
    for a role is planned anew for another.
    """

    @asynccontextmanager
    async def unseen(connection: Any, tenant: Tenant) -> AsyncIterator[Any]:
        async with connection.transaction(readonly=True):
            await connection.execute("SELECT set_config('carepact.payer', $1, true)", tenant.payer)
            yield connection

    ways = {how: (how, await asyncpg.connect(dsn)) for how in (seen_by, unseen)}
    pids = {how: await connection.fetchval("SELECT pg_backend_pid()") for how, connection in ways.values()}
    spent = dict.fromkeys(ways, 0.0)
    for number in range(1 + ROUNDS):
        for how, connection in ways.values():
            with patch("projections.feed.seen_by", how):
                began = _spent(pids[how])
                page = await emitted_after(connection, Tenant("payer", PAYER), None, 500)
                while not page.caught_up:
                    page = await emitted_after(connection, Tenant("payer", PAYER), page.at, 500)
                spent[how] += (_spent(pids[how]) - began) if number else 0.0  # the first fills caches and plans
    for _, connection in ways.values():
        await connection.close()
    return spent[seen_by] / spent[unseen] - 1 if spent[unseen] else 0.0


@asynccontextmanager
async def _receiver(how: str = "") -> AsyncIterator[str]:
    """A receiver in a process of its own; its address."""
    words = [sys.executable, "-m", "bench.plain_receiver", *([how] if how else [])]
    receiver = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert receiver.stdout is not None and receiver.stdin is not None
    try:
        yield f"http://127.0.0.1:{int(await receiver.stdout.readline())}/"
    finally:
        receiver.stdin.close()
        await receiver.wait()


@asynccontextmanager
async def _endpoint(url: str, key: str, to: str, start: str) -> AsyncIterator[UUID]:
    """An endpoint, for as long as it is measured."""
    async with _client(url, key) as client:
        made = await client.post("/v1/endpoints", json={"url": to, "at_once": AT_ONCE, "start": start})
        made.raise_for_status()
        of = UUID(made.json()["endpoint_id"])
        try:
            yield of
        finally:
            await client.delete(f"/v1/endpoints/{of}")


async def _webhooks(platform: LocalPlatform, url: str, key: str, pid: int, events: int) -> Rate:
    database = await asyncpg.connect(platform.dsn())
    async with _receiver() as to:
        began, spent = time.perf_counter(), _spent(pid)
        async with _endpoint(url, key, to, "beginning") as of, asyncio.timeout(PATIENCE_SECONDS):
            while (sent := await _delivered(database, of)) < events:  # noqa: ASYNC110 - rows tell nobody
                await asyncio.sleep(ASK_SECONDS)
            rate = Rate(sent, time.perf_counter() - began, _spent(pid) - spent)
    await database.close()
    return rate


async def _latency(platform: LocalPlatform, url: str, key: str, hostile: Sequence[str]) -> float:
    """The 99th percentile of milliseconds from commit to taken, of events that come one after the other."""
    database = await asyncpg.connect(platform.dsn())
    written: dict[UUID, float] = {}
    async with AsyncExitStack() as stack:
        for how in hostile:
            to = await stack.enter_async_context(_receiver(how))
            await stack.enter_async_context(_endpoint(url, key, to, "beginning"))
        to = await stack.enter_async_context(_receiver())
        of = await stack.enter_async_context(_endpoint(url, key, to, "now"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            for number in range(PACE * PACED_SECONDS):
                row = _payment(number)
                await database.copy_records_to_table("payment", records=[row], columns=COLUMNS)
                written[row[3]] = time.time()
                await asyncio.sleep(1 / PACE)
            while await _delivered(database, of) < len(written):  # noqa: ASYNC110 - rows tell nobody
                await asyncio.sleep(ASK_SECONDS)
        rows = await database.fetch("SELECT event_id, at, ms FROM webhook_attempt WHERE endpoint_id = $1", of)
    await database.close()
    took = sorted((row["at"].timestamp() - written[row["event_id"]]) * 1e3 + row["ms"] for row in rows)
    return float(took[len(took) * 99 // 100])


async def _delivered(database: Any, endpoint: UUID) -> int:
    count: int = await database.fetchval(
        "SELECT count(*) FROM webhook_delivery WHERE endpoint_id = $1 AND status = 'delivered'", endpoint
    )
    return count


def _client(url: str, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)


@asynccontextmanager
async def _stream(url: str, key: str, cursor: str) -> AsyncIterator[asyncio.StreamReader]:
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
    path = "/v1/feed/stream" + (f"?after={cursor}" if cursor else "")
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    try:
        yield reader
    finally:
        writer.close()
