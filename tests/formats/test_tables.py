"""Tables: cells are exact, rows are whole, and what is neither says where and why."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from formats import cells
from formats.cells import BadCell
from formats.detect import lines_of, read_file
from formats.icd9 import to_icd10, translated
from formats.reading import Reject
from formats.table import UnknownLayout, rows


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("12.50", 1250), ("0.00", 0), ("-99.55", -9955), ("7", 700), ("", None), ("120.000", 12000),
        ("1018.0999999999999", 101810),
    ],
)  # fmt: skip
def test_dollars_are_exact_cents(text: str, amount: int | None) -> None:
    assert cells.cents({"a": text}, "a") == amount


@pytest.mark.parametrize("text", ["12.345", "1e3", "12,50", "NaN", "$5", "1" * 30])
def test_what_is_not_money_is_refused_without_its_value(text: str) -> None:
    with pytest.raises(BadCell) as refused:
        cells.cents({"a": text}, "a")
    assert refused.value.code == "not_money"
    assert text not in str(refused.value)


@pytest.mark.parametrize("text", ["20230229", "2023-13-01", "230101", "tomorrow"])
def test_what_is_not_a_date_is_refused(text: str) -> None:
    with pytest.raises(BadCell) as refused:
        cells.day({"a": text}, "a")
    assert refused.value.code == "not_a_date"


def test_counts_keep_four_decimals() -> None:
    assert cells.number({"a": "30.000"}, "a") == Decimal(30)
    assert cells.number({"a": "2.5"}, "a") == Decimal("2.5")


def test_a_quoted_cell_may_hold_commas_and_line_ends() -> None:
    found = list(rows(iter([b'1,"a,b"\r\n', b'2,"x\r\n', b'y"\r\n', b"3,c\n"]), "f.csv", ["n", "t"]))
    assert [(f[0], f[1]["t"]) for f in found if not isinstance(f, Reject)] == [(2, "a,b"), (3, "x\r\ny"), (5, "c")]


def test_rows_of_another_length_and_of_no_text_are_rejected_and_the_rest_is_read() -> None:
    found = list(rows(iter([b"1\n", b"2,b\n", b"3,\xff\n", b'4,"open\n', b"5,c\n"]), "f.csv", ["n", "t"]))
    assert [isinstance(f, Reject) for f in found] == [True, False, True, True]
    assert [f.place.line for f in found if isinstance(f, Reject)] == [2, 4, 5]


def test_icd9_goes_to_the_family_of_the_longest_prefix() -> None:
    assert to_icd10("1749") == "C509"
    assert to_icd10("20280") == "C859"
    assert to_icd10("2041") == "C911"
    assert to_icd10("1890") == "C64"
    assert to_icd10("185") == "C61"
    assert to_icd10("4019") is None
    assert to_icd10("OTHER") is None


def test_the_encounter_for_chemotherapy_counts_as_principal_only() -> None:
    assert translated(["V5811", "1749"]) == ("Z5111", "C509")
    assert translated(["4019", "V5811", "1749"]) == ("C509",)


def test_of_an_endless_line_only_so_much_is_held(tmp_path: Path) -> None:
    path = tmp_path / "long.ndjson"
    path.write_bytes(b"{" + b"x" * 3_000_000 + b"\n{}\n")
    with path.open("rb") as stream:
        lines = list(lines_of(stream))
    assert [len(line) for line in lines] == [512_002, 3]


def test_a_format_that_cannot_be_told_names_what_was_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "what.txt"
    path.write_text("a;b;c\n1;2;3\n")
    with pytest.raises(UnknownLayout, match=r"what\.txt.*ndjson.*desynpuf.*tuva"):
        next(read_file(path))


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "none.ndjson"
    path.write_bytes(b"\n\n")
    assert list(read_file(path)) == []


def test_a_gzip_file_that_breaks_off_is_a_reject_at_its_end(tmp_path: Path) -> None:
    import gzip
    import random

    noise = random.Random(1).randbytes(20_000).hex().encode()
    whole = gzip.compress(b'{"specversion":"1.0"}\n' * 200 + noise)
    path = tmp_path / "cut.ndjson.gz"
    path.write_bytes(whole[: len(whole) // 2])
    *_, last = read_file(path)
    assert isinstance(last, Reject)
    assert last.code == "unreadable"
    assert "gzip" in last.reason


def test_a_gzip_file_that_grows_a_thousandfold_is_given_up(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "bomb.ndjson.gz"
    with gzip.open(path, "wb", 9) as packed:
        packed.write(b'{"specversion":"1.0"}\n')
        for _ in range(60):
            packed.write(b" " * 500_000 + b"\n")
    *_, last = read_file(path)
    assert isinstance(last, Reject)
    assert (last.code, last.place.file) == ("too_large", "bomb.ndjson.gz")
    assert last.place.line < 30


def test_a_bad_first_line_hides_no_events(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b'garbage\n{"specversion":"1.0","source":"x","type":"carepact.Nothing.v1","data":{}}\n')
    assert [r.code for r in read_file(path) if isinstance(r, Reject)] == ["unreadable", "unknown_type"]


def test_a_column_that_is_not_there_is_an_empty_one() -> None:
    assert cells.day({}, "paid_date") is None
    assert cells.text({}, "state") is None
