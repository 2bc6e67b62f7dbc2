"""Versions of episodes as the events that payers get: the same bytes from the fold and from the table's row.

The table keeps no bytes of them: an event follows from its row, and from nothing that changes later.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import orjson

from contracts.envelope import episode_version_id, schema_urn
from contracts.events import EpisodeChanged
from contracts.outcome import EpisodeVersion
from projections.rows import OUTBOX

_encode = msgspec.json.Encoder().encode
_TYPE, _SCHEMA = EpisodeChanged.type_name(), schema_urn(EpisodeChanged)
_SAME = (
    "episode_id", "version", "payer", "plan", "contract", "member", "started_on", "ends_on", "performance_period",
    "cancer_type", "status", "void_reason", "included", "exclusion", "practice", "opened_by", "closed",
)  # fmt: skip
"""The event's fields that are columns of the same name."""


def of_version(e: EpisodeVersion, payer: str, partition: int, offset: int, known_at_ms: int) -> tuple[str, bytes]:
    """The id and the bytes of the event of a version, as the fold makes it at a position of the payer's log."""
    data = {
        "episode_id": e.episode_id, "version": e.version, "payer": payer, "plan": e.plan, "contract": e.contract,
        "member": e.member, "started_on": e.started_on, "ends_on": e.ends_on, "performance_period": e.period,
        "cancer_type": e.cancer_type, "status": e.status, "void_reason": e.void_reason, "included": e.included,
        "exclusion": e.exclusion, "practice": e.practice, "opened_by": e.opened_by, "closed": e.closed,
    }  # fmt: skip
    return _event(data, e.cause, partition, offset, datetime.fromtimestamp(known_at_ms / 1000, UTC))


def of_row(row: str) -> tuple[UUID, bytes]:
    """The same from `row_to_json(episode)`."""
    told = orjson.loads(row)
    known_at = datetime.fromisoformat(told["known_at"]).astimezone(UTC)
    data = {name: told[name] for name in _SAME}
    name, event = _event(data, told["cause_event_id"], told["partition"], told["from_offset"], known_at)
    return UUID(name), event


class Told(NamedTuple):
    """An event of a subject's, and what the relay needs of it."""

    event_id: UUID
    event: bytes
    member: str
    sequence: int
    partition: int
    log_offset: int


async def versions(
    connection: Any, payer: str, schema: str = "", since: Mapping[int, int] | None = None
) -> AsyncIterator[Told]:
    """Every version of a payer's episodes, as its event; or those from some offsets on, by partition."""
    table = f"{schema}.episode" if schema else "episode"
    question = f"""
        SELECT row_to_json(e)::text AS stands, member, version, partition, from_offset
          FROM {table} e
         WHERE payer = $1
           AND ($2::int[] IS NULL OR from_offset >= coalesce(($3::bigint[])[array_position($2, partition)], 0))
    """  # noqa: S608 - our own name
    at = (None, None) if since is None else (list(since), list(since.values()))
    async for row in connection.cursor(question, payer, *at, prefetch=2_000):
        yield Told(*of_row(row["stands"]), row["member"], row["version"], row["partition"], row["from_offset"])


async def send(connection: Any, payer: str, topic: str, found: Iterable[Told]) -> int:
    """Put events into the outbox that do not wait there yet; answers how many."""
    told = sorted(found, key=lambda each: (each.partition, each.log_offset, each.sequence))
    rows = [(payer, topic, e.member.encode(), e.event, e.event_id, e.partition, e.log_offset) for e in told]
    waiting = await connection.fetch("SELECT event_id FROM outbox WHERE payer = $1 AND topic = $2", payer, topic)
    held = {row[0] for row in waiting}
    rows = [row for row in rows if row[4] not in held]
    await connection.copy_records_to_table("outbox", records=rows, columns=OUTBOX)
    return len(rows)


def _event(data: dict[str, Any], cause: str, partition: int, offset: int, known_at: datetime) -> tuple[str, bytes]:
    payer, name = data["payer"], episode_version_id(data["episode_id"], data["version"])
    topic = f"carepact.{payer}.events.v1"
    return name, _encode(
        {
            "specversion": "1.0",
            "id": name,
            "source": f"/carepact/{payer}/{data['contract']}",
            "type": _TYPE,
            "subject": data["episode_id"],
            "time": known_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "dataschema": _SCHEMA,
            "payer": payer,
            "plan": data["plan"],
            "sequence": f"{data['version']:09d}",
            "data": data | {"cause": cause, "position": {"topic": topic, "partition": partition, "offset": offset}},
        }
    )
