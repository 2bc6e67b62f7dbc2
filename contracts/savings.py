"""A saving shared by quality: what commercial contracts have in common.

A saving that reaches the minimum rate is shared from its first dollar; the cap comes last. Exact and unrounded until a
line is made. Credibility of few people or episodes is the square root of their share of a full number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from contracts.exact import exactly
from contracts.units import ZERO

ONE = Decimal(1)


@exactly
def quality_multiplier(quality: Sequence[tuple[Decimal, Decimal]]) -> Decimal:
    """Weighted score: 0.30 x 1.0 + 0.20 x 0.8 + 0.20 x 1.0 + 0.15 x 0.6 + 0.15 x 0.75 = 0.8625."""
    return sum((weight * score for weight, score in quality), ZERO)


@exactly
def credibility(count: int, full: Decimal) -> Decimal:
    """min(1, sqrt(count / full)): 40 of 100 give 0.632456."""
    return min(ONE, (Decimal(count) / full).sqrt())


@dataclass(frozen=True, slots=True)
class Shared:
    """What moves, in exact dollars, and its arithmetic. Nothing moves below the minimum rate."""

    amount: Decimal
    arithmetic: str


@exactly
def shared(
    gain: Decimal, target: Decimal, share: Decimal, least_rate: Decimal, cap: Decimal, *factors: Decimal
) -> Shared:
    """210,000 of 3,360,000 is 6.25 %, at least 2 %: 210,000 x 0.5 x 0.8625 = 90,562.50, below 10 % of the target."""
    if gain <= 0:
        return Shared(ZERO, f"{gain} is no gain = 0.00")
    if gain < least_rate * target:
        return Shared(ZERO, f"{gain} / {target} is below {least_rate} = 0.00")
    amount, words = gain * share, f"{gain} x {share}"
    for factor in factors:
        amount, words = amount * factor, f"{words} x {plain(factor)}"
    most = cap * target
    return Shared(min(amount, most), f"min({words}, {cap} x {target}) = {min(amount, most):.4f}")


def plain(value: Decimal) -> str:
    """A decimal as one would write it, without exponent or trailing zeros: 0.86250 -> '0.8625'; a root to 6 places."""
    text = f"{value:f}" if -int(value.as_tuple().exponent) <= 60 else f"{value:.6f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
