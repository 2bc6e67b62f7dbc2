"""The samples beside the repository, read in whole: every row accounted for, every stated sum met to the cent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from contracts.events import EnrollmentChanged, MemberDescribed, ProfessionalClaimReceived
from contracts.events.claims import Claim, InstitutionalClaimReceived, PharmacyClaimReceived
from formats import desynpuf
from formats.detect import read_file
from formats.reading import ReadFact, Reject

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the sample data is not beside the repository")


@dataclass
class Taken:
    facts: list[ReadFact] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(f.rows for f in self.facts) + sum(r.rows for r in self.rejects)

    def of(self, kind: type[Any]) -> list[Any]:
        return [f.event for f in self.facts if isinstance(f.event, kind)]


@cache
def take(pattern: str) -> Taken:
    taken = Taken()
    paths = sorted(DATA.glob(pattern))
    assert paths, pattern
    for path in paths:
        for item in read_file(path):
            (taken.facts if isinstance(item, ReadFact) else taken.rejects).append(item)  # type: ignore[arg-type]
    return taken


@pytest.mark.parametrize(("year", "members"), [(2008, 254), (2009, 251), (2010, 247)])
def test_desynpuf_beneficiaries(year: int, members: int) -> None:
    taken = take(f"desynpuf/DE1_0_{year}_Beneficiary*")
    assert (taken.rows, taken.rejects) == (members, [])
    assert len(taken.of(MemberDescribed)) == members
    spans = taken.of(EnrollmentChanged)
    assert all(s.from_on.year == s.through_on.year == year for s in spans)
    assert all((s.reason is None) == ((s.through_on - s.from_on).days >= 364) for s in spans)


def test_desynpuf_carrier_claims() -> None:
    taken = take("desynpuf/*Carrier*")
    claims = taken.of(ProfessionalClaimReceived)
    lines = [line for claim in claims for line in claim.lines]
    assert (taken.rows, len(claims), taken.rejects) == (10_629, 10_629, [])
    assert len({c.person.identifier.value for c in claims}) == 215
    assert sum(1 for line in lines if line.code) == 20_222
    assert sum(line.paid_cents for line in lines) == 95_917_000
    cancer = [c for c in claims if any("140" <= d[:3] <= "208" for d in c.source_diagnoses)]
    assert len(cancer) <= 422
    assert all(c.code_mapping == "icd9-cancer/1" for c in claims)
    assert all(line.place_of_service is None for line in lines)


def test_desynpuf_drug_lines_are_all_there() -> None:
    claims = [*take("desynpuf/*Carrier*").of(Claim), *take("desynpuf/*Outpatient*").of(Claim)]
    drugs = [(c.person.identifier.value, ln.code) for c in claims for ln in c.lines if (ln.code or "").startswith("J9")]
    codes = Counter(code for _, code in drugs)
    assert (len(drugs), codes["J9035"], codes["J9310"], len({who for who, _ in drugs})) == (58, 11, 7, 39)


def test_desynpuf_drugs_and_cancers_meet_on_the_claims_of_eight_members() -> None:
    """What the contract needs of a carrier claim: an undenied drug line that was allowed, and a cancer on a line."""
    names = (Path(desynpuf.__file__).parents[1] / "contracts/value_sets/initiating_therapies_hcpcs.csv").read_text()
    drugs = {line.split(",")[0] for line in names.splitlines()[1:]}
    members = {
        claim.person.identifier.value
        for claim in take("desynpuf/*Carrier*").of(ProfessionalClaimReceived)
        if any(ln.code in drugs and (ln.allowed_cents or 0) > 0 and not ln.denied for ln in claim.lines)
        and any(
            d.startswith(("C50", "C34", "C18", "C19", "C20", "C8", "C90")) for ln in claim.lines for d in ln.diagnoses
        )
    }
    assert len(members) == 8


def test_desynpuf_inpatient_claims() -> None:
    taken = take("desynpuf/*Inpatient*")
    claims = taken.of(InstitutionalClaimReceived)
    assert (taken.rows, len(claims), taken.rejects) == (139, 139, [])
    assert sum(c.paid_cents for c in claims) == 115_770_000


def test_desynpuf_outpatient_claims_and_the_segments_without_dates() -> None:
    taken = take("desynpuf/*Outpatient*")
    claims = taken.of(InstitutionalClaimReceived)
    assert taken.rows == 1_697
    assert Counter((r.code, r.place.field) for r in taken.rejects) == {("no_date", "SEGMENT"): 40}
    assert sum(c.paid_cents for c in claims) == 48_747_000
    assert sum(1 for c in claims if c.paid_cents < 0) == 5


def test_desynpuf_drug_events() -> None:
    taken = take("desynpuf/*Prescription*")
    events = taken.of(PharmacyClaimReceived)
    assert (taken.rows, len(events), taken.rejects) == (11_282, 11_282, [])
    assert sum(e.total_cost_cents for e in events) == 68_984_000


def test_tuva_eligibility() -> None:
    taken = take("tuva/*/eligibility.csv")
    assert (taken.rows, taken.rejects) == (219, [])
    assert len({s.person.identifier.value for s in taken.of(EnrollmentChanged)}) == 100
    assert sum(1 for s in taken.of(EnrollmentChanged) if s.coverage == "part_a") == 219


def test_tuva_medical_claims() -> None:
    taken = take("tuva/*/medical_claim.csv.gz")
    professional, institutional = taken.of(ProfessionalClaimReceived), taken.of(InstitutionalClaimReceived)
    assert (taken.rows, taken.rejects) == (6_075, [])
    assert len(professional) + len(institutional) == 3_106
    assert len({c.person.identifier.value for c in (*professional, *institutional)}) == 87
    assert sum(line.paid_cents for c in professional for line in c.lines) == 22_723_683
    assert sum(c.paid_cents for c in institutional) == 28_902_462
    assert all(line.paid_cents == 0 for c in institutional for line in c.lines)
    drug = [ln for c in (*professional, *institutional) for ln in c.lines if ln.code == "J9035"]
    assert [ln.service_on for ln in drug] == [date(2018, 7, 6)]


def test_tuva_pharmacy_claims() -> None:
    taken = take("tuva/*/pharmacy_claim.csv")
    fills = taken.of(PharmacyClaimReceived)
    assert (taken.rows, len(fills), taken.rejects) == (612, 612, [])
    assert len({c.person.identifier.value for c in fills}) == 82
    assert sum(c.paid_cents for c in fills) == 18_800_097


def test_a_record_is_named_by_its_content_and_never_by_its_file(tmp_path: Path) -> None:
    path = DATA / "tuva/open-2023/pharmacy_claim.csv"
    renamed = tmp_path / "other-name.csv"
    renamed.write_bytes(path.read_bytes())
    keys = [f.natural_key for f in read_file(path) if isinstance(f, ReadFact)]
    assert keys == [f.natural_key for f in read_file(renamed) if isinstance(f, ReadFact)]
    assert len(set(keys)) == len(keys)


def test_every_claim_says_who_it_is_about() -> None:
    for pattern in ("desynpuf/*Inpatient*", "tuva/*/pharmacy_claim.csv"):
        assert all(c.person is not None for c in take(pattern).of(Claim))


@pytest.mark.parametrize(
    ("months", "born", "died", "span"),
    [
        (12, date(1940, 5, 1), None, (date(2009, 1, 1), date(2009, 12, 31))),
        (9, date(1930, 5, 1), date(2009, 9, 1), (date(2009, 1, 1), date(2009, 9, 30))),
        (4, date(1930, 5, 1), date(2009, 9, 1), (date(2009, 6, 1), date(2009, 9, 30))),
        (12, date(1930, 5, 1), date(2009, 9, 1), (date(2009, 1, 1), date(2009, 12, 31))),
        (5, date(1944, 8, 1), None, (date(2009, 8, 1), date(2009, 12, 31))),
        (2, date(1930, 5, 1), None, (date(2009, 1, 1), date(2009, 2, 28))),
    ],
)
def test_months_of_a_year_become_days_by_the_stated_rule(
    months: int, born: date, died: date | None, span: tuple[date, date]
) -> None:
    assert desynpuf.months_of(2009, months, born, died) == span


def test_a_summary_whose_file_names_no_year_is_rejected_row_by_row() -> None:
    header = (
        "DESYNPUF_ID,BENE_BIRTH_DT,BENE_DEATH_DT,BENE_SEX_IDENT_CD,BENE_ESRD_IND,SP_STATE_CODE,BENE_HI_CVRAGE_TOT_MONS,"
        "BENE_SMI_CVRAGE_TOT_MONS,BENE_HMO_CVRAGE_TOT_MONS,PLAN_CVRG_MOS_NUM\n"
    )
    (item,) = desynpuf.read([header.encode(), b"A1,19400101,,1,0,42,12,12,0,12\n"], "members.csv")
    assert isinstance(item, Reject)
    assert item.code == "no_date"
