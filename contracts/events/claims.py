"""Claims as payers adjudicate them: professional, institutional and pharmacy, with every version of each.

A claim is a *family* of records that share the payer's claim control number: an original, and what later
replaced, adjusted or voided it. A void's amounts are those of what it takes away, not negated (CMS CCLF
Information Packet v36).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.events.base import (
    SEALED,
    Cents,
    Code,
    Day,
    Hcpcs,
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

Action = Literal["original", "replacement", "adjustment", "void"]
Setting = Literal["outpatient", "inpatient", "skilled_nursing", "home_health", "hospice", "other"]
Sensitivity = Literal["part2"]
SentCodes = Annotated[tuple[Code, ...], Field(description="as sent, where `code_mapping` made `diagnoses`")]


class ClaimLine(Model):
    """One service of a claim. `diagnoses` are those the line points to, the first its main one."""

    line: Annotated[int, Field(ge=1, le=999)]
    service_on: Day
    code: Hcpcs | None = None
    modifiers: tuple[Code, ...] = ()
    ndc: Ndc | None = None
    revenue_center: Annotated[str, Field(pattern=r"^[0-9]{4}$")] | None = None
    diagnoses: tuple[Icd10, ...] = ()
    source_diagnoses: SentCodes = ()
    units: Units | None = None
    charge_cents: Cents | None = None
    noncovered_cents: Cents = 0
    allowed_cents: Cents | None = None
    paid_cents: Cents = 0
    standardized_cents: Cents | None = None
    place_of_service: Annotated[str, Field(pattern=r"^[0-9]{2}$")] | None = None
    rendering_npi: Npi | None = None
    rendering_tin: Practice | None = None
    denied: bool = False


class Claim(MemberFact):
    """What all three forms of claim share."""

    claim_id: RecordId
    family: Annotated[RecordId, Field(description="the claim control number shared by every version of one claim")]
    action: Action = "original"
    replaces: Annotated[RecordId | None, Field(description="claim_id displaced by a replacement or void")] = None
    effective_on: Annotated[Day, Field(description="the day the payer made this version")]
    denied: bool = False
    primary_payer: Annotated[str, Field(pattern=r"^[A-Z]$")] | None = None
    sensitivity: tuple[Sensitivity, ...] = ()
    code_mapping: Annotated[str | None, Field(description="the dated table by which codes were translated")] = None
    source_diagnoses: SentCodes = ()
    patient_control_number: Annotated[Text | None, Field(json_schema_extra=SEALED)] = None


class ProfessionalClaimReceived(Claim):
    """A physician's or supplier's claim; money and dates stand on the lines."""

    supplier: Literal["physician", "dmepos"] = "physician"
    from_on: Day
    through_on: Day
    billing_tin: Practice | None = None
    billing_npi: Npi | None = None
    diagnoses: tuple[Icd10, ...] = ()
    lines: Annotated[tuple[ClaimLine, ...], Field(min_length=1, max_length=999)]


class InstitutionalClaimReceived(Claim):
    """A facility's claim; its paid amount stands on the claim and never once per line."""

    setting: Setting
    type_of_bill: Annotated[str, Field(pattern=r"^[0-9A-Z]{3,4}$")] | None = None
    facility: Npi | None = None
    from_on: Day
    through_on: Day
    admitted_on: Day | None = None
    discharged_on: Day | None = None
    billing_tin: Practice | None = None
    billing_npi: Npi | None = None
    diagnoses: tuple[Icd10, ...] = ()
    procedures: tuple[Annotated[str, Field(pattern=r"^[A-Z0-9]{3,7}$")], ...] = ()
    drg: Annotated[str, Field(pattern=r"^[0-9]{3,4}$")] | None = None
    paid_cents: Cents = 0
    allowed_cents: Cents | None = None
    standardized_cents: Cents | None = None
    lines: Annotated[tuple[ClaimLine, ...], Field(max_length=999)] = ()


class PharmacyClaimReceived(Claim):
    """One fill of a drug. The two subsidy amounts are what Part D counts in an episode (EOM 1.8)."""

    filled_on: Day
    ndc: Ndc | None = None
    quantity: Units | None = None
    days_supply: Annotated[int, Field(ge=0, le=999)] | None = None
    pharmacy_npi: Npi | None = None
    prescriber_npi: Npi | None = None
    paid_cents: Cents = 0
    total_cost_cents: Cents | None = None
    member_paid_cents: Cents | None = None
    low_income_subsidy_cents: Cents = 0
    above_threshold_cents: Cents = 0
