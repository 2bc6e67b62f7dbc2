"""Authorizations as the log has them, and what is told under them, sealed; and their reading by the recipient alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from contracts.authorizations import GIVEN, REVOKED, Authorization, Authorizations, Standing
from projections.tenancy import Tenant, seen_by

ERASED, RETIRED = "carepact.SubjectErased.v1", "carepact.MemberRetired.v1"
KINDS = (GIVEN, REVOKED, ERASED, RETIRED)
"""Facts that begin or end an authorization."""

AT_ONCE = 200_000
LOCK = 0x72657477  # "retw": of whoever writes what is told of a payer


class FactAt(NamedTuple):
    """Where a fact stands."""

    partition: int
    log_offset: int
    type: str
    plan: str
    member: str


class Candidate(NamedTuple):
    """A version of a return to work that stood while an authorization held."""

    plan: str
    member: str
    authorization_id: str
    recipient: str
    signed_on: date
    expires_on: date
    status: str
    partial_on: date | None
    returned_on: date | None
    lapsed_on: date | None


@dataclass(frozen=True, slots=True)
class Told:
    """One row of what is told: its place, whose it is, and the sealed event while there is one."""

    number: int
    event_id: UUID
    payer: str
    member: str
    authorization_id: str
    recipient: str
    signed_on: date
    expires_on: date
    revoked: bool
    sealed: bytes | None

    def standing(self, recipient: str, on: date) -> Standing:
        """Whether the recipient may be told now."""
        held = Authorizations()
        days = self.signed_on.isoformat(), self.expires_on.isoformat()
        held.given[self.authorization_id] = Authorization(self.recipient, *days)
        if self.revoked or self.sealed is None:
            held.revoked.add(self.authorization_id)
        return held.standing(self.authorization_id, recipient, on.isoformat())


async def unread(connection: Any, payer: str, topic: str) -> list[tuple[int, int, int]]:
    """(partition, from, to) of what is folded of each log and not yet read for authorizations; some at a time."""
    rows = await connection.fetch(
        """
        SELECT o.partition, coalesce(i.next_offset, 0) AS first,
               least(o.next_offset, coalesce(i.next_offset, 0) + $3) AS last
          FROM consumer_offset o
          LEFT JOIN individual_position i ON i.payer = $1 AND i.partition = o.partition
         WHERE o.consumer = 'contract' AND o.topic = $2 AND o.next_offset > coalesce(i.next_offset, 0)
         ORDER BY o.partition
        """,
        payer,
        topic,
        AT_ONCE,
    )
    return [tuple(row) for row in rows]


async def facts_of(connection: Any, payer: str, partition: int, first: int, last: int) -> list[FactAt]:
    """Facts about authorizations in a stretch of a log."""
    rows = await connection.fetch(
        """
        SELECT partition, log_offset, type, plan, member FROM fact
         WHERE payer = $1 AND partition = $2 AND log_offset >= $3 AND log_offset < $4 AND type = ANY($5)
         ORDER BY log_offset
        """,
        payer,
        partition,
        first,
        last,
        list(KINDS),
    )
    return [FactAt(*row) for row in rows]


async def lock(connection: Any, payer: str) -> None:
    """Be the only one, in this transaction, that writes what is told of a payer: so numbers are in order of commits."""
    await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", LOCK, payer)


async def read_through(connection: Any, payer: str, partition: int, first: int, last: int) -> bool:
    """Note how far a log was read; False when another process did so meanwhile."""
    done = await connection.execute(
        """
        INSERT INTO individual_position AS i (payer, partition, next_offset) VALUES ($1, $2, $4)
        ON CONFLICT (payer, partition) DO UPDATE SET next_offset = $4 WHERE i.next_offset = $3
        """,
        payer, partition, first, last,
    )  # fmt: skip
    return str(done).endswith(" 1")


async def give(connection: Any, payer: str, fact: FactAt, authorization_id: str, held: Authorization) -> None:
    """Keep an authorization. Of one id the first giving holds, and a revocation heard before stays."""
    await connection.execute(
        """
        INSERT INTO authorization_held AS a
               (payer, plan, member, authorization_id, recipient, signed_on, expires_on, log_offset)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (payer, member, authorization_id) DO UPDATE
           SET (recipient, signed_on, expires_on) = (excluded.recipient, excluded.signed_on, excluded.expires_on)
         WHERE a.recipient = ''
        """,
        payer, fact.plan, fact.member, authorization_id, held.recipient,
        date.fromisoformat(held.signed_on), date.fromisoformat(held.expires_on), fact.log_offset,
    )  # fmt: skip


async def revoke(connection: Any, payer: str, fact: FactAt, authorization_id: str | None) -> list[str]:
    """End an authorization, or all of a member; answers which. What was told under them has no payload from now on."""
    if authorization_id is not None:
        await connection.execute(
            """
            INSERT INTO authorization_held (payer, plan, member, authorization_id, recipient, log_offset)
            VALUES ($1, $2, $3, $4, '', $5) ON CONFLICT DO NOTHING
            """,
            payer, fact.plan, fact.member, authorization_id, fact.log_offset,
        )  # fmt: skip
    rows = await connection.fetch(
        """
        UPDATE authorization_held SET revoked_at = coalesce(revoked_at, $4)
         WHERE payer = $1 AND member = $2 AND ($3::text IS NULL OR authorization_id = $3) RETURNING authorization_id
        """,
        payer, fact.member, authorization_id, fact.log_offset,
    )  # fmt: skip
    found = [row[0] for row in rows]
    await connection.execute(
        """
        UPDATE individual_outcome SET revoked = true, sealed = NULL
         WHERE payer = $1 AND member = $2 AND authorization_id = ANY($3)
        """,
        payer,
        fact.member,
        found,
    )
    return found


async def candidates(connection: Any, payer: str) -> list[Candidate]:
    """Every version of a return that stood while an authorization held, in the order of each log."""
    rows = await connection.fetch(
        """
        SELECT a.plan, a.member, a.authorization_id, a.recipient, a.signed_on, a.expires_on,
               r.status, r.partial_on, r.returned_on, r.lapsed_on
          FROM authorization_held a
          JOIN return_to_work r ON r.payer = a.payer AND r.member = a.member AND r.plan = a.plan
         WHERE a.payer = $1 AND a.recipient <> '' AND r.eligible AND NOT r.conflict
           AND r.status IN ('absent', 'observed', 'sustained', 'lapsed')
           AND (r.to_offset IS NULL OR r.to_offset > a.log_offset)
           AND (a.revoked_at IS NULL OR r.from_offset < a.revoked_at)
         ORDER BY r.partition, r.from_offset, r.episode_id, r.version, a.authorization_id
        """,
        payer,
    )
    return [Candidate(*row) for row in rows]


async def known(connection: Any, ids: Sequence[UUID]) -> set[UUID]:
    """Those of the ids that are told already."""
    rows = await connection.fetch("SELECT event_id FROM individual_outcome WHERE event_id = ANY($1)", list(ids))
    return {row[0] for row in rows}


async def tell(connection: Any, payer: str, rows: Iterable[tuple[UUID, Candidate, bytes | None]]) -> None:
    """Keep what is to be told; without a sealed event where its key is gone."""
    for event_id, one, sealed in rows:
        await connection.execute(
            """
            INSERT INTO individual_outcome
                   (payer, plan, event_id, member, authorization_id, signed_on, expires_on, revoked, sealed)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING
            """,
            payer, one.recipient, event_id, one.member, one.authorization_id, one.signed_on, one.expires_on,
            sealed is None, sealed,
        )  # fmt: skip


async def expire(connection: Any, payer: str, today: date) -> list[tuple[str, str]]:
    """Take the payload from what is told under authorizations that are over; (member, authorization) of each."""
    rows = await connection.fetch(
        """
        UPDATE individual_outcome SET sealed = NULL
         WHERE payer = $1 AND expires_on < $2 AND sealed IS NOT NULL RETURNING member, authorization_id
        """,
        payer,
        today,
    )
    return sorted({(row[0], row[1]) for row in rows})


_TOLD = "number, event_id, payer, member, authorization_id, plan, signed_on, expires_on, revoked, sealed"


async def told_after(connection: Any, payer: str, recipient: str, number: int, most: int) -> list[Told]:
    """What is told to a recipient behind a place."""
    async with seen_by(connection, Tenant("employer", payer, recipient)):
        rows = await connection.fetch(
            f"SELECT {_TOLD} FROM individual_outcome "  # noqa: S608 - our own columns
            "WHERE payer = $1 AND plan = $2 AND number > $3 ORDER BY number LIMIT $4",
            payer, recipient, number, most,
        )  # fmt: skip
    return [Told(*row) for row in rows]


async def told_one(connection: Any, payer: str, recipient: str, event_id: UUID) -> Told | None:
    """One of them by its id."""
    async with seen_by(connection, Tenant("employer", payer, recipient)):
        row = await connection.fetchrow(
            f"SELECT {_TOLD} FROM individual_outcome WHERE payer = $1 AND plan = $2 AND event_id = $3",  # noqa: S608
            payer, recipient, event_id,
        )  # fmt: skip
    return None if row is None else Told(*row)
