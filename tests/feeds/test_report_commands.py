"""`carepact report` and `statement` give what the gateway gives; a practice's quality leaves as FHIR."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from typer.testing import CliRunner

from carepact.__main__ import app
from carepact.local.platform import LocalPlatform
from carepact.local.postgres import READER
from carepact.logging import to_stderr
from formats.vbpr import check
from gateway.measure_reports import of_practice
from projections.practice_quality import Settled
from tests.feeds.released import OTHER_PLAN, PLAN, project, release_of
from tests.feeds.test_statements import ROWS, name, paid

STATEMENT = {
    "contract": "medicare-eom", "terms": "2026.1", "period": 4, "run": "initial", "initiated_from": "2025-01-01",
    "initiated_through": "2025-06-30", "due_on": "2026-06-30",
    "group": {
        "quality_score": "82.5",
        "quality": [
            {"measure": "EOM-1", "numerator": 12, "denominator": 80, "rate": "15.0000", "points": "8", "possible": "10",
             "source": "claims", "why_not": None},
            {"measure": "EOM-6", "numerator": None, "denominator": None, "rate": "91.0000", "points": None,
             "possible": "10", "source": "reported", "why_not": None},
            {"measure": "EOM-5", "numerator": None, "denominator": None, "rate": None, "points": None,
             "possible": "10", "source": "none", "why_not": "not reported"},
        ],
    },
}  # fmt: skip


def test_a_practices_quality_is_its_statements_and_a_measure_without_cases_is_left_out() -> None:
    written = of_practice("medicare", "P1", [Settled("", "medicare-eom", 4, "initial", STATEMENT)])
    document = orjson.loads(written)
    check(document)
    resources = {entry["resource"]["id"]: entry["resource"] for entry in document["entry"]}
    assert {name for name in resources if name.startswith("quality")} == {"quality-2025-01-01-EOM-1"}
    scores = {one["id"]: one["measureScore"] for one in resources["performance-2025-01-01"]["group"]}
    assert set(scores) == {"EOM-6", "aggregate-score"} and scores["aggregate-score"] == {"value": 0.825}
    group = resources["quality-2025-01-01-EOM-1"]["group"][0]
    assert [each["count"] for each in group["population"]] == [12, 80]
    assert group["measureScore"] == {"value": 0.15}
    assert resources["performance-2025-01-01"]["period"] == {"start": "2025-01-01", "end": "2025-06-30"}


@pytest.mark.platform
async def test_commands(
    platform: LocalPlatform, space: str, fresh_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[Any, ...]] = []

    async def note(_: Any, *what: Any, **asked: Any) -> None:
        read.append((*what[:2], asked))

    monkeypatch.setattr("carepact.statement_command.noted", note)
    owner = await asyncpg.connect(fresh_database)
    for row in ROWS:
        await paid(owner, *row)
    for ordinal in (1, 2):
        await project(owner, release_of(PLAN, ordinal))
    await owner.close()
    environment = {"CAREPACT_HOME": str(platform.home.path), "CAREPACT_POSTGRES": platform.dsn(READER, space)}

    async def told(*words: str) -> tuple[int, Any]:
        def run() -> Any:
            try:
                return CliRunner().invoke(app, words, env=environment)
            finally:
                to_stderr()

        result = await asyncio.to_thread(run)
        return result.exit_code, result.stdout

    code, written = await told("report", "--plan", PLAN, "--out", str(tmp_path / "out"), "--json")
    document = orjson.loads(written)
    assert (code, document["release"], len(document["periods"])) == (0, 2, 2)
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == [f"{PLAN}.release-2.{ending}" for ending in ("csv", "fhir.json", "html", "json")]
    code, written = await told("report", "--plan", PLAN, "--release", "1")
    assert code == 0 and "withheld" in written and "long-term investment" in written
    assert [(await told("report", "--plan", plan))[0] for plan in (OTHER_PLAN, "nobody")] == [4, 4]
    assert (await told("report", "--plan", PLAN, "--release", "9"))[0] == 4

    out = tmp_path / "2026-01.csv"
    mine = ("statement", "--payer", "medicare", "--role", "practice", "--practice", "P1")
    code, written = await told(*mine, "--month", "2026-01", "--out", str(out), "--json")
    assert (code, orjson.loads(written)["events"]) == (0, 3)
    asked = {"month": "2026-01", "plan": "", "practice": "P1"}
    assert read == [("statement", "medicare", asked)], "that it was read is noted before it is"
    assert str(name("a", 1)) in out.read_text() and str(name("c", 1)) not in out.read_text()
    assert (await told(*mine, "--month", "2099-01", "--out", str(out)))[0] == 75
    assert (await told(*mine, "--month", "2026-1", "--out", str(out)))[0] == 2
    assert (await told(*mine, "--month", "2026-01", "--out", str(tmp_path / "x.xls")))[0] == 2
    assert (await told("statement", "--payer", "nobody", "--month", "2026-01", "--out", str(out)))[0] == 4
