"""A case lies exactly at each threshold of each sheet, and on the first day of each value.

Every sheet is made wrong by the least step, and the case that `exactly.toml` names must come to something else. A new
threshold, value or day has no case there, and fails here until one is written and `python -m tests.contracts.catching`
has found it.
"""

from __future__ import annotations

import json
import re

import pytest

from contracts.roster import SHEETS
from tests.contracts.catching import catches, every_case, kept
from tests.contracts.mutants import mutants

NO_EDGE = {
    r".* money_basis .*": "a rule in words, with the number of another term",
    r".* quality_minimum_cases 1 -> 0": "no cases have no rate",
    r"medicare-eom pbr_quality .* 3[01]:1\.00 0:1\.00|medicare-eom pbr_quality .* 29:1\.00 0:1\.00": "equal factors",
    r"bcbs-sc employer_size 100 -> 101|employer employer_size .*": "a size, not a limit of one: see payer_order.toml",
    r"employer return_to_work_definition rtw-def/1 -> .*": "the name of a version",
    r"ocm attribution_share 1 -> 2": "more than all visits",
    r"ocm meos_dual_addition .*": "no dual status earns it",
    r"employer (episode_target|episode_target_spread|return_expected|quality_weights|quality_goals|biosimilar_weights"
    r"|pooled_periods) .*": "tables of a plan's period, held in test_employer_settlement.py and metrics/",
    r"employer (survey_days|metric_run_out_days) .*": "metrics' own, held in metrics/cases",
    r"employer harm_limits .* symptoms:0\.3[46]": "answers of patients, held in metrics/test_returns.py",
}
"""What has no case at its edge, and why not."""


def has_no_edge(name: str) -> bool:
    """Whether it is said why there is no case."""
    return any(re.fullmatch(pattern, name) for pattern in NO_EDGE)


@pytest.mark.parametrize("contract", SHEETS)
def test_a_case_lies_at_each_threshold_and_on_each_first_day(contract: str) -> None:
    cases, missing, missed = kept(), [], []
    for mutant in mutants(contract):
        if mutant.name not in cases:
            missing += [] if has_no_edge(mutant.name) else [mutant.name]
        elif not catches(cases[mutant.name], mutant):
            missed.append((mutant.name, cases[mutant.name]))
    assert (missing, missed) == ([], [])


def test_what_is_kept_is_of_the_sheets_there_are() -> None:
    names = {mutant.name for contract in SHEETS for mutant in mutants(contract)}
    assert kept().keys() - names == set()
    for pattern in NO_EDGE:
        assert any(re.fullmatch(pattern, name) for name in names - kept().keys()), f"{pattern} is needed no more"


WORKED = (
    *(f"W{n}" for n in range(1, 21)), "P1", "P2", *(f"T{n}" for n in range(1, 7)), "D.5", "E.3 a", "E.3 b", "E.3 c",
    "E.3 d",
)  # fmt: skip
"""The worked examples of EOM 9 and the vectors of the outcome rules; the return-to-work table has no number."""


@pytest.mark.parametrize("example", WORKED)
def test_each_worked_example_is_a_case(example: str) -> None:
    assert any(case["name"].startswith(f"{example}:") for _, _, case in every_case().values())


def test_the_table_of_return_to_work_is_a_case() -> None:
    (case,) = (case for _, _, case in every_case().values() if case["name"] == "twenty people, competing risks")
    assert json.loads(case["then"])["incidence"] == {"13": "0.3000", "26": "0.5244", "52": "0.6482"}
