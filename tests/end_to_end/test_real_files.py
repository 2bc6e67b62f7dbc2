"""Files as CMS and Tuva give them, the whole way: every row is accounted for, and sending again is harmless."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from streams.topics import log_topic
from tests.end_to_end.harness import World, world_of
from tests.streams.tables import assert_same
from tests.streams.ways_in import records_of

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.platform,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not DATA.is_dir(), reason="the sample data is not beside the repository"),
]
SEVEN = {
    "Breast Cancer",
    "Chronic Leukemia",
    "Intestinal Cancer",
    "Lung Cancer",
    "Lymphoma",
    "Multiple Myeloma",
    "Prostate Cancer",
}
EIGHT = {
    "00131C35661B2926",
    "001AFA59A08ABBF1",
    "0082562C2CEF3977",
    "0095EAD5B0588672",
    "00A1256E21128D86",
    "00B67DCC857D5493",
    "00DA910E42BA3E35",
    "00E8C889CB8E7932",
}
"""Members with a chemotherapy code and one of the seven cancers on one carrier claim."""


@pytest_asyncio.fixture
async def world(platform: LocalPlatform, space: str, tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(platform, space, tmp_path, ("medicare",)) as made, made.working(1):
        yield made


async def publish(world: World, years: int, *paths: Path) -> tuple[int, dict[str, Any]]:
    """As a person publishes: by the command, waiting for the projection."""
    words = "--payer", world.payer("medicare").name, "--shift-years", str(years), "--wait", "--json"
    code, printed, said = await world.command("publish", *words, *map(str, paths))
    assert code in (0, 5), said
    return code, orjson.loads(printed)


def rows_in(paths: list[Path]) -> int:
    """The rows below the headers."""
    return sum(sum(1 for _ in rows_of(path)) for path in paths)


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a csv file, gzipped or not."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        yield from csv.DictReader(file)


async def stored(world: World) -> list[dict[str, Any]]:
    """The events of the log."""
    records = await records_of(world.connections(), log_topic(world.payer("medicare").name))
    return [json.loads(record.value) for record in records]


def distinct(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each event once."""
    return list({event["id"]: event for event in events}.values())


def members_with_a_trigger() -> dict[str, set[str]]:
    """Who has a chemotherapy code and one of the seven cancers on one claim, by the published lists of codes."""
    lists = DATA / "ref" / "ocm"
    chemotherapy = {row["hcpcs"] for row in rows_of(lists / "ocm_pp6_chemo_hcpcs.csv")}
    cancers = {
        row["code_prefix"]: row["cancer_type"]
        for row in rows_of(lists / "ocm_cancer_type_icd_prefix.csv")
        if row["icd_version"] == "9"
    }
    found: dict[str, set[str]] = defaultdict(set)
    for path in [*DATA.glob("desynpuf/*Carrier*"), *DATA.glob("desynpuf/*Outpatient*")]:
        for row in rows_of(path):
            if not any(name.startswith("HCPCS_CD") and code in chemotherapy for name, code in row.items()):
                continue
            codes = [code for name, code in row.items() if "ICD9_DGNS" in name and code]
            names = {cancers.get(code[:n], "") for code in codes for n in (3, 4, 5)} & SEVEN
            if names:
                found["carrier" if "Carrier" in path.name else "outpatient"].add(row["DESYNPUF_ID"])
    return found


async def test_desynpuf_gives_each_member_with_a_trigger_an_episode(world: World) -> None:
    paths = sorted(DATA.glob("desynpuf/*"))
    code, said = await publish(world, 15, *paths)
    assert said["read"] == rows_in(paths) == said["accepted"] + said["duplicate"] + said["rejected"]
    assert (code, said["exact"], said["duplicate"], said["rejected"]) == (5, True, 0, 40), "40 rows have no dates"
    events = await stored(world)
    assert len(distinct(events)) == len(events)
    assert cents(events) == {
        "ProfessionalClaimReceived": 95_917_000,
        "inpatient": 115_770_000,
        "outpatient": 48_747_000,
        "PharmacyClaimReceived": 68_984_000,
    }
    triggers = members_with_a_trigger()
    assert triggers["carrier"] == EIGHT
    _, printed, _ = await world.command("episodes", "--payer", world.payer("medicare").name)
    episodes = [orjson.loads(line) for line in printed.splitlines()]
    assert all(episode["void_reason"] for episode in episodes if episode["status"] != "valid")
    having = {episode["member"] for episode in episodes if episode["status"] in ("valid", "void")}
    for member in triggers["carrier"] | triggers["outpatient"]:
        assert world.token("medicare", "", "beneficiary_id", member) in having, member
    before = await world.rows()
    _, again = await publish(world, 15, *paths)
    assert (again["accepted"], again["duplicate"], again["rejected"]) == (0, said["accepted"], 40)
    after = await world.rows()
    assert_same({**before, "position": []}, {**after, "position": []})
    await world.settled()
    await world.assert_whole()


def cents(events: list[dict[str, Any]]) -> Counter[str]:
    """What each kind of claim comes to: lines of professional claims, claims of facilities, whole costs of fills."""
    sums: Counter[str] = Counter()
    for event in events:
        kind, data = event["type"].split(".")[1], event["data"]
        match kind:
            case "ProfessionalClaimReceived":
                sums[kind] += sum(line.get("paid_cents", 0) for line in data["lines"])
            case "InstitutionalClaimReceived":
                sums[data.get("setting", "inpatient")] += data.get("paid_cents", 0)
            case "PharmacyClaimReceived":
                sums[kind] += data.get("total_cost_cents", data.get("paid_cents", 0))
    return sums


async def test_tuva_is_taken_in_whole(world: World) -> None:
    paths = sorted(path for path in DATA.glob("tuva/**/*") if path.is_file())
    code, said = await publish(world, 6, *paths)
    assert (code, said["read"], said["accepted"]) == (0, rows_in(paths), rows_in(paths))
    events = await stored(world)
    sums = cents(events)
    facility = sum(sums[kind] for kind in sums if kind not in ("ProfessionalClaimReceived", "PharmacyClaimReceived"))
    assert (sums["ProfessionalClaimReceived"], facility) == (22_723_683, 28_902_462)
    before = await world.rows()
    _, again = await publish(world, 6, *reversed(paths))
    assert (again["accepted"], again["duplicate"], again["rejected"]) == (0, said["accepted"], 0)
    assert_same({**before, "position": []}, {**await world.rows(), "position": []})
    await world.settled()
    await world.assert_whole()
