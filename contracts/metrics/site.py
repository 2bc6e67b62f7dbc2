"""Where and how fast: M17 site of care, M20 the plan's own friction.

A hospital's outpatient department bills places 19 and 22, or type of bill 13x; an office place 11, a home place 12.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from contracts.metrics.measured import Measured, Number, medians, ratio
from contracts.metrics.records import INSTITUTIONAL, Authorization, Claim, MemberRecord, Service
from contracts.metrics.scope import Scope
from contracts.metrics.use import visits
from contracts.units import add_days, days_between

OFFICE_OR_HOME, HOSPITAL = ("11", "12"), ("19", "22")
URGENT = ("11", "20", "02", "10")
"""Office, urgent care, telehealth."""

HOURS_A_DAY, PROMPT_HOURS = 24, 72


def infusions_near_home(scope: Scope) -> Measured:
    """M17. Days of infusion in an office or at home, of all days of infusion in the period.

    A day at both counts as one of each; a hospital's outpatient bill is at a hospital whatever its lines say.
    """
    hits, of = Counter[str](), Counter[str]()
    for member in scope.members():
        days = {
            (line.on, near)
            for claim, line in member.services()
            if scope.within(line.on) and _infusion(scope, line) and (near := _near_home(claim, line)) is not None
        }
        of[member.member] = len(days)
        hits[member.member] = sum(near for _, near in days)
    return ratio("M17", hits, of)


def _infusion(scope: Scope, line: Service) -> bool:
    return scope.codes.has("chemo_admin", line.code) or scope.codes.has("infusion", line.code)


def _near_home(claim: Claim, line: Service) -> bool | None:
    """True near home, False at a hospital's outpatient department, None elsewhere (in hospital, in a facility)."""
    if claim.form == INSTITUTIONAL:
        return False if claim.setting == "outpatient" and not claim.inpatient else None
    if line.place in OFFICE_OR_HOME:
        return True
    return False if line.place in HOSPITAL else None


def _alerts(scope: Scope, member: MemberRecord) -> list[str]:
    """Days in the period on which a patient asked for help: a symptom call, or answers a nurse had to see."""
    days = {one.on for one in member.contacts if one.program == "after_hours" and one.contact == "reached"}
    days |= {one.on for one in member.answers if one.red}
    return sorted(day for day in days if scope.within(day))


def urgent_same_day(scope: Scope) -> Measured:
    """M17-urgent. Calls and alerts followed the same day by a visit that was no emergency: office, or urgent care."""

    def urgent(member: MemberRecord, day: str) -> bool:
        lines = [line for _, line in member.services() if line.on == day and not scope.codes.emergency(line)]
        return any(line.place in URGENT or scope.codes.has("urgent_revenue", line.revenue) for line in lines)

    return _of_alerts(scope, "M17-urgent", urgent)


def emergency_after_alert(scope: Scope) -> Measured:
    """M17-emergency. Calls and alerts followed by an emergency visit that day or the next (claims have no hours)."""

    def seen(member: MemberRecord, day: str) -> bool:
        return any(day <= one.on <= add_days(day, 1) for one in visits(member, scope.codes))

    return _of_alerts(scope, "M17-emergency", seen)


def _of_alerts(scope: Scope, metric: str, followed: Callable[[MemberRecord, str], bool]) -> Measured:
    hits, of = Counter[str](), Counter[str]()
    for member in scope.members():
        days = _alerts(scope, member)
        of[member.member] = len(days)
        hits[member.member] = sum(followed(member, day) for day in days)
    return ratio(metric, hits, of)


# -- M20 --------------------------------------------------------------------------------------------------------------


def _asked(scope: Scope, member: MemberRecord) -> list[Authorization]:
    return [one for one in member.authorizations if scope.within(one.requested_on)]


def hours_to_decision(scope: Scope) -> Measured:
    """M20. Median hours from request to first answer; whole days where the plan told no hours."""
    return medians("M20", {member.member: list(_hours(scope, member)) for member in scope.members()})


def answered_promptly(scope: Scope) -> Measured:
    """M20-prompt. Requests first answered within 72 hours, of all requests with an answer."""
    hits, of = Counter[str](), Counter[str]()
    for member in scope.members():
        hours = list(_hours(scope, member))
        of[member.member] = len(hours)
        hits[member.member] = sum(one <= PROMPT_HOURS for one in hours)
    return ratio("M20-prompt", hits, of)


def _hours(scope: Scope, member: MemberRecord) -> Iterator[Number]:
    for one in _asked(scope, member):
        if one.decisions:
            on, _, hours = one.decisions[0]
            yield days_between(one.requested_on, on) * HOURS_A_DAY if hours is None else hours


def overturned(scope: Scope) -> Measured:
    """M20-overturned. Denials, whole or in part, that were later overturned, of all denials."""
    hits, of = Counter[str](), Counter[str]()
    for member in scope.members():
        for one in _asked(scope, member):
            said = [decision for _, decision, _ in one.decisions]
            if "denied" in said or "partial" in said or "overturned" in said:
                of[member.member] += 1
                hits[member.member] += "overturned" in said
    return ratio("M20-overturned", hits, of)


def therapy_delay(scope: Scope) -> Measured:
    """M20-delay. Median days from the request for a therapy to its first administration."""
    values: dict[str, list[Number]] = defaultdict(list)
    for member in scope.members():
        for one in _asked(scope, member):
            days = [
                line.on
                for _, line in member.services()
                if one.code in (line.code, line.ndc) and scope.codes.therapy(line) and line.on >= one.requested_on
            ]
            if days:
                values[member.member].append(days_between(one.requested_on, min(days)))
    return medians("M20-delay", values)
