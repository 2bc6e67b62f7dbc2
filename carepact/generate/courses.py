"""A course of treatment: drugs, visits, monthly services, and what patient and practice report."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from carepact.generate.codes import (
    ADMINISTRATION,
    CHRONIC_FILLS,
    LABS,
    MONTHLY_SERVICE,
    ORDINARY_DIAGNOSES,
    VISIT_CENTS,
    VISIT_CODES,
    Cancer,
    Regimen,
)
from carepact.generate.story import Sent, Story, iso

SUPPLIER_TIN = "570000880"
RATE_CHANGED = date(2025, 1, 1).toordinal()


@dataclass(slots=True)
class Course:
    """What a course sent, for a scenario to correct."""

    start: int
    days: int
    cancer: Cancer
    regimen: Regimen
    tin: str
    dx: tuple[str, ...]
    drugs: list[Sent] = field(default_factory=list)
    visits: list[Sent] = field(default_factory=list)
    services: list[Sent] = field(default_factory=list)

    @property
    def all(self) -> list[Sent]:
        """Every claim of the course."""
        return [*self.drugs, *self.visits, *self.services]


def treat(
    s: Story, day: int, regimen: Regimen, tin: str, dx: tuple[str, ...], known: int = 0, **more: Any
) -> list[Sent]:
    """One administration, billed as the regimen is."""
    match regimen.road:
        case "part_d":
            return [s.fill(day, drug, known, **more) for drug in regimen.drugs]
        case "outpatient":
            return [s.outpatient(day, (*regimen.drugs, ADMINISTRATION), tin, dx, known, **more)]
        case "dmepos":
            lines = [s.line(i, day, d, SUPPLIER_TIN, dx, place_of_service="12") for i, d in enumerate(regimen.drugs, 1)]
            return [s.professional(day, lines, SUPPLIER_TIN, dx, known, supplier="dmepos", **more)]
        case "carrier":
            place = more.pop("place", "11")
            given = (*regimen.drugs, ADMINISTRATION)
            lines = [s.line(i, day, drug, tin, dx, place_of_service=place) for i, drug in enumerate(given, 1)]
            return [s.professional(day, lines, tin, dx, known, **more)]


def visit(s: Story, day: int, tin: str, dx: tuple[str, ...], known: int = 0, **more: Any) -> Sent:
    """An office visit, at times with a laboratory test on the same claim."""
    code = s.rng.choice(VISIT_CODES)
    lines = [s.line(1, day, (code, 1, VISIT_CENTS[code]), tin, dx)]
    if s.rng.random() < 0.4:
        lines.append(s.line(2, day, s.rng.choice(LABS), tin, dx))
    return s.professional(day, lines, tin, dx, known, **more)


def service(s: Story, day: int, tin: str, dx: tuple[str, ...], known: int = 0, **more: Any) -> Sent:
    """A month of enhanced services, billed by the practice."""
    paid = 11_000 if day >= RATE_CHANGED else 7_000
    return s.professional(day, [s.line(1, day, (MONTHLY_SERVICE, 1, paid), tin, dx)], tin, dx, known, **more)


def months(start: int, through: int) -> list[int]:
    """A day in each calendar month from `start` through `through`: the first that can be."""
    found = []
    day = start
    while day <= through:
        found.append(day)
        on = date.fromordinal(day)
        day = date(on.year + on.month // 12, on.month % 12 + 1, 1).toordinal()
    return found


def course(
    s: Story,
    start: int,
    days: int,
    cancer: Cancer,
    regimen: Regimen,
    tin: str,
    *,
    visits: bool = True,
    first_visit: int = 0,
    services: bool = True,
    reports: bool = True,
    first: dict[str, Any] | None = None,
) -> Course:
    """Cycles from `start` for `days`. `first` changes the first administration; `first_visit` delays the visits."""
    rng = s.rng
    c = Course(start, days, cancer, regimen, tin, (rng.choice(cancer.codes),))
    if regimen.road == "part_d" and visits and not first_visit:
        c.visits.append(visit(s, start - 3 - rng.randrange(30), tin, c.dx, known=start - 1))
    for i, day in enumerate(range(start, start + days, regimen.cycle_days)):
        c.drugs += treat(s, day, regimen, tin, c.dx, **((first or {}) if i == 0 else {}))
        if visits and i * regimen.cycle_days >= first_visit:
            c.visits.append(visit(s, day if rng.random() < 0.7 else day + rng.randrange(1, 7), tin, c.dx))
    if services and s.payer == "medicare":
        for day in months(start, start + days - 1):
            if rng.random() < 0.93:
                c.services.append(service(s, day + min(rng.randrange(3), 2), tin, c.dx))
    if reports:
        clinical(s, c)
        for day in range(start, start + days, 14):
            report(s, day, tin)
        for day in range(start + 9, start + days, 45):
            contact(s, day, tin)
    return c


def report(s: Story, day: int, tin: str) -> None:
    """Answers of the patient: symptoms, mood or ability to work."""
    rng = s.rng
    s.counts["epro"] = number = s.counts.get("epro", 0) + 1
    data: dict[str, Any] = {
        "response_id": f"E{s.payer[0]}{s.number:06d}-{number:04d}",
        "collected_on": iso(day),
        "practice": tin,
    }
    kind = number % 3
    if kind == 0 and s.plan:
        data |= {"instrument": "WPAI-GH", "instrument_version": "2.0"}
        data["items"] = [
            {"code_system": "WPAI", "code": f"Q{q}", "value": str(rng.randrange(11))} for q in (2, 4, 5, 6)
        ]
    elif kind == 1:
        data |= {"instrument": "PHQ-9", "instrument_version": "1"}
        answers = [rng.choice((0, 0, 0, 1, 1, 2, 3)) for _ in range(9)]
        codes = ("44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8")
        data["items"] = [
            {"code_system": "LOINC", "code": code, "value": str(a)} for code, a in zip(codes, answers, strict=True)
        ]
        data["scores"] = [{"name": "phq9_total", "value": str(sum(answers))}]
    else:
        data |= {"instrument": "PRO-CTCAE", "instrument_version": "1.0"}
        symptoms = ("fatigue-severity", "nausea-frequency", "pain-severity", "numbness-severity")
        data["items"] = [{"code_system": "PRO-CTCAE", "code": x, "value": str(rng.randrange(5))} for x in symptoms]
    if rng.random() < 0.08:
        data["comment"] = f"{s.invented.person['given_name']} {s.invented.person['family_name']} feels tired."
    s.add(day + rng.randrange(2), "epro", "EproResponseReceived", data)


def contact(s: Story, day: int, tin: str) -> None:
    """A contact of one of the practice's programmes."""
    rng = s.rng
    s.counts["contact"] = number = s.counts.get("contact", 0) + 1
    data = {
        "record_id": f"P{s.payer[0]}{s.number:06d}-{number:03d}",
        "program": rng.choice(
            ("navigation", "navigation", "palliative", "hrsn", "care_plan", "behavioral", "after_hours")
        ),
        "contact_on": iso(day),
        "contact": rng.choice(("reached", "reached", "offered", "declined")),
        "party": "caregiver" if rng.random() < 0.15 else "member",
        "practice": tin,
    }
    s.add(day + rng.randrange(3), "programs", "ProgramContactRecorded", data)


