"""What runs, and how far it has come: the positions in PostgreSQL held against the ends of Kafka's topics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
from confluent_kafka import KafkaException

from carepact.local.postgres import Postgres
from carepact.settings import Settings, connection
from projections.rejects import COUNT_OPEN
from streams.admin import Admin
from streams.intake import intake_group
from streams.topics import AGENTS, Topic, topics

CONSUMERS = {"log": "contract", "requests": "requests", "rejects": "rejects", "operations": "operations"}
"""Of kinds of topics with positions in PostgreSQL."""

WATCHED = {*CONSUMERS, "inbox"}
Positions = Mapping[tuple[str, int], int]


def watched(settings: Settings) -> list[Topic]:
    """The topics that something of ours consumes."""
    return [topic for topic in topics(settings.load_roster(), settings.log_partitions) if topic.kind in WATCHED]


async def ends(settings: Settings) -> dict[tuple[str, int], int] | None:
    """The end of every watched partition; None when Kafka does not answer."""
    return await _asked(settings, lambda admin: admin.end_offsets(watched(settings)))


async def taken_in(settings: Settings) -> dict[tuple[str, int], int] | None:
    """How far intake has come in every inbox, which Kafka alone knows; None when it does not answer."""
    inboxes = [topic for topic in watched(settings) if topic.kind == "inbox"]
    group = intake_group(settings.load_roster())
    return await _asked(settings, lambda admin: admin.committed(group, inboxes))


async def _asked(
    settings: Settings, ask: Callable[[Admin], dict[tuple[str, int], int]]
) -> dict[tuple[str, int], int] | None:
    try:
        return await asyncio.to_thread(lambda: ask(Admin(connection(settings, AGENTS).confluent(), patience_seconds=5)))
    except (KafkaException, TimeoutError):
        return None


async def stored(settings: Settings) -> dict[str, Any] | None:
    """Positions and counts from PostgreSQL; None when it does not answer. A table not made yet counts as empty.

    The positions of intake are not among them: see `taken_in`.
    """
    try:
        db = await asyncpg.connect(connection(settings, AGENTS).postgres, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return None
    try:
        rows = await _rows(db, "SELECT consumer, topic, partition, next_offset FROM consumer_offset")
        return {
            "positions": {(row["consumer"], row["topic"], row["partition"]): row["next_offset"] for row in rows},
            **{name: await _count(db, query) for name, query in COUNTED.items()},
        }
    finally:
        await db.close()


COUNTED = {
    "outbox_pending": "SELECT count(*) AS counted FROM outbox",
    "rejects": COUNT_OPEN,
    "parked": "SELECT count(*) AS counted FROM parked_member",
    "halted": "SELECT count(*) AS counted FROM halted_partition",
}


async def _rows(db: asyncpg.Connection[Any], query: str) -> list[Any]:
    try:
        return list(await db.fetch(query))
    except asyncpg.UndefinedTableError:
        return []


async def _count(db: asyncpg.Connection[Any], query: str) -> int:
    rows = await _rows(db, query)
    return int(rows[0]["counted"]) if rows else 0


def behind(settings: Settings, at: Positions, found: Mapping[str, Any], taken: Positions) -> dict[str, int]:
    """Records not yet consumed, by topic."""
    lag: dict[str, int] = {}
    for topic in watched(settings):
        for partition in range(topic.partitions):
            if topic.kind == "inbox":
                done = taken.get((topic.name, partition), 0)
            else:
                done = found["positions"].get((CONSUMERS[topic.kind], topic.name, partition), 0)
            lag[topic.name] = lag.get(topic.name, 0) + max(0, at.get((topic.name, partition), 0) - done)
    return lag


async def status(settings: Settings) -> dict[str, Any]:
    """The document of `carepact status --json`. A lag is None where it cannot be known."""
    home = settings.home_folder
    said = home.state() if home.holder() else {}
    begun = settings.kafka is not None or "kafka_ports" in home.choices()
    at, found, taken = (
        await asyncio.gather(ends(settings), stored(settings), taken_in(settings)) if begun else (None, None, None)
    )
    known = at is not None and found is not None and taken is not None
    lag = behind(settings, at or {}, found or {}, taken or {}) if known else {}
    logs = [topic for topic in watched(settings) if topic.kind == "log"]
    return {
        "home": str(home),
        "kafka": {"bootstrap": connection(settings, AGENTS).bootstrap if begun else None, "up": at is not None},
        "postgres": {"dsn": shown_dsn(settings), "up": found is not None},
        "workers": [{"pid": worker["pid"], "up": worker["up"]} for worker in said.get("workers", [])],
        "agents": [
            {"payer": topic.payer, "partitions": topic.partitions, "lag": lag.get(topic.name)} for topic in logs
        ],
        **{name: found[name] if found is not None else None for name in COUNTED},
        "gateway": {name: said.get("gateway", {}).get(name) for name in ("pid", "up", "url")},
        "parts": [{name: part[name] for name in ("name", "pid", "up")} for part in said.get("parts", [])],
        "supervisor": said.get("supervisor", {"pid": None, "started_at": None}),
    }


def all_up(document: Mapping[str, Any]) -> bool:
    """Whether every part that was started is up."""
    return bool(
        document["kafka"]["up"]
        and document["postgres"]["up"]
        and all(worker["up"] for worker in document["workers"])
        and document["gateway"]["up"] is not False
        and all(part["up"] for part in document["parts"])
    )


def shown_dsn(settings: Settings) -> str:
    """PostgreSQL's address without a password."""
    if not settings.postgres:
        return Postgres(settings.home_folder).shown_dsn
    head, at, tail = settings.postgres.get_secret_value().rpartition("@")
    scheme, slashes, user = head.partition("://")
    return f"{scheme}{slashes}{user.partition(':')[0]}{at}{tail}" if at else tail
