"""What is owed, what was sent, and what came back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.events.base import Cents, Code, Day, Event, MemberFact, Model, Practice, RecordId, Text


class PositionRef(Model):
    """Where a fact stands in the log."""

    topic: Text
    partition: int
    offset: int


class TermUse(Model):
    """A dated value that a line used, with its source and standing."""

    name: Code
    value: Text
    unit: Text
    from_on: Annotated[str, Field(alias="from")]
    dated_by: Text
    source: Text
    status: Literal["found", "known", "open", "illustrative"]
    illustrative: bool


class PaymentLine(Model):
    """One addend of a payment: the clause, the arithmetic in words, and its cents."""

    clause: Code
    label: Text
    arithmetic: Text
    amount_cents: Cents
    terms: tuple[TermUse, ...]


class FactUse(Model):
    """A fact a payment rests on, and what it says for it."""

    event_id: RecordId
    type: Text
    position: PositionRef
    says: Text


class PaymentDetermined(Event):
    """A payment, or the exact negative of an earlier one (`reverses`), with all that explains it.

    Identity: UUIDv5 of contract, subject, kind, period, cause, reversed payment and ordinal (seam 11).
    """

    payment_id: RecordId
    payer: Code
    plan: str
    contract: Code
    contract_version: Text
    contract_digest: Text
    kind: Code
    amount_cents: Cents
    currency: Literal["USD"] = "USD"
    member: RecordId | None
    episode_id: RecordId | None
    practice: Practice | None
    period: Text
    effective_on: Day
    reverses: RecordId | None
    supersedes: RecordId | None
    cause: RecordId
    cause_kind: Code
    lines: tuple[PaymentLine, ...]
    facts: tuple[FactUse, ...]
    position: PositionRef


class RecoupmentRiskChanged(PaymentDetermined):
    """A warning that a month paid on a claim would come back as things stand, or (`reverses`) that it would no longer.

    It moves no money: its amount is 0. It stands in the member's sequence of payments, under ids made as theirs are.
    """

    at_risk_cents: Annotated[Cents, Field(description="what would come back; below 0 it is no longer at risk")]
    reason: Annotated[Code, Field(description="no_episode, episode_void, other_practice, ...")]


class EpisodeChanged(Event):
    """A version of an episode, as it stands until the next: who is treated, since when, and whether it counts.

    Its subject is the episode and its sequence the version. Identity: UUIDv5 of episode and version. A payer gets it;
    a practice and an employer do not.
    """

    episode_id: RecordId
    version: int
    payer: Code
    plan: str
    contract: Code
    member: RecordId
    started_on: Day
    ends_on: Day
    performance_period: int
    cancer_type: str
    status: Code
    void_reason: str
    included: bool
    exclusion: str
    practice: str
    opened_by: str
    closed: bool
    cause: RecordId
    position: PositionRef


class PaymentRemitted(MemberFact):
    """Money for a determination moved: from an 835, a bank file or by hand."""

    payment_id: RecordId
    amount_cents: Cents
    remitted_on: Day
    source: Literal["835", "bank", "manual"]
    trace: RecordId | None = None


class PaymentReturned(MemberFact):
    """Money came back."""

    payment_id: RecordId
    amount_cents: Cents
    returned_on: Day
    source: Literal["835", "bank", "manual"]
    reason: Code | None = None


class SettlementAnswered(Event):
    """The answer to a reconciliation request: the episodes and payments of a practice and period as of its cut."""

    request_id: RecordId
    payer: Code
    contract: Code
    practice: Practice | None
    period: int
    run: Literal["initial", "true-up"]
    episodes: int
    included: int
    expenditure_cents: Cents
    payments_cents: Cents
    pending: tuple[Code, ...]
    said: Annotated[tuple[Code, ...], Field(description="what was not known, and left out")] = ()
    pool: Code | None = None
    benchmark_cents: Cents | None = None
    actual_cents: Annotated[Cents | None, Field(description="what counts of the settled episodes' cost")] = None
    zone: Literal["earned", "neutral", "owed"] | None = None
    quality_score: Annotated[str | None, Field(description="per cent, of the practice or its pool")] = None
    share_cents: Annotated[Cents, Field(description="the practice's part; below 0 it owes")] = 0
    pbp_cents: Annotated[Cents, Field(description="moved by this run")] = 0
    pbr_cents: Annotated[Cents, Field(description="moved by this run, below 0 when owed")] = 0
    recouped_cents: Annotated[Cents, Field(description="moved by this run, below 0")] = 0
    moved_cents: Annotated[Cents, Field(description="moved by this run in all")] = 0
    plan: Annotated[str, Field(max_length=64, description="the employer's plan, where there are plans")] = ""
    pack_digest: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the pack")] = None
