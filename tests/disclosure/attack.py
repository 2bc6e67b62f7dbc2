"""The attack on the gate: what whoever holds every release, the employer's own records and the algorithm works out.

Two attackers. The **solver** knows what the figures are and nothing of the gate: it propagates bounds over sums and
wholes, and takes releases from each other. The **twin** attacker knows the algorithm and can try every population: it
places a withheld count as narrowly as any can, and no narrower than two populations that the gate lets look alike. So
where twins are found that are five apart, no attacker whatsoever places the count within five.

    python -m tests.disclosure.attack 5000      # random employers; prints the numbers by size
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product
from random import Random

from contracts.disclosure_figures import Count, Gated, Given, Outcome, Parts, Report, Returns, Strata
from contracts.disclosure_gate import gate
from tests.disclosure.population import Employer, employer

SIZES = (20, 60, 150, 300, 500, 1000, 2500)
SMALL = range(1, 11)
WIDTH = 5
Gate = Callable[[Report, Sequence[Outcome]], Gated]
Interval = tuple[int, int]


@dataclass
class Found:
    """What the attack came to."""

    employers: int = 0
    releases: int = 0
    figures: int = 0
    shown: int = 0
    held: int = 0
    withheld_counts: int = 0
    curves: int = 0
    people: list[str] = field(default_factory=list)
    narrow: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Of figures, how many were shown."""
        return self.shown / self.figures if self.figures else 0.0


# -- the solver -------------------------------------------------------------------------------------------------------


class Solver:
    """Bounds of every count of one release, by what its figures are: parts of wholes, and sums of parts."""

    def __init__(self, report: Report, outcome: Outcome) -> None:
        self.bounds: dict[str, Interval] = {}
        self._wholes: list[tuple[str, str]] = []
        self._sums: list[tuple[str, tuple[str, ...]]] = []
        known = {figure.name: figure.value for figure in outcome.figures}
        ceiling = max((one.most or 0 for one in report.figures if isinstance(one, Count)), default=0) or 10**6
        for given in report.figures:
            match given:
                case Count():
                    self._learn(given.name, known[given.name], given.of, ceiling if given.most is None else given.most)
                case Parts():
                    self._sum(given.of, [f"{given.of}/{part}" for part, _ in given.cells], given.of, known, ceiling)
                case Strata():
                    names = [f"{given.of}/{part}" for part, _ in given.cells]
                    self._sum(given.of, names, given.of, known, ceiling)
                    whole = next(one.of for one in report.figures if isinstance(one, Count) and one.name == given.of)
                    self._wholes += [(f"{given.of}/{part}", f"{whole}/{part}") for part, _ in given.cells]
                case _:
                    pass
        while self._narrowed():
            pass

    def _learn(self, name: str, value: int | None, whole: str, most: int) -> None:
        self.bounds[name] = (0, most) if value is None else (value, value)
        if whole:
            self._wholes.append((name, whole))

    def _sum(self, of: str, names: Sequence[str], whole: str, known: dict[str, int | None], ceiling: int) -> None:
        for name in names:
            self._learn(name, known[name], whole, ceiling)
        self._sums.append((of, tuple(names)))

    def _narrowed(self) -> bool:
        before = dict(self.bounds)
        for part, whole in self._wholes:
            self._narrow(part, 0, self.bounds[whole][1])
            self._narrow(whole, self.bounds[part][0], self.bounds[whole][1])
        for of, names in self._sums:
            low, high = (sum(self.bounds[name][end] for name in names) for end in (0, 1))
            self._narrow(of, low, high)
            for name in names:
                mine = self.bounds[name]
                self._narrow(name, self.bounds[of][0] - high + mine[1], self.bounds[of][1] - low + mine[0])
        return before != self.bounds

    def _narrow(self, name: str, low: int, high: int) -> None:
        mine = self.bounds[name]
        self.bounds[name] = max(mine[0], low), min(mine[1], high)

    def people(self) -> Iterator[str]:
        """Counts of 1 to 10 that are certain: of a figure, or of what is left of its whole."""
        for name, (low, high) in self.bounds.items():
            if low == high and low in SMALL:
                yield name
        for part, whole in self._wholes:
            (low, high), (least, most) = self.bounds[part], self.bounds[whole]
            if low == high and least == most and least - low in SMALL:
                yield f"{whole} without {part}"


def differences(before: Solver, after: Solver) -> Iterator[str]:
    """Counts whose certain values in two releases of one period are one to ten apart."""
    for name in before.bounds.keys() & after.bounds.keys():
        (low, high), (least, most) = before.bounds[name], after.bounds[name]
        if low == high and least == most and abs(least - low) in SMALL:
            yield f"{name} then and now"


