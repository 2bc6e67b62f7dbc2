"""Endpoints of subscribers, what each was sent or is owed, and when it is tried again: the schedule of webhooks.

A subscriber writes under its own rights (`projections/tenancy.py`). The deliverer writes what it has done in one
transaction that compares the endpoint's generation, so that an endpoint that was paused, deleted or set back meanwhile
keeps what its subscriber said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from projections.feed import Place
from projections.tenancy import Tenant

Status = Literal["active", "paused", "disabled"]
TABLES = ("webhook_attempt", "webhook_delivery", "webhook_endpoint")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint. Secrets are sealed; `place` None is before the first event; a replay begins another `round`."""

    endpoint_id: UUID
    tenant: Tenant
    url: str
    event_types: tuple[str, ...]
    at_once: int
    secret: bytes
    old_secret: bytes | None
    old_until: datetime | None
    status: Status
    why: str
    generation: int
    round: int
    place: Place | None
    failing_since: datetime | None
    strikes: int
    probe_at: datetime | None
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class Owed:
    """An event that waits for an endpoint."""

    event_id: UUID
    subject: str
    attempts: int
    queued_at: datetime


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an event at an endpoint. `type` is known where it was queued just now."""

    event_id: UUID
    subject: str
    status: Literal["waiting", "delivered", "failed", "gone"]
    attempts: int
    next_at: datetime
    done_at: datetime | None
    type: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, without a word of what was answered."""

    event_id: UUID
    at: datetime
    outcome: str
    http_status: int | None
    ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How an endpoint stands after some attempts."""

    status: Status
    why: str
    place: Place | None
    failing_since: datetime | None
    strikes: int
    probe_at: datetime | None


_CREATE = """
    INSERT INTO webhook_endpoint (endpoint_id, role, payer, plan, practice, url, event_types, at_once, secret, status,
                                  why, history, made_by, subject, sequence, event_id, created_at, created_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'active', '', $10, $11, $12, $13, $14, clock_timestamp(), $15)
    RETURNING *
"""
_CHANGED = "UPDATE webhook_endpoint SET generation = generation + 1, {changes} WHERE endpoint_id = $1 RETURNING *"
_AWAKE = "status = $2, why = $3, failing_since = NULL, strikes = 0, probe_at = NULL"
_RENEWED = "old_secret = secret, old_until = clock_timestamp() + $3, secret = $2"
_SET_BACK = "history = $2, made_by = $3, subject = $4, sequence = $5, event_id = $6"
_OVER_AGAIN = """
    UPDATE webhook_delivery SET status = 'waiting', attempts = 0, next_at = clock_timestamp(), done_at = NULL,
                                queued_at = clock_timestamp()
     WHERE endpoint_id = $1 AND status <> 'waiting' AND queued_at >= $2
"""
_STANDS = """
    UPDATE webhook_endpoint
       SET status = $3, why = $4, history = $5, made_by = $6, subject = $7, sequence = $8, event_id = $9,
           failing_since = $10, strikes = $11, probe_at = $12
     WHERE endpoint_id = $1 AND generation = $2
"""
_DONE = """
    INSERT INTO webhook_delivery AS known (endpoint_id, role, payer, plan, practice, event_id, subject, type, status,
                                           attempts, round, queued_at, next_at, done_at)
    SELECT $1, $2, $3, $4, $5, done.event_id, subject, type, status, attempts, $6, $7, next_at, done_at
      FROM unnest($8::uuid[], $9::text[], $10::text[], $11::text[], $12::int[], $13::timestamptz[], $14::timestamptz[])
           WITH ORDINALITY AS done (event_id, subject, type, status, attempts, next_at, done_at, place)
     ORDER BY place
    ON CONFLICT (endpoint_id, event_id) DO UPDATE
       SET (status, attempts, round, next_at, done_at)
         = (excluded.status, excluded.attempts, excluded.round, excluded.next_at, excluded.done_at)
"""
_ATTEMPTS = """
    INSERT INTO webhook_attempt (endpoint_id, role, payer, plan, practice, event_id, at, outcome, http_status, ms)
    SELECT $1, $2, $3, $4, $5, *
      FROM unnest($6::uuid[], $7::timestamptz[], $8::text[], $9::int[], $10::int[])
