"""The key store: who a token stands for, and the keys that seal what names a person (seams 20-22).

It is a third durable store beside Kafka and PostgreSQL, and has its own backup: one SQLite file, or a database of its
own (streams/postgres_keys.py). For each payer it holds a pseudonym key, a content key and a key for rejects, which
never change, for each member one data key, and whom full enrollment files listed (streams/rosters.py). Keys are
wrapped (AES-256-GCM) by a wrapping key that lies beside the store or comes by `CAREPACT_WRAPPING_KEY`; only that one
is rotated. Destroying a member's key leaves a tombstone: no later call, and no backup put back, brings the key to life.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import os
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contracts.events.base import Identifier
from streams.rosters import ADD as ADD_LISTING
from streams.rosters import TABLE as LISTING
from streams.rosters import ListingTable, RosterStore

WRAPPING_KEY_VARIABLE = "CAREPACT_WRAPPING_KEY"
LAYOUT = 2
BUSY_SECONDS = 30
KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_BYTES = 8
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
TABLES = ("payer_key", "alias", "subject_key", "link", "listing")


class KeyStoreError(Exception):
    """The key store cannot be used; the message says what is missing or differs."""


class KeyStoreAway(KeyStoreError, OSError):
    """The key store does not answer; trying again may help."""


class KeyDestroyed(KeyStoreError):
    """The member's key was destroyed; what it sealed cannot be read, and nothing is sealed under that token again."""

    def __init__(self, payer: str, token: str) -> None:
        super().__init__(f"{payer}: the key of member {token} was destroyed")


class UnknownSubject(KeyStoreError):
    """No member has this token."""

    def __init__(self, payer: str, token: str) -> None:
        super().__init__(f"{payer}: no member {token} in the key store")


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


class KeyStore(RosterStore, Protocol):
    """What the door and the readers of sealed parts need. Calls block, and may come from several threads."""

    def generation(self) -> int:
        """A number that moves with every destroyed key and every link: what was looked up before may no longer hold."""

    def payer_keys(self, payer: str) -> PayerKeys:
        """The payer's keys, made at the first call."""

    def subjects(self, payer: str, identifiers: Sequence[bytes]) -> dict[bytes, Subject]:
        """The member of each identifier digest; those not yet known are made, and on disk when this returns."""

    def data_key(self, payer: str, token: str) -> bytes:
        """The key of one member. `KeyDestroyed` or `UnknownSubject` say why there is none."""

    def link(self, payer: str, survivor: str, retired: str) -> None:
        """From now on every identifier of `retired` means `survivor`. The retired key stays, for what it sealed."""

    def destroy(self, payer: str, token: str) -> tuple[str, ...]:
        """Destroy a member's key, and those of tokens linked to it; answers the tokens. Doing it again does nothing."""

    def destroyed(self, payer: str) -> tuple[str, ...]:
        """The tokens of a payer whose keys were destroyed."""

    def close(self) -> None:
        """Let go of the store; it cannot be used any more."""


def identifier_digest(pseudonym_key: bytes, plan: str, identifier: Identifier) -> bytes:
    """The keyed digest of an identifier under a plan. An MBI is the same with or without its dashes."""
    value = identifier.value.replace("-", "").upper() if identifier.kind == "mbi" else identifier.value
    return hmac.digest(pseudonym_key, f"{plan}|{identifier.kind}|{value}".encode(), hashlib.sha256)


def member_token(digest: bytes) -> str:
    """The token that an identifier digest gives its member: 26 characters, the base32 of its first 16 bytes."""
    return base64.b32encode(digest[:16]).decode("ascii").rstrip("=").lower()


