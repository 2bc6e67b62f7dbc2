"""OCM settles a period by its own clauses: periods, benchmark, tracks; a history of EOM told under it."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import pytest

from contracts.drafts import Change
from contracts.gathering import Gatherer
from contracts.methods import METHODS
from contracts.period import Period, period_of
from contracts.reference_values import References
from contracts.roster import bundled_sheet, contract_digest
from contracts.settled import Settlement
from contracts.settlement import settle
from contracts.settlement_payments import operands
from contracts.terms import TermSheet
from contracts.trial.answer import answer, find
from tests.oracle.gathered import Recorded
from tests.oracle.settling import PERIODS, make

OCM, IMAGINED = TermSheet(bundled_sheet("ocm")[2]), bundled_sheet("ocm/eom-years")[2]


@pytest.mark.parametrize(
    ("number", "first", "last", "over", "due"),
    [
        (1, "2016-07-01", "2017-01-01", "2017-06-30", "2017-08-30"),
        (2, "2017-01-02", "2017-07-01", "2017-12-31", "2018-02-28"),
        (3, "2017-07-02", "2018-01-01", "2018-06-30", "2018-08-30"),
    ],
)
def test_periods_after_the_first_begin_a_day_after_the_half_year(
    number: int, first: str, last: str, over: str, due: str
) -> None:
    assert Period.of(OCM, number, "initial") == Period(number, first, last, over, due)
    assert (period_of(OCM, first), period_of(OCM, last)) == (number, number)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> list[Settlement]:
    """A history of EOM with the payer's figures, told under OCM."""
    out = tmp_path_factory.mktemp("ocm")
    made = make(out, 40, seed=9, variants=1, known_through=date(2025, 6, 30))
    core = Recorded("medicare")
    for path in (made.practices, made.figures, made.all):
        core.publish(path)
    gatherer = Gatherer("medicare", "ocm", 0)
    for fact in Change(sheet=IMAGINED, clauses=contract_digest("ocm")).apply(core.facts):
        gatherer.take(fact)
    references = References(gatherer.adoption.references)
    cases = list(gatherer.cases(references))
    assert gatherer.failed == [] and {case.exclusion for case in cases} == {""}
    sheet = TermSheet(gatherer.adoption.sheets[""].content)
    return [
        settle(METHODS["ocm"], sheet, gatherer.adoption, references, period, "true-up", cases) for period in PERIODS
    ]


def test_an_episode_s_benchmark_is_baseline_experience_and_trend(settled: list[Settlement]) -> None:
    priced = [one for settlement in settled for group in settlement.groups for one in group.priced]
    assert len(priced) >= 40
    for one in priced:
        exact = one.baseline * one.experience * one.trend * 100
        assert one.trended_cents == int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))
        assert one.clinical == 1


def test_a_track_without_a_downside_owes_nothing_and_the_other_does(settled: list[Settlement]) -> None:
    groups = [group for settlement in settled for group in settlement.groups if group.result is not None]
    assert {group.arrangement for group in groups} == {"one_sided", "two_sided"}
    assert all(group.amount_cents >= 0 for group in groups if group.arrangement == "one_sided")
    assert any(group.amount_cents > 0 for group in groups)
    assert any(group.amount_cents < 0 for group in groups if group.arrangement == "two_sided")


def test_what_is_given_back_to_the_calculator_gives_the_same_cents(settled: list[Settlement]) -> None:
    trial, tried = find("ocm", "reconciliation"), 0
    for settlement in settled:
        for group in settlement.groups:
            if (given := operands(settlement, group)) is not None and group.result is not None:
                told = answer(trial, dict(given), "ocm/eom-years")
                assert (told["pbp_cents"], told["pbr_cents"]) == (group.result.pbp_cents, group.result.pbr_cents)
                tried += 1
    assert tried > 10
