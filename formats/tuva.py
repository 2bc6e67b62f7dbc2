"""The Tuva claims input layer: `eligibility`, `medical_claim`, `pharmacy_claim`, told by their headers.

A claim's lines stand anywhere in the file, so a file's claims are put together before the first is given out; a
file of more than a million lines is to be split by claim. An institutional claim's paid amount is repeated on each of
its lines and is taken once; a professional claim's stands line by line. Practices are named by `billing_tin` and
`rendering_tin`, which older versions of the layer do not have. An eligibility span of a Medicare payer means Parts A
and B, of any other payer its plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from contracts.events import (
    ClaimLine,
    EnrollmentChanged,
    Event,
    InstitutionalClaimReceived,
    MemberDescribed,
    Person,
    PharmacyClaimReceived,
    ProfessionalClaimReceived,
)
from contracts.events.base import Identifier
from formats.cells import BadCell, Row, cents, day, many, needed_day, number, text, whole
from formats.cms_codes import ESRD, setting_of_bill
from formats.grouping import gathered, read_groups
from formats.icd9 import MAPPING, translated
from formats.reading import Place, Read, ReadFact
from formats.states import BY_NAME, LETTERS
from formats.table import UnknownLayout, header_of, read_rows

SOURCE = "tuva"
_NEEDED = {
    "eligibility": {"patient_id", "enrollment_start_date", "enrollment_end_date", "payer_type"},
    "medical_claim": {"claim_id", "claim_line_number", "claim_type", "patient_id", "bill_type_code", "paid_amount"},
    "pharmacy_claim": {"claim_id", "claim_line_number", "patient_id", "ndc_code", "dispensing_date", "paid_amount"},
}


def kind_of(header: list[str]) -> str | None:
    """Which table of the layer has this header; None if none has."""
    names = set(header)
    return next((kind for kind, needed in _NEEDED.items() if needed <= names), None)


def read(lines: Iterable[bytes], file: str) -> Iterator[Read]:
    """Facts and rejects of one file."""
    source = iter(lines)
    header = header_of(next(source, b""))
    match kind_of(header):
        case "eligibility":
            found: Iterator[Read] = read_rows(source, file, header, _Eligibility())
        case "medical_claim":
            found = _medical(source, file, header)
        case "pharmacy_claim":
            found = read_rows(source, file, header, _pharmacy)
        case _:
            raise UnknownLayout(f"{file}: not a Tuva header; looked for the columns of {', '.join(_NEEDED)}")
    return found


def _fact(event: Event, place: Place, *key: str, rows_: int = 1) -> ReadFact:
    return ReadFact(event, place, SOURCE, natural_key="|".join((SOURCE, *key)), rows=rows_)


def _identifier(row: Row) -> Identifier:
    value = row["patient_id"].strip()
    if not value:
        raise BadCell("no_member_identifier", "patient_id", "a row without a member identifier", "send patient_id")
    return Identifier(kind="member_id", value=value)


class _Eligibility:
    """Spans of a file; a person is described when first seen and again when something about them differs."""

    def __init__(self) -> None:
        self._described: dict[str, Event] = {}

    def __call__(self, row: Row, place: Place) -> Iterator[Read]:
        person = Person(
            identifier=_identifier(row),
            family_name=text(row, "last_name"),
            given_name=text(row, "first_name"),
            birth_date=day(row, "birth_date"),
            address=text(row, "address"),
            postal_code=text(row, "zip_code"),
            phone=text(row, "phone"),
        )
        who = person.identifier.value
        start, through = needed_day(row, "enrollment_start_date"), day(row, "enrollment_end_date")
        span = f"{start}/{through}"
        kinds = [(name, "") for name in (("part_a", "part_b") if row["payer_type"] == "medicare" else ("plan",))]
        if (code := row["dual_status_code"].strip()) not in ("", "00", "0", "NA"):
            kinds.append(("dual", code.zfill(2)))
        if row["medicare_status_code"].strip() in ESRD:
            kinds.append(("esrd", ""))
        for i, (coverage, code) in enumerate(kinds):
            event = EnrollmentChanged.model_validate(
                {
                    "person": person,
                    "coverage": coverage,
                    "from_on": start,
                    "through_on": through,
                    "code": code or None,
                }
            )
            yield _fact(event, place, coverage, who, span, rows_=0 if i else 1)
        described = self._describe(row, person)
        if self._described.get(who) != described:
            self._described[who] = described
            yield _fact(described, place, "described", who, span, rows_=0)

    def _describe(self, row: Row, person: Person) -> MemberDescribed:
        state = row["state"].strip()
        sex = row["gender"].strip().lower()
        return MemberDescribed.model_validate(
            {
                "person": person,
                "birth_year": person.birth_date.year if person.birth_date else None,
                "sex": sex if sex in ("female", "male") else "unknown",
                "state": state if state in LETTERS else BY_NAME.get(state.lower()),
                "died_on": day(row, "death_date"),
            }
        )


# Medical claims


def _medical(lines: Iterator[bytes], file: str, header: list[str]) -> Iterator[Read]:
    claims = gathered(lines, file, header, lambda row: (row["patient_id"], row["claim_id"]))
    return read_groups(claims, file, lambda group, place: [_medical_claim(group, place)])


def _medical_claim(group: list[Row], place: Place) -> ReadFact:
    head = group[0]
    claim, kind = head["claim_id"].strip(), head["claim_type"].strip()
    if not claim:
        raise BadCell("schema", "claim_id", "a claim without its number", "send claim_id")
    start, through = needed_day(head, "claim_start_date"), needed_day(head, "claim_end_date")
    effective = day(head, "paid_date") or through
    diagnoses, sent = _diagnoses(group)
    common: dict[str, Any] = {
        "person": Person(identifier=_identifier(head)),
        "claim_id": claim,
        "family": claim,
        "effective_on": effective,
        "from_on": start,
        "through_on": through,
        "billing_tin": text(head, "billing_tin"),
        "billing_npi": text(head, "billing_npi"),
        "diagnoses": diagnoses,
    }
    if sent:
        common |= {"source_diagnoses": sent, "code_mapping": MAPPING}
    event: Event
    match kind:
        case "professional":
            event = ProfessionalClaimReceived(**common, lines=tuple(_line(row, start, paid=True) for row in group))
        case "institutional":
            event = InstitutionalClaimReceived.model_validate(common | _institution(group, start))
        case _:
            raise BadCell("schema", "claim_type", "neither professional nor institutional", "send one of the two")
    return _fact(event, place, "medical", claim, "original", effective.isoformat(), rows_=len(group))


def _institution(group: list[Row], start: date) -> dict[str, Any]:
    head = group[0]
    paid = {cents(row, "paid_amount") for row in group}
    if len(paid) > 1:
        raise BadCell(
            "not_money", "paid_amount", "lines that disagree on their claim's amount", "repeat one amount on each line"
        )
    bill = head["bill_type_code"].strip()
    return {
        "setting": setting_of_bill(bill),
        "type_of_bill": bill or None,
        "facility": text(head, "facility_npi"),
        "admitted_on": day(head, "admission_date"),
        "discharged_on": day(head, "discharge_date"),
        "drg": text(head, "ms_drg_code"),
        "procedures": tuple(many(head, "procedure_code_", 25)),
        "paid_cents": paid.pop() or 0,
        "lines": tuple(_line(row, start, paid=False) for row in group),
    }


def _diagnoses(group: list[Row]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All diagnoses of a claim in order; and, where they are ICD-9, the codes as sent."""
    codes = list(dict.fromkeys(code for row in group for code in many(row, "diagnosis_code_", 25)))
    if group[0]["diagnosis_code_type"].strip() == "icd-9-cm":
        return translated(codes), tuple(codes)
    return tuple(codes), ()