# -- the twins --------------------------------------------------------------------------------------------------------


def twins(report: Report, at: int, name: str) -> Iterator[tuple[int, Report | None]]:
    """Other populations in which the count `name` of figure `at` is another: its new value, and the report."""
    given = report.figures[at]
    match given:
        case Count():
            whole = next(
                (one.value for one in report.figures if isinstance(one, Count) and one.name == given.of),
                given.value + 20,
            )
            least = max(0, whole - given.rest_most) if given.rest_most is not None else 0
            most = min(max(whole, given.value + 10), 10**6 if given.most is None else given.most)
            for value in _spread(given.value, least, most):
                yield value, _with(report, _raised(report, at, value))
        case Parts() | Strata():
            mine = dict(given.cells)[name]
            for other, count in given.cells:
                if other != name:
                    for value in _spread(mine, 0, mine + count):
                        moved = dict(given.cells) | {name: value, other: count + mine - value}
                        yield value, _with(report, {at: replace(given, cells=tuple(moved.items()))})
            merged = dict(given.cells)  # of several others at once
            for other, _ in sorted(given.cells, key=lambda cell: cell[1]):
                if other != name:
                    merged |= {name: merged[name] + merged[other], other: 0}
                    yield from _checked(_with(report, {at: replace(given, cells=tuple(merged.items()))}), at, name)
            if isinstance(given, Strata):
                yield from _with_sizes(report, at, given, name)
        case _:
            return


def _checked(other: Report | None, at: int, name: str) -> Iterator[tuple[int, Report | None]]:
    """The report and the count as it came to be there: a stratum is no larger than its part."""
    if other is not None:
        yield _counted(other.figures[at], name), other


def _with_sizes(report: Report, at: int, given: Strata, name: str) -> Iterator[tuple[int, Report | None]]:
    """More of a stratum than its part has now: smaller parts, one after another, are of this part."""
    whole = next(one.of for one in report.figures if isinstance(one, Count) and one.name == given.of)
    where, parts = next((n, one) for n, one in enumerate(report.figures) if isinstance(one, Parts) and one.of == whole)
    sizes, counts = dict(parts.cells), dict(given.cells)
    for other, _ in sorted(parts.cells, key=lambda cell: cell[1]):
        if other != name:
            sizes |= {name: sizes[name] + sizes[other], other: 0}
            counts |= {name: counts[name] + counts[other], other: 0}
            sized: dict[int, Given] = {where: replace(parts, cells=tuple(sizes.items()))}
            inside = next(n for n, one in enumerate(report.figures) if isinstance(one, Count) and one.name == given.of)
            for more in (0, 2 * WIDTH):  # of a withheld count there may be more in all
                taken = dict.fromkeys(counts, 0) | {name: min(sum(counts.values()) + more, sizes[name])}
                raised = _raised(report, inside, sum(counts.values()) + more) if more else {}
                for cells in (tuple(one.items()) for one in ((taken,) if more else (counts, taken))):
                    yield from _checked(_with(report, sized | raised | {at: replace(given, cells=cells)}), at, name)


def _raised(report: Report, at: int, value: int) -> dict[int, Given]:
    """The figure with another value, and its wholes with as much where they have less."""
    made: dict[int, Given] = {}
    given = report.figures[at]
    while isinstance(given, Count):
        if made and given.value >= value:
            break
        made[at] = replace(given, value=value)
        above = [(n, one) for n, one in enumerate(report.figures) if isinstance(one, Count) and one.name == given.of]
        if not above:
            break
        at, given = above[0]
    return made


def _spread(value: int, least: int, most: int) -> list[int]:
    """Values to try, from the ends inwards, and some near: never all of a large range."""
    near = [value + step for step in (-10, -8, -6, -5, -3, 3, 5, 6, 8, 10)]
    ends = [least, most, least + 5, least + 10, most - 5, most - 10]
    return [one for one in dict.fromkeys([*ends, *near]) if least <= one <= most and one != value]


