"""The cases of `cases/weighed/*.toml`: what is decided beside a member's log, for each contract that a case names."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from contracts.roster import bundled_sheet
from contracts.terms import TermSheet
from tests.contracts.weighing import KINDS

CASES = sorted((Path(__file__).parent / "cases" / "weighed").glob("*.toml"))


def cases() -> list[Any]:
    """Every case of every file for every contract it names."""
    found = []
    for file in CASES:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        for case in content["case"]:
            for contract in case.get("contracts", content.get("contracts", ["medicare-eom"])):
                kind = case.get("kind", content.get("kind"))
                name = f"{file.stem}: {case['name']} ({contract})"
                found.append(pytest.param(contract, {**case, "kind": kind}, id=name))
    return found


@pytest.mark.parametrize(("contract", "case"), cases())
def test_given_then(contract: str, case: dict[str, Any]) -> None:
    """A case names what it says something about, and only that is compared."""
    assert set(case) <= {"name", "contracts", "kind", "given", "then"}
    weigh(TermSheet(bundled_sheet(contract)[2]), case)


def weigh(sheet: TermSheet, case: dict[str, Any]) -> None:
    """Hold a case against a sheet."""
    found = KINDS[case["kind"]](sheet, copy.deepcopy(case["given"]))
    assert {name: found.get(name) for name in case["then"]} == case["then"]
