"""Our table of answers: rows of one response together, on the instrument's scale, amended by id."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from contracts.events import EproResponseReceived
from contracts.instruments import score
from contracts.instruments.alerts import alerts_of
from formats import epro_csv
from formats.detect import read_file
from formats.reading import Read, ReadFact, Reject
from formats.table import UnknownLayout

HEAD = "response_id,member_id,instrument,instrument_version,collected_on,status,kind,item,value,comment\n"


def read(*rows: str, head: str = HEAD) -> list[Read]:
    return list(epro_csv.read([line.encode() + b"\n" for line in (head.strip(), *rows)], "epro.csv"))


def facts(*rows: str) -> list[EproResponseReceived]:
    events = [i.event for i in read(*rows) if isinstance(i, ReadFact)]
    found = [event for event in events if isinstance(event, EproResponseReceived)]
    assert len(found) == len(events)
    return found


def test_the_rows_of_a_response_are_one_fact_and_count_as_they_are() -> None:
    rows = [f"r1,canary-1,PHQ-9,1,2025-03-03,,,{n},{a}," for n, a in enumerate((2, 2, 2, 2, 1, 1, 2, 0, 0), 1)]
    rows += ["r1,,,,,,score,44261-6,12,", "r2,canary-1,PRO-CTCAE,1.0,2025-03-04,,,pain-severity,3,Canary words"]
    one, two = read(*rows)
    assert isinstance(one, ReadFact)
    assert isinstance(two, ReadFact)
    assert (one.rows, two.rows, one.place.line, two.place.line) == (10, 1, 2, 12)
    first, second = facts(*rows)
    assert (first.instrument, first.items[2].code, first.items[2].code_system) == ("phq-9", "44259-0", "LOINC")
    assert [(s.name, int(s.value), s.band) for s in score(first).scores] == [("phq9_total", 12, "moderate")]
    assert (second.comment, second.items[0].code_system) == ("Canary words", "PRO-CTCAE")
    assert [a.finding.level for a in alerts_of([(second, 1)])] == ["RED"]


def test_coded_answers_and_missing_ones() -> None:
    (found,) = facts("r1,m1,PHQ-9,1,2025-03-03,,,44250-9,LA6570-1,", "r1,m1,PHQ-9,1,2025-03-03,,,44255-8,,")
    assert [i.value for i in found.items] == [Decimal(2), None]


def test_an_amendment_and_a_withdrawal_come_again_with_their_id() -> None:
    rows = [
        "r1,m1,PRO-CTCAE,1.0,2025-03-03,completed,,pain-severity,3,",
        "r1,m1,PRO-CTCAE,1.0,2025-03-03,amended,,pain-severity,1,",
        "r1,m1,PRO-CTCAE,1.0,2025-03-03,entered_in_error,,,,",
    ]
    found = facts(*rows)
    assert [(f.status, len(f.items)) for f in found] == [("completed", 1), ("amended", 1), ("entered_in_error", 0)]
    keys = [i.natural_key for i in read(*rows) if isinstance(i, ReadFact)]
    assert len(set(keys)) == 3


BAD = {
    "unknown answer": (["r1,m1,PHQ-9,1,2025-03-03,,,1,canary,"], "unknown_answer", "value"),
    "out of scale": (["r1,m1,PHQ-9,1,2025-03-03,,,1,4,"], "out_of_scale", "value"),
    "no such day": (["r1,m1,PHQ-9,1,2025-02-30,,,1,1,"], "not_a_date", "collected_on"),
    "no member": (["r1,,PHQ-9,1,2025-03-03,,,1,1,"], "no_member_identifier", "member_id"),
    "no id": ([",m1,PHQ-9,1,2025-03-03,,,1,1,"], "schema", "response_id"),
    "two members": (["r1,m1,PHQ-9,1,2025-03-03,,,1,1,", "r1,m2,PHQ-9,1,2025-03-03,,,2,1,"], "schema", "member_id"),
    "a kind that is none": (["r1,m1,PHQ-9,1,2025-03-03,,total,1,1,"], "schema", "kind"),
    "a status that is none": (["r1,m1,PHQ-9,1,2025-03-03,done,,1,1,"], "schema", "/status"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_refused_as_a_whole_and_the_next_is_read(case: str) -> None:
    rows, code, field = BAD[case]
    reject, fact = read(*rows, "r9,m9,PHQ-9,1,2025-03-03,,,1,1,")
    assert isinstance(fact, ReadFact)
    assert isinstance(reject, Reject)
    assert (reject.code, reject.place.field, reject.rows) == (code, field, len(rows))
    assert "canary" not in f"{reject}"


def test_a_response_without_end_is_refused_row_by_row() -> None:
    items = read(*["r1,m1,PHQ-9,1,2025-03-03,,,1,1,"] * (epro_csv.MOST_ROWS + 50), "r2,m1,PHQ-9,1,2025-03-03,,,1,1,")
    assert sum(i.rows for i in items) == epro_csv.MOST_ROWS + 51
    assert {i.code for i in items if isinstance(i, Reject)} == {"too_many_rows"}
    assert len([i for i in items if isinstance(i, ReadFact)]) == 1


def test_a_column_that_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(UnknownLayout, match="diagnosis"):
        read(head="response_id,member_id,instrument,collected_on,item,value,diagnosis")


def test_it_is_told_by_its_header_and_rejects_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.txt"
    path.write_text(HEAD + "r1,m1,PHQ-9,1,2025-03-03,,,1,4,\n")
    (reject,) = read_file(path)
    assert isinstance(reject, Reject)
    again = reject.head + reject.raw.replace(b",1,4,", b",1,3,")
    assert reject.format == "epro"
    assert [type(i) for i in epro_csv.read(again.splitlines(keepends=True), "again")] == [ReadFact]
