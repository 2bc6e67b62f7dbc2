"""Alerts: red and amber by the stated rules, compared within 14 days, closed and never deleted."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.instruments.alerts import Alert, alerts_of, findings
from contracts.instruments.definition import instruments
from tests.contracts.test_instruments import DAY, response, values

SELF_HARM = instruments()["phq-9"].items[8]


def survey(name: str, answers: dict[str, Any], days: int = 0, **changes: Any) -> Any:
    return response("PRO-CTCAE", answers, response_id=name, collected_on=DAY + timedelta(days=days), **changes)


def levels(alerts: tuple[Alert[int], ...]) -> list[tuple[str, str, str | None]]:
    return [(a.response_id, a.finding.level, a.close_reason) for a in alerts]


@pytest.mark.parametrize(
    ("answers", "rules"),
    [
        ({"pain-severity": 3}, ("severity",)),
        ({"pain-severity": 2}, ()),
        (
            {"urinary-urgency-frequency": 3, "urinary-urgency-interference": 3},
            ("frequency_and_interference", "composite"),
        ),
        ({"urinary-urgency-frequency": 3, "urinary-urgency-interference": 2}, ()),
        ({"diarrhea-frequency": 4}, ("composite",)),
        ({"diarrhea-frequency": 3}, ()),
        ({"pain-frequency": 2, "pain-severity": 2, "pain-interference": 3}, ("composite",)),
        ({"hair-loss-amount": 4}, ()),
        ({"rash-presence": 1}, ()),
        ({"fever": 1}, ("fever",)),
        ({"fever": 0}, ()),
    ],
)
def test_red_at_each_threshold(answers: dict[str, int], rules: tuple[str, ...]) -> None:
    found = findings(survey("a", answers))
    assert tuple(rule for one in found for rule in one.reasons) == rules
    assert all(one.level == "RED" for one in found)


def test_any_thought_of_self_harm_is_red_whatever_the_total() -> None:
    (found,) = findings(response("PHQ-9", values(0, 0, 0, 0, 0, 0, 0, 0, 1)))
    assert (found.subject, found.level, found.reasons) == (f"phq-9/{SELF_HARM}", "RED", ("self_harm",))
    (partial,) = findings(response("PHQ-9", {SELF_HARM: 1}))
    assert partial.level == "RED"
    assert findings(response("PHQ-9", values(3, 3, 3, 3, 3, 3, 3, 3, 0))) == ()


@pytest.mark.parametrize(
    ("days", "before", "after", "level"),
    [(7, 0, 2, "AMBER"), (7, 1, 2, None), (14, 0, 2, "AMBER"), (15, 0, 2, None), (7, 0, 3, "RED"), (7, 2, 0, None)],
)
def test_amber_is_a_rise_of_two_within_fourteen_days(days: int, before: int, after: int, level: str | None) -> None:
    first, second = survey("a", {"pain-severity": before}), survey("b", {"pain-severity": after}, days)
    found = [a.finding.level for a in alerts_of([(first, 1), (second, 2)]) if a.response_id == "b"]
    assert found == ([level] if level else [])


def test_only_the_survey_just_before_counts() -> None:
    line = [
        survey("a", {"pain-severity": 0}),
        survey("b", {"pain-severity": 1}, 5),
        survey("c", {"pain-severity": 2}, 9),
    ]
    assert alerts_of([(one, 1) for one in line]) == ()


def test_another_instrument_is_no_comparison() -> None:
    phq = response("PHQ-9", values(0, 0), response_id="p", collected_on=DAY)
    gad = response("GAD-7", {"69725-0": 2}, response_id="g", collected_on=DAY + timedelta(days=1))
    assert alerts_of([(phq, 1), (gad, 2)]) == ()


def test_an_amended_response_closes_its_alerts_and_is_looked_at_anew() -> None:
    sent = survey("a", {"pain-severity": 3})
    for answers, later in (({"pain-severity": 1}, []), ({"pain-severity": 4}, [("a", "RED", None)])):
        alerts = alerts_of([(sent, 1), (survey("a", answers, status="amended"), 2)])
        assert levels(alerts) == [("a", "RED", "source_amended"), *later]
        assert (alerts[0].raised_by, alerts[0].closed_by) == (1, 2)


def test_what_was_entered_in_error_closes_its_alerts_and_raises_none() -> None:
    alerts = alerts_of([
        (survey("a", {"pain-severity": 3}), 1),
        (survey("a", {"pain-severity": 3}, status="entered_in_error"), 2),
    ])  # fmt: skip
    assert levels(alerts) == [("a", "RED", "source_amended")]


def test_an_amended_survey_changes_what_the_next_is_compared_with() -> None:
    low, high = survey("a", {"pain-severity": 0}), survey("b", {"pain-severity": 2}, 7)
    mended = survey("a", {"pain-severity": 1}, status="amended")
    assert levels(alerts_of([(low, 1), (high, 2), (mended, 3)])) == [("b", "AMBER", "comparison_changed")]
    back = survey("a", {"pain-severity": 0}, status="amended")
    alerts = alerts_of([(low, 1), (high, 2), (mended, 3), (back, 4)])
    assert levels(alerts) == [("b", "AMBER", "comparison_changed"), ("b", "AMBER", None)]
    assert alerts[1].raised_by == 4


def test_a_survey_that_comes_late_stands_between() -> None:
    low, high = survey("a", {"pain-severity": 0}), survey("c", {"pain-severity": 2}, 9)
    late = survey("b", {"pain-severity": 1}, 4)
    assert levels(alerts_of([(low, 1), (high, 2), (late, 3)])) == [("c", "AMBER", "comparison_changed")]


def test_an_amendment_of_nothing_known_is_taken_as_it_is() -> None:
    assert levels(alerts_of([(survey("a", {"pain-severity": 3}, status="amended"), 1)])) == [("a", "RED", None)]


_ANSWERS = st.fixed_dictionaries({"pain-severity": st.integers(0, 4), "nausea-frequency": st.integers(0, 4)})
_STATUS = st.sampled_from(("completed", "amended", "entered_in_error"))
_SURVEYS = st.lists(st.tuples(st.sampled_from("abcd"), _ANSWERS, st.integers(0, 30), _STATUS), max_size=12)


@settings(max_examples=60)
@given(_SURVEYS)
def test_what_is_open_is_what_the_standing_surveys_ask_for(sent: list[Any]) -> None:
    heard = [(survey(name, answers, days, status=status), at) for at, (name, answers, days, status) in enumerate(sent)]
    alerts = alerts_of(heard)
    standing: dict[str, Any] = {}
    place: dict[str, int] = {}
    for one, at in heard:
        if one.status == "entered_in_error":
            standing.pop(one.response_id, None)
            place.pop(one.response_id, None)
        else:
            standing[one.response_id] = one
            place.setdefault(one.response_id, at)
    line = sorted(standing.values(), key=lambda one: (one.collected_on, place[one.response_id]))
    wanted = set()
    for at, one in enumerate(line):
        near = line[at - 1] if at and (one.collected_on - line[at - 1].collected_on).days <= 14 else None
        wanted |= {(one.response_id, finding) for finding in findings(one, near)}
    assert {(a.response_id, a.finding) for a in alerts if a.is_open} == wanted
    assert all(a.close_reason is None or a.closed_by is not None for a in alerts)


def test_reasons_hold_no_answer() -> None:
    (found,) = findings(survey("a", {"pain-severity": 4}))
    assert not any(character.isdigit() for character in "".join(found.reasons))
    assert date(2025, 3, 3) == DAY
