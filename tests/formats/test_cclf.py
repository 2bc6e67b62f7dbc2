"""CCLF: files of one submission are one, versions add up as CMS's own example says, and nothing is dropped unseen."""

from __future__ import annotations

import zipfile
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from contracts.claims import receive
from contracts.envelope import Fact
from contracts.events import (
    EnrollmentChanged,
    InstitutionalClaimReceived,
    MemberDescribed,
    PharmacyClaimReceived,
    ProfessionalClaimReceived,
)
from contracts.evidence import CodeSets, of_claim
from contracts.parts import Family
from contracts.roster import bundled_sheet
from contracts.terms import TermSheet
from formats import cclf
from formats.cclf_layout import COLUMNS, LENGTHS
from formats.detect import read_file, read_files
from formats.reading import Read, ReadFact, Reject

DATA = Path(__file__).parents[3] / "shared" / "data" / "cclf"
samples = pytest.mark.skipif(not DATA.is_dir(), reason="the sample data is not beside the repository")
MBI = "1EG4TE5MK73"
RIGHT = frozenset(("CLM_PMT_AMT", "CLM_LINE_CVRD_PD_AMT", "CLM_LINE_ALOWD_CHRG_AMT", "CLM_LINE_NUM"))


def record(kind: str, **values: str) -> bytes:
    """One record in full width, from columns."""
    line = [" "] * LENGTHS[kind][0]
    for name, value in values.items():
        first, last = COLUMNS[kind][name]
        width = last - first + 1
        line[first - 1 : last] = value.rjust(width) if name in RIGHT else value.ljust(width)
    assert len(line) == LENGTHS[kind][0]
    return "".join(line).encode() + b"\n"


def header(claim: str, start: str, through: str, paid: str, kind: str, effective: str, **more: str) -> bytes:
    values = {
        "CUR_CLM_UNIQ_ID": claim, "PRVDR_OSCAR_NUM": "390001", "BENE_MBI_ID": MBI, "CLM_TYPE_CD": "60",
        "CLM_FROM_DT": start, "CLM_THRU_DT": through, "CLM_PMT_AMT": paid, "CLM_ADJSMT_TYPE_CD": kind,
        "CLM_EFCTV_DT": effective, "CLM_BLG_PRVDR_OSCAR_NUM": "390001", "DGNS_PRCDR_ICD_IND": "0",
    }  # fmt: skip
    return record("1", **(values | more))


def physician(claim: str, line: str, paid: str, kind: str, effective: str, **more: str) -> bytes:
    values = {
        "CUR_CLM_UNIQ_ID": claim, "CLM_LINE_NUM": line, "BENE_MBI_ID": MBI, "CLM_TYPE_CD": "71",
        "CLM_FROM_DT": "2024-07-03", "CLM_THRU_DT": "2024-07-03", "CLM_LINE_FROM_DT": "2024-07-03",
        "CLM_LINE_HCPCS_CD": "J9271", "CLM_LINE_CVRD_PD_AMT": paid, "CLM_LINE_ALOWD_CHRG_AMT": paid,
        "CLM_PRCSG_IND_CD": "A", "CLM_CARR_PMT_DNL_CD": "1", "CLM_ADJSMT_TYPE_CD": kind, "CLM_EFCTV_DT": effective,
        "CLM_CNTL_NUM": "7", "DGNS_PRCDR_ICD_IND": "0", "CLM_LINE_DGNS_CD": "C3490",
    }  # fmt: skip
    return record("5", **(values | more))


PART_A = [
    header("1", "2024-07-01", "2024-07-08", "200.00", "0", "2024-07-20"),
    header("2", "2024-07-01", "2024-07-08", "0.00", "2", "2024-09-20"),
    header("3", "2024-07-01", "2024-07-08", "200.00", "1", "2024-08-07"),
    header("4", "2024-07-01", "2024-07-08", "210.00", "2", "2024-09-20"),
    header("5", "2024-07-01", "2024-07-08", "0.00", "2", "2024-08-07"),
    header("6", "2024-07-01", "2024-07-08", "0.00", "1", "2024-10-07"),
    header("7", "2024-08-20", "2024-08-29", "50.00", "0", "2024-09-20"),
]
PART_B = [
    physician(claim, line, paid, kind, effective)
    for claim, kind, effective, lines in (
        ("11", "1", "2024-09-02", (("3", "0.00"), ("1", "380.00"), ("2", "227.00"))),
        ("12", "0", "2024-09-02", (("1", "380.00"), ("2", "227.00"), ("3", "100.00"))),
        ("13", "0", "2024-08-15", (("3", "0.00"), ("1", "380.00"), ("2", "227.00"))),
    )
    for line, paid in lines
]


