"""Bytes of every kind become facts or rejects: what hypothesis makes, and in the long run atheris."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import cms_bytes, cursor_bytes, json_bytes, table_bytes

ROOT = Path(__file__).parents[2]
CELLS = st.sampled_from([
    "", "r1", "m1", "PHQ-9", "PRO-CTCAE", "WPAI", "1", "9", "-1", "7.5", "2025-03-03", "20250303", "2025-02-30",
    "03/04/25",
    "amended", "closed", "STD", "REG", "full", "CHARGE", "PAYMENT", "ECHECK", "score", "pain-severity", "44260-8",
    "LA6570-1", "C50.911|Z51", "$1,200.00", "1e999", "NaN", "x" * 70, '"', '""', '"a,b"', "\x00", "é", "ambulatory",
])  # fmt: skip
ROWS = st.lists(st.lists(CELLS, min_size=1, max_size=11).map(",".join), max_size=6).map("\n".join)


def _json(depth: int = 3) -> st.SearchStrategy[str]:
    keys = st.sampled_from([
        "resourceType", "id", "status", "subject", "reference", "item", "answer", "linkId", "valueCoding", "code",
        "valueString", "valueQuantity", "value", "authored", "questionnaire", "entry", "resource", "specversion",
        "data",
        "total", "extension", "url", "coding", "system", "type", "billablePeriod", "start",
    ])  # fmt: skip
    leaves = st.sampled_from([
        '"QuestionnaireResponse"', '"Observation"', '"Claim"', '"Bundle"', '"completed"', '"Patient/1"', '"2025-03-03"',
        '"/44260-8"', '"LA6570-1"', '"44261-6"', "1", "-0.5", "1e999", "null", "true", '"http://loinc.org"',
        '"\\u0000"',
        '"1.0"', '"active"', "[]", "{}", '"proctcae-severity-3"', '"http://loinc.org/q/44249-1"', "NaN",
    ])  # fmt: skip
    if depth == 0:
        return leaves
    inner = st.one_of(leaves, _json(depth - 1))
    pairs = st.lists(st.tuples(keys, inner), max_size=6)
    objects = pairs.map(lambda found: "{" + ",".join(f'"{key}":{value}' for key, value in found) + "}")
    return st.one_of(objects, st.lists(inner, max_size=3).map(lambda found: "[" + ",".join(found) + "]"))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([0, 1, 2, 128, 129]), st.lists(st.binary(max_size=60), max_size=5))
def test_records_of_any_bytes_become_facts_or_rejects(file: int, lines: list[bytes]) -> None:
    cms_bytes.holds(bytes([file]) + b"\n".join(lines))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=120))
def test_no_cursor_opens_but_one_that_was_given(sent: bytes) -> None:
    cursor_bytes.holds(sent)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 255), ROWS)
def test_rows_of_any_cells_become_facts_or_rejects(table: int, rows: str) -> None:
    table_bytes.holds(bytes([table]) + rows.encode())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 127), st.binary(max_size=200))
def test_any_bytes_under_a_header_become_facts_or_rejects(table: int, rows: bytes) -> None:
    table_bytes.holds(bytes([table]) + rows)


@settings(max_examples=120, deadline=None)
@given(_json())
def test_any_json_becomes_facts_or_rejects(text: str) -> None:
    json_bytes.holds(text.encode())


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["table_bytes", "json_bytes", "cms_bytes", "cursor_bytes"])
def test_nothing_else_is_found_in_some_minutes(name: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", f"tests.fuzz.{name}", "180", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
