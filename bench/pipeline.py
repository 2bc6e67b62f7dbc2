"""`carepact bench pipeline`: from sealed events in Kafka to committed rows to payments acknowledged by Kafka.

On a fresh home, with the broker and the database on the same machine. Nothing is shown unless the population is as rich
as it must be and an independent fold of the files comes to the same months and cents.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from bench import population
from bench.histories import lives
from bench.independent import Expected, expected
from bench.machine import Machine, Meter, Pids, cpu_seconds, this_machine
from bench.population import PAYER, Sealed
from carepact.adopting import bundled_adoptions
from carepact.generate.bench import bench_events
from carepact.generate.practices import broadcasts
from carepact.local.platform import LocalPlatform
from carepact.local.supervisor import Kept, stop_all
from carepact.local.worker import Worker
from carepact.settings import Settings, connection
from streams.broadcasts import adopt
from streams.door import Door
from streams.keys import SqliteKeyStore
from streams.log_writer import LogWriter, Position
from streams.output import groupless, partitions_of
from streams.topics import OPERATOR, log_topic, payments_topic

PAYMENT_SHARE, CORRECTED_SHARE, DUPLICATE_SHARE = 0.10, 0.05, 0.0095
STEADY_PER_SECOND = 1_000
FAUST_EVENTS = 60_000
LONG_FACTS, SHORT_FACTS = 10_000, 10
LOOK_SECONDS = 0.05
GIVE_UP_SECONDS = 600
LOG, PAYMENTS = log_topic(PAYER), payments_topic(PAYER)

Say = Callable[[str], None]


class NoFigure(Exception):
    """What was measured is not what was promised, so it is not shown."""


@dataclass(frozen=True)
class Options:
    """The size of a run."""

    events: int = 300_000
    members: int = 5_000
    partitions: int = 4
    workers: int = 2
    seed: int = 7
    steady_seconds: int = 20
    only_pipeline: bool = False


@dataclass
class Run:
    """One measured stretch."""

    events: int
    seconds: float
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    worker_peak_bytes: int = 0
    worker_growth: float = 1.0
    peak_bytes: dict[str, int] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    def as_json(self) -> dict[str, Any]:
        """With stable keys."""
        return {"events": self.events, "per_second": round(self.per_second), **asdict(self)}


@dataclass
class Result:
    """All that a run of the benchmark found."""

    machine: Machine
    options: Options
    pipeline: Run
    payments: int
    shares: dict[str, float]
    resent: Run | None = None
    latency_ms: dict[str, float] = field(default_factory=dict)
    long_member: dict[str, float] = field(default_factory=dict)
    aiokafka: Run | None = None
    faust: Run | None = None
    months: int = 0
    cents: int = 0

    @property
    def ratios(self) -> dict[str, float | None]:
        """The figures that hold on other machines too."""
        rate = self.pipeline.per_second
        return {
            "to_plain_faust_agent": round(rate / self.faust.per_second, 2) if self.faust else None,
            "to_plain_aiokafka_reader": round(rate / self.aiokafka.per_second, 3) if self.aiokafka else None,
            "resent_to_first": round(self.resent.per_second / rate, 2) if self.resent else None,
            "long_member_to_short": round(self.long_member["ratio"], 2) if self.long_member else None,
            "memory_last_to_middle_third": round(self.pipeline.worker_growth, 3),
        }

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`; its keys stay."""
        return {
            "benchmark": "pipeline",
            "ratios": self.ratios,
            "pipeline": self.pipeline.as_json(),
            "latency_ms": self.latency_ms or None,
            "resent": self.resent.as_json() if self.resent else None,
            "long_member": self.long_member or None,
            "plain_aiokafka_reader": self.aiokafka.as_json() if self.aiokafka else None,
            "plain_faust_agent": self.faust.as_json() if self.faust else None,
            "payments": self.payments,
            "independent_fold": {"agrees": True, "months": self.months, "cents": self.cents},
            "shares": self.shares,
            "options": asdict(self.options),
            "machine": self.machine.as_json(),
        }


