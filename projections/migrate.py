"""Brings a database to this build's schema, forward only, one step after another.

Each step is recorded with the checksum of its file. A step that was changed after it ran, or one this build does not
know, is refused by name: the database is then older or newer than this program in a way nobody should guess about.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

FOLDER = Path(__file__).with_name("migrations")
ONE_AT_A_TIME = 0x63617265  # "care": the advisory lock of whoever migrates


class MigrationRefused(Exception):
    """The database and this build disagree on a step; the message names it."""


@dataclass(frozen=True)
class Step:
    """One file of migrations/, by its name without the ending."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def steps(folder: Path = FOLDER) -> list[Step]:
    """All steps of this build, in order."""
    return [Step(file.stem, file.read_text(encoding="utf-8")) for file in sorted(folder.glob("[0-9]*_*.sql"))]


async def migrate(dsn: str, *, partitions: int = 0, schema: str | None = None, folder: Path = FOLDER) -> list[str]:
    """Run the steps that are missing; answers their names. Two callers at once wait for each other.

    `partitions` makes the fact table's sub-partitions for that many log partitions. `schema` is made if need be and
    migrated in place of the default one.
    """
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", ONE_AT_A_TIME)
        if schema:
            await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"; SET search_path = "{schema}"')
        ran = [step.name for step in await _missing(connection, steps(folder)) if await _run(connection, step)]
        if partitions:
            await make_partitions(connection, partitions)
        return ran
    finally:
        await connection.close()


async def make_partitions(connection: Any, count: int) -> int:
    """Make the fact table's missing sub-partitions for log partitions 0 to count - 1; answers how many."""
    made: int = await connection.fetchval("SELECT make_fact_partitions($1)", count)
    return made


async def _missing(connection: Any, known: list[Step]) -> list[Step]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS migration ("
        "name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    applied = {row["name"]: row["checksum"] for row in await connection.fetch("SELECT name, checksum FROM migration")}
    for name in sorted(applied.keys() - {step.name for step in known}):
        raise MigrationRefused(f"the database has migration {name}, which this build does not know; use a newer build")
    for step in known:
        if applied.get(step.name, step.checksum) != step.checksum:
            raise MigrationRefused(f"migration {step.name} is not the one this database ran; restore its file")
    missing = [step for step in known if step.name not in applied]
    if missing and applied and missing[0].name < max(applied):
        raise MigrationRefused(
            f"migration {missing[0].name} stands before {max(applied)}, which has run; number it later"
        )
    return missing


async def _run(connection: Any, step: Step) -> bool:
    async with connection.transaction():
        await connection.execute(step.sql)
        await connection.execute("INSERT INTO migration (name, checksum) VALUES ($1, $2)", step.name, step.checksum)
    return True
