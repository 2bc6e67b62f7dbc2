"""One of many members is erased while payers send on: nothing that names the person can be read anywhere afterwards,
and every payment, total, id, digest and proof is as it was.
"""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from cryptography.exceptions import InvalidTag
from typer.testing import CliRunner

from carepact.__main__ import app
from carepact.local.platform import LocalPlatform
from carepact.local.postgres import READER
from carepact.logging import to_stderr
from formats.detect import read_file
from gateway.statement_files import write_statement
from projections.feed import emitted_within
from projections.tenancy import Tenant
from streams.door import unseal
from streams.keys import KeyDestroyed, KeyStoreError
from streams.log_writer import LogWriter
from streams.own_keys import REJECT
from streams.publishing import Published, Publisher
from streams.rejects import RejectBook
from streams.topics import PLATFORM, inbox_topic, rejects_topic, topics
from tests.end_to_end.harness import World, population, until, world_of
from tests.streams.ways_in import records_of

pytestmark = pytest.mark.platform
CLOSED = date(2026, 1, 1)


@dataclass(frozen=True)
class Person:
    """Somebody of the population, and what names them: no other has any of it."""

    token: str
    mbi: str
    family_name: str
    address: str

    @property
    def said(self) -> list[bytes]:
        """What must be found nowhere."""
        return [each.encode() for each in (self.mbi, self.family_name, self.address)]


