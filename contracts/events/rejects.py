"""What could not be taken in, as an event of its own: the table of rejects is made from these (seam 18)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contracts.events.base import Code, Event, RecordId, Text


class RejectRecorded(Event):
    """A record was refused at the door. Its raw bytes are sealed in the envelope, under a key of their own.

    The id is derived from payer, plan, place, code and raw bytes, so the same file sent again makes no new reject.
    """

    reject_id: RecordId
    payer: Code
    plan: Annotated[str, Field(max_length=64)] = ""
    code: Code
    reason: Text
    remedy: Text
    file: Annotated[Text, Field(description="file name, or topic/partition of an inbox")] = ""
    line: Annotated[int, Field(ge=0, description="1-based line of a file, or offset in an inbox")] = 0
    field: Annotated[Text, Field(description="JSON pointer or column of what is wrong; empty when it is the whole")] = (
        ""
    )
    rows: Annotated[int, Field(ge=0)] = 1
    held_against: Annotated[
        Text, Field(description="the event's schema with its version, or the catalogue's where the event was not known")
    ] = ""
    format: Annotated[Code, Field(description="in which the kept bytes are read again")] = "ndjson"
    shift_years: Annotated[int, Field(description="by which its days were to be moved")] = 0
    head_bytes: Annotated[int, Field(ge=0, description="size of the table's header, kept before the record")] = 0
    raw_bytes: Annotated[int, Field(ge=0, description="size of the record as sent")] = 0
    kept_bytes: Annotated[int, Field(ge=0, description="how much of it is kept, sealed")] = 0
