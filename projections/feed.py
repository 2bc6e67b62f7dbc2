"""What was emitted to a subscriber, in an order in which nothing can appear behind what was read.

Rows are ordered by the transaction that made them, and only those of transactions below the snapshot's horizon are
told: all that is older has ended by then. A long transaction delays a feed and loses nothing. Transaction ids belong
to one history of one database: after a rebuild was switched in, or a database was restored, a feed begins anew.

A page is found from each table's own index, so that its cost does not grow with what lies behind it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from projections.episode_events import of_row
from projections.tenancy import Tenant, seen_by

_STANDING = """
    SELECT hashtextextended(concat_ws('|', (SELECT system_identifier FROM pg_control_system()),
                                           (SELECT timeline_id FROM pg_control_checkpoint()),
                                           'payment'::regclass::oid), 0) AS history,
           pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon
"""


@dataclass(frozen=True, slots=True)
class _Told:
    """A table with emitted events: the columns that name an event's subject, its place in the subject, and its id."""

    table: str
    subject: str
    sequence: str
    event_id: str
    event: str = "event"
    row: str = "NULL::text"
    named: str = "{event_id} = ANY($2) AND cardinality($3::uuid[]) >= 0"
    month: str = "substring(event FROM position('\"time\":\"'::bytea IN event) + 8 FOR 7) = convert_to($2, 'UTF8')"

    def as_words(self) -> dict[str, str]:
        """For the places of a query."""
        return {name: str(getattr(self, name)) for name in _Told.__slots__}


