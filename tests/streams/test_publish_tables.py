"""Tables on the way in: by a mapping, by their header, sent again, mended; and the alerts that answers raise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from tests.streams.ways_in import Ways, commands, ways_in, working

pytestmark = pytest.mark.platform

Run = Callable[..., Awaitable[Any]]
SPACE = "tables"
PAYER = f"{SPACE}-medicare"

ANSWERS = "response_id,member_id,instrument,collected_on,status,item,value\n"
WIDE = "SURVEY;MEMBER;DAY;PAIN;STATE\n"
MAPPING = """
name      = "clinic-survey"
delimiter = ";"

[[event]]
type = "EproResponseReceived"

[event.person]
identifier = { kind = "member_id", column = "MEMBER" }

[event.fields]
response_id        = "SURVEY"
instrument         = { value = "PRO-CTCAE" }
instrument_version = { value = "1.0" }
collected_on       = { column = "DAY", date = "%m/%d/%Y" }
status             = { column = "STATE", values = { F = "completed", A = "amended" } }

[[event.lists.items]]
code_system = { value = "PRO-CTCAE" }
code        = { value = "pain-severity" }
value       = "PAIN"
"""


@pytest_asyncio.fixture(scope="module")
async def ways(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ways]:
    async with ways_in(platform, SPACE, tmp_path_factory.mktemp("tables"), "medicare") as made:
        yield made


@pytest_asyncio.fixture
async def run(platform: LocalPlatform, ways: Ways, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return commands(platform, ways, tmp_path, monkeypatch)


def lines(result: Any) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


async def test_answers_come_in_by_mapping_and_by_header_and_raise_alerts(run: Run, ways: Ways, tmp_path: Path) -> None:
    mapping, wide, ours = tmp_path / "map.toml", tmp_path / "wide.csv", tmp_path / "ours.csv"
    mapping.write_text(MAPPING)
    wide.write_text(WIDE + "s1;m1;03/03/2025;0;F\ns2;m1;03/10/2025;2;F\ns3;m1;03/17/2025;x;F\n")
    ours.write_text(ANSWERS + "r1,m1,PHQ-9,2025-03-03,,9,1\n")
    async with working(ways), asyncio.timeout(120):
        sent = await run("publish", "--payer", PAYER, "--mapping", mapping, wide, "--wait", "--json")
        assert sent.exit_code == 5, sent.output
        counts = ("read", "accepted", "duplicate", "rejected")
        assert [json.loads(sent.stdout)[name] for name in counts] == [3, 2, 0, 1]
        again = await run("publish", "--payer", PAYER, "--mapping", mapping, wide, "--wait", "--json")
        assert [json.loads(again.stdout)[name] for name in counts] == [3, 0, 2, 1]
        header = await run("publish", "--payer", PAYER, ours, "--wait", "--json")
        assert json.loads(header.stdout)["events"] == {"epro": 1}, header.output

        (reject,) = lines(await run("rejects", "list", "--payer", PAYER, "--json"))
        assert (reject["file"], reject["line"], reject["field"], reject["code"]) == ("wide.csv", 4, "PAIN", "schema")
        retried = await run("rejects", "retry", reject["reject_id"], "--json")
        assert "this build does not read" not in retried.output

        found = lines(await run("alerts", "--payer", PAYER))
        assert sorted((a["response_id"], a["subject"], a["level"], a["status"]) for a in found) == [
            ("r1", "phq-9/44260-8", "RED", "open"),
            ("s2", "pro-ctcae/pain", "AMBER", "open"),
        ]
        wide.write_text(WIDE + "s2;m1;03/10/2025;1;A\n")
        assert (await run("publish", "--payer", PAYER, "--mapping", mapping, wide, "--wait")).exit_code == 0
        (closed,) = [a for a in lines(await run("alerts", "--payer", PAYER)) if a["status"] == "closed"]
        assert (closed["response_id"], closed["close_reason"]) == ("s2", "source_amended")
        assert closed["raised_by"]["offset"] < closed["closed_by"]["offset"]
        (standing,) = lines(await run("alerts", "--payer", PAYER, "--open", "--member", closed["member"]))
        assert standing["response_id"] == "r1"


async def test_a_mapping_that_does_not_fit_is_refused_before_anything_is_written(run: Run, tmp_path: Path) -> None:
    mapping, table = tmp_path / "map.toml", tmp_path / "t.csv"
    mapping.write_text(MAPPING.replace("collected_on ", "collected_at "))
    table.write_text(WIDE)
    wrong = await run("publish", "--payer", PAYER, "--mapping", mapping, table)
    assert wrong.exit_code == 2
    assert "event[0].fields.collected_at: EproResponseReceived has no such field" in wrong.output
    mapping.write_text(MAPPING)
    table.write_text("SURVEY;MEMBER\n")
    lacking = await run("publish", "--payer", PAYER, "--mapping", mapping, table)
    assert lacking.exit_code == 1
    assert "t.csv: the table lacks columns that the mapping reads: DAY, PAIN, STATE" in lacking.output
    both = await run("publish", "--payer", PAYER, "--mapping", mapping, "--format", "epro", table)
    assert both.exit_code == 2
