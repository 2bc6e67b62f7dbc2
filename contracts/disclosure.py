"""What may leave for an employer: small cells, their complements, and the range an outsider could work out.

A cell of 1-10 people is never shown, nor one that leaves 1-10 when taken from what it is a part of, nor none or all
of a small group; then enough others are hidden that no hidden cell stands alone, and the total goes if the hidden
cells could be told within a width of five (outcome rules E.3). Every withheld value carries the one word `withheld`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SMALL_MIN, SMALL_MAX = 1, 10
WHOLE_GROUP_MIN = 30
WIDTH_MIN = 5


@dataclass(frozen=True, slots=True)
class Released:
    """The cells and the total as they may leave; None is withheld."""

    cells: dict[str, int | None]
    total: int | None


def is_small(count: int) -> bool:
    """1 to 10 people."""
    return SMALL_MIN <= count <= SMALL_MAX


def suppress(total: int, cells: Mapping[str, int], percent_of: int | None = None) -> Released:
    """30: 25 and 5 -> both hidden; 40: 22, 14 and 4 -> 22 shown; 40: 22, 9 and 9 -> the total goes too."""
    whole = total if percent_of is None else percent_of
    hidden = {name for name, count in cells.items() if _must_hide(count, whole)}
    primary = {name for name in hidden if is_small(cells[name])}
    if len(hidden) == 1:
        others = [(count == 0, count, name) for name, count in cells.items() if name not in hidden]
        if others:
            hidden.add(min(others)[2])
    shown_total: int | None = None if is_small(total) else total
    if shown_total is not None and hidden and not _wide_enough(total, cells, hidden, primary):
        shown_total = None
    return Released({name: None if name in hidden else count for name, count in cells.items()}, shown_total)


def _must_hide(count: int, whole: int) -> bool:
    return is_small(count) or is_small(whole - count) or (whole < WHOLE_GROUP_MIN and count in (0, whole))


def _wide_enough(total: int, cells: Mapping[str, int], hidden: set[str], primary: set[str]) -> bool:
    """Whether each hidden cell keeps a feasible range of five or more, given the shown cells and the total.

    The outsider knows the rules: a small cell is 1-10; one hidden beside it may be anything from nought.
    """
    rest = total - sum(count for name, count in cells.items() if name not in hidden)
    bounds = {name: (SMALL_MIN, SMALL_MAX) if name in primary else (0, rest) for name in hidden}
    for name, (low, high) in bounds.items():
        others_low = sum(lo for other, (lo, _) in bounds.items() if other != name)
        others_high = sum(hi for other, (_, hi) in bounds.items() if other != name)
        if min(high, rest - others_low) - max(low, rest - others_high) < WIDTH_MIN:
            return False
    return True
