"""The catalogue of facts, by their stored type."""

from __future__ import annotations

from contracts.events.authorizations import AuthorizationGiven, AuthorizationRevoked
from contracts.events.base import BroadcastFact, Event, MemberFact, Person, sealed_fields, stored
from contracts.events.claims import (
    ClaimLine,
    InstitutionalClaimReceived,
    PharmacyClaimReceived,
    ProfessionalClaimReceived,
)
from contracts.events.enrollment import (
    EnrollmentChanged,
    EnrollmentFileReceived,
    MemberDescribed,
    MemberLinked,
    MemberRetired,
    SubjectErased,
)
from contracts.events.health import (
    ClinicalFactRecorded,
    EproResponseReceived,
    ExperienceSurveyReceived,
    FormularyTierSet,
    PriorAuthorizationDecided,
    PriorAuthorizationRequested,
    ProgramContactRecorded,
    RosterAttested,
)
from contracts.events.operations import (
    ContractAdoptionRequested,
    CredentialCreated,
    CredentialRevoked,
    FileRunRecorded,
    MemberLinkRequested,
    MemberReleased,
    OperatorAct,
    PersonalDataRead,
    RejectDropped,
    RejectRetried,
)
from contracts.events.payments import PaymentDetermined, PaymentRemitted, PaymentReturned, SettlementAnswered
from contracts.events.practice import (
    ContractAdopted,
    DayClosed,
    LogOpened,
    NetworkRosterChanged,
    PracticeParticipationChanged,
    ReconciliationRequested,
    ReferenceValueSet,
    RiskArrangementSet,
    TermsAdopted,
)
from contracts.events.rejects import RejectRecorded
from contracts.events.releases import EmployerOutcomeReported, OutcomesReleased
from contracts.events.remittance import ClaimRemitted, PremiumPaid, RemittanceReceived
from contracts.events.work import (
    DisabilityClaimChanged,
    EmploymentChanged,
    HoursWorked,
    LeaveChanged,
    ReturnToWorkReported,
    WorkScheduleSet,
)

MEMBER_FACTS: tuple[type[MemberFact], ...] = (
    ProfessionalClaimReceived,
    InstitutionalClaimReceived,
    PharmacyClaimReceived,
    MemberDescribed,
    EnrollmentChanged,
    MemberLinked,
    MemberRetired,
    SubjectErased,
    EproResponseReceived,
    ClinicalFactRecorded,
    ProgramContactRecorded,
    PriorAuthorizationRequested,
    PriorAuthorizationDecided,
    ExperienceSurveyReceived,
    FormularyTierSet,
    RosterAttested,
    WorkScheduleSet,
    HoursWorked,
    LeaveChanged,
    DisabilityClaimChanged,
    ReturnToWorkReported,
    EmploymentChanged,
    PaymentRemitted,
    PaymentReturned,
    ClaimRemitted,
    PremiumPaid,
    AuthorizationGiven,
    AuthorizationRevoked,
)
BROADCAST_FACTS: tuple[type[BroadcastFact], ...] = (
    PracticeParticipationChanged,
    RiskArrangementSet,
    NetworkRosterChanged,
    ReferenceValueSet,
    TermsAdopted,
    ContractAdopted,
    DayClosed,
    LogOpened,
    EnrollmentFileReceived,
    RemittanceReceived,
)
REQUESTS: tuple[type[BroadcastFact], ...] = (ReconciliationRequested,)
EMITTED: tuple[type[Event], ...] = (PaymentDetermined, SettlementAnswered, EmployerOutcomeReported)
REJECTS: tuple[type[Event], ...] = (RejectRecorded,)
OPERATIONS: tuple[type[OperatorAct], ...] = (
    FileRunRecorded,
    RejectRetried,
    RejectDropped,
    PersonalDataRead,
    MemberReleased,
    MemberLinkRequested,
    ContractAdoptionRequested,
    CredentialCreated,
    CredentialRevoked,
    OutcomesReleased,
)

LOG_FACTS: dict[str, type[Event]] = {m.type_name(): m for m in (*MEMBER_FACTS, *BROADCAST_FACTS)}
CATALOGUE: dict[str, type[Event]] = {
    m.type_name(): m for m in (*MEMBER_FACTS, *BROADCAST_FACTS, *REQUESTS, *EMITTED, *REJECTS, *OPERATIONS)
}

__all__ = [
    "BROADCAST_FACTS",
    "CATALOGUE",
    "EMITTED",
    "LOG_FACTS",
    "MEMBER_FACTS",
    "OPERATIONS",
    "REJECTS",
    "REQUESTS",
    "AuthorizationGiven",
    "AuthorizationRevoked",
    "BroadcastFact",
    "ClaimLine",
    "ClaimRemitted",
    "ClinicalFactRecorded",
    "ContractAdopted",
    "ContractAdoptionRequested",
    "CredentialCreated",
    "CredentialRevoked",
    "DayClosed",
    "DisabilityClaimChanged",
    "EmployerOutcomeReported",
    "EmploymentChanged",
    "EnrollmentChanged",
    "EnrollmentFileReceived",
    "EproResponseReceived",
    "Event",
    "ExperienceSurveyReceived",
    "FileRunRecorded",
    "FormularyTierSet",
    "HoursWorked",
    "InstitutionalClaimReceived",
    "LeaveChanged",
    "LogOpened",
    "MemberDescribed",
    "MemberFact",
    "MemberLinkRequested",
    "MemberLinked",
    "MemberReleased",
    "MemberRetired",
    "NetworkRosterChanged",
    "OperatorAct",
    "OutcomesReleased",
    "PaymentDetermined",
    "PaymentRemitted",
    "PaymentReturned",
    "Person",
    "PersonalDataRead",
    "PharmacyClaimReceived",
    "PracticeParticipationChanged",
    "PremiumPaid",
    "PriorAuthorizationDecided",
    "PriorAuthorizationRequested",
    "ProfessionalClaimReceived",
    "ProgramContactRecorded",
    "ReconciliationRequested",
    "ReferenceValueSet",
    "RejectDropped",
    "RejectRecorded",
    "RejectRetried",
    "RemittanceReceived",
    "ReturnToWorkReported",
    "RiskArrangementSet",
    "RosterAttested",
    "SettlementAnswered",
    "SubjectErased",
    "TermsAdopted",
    "WorkScheduleSet",
    "sealed_fields",
    "stored",
]
