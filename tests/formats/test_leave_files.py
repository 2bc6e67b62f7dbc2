"""Work and leave of all employees: one row, its event, and what it reports of a return; never why somebody is away."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from contracts.events import (
    DisabilityClaimChanged,
    EmploymentChanged,
    HoursWorked,
    LeaveChanged,
    ReturnToWorkReported,
    WorkScheduleSet,
)
from formats import leave_files
from formats.detect import read_file
from formats.reading import Read, ReadFact, Reject
from formats.table import UnknownLayout

HOURS = "employee_id,record_id,work_date,hours,pay_code"
EMPLOYMENT = "employee_id,member_id,record_id,version,employment_status,effective_date,weekly_hours,reason,demand"
LEAVE = (
    "employee_id,leave_id,version,leave_status,leave_type,continuity,start_date,end_date,close_reason,return_date,"
    "duty_status,restrictions,diagnosis"
)
CLAIM = (
    "employee_id,claim_id,version,plan_type,claim_status,disability_date,benefit_start,approved_through,close_reason,"
    "return_date,duty_status,icd_code"
)


def read(head: str, *rows: str) -> list[Read]:
    return list(leave_files.read([line.encode() + b"\n" for line in (head, *rows)], "leave.csv"))


def events(head: str, *rows: str) -> list[Any]:
    found = read(head, *rows)
    assert all(isinstance(i, ReadFact) for i in found), found
    return [i.event for i in found if isinstance(i, ReadFact)]


def test_hours_by_pay_code() -> None:
    rows = ["E1,T1,2025-03-03,8,REG", "E1,T2,20250304,7.5,pto", "E1,T3,2025-03-05,0,INT"]
    found = events(HOURS, *rows)
    assert all(isinstance(each, HoursWorked) for each in found)
    assert [(e.pay_code, e.hours, e.worked_on.day) for e in found] == [
        ("worked", Decimal(8), 3), ("paid_time_off", Decimal("7.5"), 4), ("intermittent_leave", Decimal(0), 5),
    ]  # fmt: skip
    assert {e.person.identifier.kind for e in found} == {"employee_id"}


def test_employment_with_its_weekly_hours_by_the_plans_own_id() -> None:
    status, schedule = events(EMPLOYMENT, "E1,M1,R1,2,LOA,2025-03-03,40,,heavy")
    assert isinstance(status, EmploymentChanged)
    assert isinstance(schedule, WorkScheduleSet)
    assert (status.status, status.record_version, status.demand) == ("leave", 2, "heavy")
    assert (schedule.weekly_hours, schedule.from_on, schedule.record_version) == (Decimal(40), date(2025, 3, 3), 2)
    assert status.person is not None
    assert (status.person.identifier.kind, status.person.identifier.value) == ("member_id", "M1")


def test_a_leave_and_the_return_it_tells_of() -> None:
    leave, back = events(
        LEAVE, "E1,L1,3,closed,PFML,continuous,2025-03-03,2025-06-01,rtw_full,2025-06-02,modified,lift;stand,C50.911"
    )
    assert isinstance(leave, LeaveChanged)
    assert isinstance(back, ReturnToWorkReported)
    assert (leave.status, leave.leave_type, leave.close_reason, leave.record_version) == (
        "closed",
        "state",
        "returned",
        3,
    )
    assert (back.source, back.returned_on, back.duty_status) == (
        "leave_administrator",
        date(2025, 6, 2),
        "modified_duty",
    )
    assert back.restrictions == ("lift", "stand")
    assert "C50" not in leave.model_dump_json() + back.model_dump_json()


def test_a_disability_claim_of_a_carrier() -> None:
    rows = [
        "E1,D1,1,std,Approved,2025-03-03,2025-03-10,2025-06-09,,,,C34.90",
        "E1,D1,2,STD,closed,2025-03-03,2025-03-10,2025-06-09,transfer_to_ltd,,,",
        "E1,D1,3,STD,closed,2025-03-03,2025-03-10,2025-06-09,rtw_partial,2025-06-02,partial,",
    ]
    found = events(CLAIM, *rows)
    claims = [e for e in found if isinstance(e, DisabilityClaimChanged)]
    assert [(c.plan_type, c.status, c.close_reason, c.record_version) for c in claims] == [
        ("STD", "approved", None, 1), ("STD", "closed", "transferred_to_ltd", 2),
        ("STD", "closed", "returned_partial", 3),
    ]  # fmt: skip
    (back,) = [e for e in found if isinstance(e, ReturnToWorkReported)]
    assert (back.source, back.duty_status, back.record_id, back.record_version) == ("carrier", "partial_hours", "D1", 3)


def test_a_row_counts_once_whatever_it_makes() -> None:
    items = read(LEAVE, "E1,L1,1,closed,fmla,continuous,2025-03-03,,,2025-06-02,full,,")
    assert [i.rows for i in items] == [1, 0]
    keys = [i.natural_key for i in items if isinstance(i, ReadFact)]
    assert len(set(keys)) == 2


BAD: list[tuple[str, str, str, str]] = [
    (HOURS, "E1,T1,2025-02-30,8,REG", "not_a_date", "work_date"),
    (HOURS, "E1,T1,2025-03-03,25,REG", "schema", "hours"),
    (HOURS, "E1,T1,2025-03-03,8,canary", "schema", "pay_code"),
    (HOURS, ",T1,2025-03-03,8,REG", "no_member_identifier", "employee_id"),
    (HOURS, "E1,,2025-03-03,8,REG", "schema", "record_id"),
    (EMPLOYMENT, "E1,,R1,1,active,2025-03-03,200,,", "schema", "weekly_hours"),
    (EMPLOYMENT, "E1,,R1,-1,active,2025-03-03,,,", "schema", "/record_version"),
    (LEAVE, "E1,L1,1,closed,fmla,continuous,2025-03-03,,breast cancer canary,,,,", "schema", "close_reason"),
    (LEAVE, "E1,L1,1,closed,fmla,sometimes,2025-03-03,,,,,,", "schema", "continuity"),
    (CLAIM, "E1,D1,1,WTD,approved,2025-03-03,,,,,,", "schema", "plan_type"),
]


@pytest.mark.parametrize(("head", "row", "code", "field"), BAD)
def test_what_is_wrong_is_refused_at_its_column(head: str, row: str, code: str, field: str) -> None:
    (reject,) = read(head, row)
    assert isinstance(reject, Reject)
    assert (reject.code, reject.place.field, reject.place.line) == (code, field, 2)
    assert "canary" not in f"{reject}"


def test_columns_of_others_are_refused_by_name() -> None:
    with pytest.raises(UnknownLayout, match="salary"):
        read(HOURS + ",salary")


def test_each_table_is_told_by_its_header(tmp_path: Path) -> None:
    for name, head in (("hours", HOURS), ("employment", EMPLOYMENT), ("leave", LEAVE), ("disability", CLAIM)):
        assert leave_files.kind_of(head.split(",")) == name
        path = tmp_path / f"{name}.csv"
        path.write_text(head + "\n" + "," * head.count(",") + "\n")
        (reject,) = read_file(path)
        assert isinstance(reject, Reject)
        assert (reject.format, reject.code) == ("leave", "no_member_identifier")
        assert reject.head.decode().strip() == head
