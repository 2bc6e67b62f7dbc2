"""CMS Research Identifiable Files: `|`-delimited with a header, one row a line, the claim repeated on each of its rows.

Kinds are told by the header: carrier and DME claims, facility claims (inpatient, outpatient, skilled nursing, home
health, hospice), drug events, beneficiaries of a year, and their former descriptions. A claim's rows may stand anywhere
in its file. A facility's amount is taken once; a professional claim's stands line by line. No quotes, no escapes; a row
may end in one empty cell too many.

Versions: an INSERT is an original; an UPDATE replaces what came before under its CLM_ID (the newest processing date
stays); a version whose FINAL_ACTION is N, or that is a DELETE, replaces it and counts nothing (it is marked denied).
Drug events likewise, and by ADJSTMT_DLTN_CD: A replaces, D voids. Claim types 62 to 64 and from 4000 on belong to
Medicare Advantage and are refused by name.

Coverage stands month by month for the reference year: buy-in (Parts A and B), HMO (Medicare Advantage), Part D
contract, dual status, ESRD. An UPDATE also says in which months there was none. A month without a sign says nothing.
Members are named by BENE_ID. A HCPCS code of another form, as facility files have, is left out.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import Any

from pydantic import ValidationError

from contracts.envelope import MAX_FACT_BYTES
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
from formats.cells import BadCell, Row, cents, number, text, whole
from formats.cms_codes import ESRD, PAID_BY_CARRIER, PAID_LINE, SETTINGS, SEX
from formats.icd9 import MAPPING, translated
from formats.reading import Place, Read, ReadFact, Reject
from formats.spill import Kept, spill
from formats.states import BY_SSA, LETTERS
from formats.table import UnknownLayout, made_of, refusal

SOURCE = "rif"
_CLAIM = "DML_IND FINAL_ACTION BENE_ID CLM_ID NCH_CLM_TYPE_CD CLM_FROM_DT CLM_THRU_DT"
_NEEDED = {
    "drug_event": "DML_IND FINAL_ACTION PDE_ID BENE_ID SRVC_DT ADJSTMT_DLTN_CD PROD_SRVC_ID QTY_DSPNSD_NUM "
    "DAYS_SUPLY_NUM CVRD_D_PLAN_PD_AMT NCVRD_PLAN_PD_AMT TOT_RX_CST_AMT PTNT_PAY_AMT LICS_AMT GDC_ABV_OOPT_AMT",
    "facility": f"{_CLAIM} CLM_PMT_AMT CLM_MDCR_NON_PMT_RSN_CD CLM_FAC_TYPE_CD CLM_SRVC_CLSFCTN_TYPE_CD CLM_FREQ_CD "
    "CLM_LINE_NUM REV_CNTR REV_CNTR_UNIT_CNT REV_CNTR_TOT_CHRG_AMT REV_CNTR_NCVRD_CHRG_AMT",
    "professional": f"{_CLAIM} CARR_CLM_PMT_DNL_CD TAX_NUM LINE_NUM LINE_ICD_DGNS_CD LINE_ICD_DGNS_VRSN_CD "
    "LINE_SRVC_CNT LINE_SBMTD_CHRG_AMT LINE_ALOWD_CHRG_AMT LINE_NCH_PMT_AMT LINE_PRCSG_IND_CD",
    "beneficiary": "DML_IND BENE_ID RFRNC_YR BENE_BIRTH_DT BENE_SEX_IDENT_CD STATE_CODE BENE_ZIP_CD BENE_SRNM_NAME "
    "BENE_GVN_NAME",
    "history": "DML_IND BENE_ID BENE_BIRTH_DT MBI_NUM EFCTV_BGN_DT EFCTV_END_DT",
}
"""The columns by which a file is known, and without which none of it could be read."""
_MARKS = {kind: frozenset(names.split()) for kind, names in _NEEDED.items()}
_ADVANTAGE = frozenset(("62", "63", "64"))
_DML = frozenset(("INSERT", "UPDATE", "DELETE"))
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEPT", "OCT", "NOV", "DEC")
_MONTH_OF = {name[:3]: i for i, name in enumerate(_MONTHS, 1)}
_DAY = re.compile(r"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})")
_HCPCS = re.compile(r"[A-Z0-9]{5}")
_NDC = re.compile(r"[0-9]{11}")
_FORM = {
    "alnum": re.compile(r"[A-Za-z0-9]{1,15}"), "four": re.compile(r"[0-9]{4}"), "two": re.compile(r"[0-9]{2}"),
    "drg": re.compile(r"[0-9]{3,4}"), "bill": re.compile(r"[0-9A-Z]{3}"), "letter": re.compile(r"[A-Z]"),
    "procedure": re.compile(r"[A-Z0-9]{3,7}"),
}  # fmt: skip


def header_of(line: bytes) -> list[str]:
    """The column names of a header line; empty when it is none."""
    try:
        words = line.removeprefix(b"\xef\xbb\xbf").decode("ascii").strip().split("|")
    except UnicodeDecodeError:
        return []
    return words if len(words) > 1 else []


def kind_of(header: list[str]) -> str | None:
    """Which file this is the header of; None if of none."""
    names = set(header)
    return next((kind for kind, needed in _MARKS.items() if needed <= names), None)


def read(lines: Iterable[bytes], file: str) -> Iterator[Read]:
    """Facts and rejects of one file; claims in the order of their ids."""
    source = iter(lines)
    header = header_of(next(source, b""))
    match kind_of(header):
        case "beneficiary":
            return made_of(_rows(source, file, header), file, _beneficiary)
        case "history":
            return made_of(_rows(source, file, header), file, _history)
        case "drug_event":
            return made_of(_rows(source, file, header), file, _drug_event)
        case "professional":
            return _grouped(source, file, header, _professional, _service_line)
        case "facility":
            return _grouped(source, file, header, _facility, _revenue_line)
    raise UnknownLayout(f"{file}: not a RIF header; looked for DML_IND with the columns of claims or beneficiaries")


def _cells(raw: bytes, header: list[str]) -> Row | str:
    try:
        cells = raw.decode().rstrip("\r\n").split("|")
    except UnicodeDecodeError:
        return "a row that is not UTF-8"
    if len(cells) == len(header) + 1 and not cells[-1]:
        cells.pop()
    if len(cells) != len(header):
        return f"a row of {len(cells)} cells under a header of {len(header)}"
    return dict(zip(header, cells, strict=True))


def _rows(lines: Iterator[bytes], file: str, header: list[str]) -> Iterator[tuple[int, Row, bytes] | Reject]:
    for line, raw in enumerate(lines, 2):
        if not raw.strip():
            continue
        row = _cells(raw, header)
        if isinstance(row, str):
            yield Reject(Place(file, line), "unreadable", row, "send as many cells as columns", raw[:MAX_FACT_BYTES])
        else:
            yield line, row, raw


def _grouped(
    lines: Iterator[bytes],
    file: str,
    header: list[str],
    make: Callable[[list[Row], Place], ReadFact],
    one: Callable[[Row, date], ClaimLine],
) -> Iterator[Read]:
    """The rows of one version of one claim at a time."""
    with spill() as kept:
        for item in _rows(lines, file, header):
            if isinstance(item, Reject):
                yield item
            elif not (claim := item[1]["CLM_ID"].strip()):
                error = BadCell("schema", "CLM_ID", "a row without its claim", "send CLM_ID")
                yield refusal(error, Place(file, item[0]), item[2])
            else:
                line, row, raw = item
                kept.put(Kept(claim, f"{row['DML_IND']}|{row['FINAL_ACTION']}", file, line, raw))
        for group in kept.groups():
            versions: dict[str, list[Kept]] = {}
            for record in sorted(group, key=lambda record: record.line):
                versions.setdefault(record.kind, []).append(record)
            for records in versions.values():
                found = [cells_ for each in records if isinstance(cells_ := _cells(each.raw, header), dict)]
                try:
                    yield make(found, Place(file, records[0].line))
                except (BadCell, ValidationError) as error:
                    place = Place(file, records[_wrong_row(found, one)].line)
                    yield refusal(error, place, b"".join(record.raw for record in records), len(records))


def _wrong_row(rows: list[Row], one: Callable[[Row, date], ClaimLine]) -> int:
    """The first row of a refused claim that is wrong by itself; else the first, which speaks for the claim."""
    for i, row in enumerate(rows):
        try:
            one(row, date(2000, 1, 1))
        except (BadCell, ValidationError):
            return i
    return 0


def _fact(event: Event, place: Place, *key: str, rows: int = 1) -> ReadFact:
    return ReadFact(event, place, SOURCE, natural_key="|".join((SOURCE, *key)), rows=rows)


def _day(row: Row, column: str) -> date | None:
    """DD-Mon-YYYY; None when empty or not a column of this file."""
    sent = row.get(column, "").strip()
    if not sent:
        return None
    found = _DAY.fullmatch(sent)
    try:
        if found and (month := _MONTH_OF.get(found[2].upper())):
            return date(int(found[3]), month, int(found[1]))
    except ValueError:
        pass
    raise BadCell("not_a_date", column, "a date that is not a date", "send an existing day as DD-Mon-YYYY")


def _needed_day(row: Row, column: str) -> date:
    if (found := _day(row, column)) is None:
        raise BadCell("no_date", column, "a row without its date", "send the day of service")
    return found


def _code(row: Row, column: str, form: str) -> str | None:
    """A descriptive code; None when it has another form or the file has no such column."""
    sent = row.get(column, "").strip()
    return sent if _FORM[form].fullmatch(sent) else None


def _person(row: Row) -> Person:
    sent = row["BENE_ID"].strip()
    if not sent:
        raise BadCell("no_member_identifier", "BENE_ID", "a row without a member identifier", "send BENE_ID")
    return Person(identifier=Identifier(kind="beneficiary_id", value=sent))


# Members


def _beneficiary(row: Row, place: Place) -> Iterator[Read]:
    born, died = _day(row, "BENE_BIRTH_DT"), _day(row, "DEATH_DT")
    person = Person(
        identifier=_person(row).identifier,
        family_name=text(row, "BENE_SRNM_NAME"),
        given_name=text(row, "BENE_GVN_NAME"),
        birth_date=born,
        address=row.get("DRVD_LINE_1_ADR", "").strip() or None,
        postal_code=text(row, "BENE_ZIP_CD"),
    )
    state, version = row["STATE_CODE"].strip(), row["DML_IND"].strip()
    described = MemberDescribed.model_validate(
        {
            "person": person,
            "birth_year": born.year if born else None,
            "sex": SEX.get(row["BENE_SEX_IDENT_CD"].strip()),
            "state": state if state in LETTERS else BY_SSA.get(state.zfill(2)),
            "died_on": died,
        }
    )
    sent = row["RFRNC_YR"].strip()
    facts = [_fact(described, place, "described", person.identifier.value, sent, version)]
    if sent:
        if not re.fullmatch(r"(19|20)[0-9]{2}", sent):
            raise BadCell("not_a_date", "RFRNC_YR", "a reference year that is none", "send the year of the months")
        for coverage, code, covered, start, through in _spans(row, int(sent), gaps=version != "INSERT"):
            event = EnrollmentChanged.model_validate(
                {
                    "person": person,
                    "coverage": coverage,
                    "from_on": start,
                    "through_on": through,
                    "covered": covered,
                    "code": code or None,
                }
            )
            facts.append(_fact(event, place, coverage, person.identifier.value, start.isoformat(), version, rows=0))
    yield from facts


def _history(row: Row, place: Place) -> Iterator[Read]:
    """What was once said of a member; it is counted and overrules nothing."""
    event = MemberDescribed(person=_person(row))
    yield _fact(event, place, "history", row["BENE_ID"].strip(), row["EFCTV_BGN_DT"].strip())


_Sign = tuple[str, bool] | None
"""A month's code and whether it is covered; None when the file does not say."""


