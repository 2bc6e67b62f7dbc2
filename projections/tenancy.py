"""Who may read which rows: one role for each kind of reader, row-level security on every table of a tenant.

A reader's transaction takes a role that owns nothing and names its tenant in settings that end with the transaction
(`seen_by`). A table that a role has no policy for shows it nothing, and it has no right to it either. The platform's
own roles pass the policies by (BYPASSRLS): owner and agent, for the hot path pays nothing and COPY needs it, and the
operator's reader, which sees all; a reader that took a tenant's role passes nothing by. Policies are made by `secure`,
after the migrations, and only again when this page changed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["payer", "employer", "practice", "auditor", "break_glass"]
ROLES: tuple[Role, ...] = ("payer", "employer", "practice", "auditor", "break_glass")
PREFIX = "carepact_"
STAFF, AGENT = PREFIX + "reader", PREFIX + "agent"


def _is(setting: str) -> str:
    """The transaction's setting, asked once a query; null where it was never set."""
    return f"(SELECT current_setting('carepact.{setting}', true))"


OF_PAYER = f"payer = {_is('payer')} AND payer <> ''"
OF_PLAN = f"{OF_PAYER} AND plan = {_is('plan')}"
OF_PLANS = f"{OF_PAYER} AND (plan = {_is('plan')} OR {_is('plan')} = '')"
"""A plan's, or of who administers all plans of a payer. Of most payers every plan is '', which is one comparison."""
OF_WHOLE_PAYER = f"{OF_PAYER} AND {_is('plan')} = ''"
OF_EMPLOYER = f"{OF_PLAN} AND plan <> ''"
OF_PRACTICE = f"{OF_PAYER} AND practice = {_is('practice')} AND practice <> ''"
WITH_REASON = f"{OF_PAYER} AND {_is('reason')} <> ''"

FOR_AUDITORS = (
    "operation", "file_run", "reject", "request", "settlement", "settlement_payment",
    "settlement_ledger_line", "payment", "ledger_line", "remittance", "employer_release", "employer_outcome",
)  # fmt: skip
_HOOKS = ("webhook_endpoint", "webhook_delivery", "webhook_attempt")
OWN_HOOKS: dict[Role, dict[str, str]] = {
    "payer": dict.fromkeys(_HOOKS, f"{OF_PLAN} AND role = 'payer'"),
    "employer": dict.fromkeys(_HOOKS, f"{OF_EMPLOYER} AND role = 'employer'"),
    "practice": dict.fromkeys(_HOOKS, f"{OF_PRACTICE} AND role = 'practice'"),
}
"""Where a subscriber has its feed sent, which it writes too; of each role that has a feed."""

SEES: dict[Role, dict[str, str]] = {
    "payer": {
        **dict.fromkeys(("fact", "episode", "payment", "reject", "settlement", "settlement_payment"), OF_PLANS),
        "file_run": OF_PLANS,
        "remittance": OF_PLANS,
        **dict.fromkeys(("episode_spend", "ledger_line", "request", "settlement_ledger_line"), OF_WHOLE_PAYER),
        **OWN_HOOKS["payer"],
    },
    "employer": dict.fromkeys(("employer_release", "employer_outcome", "individual_outcome"), OF_EMPLOYER)
    | OWN_HOOKS["employer"],
    "practice": dict.fromkeys(("payment", "settlement", "settlement_payment"), OF_PRACTICE) | OWN_HOOKS["practice"],
    "auditor": dict.fromkeys(FOR_AUDITORS, OF_PAYER),
    "break_glass": dict.fromkeys(
        (
            "fact",
            "episode",
            "return_to_work",
            "episode_spend",
            "payment",
            "ledger_line",
            "remittance",
            "reject",
            "operation",
        ),
        WITH_REASON,
    ),
}
"""Of each role, the tables it may read, and which of their rows."""

PLATFORM_ONLY = ("consumer_offset", "log_batch", "relay_lease", "migration")
"""Tables of no tenant: positions and leases."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who reads. A plan's administrator is a payer with a plan; breaking the glass needs a reason, stated before."""

    role: Role
    payer: str = ""
    plan: str = ""
    practice: str = ""
    reason: str = ""


@contextlib.asynccontextmanager
async def seen_by(connection: Any, tenant: Tenant) -> AsyncIterator[Any]:
    """A read-only transaction in which the connection sees what the tenant may see, and no more."""
    async with _as(connection, tenant, readonly=True):
        yield connection


