"""What became of a subscriber's endpoint, as an operator's act: a feed is disclosed to it, whoever said so.

The secret stands there sealed under a key of the key store, so that the log opens nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from contracts.events.base import RecordId
from contracts.events.operations import OperatorAct, Words


class EndpointChanged(OperatorAct):
    """An endpoint of webhooks was made, stopped, resumed, tried, set back, given a new secret, or deleted.

    `disabled` is the deliverer's, for the reason in `why`. A database that was lost gets its endpoints again from
    these, paused: whoever they belong to says when they go on.
    """

    endpoint_id: RecordId
    role: Literal["payer", "employer", "practice"]
    practice: Annotated[str, Field(max_length=64)] = ""
    change: Literal["created", "paused", "resumed", "rotated", "tested", "replayed", "disabled", "deleted"]
    url: Annotated[str, Field(max_length=2_000, description="of one that was created")] = ""
    event_types: Annotated[tuple[str, ...], Field(max_length=50, description="only these; none: all")] = ()
    at_once: Annotated[int, Field(ge=0, le=64)] = 0
    sealed_secret: Annotated[str, Field(max_length=400, pattern=r"^[A-Za-z0-9+/=]*$")] = ""
    old_until: Annotated[AwareDatetime | None, Field(description="until when the former secret signs too")] = None
    why: Annotated[Words | None, Field(description="of one that was disabled")] = None
