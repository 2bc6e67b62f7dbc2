"""One clause run on given figures: the result, or the reason it was refused."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import ValidationError

from contracts.errors import NoTermInForce
from contracts.exact import exactly
from contracts.roster import PLAN_SHEETS, SHEETS, bundled_sheet
from contracts.terms import TermSheet
from contracts.trial import commercial, employer_coverage, final_action, medicare, payments
from contracts.trial.clause import Result, Trial, as_lines
from contracts.trial.figures import Misfit, Refused, refused

TRIALS: tuple[Trial, ...] = (
    *medicare.TRIALS,
    *commercial.TRIALS,
    *employer_coverage.TRIALS,
    *payments.TRIALS,
    *final_action.TRIALS,
)


class Unknown(Exception):
    """There is no such contract, or no such clause of it."""

    def __init__(self, message: str, contract: bool) -> None:
        super().__init__(message)
        self.contract = contract


def find(contract: str, clause: str) -> Trial:
    """The clause of a contract by its name, or by another name it has, such as T2."""
    offered = [trial for trial in TRIALS if trial.contract == contract]
    if not offered:
        names = ", ".join(dict.fromkeys(trial.contract for trial in TRIALS))
        raise Unknown(f"there is no contract {contract[:40]}; there are {names}", contract=True)
    for trial in offered:
        if clause == trial.clause or clause.upper() in trial.also:
            return trial
    names = ", ".join(trial.clause for trial in offered)
    raise Unknown(f"{contract} has no clause {clause[:40]} to try; there are {names}", contract=False)


@cache
def _sheet(contract: str) -> TermSheet:
    """The terms of this build, a contract's or a plan's; `claims` has none, for its rules are every contract's."""
    if contract not in SHEETS and contract not in PLAN_SHEETS:
        return TermSheet({"sheet": {"contract": contract, "version": "", "rounding": "half_up"}, "terms": {}})
    return TermSheet(bundled_sheet(contract)[2])


def answer(trial: Trial, given: Any, sheet: str = "") -> Result:
    """The clause's result with its lines, by the contract's sheet or that of one of its plans; raises `Refused`."""
    if not isinstance(given, dict):
        raise Refused("not_an_object", "", "the givens of a clause are one JSON object")
    try:
        result, lines = exactly(trial.run)(_sheet(sheet or trial.contract), trial.given.model_validate(given))
    except ValidationError as error:
        raise refused(error) from None
    except Misfit as error:
        raise Refused(error.code, error.field, str(error)) from None
    except NoTermInForce as error:
        field = next((name for name, _, _ in trial.givens() if name in DAYS and name in given), "")
        raise Refused("no_terms", field, str(error)) from None
    return {**result, "lines": as_lines(lines)}


DAYS = ("initiated_on", "on", "absence_on", "from_on", "period_on")
"""The givens that date terms."""


def answers(trial: Trial, given: Any, sheet: str = "") -> tuple[Any, bool]:
    """A result, or an array of them for an array of givens, each refusal in its place; and whether all are results."""
    if not isinstance(given, list):
        result = _or_error(trial, given, sheet)
        return result, "error" not in result
    results = [_or_error(trial, one, sheet) for one in given]
    return results, not any("error" in result for result in results)


def _or_error(trial: Trial, given: Any, sheet: str) -> Result:
    try:
        return answer(trial, given, sheet)
    except Refused as error:
        return error.document()
