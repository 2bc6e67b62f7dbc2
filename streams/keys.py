"""The key store: who a token stands for, and the keys that seal what names a person (seams 20-22).

It is a third durable store beside Kafka and PostgreSQL, and has its own backup. For each payer it holds a pseudonym
key, a content key and a key for rejects, which never change, and for each member one data key. All are wrapped
(AES-256-GCM) by a wrapping key that lies beside the store or comes by `CAREPACT_WRAPPING_KEY`; only that one is
rotated. Destroying a member's key leaves a tombstone: no later call, and no backup put back, brings the key to life.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contracts.events.base import Identifier

WRAPPING_KEY_VARIABLE = "CAREPACT_WRAPPING_KEY"
LAYOUT = 1
BUSY_SECONDS = 30
KEY_BYTES = 32
_NONCE_BYTES = 12
_ID_BYTES = 8
_LOOKUP = 500
_PURPOSES = ("pseudonym", "content", "rejects")

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


class KeyStoreError(Exception):
    """The key store cannot be used; the message says what is missing or differs."""


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


class KeyStore(Protocol):
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
        if given := environ.get(WRAPPING_KEY_VARIABLE):
            return cls(_decode(given.split(",")))
        file = store.with_name(store.name + ".wrapping")
        if not file.exists():
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


class SqliteKeyStore:
    """A key store in one SQLite file, which several processes and several homes may share.

    Write-ahead log with full synchronisation: what a call has made is on disk when it returns.
    """

    def __init__(self, path: Path, wrapping: WrappingKeys | None = None) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_private(path)
        self._wrapping = wrapping or WrappingKeys.beside(path)
        self._lock = threading.RLock()
        self._db = _connect(path)
        self._lay_out()
        self._payers: dict[str, PayerKeys] = {}

    def close(self) -> None:
        """Close the file; the store cannot be used any more."""
        with self._lock:
            self._db.close()

    def generation(self) -> int:
        """See `KeyStore.generation`."""
        with self._lock:
            return int(self._meta("generation"))

    def payer_keys(self, payer: str) -> PayerKeys:
        """See `KeyStore.payer_keys`."""
        with self._lock:
            if payer not in self._payers:
                found = self._read_payer(payer)
                if len(found) < len(_PURPOSES):
                    with self._writing() as wrap_with:
                        for purpose in _PURPOSES:
                            made = self._wrapping.wrap(wrap_with, os.urandom(KEY_BYTES), f"{payer}|{purpose}")
                            self._db.execute("INSERT OR IGNORE INTO payer_key VALUES (?, ?, ?)", (payer, purpose, made))
                    found = self._read_payer(payer)
                self._payers[payer] = PayerKeys(**found)
            return self._payers[payer]

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
            row = self._one("SELECT wrapped FROM subject_key WHERE payer = ? AND token = ?", payer, token)
            if row is None:
                raise UnknownSubject(payer, token)
            if row[0] is None:
                raise KeyDestroyed(payer, token)
            return self._unwrap(row[0], f"{payer}|{token}")

    def link(self, payer: str, survivor: str, retired: str) -> None:
        """See `KeyStore.link`. `KeyStoreError` when a token is unknown, or `survivor` was itself retired."""
        with self._lock, self._writing():
            known = "SELECT 1 FROM subject_key WHERE payer = ? AND token = ?"
            for token in (survivor, retired):
                if self._one(known, payer, token) is None:
                    raise UnknownSubject(payer, token)
            if survivor == retired or self._one("SELECT 1 FROM link WHERE payer = ? AND retired = ?", payer, survivor):
                raise KeyStoreError(f"{payer}: {survivor} cannot take the place of {retired}: it was itself retired")
            self._db.execute("INSERT OR REPLACE INTO link VALUES (?, ?, ?)", (payer, retired, survivor))
            self._db.execute(
                "UPDATE link SET survivor = ? WHERE payer = ? AND survivor = ?", (survivor, payer, retired)
            )
            self._db.execute("UPDATE alias SET token = ? WHERE payer = ? AND token = ?", (survivor, payer, retired))
            self._next_generation()

    def destroy(self, payer: str, token: str) -> tuple[str, ...]:
        """See `KeyStore.destroy`. A token not yet known gets its tombstone too: a backup may bring its key later."""
        with self._lock:
            with self._writing():
                linked = self._db.execute("SELECT retired FROM link WHERE payer = ? AND survivor = ?", (payer, token))
                tokens = (token, *sorted(row[0] for row in linked))
                for each in tokens:
                    self._db.execute("INSERT OR REPLACE INTO subject_key VALUES (?, ?, NULL)", (payer, each))
                self._next_generation()
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return tokens

    def destroyed(self, payer: str) -> tuple[str, ...]:
        """See `KeyStore.destroyed`."""
        with self._lock:
            rows = self._db.execute("SELECT token FROM subject_key WHERE payer = ? AND wrapped IS NULL", (payer,))
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
                self._db.execute("UPDATE meta SET value = ? WHERE name = 'wrapping'", (newest,))
            if self._wrapping.file is not None:
                self._wrapping = self._wrapping.without_old()

    def backup(self, target: Path) -> None:
        """Copy the store, as of one moment, to a new file. The wrapping key is not in it: keep that elsewhere."""
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        copy = sqlite3.connect(target)
        try:
            with self._lock:
                self._db.backup(copy)
        finally:
            copy.close()

    def restore(self, source: Path) -> None:
        """Take in what a backup has and this store has not. A tombstone in either stays one.

        A key destroyed after the backup, in a store since lost, is destroyed again from the log's `SubjectErased`
        facts: call `destroy` for each of them before the store is used.
        """
        other = sqlite3.connect(source.resolve().as_uri() + "?mode=ro", uri=True)
        try:
            with self._lock, self._writing():
                for payer, purpose, wrapped in other.execute("SELECT payer, purpose, wrapped FROM payer_key"):
                    self._db.execute("INSERT OR IGNORE INTO payer_key VALUES (?, ?, ?)", (payer, purpose, wrapped))
                    self._same_key(payer, purpose, wrapped)
                self._db.executemany(
                    "INSERT INTO subject_key VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET wrapped = NULL "
                    "WHERE excluded.wrapped IS NULL",
                    other.execute("SELECT payer, token, wrapped FROM subject_key"),
                )
                for table, columns in (("alias", "payer, identifier, token"), ("link", "payer, retired, survivor")):
                    rows = other.execute(f"SELECT {columns} FROM {table}")  # noqa: S608 - names of our own tables
                    self._db.executemany(f"INSERT OR IGNORE INTO {table} VALUES (?, ?, ?)", rows)  # noqa: S608
                self._db.execute(
                    "UPDATE alias SET token = link.survivor FROM link "
                    "WHERE link.payer = alias.payer AND link.retired = alias.token"
                )
                self._next_generation()
        finally:
            other.close()
        self._payers.clear()

    def _rewrap(self, table: str, name: str, newest: bytes) -> None:
        select = f"SELECT payer, {name}, wrapped FROM {table} WHERE wrapped IS NOT NULL"  # noqa: S608 - our own tables
        update = f"UPDATE {table} SET wrapped = ? WHERE payer = ? AND {name} = ?"  # noqa: S608
        for payer, of, wrapped in self._db.execute(select).fetchall():
            key = self._unwrap(wrapped, f"{payer}|{of}")
            self._db.execute(update, (self._wrapping.wrap(newest, key, f"{payer}|{of}"), payer, of))

    def _same_key(self, payer: str, purpose: str, wrapped: bytes) -> None:
        row = self._one("SELECT wrapped FROM payer_key WHERE payer = ? AND purpose = ?", payer, purpose)
        assert row is not None
        if self._unwrap(row[0], f"{payer}|{purpose}") != self._unwrap(wrapped, f"{payer}|{purpose}"):
            raise KeyStoreError(f"the backup is of another store: its {purpose} key of {payer} differs")

    def _lay_out(self) -> None:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                layout = self._db.execute("PRAGMA user_version").fetchone()[0]
                if layout == 0:
                    for statement in _TABLES.split(";\n"):
                        self._db.execute(statement)
                    self._db.execute("INSERT INTO meta VALUES ('generation', 1)")
                    self._db.execute("INSERT INTO meta VALUES ('wrapping', ?)", (self._wrapping.newest,))
                    self._db.execute(f"PRAGMA user_version = {LAYOUT}")
                elif layout != LAYOUT:
                    raise KeyStoreError(f"{self.path.name}: layout {layout}, this version reads layout {LAYOUT}")
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                self._db.close()
                raise
            self._wrapping_in_use()

    def _wrapping_in_use(self) -> bytes:
        """The id of the key to wrap with; another process may have rotated it, then the file has the new one."""
        in_use = bytes(self._meta("wrapping"))
        if in_use not in self._wrapping:
            self._wrapping = self._wrapping.reread()
        if in_use not in self._wrapping:
            raise KeyStoreError(
                f"{self.path.name} was wrapped by key {in_use.hex()}, which is neither in {WRAPPING_KEY_VARIABLE} "
                f"nor in the file beside the store"
            )
        return in_use

    def _unwrap(self, wrapped: bytes, purpose: str) -> bytes:
        if wrapped[:_ID_BYTES] not in self._wrapping:
            self._wrapping = self._wrapping.reread()
        return self._wrapping.unwrap(wrapped, purpose)

    def _read_payer(self, payer: str) -> dict[str, bytes]:
        rows = self._db.execute("SELECT purpose, wrapped FROM payer_key WHERE payer = ?", (payer,)).fetchall()
        return {purpose: self._unwrap(wrapped, f"{payer}|{purpose}") for purpose, wrapped in rows}

    def _find(self, payer: str, digests: Sequence[bytes]) -> dict[bytes, Subject]:
        found: dict[bytes, Subject] = {}
        for start in range(0, len(digests), _LOOKUP):
            part = digests[start : start + _LOOKUP]
            rows = self._db.execute(
                "SELECT identifier, token, wrapped FROM alias JOIN subject_key USING (payer, token) "  # noqa: S608
                f"WHERE payer = ? AND identifier IN ({','.join('?' * len(part))})",
                (payer, *part),
            ).fetchall()
            for digest, token, wrapped in rows:
                key = None if wrapped is None else self._unwrap(wrapped, f"{payer}|{token}")
                found[digest] = Subject(token, key)
        return found

    def _make(self, payer: str, digests: Sequence[bytes], wrap_with: bytes) -> None:
        """Members for identifiers that have none. A tombstone that is there already stays."""
        tokens = [member_token(digest) for digest in digests]
        self._db.executemany(
            "INSERT OR IGNORE INTO alias VALUES (?, ?, ?)",
            [(payer, digest, token) for digest, token in zip(digests, tokens, strict=True)],
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO subject_key VALUES (?, ?, ?)",
            [
                (payer, token, self._wrapping.wrap(wrap_with, os.urandom(KEY_BYTES), f"{payer}|{token}"))
                for token in tokens
            ],
        )

    @contextmanager
    def _writing(self) -> Iterator[bytes]:
        """A write transaction; yields the id of the key to wrap with."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._wrapping_in_use()
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def _next_generation(self) -> None:
        self._db.execute("UPDATE meta SET value = value + 1 WHERE name = 'generation'")

    def _meta(self, name: str) -> bytes:
        row = self._one("SELECT value FROM meta WHERE name = ?", name)
        assert row is not None, f"the store has no {name}"
        value: bytes = row[0]
        return value

    def _one(self, sql: str, *values: str) -> tuple[bytes] | None:
        row: tuple[bytes] | None = self._db.execute(sql, values).fetchone()
        return row


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