"""
_BEHIND = """
    UPDATE webhook_delivery AS later SET next_at = held.next_at
      FROM unnest($2::text[], $3::timestamptz[]) AS held (subject, next_at)
     WHERE endpoint_id = $1 AND status = 'waiting' AND later.subject = held.subject
"""
_NOW = "UPDATE webhook_delivery SET next_at = $2 WHERE endpoint_id = $1 AND status = 'waiting' AND next_at > $2"
_GIVE_UP = """
    UPDATE webhook_delivery SET status = 'failed', done_at = $2
     WHERE endpoint_id = $1 AND status = 'waiting' AND queued_at <= $3
"""
_WAITING = """
    SELECT event_id, subject, attempts, queued_at FROM webhook_delivery
     WHERE endpoint_id = $1 AND status = 'waiting' {due} ORDER BY ordinal LIMIT $2
"""
_DELIVERIES = """
    SELECT d.*, (SELECT coalesce(jsonb_agg(jsonb_build_object('at', a.at, 'outcome', a.outcome, 'http_status',
                         a.http_status, 'ms', a.ms) ORDER BY a.at), '[]')
                   FROM webhook_attempt a WHERE a.endpoint_id = d.endpoint_id AND a.event_id = d.event_id) AS tries
      FROM webhook_delivery d
     WHERE d.endpoint_id = $1 AND ($2::text IS NULL OR d.status = $2) AND ($3::bigint IS NULL OR d.ordinal < $3)
     ORDER BY d.ordinal DESC LIMIT $4
"""


async def create(
    connection: Any,
    tenant: Tenant,
    endpoint_id: UUID,
    url: str,
    event_types: Sequence[str],
    at_once: int,
    secret: bytes,
    place: Place | None,
    by: str,
) -> Endpoint:
    """A new endpoint, which is sent what is behind a place."""
    row = await connection.fetchrow(
        _CREATE, endpoint_id, *_of(tenant), url, list(event_types), at_once, secret, *_columns(place), by
    )
    return _endpoint(row)


async def endpoints(connection: Any, tenant: Tenant | None = None, *, active: bool = False) -> list[Endpoint]:
    """A subscriber's, oldest first; or everybody's."""
    rows = await connection.fetch(
        """
        SELECT * FROM webhook_endpoint
         WHERE ($1::text IS NULL OR (role, payer, plan, practice) = ($1, $2, $3, $4))
           AND (NOT $5 OR status = 'active')
         ORDER BY created_at, endpoint_id
        """,
        *(_of(tenant) if tenant else (None, "", "", "")),
        active,
    )
    return [_endpoint(row) for row in rows]


async def endpoint(connection: Any, tenant: Tenant | None, endpoint_id: UUID) -> Endpoint | None:
    """A subscriber's endpoint, or anybody's; None where it has none of that id."""
    row = await connection.fetchrow("SELECT * FROM webhook_endpoint WHERE endpoint_id = $1", endpoint_id)
    found = _endpoint(row) if row else None
    return found if found and tenant in (None, found.tenant) else None


async def generations(connection: Any) -> dict[UUID, int]:
    """The endpoints that are sent to, with the generation of each."""
    rows = await connection.fetch("SELECT endpoint_id, generation FROM webhook_endpoint WHERE status = 'active'")
    return {row["endpoint_id"]: row["generation"] for row in rows}


async def stands(connection: Any, of: Endpoint) -> bool:
    """Whether nobody has changed, stopped or deleted an endpoint since it was read."""
    now = await connection.fetchval("SELECT generation FROM webhook_endpoint WHERE endpoint_id = $1", of.endpoint_id)
    return bool(now == of.generation)


async def delete(connection: Any, endpoint_id: UUID) -> None:
    """Forget an endpoint with all that it was sent."""
    for table in TABLES:
        await connection.execute(f"DELETE FROM {table} WHERE endpoint_id = $1", endpoint_id)  # noqa: S608 - our names


async def set_status(connection: Any, endpoint_id: UUID, status: Status, why: str = "") -> Endpoint:
    """Pause an endpoint, or have it sent to again from where it was; what waits is tried at once then."""
    row = await connection.fetchrow(_CHANGED.format(changes=_AWAKE), endpoint_id, status, why)
    if status == "active":
        await connection.execute(
            "UPDATE webhook_delivery SET next_at = clock_timestamp() WHERE endpoint_id = $1 AND status = 'waiting'",
            endpoint_id,
        )
    return _endpoint(row)


async def acted(connection: Any, endpoint_id: UUID, offset: int) -> None:
    """Note the act, by its offset in the operations topic, that the row now shows."""
    await connection.execute(
        "UPDATE webhook_endpoint SET acted_offset = $2 WHERE endpoint_id = $1", endpoint_id, offset
    )


async def rotate(connection: Any, endpoint_id: UUID, secret: bytes, overlap: timedelta) -> Endpoint:
    """Sign by a new secret; by the old one too for a while."""
    return _endpoint(await connection.fetchrow(_CHANGED.format(changes=_RENEWED), endpoint_id, secret, overlap))


async def replay_behind(connection: Any, endpoint_id: UUID, place: Place | None) -> Endpoint:
    """Send again all that is behind a place; None is before the first event. What waits goes on waiting."""
    changed = _CHANGED.format(changes=f"{_SET_BACK}, round = round + 1, probe_at = NULL")
    return _endpoint(await connection.fetchrow(changed, endpoint_id, *_columns(place)))


async def replay_since(connection: Any, endpoint_id: UUID, since: datetime) -> int:
    """Send again what came to the endpoint's turn since then; answers how many events."""
    done: str = await connection.execute(_OVER_AGAIN, endpoint_id, since)
    await connection.execute(_CHANGED.format(changes="probe_at = NULL"), endpoint_id)
    return int(done.rpartition(" ")[2])


