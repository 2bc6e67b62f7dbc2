"""Invented populations: the same seed gives the same bytes, and every byte is an event of the catalogue."""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
import typer
from typer.testing import CliRunner

from carepact.generate import PAYERS, bench_events, generate, write
from carepact.generate.codes import CANCERS, CHRONIC_FILLS, OTHER_CANCER
from carepact.generate.command import generate_command
from contracts.events import CATALOGUE
from formats import ndjson
from formats.reading import ReadFact, Reject

VALUE_SETS = Path(__file__).parents[2] / "contracts" / "value_sets"


def digest(lines: list[bytes]) -> str:
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    here = digest([line for _, line in generate(120, seed=11)])
    program = (
        "import hashlib; from carepact.generate import generate;"
        "print(hashlib.sha256(b'\\n'.join(line for _, line in generate(120, seed=11))).hexdigest())"
    )
    there = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONHASHSEED": "5", "TZ": "Pacific/Kiritimati"}, capture_output=True,
        text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert there.stdout.strip() == here


def test_another_seed_gives_other_bytes() -> None:
    assert digest([x for _, x in generate(40, seed=1)]) != digest([x for _, x in generate(40, seed=2)])


def test_a_member_is_the_same_whoever_else_is_asked_for() -> None:
    alone = [line for _, line in generate(60, seed=4, payers=("bcbs-sc",))]
    together = [line for payer, line in generate(60, seed=4) if payer == "bcbs-sc"]
    assert alone == together


def test_events_come_in_the_order_in_which_they_became_known() -> None:
    times: dict[str, list[str]] = {}
    seen: set[str] = set()
    for payer, line in generate(120, seed=7):
        event = orjson.loads(line)
        if event["id"] not in seen:
            seen.add(event["id"])
            times.setdefault(payer, []).append(event["time"])
    assert all(found == sorted(found) for found in times.values())


def test_every_event_is_one_of_the_catalogue(tmp_path: Path) -> None:
    write(tmp_path, 240, seed=7)
    types: Counter[str] = Counter()
    for path in sorted(tmp_path.iterdir()):
        for item in ndjson.read(path.open("rb"), path.name):
            assert isinstance(item, ReadFact), item
            types[item.event.type_name()] += 1
    assert set(types) <= set(CATALOGUE)
    assert len(types) >= 15


def test_no_fact_is_known_before_it_happened() -> None:
    for _, line in generate(120, seed=7):
        event = orjson.loads(line)
        data = event["data"]
        happened = data.get("filled_on") or data.get("collected_on") or data.get("died_on")
        if happened:
            assert datetime.fromisoformat(event["time"]).astimezone(UTC).date().isoformat() >= happened


def test_employers_name_a_plan_and_the_others_none() -> None:
    for payer, line in generate(40, seed=7):
        assert ("plan" in orjson.loads(line)) == (payer == "employers")


def test_the_drugs_are_of_the_value_sets() -> None:
    def codes(name: str) -> set[str]:
        with (VALUE_SETS / f"{name}.csv").open() as file:
            return {row["code"] for row in csv.DictReader(file)}

    hcpcs, ndc9 = codes("initiating_therapies_hcpcs"), codes("initiating_therapies_ndc9")
    for cancer in (*CANCERS.values(), OTHER_CANCER):
        for regimen in cancer.regimens:
            for code, _, _ in regimen.drugs:
                assert code[:9] in ndc9 if regimen.road == "part_d" else code in hcpcs
    assert not any(ndc[:9] in ndc9 for ndc, _, _ in CHRONIC_FILLS)


def test_the_benchmark_has_exactly_the_events_asked_for() -> None:
    lines = list(bench_events(members=50, events=3_007, seed=7))
    assert len(lines) == 3_007
    events = [orjson.loads(line) for line in lines]
    assert len({e["data"]["person"]["identifier"]["value"] for e in events}) == 50
    duplicates = len(events) - len({e["id"] for e in events})
    assert 0.005 * 3_007 <= duplicates <= 0.015 * 3_007
    again = list(bench_events(members=50, events=3_007, seed=7))
    assert digest(again) == digest(lines)


def test_at_least_one_in_twenty_events_of_the_benchmark_is_replaced_void_or_late() -> None:
    events = [orjson.loads(line) for line in bench_events(members=100, events=6_000, seed=7)]
    share = 0
    for event in events:
        data = event["data"]
        served = data.get("from_on") if "claim_id" in data else None
        known = datetime.fromisoformat(event["time"]).date()
        late = served and (known - datetime.fromisoformat(served).date()).days > 60
        share += bool(data.get("action") in ("replacement", "void") or late)
    assert share >= 300


def test_bad_lines_are_one_of_each_kind(tmp_path: Path) -> None:
    write(tmp_path, 60, seed=7, bad_lines=True)
    for payer in PAYERS:
        path = tmp_path / f"{payer}.ndjson"
        codes = [item.code for item in ndjson.read(path.open("rb"), path.name) if isinstance(item, Reject)]
        assert codes == [
            "unreadable", "not_a_date", "no_member_identifier", "not_money", "not_a_date", "too_large", "duplicate_key",
            "unknown_type",
        ]  # fmt: skip


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command("generate")(generate_command)
    return made


def test_the_command_prints_one_document(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--members", "40", "--seed", "3", "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0
    document = orjson.loads(result.stdout)
    assert set(document["files"]) == {"practices.ndjson", *(f"{p}.ndjson" for p in PAYERS)}
    assert document["files"]["medicare.ndjson"] == len((tmp_path / "medicare.ndjson").read_bytes().splitlines())


def test_an_unknown_payer_is_a_usage_error(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--payer", "nobody", "--out", str(tmp_path)])
    assert result.exit_code == 2
