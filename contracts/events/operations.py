"""What operators did, as events first: their table is made from these and from nothing else (seam 18).

None of them carries patient data. A member is a token, a record is the id of its reject, and of a file's name there is
a keyed digest and its ending, since names of files may name people.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from contracts.events.base import Code, Event, Model

FILES_MAX = 5_000
REJECTS_MAX = 10_000
EVERY_PAYER = "-"
"""In place of a payer, in an act that is about none in particular."""

Count = Annotated[int, Field(ge=0)]
Token = Annotated[str, Field(pattern=r"^[a-z2-7]{26}$", description="the member's token")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{32,64}$")]
RejectId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
By = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Words = Annotated[
    str,
    Field(
        min_length=1, max_length=2000, pattern=r"^[^\x00]+$", description="an operator's own; it is to name no patient"
    ),
]
CredentialId = Annotated[str, Field(pattern=r"^[a-z2-7]{16}$", description="the part of a key that is no secret")]
Role = Literal["payer", "employer", "practice", "operator", "auditor", "break_glass"]


class OperatorAct(Event):
    """What all acts of operators say: on which payer's behalf, and who acted."""

    payer: Code
    plan: Annotated[str, Field(max_length=64)] = ""
    by: Annotated[By, Field(description="the principal, and the user of the machine")]


class SubmittedFile(Model):
    """One file of a run."""

    name_digest: Annotated[Digest, Field(description="of the name without folders, under the payer's content key")]
    ending: Annotated[str, Field(max_length=16, pattern=r"^(\.[a-z0-9]+)*$", description="if it is a known one")] = ""
    size_bytes: Count = 0
    content_digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$", description="under the payer's content key")] = (
        ""
    )


Counts = dict[Code, Count]


class QualityCard(Model):
    """What the rows of a run were like, counted as they were read, duplicates among them."""

    facts: Counts = Field(default_factory=dict, description="by family")
    paid_cents: Annotated[int, Field(description="of claims; those that are void taken off")] = 0
    late: Counts = Field(default_factory=dict, description="claims, by days from the last service to this version")
    asked: Counts = Field(default_factory=dict, description="how often a field could have been there")
    missing: Counts = Field(default_factory=dict, description="and was not")
    untranslated: Annotated[Count, Field(description="codes of another system that no table here translates")] = 0
    codes: Counts = Field(default_factory=dict, description="of claims, by kind; ICD-9 is not among them")
    unknown: Counts = Field(default_factory=dict, description="of these, on no list on the day, or of no such form")
    rejects: Counts = Field(default_factory=dict, description="rows, by code")


class FileRunRecorded(OperatorAct):
    """Files were taken into a payer's log. Of two events of one run the exact one holds.

    Rows are counted when the last record was written; with `exact` the projection has been waited for, and it is
    known which of the accepted ones were duplicates. `complete` is false when the run broke off.
    """

    run_id: Annotated[str, Field(pattern=r"^[0-9a-zA-Z-]{1,64}$")]
    format: Annotated[Code, Field(description="as asked for; auto: told by each file's content")]
    shift_years: Annotated[int, Field(description="by which every day was moved")] = 0
    files: Annotated[tuple[SubmittedFile, ...], Field(max_length=FILES_MAX, description="the first of them")] = ()
    file_count: Count = 0
    rows_read: Count = 0
    rows_accepted: Count = 0
    rows_duplicate: Count = 0
    rows_rejected: Count = 0
    exact: bool = False
    complete: bool = True
    quality: QualityCard | None = None
    started_at: AwareDatetime
    finished_at: AwareDatetime


class RejectRetried(OperatorAct):
    """Rejected records were sent through the door again, as they were or corrected. None rejected: they are done."""

    reject_ids: Annotated[tuple[RejectId, ...], Field(min_length=1, max_length=REJECTS_MAX)]
    corrected: Annotated[bool, Field(description="from a corrected file; else the bytes that were kept")] = False
    rows_read: Count = 0
    rows_accepted: Count = 0
    rows_rejected: Count = 0


class RejectDropped(OperatorAct):
    """A rejected record will not be sent again."""

    reject_id: RejectId
    why: Words


class PersonalDataRead(OperatorAct):
    """Someone asked to see what is sealed. Written before it is opened."""

    what: Annotated[
        Code,
        Field(
            description="reject: the bytes of a rejected record; acknowledgement: a 277CA; submission: who a patient "
            "is, for the payer's model; report, erasure: what is held of a person; else what was listed or explained"
        ),
    ]
    subject: Annotated[
        str,
        Field(
            pattern=r"^[0-9a-zA-Z-]{1,64}$",
            description="the id of the reject or run, or the member's token; - where it is of many members",
        ),
    ]
    purpose: Words
    query: Annotated[
        str, Field(pattern=r"^([0-9a-f]{32})?$", description="a digest of what was asked for, without who asked")
    ] = ""


