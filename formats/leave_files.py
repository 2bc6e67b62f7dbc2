"""Work and leave of an employer's people as tables of ours, told by their headers (outcome rules A.4).

Hours, of payroll: `employee_id`, `record_id`, `work_date`, `hours`, `pay_code`. Employment, of the HRIS:
`employee_id`, `record_id`, `employment_status`, `effective_date`. Leave, of a leave administrator: `employee_id`,
`leave_id`, `leave_status`, `leave_type`, `continuity`, `start_date`. Disability, of a carrier: `employee_id`,
`claim_id`, `plan_type`, `claim_status`, `disability_date`. These columns must be there.

Every table may have `member_id`, the plan's own id, which then names the person so that leave joins claims; and
`version`, by which a record is corrected: it comes again with the same id and a higher one. Employment may have
`weekly_hours`, `reason`, `worksite`, `demand`; leave `end_date`, `close_reason`; disability `benefit_start`,
`approved_through`, `close_reason`; both of these `return_date`, `duty_status`, `restrictions` (separated by `;`), which
make a report of a return to work.

All leave of all employees is to be sent, whatever its cause: a file of those with cancer would tell who has it. So a
column that says why (`diagnosis`, `cause`, `icd_code`) is read past and kept nowhere but, sealed, in rejects. Columns
that are not named here are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from contracts.events import (
    DisabilityClaimChanged,
    EmploymentChanged,
    Event,
    HoursWorked,
    LeaveChanged,
    Person,
    ReturnToWorkReported,
    WorkScheduleSet,
)
from contracts.events.base import Identifier
from formats.cells import BadCell, Row, day, needed_day, number, text, whole
from formats.reading import Place, Read, ReadFact
from formats.table import UnknownLayout, header_of, read_rows, told_columns

SOURCES: Final = {"hours": "payroll", "employment": "hris", "leave": "leave-administrator", "disability": "carrier"}
_PERSON: Final = frozenset(("employee_id", "member_id", "version"))
_RETURN: Final = frozenset(("return_date", "duty_status", "restrictions"))
CAUSES: Final = frozenset(("diagnosis", "diagnosis_code", "icd_code", "cause"))
"""Columns that say why somebody is away; they are not taken in."""

_NEEDED: Final = {
    "hours": frozenset(("employee_id", "record_id", "work_date", "hours", "pay_code")),
    "employment": frozenset(("employee_id", "record_id", "employment_status", "effective_date")),
    "leave": frozenset(("employee_id", "leave_id", "leave_status", "leave_type", "continuity", "start_date")),
    "disability": frozenset(("employee_id", "claim_id", "plan_type", "claim_status", "disability_date")),
}
_MAY: Final = {
    "hours": frozenset[str](),
    "employment": frozenset(("weekly_hours", "reason", "worksite", "demand")),
    "leave": _RETURN | {"end_date", "close_reason"},
    "disability": _RETURN | {"benefit_start", "approved_through", "close_reason"},
}

_PAY: Final = {
    "worked": "worked", "reg": "worked", "ot": "worked", "paid_time_off": "paid_time_off", "pto": "paid_time_off",
    "vac": "paid_time_off", "holiday": "holiday", "hol": "holiday", "leave": "leave", "loa": "leave", "fml": "leave",
    "std": "leave", "intermittent_leave": "intermittent_leave", "int": "intermittent_leave",
}  # fmt: skip
_STATUS: Final = {
    "active": "active", "a": "active", "leave": "leave", "loa": "leave", "l": "leave", "terminated": "terminated",
    "t": "terminated", "retired": "retired", "r": "retired", "laid_off": "laid_off", "transferred": "transferred",
}  # fmt: skip
_LEAVE: Final = {
    "opened": "opened", "open": "opened", "changed": "changed", "approved": "changed", "closed": "closed",
    "denied": "denied",
}  # fmt: skip
_CLAIM: Final = {
    "opened": "opened", "open": "opened", "approved": "approved", "extended": "extended", "closed": "closed",
    "denied": "denied",
}  # fmt: skip
_TYPES: Final = {"fmla": "fmla", "state": "state", "pfml": "state", "employer": "employer", "other": "other"}
_CONTINUITY: Final = {"continuous": "continuous", "intermittent": "intermittent", "reduced": "intermittent"}
_PLANS: Final = {"std": "STD", "ltd": "LTD"}
_DUTIES: Final = {
    "off": "off", "partial_hours": "partial_hours", "partial": "partial_hours", "modified_duty": "modified_duty",
    "modified": "modified_duty", "full_modified": "full_modified", "full": "full",
}  # fmt: skip
_CLOSED: Final = {
    "returned": "returned", "rtw_full": "returned", "returned_partial": "returned_partial",
    "rtw_partial": "returned_partial", "benefit_exhausted": "benefit_exhausted",
    "entitlement_exhausted": "entitlement_exhausted", "transferred_to_ltd": "transferred_to_ltd",
    "transfer_to_ltd": "transferred_to_ltd", "died": "died", "death": "died", "not_disabled": "not_disabled",
    "withdrawn": "withdrawn", "ended_employment": "ended_employment",
}  # fmt: skip
"""Why a leave or claim was closed: a list, since words of the sender's own might tell what somebody has."""
_DEMANDS: Final = {name: name for name in ("sedentary", "light", "medium", "heavy", "unknown")}


def kind_of(header: list[str]) -> str | None:
    """Which of the tables has this header; None if none has."""
    names = set(header)
    return next((kind for kind, needed in _NEEDED.items() if needed <= names), None)


