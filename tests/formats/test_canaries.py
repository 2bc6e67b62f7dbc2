"""A name put in place of any cell or value, one at a time: no reject and no refusal says it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from formats.detect import READERS
from formats.mapping import head_of
from formats.mapping_file import Mapping
from formats.reading import Reject
from formats.table import UnknownLayout
from tests.formats.test_fhir import R4
from tests.formats.test_leave_files import CLAIM, EMPLOYMENT, HOURS, LEAVE
from tests.formats.test_mapping import CLAIMS, EXAMPLES
from tests.formats.test_questionnaires import item, phq9, survey
from tests.formats.test_synthea import ENCOUNTERS, TRANSACTIONS

CANARY = "Zebrafinch Quetzal"

TABLES: dict[str, tuple[str, bytes, list[str]]] = {
    "answers": ("epro", b"", [
        "response_id,member_id,instrument,instrument_version,collected_on,status,mode,practice,kind,item,value",
        "r1,m1,PHQ-9,1,2025-03-03,completed,patient,12-3,item,1,1",
        "r1,m1,PHQ-9,1,2025-03-03,completed,patient,12-3,score,44261-6,1",
    ]),
    "hours": ("leave", b"", [HOURS, "E1,T1,2025-03-03,8,REG"]),
    "employment": ("leave", b"", [EMPLOYMENT, "E1,M1,R1,1,active,2025-03-03,40,,heavy"]),
    "leave": ("leave", b"", [
        LEAVE, "E1,L1,1,closed,fmla,continuous,2025-03-03,2025-03-09,returned,2025-03-10,full,,C50",
    ]),
    "disability": ("leave", b"", [
        CLAIM, "E1,D1,1,STD,closed,2025-03-03,2025-03-10,2025-03-20,died,2025-03-21,full,C50",
    ]),
    "encounters": ("synthea", b"", [ENCOUNTERS, "e1,2025-02-03,2025-02-04,p1,o,d,y,ambulatory,1,100.10,80.05"]),
    "transactions": ("synthea", b"", [
        TRANSACTIONS, "1,c1,0,p1,CHARGE,77.49,,2025-02-03,1,", "2,c1,1,p1,PAYMENT,,ECHECK,2025-02-03,,1",
    ]),
    "mapped": ("mapped", head_of(Mapping.read(EXAMPLES / "claims.toml").model_copy(update={"encoding": "utf-8"})),
               CLAIMS.replace('"$1,200.00"', "1200").splitlines()[:3]),
}  # fmt: skip


def cells(rows: list[str]) -> Iterator[bytes]:
    """The table with a canary in place of each cell, the header's too."""
    for at, row in enumerate(rows):
        for column in range(row.count(",") + 1):
            changed = row.split(",")
            changed[column] = CANARY
            yield "\n".join([*rows[:at], ",".join(changed), *rows[at + 1 :]]).encode() + b"\n"


def values(body: Any) -> Iterator[Any]:
    """The document with a canary in place of each value, and of each key."""
    for path in _paths(body):
        changed = copy.deepcopy(body)
        inner = changed
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = CANARY
        yield changed
        if isinstance(path[-1], str):
            inner[CANARY] = inner.pop(path[-1])
            yield changed


def _paths(body: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for step, value in inner:
        yield (*at, step)
        yield from _paths(value, (*at, step))


def said(name: str, sent: bytes, **options: Any) -> str:
    """All that is told of a file besides its facts."""
    try:
        items = list(READERS[name](sent.splitlines(keepends=True), "f", **options))
    except UnknownLayout as refused:
        return str(refused)
    rejects = [item for item in items if isinstance(item, Reject)]
    told = " ".join(f"{each} {each.place} {each.reason} {each.remedy} {each.code}" for each in rejects)
    return told + "".join(" ".join(item.findings) for item in items if not isinstance(item, Reject))


@pytest.mark.parametrize("case", TABLES)
def test_no_cell_of_a_table_is_repeated(case: str) -> None:
    name, head, rows = TABLES[case]
    assert said(name, head + "\n".join(rows).encode() + b"\n") == "", "the document itself is good"
    for sent in cells(rows):
        assert CANARY not in said(name, head + sent)


@pytest.mark.parametrize(
    "body", [survey([*phq9(1, 2), item("/44261-6", {"valueString": "3"})]), R4], ids=["survey", "claim"]
)
def test_no_value_of_a_resource_is_repeated(body: dict[str, Any]) -> None:
    for changed in values(body):
        sent = json.dumps(changed).encode()
        assert CANARY not in said("fhir", sent)
        assert CANARY not in said("fhir", sent, validate="full")


def test_the_examples_are_where_the_documentation_has_them() -> None:
    assert {path.name for path in Path(EXAMPLES).iterdir()} >= {"claims.toml", "uci-absenteeism.toml"}
