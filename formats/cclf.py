"""CMS Claim and Claim Line Feed: the files CCLF1 to 9, A and B of one submission, read together; CCLF0 checks receipt.

Fixed width, no header (Information Packet v36, layouts up to v38; older layouts are beginnings of these). A file's
kind is told by the length of its records, or where trailing blanks were cut off by its CMS name (`...ZC5Y24...`).

Part A: a header (CCLF1) with its revenue centres (2), procedures (3) and diagnoses (4) is one claim, paid as the
header says. Physician (5) and DME (6) lines of one claim id, control number, kind and day are one claim. The
benefit-enhancement records (A, B) are counted with their claim; what they say is not taken over. Part D (7) is one
fill a line.

Versions: adjustment type 0 is an original, 1 a void, 2 an adjustment, which displaces nothing itself; amounts are those
of the record, unsigned. Families are CMS's natural keys without the member, who is known beside: for Part A the billing
provider's OSCAR number with both dates, for Part B and DME the claim control number, for Part D the fill. Denied are a
Part A claim with a non-payment reason, a claim whose carrier denial code says that Medicare paid nobody, and lines with
another processing indicator than A, O, R or S.

Beneficiaries (8) carry no end of Parts A and B and no Medicare Advantage; months of it must come from another source.
Dual status and ESRD are said of the month that the file's name gives (`.D240801.`), and without one are not said.
Former MBIs (9) are replaced by the present one in all records of the submission. 1000-01-01 and 9999-12-31 are no days.
Descriptive codes of another form than their code system has (DRG, revenue centre, place of service) are left out.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

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
from formats.cclf_layout import BY_LENGTH, LENGTHS, Line, bad
from formats.cells import BadCell
from formats.icd9 import MAPPING, translated
from formats.reading import Place, Read, ReadFact, Reject
from formats.schema_errors import first_error
from formats.spill import Kept, spill
from formats.states import LETTERS

SOURCE = "cclf"
File = tuple[str, Iterable[bytes]]
"""A file's name without folders, and its lines."""

_NAME = re.compile(r"(?:^|\.)ZC([0-9AB])(?=[YRW.]|$)")
_MONTH = re.compile(r"\.D([0-9]{2})([0-9]{2})[0-9]{2}\.")
_RECEIPT = re.compile(r"CCLF([0-9AB])\s*$")
_ACTIONS = {"0": "original", "1": "void", "2": "adjustment"}
_SETTINGS = {
    "10": "home_health", "20": "skilled_nursing", "30": "skilled_nursing", "40": "outpatient", "50": "hospice",
    "60": "inpatient", "61": "inpatient",
}  # fmt: skip
_SEX = {"1": "male", "2": "female", "0": "unknown"}
_ESRD = frozenset(("11", "21", "31"))
_PAID_BY_CARRIER = frozenset(("", *"123456789AB"))
_PAID_LINE = frozenset(("", *"AORS"))
_ALNUM = re.compile(r"[A-Za-z0-9]{1,15}")
_FOUR = re.compile(r"[0-9]{4}")
_DRG = re.compile(r"[0-9]{3,4}")
_TWO = re.compile(r"[0-9]{2}")
_BILL = re.compile(r"[0-9A-Z]{3}")
_PROCEDURE = re.compile(r"[A-Z0-9]{3,7}")


def read(lines: Iterable[bytes], file: str) -> Iterator[Read]:
    """Facts and rejects of one file, or of the records of one claim under whatever name."""
    return read_set([(file, lines)])


def read_set(files: Iterable[File]) -> Iterator[Read]:
    """Facts and rejects of the files of one submission; each claim with what other files say of it.

    Beneficiaries and former identifiers come first, then fills, then claims by claim id, then what CCLF0 promised and
    did not come.
    """
    with spill() as kept:
        seen: dict[str, list[int]] = {}
        receipts: list[Kept] = []
        for file, lines in files:
            for record in _records(file, lines):
                if isinstance(record, Reject):
                    yield record
                elif record.kind == "0":
                    receipts.append(record)
                else:
                    counted = seen.setdefault(record.kind, [0, 0])
                    counted[0] += 1
                    counted[1] = max(counted[1], len(record.raw))
                    kept.put(record)
        present: dict[str, str] = {}
        for group in kept.groups():
            if group[0].kind == "9":
                yield from _former(group, present)
            elif group[0].kind in _ALONE:
                yield from _one(Line(group[0], present))
            else:
                yield from _claims([Line(record, present) for record in group])
    yield from _not_received(receipts, seen)


