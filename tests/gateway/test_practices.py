"""What a practice shows, sends and gets: by command and over HTTP, each opened patient noted, nobody else's read."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from carepact.local.platform import LocalPlatform
from formats.eom_bundle import wrong
from gateway.practices import asked_of
from gateway.principals import Principal
from gateway.problems import Problem
from tests.end_to_end.harness import population, until, world_of
from tests.gateway.served import Served, app_of, served

MONTH, PERIOD = "2024-09", "3"


@pytest.mark.platform
async def test_a_practice_is_told_what_it_lacks_sends_its_data_and_reads_its_feedback(
    platform: LocalPlatform, space: str, tmp_path: Path
) -> None:
    async with world_of(platform, space, tmp_path, ("medicare",)) as world:
        lines = population(tmp_path, space, 100, 7)
        await world.publish("medicare", lines["practices"])
        await world.publish("medicare", lines["medicare"])
        async with served(world) as here:
            await world.settled()
            async with world.opened() as database:
                episodes = await database.fetch(
                    "SELECT practice, member FROM episode WHERE to_offset IS NULL AND performance_period = 3 "
                    "AND status = 'valid' AND exclusion = ''"
                )
            practice, count = Counter(row["practice"] for row in episodes).most_common(1)[0]
            await shows(here, practice)
            await sends(here, practice, count, {row["member"] for row in episodes if row["practice"] == practice})
            await gets(here, practice)


def payer_of(here: Served) -> tuple[str, str]:
    return "--payer", here.world.payer("medicare").name


async def document(here: Served, *words: str) -> Any:
    answer = await here.command("practice", *words, *payer_of(here), "--json")
    assert answer.exit_code in (0, 5), answer.output
    return json.loads(answer.stdout)


async def shows(here: Served, practice: str) -> None:
    """Readiness by command, and what was told of it over HTTP."""
    said = await document(here, "readiness", "--practice", practice, "--month", MONTH, "--tell")
    assert said["takes_part"] and said["episodes"] == len(said["patients"]) > 0
    assert {one["activity"] for one in said["activities"] if one["asked"]} >= {"access", "hrsn"}
    assert sum(said["lacking"].values()) == sum(len(one["lacks"]) for one in said["patients"])
    key, other = await here.key("practice", "medicare", practice=practice), await here.key("operator")

    async def told() -> Any:
        async with here.client(key) as client:
            answer = await client.get("/v1/practice/readiness", params={"month": MONTH})
            return answer.json() if answer.status_code == 200 else None

    read = await until(told, "the practice reads its readiness")
    assert (read["episodes"], read["ready"], read["lacking"]) == (said["episodes"], said["ready"], said["lacking"])
    assert "patients" not in read and "by" not in read
    async with here.client(other) as client:
        asked = {"month": MONTH, "practice": practice, "payer": here.world.payer("medicare").name}
        assert (await client.get("/v1/practice/readiness", params=asked)).json() == read


async def sends(here: Served, practice: str, count: int, members: set[str]) -> None:
    """The bundle is whole, private, and noted patient by patient before; only its digest is kept."""
    out = here.world.folder / "bundle.json"
    words = ("--practice", practice, "--period", PERIOD, "--entity", "EOM-PGP-0001", "--out", str(out))
    said = await document(here, "submission", *words, "--on", "2025-02-01")
    content = out.read_bytes()
    assert out.stat().st_mode & 0o777 == 0o600
    assert said["digest"] == hashlib.sha256(content).hexdigest()
    assert (said["subjects"], said["withheld"], said["findings"]) == (count, {}, [])
    made = json.loads(content)
    assert wrong(made) == ()
    patients = [one["resource"] for one in made["entry"] if one["resource"]["resourceType"] == "Patient"]
    assert len(patients) == count
    assert all(one["name"][0]["family"] and one["identifier"][0]["value"] for one in patients)
    assert not any(member.encode() in content for member in members)
    assert said["measures"]["EOM-5"]["denominator"] > 0

    async def noted() -> Any:
        async with here.world.opened() as database:
            return await database.fetch("SELECT type, data, log_offset FROM operation ORDER BY log_offset") if (
                await database.fetchval(
                    "SELECT count(*) FROM operation WHERE type = 'carepact.DataSubmissionBuilt.v1'"
                )
            ) else None  # fmt: skip

    rows = await until(noted, "the submission is noted")
    opened = [json.loads(row["data"]) for row in rows if row["type"] == "carepact.PersonalDataRead.v1"]
    opened = [one for one in opened if one["what"] == "submission"]
    assert sorted(one["subject"] for one in opened) == sorted(members)
    assert rows[-1]["type"] == "carepact.DataSubmissionBuilt.v1"
    kept = json.loads(rows[-1]["data"])
    assert (kept["digest"], kept["subjects"]) == (said["digest"], count)
    names = [one["name"][0]["family"] for one in patients]
    assert not any(name in row["data"] for row in rows for name in names)
    assert not any(name.encode() in answer for answer in here.answers for name in names)


async def gets(here: Served, practice: str) -> None:
    """Feedback on a settled period, by command and over HTTP, the practice's own alone."""
    await here.world.settled()
    answer = await here.command("reconcile", *payer_of(here), "--period", PERIOD, "--json")
    assert answer.exit_code == 0, answer.output
    said = await document(here, "feedback", "--practice", practice, "--period", PERIOD)
    assert said["practice"] == practice and said["utilisation"]["episodes"] == said["episodes"]["settled"] > 0
    async with here.client(await here.key("practice", "medicare", practice=practice)) as client:
        read = await client.get("/v1/practice/feedback", params={"period": PERIOD})
        assert read.json() == said
        page = await client.get("/v1/practice/feedback.html", params={"period": PERIOD, "run": "initial"})
        assert page.headers["content-type"].startswith("text/html") and "Attribution list" in page.text
        assert (await client.get("/v1/practice/feedback", params={"period": "4"})).status_code == 404
        named = await client.get("/v1/practice/feedback", params={"period": PERIOD, "practice": "571000999"})
        assert named.status_code == 404
    async with here.client(await here.key("practice", "medicare", practice="571000999")) as client:
        assert (await client.get("/v1/practice/feedback", params={"period": PERIOD})).status_code == 404


@pytest.mark.parametrize(
    ("caller", "asked", "status"),
    [
        (Principal("practice", "medicare", practice="P1"), {"practice": "P2"}, 404),
        (Principal("practice", "medicare", practice="P1"), {"payer": "bcbs-sc"}, 404),
        (Principal("payer", "medicare"), {}, 400),
        (Principal("payer", "employers", "palmetto"), {"practice": "P1"}, 404),
        (Principal("operator"), {"practice": "P1"}, 404),
    ],
)
def test_nobody_asks_of_another_practice(caller: Principal, asked: dict[str, str], status: int, tmp_path: Path) -> None:
    parts = app_of(tmp_path).state.parts
    with pytest.raises(Problem) as refused:
        asked_of(caller, parts, asked.get("practice"), asked.get("payer"))
    assert refused.value.status == status


def test_a_practice_need_not_name_itself(tmp_path: Path) -> None:
    caller = Principal("practice", "medicare", practice="P1")
    assert asked_of(caller, app_of(tmp_path).state.parts, None, None) == ("medicare", "P1")
