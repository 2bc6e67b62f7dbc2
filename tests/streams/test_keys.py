"""The key store: one token and key for a person, whoever asks first; what is destroyed stays so."""

from __future__ import annotations

import base64
import multiprocessing
import os
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from carepact.local.database import create_database
from carepact.local.platform import LocalPlatform
from contracts.events.base import Identifier
from streams.keys import (
    KeyDestroyed,
    KeyStoreAway,
    KeyStoreError,
    SqliteKeyStore,
    UnknownSubject,
    WrappedKeyStore,
    WrappingKeys,
    identifier_digest,
    member_token,
)
from streams.postgres_keys import PostgresKeyStore
from streams.rosters import Implied, Listed

PAYER = "medicare"
JANE, JOHN, ANN = (bytes([n]) * 32 for n in (1, 2, 3))


Open = Callable[[], WrappedKeyStore]


@pytest_asyncio.fixture
async def keys_database(platform: LocalPlatform, space: str) -> AsyncIterator[str]:
    """The owner's address of a new database without tables."""
    name = f"{space}_keys"
    await create_database(platform.dsn(), name)
    yield platform.dsn(database=name)
    await platform.drop_database(name)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.platform)])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens one and the same store as often as asked: in a file, or on a database of its own."""
    dsn = request.getfixturevalue("keys_database") if request.param == "postgres" else ""
    file, opened = tmp_path / "keys.sqlite3", list[WrappedKeyStore]()

    def open_() -> WrappedKeyStore:
        opened.append(PostgresKeyStore(dsn, wrapping_file(file)) if dsn else SqliteKeyStore(file))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


def wrapping_file(store: Path) -> Path:
    return store.with_name(store.name + ".wrapping")


@pytest.fixture
def either(again: Open) -> WrappedKeyStore:
    """A store of either kind."""
    return again()


@pytest.fixture
def store(tmp_path: Path) -> SqliteKeyStore:
    return SqliteKeyStore(tmp_path / "keys.sqlite3")


def test_a_member_keeps_token_and_key(again: Open) -> None:
    first = again().subjects(PAYER, [JANE, JOHN, JANE])
    assert first == again().subjects(PAYER, [JOHN, JANE])
    assert first[JANE].token == member_token(JANE)
    assert first[JANE].key != first[JOHN].key
    assert again().data_key(PAYER, member_token(JANE)) == first[JANE].key


def test_payers_share_no_key(either: WrappedKeyStore) -> None:
    assert either.payer_keys(PAYER) == either.payer_keys(PAYER)
    keys = [either.payer_keys(payer) for payer in (PAYER, "bcbs-sc")]
    assert len({k for each in keys for k in (each.pseudonym, each.content, each.rejects)}) == 6
    assert either.subjects(PAYER, [JANE])[JANE].key != either.subjects("bcbs-sc", [JANE])[JANE].key


def test_the_files_are_their_owners_only(store: SqliteKeyStore, tmp_path: Path) -> None:
    store.subjects(PAYER, [JANE])
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_no_key_lies_open_in_the_files(store: SqliteKeyStore, tmp_path: Path) -> None:
    key = store.subjects(PAYER, [JANE])[JANE].key
    content = store.payer_keys(PAYER).content
    assert key is not None
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert key not in held
    assert content not in held


def test_a_destroyed_key_is_refused_by_name(either: WrappedKeyStore) -> None:
    token = either.subjects(PAYER, [JANE])[JANE].token
    before = either.generation()
    assert either.destroy(PAYER, token) == (token,)
    assert either.generation() > before
    with pytest.raises(KeyDestroyed, match=token):
        either.data_key(PAYER, token)
    assert either.subjects(PAYER, [JANE])[JANE].key is None
    assert either.destroyed(PAYER) == (token,)
    either.destroy(PAYER, token)
    assert either.destroyed(PAYER) == (token,)


def test_a_destroyed_key_leaves_no_trace_in_the_files(store: SqliteKeyStore, tmp_path: Path) -> None:
    store.subjects(PAYER, [JANE])
    wrapped = bytes(store._db.execute("SELECT wrapped FROM subject_key").fetchone()[0])
    store.destroy(PAYER, member_token(JANE))
    assert all(wrapped not in file.read_bytes() for file in tmp_path.iterdir())


def test_an_unknown_member_has_no_key(either: WrappedKeyStore) -> None:
    with pytest.raises(UnknownSubject):
        either.data_key(PAYER, "nobody")


def test_a_backup_brings_no_destroyed_key_back(either: WrappedKeyStore, tmp_path: Path) -> None:
    kept = either.subjects(PAYER, [JANE, JOHN])
    either.backup(tmp_path / "backup")
    either.destroy(PAYER, kept[JANE].token)
    either.restore(tmp_path / "backup")
    with pytest.raises(KeyDestroyed):
        either.data_key(PAYER, kept[JANE].token)
    assert either.subjects(PAYER, [JOHN])[JOHN] == kept[JOHN]


def test_a_lost_store_is_put_back_without_those_erased_since(either: WrappedKeyStore, tmp_path: Path) -> None:
    kept, payer = either.subjects(PAYER, [JANE, JOHN]), either.payer_keys(PAYER)
    either.backup(tmp_path / "backup")
    new = SqliteKeyStore(tmp_path / "new.sqlite3", either._wrapping)
    new.destroy(PAYER, kept[JANE].token)  # as the log's SubjectErased facts say
    new.restore(tmp_path / "backup")
    assert new.subjects(PAYER, [JANE])[JANE].key is None
    assert new.subjects(PAYER, [JOHN])[JOHN] == kept[JOHN]
    assert new.payer_keys(PAYER) == payer


def test_what_full_files_list_is_remembered_and_backed_up(either: WrappedKeyStore, tmp_path: Path) -> None:
    both = [Listed("", "r", token, "plan", "2024-03-01", ended=False) for token in ("jane", "john")]
    either.listed(PAYER, both)
    assert either.file_read(PAYER, "", "r", "2024-03-01") == []
    either.listed(PAYER, [both[0]._replace(file_on="2024-04-01")])
    assert either.file_read(PAYER, "", "r", "2024-04-01") == []
    either.backup(tmp_path / "backup")
    other = SqliteKeyStore(tmp_path / "other.sqlite3", either._wrapping)
    other.restore(tmp_path / "backup")
    for store in (either, other):
        store.listed(PAYER, [both[0]._replace(file_on="2024-05-01")])
        found = store.file_read(PAYER, "", "r", "2024-05-01")
        assert found == [Implied("john", "plan", "2024-04-01", covered=False)]
    assert either.file_read("bcbs-sc", "", "r", "2024-06-01") == []
    either.listed(PAYER, [both[1]._replace(file_on="2024-06-01"), both[0]._replace(file_on="2024-06-01", ended=True)])
    found = either.file_read(PAYER, "", "r", "2024-06-01")
    assert found == [Implied("john", "plan", "2024-04-01", covered=True)]
    either.destroy(PAYER, "john")
    assert either.file_read(PAYER, "", "r", "2024-07-01") == []


@pytest.mark.parametrize(
    ("layout", "later"), [(1, ("listing", "own_key", "suppressed")), (2, ("own_key", "suppressed"))]
)
def test_a_store_of_a_layout_before_is_brought_up(tmp_path: Path, layout: int, later: tuple[str, ...]) -> None:
    store = SqliteKeyStore(tmp_path / "keys.sqlite3")
    token = store.subjects(PAYER, [JANE])[JANE].token
    store.close()
    with sqlite3.connect(tmp_path / "keys.sqlite3") as old:
        for table in later:
            old.execute(f"DROP TABLE {table}")
        old.execute(f"PRAGMA user_version = {layout}")
    old.close()
    again = SqliteKeyStore(tmp_path / "keys.sqlite3")
    assert again.subjects(PAYER, [JANE])[JANE].token == token
    assert again.file_read(PAYER, "", "r", "2024-03-01") == []
    assert again.own_keys(PAYER, "reject", ["r1"])["r1"] == again.own_key(PAYER, "reject", "r1")


def test_the_backup_of_another_store_is_refused(either: WrappedKeyStore, tmp_path: Path) -> None:
    other = SqliteKeyStore(tmp_path / "other", either._wrapping)
    other.payer_keys(PAYER)
    either.payer_keys(PAYER)
    other.backup(tmp_path / "backup")
    with pytest.raises(KeyStoreError, match="another store"):
        either.restore(tmp_path / "backup")


def test_linked_identifiers_mean_the_first_token(either: WrappedKeyStore) -> None:
    made = either.subjects(PAYER, [JANE, JOHN, ANN])
    before = either.generation()
    either.link(PAYER, survivor=made[JANE].token, retired=made[JOHN].token)
    assert either.generation() > before
    assert either.subjects(PAYER, [JOHN])[JOHN] == made[JANE]
    assert either.data_key(PAYER, made[JOHN].token) == made[JOHN].key, "what it sealed can still be read"
    either.link(PAYER, survivor=made[ANN].token, retired=made[JANE].token)
    assert {each.token for each in either.subjects(PAYER, [JANE, JOHN, ANN]).values()} == {made[ANN].token}
    with pytest.raises(KeyStoreError, match="retired"):
        either.link(PAYER, survivor=made[JANE].token, retired=made[ANN].token)


def test_erasing_a_person_destroys_the_keys_of_all_their_tokens(either: WrappedKeyStore) -> None:
    made = either.subjects(PAYER, [JANE, JOHN])
    either.link(PAYER, survivor=made[JANE].token, retired=made[JOHN].token)
    assert set(either.destroy(PAYER, made[JANE].token)) == {made[JANE].token, made[JOHN].token}
    with pytest.raises(KeyDestroyed):
        either.data_key(PAYER, made[JOHN].token)


def test_whichever_token_of_a_person_is_named_all_are_meant(either: WrappedKeyStore) -> None:
    made = either.subjects(PAYER, [JANE, JOHN, ANN])
    jane, john, ann = (made[each].token for each in (JANE, JOHN, ANN))
    either.link(PAYER, survivor=jane, retired=john)
    assert either.tokens_of(PAYER, john) == either.tokens_of(PAYER, jane) == (jane, john)
    assert either.tokens_of(PAYER, ann) == (ann,)
    with pytest.raises(UnknownSubject):
        either.tokens_of(PAYER, "nobody")
    assert either.destroy(PAYER, john) == (jane, john)
    assert either.destroyed(PAYER) == tuple(sorted((jane, john)))


def test_one_things_key_is_destroyed_and_no_other(again: Open, tmp_path: Path) -> None:
    store = again()
    kept = store.own_keys(PAYER, "reject", ["r1", "r2"])
    assert len(set(kept.values())) == 2
    assert again().own_keys(PAYER, "reject", ["r2", "r1"]) == kept
    store.backup(tmp_path / "backup")
    store.destroy_own(PAYER, "reject", ["r1", "r3"])
    store.restore(tmp_path / "backup")
    assert store.own_keys(PAYER, "reject", ["r1", "r2", "r3"]) == {"r1": None, "r2": kept["r2"], "r3": None}
    with pytest.raises(KeyDestroyed, match="key of reject r1 was destroyed"):
        store.own_key(PAYER, "reject", "r1")
    assert store.own_keys("bcbs-sc", "reject", ["r1"])["r1"] is not None
    store.rotate_wrapping_key()
    assert again().own_key(PAYER, "reject", "r2") == kept["r2"]


def test_with_a_members_key_go_those_of_things_that_are_the_members(either: WrappedKeyStore) -> None:
    token, other = member_token(JANE), member_token(JOHN)
    either.subjects(PAYER, [JANE, JOHN])
    kept = either.own_keys(PAYER, "authorization", [f"{token}|a1", f"{other}|a1", token])
    either.destroy(PAYER, token)
    names = [f"{token}|a1", f"{other}|a1", token]
    assert either.own_keys(PAYER, "authorization", names) == kept | {f"{token}|a1": None}


def test_words_that_are_not_to_be_kept_are_remembered(again: Open, tmp_path: Path) -> None:
    store, before = again(), again().generation()
    store.suppress(PAYER, [b"one", b"two"])
    store.suppress(PAYER, [b"two"])
    assert again().suppressed(PAYER) == {b"one", b"two"}
    assert store.generation() > before
    assert store.suppressed("bcbs-sc") == frozenset()
    store.backup(tmp_path / "backup")
    other = SqliteKeyStore(tmp_path / "other.sqlite3", store._wrapping)
    other.restore(tmp_path / "backup")
    assert other.suppressed(PAYER) == {b"one", b"two"}


def test_work_goes_on_while_all_is_wrapped_anew(again: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.keys.REWRAPPED_AT_ONCE", 5)
    store, writer, reader = again(), again(), again()
    people = [bytes([n]) * 32 for n in range(40)]
    kept = store.subjects(PAYER, people[:20])
    made: dict[bytes, Any] = {}

    def others(_: int) -> None:
        """Two other processes, between any two steps of the rotation."""
        new = people[20 + len(made) % 20]
        made[new] = writer.subjects(PAYER, [new])[new]
        assert reader.subjects(PAYER, people[:20]) == kept
        assert reader.data_key(PAYER, made[new].token) == made[new].key

    writer.destroy(PAYER, kept[people[0]].token)
    kept = store.subjects(PAYER, people[:20])
    store.rotate_wrapping_key(told=others)
    store.rotate_wrapping_key(told=others)
    assert len(made) > 5
    for each in (store, writer, reader, again()):
        assert each.subjects(PAYER, people[:20]) == kept
        assert each.subjects(PAYER, list(made)) == made
    assert kept[people[0]].key is None


def _write_on(path: Path, start: Any, stop: Any, answers: Any) -> None:
    store, made = SqliteKeyStore(path), dict[bytes, Any]()
    start.wait()
    while not stop.is_set():
        digest = os.urandom(32)
        made |= store.subjects(PAYER, [digest])
    answers.put(made)


def _rotate(store: SqliteKeyStore) -> None:
    """Rotate, and again for as long as a writer holds on to the write-ahead log, as the error asks."""
    for _ in range(50):
        with suppress(KeyStoreAway):
            store.rotate_wrapping_key()
            return
    raise AssertionError("the writers never let go of the write-ahead log")


def test_processes_write_on_while_the_wrapping_key_is_rotated_under_them(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, stop, answers = context.Barrier(3), context.Event(), context.Queue()
    words = (tmp_path / "keys", start, stop, answers)
    writers = [context.Process(target=_write_on, args=words, daemon=True) for _ in range(2)]
    for each in writers:
        each.start()
    try:
        start.wait(60)
        store = SqliteKeyStore(tmp_path / "keys")
        kept = store.subjects(PAYER, [bytes([n]) * 32 for n in range(200)])
        for _ in range(3):
            _rotate(store)
    finally:
        stop.set()  # whatever became of it, or they write for ever
    for made in [answers.get(timeout=60) for _ in writers]:
        assert store.subjects(PAYER, list(made)) == made
    for each in writers:
        each.join()
    assert len((tmp_path / "keys.wrapping").read_text().split()) == 1
    assert SqliteKeyStore(tmp_path / "keys").subjects(PAYER, list(kept)) == kept


def test_two_rotations_at_once_lose_no_key(again: Open) -> None:
    kept = again().subjects(PAYER, [JANE, JOHN, ANN])
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda store: store.rotate_wrapping_key(), (again(), again())))
    assert again().subjects(PAYER, [JANE, JOHN, ANN]) == kept


def test_a_backup_from_before_a_rotation_opens_nothing(store: SqliteKeyStore, tmp_path: Path) -> None:
    store.payer_keys(PAYER)
    store.backup(tmp_path / "backup")
    store.rotate_wrapping_key()
    with pytest.raises(KeyStoreError, match="no wrapping key"):
        store.restore(tmp_path / "backup")


def test_rotation_wraps_anew_and_changes_no_key(again: Open, tmp_path: Path) -> None:
    store, elsewhere = again(), again()
    kept, payer = store.subjects(PAYER, [JANE, JOHN]), store.payer_keys(PAYER)
    store.destroy(PAYER, kept[JOHN].token)
    old = (tmp_path / "keys.sqlite3.wrapping").read_text()
    store.rotate_wrapping_key()
    new = (tmp_path / "keys.sqlite3.wrapping").read_text()
    assert len(new.split()) == 1
    assert new != old
    for reader in (store, elsewhere, again()):
        assert reader.subjects(PAYER, [JANE])[JANE] == kept[JANE]
        assert reader.payer_keys(PAYER) == payer
        assert reader.destroyed(PAYER) == (kept[JOHN].token,)
    assert elsewhere.subjects(PAYER, [ANN]) == store.subjects(PAYER, [ANN]), "made under the new wrapping key"


def test_rotation_that_was_cut_off_is_done_again(again: Open) -> None:
    store = again()
    kept = store.subjects(PAYER, [JANE])
    store._wrapping.renewed()  # the file has both keys; the process dies here
    after = again()
    assert after.subjects(PAYER, [JANE]) == kept
    after.rotate_wrapping_key()
    assert after.subjects(PAYER, [JANE]) == kept


def test_wrapping_keys_come_by_environment(tmp_path: Path) -> None:
    first, second = (base64.urlsafe_b64encode(os.urandom(32)).decode() for _ in range(2))
    path = tmp_path / "keys.sqlite3"

    def opened(*keys: str) -> SqliteKeyStore:
        return SqliteKeyStore(path, WrappingKeys.beside(path, {"CAREPACT_WRAPPING_KEY": ",".join(keys)}))

    kept = opened(first).subjects(PAYER, [JANE])
    assert not (tmp_path / "keys.sqlite3.wrapping").exists()
    with pytest.raises(KeyStoreError, match="was wrapped by key"):
        opened(second)
    opened(second, first).rotate_wrapping_key()
    assert opened(second).subjects(PAYER, [JANE]) == kept


@pytest.mark.parametrize("text", ["short", "!" * 44, base64.b64encode(b"x" * 31).decode()])
def test_a_wrapping_key_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeyStoreError, match="base64url of 32 bytes"):
        WrappingKeys.beside(tmp_path / "keys", {"CAREPACT_WRAPPING_KEY": text})


def test_a_store_whose_wrapping_key_is_lost_says_so(store: SqliteKeyStore, tmp_path: Path) -> None:
    store.close()
    (tmp_path / "keys.sqlite3.wrapping").unlink()
    with pytest.raises(KeyStoreError, match="was wrapped by key"):
        SqliteKeyStore(tmp_path / "keys.sqlite3")


def test_a_key_opens_for_its_own_purpose_only(tmp_path: Path) -> None:
    wrapping = WrappingKeys([os.urandom(32)])
    wrapped = wrapping.wrap(wrapping.newest, b"k" * 32, "medicare|jane")
    assert wrapping.unwrap(wrapped, "medicare|jane") == b"k" * 32
    with pytest.raises(KeyStoreError, match="does not open as medicare"):
        wrapping.unwrap(wrapped, "medicare|john")


@pytest.mark.platform
def test_a_lost_connection_is_made_again_and_a_lost_server_is_named(keys_database: str, tmp_path: Path) -> None:
    store, other = (PostgresKeyStore(keys_database, tmp_path / "wrapping") for _ in range(2))
    before = store.subjects(PAYER, [JANE])
    cut_off = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    other._rows(cut_off)
    assert store.subjects(PAYER, [JANE]) == before
    with pytest.raises(KeyStoreAway), store._writing():
        store._run("DELETE FROM alias")
        other._rows(cut_off)
        store._run("DELETE FROM subject_key")
    assert store.subjects(PAYER, [JOHN, JANE])[JANE] == before[JANE], "what had begun is undone"
    store.close()
    other.close()
    with pytest.raises(KeyStoreAway, match="does not answer"):
        PostgresKeyStore("postgresql://nobody@127.0.0.1:9/keys", tmp_path / "wrapping")


@pytest.mark.platform
def test_a_store_that_is_there_makes_no_wrapping_key(keys_database: str, tmp_path: Path) -> None:
    PostgresKeyStore(keys_database, tmp_path / "wrapping").close()
    with pytest.raises(KeyStoreError, match="there is no wrapping key"):
        PostgresKeyStore(keys_database, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def _race(path: Path, start: Any, answers: Any) -> None:
    start.wait()
    store = SqliteKeyStore(path)
    answers.put((store.payer_keys(PAYER), store.subjects(PAYER, [JANE, JOHN, ANN])))


def test_processes_that_begin_together_make_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(8), context.Queue()
    racers = [context.Process(target=_race, args=(tmp_path / "keys", start, answers)) for _ in range(8)]
    for racer in racers:
        racer.start()
    found = [answers.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join()
    assert all(each == found[0] for each in found)


@pytest.mark.platform
def test_machines_that_begin_together_make_one_key(keys_database: str, tmp_path: Path) -> None:
    start = Barrier(4)

    def begin(_: int) -> Any:
        start.wait()
        store = PostgresKeyStore(keys_database, tmp_path / "wrapping")
        try:
            return store.payer_keys(PAYER), store.subjects(PAYER, [JANE, JOHN, ANN])
        finally:
            store.close()

    with ThreadPoolExecutor(4) as machines:
        found = list(machines.map(begin, range(4)))
    assert all(each == found[0] for each in found)


def test_an_mbi_is_the_same_with_dashes() -> None:
    def digest(kind: str, value: str, plan: str = "") -> bytes:
        return identifier_digest(b"k" * 32, plan, Identifier(kind=kind, value=value))

    assert digest("mbi", "1EG4-TE5-MK73") == digest("mbi", "1eg4te5mk73")
    assert digest("member_id", "A-1") != digest("member_id", "A1")
    assert digest("member_id", "A1", "one") != digest("member_id", "A1", "two")
    assert digest("member_id", "A1") != digest("employee_id", "A1")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ask", "destroy"]), st.integers(0, 5)), max_size=25))
def test_once_destroyed_never_again(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]) -> None:
    store = SqliteKeyStore(tmp_path_factory.mktemp("keys") / "keys")
    gone: set[int] = set()
    known: dict[int, bytes | None] = {}
    for step, who in steps:
        digest = bytes([who]) * 32
        if step == "destroy":
            store.destroy(PAYER, member_token(digest))
            gone.add(who)
        else:
            subject = store.subjects(PAYER, [digest])[digest]
            assert (subject.key is None) == (who in gone)
            assert known.setdefault(who, subject.key) == subject.key or who in gone
    store.close()


def open_and_close(path: Path) -> None:
    """In a process of its own."""
    SqliteKeyStore(path).close()


def test_a_second_store_of_this_process_keeps_the_locks_of_the_first(store: SqliteKeyStore, tmp_path: Path) -> None:
    """Otherwise the last of the other processes takes the write-ahead log away, and the file is spoiled."""
    path = tmp_path / "keys.sqlite3"
    before = store.subjects(PAYER, [JANE])
    SqliteKeyStore(path)
    child = multiprocessing.get_context("spawn").Process(target=open_and_close, args=(path,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert path.with_name("keys.sqlite3-wal").exists()
    store.subjects(PAYER, [JOHN])
    assert SqliteKeyStore(path).subjects(PAYER, [JANE]) == before