def kind_of(lines: list[bytes], file: str) -> str | None:
    """Which CCLF file these first lines are of, by length and by what stands in the date columns; None if none."""
    named = _named(file)
    filled = [line.rstrip(b"\r\n") for line in lines if line.strip()]
    if not filled:
        return None
    first = filled[0]
    if b"|" in first:
        return "0" if re.match(rb"(x?CCLF[0-9AB]|File Number)\s*\|", first) else None
    kind = BY_LENGTH.get(len(first)) or (named if named and len(first) <= LENGTHS[named][0] else None)
    if kind is None or any(len(line) > LENGTHS[kind][0] for line in filled[:-1]):
        return None
    text = first.decode("latin-1")
    if kind in "89":
        key = text[:11] if kind == "8" else text[1:12]
        return kind if re.fullmatch(r"[0-9A-Z ]{9,11}", key) and "," not in text[:30] else None
    return kind if re.fullmatch(r" *[0-9]+ *", text[:13]) else None


def _named(file: str) -> str | None:
    found = _NAME.search(file)
    return found[1] if found and found[1] != "0" else None


def _records(file: str, lines: Iterable[bytes]) -> Iterator[Kept | Reject]:
    named, receipt = _named(file), bool(re.search(r"(?:^|\.)ZC0(?=[YRW.]|$)", file))
    for number, sent in enumerate(lines, 1):
        raw = sent.rstrip(b"\r\n")
        if not raw.strip():
            continue
        if receipt or b"|" in raw[:40]:
            if not raw.lstrip(b"\xef\xbb\xbf").startswith(b"File Number"):
                yield Kept("", "0", file, number, raw)
            continue
        if named and len(raw) <= LENGTHS[named][0]:
            kind = named
        elif len(raw) in BY_LENGTH:
            kind = BY_LENGTH[len(raw)]
        else:
            reason = "a record of a length that no CCLF layout has"
            remedy = "send the records in full width, one a line, under the file's CMS name"
            yield Reject(Place(file, number), "unreadable", reason, remedy, sent, format=SOURCE)
            continue
        if kind in _ALONE:
            key = _ALONE[kind] and f"{_ALONE[kind]}{file} {number:010}"
        elif not (key := raw[:13].decode("latin-1").strip()):
            yield _reject(Line(Kept("", kind, file, number, raw), {}), bad("CUR_CLM_UNIQ_ID", "a claim without its id"))
            continue
        yield Kept(key, kind, file, number, raw)


_ALONE = {"9": "", "8": " ", "7": "!"}
"""Records that stand alone, and what their keys begin with: former identifiers together and before all others."""


def _reject(
    line: Line, error: BadCell | ValidationError, group: Iterable[Line] = (), column: str | None = None
) -> Reject:
    lines = list(group) or [line]
    raw = b"".join(each.as_kept() for each in lines)
    if isinstance(error, BadCell):
        code, field, reason, remedy = error.code, error.column, error.reason, error.remedy
    else:
        found = first_error(error)
        code, field, reason, remedy = found.code, column or found.field, found.reason, found.remedy
    place = Place(line.file, line.line, field)
    return Reject(place, code, reason, remedy, raw, len(lines), format=SOURCE)


def _fact(event: Event, place: Place, *key: str, rows: int = 1) -> ReadFact:
    return ReadFact(event, place, SOURCE, natural_key="|".join((SOURCE, *key)), rows=rows)


def _person(line: Line) -> Person:
    return _known(line.mbi())


@lru_cache(maxsize=20_000)
def _known(mbi: str) -> Person:
    return Person(identifier=Identifier(kind="mbi", value=mbi))