def _buy_in(part: str) -> Callable[[Row, int], _Sign]:
    covering = "13AC" if part == "a" else "23BC"

    def sign(row: Row, month: int) -> _Sign:
        sent = row.get(f"MDCR_ENTLMT_BUYIN_{month}_IND", "").strip()
        return ("", sent in covering) if sent in tuple("0123ABC") else None

    return sign


def _hmo(row: Row, month: int) -> _Sign:
    sent = row.get(f"HMO_{month}_IND", "").strip()
    return ("", sent not in "04") if sent in tuple("0124ABC") else None


def _part_d(row: Row, month: int) -> _Sign:
    sent = row.get(f"PTD_CNTRCT_{_MONTHS[month - 1]}_ID", "").strip()
    if sent in ("", "*"):
        return None
    return "", sent not in ("0", "N", "00000")


def _dual(row: Row, month: int) -> _Sign:
    sent = row.get(f"META_DUAL_ELGBL_STUS_{_MONTHS[month - 1]}_CD", "").strip()
    if sent in ("00", "0", "NA"):
        return "", False
    return (sent.zfill(2), True) if re.fullmatch(r"[0-9]{1,2}", sent) and sent != "99" else None


def _esrd(row: Row, month: int) -> _Sign:
    sent = row.get(f"MDCR_STUS_{_MONTHS[month - 1]}_CD", "").strip()
    return ("", sent in ESRD) if re.fullmatch(r"[0-9]{2}", sent) else None


