"""Mappings: checked against the catalogue before a row is read, declared and not computed, with clear refusals."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.events import HoursWorked, ProfessionalClaimReceived, WorkScheduleSet
from formats import mapping
from formats.detect import READERS, check_file, read_file, read_files
from formats.mapping_file import BadMapping, Mapping
from formats.reading import Read, ReadFact, Reject
from formats.table import UnknownLayout

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
EXAMPLES = ROOT / "docs" / "examples"

HOURS: dict[str, Any] = {
    "name": "acme",
    "event": [
        {
            "type": "HoursWorked",
            "when": [{"column": "KIND", "in": ["H"]}],
            "person": {"identifier": {"kind": "employee_id", "column": "EMP"}},
            "fields": {
                "record_id": "REC",
                "worked_on": {"column": "DAY", "date": "%d.%m.%Y"},
                "hours": {"column": "MINUTES", "divide_by": "60"},
                "pay_code": {"column": "CODE", "values": {"1": "worked"}, "otherwise": "leave"},
            },
        },
        {
            "type": "WorkScheduleSet",
            "when": [{"column": "KIND", "in": ["S"]}],
            "id": ["REC"],
            "person": {"identifier": {"kind": "employee_id", "column": "EMP"}},
            "fields": {"record_id": "REC", "from_on": "DAY", "weekly_hours": "MINUTES"},
        },
    ],
}
HEAD = "KIND,EMP,REC,DAY,MINUTES,CODE"


def changed(**fields: Any) -> dict[str, Any]:
    made = json.loads(json.dumps(HOURS))
    made["event"][0]["fields"] |= fields
    return dict(made)


def read(spec: dict[str, Any], *rows: str, head: str = HEAD) -> list[Read]:
    return list(
        mapping.read_by(Mapping.load(spec, "map.toml"), [f"{line}\n".encode() for line in (head, *rows)], "t.csv")
    )


def test_rows_become_the_events_that_they_are_of() -> None:
    hours, schedule, other = read(
        HOURS, "H,E1,R1,03.02.2025,450,1", "S,E1,R2,2025-02-03,40,", "X,E1,R3,03.02.2025,0,canary"
    )
    assert isinstance(hours, ReadFact)
    assert isinstance(schedule, ReadFact)
    assert isinstance(hours.event, HoursWorked)
    assert isinstance(schedule.event, WorkScheduleSet)
    assert (hours.event.hours, hours.event.worked_on.isoformat(), hours.event.pay_code) == (
        Decimal("7.5"), "2025-02-03", "worked",
    )  # fmt: skip
    assert (hours.source, hours.producer_id, schedule.producer_id, schedule.rows) == ("acme", None, "R2", 1)
    assert isinstance(other, Reject)
    assert (other.code, other.place.line, other.rows) == ("unmapped", 4, 1)
    assert "canary" not in f"{other}"


@pytest.mark.parametrize(
    ("row", "code", "field"),
    [
        ("H,E1,R1,2025-02-03,450,1", "not_a_date", "DAY"),
        ("H,E1,R1,30.02.2025,450,1", "not_a_date", "DAY"),
        ("H,E1,R1,03.02.2025,canary,1", "schema", "MINUTES"),
        ("H,E1,R1,03.02.2025,NaN,1", "schema", "MINUTES"),
        ("H,E1,R 1,03.02.2025,60,1", "schema", "REC"),
        ("H,E1,,03.02.2025,60,1", "schema", "REC"),
        ("H,,R1,03.02.2025,60,1", "no_member_identifier", "person.identifier"),
        ("S,E1,R1,,40,", "schema", "DAY"),
    ],
)
def test_what_is_wrong_is_refused_by_file_row_and_column(row: str, code: str, field: str) -> None:
    (reject,) = read(HOURS, row)
    assert isinstance(reject, Reject)
    assert (reject.code, reject.place.file, reject.place.line, reject.place.field) == (code, "t.csv", 2, field)
    assert reject.remedy
    assert "canary" not in f"{reject}"


def test_a_value_that_the_mapping_does_not_have_is_refused() -> None:
    (reject,) = read(changed(pay_code={"column": "CODE", "values": {"1": "worked"}}), "H,E1,R1,03.02.2025,60,7")
    assert isinstance(reject, Reject)
    assert (reject.code, reject.place.field) == ("unmapped", "CODE")


WRONG: list[tuple[dict[str, Any], str]] = [
    (HOURS | {"nme": 1}, r"map.toml: nme: "),
    (HOURS | {"name": "Acme Claims"}, r"map.toml: name: "),
    (HOURS | {"event": []}, r"map.toml: event: "),
    (changed(hourz="MINUTES"), r"event\[0\].fields.hourz: HoursWorked has no such field; it has .*hours"),
    (changed(hours={"column": "MINUTES", "value": "1"}), r"event\[0\].fields.hours: say one of column"),
    (changed(hours={"column": "MINUTES", "divide_by": "0"}), r"divide_by is 0"),
    (changed(pay_code={"column": "CODE", "otherwise": "leave"}), r"otherwise goes with values"),
    (changed(hours={"column": "MINUTES", "date": "%Y"}), r"date is for a field that is a day"),
    (changed(record_id={"column": "REC", "split": ";"}), r"split is for a list of texts"),
    (changed(record_id={"ordinal": True}), r"ordinal is the place in a list"),
    ({"name": "a", "event": [{"type": "Nothing"}]}, r"event\[0\].type: no event of the catalogue"),
    ({"name": "a", "event": [{"type": "HoursWorked"}]}, r"event\[0\].person: "),
    (
        {"name": "a", "event": [HOURS["event"][1] | {"fields": {"record_id": "REC"}}]},
        r"event\[0\].fields: WorkScheduleSet needs from_on, weekly_hours",
    ),
    (HOURS | {"encoding": "utf-16"}, r"encoding"),
]


@pytest.mark.parametrize(("spec", "words"), WRONG)
def test_a_wrong_mapping_is_refused_with_its_place(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(BadMapping, match=words):
        Mapping.load(spec, "map.toml")


def test_money_must_say_what_it_is() -> None:
    spec: dict[str, Any] = {
        "name": "a",
        "event": [
            {
                "type": "PharmacyClaimReceived",
                "person": {"identifier": {"kind": "member_id", "column": "M"}},
                "fields": {
                    "claim_id": "C", "family": "C", "effective_on": "D", "filled_on": "D", "paid_cents": "P",
                    "denied": "X", "days_supply": "S",
                },
            }
        ],
    }  # fmt: skip
    with pytest.raises(BadMapping, match=r"event\[0\].fields.paid_cents: say money"):
        Mapping.load(spec, "map.toml")
    (event,) = spec["event"]
    fields: dict[str, Any] = event["fields"]
    for money, sent, kept in (("dollars", "12.50", 1250), ("cents", "1250", 1250)):
        fields["paid_cents"] = {"column": "P", "money": money}
        (fact,) = read(spec, f"m,c,2025-02-03,{sent},N,30", head="M,C,D,P,X,S")
        assert isinstance(fact, ReadFact)
        assert getattr(fact.event, "paid_cents") == kept  # noqa: B009 - of whichever event it is


def test_a_column_that_is_not_there_is_named_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("KIND,EMP\nH,E1\n")
    with pytest.raises(UnknownLayout, match=r"t\.csv: the table lacks columns that the mapping reads: CODE, DAY, MIN"):
        check_file(path, by=Mapping.load(HOURS, "map.toml"))


def test_a_column_that_is_there_twice_is_refused_and_rows_may_be_marked_as_part_2() -> None:
    with pytest.raises(UnknownLayout, match="a column twice that the mapping reads: EMP"):
        read(HOURS, head=HEAD.replace("REC", "EMP"))
    spec = json.loads(json.dumps(HOURS))
    spec["event"][0]["part2"] = [{"column": "CODE", "in": ["9"]}]
    marked = read(spec, "H,E1,R1,03.02.2025,60,9", "H,E1,R2,03.02.2025,60,1")
    assert [i.part2 for i in marked if isinstance(i, ReadFact)] == [True, False]


@pytest.mark.parametrize("suffix", [".toml", ".yaml", ".json"])
def test_a_mapping_is_toml_yaml_or_json(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"map{suffix}"
    path.write_text("name = [" if suffix == ".toml" else "{name: [")
    with pytest.raises(BadMapping, match=rf"map\{suffix}: "):
        mapping.load(path)
    if suffix == ".toml":
        path.write_text((EXAMPLES / "claims.toml").read_text())
    else:
        path.write_text(json.dumps(HOURS) if suffix == ".json" else yaml.safe_dump(HOURS))
    assert mapping.load(path).event


def test_rejects_keep_their_mapping_and_can_be_read_again() -> None:
    (reject,) = read(HOURS | {"encoding": "cp1252", "skip_lines": 1}, HEAD, "H,E1,R1,03.02.2025,6o,1", head="a title")
    assert isinstance(reject, Reject)
    assert reject.place.line == 3
    again = (reject.head + reject.raw.replace(b"6o", b"60")).splitlines(keepends=True)
    (fact,) = READERS["mapped"](again, "again.csv")
    assert isinstance(fact, ReadFact)
    assert fact.natural_key == "mapped|HoursWorked"


def test_a_byte_that_the_encoding_does_not_have_is_no_text() -> None:
    spec = Mapping.load(HOURS | {"encoding": "cp1252"}, "map.toml")
    lines = [HEAD.encode() + b"\n", b"H,E\x811,R1,03.02.2025,60,1\n", b"H,E\xe91,R1,03.02.2025,60,1\n"]
    first, second = mapping.read_by(spec, lines, "t.csv")
    assert isinstance(first, Reject)
    assert first.code == "unreadable"
    assert isinstance(second, Reject), "an identifier has printable ASCII only"


CLAIMS = (
    "CLAIM,VERSION,CONTROL NO,MEMBER,LAST NAME,BORN,TYPE,REPLACES,PROCESSED,FROM,THROUGH,TAX ID,DX,SERVICE,HCPCS,NDC,"
    "LINE DX,UNITS,CHARGE,ALLOWED,PAID,POS\n"
    "c1,1,f1,m1,Müller,02/03/1950,O,,03/01/2025,02/05/2025,02/05/2025,20-4299999,C50.911|Z51.11,02/05/2025,j9271,"
    '0006-3026-02,C50.911,200,"$1,200.00",982.91,786.33,11\n'
    "c1,1,f1,m1,Müller,02/03/1950,O,,03/01/2025,02/05/2025,02/05/2025,20-4299999,C50.911|Z51.11,02/05/2025,96413,,"
    "C50.911,1,300,150,120,11\n"
    "c1,2,f1,m1,Müller,02/03/1950,V,c1,03/09/2025,02/05/2025,02/05/2025,20-4299999,C50.911|Z51.11,02/05/2025,96413,,"
    "C50.911,1,300,150,120,11\n"
)


def test_lines_of_a_claim_follow_one_another(tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    path.write_bytes(CLAIMS.encode("cp1252"))
    by = mapping.load(EXAMPLES / "claims.toml")
    one, two = read_files([path], by=by)
    assert isinstance(one, ReadFact)
    assert isinstance(two, ReadFact)
    claim = one.event
    assert isinstance(claim, ProfessionalClaimReceived)
    assert (one.rows, one.producer_id, two.producer_id) == (2, "c1|1", "c1|2")
    assert (claim.action, claim.billing_tin, claim.diagnoses) == ("original", "204299999", ("C50911", "Z5111"))
    assert [(ln.line, ln.code, ln.ndc, ln.paid_cents, ln.charge_cents) for ln in claim.lines] == [
        (1, "J9271", "00006302602"[-11:], 78633, 120_000), (2, "96413", None, 12_000, 30_000),
    ]  # fmt: skip
    assert claim.person is not None
    assert claim.person.family_name == "Müller"


def test_rows_of_one_record_must_agree() -> None:
    by = mapping.load(EXAMPLES / "claims.toml")
    lines = CLAIMS.replace("m1,Müller", "m9,Müller", 1).encode("cp1252").splitlines(keepends=True)
    reject, fact = mapping.read_by(by, lines, "claims.csv")
    assert isinstance(reject, Reject)
    assert (reject.rows, reject.place.field) == (2, "MEMBER")
    assert isinstance(fact, ReadFact)


@pytest.mark.skipif(not DATA.is_dir(), reason="the sample data is not beside the repository")
def test_absence_from_work_is_read_by_the_mapping_of_the_documentation() -> None:
    path = next(DATA.glob("rtw/uci-absenteeism/*.csv"))
    with pytest.raises(UnknownLayout, match="--mapping"):
        next(read_file(path))
    items = list(read_files([path], by=mapping.load(EXAMPLES / "uci-absenteeism.toml")))
    facts = [i.event for i in items if isinstance(i, ReadFact)]
    rejects = [i for i in items if isinstance(i, Reject)]
    hours = [e for e in facts if isinstance(e, HoursWorked)]
    assert (sum(i.rows for i in items), len(hours), len(rejects)) == (740, 737, 3)
    assert {(r.code, r.place.field) for r in rejects} == {("not_a_date", "Month of absence")}
    stated = sum(int(r.raw.decode().strip().rsplit(";", 1)[1]) for r in rejects)
    assert sum(e.hours for e in hours) + stated == 5124
    assert (
        len({e.person.identifier.value for e in hours if e.person} | {r.raw.split(b";")[0].decode() for r in rejects})
        == 36
    )
    assert sum(1 for e in hours if e.hours == 0) + sum(1 for r in rejects if r.raw.rstrip().endswith(b";0")) == 44