# Members


def _former(records: list[Kept], present: dict[str, str]) -> Iterator[Read]:
    """Former identifiers, to be replaced everywhere by the newest of their chain."""
    lines = [Line(record, {}) for record in records]
    for line in lines:
        new, old = line.text("CRNT_NUM"), line.text("PRVS_NUM")
        if new and old and new != old and line.text("HICN_MBI_XREF_IND") == "M":
            present[old] = new
    for old in list(present):
        newest, steps = present[old], 0
        while newest in present and steps < len(present):
            newest, steps = present[newest], steps + 1
        present[old] = newest
    for line in lines:
        new = line.text("CRNT_NUM")
        if not new:
            error = BadCell("no_member_identifier", "CRNT_NUM", "a record without a member identifier", "send the MBI")
            yield _reject(line, error)
            continue
        try:
            person = Person(identifier=Identifier(kind="mbi", value=present.get(new, new)))
        except ValidationError as error:
            yield _reject(line, error, column="CRNT_NUM")
        else:
            yield _fact(MemberDescribed(person=person), line.place, "xref", line.text("PRVS_ID_EFCTV_DT"))


def _one(line: Line) -> Iterator[Read]:
    make: Callable[[Line], Iterable[Read]] = _beneficiary if line.kind == "8" else _fill
    try:
        made = list(make(line))
    except (BadCell, ValidationError) as error:
        yield _reject(line, error)
    else:
        yield from made


def _beneficiary(line: Line) -> Iterator[Read]:
    born, died = line.day("BENE_DOB"), line.day("BENE_DEATH_DT")
    postal_code = line.text("GEO_ZIP5_CD") or line.text("BENE_ZIP_CD")
    person = Person(
        identifier=Identifier(kind="mbi", value=line.mbi()),
        family_name=line.name("BENE_LAST_NAME"),
        given_name=line.name("BENE_1ST_NAME"),
        birth_date=born,
        address=line.name("BENE_LINE_1_ADR"),
        postal_code=postal_code or None,
    )
    state = line.text("GEO_USPS_STATE_CD")
    described = MemberDescribed.model_validate(
        {
            "person": person,
            "birth_year": born.year if born else None,
            "sex": _SEX.get(line.text("BENE_SEX_CD")),
            "state": state if state in LETTERS else None,
            "died_on": died,
        }
    )
    yield _fact(described, line.place, "described", person.identifier.value)
    for coverage, code, start, through in _spans(line):
        event = EnrollmentChanged.model_validate(
            {"person": person, "coverage": coverage, "from_on": start, "through_on": through, "code": code or None}
        )
        yield _fact(event, line.place, coverage, person.identifier.value, start.isoformat(), rows=0)


def _spans(line: Line) -> Iterator[tuple[str, str, date, date | None]]:
    bought = line.text("BENE_ENTLMT_BUYIN_IND")
    for coverage, without, column in (
        ("part_a", "02B", "BENE_PART_A_ENRLMT_BGN_DT"),
        ("part_b", "01A", "BENE_PART_B_ENRLMT_BGN_DT"),
    ):
        if (start := line.day(column)) and (not bought or bought not in without):
            yield coverage, "", start, None
    if start := line.day("BENE_RNG_BGN_DT"):
        yield "hospice", "", start, line.day("BENE_RNG_END_DT")
    month = _MONTH.search(line.file)
    if month and 1 <= int(month[2]) <= 12:
        year, number = 2000 + int(month[1]), int(month[2])
        start, through = date(year, number, 1), date(year, number, monthrange(year, number)[1])
        if _TWO.fullmatch(dual := line.text("BENE_DUAL_STUS_CD")) and dual not in ("00", "99"):
            yield "dual", dual, start, through
        if line.text("BENE_MDCR_STUS_CD") in _ESRD:
            yield "esrd", "", start, through


# Fills


