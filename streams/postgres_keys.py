"""The key store on a PostgreSQL database of its own, for workers on several machines (seam 20).

It is not the database of the projections: that one may be dropped and computed again, and restoring its backup must
bring no destroyed key back. Tables stand in a schema of their own. A call returns when the server has committed.

What was destroyed stays in dead rows until they are vacuumed, in the server's write-ahead log and in its backups, but
wrapped: rotating the wrapping key after an erasure, and dropping the old one, makes all such copies worthless.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from projections.migrate import MigrationRefused, migrate, steps
from streams.keys import TABLES, KeyStoreAway, KeyStoreError, WrappedKeyStore, WrappingKeys, make_tables, new_backup
from streams.kms import Kms

SCHEMA = "carepact_keys"
MIGRATIONS = Path(__file__).with_name("key_migrations")
CONNECT_SECONDS = 3  # with the next one, shorter than a Kafka session: who waits here sends no heartbeat
COMMAND_SECONDS = 5
BULK_SECONDS = 3_600  # a rotation, a backup: no door waits for them

_LOST = (
    *(OSError, TimeoutError),
    *(asyncpg.PostgresConnectionError, asyncpg.InterfaceError),
    asyncpg.InternalClientError,  # what a connection says that the server has ended meanwhile
)
_MAY_PASS = ("08", "53", "55", "57")  # classes of SQLSTATE: connection, resources, not in that state, intervention

T = TypeVar("T")


class PostgresKeyStore(WrappedKeyStore):
    """A key store in PostgreSQL. One connection, which is made again when it is lost."""

    _GENERATION = "SELECT number FROM generation"
    _NEXT_GENERATION = "UPDATE generation SET number = number + 1"

    def __init__(self, dsn: str, wrapping_file: Path, kms: Kms | None = None) -> None:
        """Open the store, made and migrated as far as it is missing.

        The wrapping key comes by `CAREPACT_WRAPPING_KEY`, or lies in the file, which is made for a new store only.
        """
        self._dsn = dsn
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="keys", daemon=True)
        self._thread.start()
        self._connection: Any = None
        try:
            self._migrate()
            there = self._rows("SELECT value FROM meta WHERE name = 'wrapping'")
            super().__init__("the key store", WrappingKeys.found(wrapping_file, make=not there, kms=kms))
            if not there:
                self._run("INSERT INTO meta VALUES ('wrapping', $1) ON CONFLICT DO NOTHING", self._wrapping.newest)
            self._wrapping_in_use()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """See `WrappedKeyStore.close`."""
        if self._loop.is_closed():
            return
        self._drop_connection()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def backup(self, target: Path) -> None:
        """See `WrappedKeyStore.backup`."""
        copy = new_backup(target)
        try:
            with self._lock, self._reading():
                make_tables(copy, self.generation(), self._wrapping_in_use())
                for table in TABLES:
                    rows = self._rows(f"SELECT * FROM {table}")  # noqa: S608 - names of our own tables
                    if rows:
                        places = ", ".join("?" * len(rows[0]))
                        copy.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608
            copy.commit()
        finally:
            copy.close()

    def _forget_bytes(self) -> None:
        """Dead rows wait for the server's own vacuum; see above."""

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._statement("fetch", sql, *values)]

    def _run(self, sql: str, *values: Any) -> None:
        self._statement("execute", sql, *values)

    def _run_many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self._statement("executemany", sql, list(rows), timeout=BULK_SECONDS)

    @contextmanager
    def _writing(self) -> Iterator[bytes]:
        with self._transaction("BEGIN"):
            self._rows("SELECT 1 FROM meta WHERE name = 'wrapping' FOR UPDATE")  # one writer at a time
            yield self._wrapping_in_use()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"):
            yield

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._run(begin)
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            with suppress(KeyStoreError):
                self._run("ROLLBACK")
            raise

    def _statement(self, method: str, sql: str, *values: Any, timeout: float = COMMAND_SECONDS) -> Any:
        """Run a statement. One that finds the connection lost gets a new one, but not in the midst of a transaction."""
        for attempt in range(2):
            fresh = self._connection is None
            in_transaction = not fresh and self._connection.is_in_transaction()
            try:
                if fresh:
                    self._connection = self._call(_connect(self._dsn), 2 * CONNECT_SECONDS)
                run = getattr(self._connection, method)
                return self._call(run(sql, *values, timeout=timeout), timeout + 1)
            except _LOST as error:
                self._drop_connection()
                if fresh or in_transaction or attempt or sql == "ROLLBACK":
                    raise KeyStoreAway(f"the key store does not answer ({type(error).__name__})") from None
            except asyncpg.PostgresError as error:
                if (error.sqlstate or "").startswith(_MAY_PASS):
                    self._drop_connection()
                    raise KeyStoreAway(f"the key store does not answer ({type(error).__name__})") from None
                raise KeyStoreError(f"the key store refuses ({type(error).__name__})") from None
        raise AssertionError("the second attempt returns or raises")

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._call(_terminate(connection), CONNECT_SECONDS)

    def _migrate(self) -> None:
        """Run the steps that are missing; a role that may use the tables and make none then needs no more."""
        known = [step.name for step in steps(MIGRATIONS)]
        try:
            if known == [row[0] for row in self._rows("SELECT name FROM migration ORDER BY name")]:
                return
        except KeyStoreAway:
            raise
        except KeyStoreError:
            pass  # there is no such table yet, or we may not see it: then the next says so
        try:
            self._call(migrate(self._dsn, schema=SCHEMA, folder=MIGRATIONS), BULK_SECONDS)
        except MigrationRefused as refused:
            raise KeyStoreError(f"the key store: {refused}") from None
        except _LOST as error:
            raise KeyStoreAway(f"the key store does not answer ({type(error).__name__})") from None
        except asyncpg.PostgresError as error:
            raise KeyStoreError(f"the key store's tables cannot be made ({type(error).__name__})") from None

    def _call(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Have the store's own thread do it: who calls may be in an event loop already."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)


async def _connect(dsn: str) -> Any:
    connection = await asyncpg.connect(
        dsn, timeout=CONNECT_SECONDS, command_timeout=COMMAND_SECONDS, server_settings={"search_path": SCHEMA}
    )
    if await connection.fetchval("SHOW synchronous_commit") == "off":
        await connection.execute("SET synchronous_commit = on")  # a key must outlive what it sealed
    return connection


async def _terminate(connection: Any) -> None:
    connection.terminate()
