"""What operators do: an event first, one row each, and a record that was mended is as if it had never been broken."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest
import pytest_asyncio

from carepact.generate import write
from carepact.local.platform import LocalPlatform
from carepact.local.status import stored
from carepact.settings import Settings
from contracts.events import (
    OPERATIONS,
    FileRunRecorded,
    OperatorAct,
    RejectDropped,
    RejectRetried,
)
from projections.rejects import rejects
from streams.broadcasts import adopt
from streams.keys import SqliteKeyStore, identifier_digest, member_token
from streams.operations import insert, record_of, submitted
from streams.roster import Roster
from tests.streams.ways_in import CANARIES, Ways, adoptions, claim, commands, ndjson, records_of, ways_in, working

TOPIC = "carepact.operations.v1"
WHO: dict[str, Any] = {"payer": "medicare", "by": "operator/test"}
AT = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)
REJECT = "0d9a3f0e-6d0f-5c4b-9d7c-6f1f5b2c8a11"


def consumed(*acts: OperatorAct | bytes) -> list[Any]:
    """Records as a consumer gives them."""
    values = [each if isinstance(each, bytes) else record_of(each, str(uuid4()), AT).value for each in acts]
    return [
        SimpleNamespace(partition=0, offset=n, timestamp=1_700_000_000_000, value=value)
        for n, value in enumerate(values)
    ]


def run_of(**changes: Any) -> FileRunRecorded:
    fields: dict[str, Any] = {"run_id": "run-1", "format": "auto", "rows_read": 3, "rows_accepted": 3}
    return FileRunRecorded(**(WHO | fields | {"started_at": AT, "finished_at": AT} | changes))


def test_of_a_files_name_a_keyed_digest_and_a_known_ending_remain(tmp_path: Path) -> None:
    keys = SqliteKeyStore(tmp_path / "keys.sqlite3").payer_keys("medicare")
    names = {"Canaria-1EG4TE5MK73.csv.gz": ".csv.gz", "claims.Canaria": "", "claims.quetzal.ndjson": ".ndjson"}
    for name, ending in names.items():
        (tmp_path / name).write_bytes(b"1234")
        told = submitted(tmp_path / name, keys)
        assert (told.ending, told.size_bytes) == (ending, 4)
        assert told == submitted(tmp_path / name, keys)
        act = record_of(run_of(files=(told,)), str(uuid4()), AT).value.lower()
        assert not [word for word in (b"canaria", b"quetzal", b"1eg4") if word in act]


def test_an_act_says_nothing_but_what_its_model_says() -> None:
    assert all(set(model.model_fields) >= {"payer", "plan", "by"} for model in OPERATIONS)
    event = orjson.loads(record_of(RejectDropped(**WHO, reject_id=REJECT, why="x"), str(uuid4()), AT).value)
    assert event["time"] == "2026-01-31T23:59:00.000Z"
    assert event["data"] == WHO | {"reject_id": REJECT, "why": "x"}


@pytest_asyncio.fixture
async def database(fresh_database: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(fresh_database)
    yield connection
    await connection.close()


@pytest.mark.platform
async def test_the_exact_account_of_a_run_stays(database: Any) -> None:
    exact = run_of(rows_accepted=2, rows_duplicate=1, exact=True)
    for acts in ((run_of(), exact), (exact, run_of())):
        await database.execute("TRUNCATE file_run, operation")
        await insert(database, TOPIC, consumed(*acts))
        rows = await database.fetch("SELECT rows_accepted, rows_duplicate, exact FROM file_run")
        assert [tuple(row) for row in rows] == [(2, 1, True)]
        assert await database.fetchval("SELECT count(*) FROM operation") == 2


@pytest.mark.platform
async def test_acts_heard_twice_count_once_and_what_is_none_stops_nothing(database: Any) -> None:
    records = consumed(run_of(), b"not json", b'{"id":"x","type":"carepact.Odd.v1","data":{}}', run_of(run_id="run-2"))
    await insert(database, TOPIC, records)
    await insert(database, TOPIC, records)
    rows = await database.fetch("SELECT type, log_offset FROM operation ORDER BY log_offset")
    assert [row[0].split(".")[-2:][0] for row in rows] == ["FileRunRecorded", "unknown", "unknown", "FileRunRecorded"]


@pytest.mark.platform
async def test_the_last_decision_on_a_reject_holds_and_a_failed_retry_is_none(database: Any) -> None:
    async def status() -> str | None:
        found: str | None = await database.fetchval("SELECT status FROM reject_resolution")
        return found

    await insert(database, TOPIC, consumed(RejectRetried(**WHO, reject_ids=(REJECT,), rows_read=1, rows_rejected=1)))
    assert await status() is None
    await insert(database, TOPIC, consumed(RejectDropped(**WHO, reject_id=REJECT, why="a test")))
    assert await status() == "dropped"
    await insert(database, TOPIC, consumed(RejectRetried(**WHO, reject_ids=(REJECT,), rows_read=1, rows_accepted=1)))
    assert await status() == "retried"


# The commands


@pytest_asyncio.fixture
async def ways(platform: LocalPlatform, space: str, tmp_path: Path) -> AsyncIterator[Ways]:
    medicare = Roster.load().payer("medicare")
    payers = tuple(medicare.model_copy(update={"name": f"{space}-{name}"}) for name in ("mended", "whole"))
    roster = Roster(payers=payers, space=space)
    async with ways_in(platform, space, tmp_path, "mended", roster) as made:
        yield made


@pytest.fixture
def run(
    platform: LocalPlatform, ways: Ways, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Awaitable[Any]]:
    return commands(platform, ways, tmp_path, monkeypatch)


async def acts(ways: Ways) -> list[tuple[str, dict[str, Any]]]:
    """What the operations topic has: kinds and what they say."""
    topic = next(topic.name for topic in ways.topics if topic.kind == "operations")
    events = [orjson.loads(record.value) for record in await records_of(ways.connections, topic)]
    return [(event["type"].split(".")[1], event["data"]) for event in events]


async def said(run: Callable[..., Awaitable[Any]], *words: Any, code: int = 0) -> Any:
    """What a command prints, as lines of JSON or one document."""
    result = await run(*words, "--json")
    assert result.exit_code == code, result.output
    lines = result.stdout.splitlines()
    return [json.loads(line) for line in lines] if words[:2] == ("rejects", "list") else json.loads(result.stdout)


@pytest.mark.platform
async def test_a_reject_is_shown_masked_dropped_with_a_reason_and_sent_again(
    run: Callable[..., Awaitable[Any]], ways: Ways, tmp_path: Path
) -> None:
    payer, files = ways.payer.name, tmp_path / "files"
    files.mkdir()
    broken = ndjson(claim("1EG4TE5MK73", "B1"), "b-1").replace(b'"paid_cents":10000', b'"paid_cents":"ten"')
    (files / "Canaria.ndjson").write_bytes(
        b"\n".join([ndjson(claim("1EG4TE5MK73", "A1"), "a-1"), broken, b'{"Canaria"'])
    )
    async with working(ways) as pool:

        async def settled() -> None:
            topic = next(topic for topic in ways.topics if topic.kind == "operations").name
            end = len(await records_of(ways.connections, topic))
            question = "SELECT next_offset >= $1 FROM consumer_offset WHERE consumer = 'operations'"
            async with asyncio.timeout(120):
                while not await pool.fetchval(question, end):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)  # rows tell nobody that they have come

        published = await said(run, "publish", "--payer", payer, files, "--wait", code=5)
        assert [published[name] for name in ("read", "accepted", "rejected")] == [3, 1, 2]
        kinds = Counter(kind for kind, _ in await acts(ways))
        assert kinds == {"FileRunRecorded": 2}, "when all was written, and when it was projected"
        await settled()
        row = await pool.fetchrow("SELECT rows_read, rows_accepted, rows_rejected, exact, complete FROM file_run")
        assert tuple(row) == (3, 1, 2, True, True)

        first, second = await said(run, "rejects", "list", "--status", "open")
        assert [first["line"], second["line"]] == [2, 3]
        none = await said(run, "rejects", "show", first["reject_id"], "--view", "none")
        assert (none["raw_bytes"], none["status"], "record" in none) == (len(broken) + 1, "open", False)
        masked = await said(run, "rejects", "show", first["reject_id"])
        limited = await said(run, "rejects", "show", first["reject_id"], "--view", "limited")
        assert (masked["view"], len(masked["record"])) == ("masked", len(broken) + 1)
        assert '"claim_id":"B1"' in limited["record"]
        assert not [canary for canary in CANARIES[1:] if canary.decode() in json.dumps([none, masked, limited])]
        full = await said(run, "rejects", "show", first["reject_id"], "--view", "full", "--purpose", "a test")
        assert full["record"].encode() == broken + b"\n"
        looks = [told for kind, told in await acts(ways) if kind == "PersonalDataRead"]
        assert {each["subject"] for each in looks} == {first["reject_id"]}
        assert [each["purpose"] for each in looks] == [
            "masked: to correct a rejected record",
            "limited: to correct a rejected record",
            "full: a test",
        ]

        again = await said(run, "rejects", "retry", first["reject_id"], code=5)
        assert (again["open"], again["retried"]) == ([first["reject_id"]], [])
        (tmp_path / "mended.ndjson").write_bytes(broken.replace(b'"ten"', b"10000"))
        mended = await said(run, "rejects", "retry", first["reject_id"], "--with", tmp_path / "mended.ndjson", "--wait")
        assert (mended["retried"], mended["accepted"]) == ([first["reject_id"]], 1)
        dropped = await said(run, "rejects", "drop", second["reject_id"], "--why", "the sender's test")
        assert dropped["status"] == "dropped"
        await settled()
        listed = await said(run, "rejects", "list")
        assert [(each["line"], each["status"], each["why"]) for each in listed] == [
            (2, "retried", "sent again, corrected"),
            (3, "dropped", "the sender's test"),
        ]
        found = await stored(Settings())
        assert found is not None and found["rejects"] == 0
        refused = await run("rejects", "drop", first["reject_id"], "--why", "x")
        assert refused.exit_code == 1
        unknown = await run("rejects", "show", REJECT)
        assert unknown.exit_code == 4
    for _, data in await acts(ways):
        assert not [canary for canary in CANARIES if canary in orjson.dumps(data)]


def damaged(line: bytes, number: int) -> bytes:
    """A line that cannot be taken in, each in another way."""
    event = json.loads(line)
    match number % 3:
        case 0:
            return line[:-2]
        case 1 if "person" in event["data"]:
            event["data"]["person"]["identifier"]["kind"] = "shoe_size"
        case _:
            event["payer"] = "somebody-else"
    return orjson.dumps(event)


async def held(pool: Any, payer: str, names: dict[str, str]) -> tuple[set[Any], dict[Any, int]]:
    """The current episodes, and what is owed on balance, with members by their identifiers."""
    episodes = await pool.fetch(
        """
        SELECT member, started_on, ends_on, performance_period, cancer_type, status, void_reason, included, exclusion,
               practice, coalesce((SELECT total_cents FROM episode_spend s WHERE s.episode_id = e.episode_id
                                               ORDER BY log_offset DESC LIMIT 1), 0)
          FROM episode e WHERE payer = $1 AND to_offset IS NULL AND status <> 'cancelled'
        """,
        payer,
    )
    payments = await pool.fetch(
        "SELECT member, practice, kind, period, sum(amount_cents) FROM payment WHERE payer = $1 GROUP BY 1, 2, 3, 4",
        payer,
    )
    net = {(names[row[0]], *row[1:4]): int(row[4]) for row in payments if row[4]}
    return {(names[row[0]], *row[1:]) for row in map(tuple, episodes)}, net


@pytest.mark.platform
async def test_a_record_mended_and_sent_again_is_as_if_never_broken(
    run: Callable[..., Awaitable[Any]], ways: Ways, tmp_path: Path
) -> None:
    mended, whole = ways.payer, ways.roster.payers[1]
    write(tmp_path / "population", 60, 5, 12)
    lines = (tmp_path / "population" / "medicare.ndjson").read_bytes().splitlines()
    broken = {n: damaged(line, n) for n, line in enumerate(lines) if n % 7 == 3}
    practices = (tmp_path / "population" / "practices.ndjson").read_bytes()
    (tmp_path / "whole.ndjson").write_bytes(practices + b"\n".join(lines))
    (tmp_path / "broken.ndjson").write_bytes(practices + b"\n".join(broken.get(n, x) for n, x in enumerate(lines)))
    (tmp_path / "mended.ndjson").write_bytes(b"\n".join(lines[n] for n in broken))

    await adopt(ways.connections, ways.writer, replace(ways, payer=whole).door(), adoptions(whole))
    async with working(ways) as pool:
        await said(run, "publish", "--payer", whole.name, tmp_path / "whole.ndjson", "--wait")
        first = await said(run, "publish", "--payer", mended.name, tmp_path / "broken.ndjson", "--wait", code=5)
        assert first["rejected"] == len(broken) > 10
        open_ = [each["reject_id"] async for each in of(pool, mended.name)]
        again = await said(run, "rejects", "retry", *open_, "--with", tmp_path / "mended.ndjson", "--wait")
        assert (again["accepted"] + again["duplicate"], again["rejected"]) == (len(broken), 0)
        assert again["accepted"] > again["duplicate"], "the population repeats a few of its facts"
        for payer in (whole, mended):
            await said(run, "close-day", "--payer", payer.name, "--through", "2025-06-30", "--wait")
        found = [await held(pool, payer.name, tokens(ways, payer.name, lines)) for payer in (whole, mended)]
    assert [] == sorted(found[0][0] ^ found[1][0])
    assert found[0][1] == found[1][1]
    assert len(found[0][0]) > 5
    assert sum(found[0][1].values()) > 0


async def of(pool: Any, payer: str) -> AsyncIterator[dict[str, Any]]:
    """A payer's rejects."""
    async with pool.acquire() as connection:
        async for each in rejects(connection, payer):
            yield each


def tokens(ways: Ways, payer: str, lines: list[bytes]) -> dict[str, str]:
    """Identifiers by the tokens that a payer's key makes of them."""
    key = ways.keys.payer_keys(payer).pseudonym
    found: dict[str, str] = {}
    for line in lines:
        person = json.loads(line)["data"].get("person")
        if person:
            identifier = SimpleNamespace(**person["identifier"])
            found[member_token(identifier_digest(key, "", identifier))] = identifier.value  # type: ignore[arg-type]
    return found
