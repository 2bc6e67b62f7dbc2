"""The envelope of every event: CloudEvents 1.0 in structured JSON, and the ids derived from it.

`payer`, `plan`, `contentdigest`, `sealed`, `shiftyears`, `factid`, `cause`, `sequence`, `findings` and `sensitivity`
are extension attributes.
`contentdigest` is a keyed digest of the plaintext content: one id with another digest is a conflict, never a
duplicate. `sealed` is the encrypted personal part; nothing behind the door opens it. `findings` are warnings of a
validator, apart by blanks; they are no part of the content, so that a later check of the same record changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from contracts.events.base import Event, Model
from contracts.parts import Ref, ref_to

NAMESPACE = UUID("6f0c9a52-3c1f-5b3e-9d55-0d3d6a0f7c11")
"""Of all ids carepact derives. Changing it would change every id ever made."""

MAX_FACT_BYTES = 512_000
FINDINGS_MAX = 2_000
"""Characters of an envelope's `findings`."""


class Envelope(Model):
    """One event as stored in a log topic (structured mode, `application/cloudevents+json`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    specversion: Literal["1.0"] = "1.0"
    id: Annotated[str, Field(min_length=36, max_length=36)]
    source: Annotated[str, Field(min_length=1, max_length=200)]
    type: Annotated[str, Field(pattern=r"^carepact\.[A-Za-z]+\.v[0-9]+$")]
    subject: Annotated[str | None, Field(max_length=64, description="the member's token; absent when broadcast")] = None
    time: Annotated[str | None, Field(description="UTC, when the producer said it happened")] = None
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: Annotated[str, Field(pattern=r"^urn:carepact:event:[A-Za-z]+:[0-9]+$")]
    payer: Annotated[str, Field(min_length=1, max_length=64)]
    plan: Annotated[str, Field(max_length=64, description="the employer's plan, the tenant; empty elsewhere")] = ""
    contentdigest: Annotated[str | None, Field(pattern=r"^[0-9a-f]{32}$")] = None
    sealed: str | None = None
    shiftyears: int | None = None
    factid: Annotated[str | None, Field(description="the id shared by all partitions' copies of a broadcast")] = None
    cause: Annotated[str | None, Field(description="of a fact written again under another token: the link's id")] = None
    sequence: Annotated[str | None, Field(description="per-subject order of emitted events")] = None
    sensitivity: Annotated[
        Literal["part2"] | None, Field(description="a record of substance use treatment under 42 CFR Part 2")
    ] = None
    findings: Annotated[
        str | None, Field(max_length=FINDINGS_MAX, description="what a check has against the record as sent")
    ] = None
    data: dict[str, Any]


@dataclass(slots=True)
class Fact:
    """One record of a log, read and decoded: what `evolve` and `decide` are given.

    `data` is the stored model of `type`, or a structure equal to it. `known_at` is the log's append time in
    milliseconds since 1970, UTC. `fact_id` is the event id, but for a broadcast the id all partitions share.
    `sensitivity` is `part2` of a record under 42 CFR Part 2, which goes into nothing that an employer is told.
    """

    event_id: str
    fact_id: str
    type: str
    member: str
    plan: str
    data: Any
    topic: str
    partition: int
    offset: int
    known_at: int
    digest: str
    sensitivity: str = ""

    @property
    def ref(self) -> Ref:
        """The fact as parts name it."""
        return ref_to(self.fact_id, self.type, self.offset)


def schema_urn(model: type[Event]) -> str:
    """The `dataschema` of an event type, for example `urn:carepact:event:DayClosed:1`."""
    return f"urn:carepact:event:{model.__name__}:{model.VERSION}"


def log_id(payer: str, source: str, producer_id: str, member: str) -> str:
    """The id of a member's fact: equal ids fall into one partition, because the member is part of it (seam 1)."""
    return _uuid5(f"fact|{payer}|{source}|{producer_id}|{member}")


def _uuid5(name: str) -> str:
    """`str(uuid5(NAMESPACE, name))`, without the objects between: there is one for each fact and payment."""
    made = _NAMESPACE_HASHED.copy()
    made.update(name.encode())
    text = made.hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


_NAMESPACE_HASHED = sha1(NAMESPACE.bytes, usedforsecurity=False)
_VARIANT = {f"{n:x}": f"{n & 3 | 8:x}" for n in range(16)}


def broadcast_fact_id(payer: str, source: str, producer_id: str) -> str:
    """The partition-free id of a fact about no one member."""
    return _uuid5(f"broadcast|{payer}|{source}|{producer_id}")


def broadcast_copy_id(fact_id: str, partition: int) -> str:
    """The id of a broadcast's copy in one partition (seam 4)."""
    return _uuid5(f"copy|{fact_id}|{partition}")


def payment_id(contract: str, subject: str, kind: str, period: str, cause: str, reverses: str, ordinal: int) -> str:
    """The id of a payment or reversal; `contract` is without its version (seam 11)."""
    return _uuid5(f"payment|{contract}|{subject}|{kind}|{period}|{cause}|{reverses}|{ordinal}")


def episode_version_id(episode: str, version: int) -> str:
    """The id of the event that tells of an episode's version."""
    return _uuid5(f"episode version|{episode}|{version}")


def episode_id(payer: str, plan: str, contract: str, member: str, started_on: str) -> str:
    """The id of a member's episode: its start day names it, in whatever order the claims came."""
    return _uuid5(f"episode|{payer}|{plan}|{contract}|{member}|{started_on}")