def clinical(s: Story, c: Course) -> None:
    """Stage, spread and markers at the start; an authorization asked and decided."""
    rng = s.rng
    spread = rng.random() < 0.35
    found = [
        ("stage", "IV" if spread else rng.choice(("I", "II", "III"))),
        ("ever_metastatic", "yes" if spread else "no"),
    ]
    if c.cancer.name == "breast":
        found += [
            ("her2", rng.choice(("positive", "negative", "negative"))),
            ("er", rng.choice(("positive", "negative"))),
        ]
    for element, value in found:
        s.counts["record"] = number = s.counts.get("record", 0) + 1
        data = {
            "record_id": f"R{s.payer[0]}{s.number:06d}-{number:03d}",
            "observed_on": iso(c.start - 7),
            "element": element,
            "value": value,
            "diagnosis": c.dx[0],
        }
        s.add(c.start + rng.randrange(12), "clinical", "ClinicalFactRecorded", data)
    if s.payer != "medicare" and c.regimen.road != "part_d":
        request = f"A{s.payer[0]}{s.number:06d}-{c.start}"
        asked = {
            "request_id": request,
            "requested_on": iso(c.start - 6),
            "code": c.regimen.drugs[0][0],
            "diagnosis": c.dx[0],
            "practice": c.tin,
        }
        decided = {
            "request_id": request,
            "decided_on": iso(c.start - 3),
            "decision": "approved" if rng.random() < 0.9 else "denied",
            "hours": "52.5",
        }
        s.add(c.start - 6, "authorizations", "PriorAuthorizationRequested", asked)
        s.add(c.start - 2, "authorizations", "PriorAuthorizationDecided", decided)


def everyday(s: Story, start: int, days: int) -> None:
    """Care for anything but cancer."""
    rng = s.rng
    tin = "570000770"
    for _ in range(rng.randrange(1, 4)):
        day = start + rng.randrange(days)
        visit(s, day, tin, (rng.choice(ORDINARY_DIAGNOSES),))
    for _ in range(rng.randrange(0, 3)):
        s.fill(start + rng.randrange(days), rng.choice(CHRONIC_FILLS))
