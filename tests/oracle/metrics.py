"""An independent account of some metrics: M1, M3, M4, M7 and return to work, by the words of the catalogue.

Nothing of the product is imported. Days are dates, people are taken one at a time with every claim at hand, visits and
stays are merged pair by pair until nothing more merges, and the incidence is summed person by person.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.oracle.fold import FOREVER, ONE, VALUE_SETS, Codes, Episode, Facts, Member, read, survivors
from tests.oracle.work import Account, Person, followed

NOT_FIRST = ("A", "B", "G")
ED_REVENUE = ("0450", "0451", "0452", "0459", "0981")
ED_CODES = ("99281", "99282", "99283", "99284", "99285", "G0380", "G0381", "G0382", "G0383", "G0384")


def people(path: Path) -> dict[Member, Facts]:
    """Everybody of a file; one id counts once."""
    found: dict[Member, Facts] = defaultdict(Facts)
    seen: set[str] = set()
    for event in read(path):
        if event["id"] not in seen:
            seen.add(event["id"])
            identifier = event["data"]["person"]["identifier"]
            found[event["plan"], identifier["kind"], identifier["value"]].take(event)
    return found


def products() -> dict[str, tuple[str, str, int]]:
    """Code -> molecule, role, units."""
    with (VALUE_SETS / "biosimilars.csv").open(newline="") as file:
        rows = [(row["code"], row["product"].split("|")) for row in csv.DictReader(file)]
    return {code: (molecule, role, int(units)) for code, (molecule, role, units) in rows}


def oncology_prefixes() -> tuple[str, ...]:
    with (VALUE_SETS / "metric_codes.csv").open(newline="") as file:
        return tuple(row["code"] for row in csv.DictReader(file) if row["set"] == "oncology_dx")


@dataclass
class Span:
    """A visit or a stay."""

    first: date
    last: date
    where: str
    admitted: date | None = None
    emergency: bool = False


@dataclass
class Used:
    """One person's visits and stays."""

    visits: list[Span] = field(default_factory=list)
    stays: list[Span] = field(default_factory=list)


