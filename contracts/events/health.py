"""What patients report, clinicians record, and programmes do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.events.base import (
    SEALED,
    Cents,
    Code,
    Day,
    Icd10,
    MemberFact,
    Model,
    Ndc,
    Npi,
    Practice,
    RecordId,
    Text,
    Units,
)


class EproItem(Model):
    """One answer: the code system and code of the question, and a value on its scale."""

    code_system: Code
    code: Code
    value: Units | None = None


class EproScore(Model):
    """A score of the instrument, as sent."""

    name: Code
    value: Units


class EproResponseReceived(MemberFact):
    """A completed, amended or withdrawn questionnaire."""

    response_id: RecordId
    instrument: Code
    instrument_version: Code
    collected_on: Day
    status: Literal["completed", "amended", "entered_in_error"] = "completed"
    mode: Literal["patient", "caregiver", "telephone", "unknown"] = "patient"
    practice: Practice | None = None
    items: Annotated[tuple[EproItem, ...], Field(max_length=300)] = ()
    scores: Annotated[tuple[EproScore, ...], Field(max_length=50)] = ()
    comment: Annotated[Text | None, Field(json_schema_extra=SEALED)] = None


class ClinicalFactRecorded(MemberFact):
    """Stage, spread or marker of a cancer, as recorded by the practice.

    `initial_diagnosis` is known by its day, `observed_on`; its value is that of the cancer's code.
    """

    record_id: RecordId
    observed_on: Day
    element: Literal[
        "stage", "ever_metastatic", "er", "pr", "her2", "histology", "status_trend", "recurrence",
        "initial_diagnosis", "tnm_t", "tnm_n", "tnm_m",
    ]  # fmt: skip
    value: Code
    diagnosis: Icd10 | None = None
    status: Literal["final", "amended", "entered_in_error"] = "final"


class Sociodemographics(Model):
    """What a patient says of themself; an element not asked is absent, one not answered is `declined`."""

    race: tuple[Code, ...] = ()
    ethnicity: Code | None = None
    language: Code | None = None
    gender_identity: Code | None = None
    sexual_orientation: Code | None = None


class SociodemographicsRecorded(MemberFact):
    """A practice asked a patient for sociodemographic data. The answers are sealed; that they are there is not."""

    record_id: RecordId
    recorded_on: Day
    practice: Practice | None = None
    status: Literal["final", "amended", "entered_in_error"] = "final"
    answers: Annotated[Sociodemographics | None, Field(json_schema_extra=SEALED)] = None


class ProgramContactRecorded(MemberFact):
    """A contact of navigation, palliative, behavioural or another programme with the member or a caregiver."""

    record_id: RecordId
    program: Literal["navigation", "palliative", "behavioral", "hrsn", "care_plan", "after_hours", "survivorship"]
    contact_on: Day
    contact: Literal["offered", "reached", "declined", "closed"]
    party: Literal["member", "caregiver"] = "member"
    practice: Practice | None = None
    components: Annotated[tuple[Code, ...], Field(max_length=40, description="of a care plan: what it contains")] = ()
    note: Annotated[Text | None, Field(json_schema_extra=SEALED)] = None


class PriorAuthorizationRequested(MemberFact):
    """A practice asked the plan to approve a service."""

    request_id: RecordId
    requested_on: Day
    code: Code
    diagnosis: Icd10 | None = None
    urgent: bool = False
    practice: Practice | None = None


class PriorAuthorizationDecided(MemberFact):
    """The plan answered; an overturned denial is a later decision on the same request."""

    request_id: RecordId
    decided_on: Day
    decision: Literal["approved", "denied", "partial", "withdrawn", "overturned"]
    reason: Code | None = None
    hours: Units | None = None


class ExperienceSurveyReceived(MemberFact):
    """A patient's experience-of-care survey, by composite."""

    response_id: RecordId
    survey: Code
    completed_on: Day
    practice: Practice | None = None
    scores: Annotated[tuple[EproScore, ...], Field(max_length=50)] = ()
    comment: Annotated[Text | None, Field(json_schema_extra=SEALED)] = None


class FormularyTierSet(MemberFact):
    """The tier and cost share of a drug under the member's benefit, from a day on."""

    ndc: Ndc | None = None
    code: Code | None = None
    tier: Annotated[int, Field(ge=0, le=9)]
    member_cost_cents: Cents | None = None
    from_on: Day


class RosterAttested(MemberFact):
    """The member belongs to a medical home or centre-of-excellence programme from a day on."""

    program: Literal["medical_home", "center_of_excellence", "network"]
    provider: Npi
    from_on: Day
    through_on: Day | None = None