@pytest_asyncio.fixture
async def world(platform: LocalPlatform, space: str, tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(platform, space, tmp_path, ("medicare",)) as made:
        (tmp_path / "no-duty.toml").write_text("")
        yield made


async def carepact(world: World, *words: str, **more: str) -> Any:
    """`carepact ...` of this world, in this process."""

    def run() -> Any:
        try:
            return CliRunner().invoke(app, words, env=world.environment("command") | more)
        finally:
            to_stderr()

    return await asyncio.to_thread(run)


@pytest.mark.parametrize("members", [24, pytest.param(2_000, marks=pytest.mark.long)])
async def test_one_of_many_is_erased_while_others_send(world: World, members: int) -> None:
    lines = population(world.folder, world.space, members, seed=9)
    half = len(lines["medicare"]) * 2 // 3
    earlier, later = lines["medicare"][:half], lines["medicare"][half:]
    async with world.working():
        await world.publish("medicare", lines["practices"] + earlier)
        await world.settled()
        person = await someone_paid_for(world, earlier)
        theirs, others = parted(later, person)
        await world.publish("medicare", theirs)
        await refused_of(world, person, "before")
        await world.settled()
        before = await payments_of(world)
        assert person.said == [
            said for said in person.said if said in b"\n".join([one async for one in all_held(world)])
        ]

        refusal = await carepact(world, *words_of(world, person))
        assert refusal.exit_code == 1 and "ten years after the agreement has ended" in refusal.stderr

        report = await report_of(world, person)
        assert all(said.decode() in orjson.dumps(report["sealed"]).decode() for said in person.said)
        assert len(report["rejects"]) == 2 and report["duties"][0]["ends_on"] == "2040-06-30"
        assert report["disclosed"][0]["events"] == report["derived"]["payments"] > 0
        versions = report["disclosed"][-1]
        assert versions["what"].startswith("versions") and versions["events"] >= report["derived"]["episodes"] > 0

        assert (await carepact(world, "keys", "backup", "--out", str(world.folder / "backup"))).exit_code == 0
        sending = asyncio.create_task(send_on(world, others))
        erased = await carepact(world, *words_of(world, person), CAREPACT_RETENTION=str(world.folder / "no-duty.toml"))
        assert erased.exit_code == 0, erased.output
        await sending
        await refused_of(world, person, "after")
        await world.close_day(CLOSED)
        await world.settled()

        document = orjson.loads(erased.stdout)
        assert (document["status"], document["tokens"]) == ("erased", [person.token])
        assert len(document["rejects"]) == 2 and document["facts"] > 0
        again = await carepact(world, *words_of(world, person), CAREPACT_RETENTION=str(world.folder / "no-duty.toml"))
        assert orjson.loads(again.stdout)["status"] == "already_erased"
        await world.settled()
        report = await report_of(world, person)
        assert (report["erased"], report["rejects"], report["sealed"]["facts"]) == (True, [], 0)
        assert {each["decision"] for each in report["erasures"]} == {"refused", "requested", "done"}
        assert {each["what"] for each in report["reads"]} >= {"report", "erasure"}

    after = await payments_of(world)
    assert {each: after[each] for each in before} == before
    await world.assert_whole()  # facts, ledger and topics are whole, and a replay gives what is there
    await world.assert_as_folded_elsewhere()
    await proof_of(world, person)
    await restored_without(world, person, document["rejects"])
    assert (await carepact(world, "keys", "rotate")).exit_code == 0
    with pytest.raises(KeyStoreError, match="no wrapping key"):
        world.keys.restore(world.folder / "backup")
    world.keys = type(world.keys)(world.keys.path)  # as a new process opens it
    async for held in all_held(world):
        assert not [said for said in person.said if said in held or said.hex().encode() in held]
    exported = await statement_of(world)
    assert person.token.encode() in exported and not [said for said in person.said if said in exported]


def words_of(world: World, person: Person) -> Sequence[str]:
    payer = world.payer("medicare").name
    return ("subject", "erase", "--payer", payer, f"mbi:{person.mbi}", "--why", "request 17", "--json")


async def report_of(world: World, person: Person) -> Any:
    """The access report, all of it in plain words."""
    payer = world.payer("medicare").name
    answer = await carepact(world, "subject", "report", "--payer", payer, person.token, "--open", "--json")
    assert answer.exit_code == 0, answer.output
    return orjson.loads(answer.stdout)


async def someone_paid_for(world: World, lines: Sequence[bytes]) -> Person:
    """A member with payments."""
    async with world.opened() as database:
        row = await database.fetchrow(
            "SELECT member FROM payment GROUP BY member ORDER BY count(*) DESC, member LIMIT 1"
        )
    for line in lines:
        who = orjson.loads(line)["data"]["person"]
        if world.token("medicare", "", "mbi", who["identifier"]["value"]) == row["member"]:
            return Person(row["member"], who["identifier"]["value"], who["family_name"], who["address"])
    raise AssertionError("it is one of the population")


def parted(lines: Sequence[bytes], person: Person) -> tuple[list[bytes], list[bytes]]:
    """Those of the person, and the others."""
    theirs = [line for line in lines if person.mbi.encode() in line]
    return theirs, [line for line in lines if person.mbi.encode() not in line]


async def refused_of(world: World, person: Person, mark: str) -> None:
    """Bad records that name the person: one by file, one by the payer's inbox."""
    payer = world.payer("medicare")
    file = world.folder / f"bad-{mark}.ndjson"
    file.write_bytes(bad_line(person, mark))
    async with LogWriter(world.connections(), "carepact.test") as writer:
        publisher = Publisher(await world.door(writer, payer), writer, RejectBook(payer.name, world.keys))
        published: Published = await publisher.publish(read_file(file, "ndjson"))
        assert published.rejected == 1
    there = len(await records_of(world.connections(), rejects_topic(payer.name)))
    async with AIOKafkaProducer(**world.platform.connections(payer.name).aiokafka(), acks="all") as producer:
        await producer.send_and_wait(inbox_topic(payer.name), bad_line(person, f"inbox-{mark}"))

    async def taken() -> bool:
        refused = len(await records_of(world.connections(), rejects_topic(payer.name))) > there
        return refused and not await records_of(world.platform.connections(PLATFORM), inbox_topic(payer.name))

    await until(taken, "intake has refused the record, and deleted it from the inbox")


def bad_line(person: Person, mark: str) -> bytes:
    who = {"identifier": {"kind": "mbi", "value": person.mbi}, "family_name": person.family_name, "given_name": "X"}
    data = {"person": who | {"address": person.address}, "coverage": "part_a", "from_on": "31/12/2024"}
    event = {"specversion": "1.0", "id": mark, "source": "bad", "type": "carepact.EnrollmentChanged.v1", "data": data}
    return orjson.dumps(event) + b"\n"


async def send_on(world: World, lines: Sequence[bytes]) -> None:
    """The others' later facts, some at a time."""
    step = max(20, len(lines) // 8)
    for start in range(0, len(lines), step):
        await world.publish("medicare", lines[start : start + step], chunk=50)


async def payments_of(world: World) -> dict[str, bytes]:
    """Every payment as it was emitted, by id."""
    async with world.opened() as database:
        rows = await database.fetch("SELECT payment_id::text, event FROM payment")
    return {row[0]: row[1] for row in rows}


async def proof_of(world: World, person: Person) -> None:
    """A payment for the erased person still proves itself, from the record in the log on, and names nobody."""
    async with world.opened() as database:
        payment = await database.fetchval(
            "SELECT payment_id::text FROM payment WHERE member = $1 ORDER BY sequence LIMIT 1", person.token
        )
    packet = world.folder / "packet.zip"
    payer = world.payer("medicare").name
    made = await carepact(world, "audit", "packet", "--payer", payer, "--payment", payment, "--out", str(packet))
    assert made.exit_code == 0, made.output
    assert (await carepact(world, "audit", "verify", str(packet))).exit_code == 0
    assert (await carepact(world, "audit", "chain", "--payer", payer)).exit_code == 0
    with zipfile.ZipFile(packet) as parts:
        told = b"\n".join(parts.read(name) for name in parts.namelist())
    assert person.token.encode() in told
    assert not [said for said in person.said if said in told]


async def restored_without(world: World, person: Person, rejects: Sequence[str]) -> None:
    """Another store that takes a backup from before has the others' keys, and not the person's."""
    payer, path = world.payer("medicare").name, world.folder / "restored.sqlite3"
    wrapping = world.keys.path.with_name(world.keys.path.name + ".wrapping")
    path.with_name(path.name + ".wrapping").write_bytes(wrapping.read_bytes())
    words = ("keys", "restore", str(world.folder / "backup"), "--json")
    answer = await carepact(world, *words, CAREPACT_KEYS=str(path))
    assert answer.exit_code == 0 and orjson.loads(answer.stdout)["erased"] == 1, answer.output
    store = type(world.keys)(path)
    assert person.token in store.destroyed(payer)
    assert set(store.own_keys(payer, REJECT, rejects).values()) == {None}
    async with world.opened() as database:
        other = await database.fetchval("SELECT member FROM payment WHERE member <> $1 LIMIT 1", person.token)
    assert store.data_key(payer, other) == world.keys.data_key(payer, other)
    store.close()


async def all_held(world: World) -> AsyncIterator[bytes]:
    """All rows of all tables and all records of all topics; of what is sealed also what its key opens."""
    async with world.opened() as database:
        for table in await database.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ):
            for row in await database.fetch(f'SELECT t::text FROM "{table[0]}" t'):
                yield row[0].encode()
    reach = world.platform.connections(PLATFORM)
    for topic in topics(world.roster, world.settings.log_partitions):
        for record in await records_of(reach, topic.name):
            yield b"|".join((record.key or b"", record.value or b"", *(value for _, value in record.headers)))
            if topic.payer:
                for opened in opened_of(world, topic.payer, topic.kind, record.value or b""):
                    yield opened


async def statement_of(world: World) -> bytes:
    """All that the payer may export of its feed, as statements."""
    payer, found = Tenant("payer", world.payer("medicare").name), b""
    async with world.opened(READER) as reader:
        months = await reader.fetch("SELECT DISTINCT to_char(known_at AT TIME ZONE 'UTC', 'YYYY-MM') FROM fact")
        for month in sorted(row[0] for row in months):
            path = world.folder / f"{month}.csv"
            assert await write_statement(emitted_within(reader, payer, month), path, "csv") > 0
            found += path.read_bytes()
    return found


def opened_of(world: World, payer: str, kind: str, value: bytes) -> Iterator[bytes]:
    """What the key store opens of a record."""
    try:
        event = orjson.loads(value)
        if kind == "log" and event.get("sealed"):
            key = world.keys.data_key(payer, event["subject"])
            yield orjson.dumps(unseal(key, event["id"], event["subject"], event["sealed"]))
        elif kind == "rejects":
            kept = RejectBook(payer, world.keys).kept(value)
            yield kept.head + kept.raw
    except (KeyDestroyed, InvalidTag):
        return
