"""Records put in in any order and given back together by key, in bounded memory.

A private SQLite database without a name: it stays in memory while it is small, and what does not fit goes into a file
that has no name in any folder and ends with the process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

_CACHE_KIB = 65_536
_CHUNK = 2_000


class Kept(NamedTuple):
    """A record as sent, with its kind, the file it stood in and its 1-based line."""

    key: str
    kind: str
    file: str
    line: int
    raw: bytes


class Spill:
    """Records of one submission, to be grouped. Within a group they stand by kind, then as they came."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._waiting: list[Kept] = []

    def put(self, kept: Kept) -> None:
        """Keep a record."""
        self._waiting.append(kept)
        if len(self._waiting) == _CHUNK:
            self._flush()

    def groups(self) -> Iterator[list[Kept]]:
        """All records with one key at a time, keys in the order of their characters."""
        self._flush()
        found = self._database.execute("SELECT key, kind, file, line, raw FROM kept ORDER BY key, kind, rowid")
        for _, group in groupby(found, key=itemgetter(0)):
            yield [Kept(*row) for row in group]

    def _flush(self) -> None:
        self._database.executemany("INSERT INTO kept VALUES (?, ?, ?, ?, ?)", self._waiting)
        self._waiting.clear()


@contextmanager
def spill() -> Iterator[Spill]:
    """A place for the records of one submission, gone when it is left."""
    with closing(sqlite3.connect("", isolation_level=None)) as database:
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("CREATE TABLE kept (key TEXT, kind TEXT, file TEXT, line INTEGER, raw BLOB)")
        database.execute("BEGIN")
        yield Spill(database)