def _with(report: Report, changed: dict[int, Given]) -> Report | None:
    """The report with other figures; counts and strata below them follow. None when it cannot be."""
    figures = [changed.get(at, one) for at, one in enumerate(report.figures)]
    counts: dict[str, int] = {}
    for at, given in enumerate(figures):
        match given:
            case Count():
                whole = counts[given.of] if given.of else given.value
                counts[given.name] = min(given.value, whole)
                if counts[given.name] != given.value:
                    figures[at] = replace(given, value=counts[given.name])
            case Parts():
                gap = counts[given.of] - sum(count for _, count in given.cells)
                filled = _filled(given.cells, gap, None)
                if gap:
                    figures[at] = replace(given, cells=filled)
                counts |= {f"{given.of}/{part}": count for part, count in filled}
            case Strata():
                above = next(one.of for one in figures if isinstance(one, Count) and one.name == given.of)
                sizes = [counts[f"{above}/{part}"] for part, _ in given.cells]
                cells = tuple((part, min(count, size)) for (part, count), size in zip(given.cells, sizes, strict=True))
                gap = counts[given.of] - sum(count for _, count in cells)
                figures[at] = replace(given, cells=_filled(cells, gap, sizes))
            case Returns():
                gap = counts[given.of] - len(given.observations)
                more = (*given.observations, *[(104, 0)] * gap)[: counts[given.of]]
                figures[at] = replace(given, observations=more)
            case _:
                pass
    try:
        return Report(report.period, tuple(figures))
    except AssertionError:
        return None


def _filled(cells: Sequence[tuple[str, int]], gap: int, sizes: Sequence[int] | None) -> tuple[tuple[str, int], ...]:
    """Cells that add up again, people put where there is room, the last first."""
    made = [count for _, count in cells]
    for at in reversed(range(len(made))):
        room = (sizes[at] - made[at]) if sizes else gap
        step = max(-made[at], min(gap, room)) if gap > 0 else max(-made[at], gap)
        made[at] += step
        gap -= step
    return tuple((part, count) for (part, _), count in zip(cells, made, strict=True))


def _counted(given: Given, name: str) -> int:
    match given:
        case Count():
            return given.value
        case Parts() | Strata():
            return dict(given.cells)[name]
        case _:
            raise AssertionError(f"{name} counts nobody")


def placed(report: Report, earlier: Sequence[Outcome], seen: Outcome, at: int, name: str, by: Gate) -> Interval:
    """The interval of a count over the report and its twins that look alike, until it is wide enough."""
    low = high = _counted(report.figures[at], name)
    for value, other in twins(report, at, name):
        if high - low >= WIDTH:
            break
        if other is not None and not low <= value <= high and by(other, earlier).outcome == seen:
            low, high = min(low, value), max(high, value)
    return low, high


def returns_twins(report: Report, at: int, outcome: Outcome) -> Iterator[Iterator[Report]]:
    """Cohorts that may show the same per cents of return to work, by kinds of which one each is enough."""
    given = report.figures[at]
    assert isinstance(given, Returns)
    exits = tuple((week, 3 if cause == 2 else cause) for week, cause in given.observations)
    deaths = tuple((week, 2 if cause in (0, 3) and week > 40 else cause) for week, cause in given.observations)
    yield _with_cohorts(report, at, [exits])
    yield _with_cohorts(report, at, [deaths])
    percents = [outcome.shown(f"{given.name}/{week}") for week in (13, 26, 52)]
    for censored in (0, *range(5, 11)):
        yield _with_cohorts(report, at, _cohorts(given, percents, censored))
    for cause in (2, 3):  # after the last return, who is out may as well have died or left
        late = (
            tuple((51, cause) if week == 104 else (week, of) for week, of in cohort)
            for cohort in _cohorts(given, percents, 0)
        )
        yield _with_cohorts(report, at, late)


def _with_cohorts(report: Report, at: int, cohorts: Iterable[tuple[tuple[int, int], ...]]) -> Iterator[Report]:
    for cohort in cohorts:
        given = report.figures[at]
        assert isinstance(given, Returns)
        other = _with(report, {at: replace(given, observations=cohort)})
        if other is not None:
            yield other


