"""Synthea's CSV: members, coverage and money, once, from encounters or from transactions; nothing clinical made up."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
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
from formats import synthea
from formats.detect import check_file, detect, read_files
from formats.reading import Read, ReadFact, Reject
from formats.table import rows

DATA = Path(__file__).parents[3] / "shared" / "data" / "synthea-csv"
samples = pytest.mark.skipif(not DATA.is_dir(), reason="the sample data is not beside the repository")

ENCOUNTERS = "Id,START,STOP,PATIENT,ORGANIZATION,PROVIDER,PAYER,ENCOUNTERCLASS,CODE,TOTAL_CLAIM_COST,PAYER_COVERAGE"
TRANSACTIONS = "ID,CLAIMID,CHARGEID,PATIENTID,TYPE,AMOUNT,METHOD,FROMDATE,UNITS,PAYMENTS"


def read(head: str, *rows: str, beside: bool = False) -> list[Read]:
    lines = [f"{line}\n".encode() for line in (head, *rows)]
    return list(synthea.read(lines, "x.csv", beside_transactions=beside))


def one(head: str, *rows: str) -> Any:
    (found,) = read(head, *rows)
    assert isinstance(found, ReadFact), found
    return found.event


def test_an_encounter_is_a_claim_by_its_class() -> None:
    visit = one(ENCOUNTERS, "e1,2025-02-03T23:30:00Z,2025-02-04T00:10:00Z,p1,o,d,y,ambulatory,1,100.10,80.05")
    assert isinstance(visit, ProfessionalClaimReceived)
    assert (visit.from_on, visit.through_on, visit.lines[0].paid_cents) == (date(2025, 2, 3), date(2025, 2, 4), 8005)
    assert visit.lines[0].charge_cents == 10_010
    assert (visit.lines[0].code, visit.lines[0].allowed_cents, visit.diagnoses) == (None, None, ())
    stay = one(ENCOUNTERS, "e2,2025-02-03T00:00:00Z,2025-02-09T00:00:00Z,p1,o,d,y,inpatient,1,9000,8000")
    assert isinstance(stay, InstitutionalClaimReceived)
    assert (stay.setting, stay.paid_cents, stay.lines[0].paid_cents) == ("inpatient", 800_000, 0)
    assert stay.discharged_on == date(2025, 2, 9)


def test_a_claims_transactions_stand_anywhere_and_only_the_payers_count_as_paid() -> None:
    rows = [
        "1,c1,0,p1,CHARGE,77.49,,2025-02-03T16:17:47Z,1,",
        "2,c2,0,p1,CHARGE,10.00,,2025-02-04T16:17:47Z,1,",
        "3,c1,1,p1,PAYMENT,,COPAY,2025-02-03T16:17:47Z,,60.00",
        "4,c1,2,p1,PAYMENT,,ECHECK,2025-02-03T16:17:47Z,,16.62",
        "5,c1,3,p1,TRANSFEROUT,,,2025-02-03T16:17:47Z,,",
        "6,c1,4,p1,CHARGE,5.00,,2025-02-05T16:17:47Z,1,",
    ]
    first, second = read(TRANSACTIONS, *rows)
    assert isinstance(first, ReadFact)
    assert isinstance(second, ReadFact)
    claim = first.event
    assert isinstance(claim, ProfessionalClaimReceived)
    assert [(ln.line, ln.charge_cents, ln.paid_cents) for ln in claim.lines] == [(1, 7749, 1662), (2, 500, 0)]
    assert (first.rows, second.rows, claim.through_on) == (5, 1, date(2025, 2, 5))


def test_coverage_by_years_and_by_instants() -> None:
    yearly = one("PATIENT,START_YEAR,END_YEAR,PAYER,MEMBERID", "p1,2014,2015,y,m")
    exact = one("PATIENT,MEMBERID,START_DATE,END_DATE,PAYER", "p1,m,2015-07-16T23:05:36Z,2016-07-14T23:05:36Z,y")
    open_ended = one("PATIENT,MEMBERID,START_DATE,END_DATE,PAYER", "p1,m,2015-07-16T23:05:36Z,,y")
    assert (yearly.from_on, yearly.through_on) == (date(2014, 1, 1), date(2015, 12, 31))
    assert (exact.from_on, exact.through_on) == (date(2015, 7, 16), date(2016, 7, 13))
    assert open_ended.through_on is None


def test_where_transactions_have_the_money_encounters_are_refused_by_name() -> None:
    (reject,) = read(
        ENCOUNTERS, "e1,2025-02-03,,p1,o,d,y,ambulatory,1,1,1", "canary,,,p1,o,d,y,ambulatory,1,1,1", beside=True
    )
    assert isinstance(reject, Reject)
    assert (reject.code, reject.rows) == ("not_read", 2)
    assert "claims_transactions" in reject.reason
    assert "canary" not in f"{reject}"


@pytest.mark.parametrize(
    ("row", "code", "field"),
    [
        ("e1,,,p1,o,d,y,ambulatory,1,1,1", "no_date", "START"),
        ("e1,2025-02-30T00:00:00Z,,p1,o,d,y,ambulatory,1,1,1", "not_a_date", "START"),
        ("e1,2025-02-03,,,o,d,y,ambulatory,1,1,1", "no_member_identifier", "PATIENT"),
        ("e1,2025-02-03,,p1,o,d,y,ambulatory,1,canary,1", "not_money", "TOTAL_CLAIM_COST"),
    ],
)
def test_what_is_wrong_is_refused_at_its_column(row: str, code: str, field: str) -> None:
    (reject,) = read(ENCOUNTERS, row)
    assert isinstance(reject, Reject)
    assert (reject.code, reject.place.field) == (code, field)
    assert "canary" not in f"{reject}"


def test_a_table_that_is_gathered_is_probed_by_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "claims_transactions.csv"
    path.write_text("\n".join([TRANSACTIONS, *(f"{n},c{n},0,p1,CHARGE,1.00,,2025-02-03,1," for n in range(5_000))]))
    seen = 0

    def counted(*given: Any) -> Iterator[Any]:
        nonlocal seen
        for row in rows(*given):
            seen += 1
            yield row

    monkeypatch.setattr("formats.grouping.rows", counted)
    check_file(path)
    assert 0 < seen < 200


# Samples


def taken(folder: str) -> tuple[list[Any], list[Reject], int]:
    items = list(read_files(sorted((DATA / folder).iterdir())))
    facts = [i.event for i in items if isinstance(i, ReadFact)]
    return facts, [i for i in items if isinstance(i, Reject)], sum(i.rows for i in items)


def lines_in(folder: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
    for path in sorted((DATA / folder).iterdir()):
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
        yield path.name.split(".")[0], list(csv.DictReader(text.splitlines()))


@samples
def test_every_file_is_told_by_its_header() -> None:
    for path in DATA.rglob("*.csv*"):
        raw = path.read_bytes()
        head = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).splitlines(keepends=True)[:1]
        assert detect(head, path.name) == "synthea"
        assert synthea.kind_of(head[0].decode().strip().split(",")) == path.name.split(".")[0]


@samples
def test_the_breast_cohort_has_its_stated_members_and_money() -> None:
    facts, rejects, read_rows = taken("rsk170-breast-cohort")
    tables = dict(lines_in("rsk170-breast-cohort"))
    assert read_rows == sum(map(len, tables.values()))
    assert {r.code for r in rejects} == {"not_read"}
    counts = Counter(type(e) for e in facts)
    visits = [e for e in facts if isinstance(e, ProfessionalClaimReceived | InstitutionalClaimReceived)]
    assert (counts[MemberDescribed], len(visits), counts[PharmacyClaimReceived]) == (16, 2_293, 1_774)
    assert sum(1 for e in facts if isinstance(e, MemberDescribed) and e.died_on) == 6
    assert sum(line.charge_cents or 0 for e in visits for line in e.lines) == 379_573_372
    paid = sum(
        e.paid_cents if isinstance(e, InstitutionalClaimReceived) else sum(ln.paid_cents for ln in e.lines)
        for e in visits
    )
    assert paid == 264_620_688
    total = sum((Decimal(m["TOTALCOST"]) for m in tables["medications"]), Decimal(0))
    assert sum(e.total_cost_cents or 0 for e in facts if isinstance(e, PharmacyClaimReceived)) == int(total * 100)


@samples
def test_the_older_export_has_its_stated_claims_and_charges() -> None:
    facts, rejects, read_rows = taken("dbt-synthea-open")
    tables = dict(lines_in("dbt-synthea-open"))
    assert read_rows == sum(map(len, tables.values()))
    assert {r.code for r in rejects} == {"not_read"}
    claims = [e for e in facts if isinstance(e, ProfessionalClaimReceived)]
    charges = [line for claim in claims for line in claim.lines]
    assert (len(claims), len(charges), sum(c.charge_cents or 0 for c in charges)) == (1_267, 1_545, 109_240_273)
    checks = [Decimal(t["PAYMENTS"]) for t in tables["claims_transactions"] if t["METHOD"] == "ECHECK"]
    assert sum(c.paid_cents for c in charges) == int(sum(checks, Decimal(0)) * 100)
    assert len({e.person.identifier.value for e in facts if e.person}) == 27
    assert sum(1 for e in facts if isinstance(e, EnrollmentChanged)) == len(tables["payer_transitions"])
