"""Strikes at the moment when it hurts, and only at a victim that lives and owns something.

A batch is caught in flight by a lock on a table that it must write: the victim's session in PostgreSQL waits for it in
the middle of its transaction, which `pg_stat_activity` shows. Then the blow falls, and the lock is let go.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from carepact.local.postgres import SUPER
from carepact.local.supervisor import Kept
from carepact.local.worker import Worker
from tests.end_to_end.harness import World, until

BATCH_WRITES = "state_part"  # in the middle of a batch's transaction, after its facts
RELAY_WRITES = "output_position"  # at the end of a relay's, when Kafka has the events and the outbox still has the rows


@asynccontextmanager
async def held(world: World, table: str) -> AsyncIterator[None]:
    """Nobody writes this table until the end; nothing happens to the lock when the server dies under it."""
    connection = await asyncpg.connect(world.platform.dsn(database=world.database))
    try:
        await connection.execute(f"BEGIN; LOCK TABLE {table} IN SHARE MODE")
        yield
    finally:
        connection.terminate()


async def until_caught(world: World, victim: Kept | None, table: str) -> None:
    """Until a session of the victim, or of anyone, waits in a transaction that has begun to write."""
    name = victim.name if victim else ""

    async def caught() -> bool:
        async with world.opened(SUPER) as database:  # others' statements are hidden from lesser roles
            waiting = await database.fetchval(
                """
                SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock' AND backend_xid IS NOT NULL
                   AND query ILIKE '%' || $1 || '%' AND ($2 = '' OR application_name = $2)
                """,
                table,
                name,
            )
            return bool(waiting)

    await until(caught, f"{name or 'a worker'} is in the middle of a transaction that writes {table}")


def alive(kept: Kept) -> bool:
    """Whether the part's process runs, and is neither dead nor stopped."""
    try:
        os.kill(kept.pid or 0, 0)
        return kept.pid is not None and state(kept.pid) in "RSD"
    except ProcessLookupError:
        return False


def state(pid: int) -> str:
    """The letter of a process's state."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0]


async def owned(world: World, worker: Kept) -> set[tuple[str, int]]:
    """The log partitions whose last claim is this very process's."""
    async with world.opened() as database:
        rows = await database.fetch(
            "SELECT topic, partition FROM consumer_offset WHERE consumer = 'contract' AND owner = $1",
            f"worker-{index_of(worker)}/{worker.pid}",
        )
        return {(row[0], row[1]) for row in rows}


def index_of(worker: Kept) -> int:
    """A worker's number."""
    assert isinstance(worker.part, Worker)
    return worker.part.index


async def all_claimed(world: World, workers: list[Kept]) -> None:
    """Every partition of every log belongs to one of these processes, and each of these to some partition."""

    async def claimed() -> bool:
        holdings = [await owned(world, worker) for worker in workers]
        partitions = world.settings.log_partitions * len(world.roster.payers)
        return all(holdings) and sum(map(len, holdings)) == partitions

    await until(claimed, "the workers have shared the logs out")


def lines_of(worker: Kept) -> list[dict[str, Any]]:
    """What the worker has logged."""
    output: Path = worker.part.output  # type: ignore[attr-defined]
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


async def leases(world: World) -> dict[str, int]:
    """The epoch of each relay's lease, by payer; one that has run out is still its holder's until another takes it."""
    async with world.opened() as database:
        rows = await database.fetch("SELECT shard, epoch FROM relay_lease WHERE shard LIKE 'relay:%'")
        return {row["shard"].removeprefix("relay:"): row["epoch"] for row in rows}


async def relays(world: World, worker: Kept) -> set[str]:
    """The payers whose relay this worker holds now, by what it said when it took the lease."""
    now = await leases(world)
    said = {(line["payer"], line["epoch"]) for line in lines_of(worker) if line["event"] == "relay_holds"}
    return {payer for payer, epoch in now.items() if (payer, epoch) in said}
