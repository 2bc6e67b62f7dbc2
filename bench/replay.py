"""How fast a log is verified: read, decoded, folded, decided and compared with what is live; what an as-of costs.

And, if asked, what live work feels of a rebuild beside it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import asyncpg

from bench import population
from bench.machine import Machine, this_machine
from bench.pipeline import LOG, Bench, NoFigure, Options, Say, fresh, latency
from bench.population import PAYER
from bench.shares import chain_seconds, lineage_seconds
from carepact.generate.bench import bench_events
from carepact.settings import connection
from projections import rebuilt
from projections.episodes import episodes
from projections.payments import payments
from projections.positions import NOW, AsOf, applied
from streams.beside import CORES
from streams.connections import Connections
from streams.rebuilding import opened, rebuild
from streams.replay import log_records
from streams.replaying import Job, Replayed
from streams.topics import OPERATOR, PLATFORM
from streams.verifying import verify

ASKED = 60


@dataclass(frozen=True)
class Figures:
    """What a run found. `one_process_*` are of one partition folded in this process, by its processor time."""

    machine: Machine
    events: int
    verify_seconds: float
    verify_per_second: int
    one_process_events: int
    one_process_per_second: int
    processes: int
    peak_bytes_of_a_process: int
    as_of_to_current: float
    as_of_time_to_current: float
    chain_of_live: float
    lineage_of_live: float
    live: Live | None = None

    def as_json(self) -> dict[str, Any]:
        """With stable keys."""
        ratios: dict[str, float | None] = {
            "as_of_to_current": self.as_of_to_current,
            "as_of_time_to_current": self.as_of_time_to_current,
            "chain_of_live": self.chain_of_live,
            "lineage_of_live": self.lineage_of_live,
            "live_p99_beside_a_rebuild": self.live.ratio if self.live else None,
        }
        figures = {name: value for name, value in asdict(self).items() if name not in {"machine", "live", *ratios}}
        live = {"live": asdict(self.live) if self.live else None}
        return {"benchmark": "replay", "ratios": ratios, **figures, **live, "machine": self.machine.as_json()}


@dataclass(frozen=True)
class Live:
    """From a fact sent to its payment seen, at a steady rate: by itself, and while all is rebuilt."""

    events_per_second: float
    alone_p50: float
    alone_p99: float
    beside_p50: float
    beside_p99: float
    rebuilt_per_second: int

    @property
    def ratio(self) -> float:
        """What a rebuild makes of the slowest hundredth."""
        return round(self.beside_p99 / self.alone_p99, 2)


async def run(options: Options, say: Say = lambda _: None, live: bool = False) -> Figures:
    """Apply a population on a fresh home, then verify it; with `live`, measure live work beside a rebuild as well."""
    async with fresh(options, say) as bench:
        figures = await _run(bench, live)
        return replace(figures, live=await _live(bench)) if live else figures


async def _live(bench: Bench) -> Live:
    """Latency at a steady rate, first by itself, then while every log is rebuilt, again and again if need be."""
    bench.say("measuring live work by itself")
    await bench.start_workers()
    alone = await latency(bench)
    bench.say("measuring live work beside a rebuild")
    reach, payers = connection(bench.platform.settings, PLATFORM), [bench.settings.load_roster().payer(PAYER)]
    done = [0]

    async def again() -> None:
        while True:
            async with opened(reach) as owner:
                await rebuilt.drop(owner)
                done[0] += sum((await rebuild(reach, owner, payers)).values())

    rebuilding, began = asyncio.create_task(again()), time.perf_counter()
    bench.options = replace(bench.options, seed=bench.options.seed + 1)  # other events than those sent before
    try:
        beside = await latency(bench)
        if rebuilding.done():
            rebuilding.result()
        took = time.perf_counter() - began
        done[0] += await _come(reach.postgres)
    finally:
        rebuilding.cancel()
        await asyncio.gather(rebuilding, return_exceptions=True)
    rate = round(done[0] / took)
    return Live(alone["events_per_second"], alone["p50"], alone["p99"], beside["p50"], beside["p99"], rate)


async def _come(dsn: str) -> int:
    """How many records the rebuild that goes on has folded."""
    owner = await asyncpg.connect(dsn)
    try:
        async with owner.transaction():
            if await owner.fetchval("SELECT to_regclass($1)", f"{rebuilt.SCHEMA}.consumer_offset") is None:
                return 0
            return sum((await rebuilt.positions(owner, rebuilt.SCHEMA)).values())
    finally:
        await owner.close()


async def _run(bench: Bench, checked: bool) -> Figures:
    options, say, settings = bench.options, bench.say, bench.platform.settings
    await bench.open_log()
    say(f"generating and sealing {options.events:,} events of {options.members:,} members")
    lines = bench_events(options.members, options.events, options.seed)
    spool = bench.folder / "first.sealed"
    if checked:  # `latency` holds all that is paid against an independent fold, which takes its time
        spool = await asyncio.to_thread(bench.prepare, "first", lines)
    else:
        await asyncio.to_thread(population.seal, bench.settings, lines, spool)
    await bench.write(population.sealed(spool))
    say("applying them")
    applied_in = await bench.measure()
    await bench.stop_workers()
    of_an_event = applied_in.cpu_seconds["workers"] / applied_in.events

    say("asking as of then")
    then, by_time = await _as_of(bench.database)

    say("verifying")
    payer = settings.load_roster().payer(PAYER)
    reach = connection(settings, OPERATOR)
    report = await verify(reach, [payer])
    if report.difference is not None:
        raise NoFigure(f"the replay differs: {report.difference.as_json()}")

    say("folding and comparing one partition in one process")
    cut = (await applied(bench.database, PAYER))[PAYER, 0]
    made, spent = await _one(bench, Job(reach, payer, 0, cut))
    chain, lineage = await _shares(bench, reach, cut, of_an_event)
    return Figures(
        this_machine(),
        report.events,
        round(report.seconds, 2),
        round(report.events / report.seconds),
        made.events,
        round(made.events / spent),
        min(CORES, options.partitions),
        report.peak_bytes,
        round(then, 2),
        round(by_time, 2),
        round(chain, 3),
        round(lineage, 3),
    )


async def _shares(bench: Bench, reach: Connections, cut: int, of_an_event: float) -> tuple[float, float]:
    """What the chain and the lineage of a partition cost, to what workers took for as many events."""
    records = [one async for some in log_records(reach, LOG, 0, cut) for one in some]
    rows = await bench.database.fetch("SELECT event FROM payment WHERE payer = $1 AND partition = 0", PAYER)
    whole = cut * of_an_event
    return chain_seconds(records) / whole, lineage_seconds([row[0] for row in rows]) / whole


async def _one(bench: Bench, job: Job) -> tuple[Replayed, float]:
    """A partition verified in this process, by its own processor time."""
    await bench.database.execute("SET idle_in_transaction_session_timeout = 0")
    async with bench.database.transaction(isolation="repeatable_read", readonly=True):
        snapshot = await bench.database.fetchval("SELECT pg_export_snapshot()")
        began = time.process_time()
        made = await replace(job, snapshot=snapshot).done()
        return made, time.process_time() - began


async def _as_of(database: Any) -> tuple[float, float]:
    """What a member's episodes and payments cost as of positions, and as of a time, against now; medians."""
    rows = await database.fetch("SELECT DISTINCT member FROM payment WHERE payer = $1 LIMIT $2", PAYER, ASKED)
    places = tuple((PAYER, p, end // 2) for (_, p), end in (await applied(database, PAYER)).items())
    instant = await database.fetchval(
        "SELECT to_timestamp((min(known_at) + max(known_at)) / 2000.0) FROM log_batch WHERE topic = $1",
        f"carepact.{PAYER}.events.v1",
    )
    took: dict[str, list[float]] = {"now": [], "then": [], "time": []}
    for row in rows:
        for name, as_of in (("now", NOW), ("then", AsOf(places=places)), ("time", AsOf(instant))):
            began = time.perf_counter()
            for question in (episodes, payments):
                async for _ in question(database, PAYER, row["member"], as_of=as_of):
                    pass
            took[name].append(time.perf_counter() - began)
    now, then, by_time = (sorted(took[name])[len(rows) // 2] for name in ("now", "then", "time"))
    return then / now, by_time / now


def told(figures: Figures) -> list[str]:
    """For people."""
    return [
        f"{figures.as_of_to_current:>10.2f}  cost of a member's reads as of positions, to those of now",
        f"{figures.as_of_time_to_current:>10.2f}  and as of a time",
        f"{figures.chain_of_live:>10.1%}  of a worker's processor time is the chain over the log",
        f"{figures.lineage_of_live:>10.1%}  and the lineage of payments",
        f"{figures.verify_per_second:>10,}  events a second verified, {figures.events:,} in {figures.verify_seconds} s",
        f"{figures.one_process_per_second:>10,}  a second of one process's own time: read, decode, fold, decide, sum",
        f"{figures.peak_bytes_of_a_process / 1e6:>10,.0f}  MB at most in each of {figures.processes} processes",
        *(_live_told(figures.live) if figures.live else ()),
        str(figures.machine),
    ]


def _live_told(live: Live) -> list[str]:
    return [
        f"{live.ratio:>10.2f}  p99 of live work beside a rebuild, to that without",
        f"{live.beside_p99:>10,.1f}  ms p99 at {live.events_per_second:,.0f} events a second, {live.alone_p99} without",
        f"{live.beside_p50:>10,.1f}  ms p50, {live.alone_p50} without",
        f"{live.rebuilt_per_second:>10,}  events a second rebuilt beside it",
    ]