def _fill(line: Line) -> Iterator[Read]:
    """A drug event. CCLF says what the member paid, not what the plan did."""
    filled = line.needed_day("CLM_LINE_FROM_DT")
    effective, claim = line.day("CLM_EFCTV_DT") or filled, line.text("CUR_CLM_UNIQ_ID")
    quantity, supply = line.number("CLM_LINE_SRVC_UNIT_QTY"), line.number("CLM_LINE_DAYS_SUPLY_QTY")
    family = (
        filled.isoformat(),
        line.text("PRVDR_SRVC_ID_QLFYR_CD"),
        line.text("CLM_SRVC_PRVDR_GNRC_ID_NUM"),
        line.text("CLM_DSPNSNG_STUS_CD"),
        line.text("CLM_LINE_RX_SRVC_RFRNC_NUM"),
        line.text("CLM_LINE_RX_FILL_NUM"),
    )
    action = _action(line)
    event = PharmacyClaimReceived.model_validate(
        {
            "person": _person(line),
            "claim_id": claim,
            "family": ":".join(family),
            "action": action,
            "effective_on": effective,
            "filled_on": filled,
            "ndc": line.text("CLM_LINE_NDC_CD") or None,
            "quantity": quantity,
            "days_supply": int(supply) if supply is not None and supply == int(supply) else None,
            "pharmacy_npi": line.code("CLM_SRVC_PRVDR_GNRC_ID_NUM", _ALNUM),
            "prescriber_npi": line.code("CLM_PRSBNG_PRVDR_GNRC_ID_NUM", _ALNUM),
            "member_paid_cents": line.cents("CLM_LINE_BENE_PMT_AMT"),
        }
    )
    yield _fact(event, line.place, "fill", claim, action, effective.isoformat())


def _action(line: Line) -> str:
    if found := _ACTIONS.get(line.text("CLM_ADJSMT_TYPE_CD") or "0"):
        return found
    raise bad("CLM_ADJSMT_TYPE_CD", "an adjustment type that CCLF does not have", "send 0, 1 or 2")


# Claims


def _claims(lines: list[Line]) -> Iterator[Read]:
    """The claims of one claim id: a facility's, a physician's, a supplier's; and what belongs to none of them."""
    by_kind: dict[str, list[Line]] = {}
    for line in lines:
        by_kind.setdefault(line.kind, []).append(line)
    details = [line for kind in "234A" for line in by_kind.get(kind, ())]
    enhancements = by_kind.get("B", [])
    if headers := by_kind.get("1"):
        yield _facility(headers[0], [*_same(headers), *details], by_kind)
        for other in headers[1:]:
            if other.raw != headers[0].raw:
                yield _facility(other, [], by_kind)
    elif details:
        yield _orphans(details, "a record of a Part A claim whose header (CCLF1) is not there")
    for kind in "56":
        for group in _professional_groups(by_kind.get(kind, [])):
            yield _professional(group, enhancements)
            enhancements = []
    if enhancements:
        yield _orphans(enhancements, "a record of a Part B claim whose lines (CCLF5, CCLF6) are not there")


def _same(headers: list[Line]) -> list[Line]:
    return [line for line in headers[1:] if line.raw == headers[0].raw]


def _orphans(lines: list[Line], reason: str) -> Reject:
    error = BadCell("no_claim", "CUR_CLM_UNIQ_ID", reason, "send the files of one submission together")
    return _reject(lines[0], error, lines)


