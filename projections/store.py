"""The batch transaction's statements: positions and their fence, facts, parts and rows.

`consumer_offset` is the truth about who reads what from where. A claim takes a new epoch under the row's lock, so the
position it reads is final: a former owner's open transaction is waited for, and its next one is `Fenced`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import asyncpg

from contracts.envelope import Fact
from projections.rows import (
    EPISODE,
    EPISODE_SPEND,
    LEDGER_LINE,
    OUTBOX,
    PAYMENT,
    REMITTANCE,
    RETURN_TO_WORK,
    STATE_PART,
    Row,
    Rows,
    Want,
)

OUTBOX_CHANNEL = "carepact_outbox"

FACT = ("payer", "partition", "log_offset", "event_id", "type", "plan", "member", "digest", "known_at")
REJECT = (
    "reject_id",
    "payer",
    "plan",
    "topic",
    "partition",
    "log_offset",
    "code",
    "reason",
    "remedy",
    "event_id",
    "known_at",
)

SESSION = {
    "statement_timeout": "10s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "5s",
    "jit": "off",
    # Each statement here reaches its rows by key. A planner that sees a long array and a young table would scan; and a
    # plan kept from when a table was young would scan it for as long as it is kept. Joins with an array are LATERAL
    # with OFFSET 0, which leaves no choice of whom to go through first: a table without statistics seems smaller.
    "plan_cache_mode": "force_custom_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
COMMAND_SECONDS = 15
STALLED_SECONDS = 10.0
"""As `statement_timeout`, which PostgreSQL does not keep while a COPY waits for a client that was stopped.

Ended are sessions that hold partitions (`hold`), and no other: a long COPY of a rebuild is none of them.
"""
_END_STALLED = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND usename = current_user AND state = 'active' AND wait_event = 'ClientRead'
       AND query_start < clock_timestamp() - make_interval(secs => $1)
       AND pid IN (SELECT pid FROM pg_locks WHERE relation = 'consumer_offset'::regclass AND mode = 'RowShareLock')
"""


class Fenced(Exception):
    """Another worker has claimed the partition since; nothing of this transaction was kept."""


class Repeated(Exception):
    """The copied facts hold an id that is already there; take the careful way."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a consumer stands in a partition, and by what it recognises the log."""

    next_offset: int
    epoch: int
    log_id: str | None
    last_digest: str | None


@dataclass(frozen=True, slots=True)
class Advance:
    """How far a batch brought a partition. `log_id` is given when the batch held the log's first record."""

    partition: int
    next_offset: int
    last_digest: str
    log_id: str | None = None


async def open_pool(dsn: str, size: int) -> Any:
    """Connections for batch transactions: short limits, and plans that go by key."""
    return await asyncpg.create_pool(
        dsn, min_size=1, max_size=size, command_timeout=COMMAND_SECONDS, server_settings=SESSION
    )


async def connect_by_key(dsn: str) -> Any:
    """One connection like those of the pool, for who keeps it."""
    return await asyncpg.connect(dsn, command_timeout=COMMAND_SECONDS, server_settings=SESSION)


async def claim(
    connection: Any, consumer: str, at: Iterable[tuple[str, int]], owner: str
) -> dict[tuple[str, int], Position]:
    """Take over partitions, in one transaction; answers where each stands.

    Waits for former owners' transactions, and ends those that stall in the middle of a COPY.
    """
    await connection.fetch(_END_STALLED, STALLED_SECONDS)
    places = sorted(at)
    topics, partitions = [topic for topic, _ in places], [partition for _, partition in places]
    async with connection.transaction():
        await connection.execute(
            """
            INSERT INTO consumer_offset (consumer, topic, partition)
            SELECT $1, * FROM unnest($2::text[], $3::int[]) ON CONFLICT DO NOTHING
            """,
            consumer,
            topics,
            partitions,
        )
        await connection.fetch(
            """
            SELECT 1 FROM consumer_offset
             WHERE consumer = $1 AND (topic, partition) IN (SELECT * FROM unnest($2::text[], $3::int[]))
             ORDER BY topic, partition FOR UPDATE
            """,
            consumer,
            topics,
            partitions,
        )
        rows = await connection.fetch(
            """
            WITH mine AS MATERIALIZED (SELECT nextval('claim_epoch') AS epoch)
            UPDATE consumer_offset SET epoch = mine.epoch, owner = $4 FROM mine
             WHERE consumer = $1 AND (topic, partition) IN (SELECT * FROM unnest($2::text[], $3::int[]))
            RETURNING topic, partition, next_offset, consumer_offset.epoch, log_id, last_digest
            """,
            consumer,
            topics,
            partitions,
            owner,
        )
    return {
        (row["topic"], row["partition"]): Position(row["next_offset"], row["epoch"], row["log_id"], row["last_digest"])
        for row in rows
    }


