"""What a practice reports of an episode is what was recorded by its end; measures count as their guides say."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from contracts.envelope import Fact
from contracts.events import (
    ClinicalFactRecorded,
    EproResponseReceived,
    MemberDescribed,
    ProfessionalClaimReceived,
    stored,
)
from contracts.readiness import Contact
from contracts.reported_measures import Seen, counts
from contracts.roster import bundled_sheet
from contracts.submission import Records, Reported
from contracts.terms import TermSheet
from formats.eom_bundle import MBI, Identity, bundle, measure_report, patient_resources, wrong
from tests.streams.ways_in import claim

SHEET = TermSheet(bundled_sheet("medicare-eom")[2])
START, END = "2025-01-10", "2025-07-09"
WHO = Identity("1EG4TE5MK73", "Somebody", "Some", "1950-02-03", {"race": ["2106-3"], "language": "en"})


def fact(model: Any, offset: int, **data: Any) -> Fact:
    made = stored(model).model_validate(data, strict=False)
    return Fact("e", "e", model.type_name(), "m", "", made, "t", 0, offset, 0, "")


def recorded(element: str, value: str, on: str = "2025-02-01", **more: Any) -> dict[str, Any]:
    return {"record_id": f"{element}-{on}", "observed_on": on, "element": element, "value": value, **more}


WHOLE = (
    recorded("initial_diagnosis", "C50911", "2024-12-01", diagnosis="C50911"),
    recorded("histology", "8500/3"),
    recorded("recurrence", "no"),
    recorded("status_trend", "stable"),
    recorded("ever_metastatic", "no"),
    recorded("tnm_t", "1228938002"),
    recorded("tnm_n", "cN1"),
    recorded("tnm_m", "cM0"),
    recorded("er", "positive"),
    recorded("pr", "negative"),
    recorded("her2", "indeterminate"),
)


def reported(*clinical: dict[str, Any], cancer: str = "breast") -> Reported:
    records = Records(SHEET)
    records.hear(fact(MemberDescribed, 0, birth_year=1950, sex="female", died_on="2025-06-01"))
    for offset, data in enumerate(clinical, 1):
        records.hear(fact(ClinicalFactRecorded, offset, **data))
    return records.reported("m", cancer, START, END)


def test_a_whole_record_lacks_nothing_and_passes_fhir_and_the_model() -> None:
    one = reported(*WHOLE)
    assert one.lacks == ()
    resources = [
        *patient_resources(1, WHO, one),
        measure_report("EOM-5", (1, 2), "571000014", (START, END), "2025-07-10"),
    ]
    document = bundle(resources, "2025-07-10T12:00:00+00:00")
    assert wrong(document, [(START, END)]) == ()
    kinds = [entry["resource"]["resourceType"] for entry in document["entry"]]
    assert kinds == ["Patient", "Condition", *["Observation"] * 8, "MeasureReport"]
    patient, condition = (entry["resource"] for entry in document["entry"][:2])
    assert (patient["deceasedDateTime"], condition["code"]["coding"][0]["code"]) == ("2025-06-01", "C50.911")
    assert condition["clinicalStatus"]["coding"][0]["code"] == "active"
    assert "Somebody" not in repr(WHO) and "1EG4" not in repr(WHO)


def test_fhir_and_the_model_find_what_is_wrong_and_repeat_no_value() -> None:
    one = reported(*WHOLE)
    resources = list(patient_resources(1, Identity("0EG4TE5MK73", "S", "S", "1950-02-33"), one))
    resources[2]["status"] = "preliminary"
    found = wrong(bundle(resources, "2025-07-10T12:00:00+00:00"), [("2025-02-02", END)])
    assert {"patient-1:mbi", "observation-1-1:status", "observation-1-1:effectiveDateTime"} <= set(found)
    assert any("birthDate" in finding for finding in found)
    assert "0EG4" not in "".join(found)


@pytest.mark.parametrize(
    ("number", "good"), [("1EG4TE5MK73", True), ("0EG4TE5MK73", False), ("1SG4TE5MK73", False), ("1EG4TE5MK7", False)]
)
def test_an_mbi_has_its_form(number: str, good: bool) -> None:
    assert bool(MBI.fullmatch(number)) is good


@pytest.mark.parametrize(
    ("record", "lacks"),
    [
        (recorded("status_trend", "stable", "2025-01-09"), ["status_trend"]),  # the day before the episode
        (recorded("status_trend", "stable", START), []),
        (recorded("status_trend", "stable", END), []),
        (recorded("status_trend", "better"), ["status_trend"]),  # none of the seven answers
        (recorded("status_trend", "268910001"), []),
        (recorded("status_trend", "stable", status="entered_in_error"), ["status_trend"]),
    ],
)
def test_a_status_is_of_the_episodes_own_days(record: dict[str, Any], lacks: list[str]) -> None:
    others = [one for one in WHOLE if one["element"] != "status_trend"]
    assert list(reported(*others, record).lacks) == lacks


def test_elements_are_asked_by_cancer_type() -> None:
    assert list(reported(cancer="myeloma").lacks) == [
        "diagnosis", "histology", "initial_diagnosis", "recurrence", "status_trend",
    ]  # fmt: skip
    assert {"er", "tnm_m"} <= set(reported().lacks)


def test_what_ever_spread_stays_so_and_what_comes_after_the_end_is_not_told() -> None:
    one = reported(
        recorded("ever_metastatic", "yes", "2025-02-01"), recorded("ever_metastatic", "no", "2025-03-01"),
        recorded("her2", "negative", "2025-02-01"), recorded("her2", "positive", "2025-07-10"),
    )  # fmt: skip
    assert (one.elements["ever_metastatic"].value, one.elements["her2"].value) == ("true", "LA6577-6")


def test_visits_are_those_of_standing_claims_at_the_practice() -> None:
    records = Records(SHEET)
    line = {"line": 1, "code": "99214", "diagnoses": ("C50911",), "allowed_cents": 100, "place_of_service": "11"}

    def told(claim_id: str, day: str, **more: Any) -> Fact:
        given = claim("1EG4TE5MK73", claim_id, from_on=date.fromisoformat(day), through_on=date.fromisoformat(day))
        data = given.model_dump(mode="json", exclude_defaults=True, exclude={"person", "patient_control_number"}) | {
            "billing_tin": "P1", "lines": [line | {"service_on": day}], **more
        }  # fmt: skip
        return fact(ProfessionalClaimReceived, 1, **data)

    for one in (
        told("A", "2025-02-01"), told("B", "2025-03-01"), told("C", "2025-04-01", billing_tin="P2"),
        told("D", "2025-07-10"), told("V", "2025-03-01", action="void", replaces="B", family="B"),
    ):  # fmt: skip
        records.hear(one)
    assert records.seen("m", "P1", START, END).visits == ("2025-02-01",)
    assert records.reported("m", "breast", START, END).diagnosis == "C50911"


VISIT = "2025-02-15"


def answered(on: str, instrument: str, answers: dict[str, int]) -> Any:
    items = [{"code_system": "X", "code": code, "value": str(value)} for code, value in answers.items()]
    data = {"response_id": on, "instrument": instrument, "instrument_version": "1", "collected_on": on, "items": items}
    return stored(EproResponseReceived).model_validate(data, strict=False)


def pain(on: str, value: int) -> Any:
    return answered(on, "PRO-CTCAE", {"pain-severity": value})


def mood(on: str, value: int) -> Any:
    return answered(on, "PHQ-2", {"44250-9": value, "44255-8": 0})


def plan(on: str, program: str) -> Contact:
    return Contact(on, program, "P1", ())


@pytest.mark.parametrize(
    ("responses", "contacts", "expected"),
    [
        ((), (), {"EOM-4a": (0, 1), "EOM-4b": (0, 0), "EOM-5": (0, 1)}),
        ((pain("2025-02-08", 0),), (), {"EOM-4a": (1, 1), "EOM-4b": (0, 0)}),  # 7 days before, the last that count
        ((pain("2025-02-07", 0),), (), {"EOM-4a": (0, 1)}),
        ((pain(VISIT, 2),), (), {"EOM-4b": (0, 1)}),
        ((pain(VISIT, 2),), (plan("2025-02-22", "palliative"),), {"EOM-4b": (1, 1)}),
        ((pain(VISIT, 2),), (plan("2025-02-23", "palliative"),), {"EOM-4b": (0, 1)}),
        ((mood("2025-02-01", 0),), (), {"EOM-5": (1, 1)}),  # 14 days before
        ((mood("2025-01-31", 0),), (), {"EOM-5": (0, 1)}),
        ((mood("2025-02-16", 0),), (), {"EOM-5": (0, 1)}),  # after the visit
        ((mood(VISIT, 3),), (), {"EOM-5": (0, 1)}),  # PHQ-2 from 3 on asks for a plan
        ((mood(VISIT, 3),), (plan("2025-02-17", "behavioral"),), {"EOM-5": (1, 1)}),
        ((mood(VISIT, 3),), (plan("2025-02-18", "behavioral"),), {"EOM-5": (0, 1)}),
        ((mood(VISIT, 2),), (), {"EOM-5": (1, 1)}),
    ],
)
def test_measures_count_from_day_to_day(
    responses: tuple[Any, ...], contacts: tuple[Contact, ...], expected: dict[str, tuple[int, int]]
) -> None:
    found = counts(SHEET, [Seen(START, (VISIT,), responses, contacts)])
    assert {name: found[name] for name in expected} == expected


def test_an_episode_without_a_visit_is_in_no_measure() -> None:
    assert set(counts(SHEET, [Seen(START, (), (mood(VISIT, 0),), ())]).values()) == {(0, 0)}
