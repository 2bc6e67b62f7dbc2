"""Return to work of a cohort: what one person comes to at a cut, and the figures of many, by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from contracts.employers import EmployerClauses
from contracts.metrics.measured import four_places
from contracts.metrics.returns import (
    DISABLED,
    ExpectedTable,
    ReturnRecord,
    cohort,
    curve,
    disability_rate,
    harm_screen,
    maintenance_rate,
    observed_expected,
    record_of,
    relapse_rate,
    weekly,
)
from contracts.return_to_work import incidence
from contracts.roster import bundled_sheet
from contracts.terms import TermSheet
from tests.contracts.given import Folded, Log

STRATUM = ("breast", "early", "infused", "light", "45-54")
BEFORE: list[dict[str, Any]] = [
    {"schedule": "2024-01-01", "hours": 40},
    {"workdays": "2024-11-18", "through": "2025-01-31", "worked": 8},
    {"drug": "2025-01-10"},
    {"visit": "2025-01-12"},
]
"""Treated from 10 January 2025, at work until Friday the 31st; what follows begins on Monday 3 February."""


def person(*given: dict[str, Any], closed: str) -> ReturnRecord:
    """What a person's facts come to once a day has closed."""
    log = Log("employer").opened(False).enrolled()
    log.told([*BEFORE, *given, {"closed": closed}])
    member = Folded("employer", log.facts).member("m1")
    clauses = EmployerClauses(TermSheet(bundled_sheet("employer")[2]))
    (start,) = member.head.episodes
    trace = clauses.trace(member, member.episodes[start], "")
    return record_of(trace, member.employment, closed, "m", "e", "P1", STRATUM)


AWAY = {"leave": "2025-02-03", "through": "2025-03-02"}
BACK = {"reported": "2025-03-03", "source": "carrier", "duty": "full"}
"""Back after 28 days of absence, on Monday 3 March; confirmed when 3 March + 28 + 14 = 14 April has closed."""

LAID_OFF = {"employment": "2025-03-20", "status": "laid_off"}
CLOSURE = {"employment": "2025-03-20", "status": "terminated", "reason": "site_closure"}
DISMISSED = {"employment": "2025-03-20", "status": "terminated", "reason": "dismissed"}


@pytest.mark.parametrize(
    ("given", "closed", "days", "cause"),
    [
        ((AWAY, BACK), "2025-04-14", 28, 1),
        ((AWAY, BACK), "2025-04-13", 28, 0),  # not confirmed at the cut: censored at its start
        (({"leave": "2025-02-03"},), "2025-04-13", 69, 0),  # still away: censored at the cut
        ((AWAY, BACK, {"died": "2025-03-20"}), "2025-12-31", 45, 2),  # death inside the run
        ((AWAY, BACK, {"died": "2025-03-31"}), "2025-12-31", 28, 1),  # it held 28 days by then
        ((AWAY, BACK, LAID_OFF), "2025-12-31", 28, 0),  # censored where the run began
        ((AWAY, BACK, CLOSURE), "2025-12-31", 28, 0),
        ((AWAY, BACK, DISMISSED), "2025-12-31", 45, 3),
        (({"leave": "2025-02-03"}, DISMISSED), "2025-12-31", 45, 3),  # in open absence
        (({"leave": "2025-02-03"}, CLOSURE), "2025-12-31", 45, 0),
        (({"leave": "2025-02-03"}, {"employment": "2025-03-20", "status": "transferred"}), "2025-12-31", 45, 0),
        (({"leave": "2025-02-03"}, {"disability": "2025-02-03", "plan": "LTD", "status": "approved",
                                     "benefit": "2025-05-04"}), "2025-12-31", 90, DISABLED),
    ],
)  # fmt: skip
def test_a_person_at_a_cut(given: tuple[dict[str, Any], ...], closed: str, days: int, cause: int) -> None:
    one = person(*given, closed=closed)
    assert (one.days, one.cause) == (days, cause)


def test_one_that_lapses_leaves_the_person_at_risk_on_the_same_clock() -> None:
    """Back on day 28, away again from 17 to 30 March (a lapse after 5 work days), back for good on 31 March: day 56."""
    again = (
        {"leave": "2025-03-17", "through": "2025-03-30"},
        {"reported": "2025-03-31", "source": "carrier", "duty": "full"},
    )
    one = person(AWAY, BACK, *again, closed="2025-12-31")
    assert (one.days, one.cause, one.broke_after) == (56, 1, 18)  # broken on Friday 21 March


def test_a_return_that_held_28_days_counts_though_it_did_not_hold_90() -> None:
    later = {"leave": "2025-04-21", "through": "2025-12-31"}
    one = person(AWAY, BACK, later, closed="2025-12-31")
    assert (one.days, one.cause) == (28, 1)
    assert (one.strict_days, one.strict_cause) == (331, 0)  # at risk to the cut
    assert one.broke_after == 53


def test_who_stays_at_work_is_known_when_no_absence_may_begin_any_more() -> None:
    """The window ends 180 days after 10 January, on 9 July, and a spell of seven days shows on 16 July."""
    assert person(closed="2025-07-15").maintained is None
    assert person(closed="2025-07-16").maintained is True
    assert person(AWAY, BACK, closed="2025-07-16").maintained is False