async def deliveries(
    connection: Any, endpoint_id: UUID, status: str | None, before: int | None, most: int
) -> Sequence[Any]:
    """What an endpoint was sent or is owed, newest first, with every attempt that is still kept."""
    rows: Sequence[Any] = await connection.fetch(_DELIVERIES, endpoint_id, status, before, most)
    return rows


async def held(
    connection: Any, of: Endpoint, ids: Sequence[UUID], subjects: Sequence[str]
) -> tuple[set[UUID], dict[str, datetime]]:
    """Which of these events it has already; and of these subjects, those that must wait for an earlier event."""
    known = await connection.fetch(
        """
        SELECT event_id FROM webhook_delivery
         WHERE endpoint_id = $1 AND event_id = ANY($2) AND (round = $3 OR status = 'waiting')
        """,
        of.endpoint_id,
        list(ids),
        of.round,
    )
    before = await connection.fetch(
        """
        SELECT subject, max(next_at) AS next_at FROM webhook_delivery
         WHERE endpoint_id = $1 AND status = 'waiting' AND subject = ANY($2) GROUP BY subject
        """,
        of.endpoint_id,
        list(subjects),
    )
    return {row["event_id"] for row in known}, {row["subject"]: row["next_at"] for row in before}


async def waiting(connection: Any, endpoint_id: UUID, most: int, due_at: datetime | None = None) -> list[Owed]:
    """What waits for an endpoint, in the order of the feed; all of it, or what is due."""
    due = "AND next_at <= $3" if due_at else ""
    rows = await connection.fetch(_WAITING.format(due=due), endpoint_id, most, *([due_at] if due_at else []))
    return [Owed(*row) for row in rows]


async def next_due(connection: Any, endpoint_id: UUID) -> datetime | None:
    """When the next of what waits is due."""
    found: datetime | None = await connection.fetchval(
        "SELECT min(next_at) FROM webhook_delivery WHERE endpoint_id = $1 AND status = 'waiting'", endpoint_id
    )
    return found


