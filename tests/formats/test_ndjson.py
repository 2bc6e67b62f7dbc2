"""NDJSON: facts come out as sent; what is wrong comes out with place, reason and remedy, and without the value."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from contracts.envelope import MAX_FACT_BYTES
from contracts.events import ProfessionalClaimReceived
from formats import ndjson
from formats.reading import Place, ReadFact, Reject

PERSON = {"identifier": {"kind": "mbi", "value": "1EG4TE5MK73"}, "family_name": "Canary-Zebrafinch"}
LINE = {"line": 1, "service_on": "2024-02-05", "code": "J9271", "allowed_cents": 1250, "paid_cents": 1000}
CLAIM = {
    "person": PERSON,
    "claim_id": "c-1",
    "family": "f-1",
    "effective_on": "2024-03-01",
    "from_on": "2024-02-05",
    "through_on": "2024-02-05",
    "lines": [LINE],
}


def event(data: dict[str, Any] | None = None, **attributes: Any) -> bytes:
    whole = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "carrier",
        "type": "carepact.ProfessionalClaimReceived.v1",
        "time": "2024-03-02T09:00:00-05:00",
        "data": CLAIM if data is None else data,
    } | attributes
    return orjson.dumps({k: v for k, v in whole.items() if v is not ...})


def one(line: bytes) -> ReadFact | Reject:
    (item,) = ndjson.read([line + b"\n"], "claims.ndjson")
    return item


def rejected(line: bytes) -> Reject:
    item = one(line)
    assert isinstance(item, Reject)
    text = f"{item.reason} {item.remedy} {item.place}"
    assert "Canary" not in text
    assert "1EG4" not in text
    assert item.remedy
    return item


def test_a_claim_is_read_as_sent() -> None:
    item = one(event(plan="lowcountry-retail", payer="employers"))
    assert isinstance(item, ReadFact)
    assert isinstance(item.event, ProfessionalClaimReceived)
    assert item.event.lines[0].paid_cents == 1000
    assert (item.producer_id, item.source, item.plan, item.payer) == (
        "e-1",
        "carrier",
        "lowcountry-retail",
        "employers",
    )
    assert item.time == "2024-03-02T14:00:00.000Z"
    assert item.rows == 1


def test_without_an_id_the_record_is_named_by_the_senders_own_terms() -> None:
    item = one(event(id=...))
    assert isinstance(item, ReadFact)
    assert item.producer_id is None
    assert item.natural_key == "ndjson|ProfessionalClaimReceived|c-1|original|2024-03-01|2024-02-05"


def test_extensions_of_the_sender_are_left_behind() -> None:
    assert isinstance(one(event(traceparent="00-aa-bb-01", datacontenttype="application/json")), ReadFact)


def test_lines_are_counted_with_the_empty_ones_and_a_bad_one_hides_no_other() -> None:
    items = list(ndjson.read([b"\xef\xbb\xbf" + event() + b"\n", b"\n", b"{oops\n", event(id="e-2")], "claims.ndjson"))
    assert [(i.place.line, isinstance(i, Reject)) for i in items] == [(1, False), (3, True), (4, False)]


def claim(**changes: Any) -> dict[str, Any]:
    return {k: v for k, v in (CLAIM | changes).items() if v is not ...}


BAD = {
    "not json": (b"{oops", "unreadable", ""),
    "not utf-8": (event().replace(b"Canary", b"Can\xff"), "unreadable", ""),
    "not an object": (b"[1, 2]", "unreadable", ""),
    "infinity": (event().replace(b"1250", b"Infinity"), "unreadable", ""),
    "key twice": (event().replace(b'"paid_cents":1000', b'"paid_cents":1000,"paid_cents":1'), "duplicate_key", ""),
    "key twice, blank before colon": (event().replace(b'"id":"e-1"', b'"id":"e-1","id" :"e-2"'), "duplicate_key", ""),
    "too deep": (event(x=eval("[" * 40 + "]" * 40)), "too_deep", ""),
    "far too deep": (b"[" * 100_000, "too_deep", ""),
    "other CloudEvents": (event(specversion="0.3"), "envelope", "/specversion"),
    "no source": (event(source=...), "envelope", "/source"),
    "source is a number": (event(source=3), "envelope", "/source"),
    "no data": (event().replace(b'"data":', b'"date":'), "envelope", "/data"),
    "naive time": (event(time="2024-03-02T09:00:00"), "envelope", "/time"),
    "time is a day": (event(time="2024-03-02"), "envelope", "/time"),
    "a plan that is none": (event(plan="Canary Zebrafinch"), "envelope", "/plan"),
    "unknown type": (event(type="carepact.Nothing.v1"), "unknown_type", "/type"),
    "newer version": (event(type="carepact.ProfessionalClaimReceived.v9"), "unknown_type", "/type"),
    "no person": (event(claim(person=...)), "no_member_identifier", "/data/person/identifier"),
    "person without identifier": (event(claim(person={})), "no_member_identifier", "/data/person/identifier"),
    "missing field": (event(claim(family=...)), "schema", "/data/family"),
    "unknown field": (event(claim(colour="red")), "schema", "/data/colour"),
    "unknown field that is a name": (event(claim(**{"Canary Zebrafinch": 1})), "schema", "/data/?"),
    "amount is text": (event(claim(lines=[LINE | {"paid_cents": "10.00"}])), "not_money", "/data/lines/0/paid_cents"),
    "amount is a float": (event(claim(lines=[LINE | {"paid_cents": 10.5}])), "not_money", "/data/lines/0/paid_cents"),
    "amount beyond all": (event(claim(lines=[LINE | {"paid_cents": 10**15}])), "not_money", "/data/lines/0/paid_cents"),
    "no such day": (event(claim(from_on="2023-02-29")), "not_a_date", "/data/from_on"),
    "a day as number": (event(claim(lines=[LINE | {"service_on": 3}])), "not_a_date", "/data/lines/0/service_on"),
    "code of another form": (event(claim(lines=[LINE | {"code": "J92 71"}])), "schema", "/data/lines/0/code"),
    "value outside the list": (event(claim(action="Canary")), "schema", "/data/action"),
    "no lines": (event(claim(lines=[])), "schema", "/data/lines"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_rejected_with_its_place(case: str) -> None:
    line, code, field = BAD[case]
    item = rejected(line)
    assert (item.code, item.place.field, item.place.line, item.place.file) == (code, field, 1, "claims.ndjson")
    assert item.rows == 1
    assert item.raw.rstrip() == line


def test_a_line_above_the_limit_is_rejected_and_not_kept_whole() -> None:
    item = rejected(event(claim(patient_control_number="x" * MAX_FACT_BYTES)))
    assert item.code == "too_large"
    assert len(item.raw) == MAX_FACT_BYTES


def test_a_line_at_the_limit_is_read() -> None:
    line = event()
    padded = line[:-1] + b" " * (MAX_FACT_BYTES - len(line)) + line[-1:]
    assert len(padded) == MAX_FACT_BYTES
    assert isinstance(one(padded), ReadFact)


def test_one_event_by_itself_is_read_as_a_line_is() -> None:
    item = ndjson.read_one(b"{oops", Place("carepact.medicare.inbox.v1", 7))
    assert isinstance(item, Reject)
    assert str(item.place) == "carepact.medicare.inbox.v1:7"


def test_an_answer_outside_its_scale_is_refused_at_its_place() -> None:
    answers = [
        {"code_system": "LOINC", "code": code, "value": value} for code, value in (("44250-9", "3"), ("44260-8", "7"))
    ]
    survey = {
        "person": PERSON, "response_id": "r", "instrument": "PHQ-9", "instrument_version": "1",
        "collected_on": "2025-03-03", "items": answers,
    }  # fmt: skip
    kind = "carepact.EproResponseReceived.v1"
    wrong = one(event(survey, type=kind))
    assert isinstance(wrong, Reject)
    assert (wrong.code, wrong.place.field, wrong.reason) == (
        "out_of_scale",
        "/data/items/1/value",
        "an answer outside 0 to 3",
    )
    assert isinstance(one(event(survey | {"items": answers[:1]}, type=kind)), ReadFact)
    assert isinstance(one(event(survey | {"instrument": "own-survey"}, type=kind)), ReadFact)
