"""Questionnaires out of FHIR: instruments by name or by items, answers on their scale, nothing that matters lost."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from contracts.events import EproResponseReceived
from contracts.instruments import score
from contracts.instruments.alerts import findings
from contracts.instruments.definition import instruments
from formats import fhir, fhir_check
from formats.detect import detect, read_file
from formats.reading import ReadFact, Reject

DATA = Path(__file__).parents[3] / "shared" / "data" / "epro"
samples = pytest.mark.skipif(not DATA.is_dir(), reason="the sample data is not beside the repository")

LOINC = "http://loinc.org"
ANSWERS = ("LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9")
PHQ9 = instruments()["phq-9"].items
GAD7 = instruments()["gad-7"].items


def coded(code: str, system: str = LOINC) -> dict[str, Any]:
    return {"valueCoding": {"system": system, "code": code, "display": "Canary words"}}


def item(link: str, *answers: dict[str, Any]) -> dict[str, Any]:
    return {"linkId": link, "text": "Canary question", "answer": list(answers)}


def survey(items: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "QuestionnaireResponse",
        "id": "qr-7",
        "questionnaire": "http://loinc.org/q/44249-1|2.73",
        "status": "completed",
        "subject": {"reference": "Patient/canary-1"},
        "authored": "2025-03-03T23:50:00-05:00",
        "item": items,
    } | changes


def phq9(*scores: int) -> list[dict[str, Any]]:
    return [item(f"/{code}", coded(ANSWERS[s])) for code, s in zip(PHQ9, scores, strict=False)]


def read(*bodies: Any) -> list[ReadFact | Reject]:
    return list(fhir.read(["\n".join(json.dumps(body) for body in bodies).encode()], "qr.ndjson"))


def one(body: Any) -> EproResponseReceived:
    (found,) = read(body)
    assert isinstance(found, ReadFact), found
    assert isinstance(found.event, EproResponseReceived)
    return found.event


def refused(body: Any) -> Reject:
    (found,) = read(body)
    assert isinstance(found, Reject)
    assert "anary" not in f"{found}"
    return found


@pytest.mark.parametrize(
    "total", [{"valueString": "12"}, {"valueInteger": 12}, {"valueDecimal": 12.0}, {"valueQuantity": {"value": 12}}]
)
def test_a_total_is_taken_in_whatever_type_it_comes(total: dict[str, Any]) -> None:
    found = one(survey([*phq9(2, 2, 2, 2, 1, 1, 2, 0, 0), item("/44261-6", total)]))
    assert (found.instrument, found.instrument_version, found.collected_on) == ("phq-9", "2.73", date(2025, 3, 3))
    assert [(s.name, int(s.value)) for s in found.scores] == [("phq9_total", 12)]
    assert [int(i.value or 0) for i in found.items] == [2, 2, 2, 2, 1, 1, 2, 0, 0]
    assert {i.code_system for i in found.items} == {"LOINC"}
    assert score(found).differs == ()


def test_stu3_names_its_questionnaire_by_reference() -> None:
    body = survey(phq9(1), questionnaire={"reference": "Questionnaire/phq-9"})
    assert one(body).instrument == "phq-9"
    assert fhir_check.version_of(body) == "STU3"
    assert fhir_check.version_of(survey(phq9(1))) == "R4"


def test_without_a_known_name_the_items_tell() -> None:
    gad = [item(f"/69737-5/{code}", coded(ANSWERS[1])) for code in GAD7]
    assert one(survey(gad, questionnaire="Questionnaire/q-17")).instrument == "gad-7"
    assert one(survey(phq9(1), questionnaire=None)).instrument == "phq-2"


def test_answers_nested_in_groups_and_below_answers_are_found() -> None:
    below = item("/44255-8", coded(ANSWERS[3]))
    group = {"linkId": "group", "item": [item("/44250-9", coded(ANSWERS[1]) | {"item": [below]})]}
    assert [(i.code, int(i.value or 0)) for i in one(survey([group])).items] == [("44250-9", 1), ("44255-8", 3)]


def test_pro_ctcae_scores_stand_at_the_end_of_the_code() -> None:
    items = [
        item("proctcae-48b-sev", coded("proctcae-severity-3", "urn:x")),
        item("proctcae-24a-prs", {"valueBoolean": True}),
    ]
    found = one(survey(items, questionnaire="urn:x/Questionnaire/pro-ctcae-screening"))
    assert [(i.code_system, i.code, int(i.value or 0)) for i in found.items] == [
        ("PRO-CTCAE", "proctcae-48b-sev", 3),
        ("PRO-CTCAE", "proctcae-24a-prs", 1),
    ]
    missing = one(survey([item("proctcae-71a-sev", coded("proctcae-severity-not-sexually-active"))], questionnaire="x"))
    assert [i.value for i in missing.items] == [None]


def test_promis_t_scores_are_scores() -> None:
    items = [item("/77864-7", {"valueDecimal": 61.2}), item("/x/71957-5", {"valueQuantity": {"value": 39.9}})]
    found = one(survey(items, questionnaire="http://example.org/PROMIS-29"))
    assert [(s.name, s.value) for s in found.scores] == [
        ("promis_fatigue_t", Decimal("61.2")),
        ("promis_social_roles_t", Decimal("39.9")),
    ]
    assert [s.band for s in score(found).scores] == ["moderate", "moderate"]


def test_needs_are_coded_answers_and_one_of_several_is_enough() -> None:
    items = [
        item("/71802-3", coded("LA31993-1")),
        item("/96778-6", coded("LA9-3"), coded("LA28580-1")),
        item("/88122-7", coded("LA28398-8")),
        item("/93030-5", coded("LA30122-8")),  # chose not to answer
    ]
    found = one(survey(items, questionnaire="http://loinc.org/q/96777-8"))
    assert (found.instrument, score(found).needs) == ("ahc-hrsn", ("housing",))
    assert [None if i.value is None else int(i.value) for i in found.items] == [0, 1, 0, None]


def test_an_ordinal_value_stands_for_a_code_we_do_not_have() -> None:
    answer = coded("LA0000-0")
    answer["valueCoding"]["extension"] = [
        {"url": "http://hl7.org/fhir/StructureDefinition/ordinalValue", "valueDecimal": 2}
    ]
    assert int(one(survey([item("/44250-9", answer)])).items[0].value or 0) == 2


def test_fever_may_be_asked_beside_pro_ctcae_by_yes_or_no() -> None:
    items = [item("proctcae-48b-sev", coded("proctcae-severity-1")), item("fever", coded("LA33-6"))]
    found = one(survey(items, questionnaire="Questionnaire/pro-ctcae"))
    assert [each.reasons for each in findings(found)] == [("fever",)]


def test_a_security_label_marks_a_record_of_substance_use() -> None:
    label = {
        "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "42CFRPart2"}]}
    }
    marked = read(survey(phq9(1), **label), survey(phq9(1), meta={"security": [{"code": "N"}]}))
    assert [i.part2 for i in marked if isinstance(i, ReadFact)] == [True, False]


def test_of_an_unknown_questionnaire_numbers_are_kept_and_words_left_out() -> None:
    items = [
        item("/68516-4", {"valueDecimal": 60}), item("steps", {"valueString": "7000"}),
        item("note", {"valueString": "Canary felt tired"}), item("x" * 40, {"valueInteger": 1}),
    ]  # fmt: skip
    found = one(survey(items, questionnaire="Questionnaire/own-survey"))
    assert (found.instrument, [(i.code_system, i.code) for i in found.items]) == (
        "own-survey",
        [("LOINC", "68516-4"), ("linkId", "steps")],
    )
    assert "anary" not in found.model_dump_json(exclude={"person"})


@pytest.mark.parametrize(
    ("sent", "kept"), [("completed", "completed"), ("amended", "amended"), ("entered-in-error", "entered_in_error")]
)
def test_a_later_version_is_told_by_its_status(sent: str, kept: str) -> None:
    (found,) = read(survey(phq9(0), status=sent))
    assert isinstance(found, ReadFact)
    assert isinstance(found.event, EproResponseReceived)
    assert (found.event.status, found.event.response_id) == (kept, "qr-7")
    assert found.natural_key == f"fhir|response|qr-7|{kept}|2025-03-03"


def test_who_answered() -> None:
    for source, mode in (("RelatedPerson/9", "caregiver"), ("Patient/1", "patient"), ("Practitioner/2", "unknown")):
        assert one(survey(phq9(0), source={"reference": source})).mode == mode


BAD: list[tuple[dict[str, Any], str, str]] = [
    (survey(phq9(0), status="in-progress"), "not_completed", "/status"),
    (survey(phq9(0), authored=None), "no_date", "/authored"),
    (survey(phq9(0), authored="2025-02-30"), "not_a_date", "/authored"),
    (survey(phq9(0), subject={}), "no_member_identifier", "/subject"),
    (survey(phq9(0), id=None), "schema", "/id"),
    (survey([*phq9(0), item("/44260-8", coded("LA-canary"))]), "unknown_answer", "/item/1/answer/0/valueCoding"),
    (survey([item("/44250-9", {"valueInteger": 4})]), "out_of_scale", "/item/0"),
    (survey([item("/44250-9", {"valueDecimal": 2.5})]), "out_of_scale", "/item/0"),
    (survey([item("/44261-6", {"valueString": "twelve canary"})]), "not_a_number", "/item/0/valueString"),
]


@pytest.mark.parametrize(("body", "code", "field"), BAD)
def test_what_is_wrong_is_refused_at_its_place(body: dict[str, Any], code: str, field: str) -> None:
    found = refused(body)
    assert (found.code, found.place.field, found.format) == (code, field, "fhir")


def test_a_score_by_itself_is_read_and_one_that_a_response_says_is_not() -> None:
    body = {
        "resourceType": "Observation", "id": "o-1", "status": "final", "subject": {"reference": "Patient/canary-1"},
        "code": {"coding": [{"system": LOINC, "code": "44261-6"}]}, "effectiveDateTime": "2025-03-03",
        "valueQuantity": {"value": 12},
    }  # fmt: skip
    found = one(body)
    assert (found.instrument, found.response_id, [s.name for s in found.scores]) == ("phq-9", "o-1", ["phq9_total"])
    derived = body | {"derivedFrom": [{"reference": "QuestionnaireResponse/qr-7"}]}
    weight = body | {"code": {"coding": [{"system": LOINC, "code": "29463-7"}]}}
    assert [r.code for r in read(derived, weight) if isinstance(r, Reject)] == ["not_read"]


def test_one_response_a_bundle_and_bulk_lines_are_told_alike() -> None:
    body = survey(phq9(1, 1, 1, 1, 1, 1, 1, 1, 0))
    bundle = {"resourceType": "Bundle", "entry": [{"resource": body}, {"resource": body | {"id": "qr-8"}}]}
    for text in (
        json.dumps(body),
        json.dumps(body, indent=2),
        json.dumps(bundle, indent=2),
        json.dumps(body) + "\n" * 2,
    ):
        assert detect(text.encode().splitlines(keepends=True), "x") == "fhir"
    assert [i.rows for i in read(bundle)] == [1, 1]
    assert [i.rows for i in read(body, body)] == [1, 1]


def test_a_full_check_keeps_its_findings_beside_the_fact() -> None:
    good = list(fhir.read([json.dumps(survey(phq9(1))).encode()], "x", validate="full"))
    assert [i.findings for i in good if isinstance(i, ReadFact)] == [()]
    odd = survey(phq9(1), canary="x", language=7)
    (found,) = fhir.read([json.dumps(odd).encode()], "x", validate="full")
    assert isinstance(found, ReadFact)
    assert found.findings
    assert set(found.findings) == {"R4:/canary:unknown", "R4:/language:type"}
    assert fhir_check.findings({"resourceType": "NoSuchThing"}) == ()


# Samples


def take(name: str) -> EproResponseReceived:
    (found,) = read_file(DATA / name)
    assert isinstance(found, ReadFact)
    assert isinstance(found.event, EproResponseReceived)
    return found.event


@samples
def test_the_two_published_phq9s() -> None:
    core = take("us-core/QuestionnaireResponse-phq-9-example.json")
    german = take("mii-proms/QuestionnaireResponse-mii-exa-pro-phq-9-response.json")
    for found, total, band in ((core, 12, "moderate"), (german, 27, "severe")):
        scored = score(found)
        assert (found.instrument, len(found.items), scored.differs) == ("phq-9", 10, ())
        assert [(int(s.value), s.band, s.origin) for s in scored.scores] == [(total, band, "items")]
    observed = take("mii-proms/Observation-mii-exa-pro-phq-9-observation.json")
    assert [int(s.value) for s in observed.scores] == [27]


@samples
def test_the_published_pro_ctcae_screening() -> None:
    found = take("mii-proms/mii-exa-pro-pro-ctcae-response-01.derived.json")
    assert (found.instrument, len(found.items), found.collected_on) == ("pro-ctcae", 23, date(2026, 6, 1))
    assert score(found).grades == {
        "decreased-appetite": 1, "nausea": 1, "vomiting": 1, "constipation": 1, "shortness-of-breath": 1, "pain": 2,
        "fatigue": 2, "anxiety": 2, "discouragement": 2, "sadness": 1,
    }  # fmt: skip


@samples
def test_other_published_surveys_are_taken_and_questionnaires_refused_by_name() -> None:
    assert [(s.name, int(s.value)) for s in take("us-core/QuestionnaireResponse-AUDIT-C.json").scores] == [
        ("auditc_total", 0)
    ]
    assert len(take("us-core/QuestionnaireResponse-exercise-vital-sign.json").items) == 2
    for path in DATA.glob("mii-proms/Questionnaire-*"):
        (found,) = read_file(path)
        assert isinstance(found, Reject)
        assert (found.code, found.rows) == ("not_read", 1)
