"""The disclosure gate: which figures of a report an employer may see, though it knows this page by heart.

The employer supplied the leave file, so it holds its own leave, hours, terminations and enrollment, every earlier
release, and these rules. One thought runs through them: **a figure is withheld at both ends of what the employer could
already know**, and whatever else must be withheld with it is chosen by an order fixed in advance, never by its value.
So to be withheld never tells that a figure is small: 0, everyone, and what lies next to them are withheld alike,
and the interval in which the employer can place the figure is as wide after the release as it was before. The
argument, rule by rule: docs/explanation/what-an-employer-may-see.md. No rule here may be changed alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from typing import assert_never

from contracts.disclosure_figures import (
    LEAST,
    WIDTH,
    Amount,
    Contributors,
    Count,
    Figure,
    Gated,
    Kind,
    Outcome,
    Parts,
    Report,
    Returns,
    Share,
    Strata,
)
from contracts.disclosure_returns import NAMES, percents, whole_percent


class PeriodsOverlap(ValueError):
    """A report's period shares days with one released before and is not the same: their difference would tell."""


def gate(report: Report, earlier: Sequence[Outcome] = ()) -> Gated:
    """What leaves of a report, given everything that ever left to this employer, superseded or not.

    `earlier` is in the order of release. A period that left before stands as it left, unless its counts may be told
    anew (`_far_enough`); sums, shares and returns to work of a period leave once.
    """
    for before in earlier:
        if before.period != report.period and before.period.overlaps(report.period):
            raise PeriodsOverlap(f"{report.period.first_on} to {report.period.last_on} overlaps a released period")
    fresh = _Gate().through(report)
    versions = [before for before in earlier if before.period == report.period]
    if not versions:
        return fresh
    if all(_far_enough(before, fresh.outcome) for before in versions):
        return Gated(_told_anew(versions[-1], fresh.outcome), fresh.rules)
    return Gated(versions[-1], fresh.rules, held=True)


class _Gate:
    """The figures let through so far, by name; wholes come before what is of them."""

    def __init__(self) -> None:
        self._figures: dict[str, Figure] = {}
        self._rules: list[tuple[str, str]] = []
        self._parts: dict[str, tuple[str, ...]] = {}
        self._wholes: dict[str, str] = {}

    def through(self, report: Report) -> Gated:
        """Each figure in turn; a decision rests on the figure itself and on what is shown already."""
        for given in report.figures:
            match given:
                case Count():
                    self._count(given)
                case Parts():
                    self._split(given)
                case Strata():
                    self._strata(given)
                case Amount():
                    self._amount(given)
                case Share():
                    self._share(given)
                case Returns():
                    self._returns(given)
                case _:
                    assert_never(given)
        return Gated(Outcome(report.period, tuple(self._figures.values())), tuple(self._rules))

    # -- people -------------------------------------------------------------------------------------------------------

    def _count(self, given: Count) -> None:
        """Shown when 11 or more are in it and 11 or more of those who could be are not."""
        self._wholes[given.name] = given.of
        if given.of and self._value(given.of) is None:
            high = _least_of(self._figures[given.of].high, given.most)
            self._withhold(given.name, "count", "whole withheld", 0, high, given.of)
            return
        whole = self._value(given.of) if given.of else None
        high = _least_of(whole, given.most)
        low = max(0, whole - given.rest_most) if whole is not None and given.rest_most is not None else 0
        if low + LEAST <= given.value and (high is None or given.value <= high - LEAST):
            self._show(given.name, "count", given.value, given.of)
        else:
            self._withhold(given.name, "count", "11 inside and 11 outside", low, high, given.of)

    def _split(self, given: Parts) -> None:
        """Parts of 11 or more are shown; the others leave their sum alone, with companions in the fixed order.

        The first companion goes whatever its value, so that the pool always has someone in it of whom nothing is
        known; more go until two parts and 11 people are in it.
        """
        names = {f"{given.of}/{part}": count for part, count in given.cells}
        self._parts[given.of] = tuple(names)
        if self._value(given.of) is None:
            for name in names:
                self._withhold(name, "part", "whole withheld", 0, self._figures[given.of].high, given.of)
            return
        small = {name for name, count in names.items() if count < LEAST}
        pool, companions = set(small), list(reversed(names))
        if small:
            pool.add(companions[0])
            for name in companions[1:]:
                if len(pool) >= 2 and sum(names[one] for one in pool) >= LEAST:
                    break
                pool.add(name)
        together = sum(names[name] for name in pool)
        for name, count in names.items():
            if name in pool:
                rule = "fewer than 11" if name in small else "companion"
                self._withhold(name, "part", rule, 0, together, given.of)
            else:
                self._show(name, "part", count, given.of)

    def _strata(self, given: Strata) -> None:
        """All or none: in every shown part, and in the others together, 11 or more inside and 11 or more outside."""
        whole = self._wholes[given.of]
        counts = {f"{whole}/{part}": count for part, count in given.cells}
        assert tuple(counts) == self._parts[whole], given.of
        sizes = {name: self._value(name) for name in counts}
        inside, outside = self._value(given.of), self._value(whole)
        passed = inside is not None and outside is not None and self._each(inside, outside, counts, sizes)
        for (part, count), size in zip(given.cells, sizes.values(), strict=True):
            name = f"{given.of}/{part}"
            if passed and size is not None:
                self._show(name, "stratum", count, given.of)
            else:
                rule = "11 inside and 11 outside each" if size is not None else "part withheld"
                low = 0
                if inside is not None and outside is not None and size is not None:
                    low = max(0, inside - outside + size)
                high = _least_of(self._figures[given.of].high, self._figures[f"{whole}/{part}"].high)
                self._withhold(name, "stratum", rule, low, high, given.of)

    def _each(self, inside: int, outside: int, counts: Mapping[str, int], sizes: Mapping[str, int | None]) -> bool:
        shown = [(counts[name], size) for name, size in sizes.items() if size is not None]
        rest = inside - sum(count for count, _ in shown), outside - sum(size for _, size in shown)
        pairs = shown if rest == (0, 0) else [*shown, rest]
        return len(pairs) > 1 and all(LEAST <= count <= size - LEAST for count, size in pairs)

    # -- sums ---------------------------------------------------------------------------------------------------------

    def _amount(self, given: Amount) -> None:
        people = self._value(given.of)
        pieces = given.total if given.pieces is None else min(given.pieces, given.total)
        rule = _withholding(people, given.total, given.contributors, given.everyone, pieces=pieces)
        if rule:
            self._withhold(given.name, "sum", rule)
        else:
            self._show(given.name, "sum", given.total)

    def _share(self, given: Share) -> None:
        """In whole per cent, when the part and the rest each pass as sums."""
        people = self._value(given.of)
        rule = _withholding(people, given.part, given.part_contributors, everyone=False, all_may=True)
        rule = rule or _withholding(people, given.rest, given.rest_contributors, everyone=False, all_may=True)
        if rule:
            self._withhold(given.name, "percent", rule, 0, 100)
        else:
            self._show(given.name, "percent", whole_percent(Fraction(given.part, given.part + given.rest)))

    def _returns(self, given: Returns) -> None:
        cohort = self._value(given.of)
        found = percents(given) if cohort is not None else None
        for week, percent in (found or dict.fromkeys(NAMES)).items():
            name = f"{given.name}/{week}"
            if percent is None:
                self._withhold(name, "percent", "11 returned and 11 not in each interval", 0, 100)
            else:
                self._show(name, "percent", percent)

    # -- the page -----------------------------------------------------------------------------------------------------

    def _value(self, name: str) -> int | None:
        return self._figures[name].value

    def _show(self, name: str, kind: Kind, value: int, whole: str = "") -> None:
        assert name not in self._figures, name
        self._figures[name] = Figure(name, kind, value, value, value, whole)

    def _withhold(
        self, name: str, kind: Kind, rule: str, low: int = 0, high: int | None = None, whole: str = ""
    ) -> None:
        assert name not in self._figures, name
        self._figures[name] = Figure(name, kind, None, low, high, whole)
        self._rules.append((name, rule))