class DataSubmissionBuilt(OperatorAct):
    """A practice's data of a period were put together for the payer's model. Of the document only its digest is kept.

    Whose sealed part was opened for it stands before it, each as a `PersonalDataRead` of its own.
    """

    practice: Annotated[str, Field(max_length=32, pattern=r"^[A-Za-z0-9-]+$")]
    period: Annotated[int, Field(ge=1, le=99)]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the document's bytes")]
    subjects: Annotated[Count, Field(description="patients in it")]
    withheld: Annotated[Count, Field(description="patients who could not be named, for one reason or another")] = 0
    incomplete: Annotated[Count, Field(description="patients of whom an element asked for is missing")] = 0
    terms: Annotated[str, Field(max_length=64, description="the version of the terms that name the elements")]


class ActivityTold(Model):
    """One of a practice's redesign activities in a month."""

    model_config = ConfigDict(extra="ignore")

    activity: Code
    asked: bool
    shown: bool


class PracticeReadinessTold(OperatorAct):
    """What a practice's month lacks to be billable was told to the practice: activities and counts, no patient."""

    practice: Annotated[str, Field(max_length=32, pattern=r"^[A-Za-z0-9-]+$")]
    month: Annotated[str, Field(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")]
    terms: Annotated[str, Field(max_length=64)]
    takes_part: bool
    activities: tuple[ActivityTold, ...]
    practice_lacks: tuple[Code, ...] = ()
    episodes: Count
    ready: Count
    ready_but_for_the_practice: Count = 0
    paid: Count
    paid_and_lacking: Count = 0
    lacking: Annotated[Counts, Field(description="episodes by what they lack")]


class MemberReleased(OperatorAct):
    """A parked member's facts were folded; it is parked again where `parked_at` names an offset."""

    member: Token
    partition: Count
    facts: Count
    parked_at: Count | None = None
    why: Words


class MemberLinkRequested(OperatorAct):
    """Two members turned out to be one person. What follows stands in the payer's log as `MemberLinked`."""

    survivor: Token
    retired: Token


class SubjectErasureRefused(OperatorAct):
    """A person was to be erased, and is not while a duty to keep what is known of them runs."""

    subject: Token
    duty: Code
    ends_on: Annotated[date, Field(description="the first day on which the duty does not run any more")]
    why: Words


class SubjectErasureRequested(OperatorAct):
    """A person is about to be erased: what names them is looked for, then the keys of it are destroyed."""

    subject: Token
    why: Words


class SubjectErasureDone(OperatorAct):
    """The keys of a person are destroyed. `SubjectErased` stands in the payer's log for each of their tokens."""

    subject: Token
    also: Annotated[tuple[Token, ...], Field(description="tokens of the same person that were retired")] = ()
    facts: Annotated[Count, Field(description="records in the log whose sealed part opens no more")] = 0
    rejects: Annotated[Count, Field(description="rejected records that named them, and open no more")] = 0
    reject_ids: Annotated[
        tuple[RejectId, ...],
        Field(max_length=REJECTS_MAX, description="whose keys no restored store is to have"),
    ] = ()
    rejects_left: Annotated[Count, Field(description="of these, sealed under the payer's key by an older version")] = 0
    acknowledgements: Annotated[Count, Field(description="X12 answers that named them, deleted")] = 0


class ContractAdoptionRequested(OperatorAct):
    """A payer's log is to adopt what a build ships: `TermsAdopted` and `ContractAdopted` follow in the log.

    Digests are those of the build; a log that holds them already adopts nothing.
    """

    contract: Code
    terms_version: Annotated[str, Field(max_length=64)]
    terms_digest: Digest
    clauses_digest: Digest
    build: Annotated[str, Field(max_length=64)]


class CredentialCreated(OperatorAct):
    """A key for the gateway was made and shown once. Only a hash of it is kept, under a key of the key store."""

    credential_id: CredentialId
    role: Role
    name: Annotated[
        str, Field(max_length=64, pattern=r"^[a-z0-9-]*$", description="tells callers of a tenant apart")
    ] = ""
    practice: Annotated[str, Field(max_length=32, pattern=r"^[A-Za-z0-9-]*$", description="of the role practice")] = ""
    scopes: Annotated[tuple[Code, ...], Field(max_length=64, description="what it may do")]
    secret_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="HMAC-SHA256 under the pepper")]
    expires_at: AwareDatetime | None = None
    why: Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$", description="of the role break_glass")] = ""
    kafka: Annotated[bool, Field(description="whether it is a Kafka user of its own too")] = False


class CredentialRevoked(OperatorAct):
    """A key opens nothing any more."""

    credential_id: CredentialId
    why: Words