async def hold(connection: Any, consumer: str, topic: str, epochs: Mapping[int, int]) -> dict[int, Position]:
    """Lock the partitions' rows in fixed order until the transaction ends; `Fenced` if one is no longer ours."""
    rows = await connection.fetch(
        """
        SELECT partition, next_offset, epoch, log_id, last_digest FROM consumer_offset
         WHERE consumer = $1 AND topic = $2 AND partition = ANY($3::int[])
         ORDER BY partition FOR UPDATE
        """,
        consumer,
        topic,
        list(epochs),
    )
    held = {row[0]: Position(*row[1:]) for row in map(tuple, rows)}
    for partition, epoch in epochs.items():
        if partition not in held or held[partition].epoch != epoch:
            raise Fenced(f"{topic}[{partition}] was claimed by another worker after epoch {epoch}")
    return held


async def advance(connection: Any, consumer: str, topic: str, reached: Sequence[Advance]) -> None:
    """Move the positions of held partitions."""
    await connection.execute(
        """
        UPDATE consumer_offset o
           SET next_offset = u.next_offset, last_digest = u.last_digest, log_id = coalesce(u.log_id, o.log_id)
          FROM unnest($3::int[], $4::bigint[], $5::text[], $6::text[]) u (partition, next_offset, last_digest, log_id)
         WHERE o.consumer = $1 AND o.topic = $2 AND o.partition = u.partition
        """,
        consumer,
        topic,
        [one.partition for one in reached],
        [one.next_offset for one in reached],
        [one.last_digest for one in reached],
        [one.log_id for one in reached],
    )


async def known_digests(connection: Any, payer: str, facts: Iterable[Fact]) -> dict[tuple[int, str], str]:
    """Digests of those facts whose ids are already stored, by (partition, event id)."""
    by_partition: dict[int, list[str]] = defaultdict(list)
    for fact in facts:
        by_partition[fact.partition].append(fact.event_id)
    known: dict[tuple[int, str], str] = {}
    for partition, ids in by_partition.items():
        rows = await connection.fetch(
            """
            SELECT u.event_id, f.digest
              FROM unnest($3::uuid[]) u (event_id),
                   LATERAL (
                       SELECT digest FROM fact WHERE partition = $2 AND payer = $1 AND event_id = u.event_id OFFSET 0
                   ) f
            """,
            payer,
            partition,
            ids,
        )
        known.update({(partition, str(row[0])): row[1] for row in rows})
    return known


async def copy_facts(connection: Any, payer: str, facts: Sequence[Fact]) -> None:
    """Store facts that are thought to be new; `Repeated` when one is not, and the transaction is lost."""
    rows = [
        (payer, f.partition, f.offset, f.event_id, f.type, f.plan, f.member, f.digest, instant(f.known_at))
        for f in facts
    ]
    try:
        await connection.copy_records_to_table("fact", records=rows, columns=FACT)
    except asyncpg.UniqueViolationError:
        raise Repeated from None


async def insert_facts(connection: Any, payer: str, facts: Sequence[Fact]) -> set[tuple[int, int]]:
    """Store those facts whose ids are new, for batches that bring some again; answers their (partition, offset)."""
    rows = await connection.fetch(
        """
        INSERT INTO fact (payer, partition, log_offset, event_id, type, plan, member, digest, known_at)
        SELECT $1, * FROM unnest($2::int[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[],
                                 $9::timestamptz[])
        ON CONFLICT DO NOTHING
        RETURNING partition, log_offset
        """,
        payer,
        [f.partition for f in facts],
        [f.offset for f in facts],
        [f.event_id for f in facts],
        [f.type for f in facts],
        [f.plan for f in facts],
        [f.member for f in facts],
        [f.digest for f in facts],
        [instant(f.known_at) for f in facts],
    )
    return {(row[0], row[1]) for row in rows}


