"""What is shown of a rejected record: its shape, or its open fields, and never what names the person."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.masking import MOST, VIEWS, limited, masked, shape
from gateway.principals import ROLES
from tests.streams.ways_in import CANARIES, claim, ndjson

MEMBER = "1EG4TE5MK73"


def sent(**changed: Any) -> dict[str, Any]:
    event: dict[str, Any] = orjson.loads(ndjson(claim(MEMBER, "C1"), "id-Canaria"))
    return event | {"data": event["data"] | changed}


def test_a_masked_record_keeps_its_form_and_the_names_of_fields() -> None:
    shown = masked(orjson.dumps(sent(Quetzal="1951-07-13")))
    assert '"effective_on":"9999-99-99"' in shown
    assert '"family_name":"Xxxxxxx"' in shown
    assert '"Xxxxxxx":"9999-99-99"' in shown
    assert masked(b"ISA*00*  ~NM1*QC*1*CANARIA~\n") == "XXX*99*  ~XX9*XX*9*XXXXXXX~\n"
    assert shape("Éa-٣ ß") == "Xx-9 X"


@pytest.mark.parametrize("canary", CANARIES)
def test_no_view_but_the_whole_names_the_person(canary: bytes) -> None:
    text = canary.decode()
    records = [
        sent(),
        sent(claim_id=MEMBER, family=f"x{MEMBER}"),
        sent(effective_on=text, Canaria=text, billing_tin={text: text}),
        sent(lines=[{"line": 1, "code": text, "service_on": "2024-03-01", text: 1}]),
        sent() | {"source": text, text: text, "type": text},
        sent() | {"data": text},
    ]
    for record in records:
        raw = orjson.dumps(record)
        for view in (masked, limited):
            assert canary.lower() not in view(raw).encode().lower()


def test_a_limited_record_shows_what_is_valid_and_open() -> None:
    shown = orjson.loads(limited(orjson.dumps(sent(effective_on="2024-03-35"))))
    data = shown["data"]
    assert (shown["type"], data["claim_id"], data["from_on"]) == (
        "carepact.ProfessionalClaimReceived.v1",
        "C1",
        "2024-03-01",
    )
    assert data["effective_on"] == "9999-99-99"
    assert data["lines"][0]["diagnoses"] == ["C50911"]
    assert data["person"]["identifier"]["value"] == "9XX9XX9XX99"
    assert data["patient_control_number"] == "XXX-999"


@given(st.binary(max_size=200))
@example(b'"type":')
def test_any_bytes_can_be_masked(raw: bytes) -> None:
    """Nothing is left of them but what reads as the name of a field."""
    for view in (masked, limited):
        shown = re.sub(r'"[a-z][a-z0-9_]*"(?=\s*:)', "", view(raw))
        assert not set(shown) & set("abcdefghijklmnopqrstuvwABCDEFGHIJKLMNOPQRSTUVW012345678")


def test_every_role_has_its_most_and_some_have_nothing() -> None:
    assert {role for role in ROLES if MOST.get(role, "none") == "none"} == {"practice", "employer", "break_glass"}
    assert [VIEWS.index(MOST[role]) for role in ("auditor", "payer", "operator")] == [1, 3, 3]
