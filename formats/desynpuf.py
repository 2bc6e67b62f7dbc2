"""CMS DE-SynPUF 2008-2010: beneficiary summaries, carrier, inpatient and outpatient claims, drug events.

A file's kind is told by its header. What the samples do not say stays empty: place of service on carrier lines,
charges on outpatient lines, TINs of facilities, dates of payment (`effective_on` is the last day of the claim).
Diagnoses are ICD-9-CM: cancers are translated by `formats.icd9`, all codes stay in `source_diagnoses`.

A carrier line is denied unless its processing indicator is A (allowed), O (other), R (reprocessed) or S (secondary
payer). An outpatient row of SEGMENT 2 has no dates and an amount of its own: it is rejected, since money without a
day belongs to no episode.

Coverage is given as months in a year, without saying which. Twelve months are the whole year. Fewer are, by our
rule: for one who died that year, the months that end with the month of death; for one who turned 65 that year, the
last months; otherwise the first. Such a span says reason `months_assumed`. Months of HMO are Medicare Advantage. ESRD
holds for the whole year. The year itself stands in the file's name only; a file that does not name it is rejected
row by row.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import partial
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
from formats.icd9 import MAPPING, to_icd10, translated
from formats.reading import Place, Read, ReadFact
from formats.states import BY_SSA
from formats.table import UnknownLayout, header_of, read_rows

SOURCE = "desynpuf"
PAID_INDICATORS = frozenset("AORS")
_COVERAGES = (
    ("part_a", "BENE_HI_CVRAGE_TOT_MONS"),
    ("part_b", "BENE_SMI_CVRAGE_TOT_MONS"),
    ("part_d", "PLAN_CVRG_MOS_NUM"),
    ("medicare_advantage", "BENE_HMO_CVRAGE_TOT_MONS"),
)
_SEX = {"1": "male", "2": "female"}
_YEAR = re.compile(r"(?<![0-9])(20[0-9]{2})(?![0-9])")


def read(lines: Iterable[bytes], file: str) -> Iterator[Read]:
    """Facts and rejects of one file, in file order."""
    source = iter(lines)
    header = header_of(next(source, b""))
    if (make := maker(header, file)) is None:
        raise UnknownLayout(
            f"{file}: not a DE-SynPUF header; looked for DESYNPUF_ID with the columns of its five files"
        )
    return read_rows(source, file, header, make)


def maker(header: list[str], file: str) -> Callable[[Row, Place], Iterable[Read]] | None:
    """What makes facts of the rows under this header; None if it is no DE-SynPUF header."""
    names = set(header)
    if "DESYNPUF_ID" not in names:
        return None
    if "BENE_BIRTH_DT" in names:
        years = set(_YEAR.findall(file))
        return partial(_beneficiary, int(years.pop()) if len(years) == 1 else 0)
    for column, make in (
        ("LINE_ICD9_DGNS_CD_1", _carrier),
        ("CLM_DRG_CD", _inpatient),
        ("NCH_BENE_PTB_DDCTBL_AMT", _outpatient),
        ("PDE_ID", _drug_event),
    ):
        if column in names:
            return make
    return None


def _fact(event: Event, place: Place, *key: str, rows: int = 1) -> ReadFact:
    return ReadFact(event, place, SOURCE, natural_key="|".join((SOURCE, *key)), rows=rows)


def _person(row: Row, born: date | None = None) -> Person:
    value = row["DESYNPUF_ID"].strip()
    if not value:
        raise BadCell("no_member_identifier", "DESYNPUF_ID", "a row without a member identifier", "send DESYNPUF_ID")
    return Person(identifier=Identifier(kind="beneficiary_id", value=value), birth_date=born)


# Beneficiaries


def _beneficiary(year: int, row: Row, place: Place) -> Iterator[Read]:
    if not year:
        raise BadCell(
            "no_date", "", "a summary whose year the file name does not say", "keep the year in the file's name"
        )
    born, died = needed_day(row, "BENE_BIRTH_DT"), day(row, "BENE_DEATH_DT")
    person = _person(row, born)
    who = person.identifier.value
    described = MemberDescribed.model_validate(
        {
            "person": person,
            "birth_year": born.year,
            "sex": _SEX.get(row["BENE_SEX_IDENT_CD"], "unknown"),
            "state": BY_SSA.get(row["SP_STATE_CODE"].zfill(2)),
            "died_on": died,
        }
    )
    facts = [_fact(described, place, "described", who, str(year))]
    first, last = date(year, 1, 1), date(year, 12, 31)
    for coverage, column in _COVERAGES:
        if months := whole(row, column) or 0:
            if not 1 <= months <= 12:
                raise BadCell("schema", column, "months of a year outside 0 to 12", "send 0 to 12")
            start, through = months_of(year, months, born, died)
            reason = None if months == 12 else "months_assumed"
            event = EnrollmentChanged.model_validate(
                {"person": person, "coverage": coverage, "from_on": start, "through_on": through, "reason": reason}
            )
            facts.append(_fact(event, place, coverage, who, str(year), rows=0))
    if row["BENE_ESRD_IND"] == "Y":
        event = EnrollmentChanged(person=person, coverage="esrd", from_on=first, through_on=last)
        facts.append(_fact(event, place, "esrd", who, str(year), rows=0))
    yield from facts


def months_of(year: int, months: int, born: date, died: date | None) -> tuple[date, date]:
    """The days that `months` of coverage in a year are taken to be, by the rule of this module.

    Nine months of 2009 of one who died on 2009-09-14 are 1 January to 30 September.
    """
    if died and died.year == year:
        last = max(died.month, months)
    elif born.year + 65 == year:
        last = 12
    else:
        last = months
    return date(year, last - months + 1, 1), date(year, last, monthrange(year, last)[1])


# Claims


def _claim(row: Row, place: Place, kind: str) -> dict[str, Any]:
    claim = row["CLM_ID"].strip()
    if not claim:
        raise BadCell("schema", "CLM_ID", "a claim without its number", "send CLM_ID")
    start, through = needed_day(row, "CLM_FROM_DT"), needed_day(row, "CLM_THRU_DT")
    sent = tuple(many(row, "ICD9_DGNS_CD_", 8 if kind == "carrier" else 10))
    return {
        "person": _person(row),
        "claim_id": claim,
        "family": claim,
        "effective_on": through,
        "from_on": start,
        "through_on": through,
        "diagnoses": translated(sent),
        "source_diagnoses": sent,
        "code_mapping": MAPPING,
    }


def _key(common: dict[str, Any], kind: str) -> tuple[str, ...]:
    return kind, common["claim_id"], "original", common["effective_on"].isoformat()


def _carrier(row: Row, place: Place) -> Iterator[Read]:
    common = _claim(row, place, "carrier")
    lines = [line for i in range(1, 14) if (line := _carrier_line(row, i, common["from_on"]))]
    if not lines:
        raise BadCell("schema", "HCPCS_CD_1", "a carrier claim without a line", "send at least one line")
    billing = next((line.rendering_tin for line in lines if line.rendering_tin), None)
    event = ProfessionalClaimReceived(**common, billing_tin=billing, lines=tuple(lines))
    yield _fact(event, place, *_key(common, "carrier"))


def _carrier_line(row: Row, i: int, on: date) -> ClaimLine | None:
    """Line `i`; None when nothing stands in it. Amounts of a denied line are kept and count nothing."""
    code, indicator = row[f"HCPCS_CD_{i}"].strip(), row[f"LINE_PRCSG_IND_CD_{i}"].strip()
    main = row[f"LINE_ICD9_DGNS_CD_{i}"].strip()
    paid, allowed = cents(row, f"LINE_NCH_PMT_AMT_{i}") or 0, cents(row, f"LINE_ALOWD_CHRG_AMT_{i}") or 0
    tin, npi = text(row, f"TAX_NUM_{i}"), text(row, f"PRF_PHYSN_NPI_{i}")
    if not (code or indicator or main or paid or allowed):
        return None
    mapped = to_icd10(main) if main else None
    return ClaimLine(
        line=i,
        service_on=on,
        code=code or None,
        diagnoses=(mapped,) if mapped else (),
        source_diagnoses=(main,) if main else (),
        allowed_cents=allowed,
        paid_cents=paid,
        rendering_npi=npi,
        rendering_tin=tin,
        denied=indicator not in PAID_INDICATORS,
    )


def _facility(row: Row, place: Place, kind: str) -> dict[str, Any]:
    common = _claim(row, place, kind)
    codes = many(row, "HCPCS_CD_", 45)
    return common | {
        "setting": kind,
        "facility": text(row, "PRVDR_NUM"),
        "paid_cents": cents(row, "CLM_PMT_AMT") or 0,
        "procedures": tuple(many(row, "ICD9_PRCDR_CD_", 6)),
        "lines": tuple(_revenue_line(i, code, common["from_on"]) for i, code in enumerate(codes, 1)),
    }


def _revenue_line(i: int, code: str, on: date) -> ClaimLine:
    """A code of a facility's claim; one row has a revenue centre among its HCPCS codes."""
    if re.fullmatch(r"[0-9]{4}", code):
        return ClaimLine(line=i, service_on=on, revenue_center=code)
    return ClaimLine(line=i, service_on=on, code=code)


