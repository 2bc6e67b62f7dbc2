"""The cases of `cases/try/*.toml`: one clause on given figures, then its result, or the refusal and its field."""

from __future__ import annotations

import json
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from contracts.trial import answers, find, read_json

CASES = sorted((Path(__file__).parent / "cases" / "try").glob("*.toml"))
MONEY = {"amount_cents", "benchmark_cents", "add_on_cents", "money_cents"}


def cases() -> list[Any]:
    """Every case of every file, named for its file and its rule."""
    found = []
    for file in CASES:
        content = tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
        for case in content["case"]:
            found.append(pytest.param(content["contract"], case, id=f"{file.stem}: {case['name']}"))
    return found


@pytest.mark.parametrize(("contract", "case"), cases())
def test_given_figures_then(contract: str, case: dict[str, Any]) -> None:
    """A case names the keys it says something about; the lines always add up to what moves."""
    assert set(case) <= {"name", "clause", "given", "then", "error"}
    given = read_json(case["given"] if isinstance(case["given"], str) else written(case["given"]))
    result, complete = answers(find(contract, case["clause"]), given)
    if "error" in case:
        assert not complete
        assert {key: result["error"][key] for key in ("code", "field")} == case["error"]
        return
    wanted = json.loads(case["then"]) if isinstance(case["then"], str) else plain(case["then"])
    assert {key: result.get(key) for key in wanted} == wanted
    assert complete
    moved = [result[key] for key in result if key in MONEY]
    if "pbp_cents" in result:
        moved = [result["pbp_cents"] - result["pbr_cents"]]
    if moved and moved != [None]:
        assert sum(line["amount_cents"] for line in result["lines"]) == moved[0]


def plain(value: Any) -> Any:
    """A TOML value as JSON has it."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def written(value: Any) -> str:
    """A TOML value as JSON text, decimals digit by digit."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(plain(value))
