"""RIF: a claim's amount counts once, newer versions take the place of older ones, months become spans."""

from __future__ import annotations

from collections import Counter
from datetime import date
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
from formats import rif
from formats.detect import detect, read_file
from formats.reading import Read, ReadFact, Reject

DATA = Path(__file__).parents[3] / "shared" / "data" / "rif"
samples = pytest.mark.skipif(not DATA.is_dir(), reason="the sample data is not beside the repository")

CARRIER = {
    "DML_IND": "INSERT", "BENE_ID": "-77", "CLM_ID": "-9", "FINAL_ACTION": "F", "NCH_CLM_TYPE_CD": "71",
    "CLM_FROM_DT": "30-May-2024", "CLM_THRU_DT": "30-MAY-2024", "NCH_WKLY_PROC_DT": "04-Jun-2024",
    "CARR_CLM_PMT_DNL_CD": "1", "CLM_PMT_AMT": "75", "CARR_CLM_BLG_NPI_NUM": "1234567890", "PRNCPAL_DGNS_CD": "C3490",
    "PRNCPAL_DGNS_VRSN_CD": "0", "ICD_DGNS_CD1": "C3490", "LINE_NUM": "1", "PRF_PHYSN_NPI": "1923124",
    "TAX_NUM": "204299999", "LINE_SRVC_CNT": "1.0", "LINE_PLACE_OF_SRVC_CD": "11", "LINE_1ST_EXPNS_DT": "30-May-2024",
    "HCPCS_CD": "J9271", "HCPCS_1ST_MDFR_CD": "JW", "LINE_NCH_PMT_AMT": "37.5", "LINE_BENE_PRMRY_PYR_CD": " ",
    "LINE_SBMTD_CHRG_AMT": "75", "LINE_ALOWD_CHRG_AMT": "47.84", "LINE_PRCSG_IND_CD": "A",
    "LINE_ICD_DGNS_CD": "C3490", "LINE_ICD_DGNS_VRSN_CD": "0", "LINE_NDC_CD": "00006302602",
}  # fmt: skip


def table(*rows: dict[str, str]) -> list[bytes]:
    return [("|".join(row) + "\n").encode() for row in (list(rows[0]), *(list(row.values()) for row in rows))]


def carrier(*changes: dict[str, str]) -> list[Read]:
    return list(rif.read(table(*(CARRIER | change for change in changes)), "carrier.txt"))


def events(items: list[Read]) -> list[Any]:
    assert [i for i in items if isinstance(i, Reject)] == []
    return [i.event for i in items if isinstance(i, ReadFact)]


def test_rows_of_a_claim_are_one_claim_wherever_they_stand() -> None:
    first, second = carrier({}, {"CLM_ID": "-10"}, {"LINE_NUM": "2"})
    assert isinstance(second, ReadFact)
    assert isinstance(second.event, ProfessionalClaimReceived)
    assert (second.event.claim_id, second.rows, first.rows) == ("-9", 2, 1)
    line = second.event.lines[0]
    assert (line.code, line.ndc, line.paid_cents, line.allowed_cents) == ("J9271", "00006302602", 3_750, 4_784)
    assert (line.diagnoses, line.modifiers, second.event.billing_tin) == (("C3490",), ("JW",), "204299999")
    assert second.event.effective_on == date(2024, 6, 4)


def test_an_update_replaces_and_what_is_not_final_counts_nothing() -> None:
    original, updated = events(carrier({}, {"DML_IND": "UPDATE", "LINE_NCH_PMT_AMT": "30"}))
    assert (original.action, original.replaces) == ("original", None)
    assert (updated.action, updated.replaces, updated.denied) == ("replacement", "-9", False)
    (gone,) = events(carrier({"DML_IND": "UPDATE", "FINAL_ACTION": "N"}))
    assert (gone.action, gone.replaces, gone.denied) == ("replacement", "-9", True)


def test_the_row_that_is_wrong_is_named_and_the_claim_can_be_read_again() -> None:
    (item,) = carrier({}, {"LINE_NUM": "2", "LINE_NCH_PMT_AMT": "Canary"})
    assert isinstance(item, Reject)
    assert (item.code, item.place.line, item.place.field, item.rows) == ("not_money", 3, "LINE_NCH_PMT_AMT", 2)
    assert "Canary" not in f"{item}"
    header, *_ = table(CARRIER)
    (again,) = events(list(rif.read([header, *item.raw.replace(b"Canary", b"1").splitlines(keepends=True)], "x")))
    assert len(again.lines) == 2


def test_medicare_advantage_is_refused_by_name() -> None:
    (item,) = carrier({"NCH_CLM_TYPE_CD": "62"})
    assert isinstance(item, Reject)
    assert item.code == "not_fee_for_service"


def test_icd9_is_translated_and_kept() -> None:
    (claim,) = events(
        carrier(
            {"PRNCPAL_DGNS_CD": "1749", "ICD_DGNS_CD1": "1749", "PRNCPAL_DGNS_VRSN_CD": "9",
             "LINE_ICD_DGNS_CD": "1749", "LINE_ICD_DGNS_VRSN_CD": "9"}
        )
    )  # fmt: skip
    assert (claim.diagnoses, claim.source_diagnoses, claim.lines[0].diagnoses) == (("C509",), ("1749",), ("C509",))


