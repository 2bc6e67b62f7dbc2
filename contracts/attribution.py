"""Which practice an episode belongs to, and how that was found (EOM 1.7).

The practice of the first cancer visit keeps the episode if it furnished the share asked for of all visits; else the one
with most. A visit is one practice, one day, one cancer type. Ties go by the named steps of the sheet.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from contracts.episode import Window

FIRST, PLURALITY = "first_visit", "plurality"


@dataclass(frozen=True, slots=True)
class Attribution:
    """The practice ('' without a visit), the step that found it, and the visits of each practice, most first."""

    practice: str
    how: str
    first: str
    counts: tuple[tuple[str, int], ...]

    @property
    def visits(self) -> int:
        """All visits."""
        return sum(count for _, count in self.counts)


def attribute(window: Window, share: Decimal, ties: str) -> Attribution:
    """`how` is `first_visit`, `plurality`, or the last step of `ties` that was needed.

    2 of 8 visits are a quarter: the first practice keeps the episode. 1 of 8 is not: the one with most has it.
    """
    counts = window.practices
    told = tuple(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
    if not told:
        return Attribution("", "", "", ())
    opening = min(window.visits)[0]
    seen_first = {practice for day, practice, _ in window.visits if day == opening}
    first = min(seen_first, key=lambda p: (-counts[p], p[::-1], p))
    if counts[first] >= share * len(window.visits):
        return Attribution(first, FIRST, first, told)
    left, how = [practice for practice, count in told if count == told[0][1]], PLURALITY
    for step in ties.split():
        if len(left) > 1:
            left, how = _break(window, left, step), step
    return Attribution(min(left), how, first, told)


def _break(window: Window, tied: list[str], step: str) -> list[str]:
    """Those of the tied practices that a step prefers."""
    if step == "latest_visit":
        last = {p: max(day for day, practice, _ in window.visits if practice == p) for p in tied}
        return [practice for practice in tied if last[practice] == max(last.values())]
    assert step == "last_digit", f"no rule for the tie-break {step}"
    return [min(tied, key=lambda p: (p[::-1], p))]
