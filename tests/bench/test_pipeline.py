"""The benchmark shows a figure only for a population as rich as it must be, and what it shows keeps its keys."""

from __future__ import annotations

import os
from itertools import islice

import orjson
import pytest

from bench.command import told
from bench.histories import lives
from bench.independent import Expected, expected
from bench.machine import Machine, Memory, cpu_seconds, family, resident_bytes, this_machine
from bench.pipeline import CORRECTED_SHARE, DUPLICATE_SHARE, Options, Result, Run, run
from bench.population import chunks
from carepact.generate.bench import bench_events
from carepact.generate.practices import broadcasts

MACHINE = Machine(2, "a processor", 2**34, "Linux 6", "3.11.7", {"aiokafka": "0.14.0"})


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    folder = tmp_path_factory.mktemp("bench")
    (folder / "events.ndjson").write_bytes(b"\n".join(bench_events(100, 6_000)))
    (folder / "practices.ndjson").write_bytes(b"\n".join(broadcasts()))
    return expected(folder / "events.ndjson", folder / "practices.ndjson")


def test_population_is_as_rich_as_the_benchmark_asks(folded: Expected) -> None:
    assert 6_000 == folded.facts + folded.duplicates
    assert folded.corrected >= CORRECTED_SHARE * 6_000
    assert folded.duplicates >= DUPLICATE_SHARE * 6_000
    assert folded.months * 10 >= 6_000 * 0.6, "with corrections, which are counted in the run, one for each ten events"


def test_expectations_add_up() -> None:
    assert Expected(2, 4, 6, 8, 10) == Expected(1, 2, 3, 4, 5) + Expected(1, 2, 3, 4, 5)


@pytest.mark.parametrize(("members", "facts"), [(1, 1_000), (30, 10)])
def test_lives_have_as_many_facts_as_asked(members: int, facts: int) -> None:
    events = [orjson.loads(line) for line in lives(members, facts, 0)]
    people = {event["data"]["person"]["identifier"]["value"] for event in events}
    assert (members * facts, members) == (len(events), len(people))


def test_short_and_long_lives_have_the_same_mix() -> None:
    def claims(members: int, facts: int) -> float:
        lines = list(lives(members, facts, 0))
        return sum(b"ProfessionalClaimReceived" in line for line in lines) / len(lines)

    assert claims(1, 1_000) > claims(100, 10) > 0.2, "a long life has enrollment once"


def test_chunks_keep_order_and_lose_nothing() -> None:
    assert [[0, 1, 2], [3, 4, 5], [6]] == list(chunks(range(7), 3))


def test_memory_that_stays_is_flat_and_memory_that_doubles_is_not() -> None:
    flat = Memory([(second, [100, 100]) for second in range(9)])
    grown = Memory([(second, [100 if second < 6 else 200]) for second in range(9)])
    assert (1.0, 100) == (flat.growth, flat.peak_bytes)
    assert grown.growth > 1.5


def test_processes_are_measured() -> None:
    me = os.getpid()
    assert me in family([me])
    assert resident_bytes(me) > 1_000_000
    assert cpu_seconds({"me": lambda: [me], "nobody": lambda: []})["nobody"] == 0
    assert this_machine().cores >= 1


def test_a_result_shows_ratios_first_and_keeps_its_keys() -> None:
    result = Result(
        MACHINE,
        Options(),
        Run(300_000, 20.0, {"workers": 30.0, "kafka": 3.0, "postgres": 7.0}, 3 * 10**8, 1.02, {"workers": 6 * 10**8}),
        36_000,
        {"payments": 0.12, "corrected": 0.051, "duplicates": 0.01},
        resent=Run(300_000, 10.0),
        latency_ms={"events_per_second": 1_000, "payments": 2_400, "p50": 60.0, "p99": 200.0, "max": 400.0},
        long_member={
            "facts": 10_000,
            "microseconds_each": 120.0,
            "of_short_facts": 10,
            "of_short_microseconds_each": 100.0,
            "ratio": 1.2,
        },
        aiokafka=Run(300_000, 3.0),
        faust=Run(60_000, 5.0),
        months=23_000,
        cents=170_000_000,
    )
    lines = told(result)
    assert lines[0].startswith("Ratios")
    assert "1.25  of a plain Faust agent that only counts" in lines[1]
    assert any("15,000 events/s  whole pipeline" in line for line in lines)
    assert "a processor" in lines[-1]
    assert list(islice(orjson.loads(orjson.dumps(result.as_json())), 13)) == [
        "benchmark",
        "ratios",
        "pipeline",
        "latency_ms",
        "resent",
        "long_member",
        "plain_aiokafka_reader",
        "plain_faust_agent",
        "payments",
        "independent_fold",
        "shares",
        "options",
        "machine",
    ]


@pytest.mark.long
async def test_a_small_run_agrees_with_the_independent_fold() -> None:
    result = await run(Options(events=6_000, members=100, workers=1, steady_seconds=3))
    assert result.months > 0
    assert result.latency_ms["payments"] > 0
    assert result.resent is not None
    assert result.faust is not None
