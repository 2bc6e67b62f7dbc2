"""Keys: shown once, kept as a hash under a pepper, in force until revoked or expired, a while without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway import credentials
from gateway.credentials import FRESH_SECONDS, PURPOSE, STALE_SECONDS, Credentials, new_key, secret_digest
from gateway.problems import Problem
from streams.keys import SqliteKeyStore

PEPPER = b"p" * 32


class Table:
    """The table of credentials; `away` is what reading it raises. Time is the test's."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.away: Exception | None = None
        self.reads = 0
        self.seconds = 1_000.0
        self.credentials = Credentials(self.read, lambda: PEPPER, lambda: self.seconds)

    async def read(self) -> list[dict[str, Any]]:
        self.reads += 1
        if self.away:
            raise self.away
        return self.rows

    def add(self, expires_at: datetime | None = None) -> str:
        made = new_key()
        holder = {"role": "payer", "payer": "medicare", "plan": "", "practice": "", "name": ""}
        digest = secret_digest(PEPPER, made.text)
        row = {"credential_id": made.credential_id, "scopes": ["events:write"], "secret_digest": digest}
        self.rows.append(holder | row | {"expires_at": expires_at})
        return made.text


@pytest.fixture
def table() -> Table:
    return Table()


async def test_who_shows_a_key_is_its_holder(table: Table) -> None:
    key = table.add()
    found = await table.credentials.holder(key)
    assert str(found) == "payer:medicare"
    assert found is not None and found.scopes == {"events:write"}


async def test_another_secret_under_a_known_id_opens_nothing(table: Table) -> None:
    key, other = table.add(), table.add()
    forged = key[:20] + other[20:]
    assert await table.credentials.holder(forged) is None
    for wrong in ("", "cp_", key[:-1], key + "A", key.upper(), "cp_" + "a" * 16 + "_" + "\u0660" * 43):
        assert await table.credentials.holder(wrong) is None


async def test_a_new_key_is_seen_at_once_and_a_revoked_one_no_longer_soon(table: Table) -> None:
    first = table.add()
    assert await table.credentials.holder(first)
    table.seconds += 0.5
    second = table.add()
    assert await table.credentials.holder(second)
    table.rows.clear()
    table.seconds += FRESH_SECONDS
    assert await table.credentials.holder(first) is None


async def test_keys_that_nobody_knows_do_not_make_the_table_be_read_each_time(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = new_key().text
    monkeypatch.setattr(credentials, "AGAIN_SECONDS", 0.001)
    for _ in range(50):
        assert await table.credentials.holder(unknown) is None
    assert table.reads == 1


async def test_an_expired_key_opens_nothing(table: Table) -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    key = table.add(expires_at=now)
    assert await table.credentials.holder(key, now - timedelta(seconds=1))
    assert await table.credentials.holder(key, now) is None


async def test_known_keys_hold_for_a_while_without_the_database(table: Table) -> None:
    key = table.add()
    assert await table.credentials.holder(key)
    table.away = ConnectionRefusedError()
    table.seconds += STALE_SECONDS - 1
    assert await table.credentials.holder(key)
    table.seconds += 2
    with pytest.raises(Problem) as refused:
        await table.credentials.holder(key)
    assert (refused.value.status, "Retry-After" in refused.value.headers) == (503, True)


async def test_without_ever_having_read_the_table_nobody_is_let_in(table: Table) -> None:
    table.away = ConnectionRefusedError()
    for _ in range(2):
        with pytest.raises(Problem, match="database"):
            await table.credentials.holder(table.add())


def test_a_key_is_in_no_repr() -> None:
    made = new_key()
    assert made.text not in repr(made)
    assert len(made.text.split("_", 2)[2]) == 43


def test_the_pepper_lives_with_the_key_store_and_survives_a_rotation_and_a_restore(tmp_path: Path) -> None:
    store = SqliteKeyStore(tmp_path / "keys")
    store.payer_keys("medicare")
    pepper = store.platform_key(PURPOSE)
    assert len(pepper) == 32
    assert store.platform_key("another") != pepper
    store.rotate_wrapping_key()
    store.backup(tmp_path / "backup")
    store.close()
    again = SqliteKeyStore(tmp_path / "keys")
    assert again.platform_key(PURPOSE) == pepper
    again.restore(tmp_path / "backup")
    assert again.platform_key(PURPOSE) == pepper
    again.close()
