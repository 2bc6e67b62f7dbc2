"""BlueCross BlueShield of South Carolina, EOM's payer partner: who is covered and who pays first, and the monthly fee.

An episode needs the plan on every day until death, and the plan to pay before Medicare and any other payer. How a
period is settled: bcbs_sc_period.py. Figures: bcbs_sc.toml; none of the terms is public, and every dollar is invented.
"""

from __future__ import annotations

from contracts.care_fee import CareFeeClauses
from contracts.parts import Member
from contracts.payer_order import medicare_first_on
from contracts.terms import TermSheet

CONTRACT = "bcbs-sc"


class BcbsClauses(CareFeeClauses):
    """The contract under one adopted sheet."""

    def __init__(self, sheet: TermSheet) -> None:
        super().__init__(CONTRACT, sheet)

    def uncovered(self, member: Member, start: str, end: str, last: str) -> str:
        """The plan on every day, and before Medicare as far as the plan's own facts tell of it (outcome rules C.4)."""
        if reason := super().uncovered(member, start, end, last):
            return reason
        head = member.head
        after = medicare_first_on(self.sheet, head.coverage, head.birth_year, start, last)
        return "medicare_first" if after else ""


def clauses(sheet: TermSheet) -> BcbsClauses:
    """The contract under an adopted sheet."""
    return BcbsClauses(sheet)
