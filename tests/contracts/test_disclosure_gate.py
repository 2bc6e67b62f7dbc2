"""The gate against whoever knows it: every small world is tried, and those that look alike are compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import product

import pytest

from contracts.disclosure import suppress
from contracts.disclosure_figures import (
    Amount,
    Contributors,
    Count,
    Given,
    Outcome,
    Parts,
    Period,
    Report,
    Returns,
    Share,
    Strata,
)
from contracts.disclosure_gate import PeriodsOverlap, gate

FIRST_HALF = Period(date(2026, 1, 1), date(2026, 6, 30))
SECOND_HALF = Period(date(2026, 7, 1), date(2026, 12, 31))
SMALL = range(1, 11)


def shown(*figures: Given, period: Period = FIRST_HALF, earlier: tuple[Outcome, ...] = ()) -> dict[str, int | None]:
    return {one.name: one.value for one in gate(Report(period, figures), earlier).outcome.figures}


def truth(figures: Iterable[Given]) -> dict[str, int]:
    """The count of people behind every name."""
    found: dict[str, int] = {}
    for one in figures:
        match one:
            case Count():
                found[one.name] = one.value
            case Parts() | Strata():
                found |= {f"{one.of}/{part}": count for part, count in one.cells}
            case _:
                pass
    return found


def assert_nobody_is_found(worlds: Iterable[tuple[Given, ...]], prior: int = 5) -> int:
    """Worlds that the gate lets look alike leave every withheld count an interval of five; answers how many looks."""
    alike: dict[Outcome, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for figures in worlds:
        seen = alike[gate(Report(FIRST_HALF, figures)).outcome]
        for name, count in truth(figures).items():
            seen[name].add(count)
    for outcome, seen in alike.items():
        for figure in outcome.figures:
            if figure.value is not None:
                assert figure.value not in SMALL
                if figure.whole and (whole := outcome.shown(figure.whole)) is not None:
                    assert whole - figure.value not in SMALL
            elif figure.kind in ("count", "part", "stratum"):
                low, high = min(seen[figure.name]), max(seen[figure.name])
                assert high - low >= prior, (outcome, figure.name, low, high)
                assert figure.low <= low and (figure.high is None or high <= figure.high), (outcome, figure, low, high)
    return len(alike)


def compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in compositions(total - first, parts - 1):
            yield (first, *rest)


def split(*counts: int) -> tuple[Given, ...]:
    return Count("episodes", sum(counts)), Parts("episodes", tuple(zip("abcdefgh", counts, strict=False)))


@pytest.mark.parametrize(("parts", "total"), [(2, 11), (2, 22), (2, 40), (3, 11), (3, 27), (3, 40), (3, 55), (4, 34)])
def test_no_part_of_any_total_is_found_by_whoever_tries_all(parts: int, total: int) -> None:
    assert assert_nobody_is_found(split(*counts) for counts in compositions(total, parts)) >= 1


@pytest.mark.parametrize("whole", [11, 22, 27, 60])
@pytest.mark.parametrize(("most", "rest_most"), [(None, None), (9, None), (14, None), (40, None), (None, 15), (30, 33)])
def test_what_the_employers_own_records_bound_is_bound_no_further(
    whole: int, most: int | None, rest_most: int | None
) -> None:
    possible = [
        count
        for count in range(whole + 1)
        if (most is None or count <= most) and (rest_most is None or whole - count <= rest_most)
    ]
    worlds = [(Count("seen", whole), Count("of them", count, "seen", most, rest_most)) for count in possible]
    if worlds:
        assert_nobody_is_found(worlds, prior=min(5, max(possible) - min(possible)))


def test_a_count_of_a_count_of_a_count_is_not_found() -> None:
    worlds = (
        (Count("plan", 70), Count("a", a, "plan"), Count("b", b, "a"), Count("c", c, "a"))
        for a in range(71)
        for b in range(a + 1)
        for c in range(0, a + 1, 3)
    )
    assert assert_nobody_is_found(worlds) > 100


@pytest.mark.parametrize("sizes", [(23, 25, 30), (40, 12, 11), (22, 22)])
def test_no_stratum_of_any_count_is_found(sizes: tuple[int, ...]) -> None:
    names = "abc"[: len(sizes)]

    def worlds() -> Iterator[tuple[Given, ...]]:
        for counts in product(*(range(size + 1) for size in sizes)):
            inside = Count("inside", sum(counts), "episodes")
            yield (*split(*sizes), inside, Strata("inside", tuple(zip(names, counts, strict=True))))

    assert assert_nobody_is_found(worlds()) > 1


def test_strata_of_parts_that_are_pooled_are_not_found() -> None:
    def worlds() -> Iterator[tuple[Given, ...]]:
        for b in range(0, 25, 2):
            for counts in product(range(0, 31, 3), range(b + 1), range(24 - b + 1)):
                inside = Count("inside", sum(counts), "episodes")
                yield (*split(30, b, 24 - b), inside, Strata("inside", tuple(zip("abc", counts, strict=True))))

    assert assert_nobody_is_found(worlds()) > 1


# What is shown


def test_a_rule_that_can_be_solved_is_solved_and_the_gate_hides_one_more() -> None:
    # Of 27, the smallest other cell goes with the 5: no larger than the 11 shown and not small, so it is 11.
    solvable = suppress(27, {"a": 11, "b": 11, "c": 5})
    alike = [
        counts for counts in compositions(27, 3) if suppress(27, dict(zip("abc", counts, strict=True))) == solvable
    ]
    assert alike == [(11, 11, 5)]
    gated = [counts for counts in compositions(27, 3) if shown(*split(*counts)) == shown(*split(11, 11, 5))]
    assert (max(c for _, _, c in gated), min(c for _, _, c in gated)) == (16, 0)


@pytest.mark.parametrize(
    ("counts", "seen"),
    [
        ((25, 5), {"episodes": 30, "episodes/a": None, "episodes/b": None}),
        ((22, 14, 4), {"episodes": 40, "episodes/a": 22, "episodes/b": None, "episodes/c": None}),
        ((22, 9, 9), {"episodes": 40, "episodes/a": 22, "episodes/b": None, "episodes/c": None}),
        ((12, 0), {"episodes": 12, "episodes/a": None, "episodes/b": None}),
        ((60, 30, 20), {"episodes": 110, "episodes/a": 60, "episodes/b": 30, "episodes/c": 20}),
        ((60, 4, 20, 30), {"episodes/a": 60, "episodes/b": None, "episodes/c": 20, "episodes/d": None}),
        ((60, 30, 3, 4), {"episodes/a": 60, "episodes/b": None, "episodes/c": None, "episodes/d": None}),
    ],
)
def test_small_parts_go_with_companions_from_the_end(counts: tuple[int, ...], seen: dict[str, int | None]) -> None:
    found = shown(*split(*counts))
    assert {name: found[name] for name in seen} == seen


@pytest.mark.parametrize(
    ("count", "leaves"), [(0, False), (10, False), (11, True), (49, True), (50, False), (60, False)]
)
def test_eleven_inside_and_eleven_outside(count: int, leaves: bool) -> None:
    assert (shown(Count("all", 60), Count("some", count, "all"))["some"] is not None) == leaves


@pytest.mark.parametrize(
    ("people", "largest", "second", "leaves"),
    [
        (11, 100, 100, True),
        (10, 100, 100, False),  # ten contributors
        (40, 500, 0, True),  # a half is not above half
        (40, 501, 0, False),
        (40, 480, 448, True),  # 72 left, 15 % of 480
        (40, 480, 449, False),
        (40, 450, 450, True),  # 100 left of 1,000; 15 % of 450 is 67.50
        (50, 100, 100, False),  # ten of sixty have no part in it
    ],
)
def test_a_sum_needs_many_and_none_may_stand_out(people: int, largest: int, second: int, leaves: bool) -> None:
    behind = Contributors(people, largest, second)
    amount = Amount("visits", 1000, "all", behind)
    assert (shown(Count("all", 60), amount)["visits"] is not None) == leaves


def test_a_sum_that_counts_its_contributors_stays() -> None:
    few = Amount("visits", 15, "all", Contributors(11, 2, 2))
    assert shown(Count("all", 60), few)["visits"] is None
    assert shown(Count("all", 60), Amount("visits", 16, "all", Contributors(11, 2, 2)))["visits"] == 16


def test_a_share_needs_both_its_sides() -> None:
    many, few = Contributors(30, 40, 40), Contributors(9, 40, 40)
    whole = Count("treated", 60)
    assert shown(whole, Share("biosimilar", "treated", 300, many, 500, many))["biosimilar"] == 38
    assert shown(whole, Share("biosimilar", "treated", 300, few, 500, many))["biosimilar"] is None
    assert shown(whole, Share("biosimilar", "treated", 300, many, 500, few))["biosimilar"] is None


def test_nothing_is_told_of_a_count_whose_whole_is_withheld() -> None:
    behind = Contributors(10, 1, 1)
    found = shown(Count("all", 10), Count("some", 5, "all"), Amount("sum", 50, "all", behind, everyone=True))
    assert set(found.values()) == {None}


# Return to work


def absent(
    returned: tuple[int, int, int], died: int = 0, censored: int = 0, out: int = 20
) -> tuple[tuple[int, int], ...]:
    seen = [(week, 1) for week, count in zip((10, 20, 40), returned, strict=True) for _ in range(count)]
    return (*seen, *[(12, 2)] * died, *[(5, 0)] * censored, *[(60, 0)] * out)


def returns(
    *given: tuple[int, int],
    own: tuple[int, int, int] = (500, 500, 500),
    waiting: tuple[int, int, int] = (900, 900, 900),
) -> list[int | None]:
    figures = Count("absent", len(given)), Returns("rtw", "absent", given, own, waiting)
    found = shown(*figures)
    return [found[f"rtw/{week}"] for week in (13, 26, 52)]


def test_return_to_work_leaves_at_three_weeks_in_whole_per_cent() -> None:
    assert returns(*absent((30, 22, 13), out=35)) == [30, 52, 65]


@pytest.mark.parametrize(
    "counts", [(10, 30, 30), (30, 10, 30), (30, 30, 10), (30, 30, 0)], ids=["first", "second", "third", "none in third"]
)
def test_too_few_returns_in_any_interval_withhold_all_three(counts: tuple[int, int, int]) -> None:
    assert returns(*absent(counts, out=40)) == [None] * 3


def test_too_few_who_did_not_return_withhold_all_three() -> None:
    assert returns(*absent((30, 40, 40), out=10)) == [None] * 3


@pytest.mark.parametrize(("own", "waiting"), [((500, 500, 24), (900, 900, 900)), ((500, 500, 500), (900, 900, 40))])
def test_nearly_everyone_whom_the_employer_saw_come_back_would_be_a_diagnosis(
    own: tuple[int, int, int], waiting: tuple[int, int, int]
) -> None:
    given = absent((30, 22, 14), out=34)
    assert returns(*given) != [None] * 3
    assert returns(*given, own=own, waiting=waiting) == [None] * 3


def test_without_the_employers_own_numbers_no_return_leaves() -> None:
    given = absent((30, 22, 13), out=35)
    found = shown(Count("absent", len(given)), Returns("rtw", "absent", given))
    assert {found[f"rtw/{week}"] for week in (13, 26, 52)} == {None}


def test_per_cents_that_tell_who_was_censored_are_withheld() -> None:
    """Of so few, some per cents are made by one history alone; a few more people, and others make them too."""
    assert returns(*absent((14, 13, 12), died=2, censored=9, out=16)) == [None] * 3
    assert returns(*absent((14, 13, 12), died=2, censored=9, out=20)) == [23, 44, 64]


def test_who_died_or_left_is_not_solved_from_what_leaves() -> None:
    base = returns(*absent((60, 44, 26), out=70))
    assert None not in base
    assert base == returns(*absent((60, 44, 26), died=6, out=64))
    assert base == returns(*[(week, 3 if week == 60 else cause) for week, cause in absent((60, 44, 26), out=70)])


# One release after another


def halves(*versions: tuple[Given, ...]) -> list[Outcome]:
    told: list[Outcome] = []
    for figures in versions:
        told.append(gate(Report(FIRST_HALF, figures), told).outcome)
    return told


def counted(all_: int, some: int) -> tuple[Given, ...]:
    return Count("all", all_), Count("some", some, "all")


def test_a_correction_of_few_people_waits_and_one_of_eleven_is_told() -> None:
    first, held, told = halves(counted(100, 40), counted(105, 40), counted(111, 40))
    assert held == first
    assert (told.shown("all"), told.shown("some")) == (111, 40)


def test_a_correction_is_held_against_every_version_that_ever_left() -> None:
    first, second, third = halves(counted(100, 40), counted(122, 51), counted(105, 40))
    assert second != first
    assert third == second  # 105 is seventeen from 122, and five from 100


def test_the_rest_of_a_whole_may_not_move_by_a_few_either() -> None:
    first, held = halves(counted(100, 40), counted(111, 52))
    assert held == first


def test_a_union_of_parts_may_not_move_by_a_few_either() -> None:
    first, held = halves(split(40, 40, 40), split(52, 29, 40))
    assert held == first
    first, told = halves(split(40, 40, 40), split(65, 29, 40))
    assert told != first


def test_a_sum_leaves_once() -> None:
    def year(total: int, people: int) -> tuple[Given, ...]:
        behind = Contributors(people, 10, 10)
        return Count("all", people), Amount("spent", total, "all", behind, everyone=True)

    _, second = halves(year(4_000, 100), year(4_500, 120))
    assert (second.shown("all"), second.shown("spent")) == (120, 4_000)


def test_a_period_that_overlaps_another_is_refused() -> None:
    first = gate(Report(FIRST_HALF, counted(100, 40))).outcome
    year = Report(Period(date(2026, 1, 1), date(2026, 12, 31)), counted(205, 80))
    with pytest.raises(PeriodsOverlap):
        gate(year, [first])
    assert gate(Report(SECOND_HALF, counted(105, 40)), [first]).outcome.shown("all") == 105


def test_what_is_held_back_is_told_to_auditors_only() -> None:
    first = gate(Report(FIRST_HALF, counted(100, 40))).outcome
    held = gate(Report(FIRST_HALF, counted(103, 40)), [first])
    assert (held.held, held.outcome) == (True, first)
    assert gate(Report(FIRST_HALF, counted(100, 5))).rules == (("some", "11 inside and 11 outside"),)