def test_days_lost_and_benefit_days_by_hand() -> None:
    """Four weeks away are 20 days; then 4 of 8 hours for two weeks: 10 halves. Benefit, 10 February to 2 March: 21."""
    one = person(
        {"leave": "2025-02-03", "through": "2025-03-02"},
        {
            "disability": "2025-02-03",
            "plan": "STD",
            "status": "approved",
            "benefit": "2025-02-10",
            "through": "2025-03-02",
        },
        {"workdays": "2025-03-03", "through": "2025-03-14", "worked": 4},
        {"workdays": "2025-03-17", "through": "2026-02-06", "worked": 8},
        closed="2026-02-28",
    )
    assert (one.fte_days, one.std_days) == (Fraction(25), 21)
    assert person(AWAY, BACK, closed="2026-02-02").fte_days is None  # 364 days after 3 February
    assert person(AWAY, BACK, closed="2026-02-03").fte_days == 20


# --- a cohort --------------------------------------------------------------------------------------------------------

VECTOR = (
    (4, 1), (6, 1), (8, 1), (9, 2), (10, 1), (12, 1), (12, 1), (14, 0), (16, 1), (18, 3),
    (20, 1), (22, 1), (24, 0), (26, 1), (28, 2), (30, 1), (34, 1), (40, 0), (44, 3), (52, 0),
)  # fmt: skip


def people(*told: tuple[int, int], **more: Any) -> list[ReturnRecord]:
    """A person for each (days, cause)."""
    return [
        ReturnRecord(f"m{at}", f"e{at}", "P1", STRATUM, False, "2025-02-03", days, cause, days, cause,
                     "2025-03-03" if cause == 1 else "", None, 400, 700, **more)
        for at, (days, cause) in enumerate(told)
    ]  # fmt: skip


def test_the_vector_of_the_rules_by_every_cause() -> None:
    """Weeks 13, 26 and 52: 0.3000, 0.5244, 0.6482; death 0.0500, 0.0500, 0.1119; exit 0.0000, 0.0542, 0.1470."""
    for of, wanted in {
        1: ("0.3000", "0.5244", "0.6482"), 2: ("0.0500", "0.0500", "0.1119"), 3: ("0.0000", "0.0542", "0.1470"),
    }.items():  # fmt: skip
        assert tuple(four_places(incidence(VECTOR, of).at(week)) for week in (13, 26, 52)) == wanted


def test_by_days_and_by_weeks_it_is_the_same_curve() -> None:
    records = people(*((7 * week, cause) for week, cause in VECTOR))
    assert weekly(records) == tuple(sorted(VECTOR))
    assert curve(records).at(91) == incidence(VECTOR).at(13)
    assert curve(records).median() == 182


def test_the_ninety_first_day_is_of_week_thirteen_and_the_next_of_fourteen() -> None:
    assert weekly(people((91, 1), (92, 1), (0, 0), (1, 1))) == ((0, 0), (1, 1), (13, 1), (14, 1))


def test_disability_is_an_exit_of_its_own_rate() -> None:
    records = people((50, DISABLED), (60, 3), (365, DISABLED), (366, DISABLED), (400, 1))
    assert disability_rate(records) == Fraction(2, 5)
    assert [cause for _, cause in weekly(records)] == [3, 3, 3, 3, 1]


def test_relapse_asks_those_followed_long_enough_or_broken() -> None:
    told = people((10, 1), (10, 1), (10, 1), (10, 1))
    told = [
        replace(told[0], broke_after=28), replace(told[1], broke_after=29), replace(told[2], seen_for=27),
        replace(told[3], seen_for=28),
    ]  # fmt: skip
    assert relapse_rate(told, 28) == Fraction(1, 3)
    assert relapse_rate(told, 90) == 1  # broken both; the others are not followed so long
    assert relapse_rate([], 28) is None


def test_maintenance_leaves_out_those_of_whom_it_is_not_known() -> None:
    stayed = ReturnRecord("a", "e", maintained=True)
    assert maintenance_rate([stayed, replace(stayed, maintained=None), *people((5, 1))]) == Fraction(1, 2)
    assert cohort([stayed]) == []


def test_observed_over_expected_counts_the_182nd_day_and_whom_it_knows() -> None:
    """Settled takes 42 days more: 182 + 42 = 224 known days. Censored before the day, by a lay-off: in neither."""
    table = ExpectedTable("breast|*|*|*|*:0.60 *|*|*|*|*:0.40")
    told = people((182, 1), (183, 1), (100, 2), (100, 3), (181, 0), (182, 0))
    found = observed_expected(told, table, 42)
    assert (found.people, found.observed, found.expected) == (5, 1, Fraction(3))
    short = [replace(one, known_days=223) for one in told]
    assert observed_expected(short, table, 42).people == 0
    assert observed_expected([replace(one, known_days=224) for one in told], table, 42).people == 5


def test_harm_is_told_above_a_limit_and_not_at_it() -> None:
    told = people((10, 1), (10, 1), (10, 1), (10, 1), (10, 1))
    told[0] = replace(told[0], broke_after=10)
    limits = {"relapse": Fraction("0.20"), "absent_again": Fraction("0.19"), "symptoms": Fraction(0)}
    assert harm_screen(told, 28, limits).exceeded == ("absent_again",)
    told[1] = replace(told[1], symptoms=True)
    assert harm_screen(told, 28, limits).exceeded == ("absent_again", "symptoms")
