"""Synthea's CSV export, in two versions of its schema, told by the headers of its files.

`patients` and `payer_transitions` say who is covered when. Money stands twice in an export: with each encounter and
medication, and in `claims_transactions`. The files of a folder are one export: where `claims_transactions` is among
them it is read and the encounters and medications are not; otherwise they are. `claims` has no amounts of its own and
is not read, nor are the clinical files (conditions, procedures, observations and others): their rows are refused, all
of a file in one reject.

Codes are SNOMED CT, RxNorm and CVX, and no HCPCS, NDC or ICD-10 is made of them: a Synthea export shows members,
coverage and spending, and starts no episode. What the payer covered is paid; what is left is the member's. A claim's
transactions stand anywhere in their file; an electronic check is the payer's payment, all others are the patient's.
Times are UTC, and the day is the one written. A yearly transition covers the year; another through the day before it
ends. Coverage is the payer's plan, for Synthea tells no parts of Medicare.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final

from contracts.events import (
    ClaimLine,
    EnrollmentChanged,
    InstitutionalClaimReceived,
    MemberDescribed,
    Person,
    PharmacyClaimReceived,
    ProfessionalClaimReceived,
)
from contracts.events.base import Identifier
from formats.cells import BadCell, Row, cents, day, text
from formats.grouping import gathered, read_groups
from formats.reading import Place, Read, Reader, ReadFact, Reject
from formats.states import BY_NAME, LETTERS
from formats.table import UnknownLayout, header_of, read_rows, rows

SOURCE: Final = "synthea"
_NEEDED: Final = {
    "patients": {"Id", "BIRTHDATE", "DEATHDATE", "FIRST", "LAST", "GENDER", "STATE", "ZIP"},
    "encounters": {"Id", "START", "STOP", "PATIENT", "ENCOUNTERCLASS", "TOTAL_CLAIM_COST", "PAYER_COVERAGE"},
    "medications": {"START", "PATIENT", "ENCOUNTER", "CODE", "PAYER_COVERAGE", "DISPENSES", "TOTALCOST"},
    "claims_transactions": {"ID", "CLAIMID", "CHARGEID", "PATIENTID", "TYPE", "AMOUNT", "METHOD", "PAYMENTS"},
    "payer_transitions": {"PATIENT", "MEMBERID", "PAYER"},
    "claims": {"Id", "PATIENTID", "PRIMARYPATIENTINSURANCEID", "HEALTHCARECLAIMTYPEID1"},
    "payers": {"Id", "NAME", "AMOUNT_COVERED", "MEMBER_MONTHS"},
    "organizations": {"Id", "NAME", "REVENUE", "UTILIZATION"},
    "providers": {"Id", "ORGANIZATION", "SPECIALITY"},
    "imaging_studies": {"PATIENT", "ENCOUNTER", "MODALITY_CODE"},
    "careplans": {"Id", "START", "PATIENT", "ENCOUNTER", "REASONDESCRIPTION"},
    "procedures": {"START", "PATIENT", "ENCOUNTER", "CODE", "BASE_COST", "REASONCODE"},
    "immunizations": {"DATE", "PATIENT", "ENCOUNTER", "CODE", "BASE_COST"},
    "allergies": {"START", "PATIENT", "ENCOUNTER", "CODE", "CATEGORY"},
    "observations": {"DATE", "PATIENT", "ENCOUNTER", "CODE", "VALUE", "UNITS"},
    "devices": {"START", "PATIENT", "ENCOUNTER", "CODE", "UDI"},
    "supplies": {"DATE", "PATIENT", "ENCOUNTER", "CODE", "QUANTITY"},
    "conditions": {"START", "STOP", "PATIENT", "ENCOUNTER", "CODE", "DESCRIPTION"},
}
_SETTINGS: Final = {
    "inpatient": "inpatient", "emergency": "outpatient", "hospice": "hospice", "snf": "skilled_nursing",
    "home": "home_health",
}  # fmt: skip
_PROFESSIONAL: Final = frozenset(("ambulatory", "outpatient", "wellness", "urgentcare", "virtual"))
_READ: Final = ("patients", "payer_transitions", "encounters", "medications", "claims_transactions")
_MONEY_TWICE: Final = frozenset(("encounters", "medications"))
_YEAR: Final = re.compile(r"[0-9]{4}")


def kind_of(header: list[str]) -> str | None:
    """Which file of an export has this header; None if none has."""
    names = set(header)
    return next((kind for kind, needed in _NEEDED.items() if needed <= names), None)


def read(lines: Iterable[bytes], file: str, *, beside_transactions: bool = False) -> Iterator[Read]:
    """Facts and rejects of one file. `beside_transactions` says that the money is read from another."""
    source = iter(lines)
    header = header_of(next(source, b""))
    kind = kind_of(header)
    if kind is None:
        raise UnknownLayout(f"{file}: not a Synthea header; looked for the columns of {', '.join(_NEEDED)}")
    if kind == "claims_transactions":
        return read_groups(gathered(source, file, header, lambda row: row["CLAIMID"]), file, _claim)
    if kind not in _READ or (beside_transactions and kind in _MONEY_TWICE):
        return _not_read(source, file, header, kind)
    return read_rows(source, file, header, _MAKERS[kind])


def reader_beside(headers: Iterable[list[str]]) -> Reader:
    """What reads each file of an export, by the headers of all of them."""
    return partial(read, beside_transactions="claims_transactions" in map(kind_of, headers))


def _not_read(lines: Iterator[bytes], file: str, header: list[str], kind: str) -> Iterator[Read]:
    count = 0
    for item in rows(lines, file, header):
        if isinstance(item, Reject):
            yield item
        else:
            count += 1
    if count:
        why = "their money is read from claims_transactions" if kind in _MONEY_TWICE else "nothing is paid by them"
        reason, remedy = f"rows of {kind} are not read: {why}", "nothing is to be done"
        yield Reject(Place(file), "not_read", reason, remedy, rows=count)


def _fact(event: Any, place: Place, *key: str, rows_: int = 1) -> ReadFact:
    return ReadFact(event, place, SOURCE, natural_key="|".join((SOURCE, *key)), rows=rows_)


def _person(row: Row, column: str) -> Person:
    who = text(row, column)
    if who is None:
        raise BadCell("no_member_identifier", column, "a row without a member identifier", f"send {column}")
    return Person(identifier=Identifier(kind="member_id", value=who))


def _day(row: Row, column: str) -> date | None:
    """The day of a date or an instant; None when empty."""
    return day({column: row.get(column, "").strip()[:10]}, column)


def _needed_day(row: Row, column: str) -> date:
    if (found := _day(row, column)) is None:
        raise BadCell("no_date", column, "a row without its date", f"send {column}")
    return found


def _patient(row: Row, place: Place) -> Iterator[Read]:
    born = _day(row, "BIRTHDATE")
    person = _person(row, "Id").model_copy(
        update={
            "family_name": text(row, "LAST"),
            "given_name": text(row, "FIRST"),
            "birth_date": born,
            "address": text(row, "ADDRESS"),
            "postal_code": text(row, "ZIP"),
        }
    )
    state = row["STATE"].strip()
    event = MemberDescribed.model_validate(
        {
            "person": person,
            "birth_year": born.year if born else None,
            "sex": {"F": "female", "M": "male"}.get(row["GENDER"].strip(), "unknown"),
            "state": state if state in LETTERS else BY_NAME.get(state.lower()),
            "died_on": _day(row, "DEATHDATE"),
        }
    )
    yield _fact(event, place, "patient", person.identifier.value)


def _transition(row: Row, place: Place) -> Iterator[Read]:
    """Coverage by a payer; a year by itself is the whole of it, and the end of a span is the start of the next."""
    person = _person(row, "PATIENT")
    start, end = (_edge(row, *names) for names in (("START_DATE", "START_YEAR"), ("END_DATE", "END_YEAR")))
    first, last = start[0], end[1]
    if first is None:
        raise BadCell("no_date", "START_DATE", "a span without its start", "send START_DATE or START_YEAR")
    event = EnrollmentChanged.model_validate(
        {"person": person, "coverage": "plan", "from_on": first, "through_on": max(first, last) if last else None}
    )
    yield _fact(event, place, "payer_transition", person.identifier.value, first.isoformat())


def _edge(row: Row, *columns: str) -> tuple[date | None, date | None]:
    """The first day, and the last, that an edge of a span means."""
    column = next((name for name in columns if row.get(name, "").strip()), "")
    sent = row.get(column, "").strip()
    if _YEAR.fullmatch(sent):
        return date(int(sent), 1, 1), date(int(sent), 12, 31)
    on = _day(row, column) if column else None
    return on, on - timedelta(days=1) if on else None


def _encounter(row: Row, place: Place) -> Iterator[Read]:
    number, start = row["Id"].strip(), _needed_day(row, "START")
    through = _day(row, "STOP") or start
    charge, paid = cents(row, "TOTAL_CLAIM_COST"), cents(row, "PAYER_COVERAGE") or 0
    kind = row["ENCOUNTERCLASS"].strip().lower()
    common: dict[str, Any] = {
        "person": _person(row, "PATIENT"),
        "claim_id": number,
        "family": number,
        "effective_on": through,
        "from_on": start,
        "through_on": through,
    }
    event: Any
    if kind in _PROFESSIONAL:
        line = ClaimLine(line=1, service_on=start, charge_cents=charge, paid_cents=paid)
        event = ProfessionalClaimReceived.model_validate(common | {"lines": (line,)})
    else:
        stay = {"admitted_on": start, "discharged_on": through} if kind == "inpatient" else {}
        line = ClaimLine(line=1, service_on=start, charge_cents=charge)
        event = InstitutionalClaimReceived.model_validate(
            common | stay | {"setting": _SETTINGS.get(kind, "other"), "paid_cents": paid, "lines": (line,)}
        )
    yield _fact(event, place, "encounter", number)


def _medication(row: Row, place: Place) -> Iterator[Read]:
    """All the dispenses of a prescription; it has no number, so encounter, code and time are it."""
    filled, code = _needed_day(row, "START"), row["CODE"].strip()
    time = re.sub(r"[^0-9]", "", row["START"])[:14]
    number = f"{row['ENCOUNTER'].strip()}.{code}.{time}"
    total, paid = cents(row, "TOTALCOST") or 0, cents(row, "PAYER_COVERAGE") or 0
    event = PharmacyClaimReceived(
        person=_person(row, "PATIENT"),
        claim_id=number,
        family=number,
        effective_on=filled,
        filled_on=filled,
        quantity=None,
        paid_cents=paid,
        total_cost_cents=total,
        member_paid_cents=total - paid,
    )
    yield _fact(event, place, "medication", number)


def _claim(group: list[Row], place: Place) -> Iterator[Read]:
    """A claim of its transactions: a line for each charge, and what the payer paid of it before the next."""
    head, lines = group[0], list[ClaimLine]()
    paid: list[int] = []
    for row in group:
        match row["TYPE"].strip():
            case "CHARGE":
                on = _needed_day(row, "FROMDATE")
                charge = cents(row, "AMOUNT")
                units = Decimal(1) if row.get("UNITS", "").strip() == "1" else None
                lines.append(ClaimLine(line=len(lines) + 1, service_on=on, charge_cents=charge, units=units))
                paid.append(0)
            case "PAYMENT" if row["METHOD"].strip() == "ECHECK" and paid:
                paid[-1] += cents(row, "PAYMENTS") or 0
            case "PAYMENT" | "TRANSFERIN" | "TRANSFEROUT":
                continue
            case _:
                raise BadCell("schema", "TYPE", "a transaction of a type that is not known", "send Synthea's own")
    if not lines:
        raise BadCell("schema", "TYPE", "a claim without a charge", "send the transactions of a claim together")
    number = head["CLAIMID"].strip()
    through = max(line.service_on for line in lines)
    event = ProfessionalClaimReceived(
        person=_person(head, "PATIENTID"),
        claim_id=number,
        family=number,
        effective_on=through,
        from_on=min(line.service_on for line in lines),
        through_on=through,
        lines=tuple(line.model_copy(update={"paid_cents": amount}) for line, amount in zip(lines, paid, strict=True)),
    )
    yield _fact(event, place, "claim", number, rows_=len(group))


_MAKERS: Final[dict[str, Callable[[Row, Place], Iterable[Read]]]] = {
    "patients": _patient,
    "payer_transitions": _transition,
    "encounters": _encounter,
    "medications": _medication,
}
