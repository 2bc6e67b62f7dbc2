"""Every kind of payment that a contract can make has a clause to try, and so has the taking back of any."""

from __future__ import annotations

import ast
from importlib.resources import files

from contracts import given_back, work
from contracts.employer_settlement import CLAUSES
from contracts.given_back import CLAUSE_OF, POOL_SHARE, REVERSAL
from contracts.methods import METHODS
from contracts.outcome import Payment
from contracts.recoupment_risk import KIND as AT_RISK
from contracts.roster import SHEETS
from contracts.settlement_payments import RECOUPMENT
from contracts.trial import TRIALS

OFFERED = {(trial.contract, trial.clause) for trial in TRIALS}
MAKES_PAYMENTS = {"determining", "paying"}
"""The modules in which a `Payment` is made: of settlements by kinds wanted, of episodes by kinds of `Due`."""


def calls(name: str) -> dict[str, list[ast.Call]]:
    """Every call of a name in the contracts, by module."""
    found: dict[str, list[ast.Call]] = {}
    for path in files("contracts").iterdir():
        if path.name.endswith(".py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                    found.setdefault(path.name.removesuffix(".py"), []).append(node)
    return found


def kinds() -> set[str]:
    """Every kind of payment that the code can make, as it is found there."""
    found = {RECOUPMENT, *CLAUSES.values()}
    for method in METHODS.values():
        found |= {method.earned, method.owed}
    for module, made in (*calls("Due").items(), *calls("waiting").items()):
        for call in made:
            match call.args[0]:
                case ast.Constant(value=str(kind)):
                    found.add(kind)
                case ast.Name(id="BONUS"):
                    found.add(work.BONUS)
                case ast.Name(id="kind"):
                    assert module == "clauses"  # `waiting` hands on what it is given
                case other:
                    raise AssertionError(f"{module} line {call.lineno}: which kind is {ast.unparse(other)}?")
    return found


def test_payments_are_made_where_their_kinds_are_looked_for() -> None:
    assert set(calls(Payment.__name__)) == MAKES_PAYMENTS


def test_every_kind_of_payment_has_a_clause_to_try() -> None:
    assert kinds() == {kind for clauses in CLAUSE_OF.values() for kind in clauses}
    assert AT_RISK not in kinds()  # it moves no money
    assert set(CLAUSE_OF) == set(SHEETS)
    for contract, clauses in CLAUSE_OF.items():
        assert {(contract, clause) for clause in (*clauses.values(), REVERSAL)} <= OFFERED


def test_what_each_contract_pays_is_among_them() -> None:
    for contract, method in METHODS.items():
        assert {method.earned, method.owed} <= CLAUSE_OF[contract].keys()
        assert (RECOUPMENT in CLAUSE_OF[contract]) == bool(method.recoupment)
        assert (contract, POOL_SHARE) in OFFERED
    assert set(CLAUSES.values()) <= CLAUSE_OF["employer"].keys()
    assert given_back.MEOS in CLAUSE_OF["ocm"]
