"""What cannot be taken in is set aside with its place and its remedy, and all else goes on: by file and by inbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from carepact.generate.population import spoiled
from carepact.local.platform import LocalPlatform
from streams.topics import inbox_topic
from tests.end_to_end.harness import World, population, world_of
from tests.streams.tables import assert_same

pytestmark = pytest.mark.platform
EXPECTED = [
    ("unreadable", None),
    ("not_a_date", "/data/from_on"),
    ("no_member_identifier", "/data/person/identifier"),
    ("not_money", "/data/lines/0/paid_cents"),
    ("not_a_date", "/data/lines/0/service_on"),
    ("too_large", None),
    ("duplicate_key", None),
    ("unknown_type", "/type"),
    ("conflict", None),
    ("unknown_payer", "/payer"),
    ("schema", "/data/action"),
]
"""Code and field of each bad line, in the order of `bad_lines`."""


@pytest_asyncio.fixture(scope="module")
async def world(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("bad")
    async with world_of(platform, "bad", folder, ("medicare",)) as made:
        yield made


@pytest.fixture(scope="module")
def lines(world: World) -> list[bytes]:
    """Good ones, told before the bad."""
    made = population(world.folder, world.space, 20, seed=3)
    return made["practices"] + made["medicare"]


def bad_lines(lines: list[bytes], mark: str) -> list[bytes]:
    """One of each bad thing; `mark` makes them of one way in differ from those of another."""
    bad = [line.replace(b'"bad-', f'"{mark}-'.encode()) for line in spoiled(lines)]
    claim = orjson.loads(next(line for line in lines if b"ProfessionalClaimReceived" in line))
    bad.append(orjson.dumps(claim | {"id": f"{mark}-9", "payer": "acme"}))
    bad.append(orjson.dumps(claim | {"id": f"{mark}-10", "data": claim["data"] | {"action": "explode"}}))
    return bad


async def rejected(world: World) -> list[dict[str, Any]]:
    """As `carepact rejects list` shows them."""
    code, printed, said = await world.command("rejects", "list", "--payer", world.payer("medicare").name, "--json")
    assert code == 0, said
    return [orjson.loads(line) for line in printed.splitlines()]


async def facts(world: World) -> int:
    async with world.opened() as database:
        return int(await database.fetchval("SELECT count(*) FROM fact WHERE type <> 'carepact.LogOpened.v1'"))


async def test_bad_lines_of_a_file_are_set_aside_and_the_rest_is_taken_in(world: World, lines: list[bytes]) -> None:
    good, file = len({orjson.loads(line)["id"] for line in lines}), world.folder / "some.ndjson"
    file.write_bytes(b"".join(line + b"\n" for line in [*lines, *bad_lines(lines, "file")]))
    payer = world.payer("medicare").name
    async with world.working(1):
        await world.settled()
        code, printed, said = await world.command("publish", "--payer", payer, str(file), "--wait", "--json")
        assert code == 5, said
        account = orjson.loads(printed)
        assert account["rejected"] == len(EXPECTED)
        assert account["read"] == account["accepted"] + account["duplicate"] + account["rejected"]
        found = await rejected(world)
        assert {(one["code"], one["field"]) for one in found} == set(EXPECTED)
        assert len(found) == len(EXPECTED)
        for number, expected in enumerate(EXPECTED, len(lines) + 1):
            if expected[0] == "conflict":
                continue
            here = [(one["code"], one["field"], one["file"]) for one in found if one["line"] == number]
            assert here == [(*expected, "some.ndjson")], number
        conflict = next(one for one in found if one["code"] == "conflict")
        assert (conflict["topic"], conflict["line"]) == (f"carepact.{payer}.events.v1", None)
        assert conflict["event_id"]
        assert all(one["reason"] and one["remedy"] for one in found)
        assert account["accepted"] == good
        await world.settled()
        await world.assert_whole()
        await assert_inbox_is_no_worse(world, lines)


async def assert_inbox_is_no_worse(world: World, lines: list[bytes]) -> None:
    """The same by the payer's own writes: good ones were there already, bad ones are named by inbox and offset."""
    before, known = await rejected(world), await facts(world)
    payer = world.payer("medicare").name
    bad = bad_lines(lines, "inbox")
    producer = AIOKafkaProducer(**world.platform.connections(payer).aiokafka(), acks="all", max_request_size=1_000_000)
    await producer.start()
    try:
        about = [line for line in lines if b'"person":' in line]
        for line in [*about[:50], *bad]:
            await producer.send(inbox_topic(payer), line, partition=0)
        await producer.flush()
    finally:
        await producer.stop()
    code, _, said = await world.command("wait")
    assert code == 0, said
    found = [one for one in await rejected(world) if one["reject_id"] not in {each["reject_id"] for each in before}]
    places = {one["line"]: (one["code"], one["field"]) for one in found if one["file"]}
    assert {one["file"] for one in found if one["file"]} == {f"{inbox_topic(payer)}/0"}
    assert places == {50 + n: want for n, want in enumerate(EXPECTED) if want[0] != "conflict"}
    assert all(one["reason"] and one["remedy"] for one in found)
    assert await facts(world) == known, "every good one was a duplicate"


async def test_a_member_whose_fold_raises_is_parked_and_released_as_if_never_parked(
    platform: LocalPlatform, space: str, tmp_path: Path
) -> None:
    poison, program = tmp_path / "poison", ("tests.end_to_end.worker", "--batch-records", "50")
    async with world_of(platform, space, tmp_path, ("medicare",)) as world:
        made = population(tmp_path, space, 20, seed=4)
        payer = world.payer("medicare").name
        await world.publish("medicare", made["practices"] + made["medicare"])
        async with world.working(1, *program):
            await world.settled()
        well = await world.rows()
        victim, *others = sorted(paid(well["payment"]))
        poison.write_text(victim)
        await world.new_database()
        async with world.working(1, *program, "--poison", str(poison)):
            await world.settled()
            async with world.opened() as database:
                parked = await database.fetch("SELECT member, reason FROM parked_member")
                went_on = await database.fetch("SELECT DISTINCT member FROM payment WHERE member <> $1", victim)
            assert [row["member"] for row in parked] == [victim]
            assert sorted(row["member"] for row in went_on) == others
            code, printed, _ = await world.command("status", "--json")
            assert orjson.loads(printed)["parked"] == 1
            poison.unlink()
            code, _, said = await world.command("parked", "release", victim, "--payer", payer)
            assert code == 0, said
            await world.settled()
        assert_same(well, await world.rows())
        await world.assert_whole()
        await world.assert_as_folded_elsewhere()


def paid(payments: list[tuple[Any, ...]]) -> set[str]:
    """The members of rows of `payment`."""
    return {row[6] for row in payments}