async def copy_rejects(connection: Any, rows: Sequence[Row]) -> None:
    """Store rejects found in the log itself (columns REJECT)."""
    await connection.copy_records_to_table("reject", records=rows, columns=REJECT)


def instant(milliseconds: int) -> datetime:
    """Milliseconds since 1970 as UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


class LiveParts:
    """One payer's parts and rows in the live tables, within the caller's transaction (a `PartStore`)."""

    def __init__(self, connection: Any, payer: str) -> None:
        self._connection = connection
        self._payer = payer

    async def load(self, wants: Sequence[Want]) -> Iterable[tuple[str, str, str, bytes]]:
        """One query for all ranges."""
        members, kinds, lows, highs = zip(*wants, strict=True)
        found: list[tuple[str, str, str, bytes]] = await self._connection.fetch(
            """
            SELECT w.member, w.kind, s.key, s.data
              FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) w (member, kind, low, high),
                   LATERAL (
                       SELECT key, data FROM state_part
                        WHERE payer = $1 AND member = w.member AND kind = w.kind AND key >= w.low AND key < w.high
                       OFFSET 0
                   ) s
            """,
            self._payer,
            members,
            kinds,
            lows,
            highs,
        )
        return found

    async def due(self, partition: int, through: date, after: str, limit: int) -> Sequence[str]:
        """By token, as bytes sort."""
        rows = await self._connection.fetch(
            """
            SELECT member FROM due WHERE payer = $1 AND partition = $2 AND due_on <= $3 AND member > $4
             ORDER BY member LIMIT $5
            """,
            self._payer,
            partition,
            through,
            after,
            limit,
        )
        return [row[0] for row in rows]

    async def heads(self, partition: int, after: str, limit: int) -> Sequence[str]:
        """By token, as bytes sort."""
        rows = await self._connection.fetch(
            """
            SELECT member FROM state_part WHERE payer = $1 AND partition = $2 AND kind = 'head' AND member > $3
             ORDER BY member LIMIT $4
            """,
            self._payer,
            partition,
            after,
            limit,
        )
        return [row[0] for row in rows]

    async def write(self, rows: Rows) -> None:
        """Parts changed in place, everything else appended; one statement for each table that has rows."""
        await self._copy("state_part", rows.new_parts, STATE_PART)
        await self._change_parts(rows.changed_parts)
        await self._set_due(rows.due)
        await self._set_adoptions(rows.adoptions)
        await self._close_versions("episode", rows.closes)
        await self._close_versions("return_to_work", rows.return_closes)
        await self._copy("episode", rows.episodes, EPISODE)
        await self._copy("episode_spend", rows.spends, EPISODE_SPEND)
        await self._copy("return_to_work", rows.returns, RETURN_TO_WORK)
        await self._copy("payment", rows.payments, PAYMENT)
        await self._copy("ledger_line", rows.ledger, LEDGER_LINE)
        await self._copy("remittance", rows.moves, REMITTANCE)
        if rows.outbox:
            await self._copy("outbox", rows.outbox, OUTBOX)
            await self._connection.execute("SELECT pg_notify($1, $2)", OUTBOX_CHANNEL, self._payer)

    async def _copy(self, table: str, records: Sequence[Any], columns: Sequence[str]) -> None:
        if records:
            await self._connection.copy_records_to_table(table, records=records, columns=columns)

    async def _change_parts(self, parts: Sequence[Row]) -> None:
        if not parts:
            return
        _, _, members, kinds, keys, data, offsets = zip(*parts, strict=True)
        done = await self._connection.execute(
            """
            UPDATE state_part s SET data = u.data, log_offset = u.log_offset
              FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::bigint[])
                   u (member, kind, key, data, log_offset),
                   LATERAL (
                       SELECT ctid FROM state_part
                        WHERE payer = $1 AND member = u.member AND kind = u.kind AND key = u.key
                       OFFSET 0
                   ) at
             WHERE s.ctid = at.ctid
            """,
            self._payer,
            members,
            kinds,
            keys,
            data,
            offsets,
        )
        assert done == f"UPDATE {len(parts)}", f"of {len(parts)} parts thought to be stored: {done}"

    async def _set_due(self, due: Sequence[tuple[int, str, date | None]]) -> None:
        if not due:
            return
        if gone := [member for _, member, on in due if on is None]:
            await self._connection.execute(
                "DELETE FROM due USING unnest($2::text[]) u (member) WHERE payer = $1 AND due.member = u.member",
                self._payer,
                gone,
            )
        if kept := [one for one in due if one[2] is not None]:
            await self._connection.execute(
                """
                INSERT INTO due (payer, partition, member, due_on)
                SELECT $1, * FROM unnest($2::int[], $3::text[], $4::date[])
                ON CONFLICT (payer, member) DO UPDATE SET due_on = excluded.due_on
                """,
                self._payer,
                *zip(*kept, strict=True),
            )

    async def _set_adoptions(self, adoptions: Sequence[tuple[int, bytes, int]]) -> None:
        if adoptions:
            await self._connection.execute(
                """
                INSERT INTO partition_state (payer, partition, data, log_offset)
                SELECT $1, * FROM unnest($2::int[], $3::bytea[], $4::bigint[])
                ON CONFLICT (payer, partition) DO UPDATE SET data = excluded.data, log_offset = excluded.log_offset
                """,
                self._payer,
                *zip(*adoptions, strict=True),
            )

    async def _close_versions(self, table: str, closes: Sequence[tuple[str, int, int]]) -> None:
        if closes:
            await self._connection.execute(
                f"""
                UPDATE {table} e SET to_offset = u.to_offset
                  FROM unnest($1::uuid[], $2::int[], $3::bigint[]) u (episode_id, version, to_offset),
                       LATERAL (
                           SELECT ctid FROM {table} WHERE episode_id = u.episode_id AND version = u.version OFFSET 0
                       ) at
                 WHERE e.ctid = at.ctid
                """,  # noqa: S608 - one of two tables, named above
                *zip(*closes, strict=True),
            )


async def adoptions(connection: Any, payer: str, partitions: Sequence[int]) -> dict[int, bytes]:
    """What each partition's log has adopted, as stored."""
    rows = await connection.fetch(
        "SELECT partition, data FROM partition_state WHERE payer = $1 AND partition = ANY($2::int[])", payer, partitions
    )
    return {row[0]: row[1] for row in rows}


