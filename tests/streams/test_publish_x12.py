"""publish of X12: acknowledgements are written beside, findings stand with facts, 835 and 820 are in the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from tests.formats.x12_samples import PREMIUMS, PROFESSIONAL, REMITTANCE, ROSTER, made
from tests.streams.test_publish_commands import Run
from tests.streams.ways_in import Ways, commands, ways_in, working

pytestmark = pytest.mark.platform

SPACE = "x12"
PAYER = f"{SPACE}-medicare"


@pytest_asyncio.fixture(scope="module")
async def ways(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ways]:
    async with ways_in(platform, SPACE, tmp_path_factory.mktemp("x12"), "medicare") as made_:
        yield made_


@pytest.fixture
def run(platform: LocalPlatform, ways: Ways, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return commands(platform, ways, tmp_path, monkeypatch)


async def test_remittances_premiums_and_full_files_are_folded_and_sending_them_again_changes_nothing(
    run: Run, ways: Ways, tmp_path: Path
) -> None:
    full = [s.replace("*1200****2", "*1200****4") for s in ROSTER]
    (tmp_path / "all.x12").write_bytes(made("835", REMITTANCE) + made("820", PREMIUMS) + made("834", full))
    async with working(ways), asyncio.timeout(120):
        for accepted, duplicate in ((6, 0), (0, 6)):
            published = await run("publish", "--payer", PAYER, tmp_path / "all.x12", "--wait", "--json")
            assert published.exit_code == 0, published.output
            told = json.loads(published.stdout)
            assert (told["accepted"], told["duplicate"], told["exact"]) == (accepted, duplicate, True)
            assert told["events"] == {"enrollment": 3, "remittance": 6}


async def test_files_are_answered_when_kafka_has_them(run: Run, tmp_path: Path) -> None:
    wrong = [s.replace("1200.5*UN", "x*UN").replace("ACCOUNT1", "ACCOUNT9") for s in PROFESSIONAL[17:]]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "claims.837").write_bytes(made("837", PROFESSIONAL + wrong))
    (tmp_path / "in" / "paid.835").write_bytes(made("835", REMITTANCE) + made("820", PREMIUMS))
    answers = tmp_path / "answers"
    published = await run(
        "publish", "--payer", PAYER, tmp_path / "in", "--acknowledge", answers, "--validate", "full", "--json"
    )
    assert published.exit_code == 5, published.output
    told = json.loads(published.stdout)
    assert [told[name] for name in ("read", "accepted", "rejected", "events")] == [
        7,
        6,
        1,
        {"claim": 1, "remittance": 6},
    ]
    assert sorted(path.name for path in answers.iterdir()) == [
        "claims.837.277ca",
        "claims.837.999",
        "claims.837.ta1",
        "paid.835.999",
        "paid.835.ta1",
    ]
    assert sorted(told["acknowledgements"]) == sorted(str(path) for path in answers.iterdir())
    assert b"IK4*2**6~" in (answers / "claims.837.999").read_bytes()
    assert (answers / "paid.835.999").read_bytes().count(b"AK9*A*1*1*1~") == 2


async def test_findings_stand_in_the_log_and_are_no_part_of_a_fact(run: Run, tmp_path: Path) -> None:
    segments = [s.replace("*F", "*X").replace("ACCOUNT1", "ACCOUNT5") for s in PROFESSIONAL]
    (tmp_path / "claims.837").write_bytes(made("837", segments))
    for validate, warned in (("full", 1), ("syntax", 0)):
        published = await run("publish", "--payer", PAYER, tmp_path / "claims.837", "--validate", validate, "--json")
        assert published.exit_code == 0, published.output
        assert json.loads(published.stdout).get("warned", 0) == warned
    told = await run("findings", "--payer", PAYER, "--json")
    assert told.exit_code == 0, told.output
    found = [json.loads(line) for line in told.stdout.splitlines()]
    (warned_,) = [each for each in found if "DMG03:7" in each["findings"]]
    assert (warned_["payer"], warned_["type"]) == (PAYER, "carepact.ProfessionalClaimReceived.v1")
    of_one = await run("findings", "--payer", PAYER, "--member", warned_["member"])
    assert warned_ in [json.loads(line) for line in of_one.stdout.splitlines()]
    assert (await run("findings", "--payer", PAYER, "--member", "nobody")).stdout == ""


async def test_there_are_two_ways_to_check(run: Run, tmp_path: Path) -> None:
    (tmp_path / "claims.837").write_bytes(made("837", PROFESSIONAL))
    refused = await run("publish", "--payer", PAYER, tmp_path / "claims.837", "--validate", "loosely")
    assert refused.exit_code == 2
    assert "--validate is syntax or full" in refused.stderr
