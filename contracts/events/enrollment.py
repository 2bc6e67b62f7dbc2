"""Who was covered by what, when; and what else is known of a member."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.events.base import BroadcastFact, Code, Day, MemberFact, RecordId

Coverage = Literal[
    "part_a", "part_b", "part_d", "medicare_advantage", "dual", "esrd", "other_primary", "hospice", "plan"
]


class MemberDescribed(MemberFact):
    """What the open part of the log may know of a person: birth year, sex, state of residence, day of death."""

    birth_year: Annotated[int, Field(ge=1880, le=2200)] | None = None
    sex: Literal["female", "male", "unknown"] | None = None
    state: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    died_on: Day | None = None


class EnrollmentChanged(MemberFact):
    """From `from_on` to `through_on` (open when null) the member has, or has not, one kind of coverage.

    The newest fact wins for the days it names, so a retro-active termination is a later fact with `covered` false.
    `code` is the dual status (00-99), the primary payer code (A, B, G), or the relationship under an employer plan.
    """

    coverage: Coverage
    from_on: Day
    through_on: Day | None = None
    covered: bool = True
    code: Code | None = None
    reason: Code | None = None


class EnrollmentFileReceived(BroadcastFact):
    """A full enrollment file was read to its end. Members of its roster that it does not list have been missed by it.

    Absence ends coverage only where it is repeated: two consecutive whole files of one roster that miss a member end
    the member's coverage on the day of the first (`EnrollmentChanged`, reason `not_listed`). A file is not `whole`
    when a member in it was refused, and then no absence is counted.
    """

    roster: Annotated[RecordId, Field(description="digest of sponsor, insurer and group, under the payer's key")]
    file_on: Day
    members: Annotated[int, Field(ge=0, description="listed in it, taken or refused")]
    whole: bool


class MemberLinked(MemberFact):
    """Two identifiers turned out to be one person: this member's facts are also those of `other` from now on."""

    other: Annotated[RecordId, Field(description="the token that was retired")]


class MemberRetired(MemberFact):
    """This token is no longer used; its facts were produced again under `survivor`, and its payments are reversed."""

    survivor: RecordId


class SubjectErased(MemberFact):
    """The key of this member's sealed fields was destroyed; codes, dates and amounts remain."""

    reason: Code