_TO_PRACTICES = (
    _Told("payment", "member", "sequence", "payment_id"),
    _Told("settlement", "practice", "0::bigint", "settlement_id"),
    _Told("settlement_payment", "practice", "ordinal::bigint + 1", "payment_id"),
)
_EPISODE = _Told(
    "episode",
    subject="episode_id::text",
    sequence="version::bigint",
    event_id="'00000000-0000-0000-0000-000000000000'::uuid",
    event="NULL::bytea",
    row="row_to_json(episode)::text",
    named="episode_id = ANY($3) AND cardinality($2::uuid[]) > 0",
    month="to_char(known_at AT TIME ZONE 'UTC', 'YYYY-MM') = $2",
)
"""Its events follow from its rows; subject and version alone name one."""
_TO_PAYERS = (*_TO_PRACTICES, _EPISODE)
_TO_EMPLOYERS = (_Told("employer_outcome", "plan", "ordinal * 1000000::bigint + number", "event_id"),)
_ROW = """
    SELECT {table}.made_by::text::bigint AS made_by, {subject} AS subject, {sequence} AS sequence,
           {event_id} AS event_id, {event} AS event, {row} AS stands
      FROM {table} WHERE {table}.payer = $1
"""
_BEHIND = """
       AND {table}.made_by < pg_snapshot_xmin(pg_current_snapshot()) AND {table}.made_by >= $2::text::xid8
       AND ({table}.made_by, {subject} COLLATE "C", {sequence}, {event_id})
         > ($2::text::xid8, $3::text COLLATE "C", $4::bigint, $5::uuid)
     ORDER BY {table}.made_by, {subject} COLLATE "C", {sequence}, {event_id} LIMIT {most}
"""
_PAGE = 'SELECT * FROM ({rows}) AS emitted ORDER BY 1, subject COLLATE "C", sequence, event_id LIMIT {most}'
_NEWS = """
    SELECT DISTINCT payer, plan, practice, outcome FROM (
        SELECT payer, plan, practice, false AS outcome, made_by FROM payment WHERE payer = ANY($1)
        UNION ALL SELECT payer, plan, practice, false, made_by FROM settlement WHERE payer = ANY($1)
        UNION ALL SELECT payer, plan, practice, false, made_by FROM settlement_payment WHERE payer = ANY($1)
        UNION ALL SELECT payer, plan, '', false, made_by FROM episode WHERE payer = ANY($1)
        UNION ALL SELECT payer, plan, '', true, made_by FROM employer_outcome WHERE payer = ANY($1)
    ) AS emitted
     WHERE made_by >= $2::text::xid8 AND made_by < $3::text::xid8
"""
_WITHIN = 'SELECT event, stands FROM ({rows}) AS emitted ORDER BY subject COLLATE "C", sequence, event_id'
WITHIN_SECONDS = 300
_COUNTED = """
    SELECT payer, plan, practice, outcome, count(*)::bigint AS events FROM (
        SELECT payer, plan, practice, false AS outcome FROM payment
        UNION ALL SELECT payer, plan, practice, false FROM settlement
        UNION ALL SELECT payer, plan, practice, false FROM settlement_payment
        UNION ALL SELECT payer, plan, '', false FROM episode
        UNION ALL SELECT payer, plan, '', true FROM employer_outcome
    ) AS emitted GROUP BY payer, plan, practice, outcome
"""
FIRST = UUID(int=0)
UUID_LETTERS = len(str(FIRST))


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Behind which event a reader stands. `history` is of the database whose transactions `made_by` counts."""

    history: int
    made_by: int = 0
    subject: str = ""
    sequence: int = 0
    event_id: UUID = FIRST


class Emitted(NamedTuple):
    """One event, and the place behind it."""

    place: Place
    event: bytes


class Page(NamedTuple):
    """Events behind a place, where they lead, and whether nothing more is there now."""

    events: Sequence[Emitted]
    at: Place
    caught_up: bool


class OtherHistory(Exception):
    """The place is one of another database, or of tables that others took the place of."""


async def emitted_after(connection: Any, tenant: Tenant, after: Place | None, most: int) -> Page:
    """The events behind a place, byte for byte. None is the place before the first."""
    rows = " UNION ALL ".join(f"({_ROW}{_BEHIND})".format(**told.as_words(), most=most + 1) for told in _told(tenant))
    page = _PAGE.format(rows=rows, most=most + 1)
    async with seen_by(connection, tenant):
        history, horizon = await connection.fetchrow(_STANDING)
        at = _in(history, after)
        place = str(at.made_by), at.subject, at.sequence, at.event_id
        found = await connection.fetch(page, tenant.payer, *place)
    events = [_emitted(history, row) for row in found[:most]]
    if events:
        at = events[-1].place
    caught_up = len(found) <= most
    # All below the horizon was read, so a reader to whom nothing is told need not look there again.
    return Page(events, max(at, Place(history, horizon)) if caught_up else at, caught_up)


async def emitted_of(connection: Any, tenant: Tenant, asked: Mapping[UUID, str]) -> Mapping[UUID, bytes]:
    """Those of the ids that are told to the tenant now, byte for byte; asked for by id, with the subject of each."""
    episodes = [UUID(subject) for subject in asked.values() if len(subject) == UUID_LETTERS]
    rows = " UNION ALL ".join(f"({_ROW} AND {told.named})".format(**told.as_words()) for told in _told(tenant))
    async with seen_by(connection, tenant):
        found = await connection.fetch(rows, tenant.payer, list(asked), episodes)
    each = (_emitted(0, row) for row in found)
    return {one.place.event_id: one.event for one in each if one.place.event_id in asked}


async def emitted_within(connection: Any, tenant: Tenant, month: str) -> AsyncIterator[bytes]:
    """The events of a tenant whose time is in a month (`YYYY-MM`, UTC), byte for byte: by subject, in its order.

    Which they are, and their order, follows from the events alone, so that they are the same after a rebuild.
    """
    rows = " UNION ALL ".join(f"({_ROW} AND {{month}})".format(**told.as_words()) for told in _told(tenant))
    async with seen_by(connection, tenant):
        await connection.execute(f"SET LOCAL statement_timeout = '{WITHIN_SECONDS}s'")
        question = _WITHIN.format(rows=rows)
        async for row in connection.cursor(question, tenant.payer, month, prefetch=1_000, timeout=WITHIN_SECONDS):
            yield row["event"] if row["stands"] is None else of_row(row["stands"])[1]


async def standing(connection: Any) -> Place:
    """Behind all that is told now, to whomever."""
    history, horizon = await connection.fetchrow(_STANDING)
    return Place(history, horizon)


async def told_between(connection: Any, payers: Sequence[str], since: Place, until: Place) -> set[Tenant]:
    """To whom something was emitted between two standings: a look for all of a platform's subscribers at once."""
    rows = await connection.fetch(_NEWS, list(payers), str(since.made_by), str(until.made_by))
    return {tenant for row in rows for tenant in _told_to(row)}


async def told_to(connection: Any) -> dict[Tenant, int]:
    """Everybody to whom something was ever emitted, and how many events."""
    found: dict[Tenant, int] = {}
    for row in await connection.fetch(_COUNTED):
        for tenant in _told_to(row):
            found[tenant] = found.get(tenant, 0) + row["events"]
    return found


def _told_to(row: Any) -> Iterator[Tenant]:
    """Whose feeds have a row: an employer's alone; or its payer's, its plan's administrator's and its practice's."""
    yield Tenant("employer" if row["outcome"] else "payer", row["payer"], row["plan"])
    if row["plan"] and not row["outcome"]:
        yield Tenant("payer", row["payer"])  # who administers all plans
    if row["practice"]:
        yield Tenant("practice", row["payer"], practice=row["practice"])


def _in(history: int, place: Place | None) -> Place:
    if place is not None and place.history != history:
        raise OtherHistory
    return place or Place(history)


def _told(tenant: Tenant) -> Sequence[_Told]:
    if tenant.role == "employer":
        return _TO_EMPLOYERS
    return _TO_PRACTICES if tenant.role == "practice" else _TO_PAYERS


def _emitted(history: int, row: Any) -> Emitted:
    if row["stands"] is None:
        return Emitted(Place(history, *row[:4]), row["event"])
    name, event = of_row(row["stands"])
    return Emitted(Place(history, row["made_by"], row["subject"], row["sequence"], name), event)