@contextlib.asynccontextmanager
async def written_by(connection: Any, tenant: Tenant) -> AsyncIterator[Any]:
    """A transaction in which the connection may write what the tenant may write."""
    async with _as(connection, tenant, readonly=False):
        yield connection


@contextlib.asynccontextmanager
async def _as(connection: Any, tenant: Tenant, *, readonly: bool) -> AsyncIterator[None]:
    if tenant.role == "break_glass" and not tenant.reason.strip():
        raise ValueError("breaking the glass needs a reason")
    async with connection.transaction(readonly=readonly):
        await connection.execute(
            """
            SELECT set_config('carepact.payer', $1, true), set_config('carepact.plan', $2, true),
                   set_config('carepact.practice', $3, true), set_config('carepact.reason', $4, true)
            """,
            tenant.payer,
            tenant.plan,
            tenant.practice,
            tenant.reason,
        )
        await connection.execute(f"SET LOCAL ROLE {PREFIX}{tenant.role}")
        yield


async def tenant_tables(connection: Any, parts: bool = False) -> list[str]:
    """Every table with rows of a tenant, or the parts of those that are partitioned."""
    rows = await connection.fetch(
        """
        SELECT c.relname FROM pg_class c
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
           AND c.relispartition = $2 AND c.relname <> ALL($1::text[])
         ORDER BY c.relname
        """,
        list(PLATFORM_ONLY),
        parts,
    )
    return [row["relname"] for row in rows]


async def secure(connection: Any, *, again: bool = False) -> bool:
    """Make the policies of this page as the tables' owner; answers whether there was anything to do.

    `again` makes them whatever was made before, as for tables that took the place of others.

    A server with roles of its own choosing is left as it is. Security is forced on the owner too where the owner may
    pass it by.
    """
    there = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
    if not {STAFF, AGENT, *(PREFIX + role for role in ROLES)} <= there:
        return False
    forced = await connection.fetchval("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
    schema = await connection.fetchval("SELECT current_schema()")
    tables, parts = await tenant_tables(connection), await tenant_tables(connection, parts=True)
    words = list(_words(tables, parts, schema, bool(forced)))
    digest = hashlib.sha256("\n".join(words).encode()).hexdigest()
    made = await connection.fetchval("SELECT obj_description('employer_release'::regclass)")
    if made == digest and not again:
        return False
    async with connection.transaction():
        old = await connection.fetch(
            "SELECT policyname, tablename FROM pg_policies WHERE schemaname = current_schema()"
        )
        for row in old:
            await connection.execute(f'DROP POLICY "{row["policyname"]}" ON "{row["tablename"]}"')
        for word in words:
            await connection.execute(word)
        await connection.execute(f"COMMENT ON TABLE employer_release IS '{digest}'")
    return True


def _words(tables: Sequence[str], parts: Sequence[str], schema: str, forced: bool) -> Iterator[str]:
    for table in (*tables, *parts):
        yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
        yield f"ALTER TABLE {table} {'FORCE' if forced else 'NO FORCE'} ROW LEVEL SECURITY"
    for role, sees in SEES.items():
        name = PREFIX + role
        yield f'GRANT USAGE ON SCHEMA "{schema}" TO {name}'
        for table, rows in sees.items():
            yield f"GRANT SELECT ON {table} TO {name}"
            yield f"CREATE POLICY {role}_reads ON {table} FOR SELECT TO {name} USING ({rows})"
        for table, rows in OWN_HOOKS.get(role, {}).items():
            yield f"GRANT INSERT, UPDATE, DELETE ON {table} TO {name}"
            yield f"CREATE POLICY {role}_adds ON {table} FOR INSERT TO {name} WITH CHECK ({rows})"
            yield f"CREATE POLICY {role}_changes ON {table} FOR UPDATE TO {name} USING ({rows}) WITH CHECK ({rows})"
            yield f"CREATE POLICY {role}_deletes ON {table} FOR DELETE TO {name} USING ({rows})"
    if "idempotency" in tables:
        yield f"GRANT INSERT, UPDATE, DELETE ON idempotency TO {STAFF}"  # the gateway is a reader but for this
    makes = "FUNCTION make_fact_partitions(int)"  # it runs with the owner's rights
    yield f"REVOKE EXECUTE ON {makes} FROM PUBLIC"
    yield f"GRANT EXECUTE ON {makes} TO {AGENT}"
    yield f'ALTER {makes} SET search_path = "{schema}", pg_temp'