_SIGNS: tuple[tuple[str, Callable[[Row, int], _Sign]], ...] = (
    ("part_a", _buy_in("a")),
    ("part_b", _buy_in("b")),
    ("medicare_advantage", _hmo),
    ("part_d", _part_d),
    ("dual", _dual),
    ("esrd", _esrd),
)


def _spans(row: Row, year: int, *, gaps: bool) -> Iterator[tuple[str, str, bool, date, date]]:
    """Runs of months with the same sign, of each kind of coverage."""
    for coverage, sign in _SIGNS:
        signs = [sign(row, month) for month in range(1, 13)]
        first = 1
        for month in range(1, 13):
            if month < 12 and signs[month] == signs[month - 1]:
                continue
            found = signs[month - 1]
            if found is not None and (found[1] or gaps):
                through = date(year, month, monthrange(year, month)[1])
                yield coverage, found[0], found[1], date(year, first, 1), through
            first = month + 1


# Claims


def _version(row: Row, claim: str) -> dict[str, Any]:
    """How a version stands to those before it."""
    sent, final = row["DML_IND"].strip(), row["FINAL_ACTION"].strip()
    if sent not in _DML:
        raise BadCell("schema", "DML_IND", "a version that is no INSERT, UPDATE or DELETE", "send one of the three")
    if final not in ("", "F", "N"):
        raise BadCell("schema", "FINAL_ACTION", "a final action that is neither F nor N", "send F or N")
    gone = sent == "DELETE" or final == "N"
    if sent == "INSERT" and not gone:
        return {"action": "original"}
    return {"action": "replacement", "replaces": claim, "denied": gone}