def _least_of(*bounds: int | None) -> int | None:
    """The least of those bounds that there are."""
    return min((bound for bound in bounds if bound is not None), default=None)


def _withholding(
    people: int | None,
    total: int,
    behind: Contributors,
    everyone: bool,
    all_may: bool = False,
    pieces: int | None = None,
) -> str:
    """Why a sum over people stays, '' if it may leave.

    11 contributors; none has more than half; the total less the two largest is 15 % of the largest or more. How many
    contribute is a count of its own: 11 or more do not (unless everyone does or may), and the total, of which each
    contributor has one unit (or one of `pieces`) or more, leaves their number an interval of five.
    """
    if people is None:
        return "whole withheld"
    if behind.people < LEAST:
        return "fewer than 11 contributors"
    most = people if everyone or all_may else people - LEAST
    if behind.people > most:
        return "fewer than 11 without a part in it"
    if not everyone and min(total if pieces is None else pieces, most) - LEAST < WIDTH:
        return "number of contributors too well known"
    return "dominated by one or two" if dominated(total, behind) else ""


def dominated(total: int, behind: Contributors) -> bool:
    """Whether one contributor has more than half of a sum, or what is not the two largest's is below 15 % of one's."""
    return 2 * behind.largest > total or 100 * (total - behind.largest - behind.second) < 15 * behind.largest


# --- a period told again ---------------------------------------------------------------------------------------------

COUNTS = ("count", "part", "stratum")


def _far_enough(before: Outcome, after: Outcome) -> bool:
    """Whether every number of people that can be told from both has not moved, or has by 11 or more."""
    old, new = dict(_tellable(before)), dict(_tellable(after))
    return all(old[name] == new[name] or abs(old[name] - new[name]) >= LEAST for name in old.keys() & new.keys())


def _tellable(outcome: Outcome) -> Iterable[tuple[str | tuple[str, ...], int]]:
    """What an outsider adds up or takes away: counts, the rest of their wholes, every union of parts and strata."""
    shown = {figure.name: figure.value for figure in outcome.figures if figure.value is not None}
    wholes = {figure.name: figure.whole for figure in outcome.figures}
    groups: dict[str, list[str]] = {}
    for figure in outcome.figures:
        if figure.kind == "count" and figure.value is not None:
            yield figure.name, figure.value
            if figure.whole in shown:
                yield f"{figure.whole} without {figure.name}", shown[figure.whole] - figure.value
        elif figure.kind in ("part", "stratum") and figure.value is not None:
            groups.setdefault(figure.whole, []).append(figure.name)
    for whole, names in groups.items():
        sizes = {name: f"{wholes[whole]}/{name.rpartition('/')[2]}" for name in names}  # of strata: the parts' own
        for count in range(1, len(names) + 1):
            for some in combinations(names, count):
                together = sum(shown[name] for name in some)
                yield some, together
                yield (whole, *some), shown[whole] - together
                if all(sizes[name] in shown for name in some):
                    yield ("without", *some), sum(shown[sizes[name]] for name in some) - together


def _told_anew(before: Outcome, after: Outcome) -> Outcome:
    """The counts as they are now; sums, shares and returns to work as they left before, and no figure that is new."""
    now = {figure.name: figure for figure in after.figures if figure.kind in COUNTS}
    return Outcome(before.period, tuple(now.get(figure.name, figure) for figure in before.figures))