class Bench:
    """One fresh home and what is measured on it."""

    def __init__(self, options: Options, folder: Path, platform: LocalPlatform, database: Any, say: Say) -> None:
        self.options, self.folder, self.platform, self.say = options, folder, platform, say
        self.settings: Settings = platform.settings
        self.database = database
        self.workers: list[Kept] = []
        self.practices = folder / "practices.ndjson"
        self.expected = Expected()
        self.written = 0

    @property
    def groups(self) -> dict[str, Pids]:
        """Whose processor time is counted apart."""

        def pids(kept: Sequence[Kept | None]) -> Pids:
            return lambda: [pid for each in kept if each is not None and (pid := each.pid) is not None]

        return {
            "workers": pids(self.workers),
            "kafka": pids([self.platform.kafka]),
            "postgres": pids([self.platform.postgres]),
        }

    async def found(self) -> tuple[int, int]:
        """(records of the log applied, rows in the outbox, at most one)."""
        row = await self.database.fetchrow(
            """
            SELECT (SELECT coalesce(sum(next_offset), 0) FROM consumer_offset
                     WHERE consumer = 'contract' AND topic = $1) AS applied,
                   (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE payer = $2 LIMIT 1) o) AS waiting
            """,
            LOG,
            PAYER,
        )
        return int(row["applied"]), int(row["waiting"])

    async def until_done(self) -> None:
        """Return when all that was written is committed and every payment acknowledged."""
        async with asyncio.timeout(GIVE_UP_SECONDS):
            while await self.found() != (self.written, 0):  # noqa: ASYNC110 - a database tells nobody of its commits
                await asyncio.sleep(LOOK_SECONDS)

    async def start_workers(self) -> None:
        """Start the workers; returns when each has claimed its share of the partitions."""
        owners = """
            SELECT count(DISTINCT owner) FROM consumer_offset
             WHERE consumer = 'contract' AND topic = $1 AND epoch > $2
        """
        before = await self.database.fetchval("SELECT coalesce(max(epoch), 0) FROM consumer_offset")
        self.workers += [Kept(Worker(self.platform.home, n), lambda: None) for n in range(self.options.workers)]
        await asyncio.gather(*[worker.start() for worker in self.workers])
        wanted = min(self.options.workers, self.options.partitions)
        async with asyncio.timeout(60):
            while await self.database.fetchval(owners, LOG, before) < wanted:  # noqa: ASYNC110 - as above
                await asyncio.sleep(LOOK_SECONDS)

    async def stop_workers(self) -> None:
        """Stop the workers."""
        await stop_all(self.workers)
        self.workers.clear()

    async def measure(self) -> Run:
        """Start workers on a log that is full, and measure from when all are at work until it is done. They run on.

        What the first ones did while the last one started is not counted.
        """
        async with Meter(self.groups, "workers") as meter:
            await self.start_workers()
            meter.begin()
            applied, _ = await self.found()
            await self.until_done()
            meter.end()
        events, memory = self.written - applied, meter.memory
        if events * 2 < self.options.events:
            raise NoFigure("most was done before every worker was at work; ask for more events")
        return Run(events, meter.seconds, meter.cpu, memory.peak_bytes, memory.growth, meter.peaks)

    def prepare(self, name: str, lines: Iterable[bytes]) -> Path:
        """Keep generated lines as a file, fold it independently, and seal it."""
        events, spool = self.folder / f"{name}.ndjson", self.folder / f"{name}.sealed"
        with events.open("wb") as file:
            file.writelines(line + b"\n" for line in lines)
        self.expected += expected(events, self.practices)
        with events.open("rb") as file:
            population.seal(self.settings, file, spool)
        return spool

    async def write(self, records: Iterable[Sealed]) -> int:
        """Write records to the log; answers how many."""
        written = await population.write(self.settings, records)
        self.written += written
        return written

    async def open_log(self) -> None:
        """Terms, contract and practices, as `carepact up` and an operator would have it."""
        self.practices.write_bytes(b"".join(line + b"\n" for line in broadcasts()))
        reach = connection(self.settings, OPERATOR)
        keys = SqliteKeyStore(self.settings.key_store)
        try:
            payer = self.settings.load_roster().payer(PAYER)
            door = Door(payer, keys, self.settings.log_partitions)
            async with LogWriter(reach, "carepact.bench") as writer:
                await adopt(reach, writer, door, bundled_adoptions(payer.contract))
        finally:
            keys.close()
        population.seal(self.settings, broadcasts(), self.folder / "practices.sealed")
        await self.write(population.sealed(self.folder / "practices.sealed"))
        self.written = sum((await ends(self.settings, LOG)).values())


