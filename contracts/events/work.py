"""Work status and leave, as employers and their administrators send it (outcome rules A.4)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.events.base import Code, Day, MemberFact, RecordId, Units

Version = Annotated[int, Field(ge=1, le=1_000_000, description="a lower or equal version of a record is ignored")]


class WorkScheduleSet(MemberFact):
    """Scheduled hours a week from a day on."""

    record_id: RecordId
    record_version: Version = 1
    from_on: Day
    weekly_hours: Units


class HoursWorked(MemberFact):
    """Hours worked or paid on one day."""

    record_id: RecordId
    record_version: Version = 1
    worked_on: Day
    hours: Units
    pay_code: Literal["worked", "paid_time_off", "holiday", "leave", "intermittent_leave"]


class LeaveChanged(MemberFact):
    """A leave was opened, changed or closed."""

    leave_id: RecordId
    record_version: Version = 1
    status: Literal["opened", "changed", "closed", "denied"]
    leave_type: Literal["fmla", "state", "employer", "other"]
    continuity: Literal["continuous", "intermittent"]
    from_on: Day
    through_on: Day | None = None
    close_reason: Code | None = None


class DisabilityClaimChanged(MemberFact):
    """A short or long-term disability claim was opened, approved, extended, closed or denied."""

    claim_id: RecordId
    record_version: Version = 1
    plan_type: Literal["STD", "LTD"]
    status: Literal["opened", "approved", "extended", "closed", "denied"]
    disability_on: Day
    benefit_from_on: Day | None = None
    approved_through_on: Day | None = None
    close_reason: Code | None = None


class ReturnToWorkReported(MemberFact):
    """Somebody who may know reports a return."""

    record_id: RecordId
    record_version: Version = 1
    source: Literal["payroll", "carrier", "leave_administrator", "hris", "epro"]
    returned_on: Day
    duty_status: Literal["off", "partial_hours", "modified_duty", "full_modified", "full"]
    restrictions: tuple[Code, ...] = ()


class EmploymentChanged(MemberFact):
    """Employment status from a day on."""

    record_id: RecordId
    record_version: Version = 1
    status: Literal["active", "leave", "terminated", "retired", "laid_off", "transferred"]
    from_on: Day
    reason: Code | None = None
    worksite: Code | None = None
    demand: Literal["sedentary", "light", "medium", "heavy", "unknown"] = "unknown"
