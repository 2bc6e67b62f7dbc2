"""What use of new drugs adds to a benchmark (EOM 3.6): OCM over all episodes together, EOM for each cancer."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from contracts.clauses import Line
from contracts.exact import exactly
from contracts.terms import TermSheet
from contracts.units import ZERO, cents

FACTOR_STEP = Decimal("0.0000001")


@dataclass(frozen=True, slots=True)
class NovelTherapy:
    """What use of new drugs adds to a benchmark: dollars, and the factor that does it (never below one)."""

    add_on: Decimal
    factor: Decimal
    line: Line


@exactly
def novel_therapy(
    sheet: TermSheet,
    initiated_on: str,
    participant_actual: Decimal,
    participant_novel: Decimal,
    comparison_share: Decimal,
    trended_benchmark: Decimal,
) -> NovelTherapy:
    """EOM 3.6: 80 % of the spending by which the practice's novel share exceeds the comparison's.

    0.80 x (15 % - 9 %) x 2,300,000 = 110,400; (2,180,000 + 110,400) / 2,180,000 = 1.0506422.
    """
    share = sheet.on("novel_therapy_share", initiated_on)
    excess = participant_novel - comparison_share * participant_actual
    add_on = share.number * max(ZERO, excess)
    factor = ((trended_benchmark + add_on) / trended_benchmark).quantize(FACTOR_STEP, rounding=ROUND_HALF_UP)
    arithmetic = (
        f"{share.number} x ({participant_novel} - {comparison_share} x {participant_actual}) = {add_on:.4f}"
        if add_on
        else "the practice's share is not above the comparison's = 0.00"
    )
    line = Line("NOVEL_THERAPY", "Novel therapy adjustment", arithmetic, cents(add_on, sheet.rounding), (share,))
    return NovelTherapy(add_on, factor, line)
