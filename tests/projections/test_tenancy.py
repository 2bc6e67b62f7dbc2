"""Each reader sees rows of its own and no others, by whatever query; a role without a policy has no right at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from carepact.local.postgres import READER
from projections.tenancy import OWN_HOOKS, SEES, Role, Tenant, secure, seen_by, tenant_tables, written_by

pytestmark = pytest.mark.platform
PGRLS = Path(__file__).with_name("pgrls.toml")
PAYERS = (("medicare", ""), ("bcbs-sc", ""), ("employers", "acme"), ("employers", "zenith"))
PRACTICES = ("P1", "P2")


@pytest_asyncio.fixture
async def reader(platform: LocalPlatform, space: str, fresh_database: str) -> AsyncIterator[Any]:
    """A reader's connection to a database that has a row in every tenant table for every payer, plan and practice."""
    owner = await asyncpg.connect(fresh_database)
    for table in await tenant_tables(owner):
        for payer, plan in PAYERS:
            for practice in PRACTICES:
                for role in OWN_HOOKS if table in OWN_HOOKS["payer"] else ("payer",):
                    await fill(owner, table, payer, plan, practice, role)
    await owner.close()
    connection = await asyncpg.connect(platform.dsn(READER, space))
    yield connection
    await connection.close()


async def fill(owner: Any, table: str, payer: str, plan: str, practice: str, role: str) -> None:
    """One row of a table, made up from the types of its columns."""
    known: dict[str, Any] = {"payer": payer, "plan": plan, "practice": practice, "role": role}
    known |= {"partition": 0, "status": "answered", "run": "initial"}
    made: dict[str, Any] = {
        "text": uuid4().hex, "uuid": uuid4(), "integer": uuid4().int % 2**31, "bigint": uuid4().int % 2**40,
        "date": date(2026, 1, 1), "timestamp with time zone": datetime(2026, 1, 1, tzinfo=UTC), "boolean": True,
        "bytea": b"x", "jsonb": "{}", "ARRAY": [],
    }  # fmt: skip
    columns = await owner.fetch(
        """
        SELECT column_name, data_type FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name = $1 AND column_default IS NULL
        """,
        table,
    )
    row = {name: known.get(name, made[kind]) for name, kind in map(tuple, columns)}
    row |= {"plan": plan} if any(name == "plan" for name in await _names(owner, table)) else {}
    if table == "reject_resolution":
        row["status"] = "dropped"
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await owner.execute(
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places}) ON CONFLICT DO NOTHING", *row.values()
    )


async def _names(owner: Any, table: str) -> list[str]:
    rows = await owner.fetch("SELECT column_name FROM information_schema.columns WHERE table_name = $1", table)
    return [row[0] for row in rows]


WHO: dict[Role, Tenant] = {
    "payer": Tenant("payer", "medicare"),
    "employer": Tenant("employer", "employers", "acme"),
    "practice": Tenant("practice", "medicare", practice="P1"),
    "auditor": Tenant("auditor", "employers"),
    "break_glass": Tenant("break_glass", "medicare", reason="a subpoena"),
}


async def test_each_role_sees_rows_of_its_own_in_its_tables_and_has_no_right_to_others(reader: Any) -> None:
    for role, tenant in WHO.items():
        for table in await tenant_tables(reader):
            if table not in SEES[role]:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    async with seen_by(reader, tenant):
                        await reader.fetch(f"SELECT 1 FROM {table}")
                continue
            async with seen_by(reader, tenant):
                rows = [dict(row) for row in await reader.fetch(f"SELECT * FROM {table}")]
            assert rows, table
            assert {row["payer"] for row in rows} == {tenant.payer}, table
            if role == "employer":
                assert {row["plan"] for row in rows} == {"acme"}, table
            if role == "practice":
                assert {row["practice"] for row in rows} == {"P1"}, table
            if table in OWN_HOOKS.get(role, {}):
                assert {row["role"] for row in rows} == {role}, table


async def test_who_names_no_tenant_sees_no_row_and_a_tenant_ends_with_its_transaction(reader: Any) -> None:
    nobody = [Tenant("payer"), Tenant("employer"), Tenant("practice"), Tenant("employer", "employers")]
    for tenant in [*nobody, Tenant("practice", "medicare")]:
        async with seen_by(reader, tenant):
            for table in SEES[tenant.role]:
                assert await reader.fetch(f"SELECT 1 FROM {table}") == [], (tenant, table)
    async with seen_by(reader, Tenant("payer", "employers", "acme")):  # a plan's administrator
        assert {row["plan"] for row in await reader.fetch("SELECT plan FROM payment")} == {"acme"}
        assert await reader.fetch("SELECT 1 FROM ledger_line") == []  # it names no plan
    assert not await reader.fetchval("SELECT current_setting('carepact.payer', true)")
    assert await reader.fetchval("SELECT current_user") == READER
    assert await reader.fetchval("SELECT count(DISTINCT payer) FROM payment") == 3
    with pytest.raises(ValueError, match="reason"):
        async with seen_by(reader, Tenant("break_glass", "medicare", reason=" ")):
            pass


async def test_a_subscriber_writes_endpoints_of_its_own_and_nothing_else(reader: Any) -> None:
    await reader.execute("SET default_transaction_read_only = off")
    for role in OWN_HOOKS:
        tenant = WHO[role]
        async with written_by(reader, tenant):
            changed = await reader.fetch("UPDATE webhook_endpoint SET why = 'mine' RETURNING *")
        assert {(row["role"], row["payer"]) for row in changed} == {(role, tenant.payer)}
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with written_by(reader, tenant):
                await reader.execute("UPDATE webhook_endpoint SET payer = 'bcbs-sc'")
        for table in set(SEES[role]) - set(OWN_HOOKS[role]):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with written_by(reader, tenant):
                    await reader.execute(f"DELETE FROM {table}")


async def test_every_table_of_a_tenant_is_secured_and_policies_are_made_once(fresh_database: str) -> None:
    owner = await asyncpg.connect(fresh_database)
    rows = await owner.fetch(
        "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = ANY($1)",
        tables := await tenant_tables(owner),
    )
    assert {row[0]: (row[1], row[2]) for row in rows} == dict.fromkeys(tables, (True, True))
    assert {table for sees in SEES.values() for table in sees} <= set(tables)
    released = {"employer_release", "employer_outcome", "individual_outcome"}  # the last: sealed, for who is named
    assert set(SEES["employer"]) == released | set(OWN_HOOKS["employer"])  # and where they are sent, and nothing else
    assert await secure(owner) is False
    await owner.close()


def test_pgrls_proves_that_no_row_leaks(fresh_database: str) -> None:
    def pgrls(*words: str) -> str:
        command = [sys.executable, "-m", "pgrls", *words, "--config", str(PGRLS), "--database-url", fresh_database]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return done.stdout

    pgrls("lint", "--fail-on", "error")
    assert " 0 leaking, 0 unverified" in pgrls("verify")