class WrappingKeys:
    """The keys that wrap all others, known by the first bytes of their hash.

    They stand one a line in a file that only its owner may read, or in `CAREPACT_WRAPPING_KEY`, separated by commas;
    each is the base64url of 32 bytes. The first is the one to wrap with after the next re-wrap.
    """

    def __init__(self, keys: Iterable[bytes], file: Path | None = None) -> None:
        self.file = file
        self._keys = list(keys)
        if not self._keys or any(len(key) != KEY_BYTES for key in self._keys):
            raise KeyStoreError(f"a wrapping key is the base64url of {KEY_BYTES} bytes")
        self._ciphers = {_key_id(key): AESGCM(key) for key in self._keys}

    @classmethod
    def beside(cls, store: Path, environ: Mapping[str, str] = os.environ) -> WrappingKeys:
        """Those of the environment; else those in the file beside the store, which is made when there is none."""
        return cls.found(store.with_name(store.name + ".wrapping"), environ)

    @classmethod
    def found(cls, file: Path, environ: Mapping[str, str] = os.environ, *, make: bool = True) -> WrappingKeys:
        """Those of the environment; else those in the file, which is made when there is none, if it may be."""
        if given := environ.get(WRAPPING_KEY_VARIABLE):
            return cls(_decode(given.split(",")))
        if not file.exists():
            if not make:
                raise KeyStoreError(f"there is no wrapping key: neither {WRAPPING_KEY_VARIABLE} nor {file}")
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_once(file, [os.urandom(KEY_BYTES)])
        return cls(_decode(file.read_text(encoding="ascii").split()), file)

    @property
    def newest(self) -> bytes:
        """The id of the first key."""
        return _key_id(self._keys[0])

    def __contains__(self, key_id: bytes) -> bool:
        return key_id in self._ciphers

    def wrap(self, key_id: bytes, key: bytes, purpose: str) -> bytes:
        """Wrap `key` so that it opens for the same purpose only."""
        nonce = os.urandom(_NONCE_BYTES)
        return key_id + nonce + self._ciphers[key_id].encrypt(nonce, key, purpose.encode())

    def unwrap(self, wrapped: bytes, purpose: str) -> bytes:
        """The key in `wrapped`; `KeyStoreError` when it was wrapped for another purpose, or by a key we have not."""
        cipher = self._ciphers.get(wrapped[:_ID_BYTES])
        if cipher is None:
            raise KeyStoreError(f"no wrapping key {wrapped[:_ID_BYTES].hex()}: the store was wrapped by another one")
        nonce, sealed = wrapped[_ID_BYTES : _ID_BYTES + _NONCE_BYTES], wrapped[_ID_BYTES + _NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, sealed, purpose.encode())
        except InvalidTag:
            raise KeyStoreError(f"a key of the store does not open as {purpose}") from None

    def renewed(self) -> WrappingKeys:
        """With a new first key; the file has it too before this returns."""
        return self._replaced([os.urandom(KEY_BYTES), *self._keys])

    def without_old(self) -> WrappingKeys:
        """With the first key only."""
        return self._replaced(self._keys[:1])

    def reread(self) -> WrappingKeys:
        """As the file has them now."""
        return WrappingKeys(_decode(self.file.read_text(encoding="ascii").split()), self.file) if self.file else self

    def _replaced(self, keys: list[bytes]) -> WrappingKeys:
        if self.file is None:
            raise KeyStoreError(f"the wrapping keys come by {WRAPPING_KEY_VARIABLE}: put the new one first there")
        beside = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        _write_private(beside, _encode(keys))
        beside.replace(self.file)
        _sync_folder(self.file.parent)
        return WrappingKeys(keys, self.file)


