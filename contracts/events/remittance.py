"""What payers say they paid, and premiums they were paid: remittances as facts of their own.

A remittance about a provider's claim names the payer's claim, not one of our payments; it stands beside the claims and
moves no payment. Where it names a payment of ours, the fact is `PaymentRemitted` or `PaymentReturned`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.events.base import (
    SEALED,
    BroadcastFact,
    Cents,
    Code,
    Day,
    Hcpcs,
    MemberFact,
    Model,
    Ndc,
    Npi,
    Practice,
    RecordId,
    Text,
    Units,
)

AdjustmentGroup = Literal["CO", "OA", "PI", "PR"]


class ClaimAdjustment(Model):
    """Why less (positive) or more (negative) was paid than charged: X12 CAS, group and reason (code source 139)."""

    group: AdjustmentGroup
    reason: Annotated[str, Field(pattern=r"^[A-Z0-9]{1,5}$")]
    amount_cents: Cents
    quantity: Units | None = None


class RemittedLine(Model):
    """One service of a remitted claim. Charge minus adjustments is what was paid."""

    line: Annotated[int, Field(ge=1, le=9999)]
    service_on: Day | None = None
    code: Hcpcs | None = None
    modifiers: tuple[Code, ...] = ()
    ndc: Ndc | None = None
    revenue_center: Annotated[str, Field(pattern=r"^[0-9]{4}$")] | None = None
    charge_cents: Cents
    paid_cents: Cents
    allowed_cents: Cents | None = None
    units: Units | None = None
    adjustments: tuple[ClaimAdjustment, ...] = ()


class ClaimRemitted(MemberFact):
    """What a payer paid a provider on one claim, or took back (`reversal`, its amounts negative).

    `family` is the payer's claim control number, where there is one; `submission` is the id that the claim has when it
    was sent as an 837 by this payee. A reversal and the payment that corrects it are two facts of one family.
    """

    family: RecordId
    submission: Annotated[RecordId | None, Field(description="claim_id of the submitted claim, keyed")] = None
    status: Annotated[Code, Field(description="X12 CLP02: 1 primary, 2 secondary, 3 tertiary, 4 denied, 22 reversal")]
    reversal: bool = False
    remitted_on: Day
    charge_cents: Cents
    paid_cents: Cents
    member_owes_cents: Cents = 0
    payee: Annotated[Practice | None, Field(description="TIN or NPI")] = None
    trace: Annotated[RecordId | None, Field(description="of the payment, with its remittance: TRN02")] = None
    filing: Annotated[Code | None, Field(description="X12 CLP06: MB, MA, 12, ...")] = None
    facility_type: Annotated[Code | None, Field(description="X12 CLP08: place of service, or type of facility")] = None
    frequency: Annotated[Code | None, Field(description="X12 CLP09: 1, 7, 8, ...")] = None
    drg: Annotated[str, Field(pattern=r"^[0-9]{3,4}$")] | None = None
    rendering_npi: Npi | None = None
    from_on: Day | None = None
    through_on: Day | None = None
    adjustments: tuple[ClaimAdjustment, ...] = ()
    lines: Annotated[tuple[RemittedLine, ...], Field(max_length=999)] = ()
    patient_control_number: Annotated[Text | None, Field(json_schema_extra=SEALED)] = None


class ProviderAdjustment(Model):
    """Money of a remittance that no claim explains: X12 PLB. Positive lowers the payment, negative raises it."""

    reason: Annotated[Code, Field(description="WO recoupment, FB forward balance, L6 interest, CV capital, ...")]
    amount_cents: Cents
    year_end: Annotated[Day | None, Field(description="the last day of the provider's fiscal year")] = None
    payment_id: Annotated[RecordId | None, Field(description="the payment of ours that it names")] = None


class GroupPremium(Model):
    """A premium that a sponsor paid for a group: X12 820, an organization's RMR."""

    reference: Annotated[Code | None, Field(description="X12 RMR01: what the number paid for is")] = None
    paid_cents: Cents
    billed_cents: Cents | None = None
    from_on: Day | None = None
    through_on: Day | None = None
    members: Annotated[int | None, Field(ge=0)] = None


class RemittanceReceived(BroadcastFact):
    """One payment between a payer and a payee as its remittance tells it, balanced.

    Of claims (835): `amount_cents` is the sum of the claims' paid amounts minus that of the adjustments. Of premiums
    (820): the sum of the premiums plus the adjustments. One that does not balance is no fact but a reject.
    """

    kind: Literal["claims", "premiums"]
    remitted_on: Day
    amount_cents: Cents
    method: Annotated[Code | None, Field(description="X12 BPR04: ACH, CHK, NON, ...")] = None
    trace: RecordId | None = None
    payee: Annotated[Practice | None, Field(description="TIN or NPI, of claims")] = None
    items: Annotated[int, Field(ge=0, description="claim payments, or premiums")]
    items_cents: Cents
    adjustments: Annotated[tuple[ProviderAdjustment, ...], Field(max_length=9999)] = ()
    premiums: Annotated[tuple[GroupPremium, ...], Field(max_length=9999)] = ()


class PremiumPaid(MemberFact):
    """A premium paid for one member (X12 820, an individual's RMR); for a group see `RemittanceReceived`."""

    remitted_on: Day
    paid_cents: Cents
    billed_cents: Cents | None = None
    from_on: Day | None = None
    through_on: Day | None = None
    trace: RecordId | None = None
    adjustment_cents: Annotated[Cents, Field(description="of this payment; in `paid_cents` already")] = 0
