"""Practices, networks, reference values, terms and time: facts about no one member, sent to every partition."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.events.base import BroadcastFact, Code, Day, Npi, Practice, RecordId, Text


class PracticeParticipationChanged(BroadcastFact):
    """A practice takes part in a contract, or ceases to, for the days named; the newest fact wins."""

    practice: Practice
    from_on: Day
    through_on: Day | None = None
    participates: bool = True
    cohort: Annotated[int, Field(ge=1, le=9)] | None = None
    pool: Code | None = None
    name: Text | None = None


class RiskArrangementSet(BroadcastFact):
    """The risk arrangement of a practice from a performance period on."""

    practice: Practice
    arrangement: Code
    from_period: Annotated[int, Field(ge=1, le=99)]


class NetworkRosterChanged(BroadcastFact):
    """A provider is in a network, a centre-of-excellence list or a medical-home list for the days named."""

    roster: Literal["network", "center_of_excellence", "medical_home"]
    provider: Npi
    tin: Practice | None = None
    from_on: Day
    through_on: Day | None = None
    listed: bool = True


class ReferenceValueSet(BroadcastFact):
    """A figure the payer publishes outside the contract: benchmark, coefficient, trend, winsor limit."""

    name: Code
    key: Annotated[str, Field(max_length=120)]
    value: Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
    unit: Text
    from_on: Day
    source: Text


class TermsAdopted(BroadcastFact):
    """From this position on the contract's terms are these: the sheet's whole content and its digest."""

    contract: Code
    plan: Annotated[str, Field(max_length=64, description="the employer plan it is for; empty for all")] = ""
    sheet_version: Code
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    content: dict[str, Any]


class ContractAdopted(BroadcastFact):
    """From this position on the contract's clauses are those of this build; another build refuses the partition."""

    contract: Code
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    build: Code


class DayClosed(BroadcastFact):
    """Time has passed: everything due through this day is decided."""

    through_on: Day


class LogOpened(BroadcastFact):
    """Offset 0 of a partition: names the log, so that a recreated or shortened one is recognised."""

    log_id: RecordId
    payer: Code
    partition: Annotated[int, Field(ge=0)]


class ReconciliationRequested(BroadcastFact):
    """A settlement is asked for at a fixed cut: the next offset of every partition of the payer's log."""

    request_id: RecordId
    contract: Code
    period: Annotated[int, Field(ge=1, le=99)]
    run: Literal["initial", "true-up"]
    cut: dict[str, Annotated[int, Field(ge=0)]]
