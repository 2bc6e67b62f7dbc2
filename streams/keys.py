"""The key store: who a token stands for, and the keys that seal what names a person (seams 20-22).

It is a third durable store beside Kafka and PostgreSQL, and has its own backup: one SQLite file, or a database of its
own (streams/postgres_keys.py). For each payer it holds a pseudonym key, a content key and a key for rejects, which
never change, for each member one data key, and whom full enrollment files listed (streams/rosters.py). Keys are
wrapped (AES-256-GCM) by a wrapping key that lies beside the store or comes by `CAREPACT_WRAPPING_KEY`; only that one
is rotated. Destroying a member's key leaves a tombstone: no later call, and no backup put back, brings the key to life.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from contracts.events.base import Identifier
from streams.alone import alone_in
from streams.key_errors import KeyDestroyed, KeyStoreAway, KeyStoreError, UnknownSubject
from streams.own_keys import TABLES as OWN_TABLES
from streams.own_keys import OwnKeys, OwnKeyTable
from streams.rosters import ADD as ADD_LISTING
from streams.rosters import TABLE as LISTING
from streams.rosters import ListingTable, RosterStore
from streams.wrapping import ID_BYTES, KEY_BYTES, WRAPPING_KEY_VARIABLE, WrappingKeys

__all__ = [
    "KeyDestroyed", "KeyStore", "KeyStoreAway", "KeyStoreError", "PayerKeys", "SqliteKeyStore", "Subject",
    "UnknownSubject", "WrappedKeyStore", "WrappingKeys", "identifier_digest", "member_token",
]  # fmt: skip
LAYOUT = 3
BUSY_SECONDS = 30
REWRAPPED_AT_ONCE = 1_000
_LOOKUP = 500
_PURPOSES = ("pseudonym", "content", "rejects")
_PLATFORM = ""  # in place of a payer, of keys that are no payer's

_TABLES = """
CREATE TABLE meta (
    name   TEXT PRIMARY KEY,
    value  BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE payer_key (
    payer    TEXT NOT NULL,
    purpose  TEXT NOT NULL,
    wrapped  BLOB NOT NULL,
    PRIMARY KEY (payer, purpose)
) WITHOUT ROWID;
CREATE TABLE alias (                     -- which member an identifier means; the first token stays
    payer       TEXT NOT NULL,
    identifier  BLOB NOT NULL,           -- keyed digest, never the identifier
    token       TEXT NOT NULL,
    PRIMARY KEY (payer, identifier)
) WITHOUT ROWID;
CREATE INDEX alias_token ON alias (payer, token);
CREATE TABLE subject_key (
    payer    TEXT NOT NULL,
    token    TEXT NOT NULL,
    wrapped  BLOB,                       -- null: destroyed
    PRIMARY KEY (payer, token)
) WITHOUT ROWID;
CREATE TABLE link (                      -- tokens that turned out to be one person
    payer     TEXT NOT NULL,
    retired   TEXT NOT NULL,
    survivor  TEXT NOT NULL,
    PRIMARY KEY (payer, retired)
) WITHOUT ROWID;
"""
TABLES = ("payer_key", "alias", "subject_key", "link", "listing", "own_key", "suppressed")
_STEPS = ((LISTING,), tuple(OWN_TABLES.strip().rstrip(";").split(";\n")))
"""From each layout to the next."""


@dataclass(frozen=True, slots=True)
class PayerKeys:
    """A payer's own keys. They are made once: another pseudonym or content key would change every token and id."""

    pseudonym: bytes = field(repr=False)
    content: bytes = field(repr=False)
    rejects: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Subject:
    """A member: the token, and the data key; without one when it was destroyed."""

    token: str
    key: bytes | None = field(repr=False)


class KeyStore(RosterStore, OwnKeys, Protocol):
    """What the door and the readers of sealed parts need. Calls block, and may come from several threads."""

    def generation(self) -> int:
        """A number that moves with every destroyed key and every link: what was looked up before may no longer hold."""

    def payer_keys(self, payer: str) -> PayerKeys:
        """The payer's keys, made at the first call."""

    def subjects(self, payer: str, identifiers: Sequence[bytes]) -> dict[bytes, Subject]:
        """The member of each identifier digest; those not yet known are made, and on disk when this returns."""

    def known(self, payer: str, identifiers: Sequence[bytes]) -> dict[bytes, Subject]:
        """The member of each identifier digest that means one already; none is made."""

    def also(self, payer: str, token: str, identifiers: Sequence[bytes]) -> None:
        """From now on these identifier digests mean `token` too; one that means a member already keeps it."""

    def data_key(self, payer: str, token: str) -> bytes:
        """The key of one member. `KeyDestroyed` or `UnknownSubject` say why there is none."""

    def link(self, payer: str, survivor: str, retired: str) -> None:
        """From now on every identifier of `retired` means `survivor`. The retired key stays, for what it sealed."""

    def destroy(self, payer: str, token: str) -> tuple[str, ...]:
        """Destroy a member's key, and those of tokens linked to it; answers the tokens. Doing it again does nothing."""

    def destroyed(self, payer: str) -> tuple[str, ...]:
        """The tokens of a payer whose keys were destroyed."""

    def tokens_of(self, payer: str, token: str) -> tuple[str, ...]:
        """All tokens of the person whom a token means, the one in use first. `UnknownSubject` when there is none."""

    def close(self) -> None:
        """Let go of the store; it cannot be used any more."""


def identifier_digest(pseudonym_key: bytes, plan: str, identifier: Identifier) -> bytes:
    """The keyed digest of an identifier under a plan. An MBI is the same with or without its dashes."""
    value = identifier.value.replace("-", "").upper() if identifier.kind == "mbi" else identifier.value
    return hmac.digest(pseudonym_key, f"{plan}|{identifier.kind}|{value}".encode(), hashlib.sha256)


def member_token(digest: bytes) -> str:
    """The token that an identifier digest gives its member: 26 characters, the base32 of its first 16 bytes."""
    return base64.b32encode(digest[:16]).decode("ascii").rstrip("=").lower()


class WrappedKeyStore(ListingTable, OwnKeyTable, ABC):
    """What every key store does with its tables, whatever keeps them. Statements number their values: `$1`, `$2`."""

    _GENERATION: ClassVar[str]
    _NEXT_GENERATION: ClassVar[str]

    def __init__(self, name: str, wrapping: WrappingKeys) -> None:
        self.name = name
        self._wrapping = wrapping
        self._lock = threading.RLock()
        self._payers: dict[str, PayerKeys] = {}

    @abstractmethod
    def close(self) -> None:
        """Let go of the store; it cannot be used any more."""

    @abstractmethod
    def backup(self, target: Path) -> None:
        """Copy the store, as of one moment, to a new SQLite file. The wrapping key is not in it: keep it elsewhere."""

    @abstractmethod
    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]: ...

    @abstractmethod
    def _run(self, sql: str, *values: Any) -> None: ...

    @abstractmethod
    def _run_many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None: ...

    @abstractmethod
    def _writing(self) -> AbstractContextManager[bytes]:
        """A write transaction, one at a time for the whole store; yields the id of the key to wrap with."""

    @abstractmethod
    def _forget_bytes(self) -> None:
        """Have no copy of what was just destroyed lie about, as far as the store can."""

    def _alone(self) -> AbstractContextManager[Any]:
        return self._lock

    def _moved(self) -> None:
        self._run(self._NEXT_GENERATION)

    def _wrap(self, wrap_with: bytes, key: bytes, purpose: str) -> bytes:
        return self._wrapping.wrap(wrap_with, key, purpose)

    def generation(self) -> int:
        """See `KeyStore.generation`."""
        with self._lock:
            return int(self._rows(self._GENERATION)[0][0])

    def payer_keys(self, payer: str) -> PayerKeys:
        """See `KeyStore.payer_keys`."""
        with self._lock:
            if payer not in self._payers:
                found = self._read_payer(payer)
                if len(found) < len(_PURPOSES):
                    with self._writing() as wrap_with:
                        for purpose in _PURPOSES:
                            made = self._wrapping.wrap(wrap_with, os.urandom(KEY_BYTES), f"{payer}|{purpose}")
                            self._run(_INSERT_PAYER_KEY, payer, purpose, made)
                    found = self._read_payer(payer)
                self._payers[payer] = PayerKeys(**found)
            return self._payers[payer]

    def platform_key(self, purpose: str) -> bytes:
        """A key that is no payer's, made at the first call: as the pepper of the gateway's credentials."""
        with self._lock:
            if (found := self._read_payer(_PLATFORM)).get(purpose) is None:
                with self._writing() as wrap_with:
                    made = self._wrapping.wrap(wrap_with, os.urandom(KEY_BYTES), f"{_PLATFORM}|{purpose}")
                    self._run(_INSERT_PAYER_KEY, _PLATFORM, purpose, made)
                found = self._read_payer(_PLATFORM)
            return found[purpose]

    def subjects(self, payer: str, identifiers: Sequence[bytes]) -> dict[bytes, Subject]:
        """See `KeyStore.subjects`."""
        wanted = list(dict.fromkeys(identifiers))
        with self._lock:
            found = self._find(payer, wanted)
            if missing := [digest for digest in wanted if digest not in found]:
                with self._writing() as wrap_with:
                    self._make(payer, missing, wrap_with)
                found |= self._find(payer, missing)
            return found

    def known(self, payer: str, identifiers: Sequence[bytes]) -> dict[bytes, Subject]:
        """See `KeyStore.known`."""
        with self._lock:
            return self._find(payer, list(dict.fromkeys(identifiers)))

    def also(self, payer: str, token: str, identifiers: Sequence[bytes]) -> None:
        """See `KeyStore.also`."""
        with self._lock, self._writing():
            self._run_many(_INSERT_ALIAS, [(payer, digest, token) for digest in identifiers])

    def data_key(self, payer: str, token: str) -> bytes:
        """See `KeyStore.data_key`."""
        with self._lock:
            rows = self._rows("SELECT wrapped FROM subject_key WHERE payer = $1 AND token = $2", payer, token)
            if not rows:
                raise UnknownSubject(payer, token)
            if rows[0][0] is None:
                raise KeyDestroyed(payer, token)
            return self._unwrap(rows[0][0], f"{payer}|{token}")

    def link(self, payer: str, survivor: str, retired: str) -> None:
        """See `KeyStore.link`. `KeyStoreError` when a token is unknown, or `survivor` was itself retired."""
        with self._lock, self._writing():
            for token in (survivor, retired):
                if not self._rows("SELECT 1 FROM subject_key WHERE payer = $1 AND token = $2", payer, token):
                    raise UnknownSubject(payer, token)
            gone = self._rows("SELECT 1 FROM link WHERE payer = $1 AND retired = $2", payer, survivor)
            if survivor == retired or gone:
                raise KeyStoreError(f"{payer}: {survivor} cannot take the place of {retired}: it was itself retired")
            self._run(
                "INSERT INTO link VALUES ($1, $2, $3) "
                "ON CONFLICT (payer, retired) DO UPDATE SET survivor = excluded.survivor",
                payer, retired, survivor,
            )  # fmt: skip
            self._run("UPDATE link SET survivor = $1 WHERE payer = $2 AND survivor = $3", survivor, payer, retired)
            self._run("UPDATE alias SET token = $1 WHERE payer = $2 AND token = $3", survivor, payer, retired)
            self._run(self._NEXT_GENERATION)

    def tokens_of(self, payer: str, token: str) -> tuple[str, ...]:
        """See `KeyStore.tokens_of`."""
        with self._lock:
            if not self._rows("SELECT 1 FROM subject_key WHERE payer = $1 AND token = $2", payer, token):
                raise UnknownSubject(payer, token)
            return self._linked(payer, token)

    def _linked(self, payer: str, token: str) -> tuple[str, ...]:
        """A token and those of the same person, whichever of them is given; the one in use first."""
        survivor = self._rows("SELECT survivor FROM link WHERE payer = $1 AND retired = $2", payer, token)
        used = survivor[0][0] if survivor else token
        linked = self._rows("SELECT retired FROM link WHERE payer = $1 AND survivor = $2", payer, used)
        return (used, *sorted(row[0] for row in linked))

    def destroy(self, payer: str, token: str) -> tuple[str, ...]:
        """See `KeyStore.destroy`. A token not yet known gets its tombstone too: a backup may bring its key later."""
        with self._lock:
            with self._writing():
                tokens = self._linked(payer, token)
                self._run_many(
                    "INSERT INTO subject_key VALUES ($1, $2, NULL) "
                    "ON CONFLICT (payer, token) DO UPDATE SET wrapped = NULL",
                    [(payer, each) for each in tokens],
                )
                self._run_many(
                    "DELETE FROM listing WHERE payer = $1 AND token = $2", [(payer, each) for each in tokens]
                )
                self._run_many(  # keys of things that are the member's: their names begin with the token and a |
                    "UPDATE own_key SET wrapped = NULL WHERE payer = $1 AND name > $2 AND name < $3",
                    [(payer, f"{each}|", f"{each}}}") for each in tokens],
                )
                self._run(self._NEXT_GENERATION)
            self._forget_bytes()
            return tokens

    def destroyed(self, payer: str) -> tuple[str, ...]:
        """See `KeyStore.destroyed`."""
        with self._lock:
            rows = self._rows("SELECT token FROM subject_key WHERE payer = $1 AND wrapped IS NULL", payer)
            return tuple(sorted(row[0] for row in rows))

    def rotate_wrapping_key(self, told: Callable[[int], None] = lambda keys: None) -> int:
        """Wrap every key anew, some at a time, while others read and write; answers how many.

        Both keys open meanwhile. Killed at any point, the store still opens; call it again to finish. The old key is
        dropped from the file at the end. With keys by environment: put the new one first and the old one after it,
        call this, then drop the old one. `told` hears of the keys wrapped so far.
        """
        with self._wrapping.rotating():
            with self._lock:
                if self._wrapping.file is not None:
                    self._wrapping = self._wrapping.reread().renewed()
                newest = self._wrapping.newest
                with self._writing():
                    self._run("UPDATE meta SET value = $1 WHERE name = 'wrapping'", newest)
            count = 0
            for table, names in _WRAPPED.items():
                place: tuple[str, ...] | None = ("", *("" for _ in names))
                while place is not None:
                    with self._lock, self._writing():
                        done, place = self._rewrap(table, names, newest, place)
                    count += done
                    told(count)
            with self._lock:
                if self._wrapping.file is not None:
                    self._wrapping = self._wrapping.without_old()
            self._forget_bytes()
            return count

    def restore(self, source: Path) -> None:
        """Take in what a backup has and this store has not. A tombstone in either stays one.

        A key destroyed after the backup, in a store since lost, is destroyed again from the log's `SubjectErased`
        facts: call `destroy` for each of them before the store is used.
        """
        other = sqlite3.connect(source.resolve().as_uri() + "?mode=ro", uri=True)
        try:
            with self._lock, self._writing():
                for payer, purpose, wrapped in other.execute("SELECT payer, purpose, wrapped FROM payer_key"):
                    self._run(_INSERT_PAYER_KEY, payer, purpose, wrapped)
                    self._same_key(payer, purpose, wrapped)
                self._run_many(
                    "INSERT INTO subject_key VALUES ($1, $2, $3) "
                    "ON CONFLICT (payer, token) DO UPDATE SET wrapped = NULL WHERE excluded.wrapped IS NULL",
                    other.execute("SELECT payer, token, wrapped FROM subject_key"),
                )
                for table, columns in (("alias", "payer, identifier, token"), ("link", "payer, retired, survivor")):
                    rows = other.execute(f"SELECT {columns} FROM {table}")  # noqa: S608 - names of our own tables
                    self._run_many(f"INSERT INTO {table} VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", rows)  # noqa: S608
                layout = other.execute("PRAGMA user_version").fetchone()[0]
                if layout > 1:
                    self._run_many(ADD_LISTING, other.execute("SELECT * FROM listing"))
                if layout > 2:
                    self._run_many(
                        "INSERT INTO own_key VALUES ($1, $2, $3, $4) ON CONFLICT (payer, kind, name) "
                        "DO UPDATE SET wrapped = NULL WHERE excluded.wrapped IS NULL",
                        other.execute("SELECT payer, kind, name, wrapped FROM own_key"),
                    )
                    self._run_many(
                        "INSERT INTO suppressed VALUES ($1, $2) ON CONFLICT DO NOTHING",
                        other.execute("SELECT payer, word FROM suppressed"),
                    )
                self._run(
                    "UPDATE alias SET token = link.survivor FROM link "
                    "WHERE link.payer = alias.payer AND link.retired = alias.token"
                )
                self._run(self._NEXT_GENERATION)
        finally:
            other.close()
        self._payers.clear()

    def _rewrap(
        self, table: str, names: tuple[str, ...], newest: bytes, after: tuple[str, ...]
    ) -> tuple[int, tuple[str, ...] | None]:
        """Wrap the next keys of a table behind a place; how many that were, and the place reached, None at the end."""
        key, n = ", ".join(("payer", *names)), len(names) + 1
        places = ", ".join(f"${number}" for number in range(1, n + 1))
        rows = self._rows(
            f"SELECT {key}, wrapped FROM {table} WHERE ({key}) > ({places}) "  # noqa: S608 - our own tables
            f"ORDER BY {key} LIMIT {REWRAPPED_AT_ONCE}",
            *after,
        )
        old = [row for row in rows if row[n] is not None and bytes(row[n][:ID_BYTES]) != newest]
        purposes = {row[:n]: "|".join(row[:n]) for row in old}
        which = " AND ".join(f"{name} = ${number}" for number, name in enumerate(("payer", *names), 2))
        self._run_many(
            f"UPDATE {table} SET wrapped = $1 WHERE {which}",  # noqa: S608
            [
                (self._wrapping.wrap(newest, self._unwrap(row[n], purpose), purpose), *row[:n])
                for row, purpose in zip(old, purposes.values(), strict=True)
            ],
        )
        return len(old), tuple(rows[-1][:n]) if len(rows) == REWRAPPED_AT_ONCE else None

    def _same_key(self, payer: str, purpose: str, wrapped: bytes) -> None:
        rows = self._rows("SELECT wrapped FROM payer_key WHERE payer = $1 AND purpose = $2", payer, purpose)
        if self._unwrap(rows[0][0], f"{payer}|{purpose}") != self._unwrap(wrapped, f"{payer}|{purpose}"):
            raise KeyStoreError(f"the backup is of another store: its {purpose} key of {payer} differs")

    def _wrapping_in_use(self) -> bytes:
        """The id of the key to wrap with; another process may have rotated it, then the file has the new one."""
        in_use = bytes(self._rows("SELECT value FROM meta WHERE name = 'wrapping'")[0][0])
        if in_use not in self._wrapping:
            self._wrapping = self._wrapping.reread()
        if in_use not in self._wrapping:
            raise KeyStoreError(
                f"{self.name} was wrapped by key {in_use.hex()}, which is neither in {WRAPPING_KEY_VARIABLE} "
                f"nor in the file of wrapping keys"
            )
        return in_use

    def _unwrap(self, wrapped: bytes, purpose: str) -> bytes:
        if wrapped[:ID_BYTES] not in self._wrapping:
            self._wrapping = self._wrapping.reread()
        return self._wrapping.unwrap(wrapped, purpose)

    def _read_payer(self, payer: str) -> dict[str, bytes]:
        rows = self._rows("SELECT purpose, wrapped FROM payer_key WHERE payer = $1", payer)
        return {purpose: self._unwrap(wrapped, f"{payer}|{purpose}") for purpose, wrapped in rows}

    def _find(self, payer: str, digests: Sequence[bytes]) -> dict[bytes, Subject]:
        found: dict[bytes, Subject] = {}
        for start in range(0, len(digests), _LOOKUP):
            part = digests[start : start + _LOOKUP]
            rows = self._rows(
                "SELECT identifier, token, wrapped FROM alias JOIN subject_key USING (payer, token) "  # noqa: S608
                f"WHERE payer = $1 AND identifier IN ({', '.join(f'${n + 2}' for n in range(len(part)))})",
                payer,
                *part,
            )
            for digest, token, wrapped in rows:
                key = None if wrapped is None else self._unwrap(wrapped, f"{payer}|{token}")
                found[digest] = Subject(token, key)
        return found

    def _make(self, payer: str, digests: Sequence[bytes], wrap_with: bytes) -> None:
        """Members for identifiers that have none. A tombstone that is there already stays."""
        tokens = [member_token(digest) for digest in digests]
        self._run_many(
            _INSERT_ALIAS,
            [(payer, digest, token) for digest, token in zip(digests, tokens, strict=True)],
        )
        self._run_many(
            "INSERT INTO subject_key VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            [
                (payer, token, self._wrapping.wrap(wrap_with, os.urandom(KEY_BYTES), f"{payer}|{token}"))
                for token in tokens
            ],
        )


