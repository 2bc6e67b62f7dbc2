"""The database's roles, their rights and limits, and the schema, made as far as they are missing."""

from __future__ import annotations

import asyncpg

from carepact.local.errors import Refused
from carepact.local.postgres import AGENT, DATABASE, OWNER, READER
from projections.credentials import in_force
from projections.migrate import MigrationRefused, migrate
from projections.tenancy import PREFIX, secure
from projections.tenancy import ROLES as TENANTS
from streams.topics import granted

LIMITS = {"statement_timeout": "10s", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "5s"}

RIGHTS = {
    AGENT: {"TABLES": "SELECT, INSERT, UPDATE, DELETE", "SEQUENCES": "USAGE, SELECT, UPDATE", "SCHEMAS": "USAGE"},
    READER: {"TABLES": "SELECT", "SCHEMAS": "USAGE"},
}


async def ensure_roles(super_dsn: str, passwords: dict[str, str]) -> None:
    """Roles and the database. `super_dsn` is a role that may create both.

    The owner makes tables; an agent reads and writes rows, and is cut off where it hangs, so that a stuck worker
    holds no lock for long; a reader reads. Tenants' roles sign in nowhere: a reader takes one for a transaction
    (`projections/tenancy.py`). The platform's own roles pass row-level security by.
    """
    connection = await asyncpg.connect(super_dsn)
    try:
        there = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        for role, powers in ((OWNER, "CREATEDB"), (AGENT, ""), (READER, "")):
            if role not in there:
                literal = await connection.fetchval("SELECT quote_literal($1::text)", passwords[role])
                await connection.execute(f"CREATE ROLE {role} LOGIN {powers} PASSWORD {literal}")
        for role in (PREFIX + tenant for tenant in TENANTS):
            if role not in there:
                await connection.execute(f"CREATE ROLE {role} NOLOGIN")
            await connection.execute(f"GRANT {role} TO {READER} WITH INHERIT FALSE, SET TRUE")
        for role in (OWNER, AGENT, READER):
            await connection.execute(f"ALTER ROLE {role} BYPASSRLS")
        for name, limit in LIMITS.items():
            await connection.execute(f"ALTER ROLE {AGENT} SET {name} = '{limit}'")
        await connection.execute(f"ALTER ROLE {READER} SET default_transaction_read_only = on")
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
    finally:
        await connection.close()


async def ensure_schema(owner_dsn: str, partitions: int) -> None:
    """Rights of the other roles on what the owner makes in this database, the migrations, then who sees which rows."""
    connection = await asyncpg.connect(owner_dsn)
    try:
        there = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        for role, rights in RIGHTS.items():
            if role in there:  # a remote database may have roles of its own choosing
                for what, granted in rights.items():
                    await connection.execute(f"ALTER DEFAULT PRIVILEGES GRANT {granted} ON {what} TO {role}")
    finally:
        await connection.close()
    try:
        await migrate(owner_dsn, partitions=partitions)
    except MigrationRefused as error:
        raise Refused(f"the database's schema: {error}") from error
    connection = await asyncpg.connect(owner_dsn)
    try:
        await secure(connection)
    finally:
        await connection.close()


async def kafka_grants(dsn: str) -> dict[str, tuple[tuple[str, str], ...]]:
    """What each key in force may do on Kafka, by its id, as its role may now; none of those that may do nothing."""
    connection = await asyncpg.connect(dsn)
    try:
        keys = await in_force(connection)
    finally:
        await connection.close()
    found = {key["credential_id"]: granted(key["role"], key["payer"], key["plan"]) for key in keys}
    return {name: topics for name, topics in found.items() if topics}


async def create_database(owner_dsn: str, name: str) -> None:
    """Make one more empty database, owned as the first is."""
    connection = await asyncpg.connect(owner_dsn)
    try:
        await connection.execute(f'CREATE DATABASE "{name}" OWNER {OWNER}')
    finally:
        await connection.close()


async def drop_database(owner_dsn: str, name: str) -> None:
    """Remove a database and end the sessions in it."""
    connection = await asyncpg.connect(owner_dsn)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await connection.close()