def _line(row: Row, start: date, *, paid: bool) -> ClaimLine:
    diagnoses, sent = _diagnoses([row])
    return ClaimLine(
        line=whole(row, "claim_line_number") or 0,
        service_on=day(row, "claim_line_start_date") or start,
        code=text(row, "hcpcs_code"),
        modifiers=tuple(many(row, "hcpcs_modifier_", 5)),
        revenue_center=text(row, "revenue_center_code"),
        diagnoses=diagnoses,
        source_diagnoses=sent,
        units=number(row, "service_unit_quantity"),
        charge_cents=cents(row, "charge_amount"),
        allowed_cents=cents(row, "allowed_amount"),
        paid_cents=(cents(row, "paid_amount") or 0) if paid else 0,
        place_of_service=text(row, "place_of_service_code"),
        rendering_npi=text(row, "rendering_npi"),
        rendering_tin=text(row, "rendering_tin"),
    )


def _pharmacy(row: Row, place: Place) -> Iterator[Read]:
    """A line of a pharmacy claim is one fill; its number is the claim's and the line's."""
    filled = needed_day(row, "dispensing_date")
    claim = f"{row['claim_id'].strip()}.{row['claim_line_number'].strip()}"
    effective = day(row, "paid_date") or filled
    event = PharmacyClaimReceived(
        person=Person(identifier=_identifier(row)),
        claim_id=claim,
        family=claim,
        effective_on=effective,
        filled_on=filled,
        ndc=text(row, "ndc_code"),
        quantity=number(row, "quantity"),
        days_supply=whole(row, "days_supply"),
        pharmacy_npi=text(row, "dispensing_provider_npi"),
        prescriber_npi=text(row, "prescribing_provider_npi"),
        paid_cents=cents(row, "paid_amount") or 0,
        total_cost_cents=cents(row, "allowed_amount"),
    )
    yield _fact(event, place, "pharmacy", claim, "original", effective.isoformat())
