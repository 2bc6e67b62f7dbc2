"""`carepact bench`: the benchmarks, each with the machine it ran on and what it is compared with."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from typing import Annotated

import orjson
import structlog
import typer
from rich.console import Console

from bench import feeds, fold, large, replay, settling
from bench.independent import NoOracle
from bench.intake import FIGURES
from bench.machine import this_machine
from bench.over_http import Wrong
from bench.pipeline import NoFigure, Options, Result, Run, run
from bench.population import Refused
from carepact.generate.bench import bench_events
from carepact.platform_commands import reported

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The benchmarks, with the machine and what they are compared with."
)


@app.command("pipeline")
def pipeline_command(
    events: Annotated[int, typer.Option(min=1_000, help="Facts of the population.")] = 300_000,
    members: Annotated[int, typer.Option(min=10, help="People it is about.")] = 5_000,
    partitions: Annotated[int, typer.Option(min=1, max=64, help="Of the log.")] = 4,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Worker processes.")] = 2,
    steady_seconds: Annotated[int, typer.Option(min=2, help="How long latency is measured.")] = 20,
    only_pipeline: Annotated[bool, typer.Option(help="Leave out latency, resending, long members, readers.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Events in Kafka to rows in PostgreSQL to payments acknowledged by Kafka, on a fresh home. Takes some minutes.

    Example: carepact bench pipeline --events 300000 --members 5000
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    options = Options(events, members, partitions, workers, steady_seconds=steady_seconds, only_pipeline=only_pipeline)
    console = Console(stderr=True, highlight=False, markup=False)
    with reported():
        try:
            result = asyncio.run(run(options, console.print))
        except (NoFigure, NoOracle, Refused) as refused:
            console.print(f"carepact: no figure: {refused}")
            raise typer.Exit(1) from None
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(result.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
    else:
        typer.echo("\n".join(told(result)))


@app.command("replay")
def replay_command(
    events: Annotated[int, typer.Option(min=1_000, help="Facts of the population.")] = 300_000,
    members: Annotated[int, typer.Option(min=10, help="People it is about.")] = 5_000,
    partitions: Annotated[int, typer.Option(min=1, max=64, help="Of the log.")] = 4,
    live: Annotated[bool, typer.Option("--live", help="Measure live work beside a rebuild, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """A log verified: read, decoded, folded, decided and compared, on a fresh home; and what an as-of read costs.

    Example: carepact bench replay --events 1000000 --members 16000
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    console = Console(stderr=True, highlight=False, markup=False)
    with reported():
        try:
            figures = asyncio.run(replay.run(Options(events, members, partitions), console.print, live))
        except (NoFigure, NoOracle, Refused) as refused:
            console.print(f"carepact: no figure: {refused}")
            raise typer.Exit(1) from None
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(figures.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
    else:
        typer.echo("\n".join(replay.told(figures)))


@app.command("fold")
def fold_command(
    events: Annotated[int, typer.Option(min=1_000, help="Facts of the population.")] = 60_000,
    members: Annotated[int, typer.Option(min=10, help="People it is about.")] = 1_000,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """The contract's fold alone, in memory, by processor time: facts a second, and long histories against short ones.

    Example: carepact bench fold
    """
    opening = fold.adoption_facts()
    mixed = fold.run(opening, [], fold.member_facts(bench_events(members, events), len(opening)))
    long, short = fold.histories(opening)
    long_us, short_us = (1e6 / figures.facts_a_second for figures in (long, short))
    machine = this_machine()
    if as_json:
        document = {
            "benchmark": "fold",
            "ratios": {"long_member_to_short": round(long_us / short_us, 2)},
            "facts": mixed.facts,
            "per_second": round(mixed.facts_a_second),
            "payments": mixed.payments,
            "long_microseconds_each": round(long_us, 1),
            "short_microseconds_each": round(short_us, 1),
            "machine": machine.as_json(),
        }
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
        return
    typer.echo(f"{long_us / short_us:>10.2f}  cost of a fact of a member with {long.facts:,}, to one with few")
    typer.echo(f"{mixed.facts_a_second:>10,.0f}  facts a second of processor time ({mixed.facts:,} facts)")
    typer.echo(f"{long_us:>10.1f}  microseconds for a fact in a long history, {short_us:.1f} in a short one")
    typer.echo(str(machine))


@app.command("contracts")
def contracts_command(
    episodes: Annotated[int, typer.Option(min=100, help="Episodes settled.")] = 100_000,
    members: Annotated[int, typer.Option(min=100, help="People whose facts are gathered.")] = 1_500,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """The contract's fold, and a settlement of many episodes, in memory, by processor time of one process.

    Example: carepact bench contracts
    """
    opening = fold.adoption_facts()
    folded = fold.run(opening, [], fold.member_facts(bench_events(members, members * 60), len(opening)))
    settled = settling.run(episodes, members)
    machine = this_machine()
    if as_json:
        document = {
            "benchmark": "contracts",
            "fold_facts_per_second": round(folded.facts_a_second),
            "gather_facts_per_second": round(settled.facts / settled.gather_seconds),
            "gather_seconds_each_thousand": round(1_000 * settled.gather_seconds / settled.gathered, 3),
            "episodes": settled.episodes,
            "settle_seconds": round(settled.settle_seconds, 2),
            "document_seconds": round(settled.pack_seconds, 2),
            "seconds_with_gathering": round(settled.seconds, 2),
            "payments": settled.payments,
            "machine": machine.as_json(),
        }
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
        return
    gathering = settled.gather_seconds * settled.episodes / settled.gathered
    typer.echo(f"{folded.facts_a_second:>10,.0f}  facts a second folded and decided")
    typer.echo(f"{settled.facts / settled.gather_seconds:>10,.0f}  facts a second gathered for a settlement")
    typer.echo(f"{settled.settle_seconds:>10.1f}  seconds to settle {settled.episodes:,} episodes once gathered")
    typer.echo(f"{settled.pack_seconds:>10.1f}  seconds for their payments, statements and contest packs")
    typer.echo(f"{gathering:>10.1f}  seconds to gather as many, at the rate above")
    typer.echo(str(machine))


@app.command("intake")
def intake_command(
    only: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(FIGURES)}.", show_default=False)] = None,
    scale: Annotated[float, typer.Option(min=0.01, max=100, help="How much is measured.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """What one core takes in, by format and way, beside the library one would otherwise take.

    Example: carepact bench intake --only http
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    console = Console(stderr=True, highlight=False, markup=False)
    names = only or list(FIGURES)
    if unknown := [name for name in names if name not in FIGURES]:
        console.print(f"carepact: there is no figure {unknown[0]}; there are {', '.join(FIGURES)}")
        raise typer.Exit(2)
    with reported():
        try:
            figures = [FIGURES[name](scale, console.print) for name in names]
        except Wrong as wrong:
            console.print(f"carepact: no figure: {wrong}")
            raise typer.Exit(1) from None
    machine = this_machine()
    if as_json:
        document = {
            "benchmark": "intake",
            "figures": [each.as_json() for each in figures],
            "machine": machine.as_json(),
        }
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    else:
        typer.echo("\n".join([*(each.told() for each in figures), str(machine)]))


@app.command("large")
def large_command(
    megabytes: Annotated[float, typer.Option(min=0.1, help="Size of the file.")] = 1_000.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """The most memory that an 837 of this size takes in the reader and the door. A gigabyte takes some minutes.

    Example: carepact bench large --megabytes 1000
    """
    held, machine = large.run(megabytes), this_machine()
    if as_json:
        document = {"benchmark": "large", **asdict(held), "machine": machine.as_json()}
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
        return
    typer.echo(f"{held.peak_bytes / 1e6:>10,.0f} MB at most, for {held.file_bytes / 1e6:,.0f} MB of 837")
    typer.echo(f"{held.claims / held.seconds:>10,.0f} claims/s of one core, read, checked and sealed")
    typer.echo(str(machine))


@app.command("feeds")
def feeds_command(
    events: Annotated[int, typer.Option(min=2_000, help="Events that are read.")] = 200_000,
    webhooks: Annotated[int, typer.Option(min=500, help="Of them, those that are sent to an endpoint.")] = 20_000,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """A feed by cursor, by stream and by webhooks, idle streams, and what row-level security costs, on a fresh home.

    Example: carepact bench feeds
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    console = Console(stderr=True, highlight=False, markup=False)
    with reported():
        try:
            figures = asyncio.run(feeds.run(events, min(webhooks, events), console.print))
        except Wrong as wrong:
            console.print(f"carepact: no figure: {wrong}")
            raise typer.Exit(1) from None
    machine = this_machine()
    if as_json:
        document = figures.as_json() | {"machine": machine.as_json()}
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    else:
        typer.echo("\n".join([*figures.told(), str(machine)]))


def told(result: Result) -> list[str]:
    """The result for people, ratios first."""
    ratios, pipeline = result.ratios, result.pipeline
    lines = ["Ratios, which hold on other machines too:"]
    for name, said in RATIOS.items():
        if (ratio := ratios[name]) is not None:
            lines.append(f"  {ratio:>10g}  {said}")
    lines += ["", "On this machine, shared by workers, broker and database:"]
    lines += _row("whole pipeline", pipeline)
    lines += _row("all sent again", result.resent)
    lines += _row("plain aiokafka reader", result.aiokafka)
    lines += _row("plain Faust agent", result.faust)
    cpu = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in pipeline.cpu_seconds.items())
    lines.append(f"  processor time of the whole pipeline: {cpu}, in {pipeline.seconds:.1f} s")
    peaks = ", ".join(f"{name} {held / 1e6:.0f} MB" for name, held in pipeline.peak_bytes.items())
    lines.append(f"  peak memory: one worker {pipeline.worker_peak_bytes / 1e6:.0f} MB; {peaks}")
    if latency := result.latency_ms:
        lines.append(
            f"  latency at {latency['events_per_second']:,} events/s, fact sent to payment read: "
            f"p50 {latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms ({latency['payments']:,} payments)"
        )
    if long := result.long_member:
        lines.append(
            f"  a fact of a member of {long['facts']:,}: {long['microseconds_each']:.0f} us of processor time, "
            f"of a member of {long['of_short_facts']}: {long['of_short_microseconds_each']:.0f} us"
        )
    shares = result.shares
    lines += [
        "",
        f"{result.options.events:,} sealed events of {result.options.members:,} members, {result.options.partitions} "
        f"partitions, {result.options.workers} workers: {result.payments:,} payments and corrections, "
        f"{shares['corrected']:.1%} replaced, void or late, {shares['duplicates']:.1%} duplicates.",
        f"An independent fold of the same files agrees: {result.months:,} months, {result.cents / 100:,.2f} dollars.",
        f"{result.machine}",
    ]
    return lines


RATIOS = {
    "to_plain_faust_agent": "of a plain Faust agent that only counts",
    "to_plain_aiokafka_reader": "of a plain aiokafka reader that only decodes",
    "resent_to_first": "of its own speed when all is sent again",
    "long_member_to_short": "cost of a fact of a member with many facts, to one with few",
    "memory_last_to_middle_third": "a worker's memory in the last third of the run, to the middle third",
}


def _row(name: str, run: Run | None) -> list[str]:
    return [f"  {run.per_second:>10,.0f} events/s  {name} ({run.events:,} events)"] if run else []
