"""Keys of single things in the key store: one for each rejected record, so that it can be erased without the others.

Destroyed, a key leaves a tombstone, as a member's does: under that name nothing is sealed again. Beside them stand
words that must not be kept any more, as keyed digests: the identifiers of people who were erased.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from streams.key_errors import KeyDestroyed
from streams.wrapping import KEY_BYTES

REJECT = "reject"

TABLES = """
CREATE TABLE own_key (
    payer    TEXT NOT NULL,
    kind     TEXT NOT NULL,               -- of what: reject
    name     TEXT NOT NULL,
    wrapped  BLOB,                        -- null: destroyed
    PRIMARY KEY (payer, kind, name)
) WITHOUT ROWID;
CREATE TABLE suppressed (                 -- words of people who were erased
    payer  TEXT NOT NULL,
    word   BLOB NOT NULL,                 -- its length, and a keyed digest; never the word
    PRIMARY KEY (payer, word)
) WITHOUT ROWID;
"""
_LOOKUP = 500


class OwnKeys(Protocol):
    """What seals and erases single things needs."""

    def own_keys(self, payer: str, kind: str, names: Sequence[str]) -> dict[str, bytes | None]:
        """The key of each, made where there is none yet and on disk when this returns; None where it was destroyed."""

    def own_key(self, payer: str, kind: str, name: str) -> bytes:
        """The key of one that was made before; `KeyDestroyed` when there is none any more."""

    def destroy_own(self, payer: str, kind: str, names: Sequence[str]) -> None:
        """Destroy keys, also of names not known yet. Doing it again does nothing."""

    def suppress(self, payer: str, words: Iterable[bytes]) -> None:
        """What holds one of these words is not to be kept from now on."""

    def suppressed(self, payer: str) -> frozenset[bytes]:
        """All such words of a payer."""


class OwnKeyTable(ABC):
    """`OwnKeys` on the tables of a key store."""

    @abstractmethod
    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]: ...

    @abstractmethod
    def _run_many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None: ...

    @abstractmethod
    def _writing(self) -> AbstractContextManager[bytes]: ...

    @abstractmethod
    def _alone(self) -> AbstractContextManager[Any]: ...

    @abstractmethod
    def _wrap(self, wrap_with: bytes, key: bytes, purpose: str) -> bytes: ...

    @abstractmethod
    def _unwrap(self, wrapped: bytes, purpose: str) -> bytes: ...

    @abstractmethod
    def _forget_bytes(self) -> None: ...

    @abstractmethod
    def _moved(self) -> None:
        """What was looked up before may no longer hold."""

    def own_keys(self, payer: str, kind: str, names: Sequence[str]) -> dict[str, bytes | None]:
        """See `OwnKeys.own_keys`."""
        wanted = list(dict.fromkeys(names))
        with self._alone():
            found = self._own(payer, kind, wanted)
            if missing := [name for name in wanted if name not in found]:
                with self._writing() as wrap_with:
                    made = [
                        (payer, kind, name, self._wrap(wrap_with, os.urandom(KEY_BYTES), f"{payer}|{kind}|{name}"))
                        for name in missing
                    ]
                    self._run_many("INSERT INTO own_key VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING", made)
                found |= self._own(payer, kind, missing)
            return found

    def own_key(self, payer: str, kind: str, name: str) -> bytes:
        """See `OwnKeys.own_key`."""
        with self._alone():
            key = self._own(payer, kind, [name]).get(name)
        if key is None:
            raise KeyDestroyed(payer, name, kind)
        return key

    def destroy_own(self, payer: str, kind: str, names: Sequence[str]) -> None:
        """See `OwnKeys.destroy_own`."""
        with self._alone():
            with self._writing():
                self._run_many(
                    "INSERT INTO own_key VALUES ($1, $2, $3, NULL) "
                    "ON CONFLICT (payer, kind, name) DO UPDATE SET wrapped = NULL",
                    [(payer, kind, name) for name in names],
                )
            self._forget_bytes()

    def suppress(self, payer: str, words: Iterable[bytes]) -> None:
        """See `OwnKeys.suppress`."""
        with self._alone(), self._writing():
            rows = [(payer, word) for word in words]
            self._run_many("INSERT INTO suppressed VALUES ($1, $2) ON CONFLICT DO NOTHING", rows)
            self._moved()

    def suppressed(self, payer: str) -> frozenset[bytes]:
        """See `OwnKeys.suppressed`."""
        with self._alone():
            return frozenset(bytes(row[0]) for row in self._rows("SELECT word FROM suppressed WHERE payer = $1", payer))

    def _own(self, payer: str, kind: str, names: Sequence[str]) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for start in range(0, len(names), _LOOKUP):
            part = names[start : start + _LOOKUP]
            places = ", ".join(f"${n + 3}" for n in range(len(part)))
            sql = f"SELECT name, wrapped FROM own_key WHERE payer = $1 AND kind = $2 AND name IN ({places})"  # noqa: S608
            for name, wrapped in self._rows(sql, payer, kind, *part):
                found[name] = None if wrapped is None else self._unwrap(wrapped, f"{payer}|{kind}|{name}")
        return found
