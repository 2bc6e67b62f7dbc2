"""Whether a practice's month of enhanced services can be billed, patient by patient, and what it lacks (EOM 2.2, 6.1).

A month needs a practice that takes part and shows the activities of the day, and a patient with an episode that counts,
alive and out of hospice, with services furnished in the month and the records that the terms ask for. What is asked is
data of the term sheet; much of it is open. Nothing here decides a payment: the monthly payment follows its claim line,
and what was billed without evidence is the practice's to defend.
"""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from contracts import coverage
from contracts.parts import Ref, Span
from contracts.practice_facts import ACTIVITIES, PracticeFacts
from contracts.terms import TermSheet
from contracts.units import FOREVER, add_days, last_day

HEARD = frozenset(
    f"carepact.{name}.v1"
    for name in ("ProgramContactRecorded", "EproResponseReceived", "MemberDescribed", "EnrollmentChanged")
)
"""Facts about a member that readiness asks for."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact of a programme that reached its patient."""

    day: str
    program: str
    practice: str
    components: tuple[str, ...]


@dataclass(slots=True)
class Patient:
    """What the log says of a patient, as far as readiness asks."""

    contacts: dict[str, Contact] = field(default_factory=dict)
    answers: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    hospice: list[Span] = field(default_factory=list)
    died_on: str = ""

    def hear(self, kind: str, data: Any, ref: Ref) -> None:
        """The next fact; answers are (day, instrument, practice) by response."""
        match kind:
            case "carepact.ProgramContactRecorded.v1":
                self.contacts.pop(data.record_id, None)
                if data.contact == "reached":
                    day = data.contact_on.isoformat()
                    self.contacts[data.record_id] = Contact(day, data.program, data.practice or "", data.components)
            case "carepact.EproResponseReceived.v1":
                self.answers.pop(data.response_id, None)
                if data.status != "entered_in_error":
                    told = data.collected_on.isoformat(), data.instrument.lower(), data.practice or ""
                    self.answers[data.response_id] = told
            case "carepact.MemberDescribed.v1" if data.died_on:
                self.died_on = data.died_on.isoformat()
            case "carepact.EnrollmentChanged.v1" if data.coverage == "hospice":
                span = Span(data.from_on.isoformat(), last_day(data.through_on), "", ref)
                self.hospice = coverage.overlay(self.hospice, span, data.covered)


@dataclass(frozen=True, slots=True)
class Running:
    """An episode that runs in the month, as it stands; `why_not` says why it is void or does not count.

    `paid` are the months of its payments in force.
    """

    episode_id: str
    member: str
    started_on: str
    ends_on: str
    cancer_type: str
    why_not: str = ""
    paid: frozenset[str] = frozenset()


def readiness(
    sheet: TermSheet,
    facts: PracticeFacts,
    practice: str,
    month: str,
    episodes: Iterable[Running],
    patients: Mapping[str, Patient],
) -> dict[str, Any]:
    """A practice's month ('YYYY-MM'): its activities, and each episode with what it lacks to be billable."""
    first = f"{month}-01"
    last = f"{month}-{monthrange(*map(int, month.split('-')))[1]:02d}"
    activities, lacks = _practice(sheet, facts, practice, first)
    told = [
        _episode(sheet, practice, first, last, episode, patients.get(episode.member, Patient()))
        for episode in sorted(episodes, key=lambda one: (one.member, one.started_on))
    ]
    ready = [one for one in told if not one["lacks"]]
    return {
        "contract": sheet.contract,
        "terms": sheet.version,
        "practice": practice,
        "month": month,
        "takes_part": facts.takes_part(practice, first) or facts.takes_part(practice, last),
        "activities": activities,
        "practice_lacks": lacks,
        "episodes": len(told),
        "ready": 0 if lacks else len(ready),
        "ready_but_for_the_practice": len(ready) if lacks else 0,
        "paid": sum(one["paid"] for one in told),
        "paid_and_lacking": sum(one["paid"] and bool(lacks or one["lacks"]) for one in told),
        "lacking": dict(sorted(Counter(why for one in told for why in one["lacks"]).items())),
        "patients": told,
        "asked": [sheet.on(name, first).as_use() for name in ("redesign_activities", "month_needs")],
    }