def test_months_become_spans_and_an_update_says_where_there_is_none() -> None:
    months = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEPT", "OCT", "NOV", "DEC")
    row = {
        "DML_IND": "INSERT", "BENE_ID": "7", "STATE_CODE": "42", "BENE_ZIP_CD": "29401", "BENE_BIRTH_DT": "17-Jan-1942",
        "BENE_SEX_IDENT_CD": "2", "BENE_SRNM_NAME": "Doe\\", "BENE_GVN_NAME": 'J"', "DEATH_DT": "", "RFRNC_YR": "2024",
    } | {f"MDCR_ENTLMT_BUYIN_{m}_IND": "3" if m <= 6 else "1" for m in range(1, 13)}  # fmt: skip
    row |= {f"HMO_{m}_IND": "1" if m > 9 else "0" for m in range(1, 13)}
    row |= {f"META_DUAL_ELGBL_STUS_{name}_CD": "2" if name != "DEC" else "NA" for name in months}

    def spans(version: str) -> list[tuple[Any, ...]]:
        described, *rest = events(list(rif.read(table(row | {"DML_IND": version}), "beneficiaries.txt")))
        assert isinstance(described, MemberDescribed)
        assert (described.birth_year, described.sex, described.state) == (1942, "female", "SC")
        assert described.person is not None
        assert described.person.family_name == "Doe\\"
        return [(e.coverage, e.code, e.covered, e.from_on.month, e.through_on.month) for e in rest]

    held = [
        ("part_a", None, True, 1, 12),
        ("part_b", None, True, 1, 6),
        ("medicare_advantage", None, True, 10, 12),
        ("dual", "02", True, 1, 11),
    ]
    assert spans("INSERT") == held
    assert [span for span in spans("UPDATE") if span[2]] == held
    assert [span for span in spans("UPDATE") if not span[2]] == [
        ("part_b", None, False, 7, 12),
        ("medicare_advantage", None, False, 1, 9),
        ("dual", None, False, 12, 12),
    ]


# Samples


def take(pattern: str) -> tuple[list[ReadFact], list[Reject], int]:
    read, rejects, rows = [], [], 0
    for path in sorted(DATA.glob(pattern)):
        rows += sum(1 for line in path.read_bytes().split(b"\n")[1:] if line.strip())
        for item in read_file(path):
            if isinstance(item, ReadFact):
                read.append(item)
            else:
                rejects.append(item)
    assert sum(i.rows for i in read) + sum(i.rows for i in rejects) == rows
    return read, rejects, rows


@samples
def test_claims_of_the_synthetic_three_are_paid_once() -> None:
    professional, facility = 0, 0
    claims = set()
    for pattern in ("carrier", "dme", "hha", "hospice", "inpatient", "outpatient", "snf"):
        read, rejects, _ = take(f"bfd-synthea-open/{pattern}.csv")
        assert rejects == []
        for item in read:
            claim = item.event
            claims.add(claim.claim_id)  # type: ignore[attr-defined]
            if isinstance(claim, InstitutionalClaimReceived):
                facility += claim.paid_cents
            elif isinstance(claim, ProfessionalClaimReceived):
                professional += sum(line.paid_cents for line in claim.lines)
    assert (len(claims), professional, professional + facility) == (89, 11_216_591, 32_526_522)


@samples
def test_drug_events_of_the_synthetic_three() -> None:
    read, rejects, rows = take("bfd-synthea-open/pde.csv")
    fills = [i.event for i in read if isinstance(i.event, PharmacyClaimReceived)]
    assert (rows, len(fills), rejects) == (18, 18, [])
    assert sum(f.member_paid_cents or 0 for f in fills) == 50_225
    assert sum(f.total_cost_cents or 0 for f in fills) == 40_079


@samples
def test_beneficiaries_of_the_synthetic_three() -> None:
    read, rejects, rows = take("bfd-synthea-open/beneficiary_*.csv")
    assert (rows, rejects) == (36, [])
    spans = [i.event for i in read if isinstance(i.event, EnrollmentChanged)]
    assert len({s.person.identifier.value for s in spans if s.person}) == 3


@samples
def test_the_handmade_files_are_taken_in_or_refused_with_their_place() -> None:
    read, rejects, _ = take("bfd-static/*")
    assert Counter((r.code, r.place.file) for r in rejects) == {
        ("unreadable", "sample-u-bcarrier.txt"): 1,
        ("not_a_date", "sample-u-unchanged-beneficiaries.txt"): 1,
    }
    facility = [i.event for i in read if isinstance(i.event, InstitutionalClaimReceived)]
    assert {c.paid_cents for c in facility if c.setting == "inpatient"} == {769_948}
    assert {c.paid_cents for c in facility if c.setting == "skilled_nursing"} == {333_333}
    lines = [ln.paid_cents for i in read if isinstance(i.event, ProfessionalClaimReceived) for ln in i.event.lines]
    assert lines == [3_750] * 8 + [12_345]
    of_claims = 2 * 19_999 + 77_775  # what carriers and DME say of the claim, where their lines come to other sums
    assert sum(c.paid_cents for c in facility) + of_claims == 2_445_477 - 19_999, "one carrier file is refused"


@samples
def test_a_rif_file_is_told_by_its_header() -> None:
    for path in DATA.rglob("*"):
        if path.is_file() and "export" not in path.name:
            assert detect(path.read_bytes().splitlines()[:3], path.name) == "rif"
