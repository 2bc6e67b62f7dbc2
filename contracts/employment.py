"""What employers and their administrators say of a person's work, kept record by record: the highest version counts.

A lower or equal version of a record is ignored, a higher one replaces it. Hours are kept by month; a version above the
first is noted with the member, so that an older one that comes later is known for what it is, whatever is loaded.
"""

from __future__ import annotations

from typing import Any

from contracts.envelope import Fact
from contracts.parts import EMPLOYMENT, Member, WorkMonth
from contracts.units import FOREVER, add_days
from contracts.work import WATCH_AHEAD, WATCH_BACK

HOURS = "carepact.HoursWorked.v1"
RECORDS = {
    "carepact.WorkScheduleSet.v1": "schedules",
    "carepact.LeaveChanged.v1": "leaves",
    "carepact.DisabilityClaimChanged.v1": "claims",
    "carepact.ReturnToWorkReported.v1": "reports",
    "carepact.EmploymentChanged.v1": "statuses",
}
"""Kinds of record, each with where `Employment` keeps them."""

WORK = frozenset({HOURS, *RECORDS})
ALL, NONE = "", "9999-12"
DAY_AT = {"schedules": 1, "leaves": 3, "claims": 3, "reports": 2, "statuses": 2}


def since(fact: Fact) -> str:
    """From which month on the fact needs hours: its own, or all of them when it may correct any of them."""
    if fact.type != HOURS:
        return NONE
    return ALL if fact.data.record_version > 1 else fact.data.worked_on.isoformat()[:7]


def days_touched(member: Member, fact: Fact) -> tuple[str, str] | None:
    """The first and the last day of which the fact says something new; None when it is an older version."""
    if fact.type == HOURS:
        return _hours_touched(member, fact)
    name, version, record = _record(fact)
    kept: dict[str, list[Any]] = getattr(member.employment, RECORDS[fact.type])
    held, at = kept.get(name), DAY_AT[RECORDS[fact.type]]
    if held is None:
        return record[at], FOREVER
    return None if held[0] >= version else (min(held[at], record[at]), FOREVER)


def _hours_touched(member: Member, fact: Fact) -> tuple[str, str] | None:
    data, day = fact.data, fact.data.worked_on.isoformat()
    newest = member.employment.corrected.get(data.record_id, [0])[0]
    if newest >= data.record_version:
        return None
    if data.record_version == 1:
        month = member.work.get(day[:7])
        return None if month is not None and data.record_id in month.hours else (day, day)
    days = [day, *(month.hours[data.record_id][1] for month in member.work.values() if data.record_id in month.hours)]
    return min(days), max(days)


def receive(member: Member, fact: Fact) -> None:
    """Keep what a newer record says in place of the older one."""
    if fact.type != HOURS:
        name, _, record = _record(fact)
        getattr(member.employment, RECORDS[fact.type])[name] = record
        member.dirty.add(EMPLOYMENT)
        return
    data = fact.data
    day = data.worked_on.isoformat()
    if data.record_version > 1:
        for key, month in member.work.items():
            if month.hours.pop(data.record_id, None) is not None:
                member.dirty.add(("work", key))
        member.employment.corrected[data.record_id] = [data.record_version, day]
        member.dirty.add(EMPLOYMENT)
    month = member.work.setdefault(day[:7], WorkMonth())
    month.hours[data.record_id] = [data.record_version, day, _units(data.hours), data.pay_code, fact.ref]
    member.dirty.add(("work", day[:7]))


def watched(start: str) -> tuple[str, str]:
    """The first and the last day whose evidence of work may matter to the episode that began on `start`."""
    return add_days(start, -WATCH_BACK), add_days(start, WATCH_AHEAD)


def _record(fact: Fact) -> tuple[str, int, list[Any]]:
    """(id, version, what is kept) of a record that is not of hours."""
    data, ref, version = fact.data, fact.ref, fact.data.record_version
    match RECORDS[fact.type]:
        case "schedules":
            return data.record_id, version, [version, data.from_on.isoformat(), _units(data.weekly_hours), ref]
        case "leaves":
            through = _day(data.through_on)
            kept = [version, data.status, data.continuity, data.from_on.isoformat(), through, ref]
            return data.leave_id, version, kept
        case "claims":
            benefit, through = _day(data.benefit_from_on), _day(data.approved_through_on)
            on = data.disability_on.isoformat()
            return data.claim_id, version, [version, data.plan_type, data.status, on, benefit, through, ref]
        case "reports":
            restricted = bool(data.restrictions) or data.duty_status in ("modified_duty", "full_modified")
            on = data.returned_on.isoformat()
            return data.record_id, version, [version, data.source, on, data.duty_status, restricted, ref]
        case _:
            kept = [version, data.status, data.from_on.isoformat(), data.reason or "", ref]
            return data.record_id, version, kept


def _units(hours: Any) -> int:
    """Hours in ten-thousandths: 7.5 -> 75000."""
    return int(hours * 10_000)


def _day(day: Any) -> str:
    return "" if day is None else str(day.isoformat())