def _claim(row: Row) -> dict[str, Any]:
    claim, kind = row["CLM_ID"].strip(), row["NCH_CLM_TYPE_CD"].strip()
    if kind in _ADVANTAGE or (len(kind) >= 4 and kind >= "4000"):
        raise BadCell(
            "not_fee_for_service", "NCH_CLM_TYPE_CD", "a claim of Medicare Advantage", "send fee-for-service claims"
        )
    start, through = _needed_day(row, "CLM_FROM_DT"), _needed_day(row, "CLM_THRU_DT")
    return {
        "person": _person(row),
        "claim_id": claim,
        "family": claim,
        "effective_on": _day(row, "NCH_WKLY_PROC_DT") or through,
        "from_on": start,
        "through_on": through,
        **_version(row, claim),
        **_diagnoses(*_codes(row)),
    }


def _codes(row: Row) -> tuple[list[str], str]:
    """The diagnoses of a claim, the principal one first; and the version of the principal one."""
    names = ("PRNCPAL_DGNS_CD", *(f"ICD_DGNS_CD{i}" for i in range(1, 26)))
    sent = [code for name in names if (code := row.get(name, "").strip())]
    version = row.get("PRNCPAL_DGNS_VRSN_CD", "").strip() or row.get("ICD_DGNS_VRSN_CD1", "").strip()
    return list(dict.fromkeys(sent)), version