def submission(folder: Path, **files: list[bytes]) -> list[Path]:
    for kind, lines in files.items():
        (folder / f"P.A0001.ACO.Z{kind}Y24.D240801.T0102030").write_bytes(b"".join(lines))
    return sorted(folder.iterdir())


def facts(items: list[Read]) -> list[ReadFact]:
    rejects = [item for item in items if isinstance(item, Reject)]
    assert rejects == []
    return [item for item in items if isinstance(item, ReadFact)]


def net(read: list[ReadFact]) -> int:
    """What counts in the end, by the contract's own rules."""
    sheet = TermSheet(bundled_sheet("medicare-eom")[2])
    codes = CodeSets(sheet)
    families: dict[str, Family] = {}
    total = 0
    for i, item in enumerate(read):
        fact = Fact(str(i), str(i), item.event.type_name(), "m", "", item.event, "t", 0, i, 0, "")
        claim = of_claim(fact, codes, frozenset(), medicare=True)
        gone, come = receive(families.setdefault(item.event.family, Family()), claim)  # type: ignore[attr-defined]
        total += sum(s[1] for u in come for s in u.spend) - sum(s[1] for u in gone for s in u.spend)
    return total


def test_cms_own_example_is_260_and_707(tmp_path: Path) -> None:
    read = facts(list(read_files(submission(tmp_path, C1=PART_A, C5=PART_B))))
    part_a = [item for item in read if isinstance(item.event, InstitutionalClaimReceived)]
    part_b = [item for item in read if isinstance(item.event, ProfessionalClaimReceived)]
    assert (net(part_a), net(part_b), net(read)) == (26_000, 70_700, 96_700)
    assert net(read[::-1]) == 96_700
    assert sum(item.rows for item in read) == 16


def test_a_claim_is_put_together_from_four_files(tmp_path: Path) -> None:
    details = {"CUR_CLM_UNIQ_ID": "7", "BENE_MBI_ID": MBI}
    revenue = record(
        "2", **details, CLM_LINE_NUM="1", CLM_LINE_FROM_DT="2024-08-21", CLM_LINE_HCPCS_CD="J9271",
        CLM_LINE_PROD_REV_CTR_CD="0636", CLM_LINE_SRVC_UNIT_QTY="200.0000",
    )  # fmt: skip
    head = header("7", "2024-08-20", "2024-08-29", "50.00", "0", "2024-09-20", PRNCPL_DGNS_CD="C3490")
    paths = submission(
        tmp_path,
        C1=[head],
        C2=[revenue],
        C3=[record("3", **details, CLM_PRCDR_CD="XW033C3")],
        C4=[record("4", **details, CLM_DGNS_CD=code) for code in ("C3490", "Z5111")],
        CA=[record("A", CUR_CLM_UNIQ_ID="7")],
    )
    (item,) = facts(list(read_files(paths)))
    claim = item.event
    assert isinstance(claim, InstitutionalClaimReceived)
    assert (claim.diagnoses, claim.procedures, claim.paid_cents) == (("C3490", "Z5111"), ("XW033C3",), 5_000)
    assert (claim.lines[0].code, claim.lines[0].revenue_center, claim.lines[0].paid_cents) == ("J9271", "0636", 0)
    assert claim.lines[0].service_on == date(2024, 8, 21)
    assert item.rows == 6
    assert MBI not in f"{claim.family}{item.natural_key}"


def test_a_submission_larger_than_memory_gives_the_same_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = submission(tmp_path, C1=PART_A, C5=PART_B)
    in_memory = facts(list(read_files(paths)))
    monkeypatch.setattr("formats.spill.HELD", 1_000)
    spilled = facts(list(read_files(paths)))
    assert sorted(map(repr, spilled)) == sorted(map(repr, in_memory))