async def write(
    connection: Any,
    of: Endpoint,
    at: datetime,
    standing: Standing,
    done: Sequence[Done],
    attempts: Sequence[Attempt],
    *,
    release: bool,
    give_up_before: datetime,
) -> bool:
    """What was done to an endpoint, in the caller's transaction; `release` has all that waits tried at once.

    Answers whether the endpoint is as the caller knows it. Where it was changed meanwhile, it stays as it was changed,
    and only what became of events is kept; where it was deleted or a replay was begun, nothing is.
    """
    columns = standing.status, standing.why, *_columns(standing.place), standing.failing_since, standing.strikes
    stands: str = await connection.execute(_STANDS, of.endpoint_id, of.generation, *columns, standing.probe_at)
    if stands != "UPDATE 1":
        now = await connection.fetchval(
            "SELECT round FROM webhook_endpoint WHERE endpoint_id = $1 FOR UPDATE", of.endpoint_id
        )
        if now != of.round:
            return False
    tenant = _of(of.tenant)
    if done:
        names = ("event_id", "subject", "type", "status", "attempts", "next_at", "done_at")
        parts = [[getattr(each, name) for each in done] for name in names]
        await connection.execute(_DONE, of.endpoint_id, *tenant, of.round, at, *parts)
        held_up = {each.subject: each.next_at for each in done if each.status == "waiting"}
        if held_up:
            await connection.execute(_BEHIND, of.endpoint_id, list(held_up), list(held_up.values()))
        over = list({each.subject for each in done if each.status in ("failed", "gone")} - held_up.keys())
        if over:  # what waited behind it goes next
            await connection.execute(_BEHIND, of.endpoint_id, over, [at] * len(over))
    if attempts:
        tried = [
            [getattr(each, name) for each in attempts] for name in ("event_id", "at", "outcome", "http_status", "ms")
        ]
        await connection.execute(_ATTEMPTS, of.endpoint_id, *tenant, *tried)
    if standing.failing_since is not None:
        await connection.execute(_GIVE_UP, of.endpoint_id, at, give_up_before)
    if release:
        await connection.execute(_NOW, of.endpoint_id, at)
    return stands == "UPDATE 1"


async def counted_endpoints(connection: Any) -> Sequence[Any]:
    """How many endpoints are in each state, by role and payer."""
    rows: Sequence[Any] = await connection.fetch(
        "SELECT role, payer, status, count(*) FROM webhook_endpoint GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    return rows


async def counted_waiting(connection: Any) -> Sequence[Any]:
    """How many events wait, and for how many seconds the oldest of them has, by role and payer."""
    rows: Sequence[Any] = await connection.fetch(
        """
        SELECT role, payer, count(*), extract(epoch FROM clock_timestamp() - min(queued_at))::float AS seconds
          FROM webhook_delivery WHERE status = 'waiting' GROUP BY 1, 2 ORDER BY 1, 2
        """
    )
    return rows


async def counted_attempts(connection: Any, seconds: int) -> Sequence[Any]:
    """How many attempts of the last seconds came to what, by role and payer."""
    rows: Sequence[Any] = await connection.fetch(
        """
        SELECT role, payer, outcome, count(*) FROM webhook_attempt
         WHERE at > clock_timestamp() - make_interval(secs => $1::int) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,
        seconds,
    )
    return rows


async def forget_attempts(connection: Any, before: datetime) -> None:
    """Drop attempts older than what is kept."""
    await connection.execute("DELETE FROM webhook_attempt WHERE at < $1", before)


def _of(tenant: Tenant) -> tuple[str, str, str, str]:
    return tenant.role, tenant.payer, tenant.plan, tenant.practice


def _columns(place: Place | None) -> tuple[int | None, int, str, int, UUID]:
    told = place or Place(0)
    return place.history if place else None, told.made_by, told.subject, told.sequence, told.event_id


def _endpoint(row: Any) -> Endpoint:
    place = None
    if row["history"] is not None:
        place = Place(*(row[name] for name in ("history", "made_by", "subject", "sequence", "event_id")))
    same = (
        "url", "at_once", "secret", "old_secret", "old_until", "status", "why", "generation", "round",
        "failing_since", "strikes", "probe_at", "created_at", "created_by",
    )  # fmt: skip
    return Endpoint(
        endpoint_id=row["endpoint_id"],
        tenant=Tenant(row["role"], row["payer"], row["plan"], row["practice"]),
        event_types=tuple(row["event_types"]),
        place=place,
        **{name: row[name] for name in same},
    )