_WRAPPED = {"payer_key": ("purpose",), "subject_key": ("token",), "own_key": ("kind", "name")}
"""Tables of wrapped keys, and what names a row beside the payer: all of it, joined, is what a key is wrapped for."""
_INSERT_ALIAS = "INSERT INTO alias VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_INSERT_PAYER_KEY = "INSERT INTO payer_key VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"


class SqliteKeyStore(WrappedKeyStore):
    """A key store in one SQLite file, which several processes and several homes may share.

    Write-ahead log with full synchronisation: what a call has made is on disk when it returns.
    """

    _GENERATION = "SELECT value FROM meta WHERE name = 'generation'"
    _NEXT_GENERATION = "UPDATE meta SET value = value + 1 WHERE name = 'generation'"

    def __init__(self, path: Path, wrapping: WrappingKeys | None = None) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_private(path)
        super().__init__(path.name, wrapping or WrappingKeys.beside(path))
        with alone_in(path.parent):  # to turn a new file to write-ahead log, SQLite waits for nobody
            self._db = _connect(path)
            self._lay_out()

    def close(self) -> None:
        """See `WrappedKeyStore.close`."""
        with self._lock:
            self._db.close()

    def backup(self, target: Path) -> None:
        """See `WrappedKeyStore.backup`."""
        copy = new_backup(target)
        try:
            with self._lock:
                self._db.backup(copy)
        finally:
            copy.close()

    def _forget_bytes(self) -> None:
        """Empty the write-ahead log. `KeyStoreAway` when readers do not let go of it in time: call again."""
        with self._lock:
            if self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]:
                raise KeyStoreAway(f"{self.path.name}: its write-ahead log is in use and still has what was destroyed")

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._db.execute(sql.replace("$", "?"), values).fetchall()

    def _run(self, sql: str, *values: Any) -> None:
        self._db.execute(sql.replace("$", "?"), values)

    def _run_many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._db.executemany(sql.replace("$", "?"), rows)

    @contextmanager
    def _writing(self) -> Iterator[bytes]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._wrapping_in_use()
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def _lay_out(self) -> None:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                layout = self._db.execute("PRAGMA user_version").fetchone()[0]
                if layout == 0:
                    make_tables(self._db, generation=1, wrapping=self._wrapping.newest)
                elif layout < LAYOUT:
                    for statement in (each for step in _STEPS[layout - 1 :] for each in step):
                        self._db.execute(statement)
                    self._db.execute(f"PRAGMA user_version = {LAYOUT}")
                elif layout != LAYOUT:
                    raise KeyStoreError(f"{self.path.name}: layout {layout}, this version reads layout {LAYOUT}")
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                self._db.close()
                raise
            self._wrapping_in_use()


def make_tables(db: sqlite3.Connection, generation: int, wrapping: bytes) -> None:
    """The tables of a store that has nothing yet."""
    for statement in (*_TABLES.split(";\n"), *(each for step in _STEPS for each in step)):
        db.execute(statement)
    db.execute("INSERT INTO meta VALUES ('generation', ?)", (generation,))
    db.execute("INSERT INTO meta VALUES ('wrapping', ?)", (wrapping,))
    db.execute(f"PRAGMA user_version = {LAYOUT}")


def new_backup(target: Path) -> sqlite3.Connection:
    """An empty file that only its owner may read; `FileExistsError` when there is one."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    return sqlite3.connect(target)


def _make_private(path: Path) -> None:
    """Make the file, for its owner only. One that is there is not touched.

    To open and close it would give up the locks of every other store on it in this process, as POSIX has it, and the
    next process to close the file would take the write-ahead log away from under them.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "wal_autocheckpoint = 200"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    return db