def _diagnoses(sent: list[str], version: str) -> dict[str, Any]:
    """ICD-9 is translated by the dated table, and kept as sent."""
    if version == "9":
        return {"diagnoses": translated(sent), "source_diagnoses": tuple(sent), "code_mapping": MAPPING}
    return {"diagnoses": tuple(sent)}


def _modifiers(row: Row) -> tuple[str, ...]:
    names = ("HCPCS_1ST_MDFR_CD", "HCPCS_2ND_MDFR_CD", "HCPCS_3RD_MDFR_CD", "HCPCS_4TH_MDFR_CD")
    return tuple(code for name in names if (code := row.get(name, "").strip()))


def _hcpcs(row: Row) -> str | None:
    sent = row.get("HCPCS_CD", "").strip()
    return sent if _HCPCS.fullmatch(sent) else None


def _key(common: dict[str, Any], kind: str, row: Row) -> tuple[str, ...]:
    version = row["DML_IND"].strip() + row["FINAL_ACTION"].strip()
    return kind, common["claim_id"], version, common["effective_on"].isoformat()


def _professional(rows: list[Row], place: Place) -> ReadFact:
    head = rows[0]
    common = _claim(head)
    denied = head["CARR_CLM_PMT_DNL_CD"].strip() not in PAID_BY_CARRIER
    dme = head["NCH_CLM_TYPE_CD"].strip() in ("81", "82")
    event = ProfessionalClaimReceived.model_validate(
        common
        | {
            "denied": common.get("denied", False) or denied,
            "supplier": "dmepos" if dme else "physician",
            "billing_tin": text(head, "TAX_NUM"),
            "billing_npi": _code(head, "PRVDR_NPI" if dme else "CARR_CLM_BLG_NPI_NUM", "alnum"),
            "primary_payer": next((p for row in rows if (p := _code(row, "LINE_BENE_PRMRY_PYR_CD", "letter"))), None),
            "lines": tuple(_service_line(row, common["from_on"]) for row in rows),
        }
    )
    return _fact(event, place, *_key(common, "professional", head), rows=len(rows))


def _service_line(row: Row, start: date) -> ClaimLine:
    main = row["LINE_ICD_DGNS_CD"].strip()
    found = _diagnoses([main] if main else [], row["LINE_ICD_DGNS_VRSN_CD"].strip())
    ndc = row.get("LINE_NDC_CD", "").strip()
    return ClaimLine(
        line=whole(row, "LINE_NUM") or 0,
        service_on=_day(row, "LINE_1ST_EXPNS_DT") or start,
        code=_hcpcs(row),
        modifiers=_modifiers(row),
        ndc=ndc if _NDC.fullmatch(ndc) else None,
        diagnoses=found["diagnoses"],
        source_diagnoses=found.get("source_diagnoses", ()),
        units=number(row, "LINE_SRVC_CNT"),
        charge_cents=cents(row, "LINE_SBMTD_CHRG_AMT"),
        allowed_cents=cents(row, "LINE_ALOWD_CHRG_AMT"),
        paid_cents=cents(row, "LINE_NCH_PMT_AMT") or 0,
        place_of_service=_code(row, "LINE_PLACE_OF_SRVC_CD", "two"),
        rendering_npi=_code(row, "PRF_PHYSN_NPI", "alnum"),
        rendering_tin=text(row, "TAX_NUM"),
        denied=row["LINE_PRCSG_IND_CD"].strip() not in PAID_LINE,
    )


