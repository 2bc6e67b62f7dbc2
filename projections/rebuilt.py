"""Projections beside the live ones: a schema of the same tables, what differs between the two, and their exchange.

What a payer's log alone decides is exchanged; other consumers' tables, and what waits to be sent, stay where they are.
After an exchange the schema beside holds what was live, which can be brought up to date and exchanged back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from projections.digests import TABLES
from projections.tenancy import secure

SCHEMA = "carepact_rebuild"
PASSAGE = "carepact_passage"
EXCHANGED = (
    "log_batch", "state_part", "due", "partition_state", "episode", "return_to_work", "episode_spend", "payment",
    "ledger_line", "remittance", "parked_member", "halted_partition",
)  # fmt: skip
"""And `fact` with its partitions."""

ONE_AT_A_TIME = 0x7265_6275  # "rebu": the advisory lock of whoever rebuilds or exchanges
LOCK_SECONDS = 30
UNPLACED = ("state_part", "due", "partition_state", "parked_member")
_NO_OFFSET = frozenset({"log_batch", "reject"})


async def state(connection: Any) -> dict[str, Any] | None:
    """What the schema beside is: `building` or `before`, and the clauses it was folded by; None if there is none."""
    told = await connection.fetchval("SELECT obj_description(to_regnamespace($1)::oid, 'pg_namespace')", SCHEMA)
    there = await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", SCHEMA)
    return (json.loads(told) if told else {"state": "building", "clauses": {}}) if there else None


async def note(connection: Any, said: Mapping[str, Any]) -> None:
    """Say what the schema beside is."""
    literal = await connection.fetchval("SELECT quote_literal($1::text)", json.dumps(said, sort_keys=True))
    await connection.execute(f"COMMENT ON SCHEMA {SCHEMA} IS {literal}")


async def drop(connection: Any) -> None:
    """Give the schema beside up."""
    await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


async def positions(connection: Any, schema: str = "") -> dict[tuple[str, int], int]:
    """How far the contract's consumer has come in a schema, by topic and partition."""
    table = f"{schema}.consumer_offset" if schema else "consumer_offset"
    rows = await connection.fetch(
        f"SELECT topic, partition, next_offset FROM {table} WHERE consumer = 'contract'"  # noqa: S608 - our own names
    )
    return {(row[0], row[1]): row[2] for row in rows}


async def difference(connection: Any) -> dict[str, Any]:
    """Rows that only one of the two has, by table, and payments by what caused them, up to where both have come."""
    tables = []
    for name, table in TABLES.items():
        if name in _NO_OFFSET:
            continue
        columns = ", ".join(_compared(name, column) for column in table.columns)
        counts = []
        for mine, other in (("", SCHEMA), (SCHEMA, "")):
            counts.append(
                await connection.fetchval(
                    f"""
                    WITH {_CUT}
                    SELECT count(*) FROM (
                      SELECT {columns} FROM {_named(mine, name)} t {_UNTIL[name in UNPLACED].format(at=table.offset)}
                      EXCEPT ALL
                      SELECT {columns} FROM {_named(other, name)} t {_UNTIL[name in UNPLACED].format(at=table.offset)}
                    ) d
                    """  # noqa: S608 - names of ours
                )
            )
        if any(counts):
            tables.append({"table": name, "only_live": counts[0], "only_rebuilt": counts[1]})
    rows = await connection.fetch(
        f"""
        WITH {_CUT}, live AS (SELECT t.* FROM payment t {_UNTIL[False].format(at="log_offset")}),
             rebuilt AS (SELECT t.* FROM {SCHEMA}.payment t {_UNTIL[False].format(at="log_offset")})
        SELECT coalesce(l.payer, r.payer) AS payer, coalesce(l.kind, r.kind) AS kind,
               convert_from(coalesce(r.event, l.event), 'UTF8')::jsonb -> 'data' ->> 'cause_kind' AS cause,
               count(l.payment_id) AS live_rows, count(r.payment_id) AS rebuilt_rows,
               coalesce(sum(l.amount_cents), 0)::bigint AS live_cents,
               coalesce(sum(r.amount_cents), 0)::bigint AS rebuilt_cents
          FROM live l FULL JOIN rebuilt r USING (payment_id)
         WHERE l.event IS DISTINCT FROM r.event OR l.amount_cents IS DISTINCT FROM r.amount_cents
         GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """  # noqa: S608 - names of ours
    )
    return {
        "equal": not tables,
        "tables": tables,
        "payments": [dict(row) | {"difference_cents": row["rebuilt_cents"] - row["live_cents"]} for row in rows],
    }


