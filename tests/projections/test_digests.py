"""Rows are summed by PostgreSQL as they are by Python, whatever they hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import cycle
from typing import Any
from uuid import UUID

import asyncpg

from projections.digests import COMPARED, TABLES, Sums, live_rows, live_sums

PAYER, PARTITION, LOG = "medicare", 3, "carepact.medicare.events.v1"
VALUES: dict[str, tuple[Any, ...]] = {
    "text": ("", "None", 'O\'Brien | naïve \N{SNOWMAN} \\ "x"\n'),
    "uuid": (UUID("0190b3c2-1111-5222-8333-44445555666f"), UUID(int=0)),
    "integer": (0, -2_147_483_648, 7),
    "bigint": (0, 1_795_615_000_123, 255, 256),
    "smallint": (0, -1),
    "boolean": (True, False),
    "date": (date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31)),
    "timestamp with time zone": (
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 1, 0, 0, 0, 1_000, tzinfo=UTC),
        datetime(1970, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC),
    ),
    "bytea": (b"", b"\0\xff\n", b"x" * 5_000),
    "ARRAY": ([], [1], [0, 1_795_615_000_123, 9]),
}


async def test_postgresql_sums_rows_as_python_does(fresh_database: str) -> None:
    connection = await asyncpg.connect(fresh_database)
    try:
        await connection.execute("CREATE SCHEMA plain")
        for table in COMPARED:
            columns = ", ".join(table.columns)
            await connection.execute(f"CREATE TABLE plain.{table.table} AS SELECT {columns} FROM {table.table} LIMIT 0")
            rows = list(await _rows(connection, table.table, table.columns))
            await connection.copy_records_to_table(
                table.table, schema_name="plain", records=rows, columns=table.columns
            )
        await connection.execute("SET search_path = plain")
        async with connection.transaction():
            summed, found = await live_sums(connection, PAYER, PARTITION, LOG), Sums()
            for table in COMPARED:
                async for some in live_rows(connection, table, PAYER, PARTITION, LOG):
                    found.add(table, some)
        assert {name: summed.rows[name] for name in TABLES} == dict.fromkeys(TABLES, 24)
        assert {name: summed.sums[name] for name in TABLES} == {name: found.sums[name] for name in TABLES}
        assert summed.differing(found) == {}
    finally:
        await connection.close()


async def _rows(connection: Any, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """Some rows of one log partition, each value in turn, nothing where a column allows it."""
    told = await connection.fetch(
        """
        SELECT column_name, data_type, is_nullable FROM information_schema.columns
         WHERE table_schema = current_schema() AND table_name = $1 AND column_name = ANY($2::text[])
        """,
        table,
        columns,
    )
    kinds = {row[0]: (*VALUES[row[1]], *((None,) if row[2] == "YES" else ())) for row in told}
    fixed = {"payer": PAYER, "partition": PARTITION, "topic": LOG}
    turns = [cycle((fixed[name],) if name in fixed else kinds[name]) for name in columns]
    return (tuple(next(turn) for turn in turns) for _ in range(24))