def test_denials_and_days_that_are_none(tmp_path: Path) -> None:
    denied = header("1", "2024-07-01", "2024-07-08", "200.00", "0", "9999-12-31", CLM_MDCR_NPMT_RSN_CD="N")
    lines = [
        physician("11", "1", "10.00", "0", "2024-08-01", CLM_LINE_FROM_DT="1000-01-01"),
        physician("11", "2", "10.00", "0", "2024-08-01", CLM_PRCSG_IND_CD="D"),
        physician("12", "1", "10.00", "0", "2024-08-01", CLM_CARR_PMT_DNL_CD="0"),
    ]
    part_a, first, second = [i.event for i in facts(list(read_files(submission(tmp_path, C1=[denied], C5=lines))))]
    assert part_a.denied  # type: ignore[attr-defined]
    assert part_a.effective_on == date(2024, 7, 8)  # type: ignore[attr-defined]
    assert isinstance(first, ProfessionalClaimReceived)
    assert (first.denied, [line.denied for line in first.lines]) == (False, [False, True])
    assert first.lines[0].service_on == date(2024, 7, 3)
    assert second.denied  # type: ignore[attr-defined]


def test_former_identifiers_become_the_present_one(tmp_path: Path) -> None:
    old, newest = "1AA1AA1AA11", "3CC3CC3CC33"
    chain = [
        record("9", HICN_MBI_XREF_IND="M", CRNT_NUM="2BB2BB2BB22", PRVS_NUM=old, PRVS_ID_EFCTV_DT="2020-01-01"),
        record("9", HICN_MBI_XREF_IND="M", CRNT_NUM=newest, PRVS_NUM="2BB2BB2BB22", PRVS_ID_EFCTV_DT="2022-01-01"),
    ]
    paths = submission(tmp_path, C9=chain, C5=[physician("11", "1", "10.00", "0", "2024-08-01", BENE_MBI_ID=old)])
    read = facts(list(read_files(paths)))
    assert {item.event.person.identifier.value for item in read} == {newest}  # type: ignore[attr-defined]


def test_a_beneficiary_is_described_and_covered_as_far_as_the_file_says(tmp_path: Path) -> None:
    line = record(
        "8", BENE_MBI_ID=MBI, BENE_DOB="1950-02-03", BENE_SEX_CD="2", BENE_DUAL_STUS_CD="02", BENE_MDCR_STUS_CD="11",
        BENE_ENTLMT_BUYIN_IND="3", BENE_PART_A_ENRLMT_BGN_DT="2015-02-01", BENE_PART_B_ENRLMT_BGN_DT="2015-03-01",
        BENE_RNG_BGN_DT="2024-06-01", BENE_RNG_END_DT="9999-12-31", GEO_USPS_STATE_CD="SC", BENE_LAST_NAME="Núñez",
    )  # fmt: skip
    line = line.replace("Núñez".encode() + b"  ", "Núñez".encode())
    described, *spans = facts(list(read_files(submission(tmp_path, C8=[line]))))
    assert isinstance(described.event, MemberDescribed)
    assert (described.event.birth_year, described.event.sex, described.event.state) == (1950, "female", "SC")
    assert described.event.person and described.event.person.family_name == "Núñez"
    found = [
        (s.event.coverage, s.event.code, s.event.from_on, s.event.through_on)
        for s in spans
        if isinstance(s.event, EnrollmentChanged)
    ]
    assert found == [
        ("part_a", None, date(2015, 2, 1), None),
        ("part_b", None, date(2015, 3, 1), None),
        ("hospice", None, date(2024, 6, 1), None),
        ("dual", "02", date(2024, 8, 1), date(2024, 8, 31)),
        ("esrd", None, date(2024, 8, 1), date(2024, 8, 31)),
    ]
    assert (described.rows, sum(s.rows for s in spans)) == (1, 0)


def test_what_is_wrong_is_rejected_at_its_record_and_can_be_read_again(tmp_path: Path) -> None:
    bad = physician("11", "2", "10.00", "0", "2024-08-01", CLM_LINE_CVRD_PD_AMT="Canary")
    lines = [physician("11", "1", "10.00", "0", "2024-08-01"), bad, physician("12", "1", "5.00", "0", "2024-08-01")]
    reject, fact = list(read_files(submission(tmp_path, C5=lines)))
    assert isinstance(reject, Reject)
    assert (reject.code, reject.place.line, reject.place.field) == ("not_money", 2, "CLM_LINE_CVRD_PD_AMT")
    assert (reject.rows, reject.format, reject.head) == (2, "cclf", b"")
    assert "Canary" not in f"{reject}"
    assert isinstance(fact, ReadFact)
    mended = reject.raw.replace(b"Canary", b" 10.00").splitlines(keepends=True)
    (again,) = facts(list(cclf.read(mended, "anything")))
    assert again.rows == 2