def _practice(
    sheet: TermSheet, facts: PracticeFacts, practice: str, first: str
) -> tuple[list[dict[str, Any]], list[str]]:
    asked = sheet.on("redesign_activities", first).value.split()
    shown = facts.shown(practice, first, sheet.codes("ncqa_standards"))
    activities = [
        {
            "activity": activity,
            "asked": activity in asked,
            "shown": activity in shown,
            "by": [
                {"standard": standard or None, "evidence": span.code, "from_on": span.start,
                 "through_on": None if span.through == FOREVER else span.through}
                for standard, span in shown.get(activity, ())
            ],
        }
        for activity in ACTIVITIES
    ]  # fmt: skip
    lacks = [] if facts.takes_part(practice, first) else ["not_taking_part"]
    return activities, lacks + [f"activity:{activity}" for activity in asked if activity not in shown]


def _episode(
    sheet: TermSheet, practice: str, first: str, last: str, episode: Running, patient: Patient
) -> dict[str, Any]:
    """What an episode lacks in the month; a month already paid is not held against it."""
    month = first[:7]
    lacks = [episode.why_not] if episode.why_not else []
    paid = month in episode.paid
    if not paid and len(episode.paid) >= sheet.on("meos_months_max", episode.started_on).number:
        lacks.append("months_used_up")
    begins, ends = max(first, episode.started_on), min(last, episode.ends_on)
    if patient.died_on and patient.died_on < begins:
        lacks.append("died_before")
    if patient.hospice and not coverage.throughout(patient.hospice, add_days(begins, -1), ends):
        lacks.append("in_hospice")
    for need in sheet.on("month_needs", first).value.split():
        name, _, days = need.partition(":")
        lacks += _needs(sheet, name, practice, add_days(first, -int(days)), last, first, patient)
    return {
        "member": episode.member,
        "episode_id": episode.episode_id,
        "started_on": episode.started_on,
        "ends_on": episode.ends_on,
        "cancer_type": episode.cancer_type or None,
        "paid": paid,
        "lacks": lacks,
    }


def _needs(
    sheet: TermSheet, name: str, practice: str, since: str, last: str, first: str, patient: Patient
) -> list[str]:
    contacts = [c for c in patient.contacts.values() if since <= c.day <= last and c.practice in ("", practice)]
    answers = [a for a in patient.answers.values() if since <= a[0] <= last and a[2] in ("", practice)]
    match name:
        case "furnished":
            return [] if contacts or answers else ["not_furnished"]
        case "care_plan":
            plans = [contact for contact in contacts if contact.program == "care_plan"]
            if not plans:
                return ["no_care_plan"]
            held = {component for plan in plans for component in plan.components}
            asked = sheet.on("care_plan_components", first).value.split()
            return [f"care_plan:{component}" for component in asked if component not in held]
        case "hrsn":
            tools = sheet.on("hrsn_instruments", first).value.split()
            screened = any(c.program == "hrsn" for c in contacts) or any(a[1] in tools for a in answers)
            return [] if screened else ["no_hrsn_screening"]
        case "epro":
            return [] if answers else ["no_patient_reported_outcome"]
        case _:
            raise AssertionError(f"no reading of what a month needs: {name}")


def hear_all(facts: Iterable[Any], practices: PracticeFacts, patients: dict[str, Patient]) -> None:
    """Decoded facts, each once and in order: those about members to their patients, the others to practices."""
    for fact in facts:
        if fact.member:
            patients.setdefault(fact.member, Patient()).hear(fact.type, fact.data, fact.ref)
        else:
            practices.hear(fact.type, fact.data, fact.ref)


def days_of(month: str) -> tuple[date, date]:
    """The first and the last day of a month."""
    year, number = map(int, month.split("-"))
    return date(year, number, 1), date(year, number, monthrange(year, number)[1])