def _facility(head: Line, more: list[Line], by_kind: dict[str, list[Line]]) -> Read:
    at = head
    try:
        start, through = head.needed_day("CLM_FROM_DT"), head.needed_day("CLM_THRU_DT")
        effective, claim = head.day("CLM_EFCTV_DT") or through, head.text("CUR_CLM_UNIQ_ID")
        action = _action(head)
        provider = head.text("CLM_BLG_PRVDR_OSCAR_NUM") or head.text("PRVDR_OSCAR_NUM")
        principal = head.text("PRNCPL_DGNS_CD")
        sent = dict.fromkeys([principal] if principal else [])
        sent.update(dict.fromkeys(code for each in by_kind.get("4", ()) if (code := each.text("CLM_DGNS_CD"))))
        procedures = (each.code("CLM_PRCDR_CD", _PROCEDURE) for each in by_kind.get("3", ()))
        claimed = []
        for at in by_kind.get("2", ()):
            claimed.append(_revenue_line(at, start))
        at = head
        bill = head.text("CLM_BILL_FAC_TYPE_CD") + head.text("CLM_BILL_CLSFCTN_CD") + head.text("CLM_BILL_FREQ_CD")
        event = InstitutionalClaimReceived.model_validate(
            {
                "person": _person(head),
                "claim_id": claim,
                "family": f"{provider}:{start}:{through}",
                "action": action,
                "effective_on": effective,
                "denied": bool(head.text("CLM_MDCR_NPMT_RSN_CD")),
                "primary_payer": _primary(head.text("CLM_NCH_PRMRY_PYR_CD")),
                "setting": _SETTINGS.get(head.text("CLM_TYPE_CD"), "other"),
                "type_of_bill": bill if _BILL.fullmatch(bill) else None,
                "facility": provider if _ALNUM.fullmatch(provider) else None,
                "billing_npi": head.code("FAC_PRVDR_NPI_NUM", _ALNUM),
                "from_on": start,
                "through_on": through,
                "procedures": tuple(code for code in procedures if code),
                "drg": head.code("DGNS_DRG_CD", _DRG),
                "paid_cents": head.cents("CLM_PMT_AMT"),
                "lines": tuple(claimed),
                **_diagnoses(list(sent), head.text("DGNS_PRCDR_ICD_IND")),
            }
        )
    except (BadCell, ValidationError) as error:
        return _reject(at, error, [head, *more])
    key = ("part-a", claim, action, effective.isoformat())
    return _fact(event, head.place, *key, rows=1 + len(more))


def _revenue_line(line: Line, start: date) -> ClaimLine:
    number = line.number("CLM_LINE_NUM")
    on = line.day("CLM_LINE_INSTNL_REV_CTR_DT") or line.day("CLM_LINE_FROM_DT") or start
    return ClaimLine(
        line=int(number or 0),
        service_on=on,
        code=line.text("CLM_LINE_HCPCS_CD") or None,
        modifiers=tuple(line.pieces("HCPCS_MDFR_CD", 2)),
        revenue_center=line.code("CLM_LINE_PROD_REV_CTR_CD", _FOUR),
        units=line.number("CLM_LINE_SRVC_UNIT_QTY"),
    )


def _primary(code: str) -> str | None:
    return code if len(code) == 1 and "A" <= code <= "Z" else None


def _diagnoses(sent: list[str], version: str) -> dict[str, Any]:
    """ICD-9 is translated by the dated table, and kept as sent."""
    if version == "9":
        return {"diagnoses": translated(sent), "source_diagnoses": tuple(sent), "code_mapping": MAPPING}
    return {"diagnoses": tuple(sent)}


def _professional_groups(lines: list[Line]) -> Iterator[list[Line]]:
    """Lines of one version of one claim."""
    groups: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        columns = ("CLM_CNTL_NUM", "BENE_MBI_ID", "CLM_ADJSMT_TYPE_CD", "CLM_EFCTV_DT")
        groups.setdefault(tuple(line.text(column) for column in columns), []).append(line)
    yield from groups.values()


