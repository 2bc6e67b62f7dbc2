"""Which terms each contract's clauses read, so that a sheet can be told what it lacks and what nothing reads.

What can be tried says what it reads; what the fold reads is found in the source of the contract's own modules, so that
no list has to be kept.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib.resources import files

from contracts.roster import MAKERS, OWN, SHARED, SHEETS
from contracts.trial import TRIALS

STATEMENTS: dict[str, tuple[tuple[str, ...], str]] = {
    "attribution": (("attribution_share", "attribution_rule"), "which practice an episode belongs to"),
    "money": (("money_basis",), "what counts as an episode's money"),
    "first reconciliation": (("reconciliation_initial_months",), "when a period is first reconciled"),
    "true-up": (("reconciliation_true_up_months",), "when a period is trued up"),
    "run-out": (("run_out",), "which late claims a reconciliation sees"),
    "IBNR": (("ibnr",), "what is assumed of claims incurred and not yet reported"),
}
"""What every sheet must say, whether or not a clause reads it: the terms that may say it, and what it is."""

STATED = frozenset(name for names, _ in STATEMENTS.values() for name in names)
NOTED = {
    "medicare-eom": frozenset(
        {
            "redesign_activities",
            "month_needs",
            "care_plan_components",
            "hrsn_instruments",
            "sociodemographic_elements",
            "quality_screening_days",
            "quality_plan_days",
            "quality_pain_days",
        }
    ),
    "ocm": frozenset({"episode_months", "meos_code"}),
    "employer": frozenset({"release_period_months", "release_delay_months"}),
}
"""Terms that say what clauses take for granted, what practices show and report (contracts/readiness.py and
contracts/submission.py), or when a contract's figures leave (contracts/releases.py)."""


LIFE = frozenset({"remittance_days", "aging_days", "risk_after_days"})
"""Terms by which what is open of a payment is aged (payment_life.py), and a recoupment warned of (recoupment_risk)."""


def terms_needed(contract: str) -> frozenset[str]:
    """Every term that a clause of the contract cannot do without."""
    tried = (trial.reads for trial in TRIALS if trial.contract == contract)
    return _asked_for(contract).union(*tried)


def terms_known(contract: str) -> frozenset[str]:
    """Every term that a clause of the contract may read, or that says something of every contract."""
    named = frozenset().union(*(_words(module) for module in _modules(contract)))
    return terms_needed(contract) | named | STATED | LIFE | NOTED.get(contract, frozenset())


@cache
def _asked_for(contract: str) -> frozenset[str]:
    """The names in calls of the form `sheet.on("meos_payment", day)`."""
    found: set[str] = set()
    for module in _modules(contract):
        for node in ast.walk(_tree(module)):
            match node:
                case ast.Call(func=ast.Attribute(attr="on"), args=[ast.Constant(value=str(name)), *_]):
                    found.add(name)
    return frozenset(found)


@cache
def _modules(contract: str) -> tuple[str, ...]:
    """The contract's own modules and those that they import, without what decides for every contract."""
    if contract not in MAKERS:
        return ()
    found, passed = [SHEETS[contract], *OWN.get(contract, ())], {*SHARED, "parts", "roster"}
    for module in found:
        for node in ast.walk(_tree(module)):
            match node:
                case ast.ImportFrom(module="contracts", names=names):
                    found += [name.name for name in names if name.name not in passed.union(found)]
                case ast.ImportFrom(module=str(path)) if path.count(".") == 1 and path.startswith("contracts."):
                    name = path.removeprefix("contracts.")
                    if name not in passed.union(found) and files("contracts").joinpath(f"{name}.py").is_file():
                        found.append(name)
    return tuple(found)


@cache
def _words(module: str) -> frozenset[str]:
    nodes = ast.walk(_tree(module))
    return frozenset(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(files("contracts").joinpath(f"{module}.py").read_text(encoding="utf-8"))