def _cohorts(given: Returns, percents: Sequence[int | None], censored: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Cohorts in which so many are censored at once, and as many die as the leave file's own numbers make necessary."""
    assert given.own_waiting is not None
    room = [most - 11 for most in given.own_waiting]
    followed = len(given.observations) - censored
    makes = [[n for n in range(followed + 1) if round(Fraction(100 * n, followed)) == percent] for percent in percents]
    for first, second, third in product(*makes):
        back = first, second - first, third - second
        gone = max(0, followed - first - (room[1] + back[1]))
        later = max(0, followed - second - gone - (room[2] + back[2]))
        out = followed - third - gone - later
        if min(back) >= 11 and out >= 0:
            seen = [(0, 0)] * censored + [(12, 2)] * gone + [(25, 2)] * later + [(104, 0)] * out
            seen += [(week, 1) for week, count in zip((10, 20, 40), back, strict=True) for _ in range(count)]
            yield tuple(seen)


def returns_placed(report: Report, earlier: Sequence[Outcome], seen: Outcome, at: int, by: Gate) -> dict[int, Interval]:
    """The intervals of the deaths (2), exits (3) and people censored before week 52 (0) of a cohort that is shown."""

    def lost(one: Report) -> dict[int, int]:
        cohort = one.figures[at]
        assert isinstance(cohort, Returns)
        return {cause: sum(1 for week, of in cohort.observations if of == cause and week <= 52) for cause in (0, 2, 3)}

    placed_at = {cause: (count, count) for cause, count in lost(report).items()}
    for kind in returns_twins(report, at, seen):
        if all(high - low >= WIDTH for low, high in placed_at.values()):
            break
        other = next((one for one in kind if by(one, earlier).outcome == seen), None)
        for cause, count in lost(other).items() if other is not None else ():
            placed_at[cause] = min(placed_at[cause][0], count), max(placed_at[cause][1], count)
    return placed_at


# -- all of it --------------------------------------------------------------------------------------------------------


def attack(one: Employer, found: Found, by: Gate = gate) -> None:
    """Every release of an employer in turn, and each against those before it."""
    found.employers += 1
    told: list[Outcome] = []
    solvers: list[tuple[Outcome, Solver]] = []
    for report in one.reports:
        gated = by(report, told)
        outcome = gated.outcome
        solver = Solver(report if not gated.held else _first(one, told, outcome), outcome)
        found.people += solver.people()
        for before, earlier in solvers:
            if before.period == outcome.period:
                found.people += differences(earlier, solver)
        _count(found, gated)
        for at, name, figure in _secret(report, outcome, gated.held):
            found.withheld_counts += 1
            low, high = placed(report, told, outcome, at, name, by)
            if high - low < WIDTH and not _known_before(report, at, name):
                found.narrow.append(f"{figure} within {low} to {high}")
        for at, one_of in enumerate(report.figures):
            if isinstance(one_of, Returns) and outcome.shown(f"{one_of.name}/13") is not None and not gated.held:
                found.curves += 1
                for cause, (low, high) in returns_placed(report, told, outcome, at, by).items():
                    if high - low < WIDTH:
                        found.narrow.append(f"{one_of.name} cause {cause} within {low} to {high}")
        told.append(outcome)
        solvers.append((outcome, solver))


def _first(one: Employer, told: Sequence[Outcome], outcome: Outcome) -> Report:
    """The report that the standing figures of a period are of."""
    return one.reports[next(at for at, before in enumerate(told) if before == outcome)]


def _count(found: Found, gated: Gated) -> None:
    found.releases += 1
    found.held += gated.held
    found.figures += len(gated.outcome.figures)
    found.shown += sum(1 for figure in gated.outcome.figures if figure.value is not None)


def _secret(report: Report, outcome: Outcome, held: bool) -> Iterator[tuple[int, str, str]]:
    """The counts an attacker wants: every withheld one; where a correction is held back, every one that moved."""
    values = {figure.name: figure.value for figure in outcome.figures}
    for at, given in enumerate(report.figures):
        names: Iterable[tuple[str, str, int]] = ()
        match given:
            case Count():
                names = [(given.name, given.name, given.value)]
            case Parts() | Strata():
                names = [(part, f"{given.of}/{part}", count) for part, count in given.cells]
            case _:
                pass
        for short, name, count in names:
            if values[name] is None or (held and values[name] != count):
                yield at, short, name


def _known_before(report: Report, at: int, name: str) -> bool:
    """Whether the employer's own records alone leave less than five, whatever is released."""
    given = report.figures[at]
    del name
    return isinstance(given, Count) and given.most is not None and given.most < WIDTH


def run(employers: int, seed: int, by: Gate = gate, sizes: Sequence[int] = SIZES) -> dict[int, Found]:
    """The attack on so many random employers, by size."""
    found: dict[int, Found] = defaultdict(Found)
    for number in range(employers):
        size = sizes[number % len(sizes)]
        attack(employer(Random(f"{seed}/{number}"), size), found[size], by)
    return dict(sorted(found.items()))


def main() -> None:
    """Print the numbers by size."""
    employers = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(f"{'episodes':>9}{'employers':>11}{'releases':>10}{'held':>6}{'figures':>9}{'shown':>8}"
          f"{'withheld counts':>17}{'curves':>8}{'people found':>14}{'narrower than 5':>17}")  # fmt: skip
    for size, found in run(employers, seed=7).items():
        print(
            f"{size:>9}{found.employers:>11}{found.releases:>10}{found.held:>6}{found.figures:>9}{found.share:>8.1%}"
            f"{found.withheld_counts:>17}{found.curves:>8}{len(found.people):>14}{len(found.narrow):>17}"
        )
        for line in [*found.people[:5], *found.narrow[:5]]:
            print("   ", line)


if __name__ == "__main__":
    main()