def _professional(lines: list[Line], enhancements: list[Line]) -> Read:
    at = head = lines[0]
    physician = head.kind == "5"
    try:
        start, through = head.needed_day("CLM_FROM_DT"), head.needed_day("CLM_THRU_DT")
        effective, claim = head.day("CLM_EFCTV_DT") or through, head.text("CUR_CLM_UNIQ_ID")
        action = _action(head)
        made = []
        for at in lines:
            made.append(_service_line(at, start))
        at = head
        sent, version = [], ""
        if physician:
            pairs = (("CLM_DGNS_1_8_CD", 7), ("CLM_DGNS_9_12_CD", 7))
            sent = list(dict.fromkeys(code for column, width in pairs for code in head.pieces(column, width)))
            version = head.text("DGNS_PRCDR_ICD_IND")
        payers = (line.text("CLM_LINE_PRMRY_PYR_CD" if physician else "CLM_PRMRY_PYR_CD") for line in lines)
        tax_number = (head.text("CLM_RNDRG_PRVDR_TAX_NUM") or None) if physician else None
        event = ProfessionalClaimReceived.model_validate(
            {
                "person": _person(head),
                "claim_id": claim,
                "family": head.text("CLM_CNTL_NUM") or claim,
                "action": action,
                "effective_on": effective,
                "denied": head.text("CLM_CARR_PMT_DNL_CD") not in _PAID_BY_CARRIER,
                "primary_payer": next((code for each in payers if (code := _primary(each))), None),
                "supplier": "physician" if physician else "dmepos",
                "from_on": start,
                "through_on": through,
                "billing_tin": tax_number,
                "billing_npi": None if physician else head.code("PAYTO_PRVDR_NPI_NUM", _ALNUM),
                "lines": tuple(made),
                **_diagnoses(sent, version),
            }
        )
    except (BadCell, ValidationError) as error:
        return _reject(at, error, [*lines, *enhancements])
    key = ("part-b" if physician else "dme", claim, event.family, action, effective.isoformat())
    return _fact(event, head.place, *key, rows=len(lines) + len(enhancements))


def _service_line(line: Line, start: date) -> ClaimLine:
    number = int(line.number("CLM_LINE_NUM") or 0)
    common: dict[str, Any] = {
        "line": number,
        "service_on": line.day("CLM_LINE_FROM_DT") or start,
        "code": line.text("CLM_LINE_HCPCS_CD") or None,
        "allowed_cents": line.cents("CLM_LINE_ALOWD_CHRG_AMT"),
        "paid_cents": line.cents("CLM_LINE_CVRD_PD_AMT"),
        "place_of_service": line.code("CLM_POS_CD", _TWO),
        "denied": line.text("CLM_PRCSG_IND_CD") not in _PAID_LINE,
    }
    if line.kind == "6":
        return ClaimLine(**common)
    main = line.text("CLM_LINE_DGNS_CD")
    found = _diagnoses([main] if main else [], line.text("DGNS_PRCDR_ICD_IND"))
    return ClaimLine(
        **common,
        modifiers=tuple(line.pieces("HCPCS_MDFR_CD", 2)),
        units=line.number("CLM_LINE_SRVC_UNIT_QTY"),
        diagnoses=found["diagnoses"],
        source_diagnoses=found.get("source_diagnoses", ()),
        rendering_npi=line.code("RNDRG_PRVDR_NPI_NUM", _ALNUM),
        rendering_tin=line.text("CLM_RNDRG_PRVDR_TAX_NUM") or None,
    )


# Receipt


def _not_received(receipts: list[Kept], seen: dict[str, list[int]]) -> Iterator[Reject]:
    """What CCLF0 declares and the files beside it do not have. Its records are no rows."""
    for kept in receipts:
        cells_ = [cell.strip() for cell in kept.raw.decode("latin-1").split("|")]
        found = _RECEIPT.search(cells_[0])
        place = Place(kept.file, kept.line)
        if found is None or len(cells_) < 4 or not (cells_[2].isdigit() and cells_[3].isdigit()):
            reason, remedy = "a record that declares no CCLF file", "send CCLF0 as the layout has it"
            yield Reject(place, "receipt", reason, remedy, kept.raw, 0, format=SOURCE)
            continue
        kind, declared, length = found[1], int(cells_[2]), int(cells_[3])
        count, longest = seen.get(kind, (0, 0))
        if declared != count:
            field, reason = "Total Records Count", f"CCLF{kind} should have {declared} records and has {count}"
            remedy = "send the whole submission again, or drop this if CCLF0 is wrong"
        elif count and length not in (longest, *LENGTHS.get(kind, ())):
            field, reason = "Record Length", f"CCLF{kind} is declared with another record length than it has"
            remedy = "send the layout that CCLF0 declares, or drop this if CCLF0 is wrong"
        else:
            continue
        yield Reject(Place(kept.file, kept.line, field), "receipt", reason, remedy, kept.raw, 0, format=SOURCE)