def _outpatient(row: Row, place: Place) -> Iterator[Read]:
    if row["SEGMENT"].strip() != "1":
        raise BadCell(
            "no_date",
            "SEGMENT",
            "a second segment has no dates and an amount unlike the first one's",
            "send the claim with its dates, or drop the row",
        )
    common = _facility(row, place, "outpatient")
    yield _fact(InstitutionalClaimReceived(**common), place, *_key(common, "outpatient"))


def _inpatient(row: Row, place: Place) -> Iterator[Read]:
    common = _facility(row, place, "inpatient")
    event = InstitutionalClaimReceived(
        **common,
        admitted_on=day(row, "CLM_ADMSN_DT"),
        discharged_on=day(row, "NCH_BENE_DSCHRG_DT"),
        drg=text(row, "CLM_DRG_CD"),
    )
    yield _fact(event, place, *_key(common, "inpatient"))


def _drug_event(row: Row, place: Place) -> Iterator[Read]:
    """A drug event; what the plan paid is the total cost less what the patient paid."""
    filled, claim = needed_day(row, "SRVC_DT"), row["PDE_ID"].strip()
    total, member = cents(row, "TOT_RX_CST_AMT") or 0, cents(row, "PTNT_PAY_AMT") or 0
    event = PharmacyClaimReceived(
        person=_person(row),
        claim_id=claim,
        family=claim,
        effective_on=filled,
        filled_on=filled,
        ndc=text(row, "PROD_SRVC_ID"),
        quantity=number(row, "QTY_DSPNSD_NUM"),
        days_supply=whole(row, "DAYS_SUPLY_NUM"),
        paid_cents=total - member,
        total_cost_cents=total,
        member_paid_cents=member,
    )
    yield _fact(event, place, "drug-event", claim, "original", filled.isoformat())
