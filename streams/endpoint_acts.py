"""Acts about endpoints as rows: what is done already is left, and a database that was lost gets its endpoints again.

The gateway changes its row in the transaction in which it states the act, and notes the act's offset; so live, an act
finds its work done. An endpoint that only its acts know stands paused, and before the first event: how far it came was
the lost database's, and whoever it belongs to says when it goes on. `resumed` therefore does nothing here.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from contracts.events import EndpointChanged, OperatorAct
from projections import webhooks
from projections.tenancy import Tenant
from streams.log_writer import Position

RESTORED = "made again from the log; resume it to have the whole feed sent"

_CREATED = """
    INSERT INTO webhook_endpoint (endpoint_id, role, payer, plan, practice, url, event_types, at_once, secret, status,
                                  why, created_at, created_by, acted_offset)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'paused', $10, $11, $12, $13) ON CONFLICT (endpoint_id) DO NOTHING
"""
_STOPPED = """
    UPDATE webhook_endpoint SET status = $3, why = CASE WHEN why = $5 THEN why ELSE $4 END, acted_offset = $2,
                                generation = generation + 1
     WHERE endpoint_id = $1 AND acted_offset < $2
"""
_ROTATED = """
    UPDATE webhook_endpoint SET old_secret = secret, secret = $3, old_until = $4, acted_offset = $2,
                                generation = generation + 1
     WHERE endpoint_id = $1 AND acted_offset < $2
"""


State = Callable[[OperatorAct], Awaitable[Position]]
"""Has an act in the operations topic; answers where it stands there."""


class Acted(NamedTuple):
    """An act, where it stands in the operations topic, and when that was."""

    act: EndpointChanged
    offset: int
    known_at: datetime


def about(of: Tenant, by: str, endpoint_id: UUID, change: str, **more: Any) -> EndpointChanged:
    """The act of a change to an endpoint of a subscriber's."""
    holder = {"role": of.role, "payer": of.payer, "plan": of.plan, "practice": of.practice}
    return EndpointChanged.model_validate(
        {**holder, "by": by, "endpoint_id": str(endpoint_id), "change": change, **more}
    )


async def apply(connection: Any, acts: Sequence[Acted]) -> None:
    """Bring acts into the table, in the order of the topic."""
    deleted = {each.act.endpoint_id for each in acts if each.act.change == "deleted"}
    for act, offset, known_at in acts:
        name = UUID(act.endpoint_id)
        match act.change:
            case "created" if act.endpoint_id not in deleted:
                holder = act.role, act.payer, act.plan, act.practice
                asked = act.url, list(act.event_types), act.at_once, b64decode(act.sealed_secret)
                await connection.execute(_CREATED, name, *holder, *asked, RESTORED, known_at, act.by, offset)
            case "paused" | "disabled":
                await connection.execute(_STOPPED, name, offset, act.change, act.why or "", RESTORED)
            case "rotated":
                await connection.execute(_ROTATED, name, offset, b64decode(act.sealed_secret), act.old_until)
            case "deleted":
                await webhooks.delete(connection, name)
            case _:
                pass
