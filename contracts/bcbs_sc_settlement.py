"""BlueCross BlueShield of South Carolina's shared savings, aligned with EOM. Every dollar is illustrative.

Modelled: savings shared one-sided, then two-sided by the day the period began; a minimum rate for savings and losses;
the most of one episode's cost that counts; credibility of few episodes; quality, which multiplies savings and never a
loss. Left out: how targets are set, and the members' plan benefits. Figures: bcbs_sc.toml.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from contracts.clauses import Line
from contracts.exact import exactly
from contracts.savings import credibility, quality_multiplier, shared
from contracts.terms import TermSheet
from contracts.units import ZERO, cents


@dataclass(frozen=True, slots=True)
class Settled:
    """A period's result in exact dollars: negative savings are a loss; a line below nought is owed by the practice.

    `reached` says that saving or loss reached its least rate.
    """

    target: Decimal
    actual: Decimal
    savings: Decimal
    credibility: Decimal
    quality_multiplier: Decimal
    line: Line
    reached: bool


@exactly
def shared_savings(
    sheet: TermSheet,
    period_on: str,
    episodes: Sequence[tuple[Decimal, Decimal]],
    quality: Sequence[tuple[Decimal, Decimal]],
) -> Settled:
    """Each episode is (target, actual). 100 episodes, 8,000,000 - 7,600,000 = 400,000 x 0.50 x 0.9 = 180,000.00.

    25 episodes count half: sqrt(25 / 100). From 2026 on a loss is shared too: 400,000 x 0.40 = 160,000.00 owed.
    """
    stop, full = sheet.on("episode_stop_loss", period_on), sheet.on("credibility_full", period_on)
    sides = sheet.on("savings_sides", period_on)
    target = sum((aim for aim, _ in episodes), ZERO)
    actual = sum((min(cost, stop.number) for _, cost in episodes), ZERO)
    weight, multiplier = credibility(len(episodes), full.number), quality_multiplier(quality)
    loses = actual > target
    kind, counted = ("loss", (weight,)) if loses else ("savings", (multiplier, weight))
    share, cap = sheet.on(f"{kind}_share", period_on), sheet.on(f"{kind}_cap", period_on)
    least = sheet.on(f"minimum_{kind}_rate", period_on)
    result = shared(abs(target - actual), target, share.number, least.number, cap.number, *counted)
    amount, words = result.amount, result.arithmetic
    if loses and sides.value == "one-sided":
        amount, words = ZERO, "a loss is not shared = 0.00"
    line = Line(
        "LOSS" if loses else "SAVINGS",
        "Shared losses" if loses else "Shared savings",
        words,
        cents(-amount if loses else amount, sheet.rounding),
        (sides, stop, full, share, least, cap),
    )
    reached = target != actual and abs(target - actual) >= least.number * target
    return Settled(target, actual, target - actual, weight, multiplier, line, reached)