_CUT = f"""
    cut AS (SELECT l.topic, substring(l.topic FROM '^carepact\\.(.+)\\.events\\.v1$') AS cut_payer,
                   l.partition AS cut_partition, least(l.next_offset, r.next_offset) AS cut_offset,
                   l.next_offset = r.next_offset AS level
              FROM consumer_offset l
              JOIN {SCHEMA}.consumer_offset r USING (consumer, topic, partition) WHERE consumer = 'contract')
"""  # noqa: S608 - our own name
_UNTIL = {
    False: "JOIN cut ON cut_payer = t.payer AND cut_partition = t.partition WHERE t.{at} < cut_offset",
    True: "JOIN cut ON cut_payer = t.payer AND cut_partition = t.partition WHERE level",
}


def _named(schema: str, table: str) -> str:
    return f"{schema}.{table}" if schema else table


def _compared(table: str, column: str) -> str:
    if column == "to_offset":
        return "CASE WHEN t.to_offset < cut_offset THEN t.to_offset END AS to_offset"
    return f"t.{column}"


async def exchange(connection: Any, payers: Mapping[str, str]) -> None:
    """Exchange the two, in the caller's transaction, in which no consumer works. `payers` are log topics by name."""
    live = await connection.fetchval("SELECT current_schema()")
    await connection.execute(f"DROP SCHEMA IF EXISTS {PASSAGE} CASCADE; CREATE SCHEMA {PASSAGE}")
    for source, target in ((live, PASSAGE), (SCHEMA, live), (PASSAGE, SCHEMA)):
        facts = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = $1 AND tablename ~ '^fact(_p[0-9]+)?$'", source
        )
        for table in (*EXCHANGED, *(row[0] for row in facts)):
            await connection.execute(f'ALTER TABLE "{source}"."{table}" SET SCHEMA "{target}"')
    await connection.execute(f"DROP SCHEMA {PASSAGE}")
    await _exchange_rows(connection, "consumer_offset", "consumer = 'contract'", [])
    await _exchange_rows(connection, "reject", "topic = ANY($1::text[])", [list(payers.values())])
    await connection.execute(
        "UPDATE consumer_offset SET epoch = nextval('claim_epoch'), owner = 'exchange' WHERE consumer = 'contract'"
    )
    await secure(connection, again=True)


async def _exchange_rows(connection: Any, table: str, where: str, arguments: list[Any]) -> None:
    await connection.execute(f"CREATE TEMP TABLE passage (LIKE {table}) ON COMMIT DROP")
    beside = f"{SCHEMA}.{table}"
    for taken, given in ((table, "passage"), (beside, table), ("passage", beside)):
        await connection.execute(
            f"WITH gone AS (DELETE FROM {taken} WHERE {where} RETURNING *) "  # noqa: S608 - our own names
            f"INSERT INTO {given} SELECT * FROM gone",
            *arguments,
        )
    await connection.execute("DROP TABLE passage")


async def unsent(connection: Any, payer: str, topic: str, candidates: list[Any]) -> int:
    """Put payments into the outbox that are in no topic and do not wait; answers how many."""
    done = await connection.execute(
        """
        INSERT INTO outbox (payer, topic, key, value, event_id, partition, log_offset)
        SELECT p.payer, $2, convert_to(p.member, 'UTF8'), NULL, p.payment_id, p.partition, p.log_offset
          FROM payment p
         WHERE p.payer = $1 AND p.payment_id = ANY($3::uuid[])
           AND NOT EXISTS (SELECT FROM outbox o WHERE o.payer = p.payer AND o.event_id = p.payment_id)
         ORDER BY p.member, p.sequence
        """,
        payer,
        topic,
        candidates,
    )
    return int(done.rpartition(" ")[2])
