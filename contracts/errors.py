"""What a contract can refuse. Messages name payer, term and day, and never a patient."""

from __future__ import annotations


class ContractError(Exception):
    """A contract refuses; the tree of its reasons."""


class NoTermInForce(ContractError):
    """A term has no value on a day."""

    def __init__(self, contract: str, term: str, day: str) -> None:
        super().__init__(f"{contract}: no '{term}' in force on {day}")
        self.contract, self.term, self.day = contract, term, day


class BadSheet(ContractError):
    """A term sheet cannot be read as one."""

    def __init__(self, sheet: str, term: str, problem: str) -> None:
        super().__init__(f"{sheet}: term '{term}': {problem}")
        self.sheet, self.term, self.problem = sheet, term, problem
