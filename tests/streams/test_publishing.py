"""Publication on the running platform: every row accounted for, sent again it changes nothing, and no name is seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date

import asyncpg
import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from contracts.events import DayClosed, PracticeParticipationChanged
from formats import ndjson as format_ndjson
from projections.rejects import rejects
from streams.broadcasts import adopt, close_day
from streams.door import Admitted
from streams.log_writer import LogWriter, NoSuchTopic, PartitionsDiffer
from streams.publishing import Published, Publisher, StandsStill, settle, until_projected
from streams.rejects import RejectBook
from streams.topics import Topic
from tests.streams.ways_in import CANARIES, Ways, adoptions, claim, ndjson, ways_in, working

pytestmark = pytest.mark.platform

JANE, JOHN = "1EG4TE5MK73", "2EG4TE5MK73"


@pytest_asyncio.fixture(scope="module")
async def medicare(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ways]:
    """A payer whose log is folded."""
    async with ways_in(platform, "publishing", tmp_path_factory.mktemp("medicare"), "medicare") as made:
        yield made


@pytest_asyncio.fixture(scope="module")
async def bcbs(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ways]:
    """A payer whose log nobody folds."""
    async with ways_in(platform, "publishing", tmp_path_factory.mktemp("bcbs"), "bcbs-sc") as made:
        yield made


@pytest_asyncio.fixture
async def ways(bcbs: Ways) -> Ways:
    await bcbs.mark()
    return bcbs


async def publish(ways: Ways, *lines: bytes, chunk: int = 2_000) -> Published:
    return await ways.publisher().publish(format_ndjson.read(lines, "claims.ndjson"), chunk=chunk)


GOOD = [ndjson(claim(member, f"C{n}"), f"id-{n}") for n in range(10) for member in (JANE, JOHN)]
BAD = [
    b"not json",
    b"\xff\xfe",
    ndjson(claim(JANE, "C1", person=None), "no-one"),
    ndjson(claim(JANE, "C2"), "other-payer", payer="acme"),
    ndjson(claim(JANE, "C3"), "not-a-plan", plan="acme"),
    ndjson(DayClosed(through_on=date(2024, 1, 1)), "not-theirs"),
    ndjson(claim(JANE, "C4"), "no-type").replace(b"ProfessionalClaimReceived", b"Nonsense"),
    ndjson(claim(JANE, "C5"), "no-money").replace(b'"paid_cents":10000', b'"paid_cents":"much"'),
    ndjson(claim(JANE, "C6"), "no-date").replace(b"2024-03-05", b"2024-02-30"),
    ndjson(claim(JANE, "C7", patient_control_number="x" * 2000), "large").ljust(600_000),
]


async def test_every_row_is_accounted_for_and_sent_again_changes_nothing(medicare: Ways) -> None:
    ways = medicare
    conflict = ndjson(claim(JANE, "C0", family="another"), "id-0")
    twin = ndjson(claim(JOHN, "T1"))
    practice = ndjson(PracticeParticipationChanged(practice="123456789", from_on=date(2023, 7, 1)), "p1")
    lines = [*GOOD, *BAD, conflict, twin, twin, practice]
    async with working(ways) as pool, asyncio.timeout(120), pool.acquire() as database:
        first = await settle(database, ways.payer.name, await publish(ways, *lines))
        assert first.summary() == {
            "read": len(lines),
            "accepted": len(GOOD) + 3,
            "duplicate": 0,
            "rejected": len(BAD) + 1,
            "events": {"claim": len(GOOD) + 3, "practice": 1},
            "exact": True,
        }
        shown = [reject async for reject in rejects(database, ways.payer.name)]
        log = len(await ways.records("log"))

        again = await settle(database, ways.payer.name, await publish(ways, *lines, chunk=7))
        assert (again.read, again.accepted, again.rejected) == (len(lines), 0, len(BAD) + 1)
        assert again.duplicate == len(GOOD) + 3
        assert len(await ways.records("log")) == 2 * log - 4 * 3, "in the log again; LogOpened and adoptions are not"
        facts = await database.fetchval("SELECT count(*) FROM fact WHERE payer = $1", ways.payer.name)
        assert facts == log - 1, "and nothing new in the projection; the conflict is no fact"
        after = [reject async for reject in rejects(database, ways.payer.name)]
        assert [r for r in after if r["code"] != "conflict"] == [r for r in shown if r["code"] != "conflict"]

    codes = {reject["code"] for reject in shown}
    assert {"conflict", "no_member_identifier", "unknown_payer", "unknown_plan", "too_large"} <= codes
    for reject in shown:
        assert reject["reason"]
        assert reject["remedy"]
        if reject["code"] == "conflict":
            assert (reject["topic"], reject["offset"] > 0) == (ways.topic("log").name, True)
        else:
            assert reject["file"] == "claims.ndjson"
            assert lines[reject["line"] - 1] in BAD
            assert reject["field"] or reject["code"] in ("unreadable", "too_large", "unknown_type")
    assert not [c for c in CANARIES if c in repr(shown).encode()]


async def test_no_name_is_in_any_topic(ways: Ways, caplog: pytest.LogCaptureFixture) -> None:
    published = await publish(ways, *GOOD, *BAD)
    assert published.accepted == len(GOOD)
    records = [*await ways.records("log"), *await ways.records("rejects")]
    assert len(records) == len(GOOD) + len(BAD)
    for record in records:
        assert [header[0] for header in record.headers] == ["content-type"]
        assert not [c for c in CANARIES if c in (record.key or b"") + record.value]
    assert not [c for c in CANARIES if c.decode() in caplog.text]


async def test_the_raw_record_of_a_reject_is_kept_sealed(ways: Ways) -> None:
    await publish(ways, *BAD)
    book = RejectBook(ways.payer.name, ways.keys)
    kept = [book.raw(record.value) for record in await ways.records("rejects")]
    assert kept[0].strip() == BAD[0]
    assert CANARIES[0] in kept[3], "opened with the payer's key, it can be corrected and sent again"


async def test_positions_are_those_of_the_log(ways: Ways) -> None:
    door = ways.door()
    items = list(format_ndjson.read(GOOD, "f"))
    records = [each for each in door.admit(items) if isinstance(each, Admitted)]
    positions = await ways.writer.write(ways.topic("log").name, records)
    stand = {(record.partition, record.offset): record.value for record in await ways.records("log")}
    assert [stand[position] for position in positions] == [record.value for record in records]


async def test_a_batch_larger_than_kafka_takes_is_cut(ways: Ways) -> None:
    lines = [ndjson(claim(JANE, f"C{n}", code_mapping="m" * 300_000), f"big-{n}") for n in range(7)]
    published = await publish(ways, *lines)
    assert published.accepted == 7
    assert [len(produced.offsets) for produced in published.produced.values()] == [7]
    assert len(await ways.facts()) == 7


async def test_a_topic_is_never_made_by_writing(ways: Ways) -> None:
    with pytest.raises(NoSuchTopic, match=r"nowhere.*carepact up"):
        await ways.writer.partitions(Topic(name="nowhere", kind="log"))
    with pytest.raises(PartitionsDiffer, match="has 4 partitions, declared are 5"):
        await ways.writer.partitions(ways.topic("log").model_copy(update={"partitions": 5}))


async def test_closing_a_day_again_gives_the_same_ids(ways: Ways) -> None:
    for day in (date(2024, 1, 31), date(2024, 1, 31), date(2024, 2, 1)):
        positions = await close_day(ways.writer, ways.door(), day)
        assert sorted(position.partition for position in positions) == [0, 1, 2, 3]
    facts = await ways.facts()
    assert len(facts) == 12
    assert len({fact["id"] for fact in facts}) == 8
    assert len({fact["factid"] for fact in facts}) == 2


async def test_terms_are_adopted_once_and_again_when_they_come_back(ways: Ways) -> None:
    old, clauses = adoptions(ways.payer)
    new = old.model_copy(update={"digest": "0" * 64})
    counts = [
        len(await adopt(ways.connections, ways.writer, ways.door(), events))
        for events in ([old, clauses], [old, clauses], [new, clauses], [old, clauses], [old])
    ]
    assert counts == [8, 0, 4, 4, 0]
    facts = await ways.facts()
    assert len({fact["id"] for fact in facts}) == len(facts) == 16


async def test_adoption_reads_the_projection_and_the_log_behind_it(medicare: Ways) -> None:
    ways = medicare
    async with working(ways) as pool, asyncio.timeout(120), pool.acquire() as database:
        positions = await close_day(ways.writer, ways.door(), date(2024, 1, 31))
        await until_projected(database, ways.payer.name, dict(positions))
        assert not await adopt(ways.connections, ways.writer, ways.door(), adoptions(ways.payer), database)
    async with working(ways) as pool, pool.acquire() as database:
        new = adoptions(ways.payer)[0].model_copy(update={"digest": "0" * 64})
        assert len(await adopt(ways.connections, ways.writer, ways.door(), [new], database)) == 4
        assert not await adopt(ways.connections, ways.writer, ways.door(), [new], database)


async def test_waiting_ends_where_the_fold_has_halted(ways: Ways) -> None:
    published = await publish(ways, *GOOD)
    database = await asyncpg.connect(ways.connections.postgres)
    try:
        partition = next(iter(published.produced))
        await database.execute(
            "INSERT INTO halted_partition (payer, partition, log_offset, reason) VALUES ($1, $2, 1, 'no terms')",
            ways.payer.name, partition,
        )  # fmt: skip
        with pytest.raises(StandsStill, match="no terms"):
            await settle(database, ways.payer.name, published)
    finally:
        await database.close()


async def test_a_broken_producer_is_replaced(ways: Ways) -> None:
    writer = LogWriter(ways.connections)
    async with writer:
        await writer.partitions(ways.topic("log"))
        assert writer._producer is not None
        await writer._producer.stop()  # as after a fatal error
        publisher = Publisher(ways.door(), writer, RejectBook(ways.payer.name, ways.keys))
        published = await publisher.publish(format_ndjson.read(GOOD, "f"))
    assert published.accepted == len(GOOD)
    assert len(await ways.records("log")) == len(GOOD)
