"""When return to work may leave: at weeks 13, 26 and 52, in whole per cent, and no finer (outcome rules A.2, E.3).

From whole per cents and the size of the cohort an outsider solves how many returned in each interval, so those counts
must pass by themselves: 11 or more returned and 11 or more did not, in each interval. The employer's own leave file
says how many came back then for whatever reason; 11 or more of them must be none of the cohort. And the per cents must
be such that other numbers of deaths, exits and censored people give the very same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache

from contracts.disclosure_figures import LEAST, WEEKS, WIDTH, Returns
from contracts.return_to_work import RETURNED, incidence

NAMES = tuple(str(week) for week in WEEKS)


def percents(given: Returns) -> dict[str, int] | None:
    """The per cent returned by week 13, 26 and 52, all three or none: {"13": 30, "26": 52, "52": 65}."""
    if given.own_returned is None or given.own_waiting is None:
        return None
    people = len(given.observations)
    for (returned, waiting), own, own_waiting in zip(
        _intervals(given.observations), given.own_returned, given.own_waiting, strict=True
    ):
        if not (LEAST <= returned <= own - LEAST and LEAST <= waiting <= own_waiting - LEAST):
            return None
    curve = incidence(given.observations)
    found = tuple(whole_percent(curve.at(week)) for week in WEEKS)
    if not _ambiguous(people, found, given.own_returned, given.own_waiting):
        return None
    return dict(zip(NAMES, found, strict=True))


def _intervals(observations: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """For each interval: who returned in it, and who was still away at its start and did not."""
    before = -1
    for week in WEEKS:
        there = [cause for when, cause in observations if when > before]
        returned = sum(1 for when, cause in observations if before < when <= week and cause == RETURNED)
        yield returned, len(there) - returned
        before = week


@lru_cache(maxsize=256)
def _ambiguous(people: int, found: Sequence[int], own: Sequence[int], own_waiting: Sequence[int]) -> bool:
    """Whether nobody censored gives these per cents, and so do five or more censored at the start of each interval.

    Deaths and exits never move the curve by themselves and take each other's place, and five more people than need be
    are left over for them: so of each competing cause there may have been none or five.
    """

    def may_be(interval: int, lost: Iterable[int]) -> bool:
        ways = ([some if one == interval else 0 for one in range(len(WEEKS))] for some in lost)
        return any(any(_curves(people, found, own, own_waiting, censored)) for censored in ways)

    return may_be(0, [0]) and all(may_be(interval, range(WIDTH, LEAST)) for interval in range(len(WEEKS)))


def _curves(
    people: int, found: Sequence[int], own: Sequence[int], own_waiting: Sequence[int], censored: Sequence[int]
) -> Iterator[bool]:
    """Yields once for each way in which whole people make these per cents, given how many are censored when.

    Of those who did not return in an interval, as many died or left before the next as the leave file's own numbers
    make necessary. `ratio` is what one return adds to the curve: what is left of the cohort over those at risk.
    """

    def on(interval: int, left: int, ratio: Fraction, level: Fraction) -> Iterator[bool]:
        if interval == len(WEEKS):
            if left >= LEAST + WIDTH:
                yield True
            return
        lost = censored[interval]
        wanted = (Fraction(2 * found[interval] - 1, 200) - level) / ratio
        first = max(LEAST, int(wanted * 2 / 3 if lost else wanted))  # so few at risk that 3/2 is the most they gain
        for returned in range(first, min(left - lost, own[interval] - LEAST) + 1):
            most = own_waiting[interval] - LEAST + returned
            at_risk = min(left - lost, most) if interval else left - lost
            if at_risk > most or at_risk - returned < LEAST:
                continue
            step = ratio * Fraction(at_risk + lost, at_risk)
            reached = level + step * returned
            if (percent := whole_percent(reached)) > found[interval]:
                return
            if percent == found[interval]:
                yield from on(interval + 1, at_risk - returned, step, reached)

    return on(0, people, Fraction(1, people), Fraction(0))


def whole_percent(part: Fraction) -> int:
    """A fraction in whole per cent, half to even: 0.525 -> 52."""
    return round(part * 100)
