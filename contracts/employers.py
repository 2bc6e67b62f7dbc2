"""Employers that buy cancer care for their people: for now the care fee (T6). Figures: employers.toml."""

from __future__ import annotations

from contracts.care_fee import CareFeeClauses
from contracts.terms import TermSheet

CONTRACT = "employer"


def clauses(sheet: TermSheet) -> CareFeeClauses:
    """The contract under an adopted sheet."""
    return CareFeeClauses(CONTRACT, sheet)
