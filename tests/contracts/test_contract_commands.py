"""`carepact contract try`, `lint` and `diff` as scripts meet them: documents, exit codes, and nothing repeated."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from carepact.contract_commands import app
from contracts.trial import TRIALS

MEOS = {"initiated_on": "2024-11-20", "months": 6, "dual_eligible": True}
LINE_KEYS = ["clause", "label", "arithmetic", "amount_cents", "terms"]
TERM_KEYS = {"name", "value", "unit", "from", "dated_by", "source", "illustrative"}


def run(*arguments: str, given: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), input=given)
    return result.exit_code, result.stdout, result.stderr


def tried(contract: str, clause: str, given: Any) -> tuple[int, Any]:
    code, out, _ = run("try", contract, clause, "--given", "-", "--json", given=json.dumps(given))
    return code, json.loads(out)


def test_one_object_gives_one_result_with_its_lines() -> None:
    code, result = tried("medicare-eom", "meos", MEOS)
    assert (code, result["amount_cents"], result["counted_cents"]) == (0, 60000, 42000)
    for line in result["lines"]:
        assert list(line) == LINE_KEYS
        assert all(term.keys() >= TERM_KEYS for term in line["terms"])


def test_an_array_gives_an_array_and_a_bad_one_its_error_in_its_place() -> None:
    code, results = tried("medicare-eom", "meos", [MEOS, {**MEOS, "initiated_on": "2030-01-01"}, 7, MEOS])
    assert code == 5
    assert [result.get("amount_cents") for result in results] == [60000, None, None, 60000]
    assert set(results[1]["error"]) == {"code", "field", "message"}
    assert results[1]["error"]["code"] == "no_terms"
    assert results[2]["error"]["code"] == "not_an_object"
    assert tried("medicare-eom", "meos", [MEOS, MEOS])[0] == 0
    assert tried("medicare-eom", "meos", []) == (0, [])


def test_a_single_bad_object_gives_its_error() -> None:
    code, result = tried("medicare-eom", "meos", {**MEOS, "months": "SECRET"})
    assert (code, result["error"]["code"], result["error"]["field"]) == (5, "not_a_number", "months")
    assert "SECRET" not in json.dumps(result)


@pytest.mark.parametrize(
    ("contract", "clause", "given", "code"),
    [
        ("medicare-eom", "meos", "{", 2),
        ("medicare-eom", "meos", '{"months": 1, "months": 2}', 2),
        ("medicare-eom", "tithe", "{}", 2),
        ("medicare-eon", "meos", "{}", 4),
    ],
)
def test_what_cannot_be_tried_at_all(contract: str, clause: str, given: str, code: int) -> None:
    found, out, err = run("try", contract, clause, "--given", "-", "--json", given=given)
    assert (found, out) == (code, "")
    assert err


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "given.json"
    file.write_text(json.dumps(MEOS), encoding="utf-8")
    code, out, _ = run("try", "medicare-eom", "meos", "--given", str(file))
    assert code == 0
    assert "6 months x 70.00 = 420.00" in out
    assert "amount: 600.00" in out
    assert run("try", "medicare-eom", "meos", "--given", str(tmp_path / "none.json"))[0] == 4


def test_invented_figures_are_marked_for_people_too() -> None:
    code, out, _ = run(
        "try", "employer", "T6", "--given", "-", given='{"from_on": "2025-02-01", "through_on": "2025-02-01"}'
    )
    assert code == 0
    assert "[illustrative]" in out


def test_help_lists_every_clause_and_its_givens() -> None:
    code, out, _ = run("try", "--help")
    assert code == 0
    for trial in TRIALS:
        assert f" {trial.contract} {trial.clause}" in out
        assert json.dumps(trial.example) in out
        assert all(f"     {name}" in out for name, _, _ in trial.givens())


def test_lint_says_what_is_wrong_and_exits_with_one(tmp_path: Path) -> None:
    with as_file(files("contracts").joinpath("eom.toml")) as sheet:
        assert run("lint", str(sheet), "--json")[:2] == (0, '{\n  "problems": []\n}\n')
        bad = tmp_path / "bad.toml"
        bad.write_text(
            sheet.read_text(encoding="utf-8").replace("value = 70.00", "value = -70.00", 1), encoding="utf-8"
        )
    code, out, _ = run("lint", str(bad), "--json")
    problems = json.loads(out)["problems"]
    assert (code, len(problems)) == (1, 1)
    assert problems[0] | {"remedy": ""} == {
        "file": str(bad),
        "term": "meos_payment",
        "day": "2023-07-01",
        "problem": "is negative (USD per patient per month)",
        "remedy": "",
    }
    assert problems[0]["remedy"]
    code, out, _ = run("lint", str(bad))
    assert code == 1
    assert "meos_payment 2023-07-01 is negative" in out
    assert run("lint", str(tmp_path / "none.toml"))[0] == 4


def test_diff_names_each_term_and_day(tmp_path: Path) -> None:
    code, out, _ = run("diff", "medicare-eom@2024-12-31", "medicare-eom@2025-01-01", "--json")
    assert code == 0
    changes = json.loads(out)["changes"]
    assert [(c["term"], c["day"], c["before"], c["after"]) for c in changes] == [
        ("meos_payment", "2025-01-01", "70.00", "110.00"),
        ("meos_counted_base", "2025-01-01", "70.00", "110.00"),
        ("recoupment_threshold", "2025-01-01", "0.98", "1.00"),
    ]
    with as_file(files("contracts").joinpath("eom.toml")) as sheet:
        changed = tmp_path / "eom.toml"
        changed.write_text(
            sheet.read_text(encoding="utf-8").replace("value = 110.00", "value = 120.00", 1), encoding="utf-8"
        )
        assert run("diff", "medicare-eom", str(sheet))[:2] == (0, "no term differs\n")
    code, out, _ = run("diff", "medicare-eom", str(changed))
    assert out == "meos_payment 2025-01-01: value 110.00 -> 120.00\n"
    assert run("diff", "medicare-eom", "nothing")[0] == 4
    assert run("diff", "medicare-eom", "medicare-eom@soon")[0] == 2