@asynccontextmanager
async def fresh(options: Options, say: Say) -> AsyncIterator[Bench]:
    """A bench on a home of its own. Everything it started has stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="carepact-bench-") as name:
        folder = Path(name)
        say("starting Kafka and PostgreSQL")
        settings = Settings(home=folder / "home", partitions=options.partitions, keys=None, kafka=None, postgres=None)
        async with LocalPlatform(settings=settings) as platform:
            database = await asyncpg.connect(connection(platform.settings).postgres)
            bench = Bench(options, folder, platform, database, say)
            try:
                yield bench
            finally:
                await bench.stop_workers()
                await database.close()


async def run(options: Options, say: Say = lambda _: None) -> Result:
    """The whole benchmark."""
    async with fresh(options, say) as bench:
        return await _run(bench)


async def _run(bench: Bench) -> Result:
    options, say = bench.options, bench.say
    await bench.open_log()
    say(f"generating and sealing {options.events:,} events of {options.members:,} members")
    spool = await asyncio.to_thread(bench.prepare, "first", bench_events(options.members, options.events, options.seed))
    first = bench.expected
    await bench.write(population.sealed(spool))

    say("measuring the pipeline")
    pipeline = await bench.measure()
    payments = await check(bench)
    shares = {
        "payments": payments / options.events,
        "corrected": first.corrected / options.events,
        "duplicates": first.duplicates / options.events,
    }
    least = {"payments": PAYMENT_SHARE, "corrected": CORRECTED_SHARE, "duplicates": DUPLICATE_SHARE}
    if poor := [f"{share:.4f} {what}" for what, share in shares.items() if share < least[what]]:
        raise NoFigure(f"the population is too plain: {', '.join(poor)} for each event")
    result = Result(this_machine(), options, pipeline, payments, shares, months=first.months, cents=first.cents)
    if options.only_pipeline:
        return result

    say(f"measuring latency at {STEADY_PER_SECOND:,} events/s")
    result.latency_ms = await latency(bench)
    say("measuring a member of many facts against members of few")
    result.long_member = await long_member(bench)
    await bench.stop_workers()

    say("sending all again")
    await bench.write(population.sealed(spool))
    result.resent = await bench.measure()
    if await check(bench) != await bench.database.fetchval("SELECT count(*) FROM payment WHERE payer = $1", PAYER):
        raise NoFigure("sending again made payments")
    await bench.stop_workers()

    say("reading the same topic by a plain aiokafka consumer and by a plain Faust agent")
    result.aiokafka = await plain(bench, "aiokafka", options.events)
    result.faust = await plain(bench, "faust", min(options.events, FAUST_EVENTS))
    return result


async def check(bench: Bench) -> int:
    """Table, topic and independent fold agree on payments, months and cents; answers how many payments there are."""
    rows = await bench.database.fetch(
        "SELECT payment_id::text, kind, amount_cents, reverses FROM payment WHERE payer = $1", PAYER
    )
    stored = {row[0]: row[2] for row in rows}
    sent: list[tuple[str, int]] = []
    async for event in committed(bench.settings, PAYMENTS):
        sent.append((event["id"], event["data"]["amount_cents"]))
    if len(sent) != len(stored) or dict(sent) != stored:
        raise NoFigure(f"{len(stored):,} payments are stored and {len(sent):,} are on the topic, or they differ")
    months = sum(-1 if row[3] else 1 for row in rows if row[1] == "MEOS")
    cents = sum(stored.values())
    if (months, cents) != (bench.expected.months, bench.expected.cents):
        raise NoFigure(
            f"{months:,} months and {cents:,} cents are paid; the independent fold says "
            f"{bench.expected.months:,} months and {bench.expected.cents:,} cents"
        )
    if rejects := await bench.database.fetchval("SELECT count(*) FROM reject WHERE payer = $1", PAYER):
        raise NoFigure(f"{rejects} records were rejected")
    return len(rows)


async def latency(bench: Bench) -> dict[str, float]:
    """From the sending of a fact to the sight of what it decided, `read_committed`, at a steady rate."""
    count = STEADY_PER_SECOND * bench.options.steady_seconds
    lines = bench_events(max(1, count // 60), count, bench.options.seed + 1)
    spool = await asyncio.to_thread(bench.prepare, "steady", lines)
    sent: dict[Position, float] = {}
    seen: list[tuple[Position, float]] = []
    follower = asyncio.create_task(_follow(bench.settings, seen))
    try:
        await asyncio.sleep(1)  # so that the follower waits at the end
        await population.write_steadily(bench.settings, population.sealed(spool), STEADY_PER_SECOND, sent)
        bench.written += len(sent)
        await bench.until_done()
        await asyncio.sleep(1)
    finally:
        follower.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await follower
    await check(bench)
    took = sorted((at - sent[position]) * 1000 for position, at in seen if position in sent)
    if not took:
        raise NoFigure("no payment was seen at the steady rate")
    return {
        "events_per_second": STEADY_PER_SECOND,
        "payments": len(took),
        "p50": round(took[len(took) // 2], 1),
        "p99": round(took[len(took) * 99 // 100], 1),
        "max": round(took[-1], 1),
    }


async def _follow(settings: Settings, seen: list[tuple[Position, float]]) -> None:
    async with groupless(connection(settings)) as consumer:
        await _assign(consumer, PAYMENTS)
        await consumer.seek_to_end()
        while True:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                now = time.perf_counter()
                for record in records:
                    place = orjson.loads(record.value)["data"]["position"]
                    seen.append((Position(place["partition"], place["offset"]), now))


async def long_member(bench: Bench) -> dict[str, float]:
    """Processor time for each fact: of members with few facts, and of one with many. The better of two rounds each."""
    took: dict[str, list[float]] = {"short": [], "long": []}
    for turn in range(2):
        for name, members, facts in (("short", LONG_FACTS // SHORT_FACTS, SHORT_FACTS), ("long", 1, LONG_FACTS)):
            lines = lives(members, facts, 1_000_000 * (turn + 1) + (facts > SHORT_FACTS) * 500_000)
            spool = await asyncio.to_thread(bench.prepare, f"{name}-{turn}", lines)
            records = list(population.sealed(spool))
            counted = {group: pids for group, pids in bench.groups.items() if group != "kafka"}
            before = sum(cpu_seconds(counted).values())
            await bench.write(records)
            await bench.until_done()
            took[name].append((sum(cpu_seconds(counted).values()) - before) / len(records) * 1e6)
    await check(bench)
    short, long = min(took["short"]), min(took["long"])
    return {
        "facts": LONG_FACTS,
        "microseconds_each": round(long, 1),
        "of_short_facts": SHORT_FACTS,
        "of_short_microseconds_each": round(short, 1),
        "ratio": long / short,
    }


async def plain(bench: Bench, name: str, events: int) -> Run:
    """A plain reader in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.plain_readers",
        name,
        str(bench.platform.home),
        LOG,
        str(events),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, said = await process.communicate()
    if process.returncode != 0:
        raise NoFigure(f"the plain {name} reader failed: {said.decode(errors='replace').strip()[-300:]}")
    answer = orjson.loads(printed)
    return Run(answer["events"], answer["seconds"])


async def committed(settings: Settings, topic: str) -> AsyncIterator[dict[str, Any]]:
    """Every committed event of a topic up to its end now."""
    async with groupless(connection(settings)) as consumer:
        parts = await _assign(consumer, topic)
        stops = await consumer.end_offsets(parts)
        await consumer.seek_to_beginning()
        todo = {part for part in parts if stops[part]}
        while todo:
            for records in (await consumer.getmany(*todo, timeout_ms=500, max_records=5_000)).values():
                for record in records:
                    yield orjson.loads(record.value)
            for part in list(todo):
                if await consumer.position(part) >= stops[part]:
                    todo.discard(part)


async def ends(settings: Settings, topic: str) -> dict[int, int]:
    """The end of each partition."""
    async with groupless(connection(settings)) as consumer:
        found = await consumer.end_offsets(await _assign(consumer, topic))
        return {part.partition: end for part, end in found.items()}


async def _assign(consumer: Any, topic: str) -> list[Any]:
    from aiokafka import TopicPartition  # noqa: PLC0415 - the library ships no types

    parts = [TopicPartition(topic, p) for p in sorted(await partitions_of(consumer, topic))]
    consumer.assign(parts)
    return parts