async def parked(connection: Any, payer: str) -> dict[str, int]:
    """The payer's parked members, and from which offset on their facts wait."""
    rows = await connection.fetch("SELECT member, log_offset FROM parked_member WHERE payer = $1", payer)
    return {row[0]: row[1] for row in rows}


async def park(connection: Any, payer: str, rows: Sequence[tuple[int, str, int, str, str]]) -> None:
    """Park members: (partition, member, log_offset, event_id, reason). One that is parked already stays as it is."""
    await connection.execute(
        """
        INSERT INTO parked_member (payer, partition, member, log_offset, event_id, reason)
        SELECT $1, * FROM unnest($2::int[], $3::text[], $4::bigint[], $5::uuid[], $6::text[])
        ON CONFLICT DO NOTHING
        """,
        payer,
        *zip(*rows, strict=True),
    )


async def halt(connection: Any, payer: str, partition: int, log_offset: int, reason: str) -> bool:
    """Note that a partition stands still; answers whether that is news."""
    done = await connection.execute(
        """
        INSERT INTO halted_partition AS h (payer, partition, log_offset, reason) VALUES ($1, $2, $3, $4)
        ON CONFLICT (payer, partition) DO UPDATE
           SET log_offset = excluded.log_offset, reason = excluded.reason, since = now()
         WHERE (h.log_offset, h.reason) IS DISTINCT FROM (excluded.log_offset, excluded.reason)
        """,
        payer,
        partition,
        log_offset,
        reason,
    )
    return bool(done == "INSERT 0 1")


async def unhalt(connection: Any, payer: str, partitions: Sequence[int]) -> None:
    """Note that partitions go on."""
    await connection.execute(
        "DELETE FROM halted_partition WHERE payer = $1 AND partition = ANY($2::int[])", payer, partitions
    )
