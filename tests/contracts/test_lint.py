"""A term sheet is told all that is wrong with it; what changed between two is told by term and day."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest
import typer

from carepact.replay_commands import sheet_of
from contracts.differences import Side, differences, read_side
from contracts.lint import lint, value_set_sources
from contracts.roster import PLAN_SHEETS, SHEETS

BASE = files("contracts").joinpath("employers.toml").read_text(encoding="utf-8")
BCBS = files("contracts").joinpath("bcbs_sc.toml").read_text(encoding="utf-8")


def told(text: str) -> list[tuple[str, str, str]]:
    """(term, day, problem) of each; every problem names the file and a remedy."""
    found = lint("sheet.toml", text)
    assert all(problem.file == "sheet.toml" and problem.remedy for problem in found)
    return [(problem.term, problem.day, problem.problem) for problem in found]


def changed(pattern: str, replacement: str) -> str:
    text, count = re.subn(pattern, replacement, BCBS, count=1, flags=re.DOTALL)
    assert count == 1
    return text


@pytest.mark.parametrize("sheet", [*SHEETS.values(), *PLAN_SHEETS.values()])
def test_bundled_sheets_pass(sheet: str) -> None:
    assert lint(sheet, files("contracts").joinpath(f"{sheet}.toml").read_text(encoding="utf-8")) == []


FEE = r"(\[care_fee\].*?values   = \[)[^\n]*\]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (changed(FEE, r"\1{ from = 2023-07-01, value = 85.00 }, { from = 2023-07-01, value = 90.00 }]"),
         ("care_fee", "2023-07-01", "overlaps: two values begin on one day")),
        (changed(FEE, r"\1{ from = 2025-01-01, value = 85.00 }, { from = 2023-07-01, value = 90.00 }]"),
         ("care_fee", "2023-07-01", "overlaps: values are out of order")),
        (changed(FEE, r"\1{ from = 2023-07-01, through = 2024-12-31, value = 85 }, { from = 2024-12-01, value = 90 }]"),
         ("care_fee", "2024-12-01", "overlaps: the value before holds through 2024-12-31")),
        (changed(FEE, r"\1{ from = 2023-07-01, through = 2024-12-30, value = 85 }, { from = 2025-01-01, value = 90 }]"),
         ("care_fee", "2024-12-31", "has a gap: no value through 2024-12-31")),
        (changed(FEE, r"\1{ from = 2023-07-02, value = 85.00 }]"),
         ("care_fee", "2023-07-01", "has a gap: no value from 2023-07-01 through 2023-07-01")),
        (changed(FEE, r"\1{ from = 2023-07-01, value = -85.00 }]"),
         ("care_fee", "2023-07-01", "is negative (USD per member per month)")),
        (changed(FEE, r"\1{ from = 2023-07-01, value = 'some' }]"),
         ("care_fee", "2023-07-01", "is not a number of USD per member per month")),
        (changed(FEE, r"\1{ from = 2023-07-01 }]"), ("care_fee", "2023-07-01", "has a day without a value")),
        (changed(FEE, r"\1{ value = 85.00 }]"), ("care_fee", "", "has a value without a first day")),
        (changed(FEE, r"\1]"), ("care_fee", "", "has no values")),
        (changed(r"value = 0\.25", "value = 25"), ("attribution_share", "2000-01-01", "is a fraction above 1")),
        (changed(r"value = 0\.25", "value = -0.25"),
         ("attribution_share", "2000-01-01", "is negative (fraction of visits)")),
        (changed(r'(\[care_fee\].*?)source   = "illustrative"\n', r"\1"), ("care_fee", "2023-07-01", "has no source")),
        (changed(r'(\[care_fee\].*?)unit     = "[^"]*"', r'\1unit     = " "'),
         ("care_fee", "2023-07-01", "has no unit")),
        (changed(r'(\[care_fee\].*?)label    = "[^"]*"\n', r"\1"), ("care_fee", "2023-07-01", "has no label")),
        (changed(r'(\[care_fee\].*?)dated_by = "[^"]*"\n', r"\1"), ("care_fee", "2023-07-01", "has no dated_by")),
        (changed(r'(\[care_fee\].*?)status   = "illustrative"', r'\1status   = "guessed"'),
         ("care_fee", "", "has an unknown status")),
        (changed(r"\[attribution_share\]", "[attribution]"), ("attribution", "", "is an unknown term")),
        (changed(r"\[savings_share\]", "[savings]"),
         ("savings_share", "", "is lacking: a clause of bcbs-sc reads it")),
        (changed(r"\[attribution_share\]", "[meos_payment]"),
         ("meos_payment", "", "is not used: no clause of bcbs-sc reads it")),
        (changed(r"\[attribution_share\]", "[attribution]"),
         ("attribution_share or attribution_rule", "",
          "attribution is left out: the sheet does not say which practice an episode belongs to")),
        (changed(r"\[money_basis\]", "[money]"),
         ("money_basis", "", "money is left out: the sheet does not say what counts as an episode's money")),
        (changed(r"\[reconciliation_initial_months\]", "[x]"),
         ("reconciliation_initial_months", "",
          "first reconciliation is left out: the sheet does not say when a period is first reconciled")),
        (changed(r"\[run_out\]", "[x]"),
         ("run_out", "", "run-out is left out: the sheet does not say which late claims a reconciliation sees")),
        (changed(r"\[ibnr\]", "[x]"),
         ("ibnr", "",
          "IBNR is left out: the sheet does not say what is assumed of claims incurred and not yet reported")),
        (changed(r'rounding = "half_up"', 'rounding = "down"'), ("sheet", "", "has an unknown rounding")),
        (changed(r'contract = "bcbs-sc"', 'contract = "bcbs"'), ("sheet", "", "names no contract of this build")),
        (changed(r'file = "car_t"', 'file = "car_tt"'),
         ("sheet", "", "value set 'cell_therapy' names no file of contracts/value_sets")),
        (changed(r"value = 2029-12-31", "value = 2022-12-31"),
         ("initiation_last_on", "2022-12-31", "is before the first day, 2023-07-01")),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(text: str, expected: tuple[str, str, str]) -> None:
    assert expected in told(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (changed(FEE, r"\1{ from = 2023-07-01, value = 85.00 }, { from = 2023-07-01, value = 90.00 }]"),
         "care_fee 2023-07-01 overlaps: two values begin on one day; keep one of them"),
        (changed(r'(\[care_fee\].*?)source   = "illustrative"\n', r"\1"),
         "care_fee 2023-07-01 has no source; add source"),
        (changed(r"value = 0\.25", "value = -0.25"),
         "attribution_share 2000-01-01 is negative (fraction of visits); write"),
        (changed(r'(\[care_fee\].*?)unit     = "[^"]*"', r'\1unit     = ""'),
         "care_fee 2023-07-01 has no unit; add unit"),
    ],
)  # fmt: skip
def test_what_if_refuses_a_bad_sheet_with_file_term_day_and_remedy(text: str, said: str, tmp_path: Path) -> None:
    draft = tmp_path / "draft.toml"
    draft.write_text(text, encoding="utf-8")
    with pytest.raises(typer.BadParameter, match=re.escape(f"{draft}: {said}")):
        sheet_of(str(draft))
    draft.write_text(BCBS, encoding="utf-8")
    assert sheet_of(str(draft))["sheet"]["contract"] == "bcbs-sc"


def test_what_is_not_toml_is_said_so() -> None:
    assert told("[sheet")[0][2].startswith("is not TOML")
    assert ("sheet", "", "the sheet has no head") in told("")


def test_a_threshold_may_be_above_one() -> None:
    text = files("contracts").joinpath("eom.toml").read_text(encoding="utf-8")
    assert lint("eom.toml", text.replace("value = 1.00 }]\n\n[pbp", "value = 1.02 }]\n\n[pbp")) == []


def test_differences_name_term_and_day() -> None:
    before, after = (
        read_side(BCBS),
        read_side(changed(r"value = 85\.00 }", "value = 85.00 }, { from = 2026-01-01, value = 90.00 }")),
    )
    found = [(d.term, d.day, d.what, d.before, d.after) for d in differences(Side(before), Side(after))]
    assert found == [("care_fee", "2026-01-01", "value", "85.00", "90.00")]
    assert differences(Side(after), Side(after)) == []


def test_differences_of_what_is_said_and_of_terms_that_come_and_go() -> None:
    text = changed(r"\[care_fee\]", "[fee]").replace('label    = "Most a practice can earn"', 'label    = "Cap"')
    found = [
        (d.term, d.day, d.what, d.before, d.after) for d in differences(Side(read_side(BCBS)), Side(read_side(text)))
    ]
    assert found == [
        ("fee", "", "term added", None, "Enhanced services fee"),
        ("fee", "2023-07-01", "value", None, "85.00"),
        ("savings_cap", "", "label", "Most a practice can earn", "Cap"),
        ("care_fee", "", "term dropped", "Enhanced services fee", None),
        ("care_fee", "2023-07-01", "value", "85.00", None),
    ]


def test_differences_of_two_days_of_one_sheet() -> None:
    terms = read_side(files("contracts").joinpath("eom.toml").read_text(encoding="utf-8"))
    found = differences(Side(terms, "2024-12-31"), Side(terms, "2025-01-01"))
    assert [(d.term, d.before, d.after) for d in found] == [
        ("meos_payment", "70.00", "110.00"),
        ("meos_counted_base", "70.00", "110.00"),
        ("recoupment_threshold", "0.98", "1.00"),
    ]
    assert {d.day for d in found} == {"2025-01-01"}


def test_a_sheet_over_another_is_told_what_is_wrong_with_its_own_terms() -> None:
    over = files("contracts").joinpath("employers", "lowcountry-retail.toml").read_text(encoding="utf-8")
    assert told(over.replace('extends  = "employers"', 'extends  = "nobody"')) == [
        ("sheet", "", "extends no sheet of this build")
    ]
    assert told(over.replace("value = 0.40", "value = -0.40")) == [
        ("corridor_share", "2023-07-01", "is negative (fraction of deviation)")
    ]
    assert {d.term for d in differences(Side(read_side(BASE)), Side(read_side(over)))} == {
        "settled_by", "employer_size", "corridor_share", "guarantee_benchmark", "guarantee_floor",
    }  # fmt: skip


def test_a_value_set_without_source_or_date_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    known = value_set_sources()
    monkeypatch.setattr("contracts.lint.value_set_sources", lambda: known | {"car_t": {"source": "somewhere"}})
    text = files("contracts").joinpath("eom.toml").read_text(encoding="utf-8")
    assert told(text) == [("sheet", "", "value set 'cell_therapy' has no source and date")]


def test_every_file_of_codes_says_where_and_when_it_is_from() -> None:
    folder = files("contracts").joinpath("value_sets")
    names = {file.name.removesuffix(".gz").removesuffix(".csv") for file in folder.iterdir() if ".csv" in file.name}
    assert names == set(value_set_sources())
    assert all(one["source"] and one["dated"] and one["status"] for one in value_set_sources().values())