def test_a_record_without_its_claim_is_rejected(tmp_path: Path) -> None:
    lonely = record("4", CUR_CLM_UNIQ_ID="99", BENE_MBI_ID=MBI, CLM_DGNS_CD="C3490")
    (reject,) = list(read_files(submission(tmp_path, C4=[lonely])))
    assert isinstance(reject, Reject)
    assert (reject.code, reject.rows) == ("no_claim", 1)


def test_what_the_receipt_promises_and_did_not_come_is_named(tmp_path: Path) -> None:
    receipt = [
        b"File Number  |File Description    |Total Records Count |Record Length\n",
        b"CCLF1  |Part A Claims Header File                  |          2|  437\n",
        b"CCLF5  |Part B Physicians File                     |          9|  388\n",
        b"CCLF7  |Part D File                                |          0|  195\n",
    ]
    paths = submission(tmp_path, C0=receipt, C1=PART_A[:2], C5=PART_B)
    assert [item for item in read_files(paths) if isinstance(item, Reject)] == []
    paths = submission(tmp_path, C0=receipt, C1=PART_A[:1], C5=PART_B)
    (reject,) = [item for item in read_files(paths) if isinstance(item, Reject)]
    assert (reject.code, reject.rows, reject.place.line) == ("receipt", 0, 2)
    assert "should have 2 records and has 1" in reject.reason


def test_an_archive_is_read_as_the_files_in_it(tmp_path: Path) -> None:
    packed = tmp_path / "T.BCD.A0001.ZCY18.D181120.T1000000"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("T.BCD.A0001.ZC1Y18.D181120.T1000009", b"".join(PART_A))
        archive.writestr("readme", b"what is this\n")
    items = list(read_file(packed))
    assert Counter(isinstance(item, Reject) for item in items) == {False: 7, True: 1}


# Samples


def take(paths: list[Path]) -> tuple[list[ReadFact], list[Reject]]:
    items = list(read_files(paths))
    return [i for i in items if isinstance(i, ReadFact)], [i for i in items if isinstance(i, Reject)]


@samples
def test_the_full_random_set_is_taken_in_to_the_cent() -> None:
    paths = sorted((DATA / "jhurrell-random-v38").iterdir())
    rows = sum(1 for path in paths if ".ZC0" not in path.name for _ in path.open("rb"))
    read, rejects = take(paths)
    assert sum(i.rows for i in read) + sum(i.rows for i in rejects) == rows
    assert [r for r in rejects if r.code != "receipt"] == []
    part_a = [i.event for i in read if isinstance(i.event, InstitutionalClaimReceived)]
    assert (len(part_a), sum(c.paid_cents for c in part_a)) == (300, 148_128_256)
    physicians = [
        i.event for i in read if isinstance(i.event, ProfessionalClaimReceived) and i.event.supplier == "physician"
    ]
    lines = [line for claim in physicians for line in claim.lines]
    assert (len({c.claim_id for c in physicians}), len(lines)) == (239, 589)
    assert sum(line.paid_cents for line in lines) == 285_358_047
    assert sum(line.allowed_cents or 0 for line in lines) == 294_308_426
    fills = [i.event for i in read if isinstance(i.event, PharmacyClaimReceived)]
    assert (len(fills), sum(f.member_paid_cents or 0 for f in fills)) == (300, 148_488_764)
    described = {i.natural_key for i in read if i.natural_key.startswith("cclf|described")}
    assert len(described) == 60


@samples
@pytest.mark.parametrize(
    ("cohort", "members"), [("improved/dev", 35), ("improved/small", 90), ("test/dev", 40), ("test/small", 2_490)]
)
def test_cohorts_have_as_many_members_as_stated(cohort: str, members: int) -> None:
    folder = DATA / "bcda-open/files/synthetic" / cohort
    read, rejects = take(sorted(folder.iterdir()))
    assert len({i.natural_key for i in read if i.natural_key.startswith("cclf|described")}) == members
    assert Counter(r.code for r in rejects).keys() <= {"receipt"}
    assert sum(i.rows for i in read) + sum(i.rows for i in rejects) == members + 2


@samples
def test_archives_are_read_or_refused_by_name_without_a_crash() -> None:
    for path in sorted((DATA / "bcda-open/archives").rglob("*")):
        if path.is_file() and path.parent.name != "csv":
            read, rejects = take([path])
            assert read or rejects