def read(lines: Iterable[bytes], file: str) -> Iterator[Read]:
    """Facts and rejects of one file, in file order."""
    source = iter(lines)
    header = header_of(next(source, b""))
    kind = kind_of(header)
    if kind is None:
        raise UnknownLayout(f"{file}: not a header of work or leave; looked for the columns of {', '.join(_NEEDED)}")
    if unknown := set(header) - _NEEDED[kind] - _MAY[kind] - _PERSON - CAUSES:
        raise UnknownLayout(f"{file}: columns that a table of {kind} does not have: {told_columns(unknown)}")
    return read_rows(source, file, header, partial(_row, kind))


def _row(kind: str, row: Row, place: Place) -> Iterator[Read]:
    version = 1 if (sent := whole(row, "version")) is None else sent
    named = {"person": _person(row), "record_version": version}
    for made, (event, number_) in enumerate(_MAKERS[kind](row, named)):
        key = "|".join((kind, type(event).__name__, number_, str(version)))
        yield ReadFact(event, place, SOURCES[kind], natural_key=key, rows=0 if made else 1)


_Made = Iterator[tuple[Event, str]]


def _person(row: Row) -> Person:
    if member := text(row, "member_id"):
        return Person(identifier=Identifier(kind="member_id", value=member))
    employee = text(row, "employee_id")
    if employee is None:
        raise BadCell("no_member_identifier", "employee_id", "a row without its person", "send employee_id")
    return Person(identifier=Identifier(kind="employee_id", value=employee))


def _one_of(row: Row, column: str, known: Mapping[str, str]) -> str:
    """A word of the table's own list, in whatever case."""
    found = known.get(row.get(column, "").strip().lower().replace(" ", "_").replace("-", "_"))
    if found is None:
        words = ", ".join(dict.fromkeys(known.values()))
        raise BadCell("schema", column, "a word that this column does not have", f"send one of {words}")
    return found


def _needed(row: Row, column: str) -> str:
    if (found := text(row, column)) is None:
        raise BadCell("schema", column, "a row without its number", f"send {column}")
    return found


def _hours(row: Row, named: dict[str, Any]) -> _Made:
    record = _needed(row, "record_id")
    hours = number(row, "hours")
    if hours is None or not 0 <= hours <= 24:
        raise BadCell("schema", "hours", "no hours of a day", "send a number from 0 to 24")
    fields = {"record_id": record, "worked_on": needed_day(row, "work_date"), "hours": hours}
    yield HoursWorked.model_validate(named | fields | {"pay_code": _one_of(row, "pay_code", _PAY)}), record


def _employment(row: Row, named: dict[str, Any]) -> _Made:
    record, since = _needed(row, "record_id"), needed_day(row, "effective_date")
    demand = _one_of(row, "demand", _DEMANDS) if text(row, "demand") else "unknown"
    fields = {
        "record_id": record,
        "status": _one_of(row, "employment_status", _STATUS),
        "from_on": since,
        "reason": text(row, "reason"),
        "worksite": text(row, "worksite"),
        "demand": demand,
    }
    yield EmploymentChanged.model_validate(named | fields), record
    if (weekly := number(row, "weekly_hours")) is not None:
        if not 0 <= weekly <= 168:
            raise BadCell("schema", "weekly_hours", "no hours of a week", "send a number from 0 to 168")
        schedule = {"record_id": record, "from_on": since, "weekly_hours": weekly}
        yield WorkScheduleSet.model_validate(named | schedule), record


def _leave(row: Row, named: dict[str, Any]) -> _Made:
    leave = _needed(row, "leave_id")
    fields = {
        "leave_id": leave,
        "status": _one_of(row, "leave_status", _LEAVE),
        "leave_type": _one_of(row, "leave_type", _TYPES),
        "continuity": _one_of(row, "continuity", _CONTINUITY),
        "from_on": needed_day(row, "start_date"),
        "through_on": day(row, "end_date"),
        "close_reason": _one_of(row, "close_reason", _CLOSED) if text(row, "close_reason") else None,
    }
    yield LeaveChanged.model_validate(named | fields), leave
    yield from _return(row, named, leave, "leave_administrator")


def _disability(row: Row, named: dict[str, Any]) -> _Made:
    claim = _needed(row, "claim_id")
    fields = {
        "claim_id": claim,
        "plan_type": _one_of(row, "plan_type", _PLANS),
        "status": _one_of(row, "claim_status", _CLAIM),
        "disability_on": needed_day(row, "disability_date"),
        "benefit_from_on": day(row, "benefit_start"),
        "approved_through_on": day(row, "approved_through"),
        "close_reason": _one_of(row, "close_reason", _CLOSED) if text(row, "close_reason") else None,
    }
    yield DisabilityClaimChanged.model_validate(named | fields), claim
    yield from _return(row, named, claim, "carrier")


def _return(row: Row, named: dict[str, Any], record: str, source: str) -> _Made:
    """The return that a leave or claim tells of; its version is that of the record."""
    returned = day(row, "return_date")
    if returned is None:
        return
    restrictions = tuple(each for part in row.get("restrictions", "").split(";") if (each := part.strip()))
    fields = {
        "record_id": record,
        "source": source,
        "returned_on": returned,
        "duty_status": _one_of(row, "duty_status", _DUTIES) if text(row, "duty_status") else "full",
        "restrictions": restrictions,
    }
    yield ReturnToWorkReported.model_validate(named | fields), record


_MAKERS: Final[dict[str, Callable[[Row, dict[str, Any]], _Made]]] = {
    "hours": _hours,
    "employment": _employment,
    "leave": _leave,
    "disability": _disability,
}
