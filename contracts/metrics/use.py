"""Emergency visits and hospital stays: M3 to M6.

A visit is one person at one facility on one day; lines, and the physician's claim beside the facility's, are merged,
and so are days no more than one apart. A stay merges interim bills and transfers. Lists are found over all of a
member's claims and only then asked about an episode, so that no border cuts a visit in two.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from contracts.metrics.codes import Codes, therapy_days
from contracts.metrics.measured import Measured, ratio
from contracts.metrics.records import INSTITUTIONAL, PROFESSIONAL, Claim, MemberRecord
from contracts.metrics.scope import Scope
from contracts.units import add_days

AVOIDABLE_DAYS, READMITTED_DAYS = 30, 30


@dataclass(frozen=True, slots=True)
class Visit:
    """An emergency visit: its first and last day, its facility ('' where only a physician's claim tells of it)."""

    on: str
    through: str
    facility: str
    avoidable: bool


@dataclass(frozen=True, slots=True)
class Stay:
    """A hospital stay, from admission to discharge."""

    on: str
    through: str
    avoidable: bool
    planned: bool
    emergency: bool


def stays(member: MemberRecord, codes: Codes) -> list[Stay]:
    """Bill type 11x. One stay: an admission told in several bills, or one that begins by the day after another."""
    bills = sorted(
        (c for c in member.claims if c.form == INSTITUTIONAL and c.inpatient),
        key=lambda c: (c.admitted_on, c.on, c.through, c.claim_id),
    )
    merged: list[list[Claim]] = []
    for bill in bills:
        if merged and _continues(merged[-1], bill):
            merged[-1].append(bill)
        else:
            merged.append([bill])
    return [_stay(one, codes) for one in merged]


def _continues(stay: list[Claim], bill: Claim) -> bool:
    if any(bill.admitted_on == one.admitted_on and bill.provider == one.provider for one in stay):
        return True
    return min(bill.admitted_on, bill.on) <= add_days(max(one.through for one in stay), 1)


def _stay(bills: list[Claim], codes: Codes) -> Stay:
    return Stay(
        min(min(bill.admitted_on, bill.on) for bill in bills),
        max(bill.through for bill in bills),
        any(codes.complication(bill.diagnoses) for bill in bills),
        codes.diagnosed("planned_stay_dx", bills[0].diagnoses[:1]),
        any(codes.emergency(line) for bill in bills for line in bill.lines),
    )


def visits(member: MemberRecord, codes: Codes) -> list[Visit]:
    """Every emergency visit, admitted or not, by facility; then those of which only a physician's claim tells."""
    at: dict[str, dict[str, bool]] = defaultdict(dict)
    seen: dict[str, bool] = {}
    for claim in member.claims:
        if claim.form == INSTITUTIONAL and not claim.inpatient:
            days = {line.on for line in claim.lines if codes.emergency(line)}
            for day in days:
                known = at[claim.provider].get(day, False)
                at[claim.provider][day] = known or codes.complication(claim.diagnoses)
        elif claim.form == PROFESSIONAL:
            for line in claim.lines:
                if codes.emergency(line):
                    seen[line.on] = seen.get(line.on, False) or codes.complication(line.diagnoses or claim.diagnoses)
    found = [visit for facility in sorted(at) for visit in _merged(facility, at[facility])]
    alone = {
        day: said
        for day, said in seen.items()
        if not any(add_days(one.on, -1) <= day <= add_days(one.through, 1) for one in found)
    }
    return sorted([*found, *_merged("", alone)], key=lambda one: (one.on, one.facility))


def _merged(facility: str, days: dict[str, bool]) -> Iterable[Visit]:
    run: list[str] = []
    for day in sorted(days):
        if run and day > add_days(run[-1], 1):
            yield Visit(run[0], run[-1], facility, any(days[one] for one in run))
            run = []
        run.append(day)
    if run:
        yield Visit(run[0], run[-1], facility, any(days[one] for one in run))


def admitted(visit: Visit, held: list[Stay]) -> bool:
    """Whether a visit went over into a stay: one that began on a day of it or the day after, or was under way."""
    return any(add_days(stay.on, -1) <= visit.through and visit.on <= stay.through for stay in held)


# -- metrics ----------------------------------------------------------------------------------------------------------


def emergency_visits(scope: Scope) -> Measured:
    """M3. Visits per 100 episodes, without those that became a stay. Three visits in 40 episodes: 7.5."""
    return _visits(scope, "M3", into_stay=False)


def emergency_to_inpatient(scope: Scope) -> Measured:
    """M3-admitted. Visits that became a stay, with stays that bill the emergency department themselves."""
    return _visits(scope, "M3-admitted", into_stay=True)


def _visits(scope: Scope, metric: str, into_stay: bool) -> Measured:
    hits, of = Counter[str](), Counter[str]()
    for member, episode in scope.episodes():
        of[member.member] += 1
        held = stays(member, scope.codes)
        found = [one for one in visits(member, scope.codes) if admitted(one, held) == into_stay]
        hits[member.member] += sum(episode.holds(one.on) for one in found)
        if into_stay:
            rolled = [stay for stay in held if stay.emergency and not any(admitted(one, [stay]) for one in found)]
            hits[member.member] += sum(episode.holds(stay.on) for stay in rolled)
    return ratio(metric, hits, of, per=100)


def admissions(scope: Scope) -> Measured:
    """M4. Stays that began in an episode, per 100 episodes."""
    hits, of = Counter[str](), Counter[str]()
    for member, episode in scope.episodes():
        of[member.member] += 1
        hits[member.member] += sum(episode.holds(stay.on) for stay in stays(member, scope.codes))
    return ratio("M4", hits, of, per=100)


def avoidable(scope: Scope) -> Measured:
    """M5. Of patients with chemotherapy, those with a stay or visit for one of ten conditions within 30 days of it.

    The day of therapy itself does not count, the thirtieth after it does.
    """
    return _avoidable(scope, "M5", of_stays=True, of_visits=True)


def avoidable_admissions(scope: Scope) -> Measured:
    """M5-admission. The same, of stays."""
    return _avoidable(scope, "M5-admission", of_stays=True, of_visits=False)


def avoidable_emergency(scope: Scope) -> Measured:
    """M5-emergency. The same, of visits; on a day of such a stay the stay counts and the visit does not."""
    return _avoidable(scope, "M5-emergency", of_stays=False, of_visits=True)


def _avoidable(scope: Scope, metric: str, of_stays: bool, of_visits: bool) -> Measured:
    hits: dict[str, int] = {}
    of: dict[str, int] = {}
    for member, episode in scope.episodes():
        given = [day for day in therapy_days(member, scope.codes) if episode.holds(day)]
        if not given:
            continue
        of[member.member] = 1
        held = [stay.on for stay in stays(member, scope.codes) if stay.avoidable]
        days = held if of_stays else []
        if of_visits:
            days = days + [one.on for one in visits(member, scope.codes) if one.avoidable and one.on not in held]
        if any(start < day <= add_days(start, AVOIDABLE_DAYS) for day in days for start in given):
            hits[member.member] = 1
    return ratio(metric, hits, of)


def readmissions(scope: Scope) -> Measured:
    """M6. Discharges in an episode, alive, after which an unplanned stay began within 30 days, of all such discharges.

    A stay whose main diagnosis is an encounter for radiation or chemotherapy is planned.
    """
    hits, of = Counter[str](), Counter[str]()
    for member, episode in scope.episodes():
        held = stays(member, scope.codes)
        for index, stay in enumerate(held):
            if not episode.holds(stay.through) or (member.died_on and member.died_on <= stay.through):
                continue
            of[member.member] += 1
            last = add_days(stay.through, READMITTED_DAYS)
            hits[member.member] += any(later.on <= last and not later.planned for later in held[index + 1 :])
    return ratio("M6", hits, of)