class WrappedKeyStore(ListingTable, ABC):
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

    def destroy(self, payer: str, token: str) -> tuple[str, ...]:
        """See `KeyStore.destroy`. A token not yet known gets its tombstone too: a backup may bring its key later."""
        with self._lock:
            with self._writing():
                linked = self._rows("SELECT retired FROM link WHERE payer = $1 AND survivor = $2", payer, token)
                tokens = (token, *sorted(row[0] for row in linked))
                self._run_many(
                    "INSERT INTO subject_key VALUES ($1, $2, NULL) "
                    "ON CONFLICT (payer, token) DO UPDATE SET wrapped = NULL",
                    [(payer, each) for each in tokens],
                )
                self._run_many(
                    "DELETE FROM listing WHERE payer = $1 AND token = $2", [(payer, each) for each in tokens]
                )
                self._run(self._NEXT_GENERATION)
            self._forget_bytes()
            return tokens

    def destroyed(self, payer: str) -> tuple[str, ...]:
        """See `KeyStore.destroyed`."""
        with self._lock:
            rows = self._rows("SELECT token FROM subject_key WHERE payer = $1 AND wrapped IS NULL", payer)
            return tuple(sorted(row[0] for row in rows))

    def rotate_wrapping_key(self) -> None:
        """Wrap every key anew. Killed at any point, the store still opens; call it again to finish.

        With keys by environment: put the new one first and the old one after it, call this, then drop the old one.
        """
        with self._lock:
            if self._wrapping.file is not None:
                self._wrapping = self._wrapping.reread().renewed()
            with self._writing():
                newest = self._wrapping.newest
                for table, name in (("payer_key", "purpose"), ("subject_key", "token")):
                    self._rewrap(table, name, newest)
                self._run("UPDATE meta SET value = $1 WHERE name = 'wrapping'", newest)
            if self._wrapping.file is not None:
                self._wrapping = self._wrapping.without_old()

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
                if other.execute("PRAGMA user_version").fetchone()[0] > 1:
                    self._run_many(ADD_LISTING, other.execute("SELECT * FROM listing"))
                self._run(
                    "UPDATE alias SET token = link.survivor FROM link "
                    "WHERE link.payer = alias.payer AND link.retired = alias.token"
                )
                self._run(self._NEXT_GENERATION)
        finally:
            other.close()
        self._payers.clear()

    def _rewrap(self, table: str, name: str, newest: bytes) -> None:
        select = f"SELECT payer, {name}, wrapped FROM {table} WHERE wrapped IS NOT NULL"  # noqa: S608 - our own tables
        update = f"UPDATE {table} SET wrapped = $1 WHERE payer = $2 AND {name} = $3"  # noqa: S608
        rows = []
        for payer, of, wrapped in self._rows(select):
            key = self._unwrap(wrapped, f"{payer}|{of}")
            rows.append((self._wrapping.wrap(newest, key, f"{payer}|{of}"), payer, of))
        self._run_many(update, rows)

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
        if wrapped[:_ID_BYTES] not in self._wrapping:
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
            "INSERT INTO alias VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            [(payer, digest, token) for digest, token in zip(digests, tokens, strict=True)],
        )
        self._run_many(
            "INSERT INTO subject_key VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            [
                (payer, token, self._wrapping.wrap(wrap_with, os.urandom(KEY_BYTES), f"{payer}|{token}"))
                for token in tokens
            ],
        )


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
        with _alone_in(path.parent):
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
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

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
                elif layout == 1:
                    self._db.execute(LISTING)
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
    for statement in (*_TABLES.split(";\n"), LISTING):
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


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One process at a time: to turn a new file to write-ahead log, SQLite waits for nobody and says `locked`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "wal_autocheckpoint = 200"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    return db


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"carepact wrapping key|" + key).digest()[:_ID_BYTES]


def _encode(keys: Iterable[bytes]) -> bytes:
    return b"".join(base64.urlsafe_b64encode(key) + b"\n" for key in keys)


def _decode(texts: Iterable[str]) -> list[bytes]:
    try:
        return [base64.b64decode(text.strip(), altchars=b"-_", validate=True) for text in texts if text.strip()]
    except ValueError:
        raise KeyStoreError(f"a wrapping key is the base64url of {KEY_BYTES} bytes") from None


def _write_once(file: Path, keys: list[bytes]) -> None:
    """Make the file whole or not at all; when another process was first, its file stays."""
    beside = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}")
    _write_private(beside, _encode(keys))
    try:
        with suppress(FileExistsError):
            os.link(beside, file)
    finally:
        beside.unlink()
    _sync_folder(file.parent)


def _write_private(file: Path, content: bytes) -> None:
    handle = os.open(file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    try:
        os.write(handle, content)
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
