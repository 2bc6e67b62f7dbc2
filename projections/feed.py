"""What was emitted to a subscriber, in an order in which nothing can appear behind what was read.

Rows are ordered by the transaction that made them, and only those of transactions below the snapshot's horizon are
told: all that is older has ended by then. A long transaction delays a feed and loses nothing. Transaction ids belong
to one history of one database: after a rebuild was switched in, or a database was restored, a feed begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from projections.tenancy import Tenant, seen_by

_HISTORY = """
    SELECT hashtextextended(concat_ws('|', (SELECT system_identifier FROM pg_control_system()),
                                           (SELECT timeline_id FROM pg_control_checkpoint()),
                                           'payment'::regclass::oid), 0)
"""
_PAYMENTS = "SELECT made_by, member AS subject, sequence, payment_id AS event_id, event, payer FROM payment"
_SETTLED = """
    SELECT made_by, practice AS subject, 0 AS sequence, settlement_id AS event_id, event, payer FROM settlement
    UNION ALL
    SELECT made_by, practice, ordinal::bigint + 1, payment_id, event, payer FROM settlement_payment
"""
_OUTCOMES = """
    SELECT made_by, plan AS subject, ordinal * 1000000::bigint + number AS sequence, event_id, event, payer
      FROM employer_outcome
"""
_PAGE = """
    SELECT made_by::text::bigint AS made_by, subject, sequence, event_id, event FROM ({rows}) AS emitted
     WHERE payer = $1 AND made_by < pg_snapshot_xmin(pg_current_snapshot()) AND made_by >= $2::text::xid8
       AND (made_by, subject COLLATE "C", sequence, event_id)
         > ($2::text::xid8, $3::text COLLATE "C", $4::bigint, $5::uuid)
     ORDER BY made_by, subject COLLATE "C", sequence, event_id LIMIT $6
"""
FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Place:
    """Behind which event a reader stands. `history` is of the database whose transactions `made_by` counts."""

    history: int
    made_by: int = 0
    subject: str = ""
    sequence: int = 0
    event_id: UUID = FIRST


class OtherHistory(Exception):
    """The place is one of another database, or of tables that others took the place of."""


async def emitted_after(
    connection: Any, tenant: Tenant, after: Place | None, most: int
) -> tuple[Sequence[bytes], Place, bool]:
    """The events behind a place, byte for byte; where that leads; and whether nothing more is there now."""
    rows = _OUTCOMES if tenant.role == "employer" else f"{_PAYMENTS} UNION ALL {_SETTLED}"
    async with seen_by(connection, tenant):
        history = await connection.fetchval(_HISTORY)
        if after is not None and after.history != history:
            raise OtherHistory
        at = after or Place(history)
        found = await connection.fetch(
            _PAGE.format(rows=rows),
            tenant.payer,
            str(at.made_by),
            at.subject,
            at.sequence,
            at.event_id,
            most + 1,
        )
    page = found[:most]
    if page:
        last = page[-1]
        at = Place(history, last["made_by"], last["subject"], last["sequence"], last["event_id"])
    return [row["event"] for row in page], at, len(found) <= most
