"""A month is billable when the practice and the patient show what the terms of the day ask for, and not otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.events import (
    BenefitEnhancementElected,
    CarePartnerArranged,
    EproResponseReceived,
    Event,
    PracticeParticipationChanged,
    ProgramContactRecorded,
    RedesignActivityEvidenced,
    stored,
)
from contracts.parts import Span, ref_to
from contracts.practice_facts import ACTIVITIES, PracticeFacts
from contracts.readiness import Patient, Running, readiness
from contracts.roster import bundled_sheet
from contracts.terms import TermSheet

SHEET = TermSheet(bundled_sheet("medicare-eom")[2])
REF = ref_to("x", "y", 0)
PLAN = tuple(SHEET.on("care_plan_components", "2025-07-01").value.split())


def told(model: type[Event], **data: Any) -> tuple[str, Any]:
    return model.type_name(), stored(model).model_validate(data, strict=False)


def practice(*evidence: dict[str, Any]) -> PracticeFacts:
    known = PracticeFacts()
    known.hear(*told(PracticeParticipationChanged, practice="P1", from_on="2023-07-01"), REF)
    for number, one in enumerate(evidence):
        named = {"record_id": f"a{number}", "practice": "P1", "evidence": "attestation", "from_on": "2023-07-01", **one}
        known.hear(*told(RedesignActivityEvidenced, **named), REF)
    return known


def whole() -> list[dict[str, Any]]:
    return [{"activity": activity} for activity in ACTIVITIES]


def contact(day: str, program: str, **more: Any) -> tuple[str, Any]:
    data = {"record_id": f"{program}-{day}", "program": program, "contact_on": day, "contact": "reached", **more}
    return told(ProgramContactRecorded, **data)


def answers(day: str, **more: Any) -> tuple[str, Any]:
    data = {"response_id": day, "instrument": "PHQ-9", "instrument_version": "1", "collected_on": day, **more}
    return told(EproResponseReceived, **data)


def patient(*facts: tuple[str, Any]) -> Patient:
    made = Patient()
    for kind, data in facts:
        made.hear(kind, data, REF)
    return made


READY = (
    contact("2025-08-02", "care_plan", components=PLAN),
    contact("2025-08-02", "hrsn"),
    answers("2025-08-03"),
)
EPISODE = Running("e", "m", "2025-07-02", "2026-01-01", "lung")


def month(*facts: tuple[str, Any], at: str = "2025-08", known: PracticeFacts | None = None, **episode: Any) -> Any:
    running = Running(**{**{name: getattr(EPISODE, name) for name in Running.__slots__}, **episode})
    return readiness(SHEET, known or practice(*whole()), "P1", at, [running], {"m": patient(*facts)})


def lacks(*facts: tuple[str, Any], **more: Any) -> Any:
    return month(*facts, **more)["patients"][0]["lacks"]


def test_a_month_with_all_that_is_asked_is_ready() -> None:
    said = month(*READY)
    assert (said["ready"], said["practice_lacks"], said["lacking"]) == (1, [], {})


def test_a_patient_without_a_record_lacks_each_need() -> None:
    assert lacks() == ["not_furnished", "no_care_plan", "no_hrsn_screening", "no_patient_reported_outcome"]


def test_answers_of_patients_are_asked_for_from_the_day_of_the_term_on() -> None:
    facts = [contact("2025-06-02", "care_plan", components=PLAN), contact("2025-06-02", "hrsn")]
    assert lacks(*facts, at="2025-06", started_on="2025-06-01", ends_on="2025-11-30") == []
    facts.append(contact("2025-07-01", "navigation"))
    assert lacks(*facts, at="2025-07", started_on="2025-06-01", ends_on="2025-11-30") == ["no_patient_reported_outcome"]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ((READY[0], READY[1]), ["no_patient_reported_outcome"]),
        ((contact("2025-08-02", "care_plan", components=PLAN[1:]), *READY[1:]), [f"care_plan:{PLAN[0]}"]),
        ((contact("2025-01-29", "care_plan", components=PLAN), *READY[1:]), ["no_care_plan"]),
        ((contact("2025-01-30", "care_plan", components=PLAN), *READY[1:]), []),  # 183 days before 1 August
        ((READY[0], contact("2024-07-31", "hrsn"), READY[2]), ["no_hrsn_screening"]),
        ((READY[0], contact("2024-08-01", "hrsn"), READY[2]), []),  # 365 days before 1 August
        ((READY[0], answers("2025-08-03", instrument="AHC-HRSN")), []),
        ((*READY[:2], answers("2025-08-03", practice="P2")), ["no_patient_reported_outcome"]),
        ((*READY, answers("2025-08-03", status="entered_in_error")), ["no_patient_reported_outcome"]),
        ((*READY, contact("2025-08-02", "hrsn", contact="declined")), ["no_hrsn_screening"]),
    ],
)
def test_a_need_counts_from_its_day_on_and_at_the_practice(facts: tuple[Any, ...], why: list[str]) -> None:
    assert lacks(*facts) == why


def test_death_hospice_and_six_months_leave_nothing_to_bill() -> None:
    gone = patient(*READY)
    gone.died_on, gone.hospice = "2025-07-31", [Span("2025-07-20", "9999-12-31", "", REF)]
    paid = frozenset(f"2025-{n:02d}" for n in (1, 2, 3, 4, 5, 6))
    running = Running("e", "m", "2025-07-02", "2026-01-01", "lung", "low_risk_breast", paid)
    said = readiness(SHEET, practice(*whole()), "P1", "2025-08", [running], {"m": gone})
    assert said["patients"][0]["lacks"] == ["low_risk_breast", "months_used_up", "died_before", "in_hospice"]
    gone.died_on, gone.hospice = "2025-08-01", [Span("2025-08-01", "9999-12-31", "", REF)]
    said = readiness(SHEET, practice(*whole()), "P1", "2025-08", [EPISODE], {"m": gone})
    assert said["patients"][0]["lacks"] == []  # the day of death and of election still count


def test_a_practice_that_lacks_an_activity_has_nothing_ready() -> None:
    known = practice(*whole()[1:])
    said = month(*READY, known=known)
    assert (said["ready"], said["ready_but_for_the_practice"], said["practice_lacks"]) == (0, 1, ["activity:access"])
    assert month(*READY, known=PracticeFacts())["practice_lacks"][0] == "not_taking_part"


def test_a_standard_shows_the_activities_that_the_terms_map_it_to_until_it_is_taken_away() -> None:
    standard = {"standard": "omh/responsibilities", "evidence": "recognition"}
    known = practice(*whole()[2:], standard)
    assert month(*READY, known=known)["practice_lacks"] == []
    known = practice(*whole()[2:], standard, {**standard, "from_on": "2025-08-01", "met": False})
    assert month(*READY, known=known)["practice_lacks"] == ["activity:access", "activity:navigation"]


def test_care_partners_and_enhancements_stand_for_their_days() -> None:
    known = practice()
    known.hear(*told(CarePartnerArranged, practice="P1", partner="P9", share="0.05", from_on="2025-01-01"), REF)
    known.hear(
        *told(BenefitEnhancementElected, practice="P1", enhancement="telehealth", from_on="2025-01-01",
              through_on="2025-03-31"), REF
    )  # fmt: skip
    agreed = known.agreed("P1", "2025-01-01", "2025-06-30")
    assert agreed["care_partners"] == [{"partner": "P9", "share": "0.05", "from_on": "2025-01-01", "through_on": None}]
    assert [one["enhancement"] for one in agreed["benefit_enhancements"]] == ["telehealth"]
    assert known.agreed("P1", "2025-04-01", "2025-06-30")["benefit_enhancements"] == []