def lines(facts: Facts) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(kind, record, line) of all that stands and that the plan pays first."""
    for (kind, _), records in facts.families.items():
        for record, line in survivors(kind, records):
            if record.get("primary_payer") not in NOT_FIRST:
                yield kind, record, line


def inpatient(record: dict[str, Any]) -> bool:
    bill = record.get("type_of_bill")
    return bill.lstrip("0")[:2] == "11" if bill else bool(record["setting"] == "inpatient")


def used(facts: Facts) -> Used:
    """Visits and stays, each pair that belongs together made one."""
    facility: list[Span] = []
    seen: set[date] = set()
    bills: list[Span] = []
    for kind, record, line in lines(facts):
        if kind == "InstitutionalClaimReceived":
            ed = [x for x in record.get("lines", ()) if x.get("revenue_center") in ED_REVENUE or x["code"] in ED_CODES]
            if inpatient(record):
                first = day(record["from_on"])
                admitted = day(record.get("admitted_on") or record["from_on"])
                last = day(record.get("discharged_on") or record["through_on"])
                where = record.get("facility") or ""
                bills.append(Span(min(first, admitted), last, where, admitted, bool(ed)))
            else:
                facility += [Span(day(x["service_on"]), day(x["service_on"]), record.get("facility") or "") for x in ed]
        elif kind == "ProfessionalClaimReceived" and (line["code"] in ED_CODES or line["place_of_service"] == "23"):
            seen.add(day(line["service_on"]))
    visits = merged(facility, lambda a, b: a.where == b.where and near(a, b))
    alone = [Span(d, d, "") for d in seen if not any(v.first - ONE <= d <= v.last + ONE for v in visits)]
    visits += merged(alone, near)
    return Used(visits, merged(bills, lambda a, b: near(a, b) or (a.where == b.where and a.admitted == b.admitted)))


def near(a: Span, b: Span) -> bool:
    """They share a day, or one begins by the day after the other."""
    return a.first <= b.last + ONE and b.first <= a.last + ONE


def merged(spans: list[Span], together: Any) -> list[Span]:
    left = list(spans)
    again = True
    while again:
        again = False
        for a in left:
            b = next((b for b in left if b is not a and together(a, b)), None)
            if b is not None:
                left = [one for one in left if one is not a and one is not b]
                last = max(a.last, b.last)
                left.append(Span(min(a.first, b.first), last, a.where, a.admitted, a.emergency or b.emergency))
                again = True
                break
    return left


def day(text: str) -> date:
    return date.fromisoformat(text)


def counted(episodes: Iterable[Episode], first: date, last: date, closed: date, run_out: int) -> list[Episode]:
    return [e for e in episodes if e.included and first <= e.end <= last and e.end + ONE * run_out <= closed]


def emergency(everybody: dict[Member, Facts], episodes: list[Episode]) -> tuple[int, int, int, int]:
    """(visits, visits that became stays, stays, episodes)."""
    seen = admitted = stayed = 0
    for episode in episodes:
        use = used(everybody[episode.member])

        def into(visit: Span, stays: list[Span]) -> bool:
            return any(stay.first - ONE <= visit.last and visit.first <= stay.last for stay in stays)

        inside = [v for v in use.visits if episode.start <= v.first <= episode.end]
        became = [v for v in inside if into(v, use.stays)]
        seen += len(inside) - len(became)
        told = [v for v in use.visits if into(v, use.stays)]
        rolled = [s for s in use.stays if s.emergency and not any(into(v, [s]) for v in told)]
        admitted += len(became) + sum(episode.start <= s.first <= episode.end for s in rolled)
        stayed += sum(episode.start <= s.first <= episode.end for s in use.stays)
    return seen, admitted, stayed, len(episodes)


def cost(everybody: dict[Member, Facts], plan: str, first: date, last: date, codes: Codes) -> tuple[int, int]:
    """M1, medical: (allowed cents, member-months)."""
    prefixes, drugs = oncology_prefixes(), {*codes.hcpcs, *products()}
    cents = months = 0
    firsts = [date(y, m, 1) for y in range(first.year, last.year + 1) for m in range(1, 13)]
    firsts = [d for d in firsts if first <= d <= last]
    for member, facts in everybody.items():
        if member[0] != plan or not facts.days_covered("plan", first, last):
            continue
        months += sum(facts.covered("plan", d) is not None for d in firsts)
        for kind, record, line in lines(facts):
            if kind == "ProfessionalClaimReceived":
                dx = line["diagnoses"] or record["diagnoses"]
                if first <= day(line["service_on"]) <= last and (
                    line["code"] in drugs or any(d.startswith(prefixes) for d in dx)
                ):
                    cents += line.get("allowed_cents", line["paid_cents"])
            elif kind == "InstitutionalClaimReceived" and first <= day(record["from_on"]) <= last:
                own = any(x.get("code") in drugs for x in record.get("lines", ()))
                if own or any(d.startswith(prefixes) for d in record["diagnoses"]):
                    cents += record.get("allowed_cents", record["paid_cents"])
    return cents, months


def units(everybody: dict[Member, Facts], plan: str, first: date, last: date) -> dict[str, tuple[int, int]]:
    """M7, by molecule: (biosimilar units, all units)."""
    known = products()
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for member, facts in everybody.items():
        if member[0] != plan or not facts.days_covered("plan", first, last):
            continue
        for kind, record, line in lines(facts):
            told = [line] if kind == "ProfessionalClaimReceived" else record.get("lines", ())
            for x in told:
                if x["code"] in known and "JW" not in x.get("modifiers", ()) and first <= day(x["service_on"]) <= last:
                    molecule, role, factor = known[x["code"]]
                    found[molecule][role] += int(x.get("units", 0)) * factor
    return {m: (n["biosimilar"], n["biosimilar"] + n["reference"]) for m, n in found.items()}


# --- return to work ---------------------------------------------------------------------------------------------------


def observation(person: Person, account: Account, held: int) -> tuple[int, int]:
    """(days, cause) of a return that holds so many days."""
    absence = account.absence
    assert absence is not None
    least, end = Fraction(95, 100) * person.baseline(absence), person.ends(absence)
    start, last = absence + ONE * 7, absence + ONE * 730
    stop = end[0] if end else FOREVER
    while start <= last:
        found = person.first_day(start, last, least, True)
        if found is None or found[0] > min(person.closed, stop):
            break
        back = found[0]
        broken, known, again = person.breaks(back, least) or (FOREVER, FOREVER, FOREVER)
        if known <= person.closed and broken <= stop and (broken - back).days < held:
            start = again
            continue
        until = min(stop, broken)
        if (until - back).days < held:
            if end is None:
                return (back - absence).days, 0
            return ((back if end[1] == 0 else end[0]) - absence).days, end[1]
        return (back - absence).days, 1 if (person.closed - back).days >= held + 14 else 0
    if end:
        return (end[0] - absence).days, end[1]
    return (min(person.closed, last) - absence).days, 0


def cohort(episodes: list[Episode], closed: date, held: int) -> Iterator[tuple[Episode, tuple[int, int]]]:
    """Everybody absent, by episode."""
    by_member: dict[Member, list[Episode]] = defaultdict(list)
    for episode in episodes:
        by_member[episode.member].append(episode)
    for own in by_member.values():
        before: date | None = None
        for episode in sorted(own, key=lambda e: e.start):
            assert episode.facts is not None
            person = Person(episode.facts, closed)
            account = followed(person, episode, before, episode.facts.born)
            before = episode.start
            if account is not None and account.absence is not None:
                yield episode, observation(person, account, held)


def returned(told: list[tuple[int, int]], by: int) -> Fraction:
    """Aalen-Johansen, each event by itself: of those with a time of u or more, in the order of time."""
    surviving, back = Fraction(1), Fraction(0)
    for when in sorted({time for time, cause in told if cause}):
        there = sum(1 for time, _ in told if time >= when)
        if when <= by:
            back += surviving * Fraction(sum(1 for one in told if one == (when, 1)), there)
        surviving -= surviving * Fraction(sum(1 for time, cause in told if time == when and cause), there)
    return back
