"""42 CFR Part 2: what is tagged, by whom it is said to be, and that doubt is tagged too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from contracts import part2
from contracts.events import MEMBER_FACTS, InstitutionalClaimReceived, PharmacyClaimReceived, ProfessionalClaimReceived
from contracts.events.base import Event
from contracts.events.claims import ClaimLine
from contracts.events.health import EproItem, EproResponseReceived, PriorAuthorizationRequested
from contracts.events.work import HoursWorked
from contracts.part2 import Programmes, sensitive

DAY = date(2025, 3, 3)
NONE = Programmes()
CLAIM: dict[str, Any] = {"claim_id": "c", "family": "c", "effective_on": DAY, "from_on": DAY, "through_on": DAY}


def professional(line: dict[str, Any], **changes: Any) -> ProfessionalClaimReceived:
    fields: dict[str, Any] = {"line": 1, "service_on": DAY} | line
    return ProfessionalClaimReceived(**CLAIM, lines=(ClaimLine(**fields),), **changes)


def facility(**changes: Any) -> InstitutionalClaimReceived:
    return InstitutionalClaimReceived(**CLAIM, setting="inpatient", **changes)


TAGGED: dict[str, Event] = {
    "a diagnosis of the claim": professional({}, diagnoses=("C509", "F1120")),
    "a diagnosis of a line": professional({"diagnoses": ("F1020",)}),
    "a code as sent": professional({}, source_diagnoses=("30401",), code_mapping="icd9-cancer/1"),
    "a service": professional({"code": "H0020"}),
    "an opioid treatment programme": professional({"code": "G2078"}),
    "a place": professional({"place_of_service": "58"}),
    "a revenue centre": facility(lines=(ClaimLine(line=1, service_on=DAY, revenue_center="0906"),)),
    "a procedure": facility(procedures=("HZ2ZZZZ",)),
    "a DRG": facility(drg="897"),
    "a drug": PharmacyClaimReceived(
        claim_id="c", family="c", effective_on=DAY, filled_on=DAY, ndc="12496120803"
    ),
    "an instrument": EproResponseReceived(
        response_id="r", instrument="AUDIT-C", instrument_version="1", collected_on=DAY
    ),
    "a question": EproResponseReceived(
        response_id="r", instrument="own", instrument_version="1", collected_on=DAY,
        items=(EproItem(code_system="LOINC", code="68520-6"),),
    ),
    "a service that is asked for": PriorAuthorizationRequested(request_id="a", requested_on=DAY, code="H0015"),
    "the sender's tag": professional({"code": "96413"}, sensitivity=("part2",)),
}  # fmt: skip

PLAIN: dict[str, Event] = {
    "cancer": professional({"code": "96413", "diagnoses": ("C509", "Z5111")}, diagnoses=("C509",)),
    "tobacco": professional({"diagnoses": ("F17210",)}),
    "numbers that look like codes": professional({}, billing_tin="F1020", billing_npi="H0020"),
    "a stay": facility(drg="897"[:2] + "8", procedures=("0HZ00ZZ",)),
    "hours of work": HoursWorked(record_id="F1020", worked_on=DAY, hours=Decimal(8), pay_code="worked"),
    "depression": EproResponseReceived(
        response_id="r", instrument="PHQ-9", instrument_version="1", collected_on=DAY
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TAGGED)
def test_codes_and_tags_make_a_part_2_record(case: str) -> None:
    assert sensitive(TAGGED[case], "clearing house", NONE)


@pytest.mark.parametrize("case", PLAIN)
def test_nothing_else_does(case: str) -> None:
    assert not sensitive(PLAIN[case], "clearing house", NONE)


def test_a_source_that_is_a_programme_tags_all_it_sends() -> None:
    programmes = Programmes(sources=frozenset(("hopewell-otp",)))
    assert all(sensitive(event, "hopewell-otp", programmes) for event in PLAIN.values())
    assert not sensitive(PLAIN["cancer"], "clearing house", programmes)


def test_the_sender_may_say_so_of_any_fact() -> None:
    assert sensitive(PLAIN["hours of work"], "clearing house", NONE, said=True)


@pytest.mark.parametrize("where", ["billing_npi", "billing_tin", "rendering_npi", "facility"])
def test_a_provider_that_is_a_programme_tags_its_claims(where: str) -> None:
    programmes = Programmes(providers=frozenset(("1999999984",)))
    other: dict[str, Any] = {"billing_npi": "1000000004"}
    if where == "facility":
        claim: Event = facility(**other, facility="1999999984")
    elif where.startswith("rendering"):
        claim = professional({where: "1999999984"}, **other)
    else:
        claim = professional({}, **(other | {where: "1999999984"}))
    assert sensitive(claim, "x", programmes)
    assert not sensitive(professional({}, **other), "x", programmes)


def test_where_there_are_programmes_a_claim_without_a_provider_might_be_of_one() -> None:
    programmes = Programmes(providers=frozenset(("1999999984",)))
    assert sensitive(professional({"code": "96413"}), "x", programmes)
    assert sensitive(facility(), "x", programmes)
    assert not sensitive(professional({"code": "96413"}), "x", NONE)
    assert not sensitive(PLAIN["hours of work"], "x", programmes)


def test_what_cannot_be_looked_at_is_tagged(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> bool:
        raise RuntimeError("a table that cannot be read")

    monkeypatch.setattr(part2, "_coded", broken)
    assert sensitive(PLAIN["cancer"], "x", NONE)


def test_a_code_tags_before_its_first_day_and_not_after_its_last(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sensitive(professional({"code": "G2067", "service_on": date(2015, 1, 1)}), "x", NONE)
    for kept in ("_through", "_plan"):
        monkeypatch.setattr(part2, kept, getattr(part2, kept).__wrapped__)
    monkeypatch.setattr(part2, "_codes", lambda: {"procedure": ((5, {"G2067": date(2025, 3, 3)}),)})
    assert sensitive(professional({"code": "G2067", "service_on": DAY}), "x", NONE)
    assert not sensitive(professional({"code": "G2067", "service_on": date(2025, 3, 4)}), "x", NONE)


NOT_CLINICAL = {
    "claim_id", "family", "replaces", "modifiers", "type_of_bill", "code_system", "instrument_version", "response_id",
    "record_id", "element", "value", "request_id", "reason", "survey", "leave_id", "close_reason", "restrictions",
    "worksite", "other", "survivor", "name", "primary_payer", "state", "payment_id", "filing",
    "trace", "submission", "status", "frequency", "authorization_id", "recipient", "purpose", "text_version",
    "components", "race", "ethnicity", "language", "gender_identity", "sexual_orientation",
}  # fmt: skip
"""Fields of codes that say nothing of a treatment: numbers of records, versions, reasons, words of a list."""


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        if name != "person":
            yield name, field
            for inner in _models(field.annotation):
                yield from _fields(inner)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Annotated, Union, UnionType, tuple):
        for each in get_args(annotation):
            yield from _models(each)


def test_every_field_that_can_hold_a_code_is_looked_at_or_known_to_be_none() -> None:
    """A field added to an event must be put into one of the lists, or its Part 2 codes would slip by."""
    coded = {n for m in MEMBER_FACTS for n, f in _fields(m) if "pattern" in f"{f.annotation} {f.metadata}"}
    assert coded - set(part2.CODES) - part2.PROVIDERS - NOT_CLINICAL == set()