def _facility(rows: list[Row], place: Place) -> ReadFact:
    head = rows[0]
    common = _claim(head)
    paid = {cents(row, "CLM_PMT_AMT") for row in rows}
    if len(paid) > 1:
        raise BadCell("not_money", "CLM_PMT_AMT", "rows that disagree on their claim's amount", "repeat one amount")
    bill = "".join(head[f"CLM_{name}_CD"].strip() for name in ("FAC_TYPE", "SRVC_CLSFCTN_TYPE", "FREQ"))
    procedures = (_code(head, f"ICD_PRCDR_CD{i}", "procedure") for i in range(1, 26))
    event = InstitutionalClaimReceived.model_validate(
        common
        | {
            "denied": common.get("denied", False) or bool(head["CLM_MDCR_NON_PMT_RSN_CD"].strip()),
            "primary_payer": _code(head, "NCH_PRMRY_PYR_CD", "letter"),
            "setting": SETTINGS.get(head["NCH_CLM_TYPE_CD"].strip(), "other"),
            "type_of_bill": bill if _FORM["bill"].fullmatch(bill) else None,
            "facility": _code(head, "PRVDR_NUM", "alnum"),
            "billing_npi": _code(head, "ORG_NPI_NUM", "alnum"),
            "admitted_on": _day(head, "CLM_ADMSN_DT"),
            "discharged_on": _day(head, "NCH_BENE_DSCHRG_DT"),
            "drg": _code(head, "CLM_DRG_CD", "drg"),
            "procedures": tuple(code for code in procedures if code),
            "paid_cents": paid.pop() or 0,
            "lines": tuple(_revenue_line(row, common["from_on"]) for row in rows),
        }
    )
    return _fact(event, place, *_key(common, "facility", head), rows=len(rows))


def _revenue_line(row: Row, start: date) -> ClaimLine:
    return ClaimLine(
        line=whole(row, "CLM_LINE_NUM") or 0,
        service_on=_day(row, "REV_CNTR_DT") or start,
        code=_hcpcs(row),
        modifiers=_modifiers(row),
        revenue_center=_code(row, "REV_CNTR", "four"),
        units=number(row, "REV_CNTR_UNIT_CNT"),
        charge_cents=cents(row, "REV_CNTR_TOT_CHRG_AMT"),
        noncovered_cents=cents(row, "REV_CNTR_NCVRD_CHRG_AMT") or 0,
        rendering_npi=_code(row, "RNDRNG_PHYSN_NPI", "alnum"),
    )


def _drug_event(row: Row, place: Place) -> Iterator[Read]:
    """A fill. The plan paid what was covered and what was not; the two subsidies stand by themselves."""
    filled, claim = _needed_day(row, "SRVC_DT"), row["PDE_ID"].strip()
    version = _version(row, claim)
    match row["ADJSTMT_DLTN_CD"].strip():
        case "D":
            version = {"action": "void", "replaces": claim}
        case "A" if version["action"] == "original":
            version = {"action": "replacement", "replaces": claim}
    effective = _day(row, "PD_DT") or filled
    ndc = row["PROD_SRVC_ID"].strip()
    event = PharmacyClaimReceived.model_validate(
        {
            "person": _person(row),
            "claim_id": claim,
            "family": claim,
            **version,
            "effective_on": effective,
            "filled_on": filled,
            "ndc": ndc if _NDC.fullmatch(ndc) else None,
            "quantity": number(row, "QTY_DSPNSD_NUM"),
            "days_supply": whole(row, "DAYS_SUPLY_NUM"),
            "pharmacy_npi": _code(row, "SRVC_PRVDR_ID", "alnum"),
            "prescriber_npi": _code(row, "PRSCRBR_ID", "alnum"),
            "paid_cents": (cents(row, "CVRD_D_PLAN_PD_AMT") or 0) + (cents(row, "NCVRD_PLAN_PD_AMT") or 0),
            "total_cost_cents": cents(row, "TOT_RX_CST_AMT"),
            "member_paid_cents": cents(row, "PTNT_PAY_AMT"),
            "low_income_subsidy_cents": cents(row, "LICS_AMT") or 0,
            "above_threshold_cents": cents(row, "GDC_ABV_OOPT_AMT") or 0,
        }
    )
    sent = row["DML_IND"].strip() + row["FINAL_ACTION"].strip() + row["ADJSTMT_DLTN_CD"].strip()
    yield _fact(event, place, "drug-event", claim, sent, effective.isoformat())
