"""BlueCross BlueShield of South Carolina, EOM's payer partner: for now its care fee. Figures: bcbs_sc.toml."""

from __future__ import annotations

from contracts.care_fee import CareFeeClauses
from contracts.terms import TermSheet

CONTRACT = "bcbs-sc"


def clauses(sheet: TermSheet) -> CareFeeClauses:
    """The contract under an adopted sheet."""
    return CareFeeClauses(CONTRACT, sheet)
