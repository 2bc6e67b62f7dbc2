"""Migrations: forward only, once each, and refused by name where database and build disagree."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from projections.migrate import FOLDER, MigrationRefused, migrate, steps

SHAPE = """
SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name
FROM information_schema.columns WHERE table_schema = $1 ORDER BY 1, 2
"""
INDEXES = "SELECT replace(indexdef, $1 || '.', '') FROM pg_indexes WHERE schemaname = $1 ORDER BY 1"


async def test_each_step_runs_once(empty_database: str) -> None:
    assert [step.name for step in steps()] == await migrate(empty_database)
    assert [] == await migrate(empty_database)


async def test_schema_page_is_what_the_steps_lead_to(empty_database: str) -> None:
    await migrate(empty_database, schema="stepped")
    connection = await asyncpg.connect(empty_database)
    try:
        await connection.execute("CREATE SCHEMA paged; SET search_path = paged")
        await connection.execute((FOLDER.parent / "schema.sql").read_text())
        await connection.execute("DROP TABLE stepped.migration")
        for question in (SHAPE, INDEXES):
            paged = [
                tuple(str(cell).replace("paged.", "") for cell in row)
                for row in await connection.fetch(question, "paged")
            ]
            stepped = [
                tuple(str(cell).replace("stepped.", "") for cell in row)
                for row in await connection.fetch(question, "stepped")
            ]
            assert paged == stepped
    finally:
        await connection.close()


async def test_a_changed_step_is_refused_by_name(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (id int)")
    await migrate(empty_database, folder=tmp_path)
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (id bigint)")
    with pytest.raises(MigrationRefused, match="0001_one"):
        await migrate(empty_database, folder=tmp_path)


async def test_a_newer_database_is_refused_by_name(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (id int)")
    (tmp_path / "0002_two.sql").write_text("CREATE TABLE two (id int)")
    await migrate(empty_database, folder=tmp_path)
    (tmp_path / "0002_two.sql").unlink()
    with pytest.raises(MigrationRefused, match="0002_two"):
        await migrate(empty_database, folder=tmp_path)


async def test_a_failing_step_leaves_nothing(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (id int); SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_database, folder=tmp_path)
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (id int)")
    assert ["0001_one"] == await migrate(empty_database, folder=tmp_path)


async def test_sub_partitions_are_made_up_to_the_declared_count(empty_database: str) -> None:
    await migrate(empty_database, partitions=2)
    await migrate(empty_database, partitions=4)
    connection = await asyncpg.connect(empty_database)
    try:
        made = await connection.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'fact'::regclass")
        assert made == 4
    finally:
        await connection.close()
