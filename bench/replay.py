"""How fast a log is verified: read, decoded, folded, decided and compared with what is live; what an as-of costs."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import Any

from bench import population
from bench.machine import Machine, this_machine
from bench.pipeline import Bench, NoFigure, Options, Say, fresh
from bench.population import PAYER
from carepact.generate.bench import bench_events
from carepact.settings import connection
from projections.episodes import episodes
from projections.payments import payments
from projections.positions import NOW, AsOf, applied
from streams.replaying import Job, replayed
from streams.topics import OPERATOR
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
    peak_bytes_of_a_process: int
    as_of_to_current: float
    as_of_time_to_current: float

    def as_json(self) -> dict[str, Any]:
        """With stable keys."""
        ratios = {"as_of_to_current": self.as_of_to_current, "as_of_time_to_current": self.as_of_time_to_current}
        figures = {name: value for name, value in asdict(self).items() if name not in {"machine", *ratios}}
        return {"benchmark": "replay", "ratios": ratios, **figures, "machine": self.machine.as_json()}


async def run(options: Options, say: Say = lambda _: None) -> Figures:
    """Apply a population on a fresh home, then verify it."""
    async with fresh(options, say) as bench:
        return await _run(bench)


async def _run(bench: Bench) -> Figures:
    options, say, settings = bench.options, bench.say, bench.platform.settings
    await bench.open_log()
    say(f"generating and sealing {options.events:,} events of {options.members:,} members")
    lines = bench_events(options.members, options.events, options.seed)
    await bench.write(population.sealed(await asyncio.to_thread(bench.prepare, "first", lines)))
    say("applying them")
    await bench.start_workers()
    await bench.until_done()
    await bench.stop_workers()

    say("asking as of then")
    then, by_time = await _as_of(bench.database)

    say("verifying")
    payer = settings.load_roster().payer(PAYER)
    reach = connection(settings, OPERATOR)
    report = await verify(reach, [payer])
    if report.difference is not None:
        raise NoFigure(f"the replay differs: {report.difference.as_json()}")

    say("folding one partition in this process")
    cut = (await applied(bench.database, PAYER))[PAYER, 0]
    began = time.process_time()
    made = await replayed(Job(reach, payer, 0, cut))
    spent = time.process_time() - began
    return Figures(
        this_machine(),
        report.events,
        round(report.seconds, 2),
        round(report.events / report.seconds),
        made.events,
        round(made.events / spent),
        report.peak_bytes,
        round(then, 2),
        round(by_time, 2),
    )


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
        f"{figures.verify_per_second:>10,}  events a second verified, {figures.events:,} in {figures.verify_seconds} s",
        f"{figures.one_process_per_second:>10,}  a second of one process's own time: read, decode, fold, decide, sum",
        f"{figures.peak_bytes_of_a_process / 1e6:>10,.0f}  MB at most in a process",
        str(figures.machine),
    ]
