"""Instruments: composite grades by the published tables, totals and bands by dated cuts, nothing imputed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import EproResponseReceived
from contracts.events.health import EproItem, EproScore
from contracts.instruments import pro_ctcae, promis, score, unscorable
from contracts.instruments.definition import holding, instruments, item_code, named, total_of
from contracts.instruments.pro_ctcae import TERMS, composite, item_of
from contracts.instruments.wpai import Impairment, impairment

DAY = date(2025, 3, 3)
PHQ9 = instruments()["phq-9"].items
GAD7 = instruments()["gad-7"].items
AHC = ("71802-3", "96778-6", "88122-7", "88123-5", "93030-5", "96779-4", "95618-5", "95617-7", "95616-9", "95615-1")


def response(instrument: str, answers: dict[str, Any], **changes: Any) -> EproResponseReceived:
    items = tuple(
        EproItem(code_system="x", code=code, value=None if value is None else Decimal(value))
        for code, value in answers.items()
    )
    scores = tuple(EproScore(name=n, value=Decimal(v)) for n, v in changes.pop("scores", {}).items())
    fields: dict[str, Any] = {"response_id": "r1", "instrument_version": "1", "collected_on": DAY} | changes
    return EproResponseReceived(instrument=instrument, items=items, scores=scores, **fields)


def values(*answers: int | None) -> dict[str, int | None]:
    return dict(zip(PHQ9, answers, strict=False))


# PRO-CTCAE


def test_the_library_has_124_items_on_80_terms() -> None:
    assert (len(TERMS), sum(len(term.asks) for term in TERMS.values())) == (80, 124)
    alone = [t for t in TERMS.values() if t.asks == ("presence",)]
    assert [t.number for t in alone] == [
        5, 12, 24, 29, 31, 32, 33, 34, 35, 37, 38, 42, 43, 57, 58, 64, 69, 70, 73, 76, 79,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "code", ["PROCTCAE_48B_SCL", "proctcae-48b-sev", "48B", "pain-severity", "general-pain-severity", "PRO-CTCAE_48b"]
)
def test_a_code_is_known_however_it_is_spelled(code: str) -> None:
    assert item_of(code) == (48, "severity")


def test_a_letter_is_the_place_in_the_terms_own_order() -> None:
    assert (item_of("8A"), item_of("8B"), item_of("8C")) == ((8, "severity"), (8, "interference"), None)
    assert item_of("proctcae-8a-frq") is None
    assert (item_of("hair-loss-amount"), item_of("27A")) == ((27, "amount"), (27, "amount"))
    assert (item_of("81A"), item_of("pain"), item_of("no-such-severity")) == (None, None, None)


GRADES: list[tuple[int, dict[Any, int | None], int | None]] = [
    (16, {"frequency": 4}, 3),
    (16, {"frequency": 2}, 1),
    (15, {"severity": 3}, 3),
    (27, {"amount": 4}, 2),
    (9, {"frequency": 3, "severity": 3}, 3),
    (9, {"frequency": 1, "severity": 0}, 1),
    (9, {"frequency": 0, "severity": None}, 0),  # B is skipped by branching
    (9, {"frequency": 2, "severity": None}, None),  # and is missing otherwise
    (9, {"frequency": None, "severity": 0}, None),
    (18, {"frequency": 3, "interference": 2}, 2),
    (53, {"severity": 3, "interference": 2}, 2),
    (53, {"severity": 4, "interference": 0}, 2),
    (53, {"severity": 0}, 0),
    (48, {"frequency": 3, "severity": 2, "interference": 1}, 2),
    (48, {"frequency": 1, "severity": 2, "interference": 4}, 3),
    (48, {"frequency": 4, "severity": 1, "interference": 4}, 3),
    (48, {"frequency": 3, "severity": 1, "interference": 4}, 2),
    (48, {"frequency": 0}, 0),
    (48, {"frequency": 1, "severity": 0, "interference": None}, None),
    (24, {"presence": 1}, None),  # yes or no has no grade
]


@pytest.mark.parametrize(("number", "answers", "grade"), GRADES)
def test_composite_grades(number: int, answers: dict[Any, int | None], grade: int | None) -> None:
    assert composite(TERMS[number], answers) == grade


@given(st.data())
def test_a_worse_answer_never_lowers_a_grade(data: st.DataObject) -> None:
    term = TERMS[data.draw(st.sampled_from([n for n, t in TERMS.items() if t.graded]))]
    answers: dict[Any, int | None] = {asked: data.draw(st.integers(0, 4)) for asked in term.asks}
    worse = data.draw(st.sampled_from(term.asks))
    before = composite(term, answers)
    after = composite(term, answers | {worse: min(4, (answers[worse] or 0) + 1)})
    assert before is not None
    assert after is not None
    assert 0 <= before <= after <= 3


def test_a_survey_is_graded_by_term() -> None:
    sent = {"pain-frequency": 3, "pain-severity": 2, "pain-interference": 1, "nausea-frequency": 2, "rash-presence": 1}
    scored = score(response("PRO-CTCAE", sent))
    assert scored.grades == {"nausea": None, "pain": 2}
    assert scored.missing == ("nausea",)


# Totals


def test_the_published_phq9_is_twelve_and_moderate() -> None:
    scored = score(response("PHQ-9", values(2, 2, 2, 2, 1, 1, 2, 0, 0), scores={"phq9_total": 12}))
    (total,) = scored.scores
    assert (total.name, str(total.value), total.band, total.origin) == ("phq9_total", "12", "moderate", "items")
    assert (scored.missing, scored.differs) == ((), ())


@pytest.mark.parametrize(
    ("total", "band"),
    [
        (4, "minimal"), (5, "mild"), (9, "mild"), (10, "moderate"), (15, "moderately_severe"), (20, "severe"),
        (27, "severe"),
    ],
)  # fmt: skip
def test_phq9_bands_at_each_cut(total: int, band: str) -> None:
    answers = [min(3, max(0, total - 3 * place)) for place in range(9)]
    (made,) = score(response("phq9", values(*answers))).scores
    assert (int(made.value), made.band) == (total, band)


@pytest.mark.parametrize(("total", "band"), [(4, "minimal"), (5, "mild"), (10, "moderate"), (15, "severe")])
def test_gad7_bands_at_each_cut(total: int, band: str) -> None:
    answers = {code: min(3, max(0, total - 3 * place)) for place, code in enumerate(GAD7)}
    (made,) = score(response("GAD-7", answers)).scores
    assert (made.name, int(made.value), made.band) == ("gad7_total", total, band)


@pytest.mark.parametrize(("answer", "band"), [(2, "negative"), (3, "positive")])
def test_phq2_asks_for_the_long_form_from_three_on(answer: int, band: str) -> None:
    (made,) = score(response("PHQ-2", {PHQ9[0]: answer, PHQ9[1]: 0})).scores
    assert made.band == band


def test_with_an_answer_missing_there_is_no_total_but_the_one_sent() -> None:
    short = values(3, 3, 3, 3, 3, 3, 3, 3, None)
    assert score(response("PHQ-9", short)).scores == ()
    scored = score(response("PHQ-9", short, scores={"44261-6": 24}))
    assert [(s.name, str(s.value), s.band, s.origin) for s in scored.scores] == [("phq9_total", "24", "severe", "sent")]
    assert scored.missing == ("44260-8",)


def test_a_total_that_the_items_do_not_add_up_to_is_named() -> None:
    scored = score(response("PHQ-9", values(*[1] * 9), scores={"phq9_total": 10}))
    assert (scored.differs, int(scored.scores[0].value)) == (("phq9_total",), 9)


def test_on_a_day_without_cuts_there_is_no_band() -> None:
    (total,) = score(response("PHQ-9", values(*[1] * 9), collected_on=date(2000, 12, 31))).scores
    assert total.band is None


@pytest.mark.parametrize(("answer", "band"), [(3, "below_action"), (4, "action"), (10, "action")])
def test_distress_asks_for_action_from_four_on(answer: int, band: str) -> None:
    (total,) = score(response("NCCN-DT", {"distress": answer})).scores
    assert total.band == band


def test_eq5d_adds_levels_and_takes_an_index_only_as_sent() -> None:
    sent = {"mobility": 1, "self-care": 1, "usual-activities": 3, "pain": 2, "anxiety": 1, "vas": 70}
    scored = score(response("EQ-5D-5L", sent, scores={"index": "0.812"}))
    assert [(s.name, str(s.value), s.origin) for s in scored.scores] == [
        ("eq5d_level_sum", "8", "items"),
        ("index", "0.812", "sent"),
    ]


@pytest.mark.parametrize(
    ("name", "value", "band"),
    [
        ("77864-7", "55", "normal"), ("77864-7", "55.1", "mild"), ("promis_fatigue_t", "60.1", "moderate"),
        ("71965-8", "70.1", "severe"), ("77854-8", "45", "normal"), ("77854-8", "44.9", "mild"),
        ("91721-1", "39.9", "moderate"), ("promis_physical_function_t", "29.9", "severe"),
    ],
)  # fmt: skip
def test_promis_bands_run_up_for_symptoms_and_down_for_function(name: str, value: str, band: str) -> None:
    (found,) = score(response("PROMIS-29", {}, scores={name: value})).scores
    assert found.band == band
    assert found.name == promis.score_name(promis.domain_of(name) or "")


# WPAI


def wpai(**answers: str) -> Impairment:
    return impairment("wpai-gh", {code: Decimal(value) for code, value in answers.items()})


def test_wpai_general_health() -> None:
    found = wpai(Q1="1", Q2="8", Q4="32", Q5="3", Q6="4")
    assert found == Impairment(Decimal("0.2"), Decimal("0.3"), Decimal("0.44"), Decimal("0.4"))


def test_no_hours_at_all_are_no_absenteeism_of_zero() -> None:
    assert wpai(Q1="1", Q2="0", Q4="0", Q5="3", Q6="4") == Impairment(None, None, None, Decimal("0.4"))
    assert wpai(Q1="1", Q2="40", Q4="0", Q6="4") == Impairment(Decimal(1), None, Decimal(1), Decimal("0.4"))
    assert wpai(Q1="0", Q6="4") == Impairment(None, None, None, Decimal("0.4"))
    assert wpai(Q1="1", Q2="8", Q6="4").absenteeism is None


def test_the_combined_version_counts_what_the_problem_took_of_all_hours() -> None:
    answers = {"Q1": 1, "Q2a": 5, "Q2b": 5, "Q3": 30, "Q4a": 2, "Q5a": 3}
    found = impairment("wpai-shp", {code: Decimal(value) for code, value in answers.items()})
    assert found.absenteeism == Decimal("0.125")


def test_wpai_is_scored_as_fractions() -> None:
    made = score(response("WPAI-GH", {"Q2": 8, "Q4": 32, "Q5": 3, "Q6": 4})).scores
    assert {s.name: str(s.value) for s in made} == {
        "wpai_absenteeism": "0.2", "wpai_presenteeism": "0.3", "wpai_overall": "0.44", "wpai_activity": "0.4",
    }  # fmt: skip


# Health-related social needs


@pytest.mark.parametrize(
    ("changed", "needs"),
    [
        ({}, ()),
        ({"71802-3": 1}, ("housing",)),
        ({"96778-6": 1, "88123-5": 1}, ("housing", "food")),
        ({"93030-5": 1, "96779-4": 1}, ("transportation", "utilities")),
        ({"95618-5": 5, "95617-7": 3}, ("safety",)),  # 5 + 3 + 1 + 1 = 10 is none, with 2 it is 11
    ],
)
def test_needs_by_domain(changed: dict[str, int], needs: tuple[str, ...]) -> None:
    quiet = dict.fromkeys(AHC[:6], 0) | dict.fromkeys(AHC[6:], 1)
    if "safety" in needs:
        assert score(response("AHC-HRSN", quiet | changed)).needs == ()
        changed = changed | {"95616-9": 2}
    assert score(response("AHC-HRSN", quiet | changed)).needs == needs


# Names and codes


def test_instruments_and_their_items_are_known_by_several_names() -> None:
    assert [named(n) for n in ("PHQ-9", "phq9", "44249-1", "PROMIS-29", "proctcae", "WPAI", "96777-8", "SF-36")] == [
        "phq-9", "phq-9", "phq-9", "promis", "pro-ctcae", "wpai-gh", "ahc-hrsn", None,
    ]  # fmt: skip
    phq = instruments()["phq-9"]
    assert {item_code(phq, c) for c in ("44259-0", "PHQ-9.3", "PHQ.3", "Q3", "3", "item_03")} == {"44259-0"}
    assert (item_code(phq, "PHQ.10"), item_code(phq, "PHQ.11"), item_code(phq, "PHQ.Score")) == ("69722-7", None, None)
    assert item_code(instruments()["wpai-gh"], "WPAI.2") == "Q2"
    assert total_of("44261-6") == ("phq-9", "phq9_total")
    assert holding(frozenset(GAD7)) == "gad-7"
    assert holding(frozenset(PHQ9[:2])) == "phq-2"
    assert holding(frozenset({"nausea-frequency"})) == "pro-ctcae"
    assert holding(frozenset({"8867-4"})) is None


def test_what_is_outside_the_scale_is_named_without_its_value() -> None:
    (found,) = unscorable(response("PHQ-9", values(0, 7)))
    assert (found.index, found.code, found.reason) == (1, "44255-8", "an answer outside 0 to 3")
    assert [u.code for u in unscorable(response("PRO-CTCAE", {"rash-presence": 2, "pain-severity": 4}))] == [
        "rash-presence"
    ]
    assert list(unscorable(response("SF-36", {"a": 900}))) == []


def test_every_definition_can_be_reached_by_its_names() -> None:
    for name, one in instruments().items():
        assert {named(each) for each in one.names} == {name}
        assert all(one.cuts == tuple(sorted(one.cuts, key=lambda c: c.at)) for one in one.bands)
        assert set(one.limits) <= {*one.items}
        assert set(one.safety) <= {*one.items}


def test_grades_use_the_whole_of_each_table() -> None:
    made = {composite(pro_ctcae.TERMS[48], dict(zip(TERMS[48].asks, (f, s, i), strict=True)))
            for f in range(5) for s in range(5) for i in range(5)}  # fmt: skip
    assert made == {0, 1, 2, 3}
