"""The table of rejects: made from the topic, once each, by whoever claimed the topic last."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import orjson
import pytest
import pytest_asyncio
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from carepact.local.platform import LocalPlatform
from formats.ndjson import read_one
from formats.reading import Place, Reject
from projections import store
from streams import restarting
from streams.keys import KeyDestroyed, SqliteKeyStore
from streams.naming import squeezed, word_of
from streams.own_keys import REJECT
from streams.rejects import CATALOGUE, CONSUMER, RejectBook, is_whole, project
from tests.streams.ways_in import claim, ndjson

TOPIC = "carepact.medicare.rejects.v1"


def reject(line: int = 1, raw: bytes = b"Canaria", **changes: Any) -> Reject:
    fields: dict[str, Any] = {
        "place": Place("f.csv", line, "paid"),
        "code": "not_money",
        "reason": "an amount that is not money",
        "remedy": "send cents",
        "raw": raw,
    }
    return Reject(**(fields | changes))


@pytest.fixture
def book(tmp_path: Path) -> RejectBook:
    return RejectBook("medicare", SqliteKeyStore(tmp_path / "keys"))


def test_the_same_reject_has_the_same_id(book: RejectBook) -> None:
    def identity(made: Reject, plan: str = "") -> str:
        return book.record(made, plan).value.decode().split('"id":"')[1][:36]

    assert identity(reject()) == identity(reject())
    others = [reject(line=2), reject(raw=b"other"), reject(code="schema")]
    assert len({identity(each) for each in [reject(), *others]} | {identity(reject(), "plan")}) == 5


def test_raw_bytes_open_with_the_rejects_own_key_only(book: RejectBook, tmp_path: Path) -> None:
    record = book.record(reject())
    assert b"Canaria" not in record.value
    assert book.raw(record.value) == b"Canaria"
    assert book.raw(book.record(reject(raw=b"")).value) == b""
    with pytest.raises(KeyDestroyed):
        RejectBook("bcbs-sc", SqliteKeyStore(tmp_path / "keys")).raw(record.value)
    other = orjson.loads(record.value) | {"id": orjson.loads(book.record(reject(line=2)).value)["id"]}
    with pytest.raises(InvalidTag):
        book.raw(orjson.dumps(other))


def test_a_record_from_before_rejects_had_keys_of_their_own_opens(book: RejectBook, tmp_path: Path) -> None:
    envelope = orjson.loads(book.record(reject()).value)
    key = SqliteKeyStore(tmp_path / "keys").payer_keys("medicare").rejects
    sealed = b"n" * 12 + AESGCM(key).encrypt(b"n" * 12, b"Canaria", envelope["id"].encode())
    assert book.raw(orjson.dumps(envelope | {"sealed": base64.urlsafe_b64encode(sealed).decode()})) == b"Canaria"


def test_one_reject_is_erased_and_the_others_open(book: RejectBook, tmp_path: Path) -> None:
    one, other = book.records([reject(), reject(line=2)])
    store = SqliteKeyStore(tmp_path / "keys")
    store.destroy_own("medicare", REJECT, [orjson.loads(one.value)["id"]])
    assert book.raw(other.value) == b"Canaria"
    with pytest.raises(KeyDestroyed):
        book.raw(one.value)
    again = book.record(reject())
    assert b"sealed" not in again.value, "the same reject once more brings nothing back"
    assert book.raw(again.value) == b""


@pytest.mark.parametrize("said", ["1EG4-TE5-MK73", "W-77"])
def test_what_names_who_was_erased_is_told_and_not_kept(book: RejectBook, tmp_path: Path, said: str) -> None:
    store = SqliteKeyStore(tmp_path / "keys")
    before = book.record(reject(raw=f"{said};17".encode()))
    store.suppress("medicare", [word_of(store.payer_keys("medicare").rejects, squeezed(said))])
    after, other = book.records([reject(raw=f"x;{said};18".encode()), reject(raw=b"x;W-78;19")])
    assert book.raw(before.value) == f"{said};17".encode(), "that one is erased by its key"
    assert book.kept(after.value).raw == b"" and b'"raw_bytes"' in after.value
    assert not is_whole(book.kept(after.value).event)
    assert book.raw(other.value) == b"x;W-78;19"


def test_a_reject_tells_what_it_was_held_against(book: RejectBook) -> None:
    wrong = ndjson(claim("1EG4TE5MK73", "A"), "a").replace(b'"2024-03-01"', b'"soon"')
    for line, schema in ((wrong, "urn:carepact:event:ProfessionalClaimReceived:1"), (b"{", CATALOGUE)):
        found = read_one(line, Place("f", 1))
        assert isinstance(found, Reject)
        assert book.kept(book.record(found).value).event.held_against == schema


def test_of_a_huge_record_the_beginning_is_kept(book: RejectBook) -> None:
    record = book.record(reject(raw=b"x" * 5_000_000))
    assert len(record.value) < 4 * 1024 * 1024
    assert len(book.raw(record.value)) == 2_900_000
    assert b'"raw_bytes":5000000' in record.value


@pytest_asyncio.fixture
async def database(fresh_database: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(fresh_database)
    yield connection
    await connection.close()


def consumed(*values: bytes, start: int = 0) -> list[Any]:
    return [
        SimpleNamespace(partition=0, offset=start + n, timestamp=1_700_000_000_000, value=value)
        for n, value in enumerate(values)
    ]


async def claimed(database: Any) -> dict[int, int]:
    return {0: (await store.claim(database, CONSUMER, [(TOPIC, 0)], "test"))[TOPIC, 0].epoch}


@pytest.mark.platform
async def test_each_reject_is_one_row_whatever_comes_again(
    platform: LocalPlatform, database: Any, book: RejectBook
) -> None:
    values = [book.record(reject(line)).value for line in (1, 2, 1)] + [
        b"not json",
        book.record(reject(9, reason="a\x00b")).value,
    ]
    epochs = await claimed(database)
    await project(database, "medicare", TOPIC, epochs, consumed(*values))
    await project(database, "medicare", TOPIC, epochs, consumed(*values))
    rows = await database.fetch("SELECT * FROM reject ORDER BY log_offset")
    assert [(row["place_line"], row["code"], row["log_offset"]) for row in rows] == [
        (1, "not_money", 0),
        (2, "not_money", 1),
        (0, "unreadable", 3),
        (9, "not_money", 4),
    ]
    assert await database.fetchval("SELECT next_offset FROM consumer_offset WHERE consumer = 'rejects'") == 5


@pytest.mark.platform
async def test_a_former_owner_writes_nothing(platform: LocalPlatform, database: Any, book: RejectBook) -> None:
    former = await claimed(database)
    await claimed(database)
    with pytest.raises(store.Fenced):
        await project(database, "medicare", TOPIC, former, consumed(book.record(reject()).value))
    assert await database.fetchval("SELECT count(*) FROM reject") == 0


class Flaky(restarting.Restarting):
    """Finds its store away a few times."""

    def __init__(self, away: int) -> None:
        super().__init__()
        self.away, self.up = away, asyncio.Event()

    async def run(self, stopped: Callable[[], bool]) -> None:
        if self.away:
            self.away -= 1
            raise ConnectionRefusedError
        self.up.set()
        await self.wait_for_stopped()


async def test_a_store_that_is_away_is_said_once_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(restarting, "BACK_OFF_SECONDS", (0.0,))
    monkeypatch.setattr(restarting, "log", SimpleNamespace(warning=lambda event, **_: said.append(event)))
    service = Flaky(away=5)
    await service.start()
    async with asyncio.timeout(120):
        await service.up.wait()
    await service.stop()
    assert said == ["store_away"]
