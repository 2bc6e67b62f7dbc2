"""A plan's period settled: the worked sums of T2 to T5, each limit, what waits and why."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from contracts.employer_evidence import PlanEvidence
from contracts.employer_settlement import PlanSettlement, PracticeSettlement, settle
from contracts.given_back import tried_settled
from contracts.metrics.records import Answer, Claim, EpisodeRecord, Evidence, Listed, MemberRecord, Service
from contracts.metrics.returns import ReturnRecord
from contracts.parts import Sheet
from contracts.roster import bundled_sheet
from contracts.units import add_days, add_months
from tests.contracts.tried_again import tried_again

CLOSED = "2027-06-30"
STRATUM = ("breast", "early", "infused", "sedentary", "45-54")


def sheet(**changed: str) -> Sheet:
    """The employers' sheet with the values of some terms changed for all days."""
    _, digest, content = bundled_sheet("employer")
    terms = dict(content["terms"])
    for name, value in changed.items():
        terms[name] = {**terms[name], "values": [{"from": "2000-01-01", "value": value}]}
    return Sheet("test", digest, (b"t", "t", 0), {**content, "terms": terms})


def returned(n: int, back: int, start: str = "2025-01-10") -> dict[str, ReturnRecord]:
    """`n` people absent long ago, of whom `back` returned after 100 days for good and the others died on day 400."""
    found = {}
    for at in range(n):
        came = at < back
        name = f"{start}-{at}"
        found[name] = ReturnRecord(
            f"m{at}", name, "P1", STRATUM, False, start, 100 if came else 400, 1 if came else 2, 100 if came else 400,
            1 if came else 2, add_days(start, 100) if came else "", None, 500 if came else 0, 700,
        )  # fmt: skip
    return found


def plan(
    n: int = 40,
    back: int = 26,
    start: str = "2025-01-10",
    target: int = 84_000,
    cost: int = 78_750,
    terms: dict[str, str] | None = None,
    returns: dict[str, ReturnRecord] | None = None,
    **more: Any,
) -> PlanEvidence:
    """`n` people of practice P1, each with one episode that began on `start`."""
    members = {}
    for at in range(n):
        episode = EpisodeRecord(
            f"{start}-{at}", start, add_days(add_months(start, 6), -1), "breast", "P1", True, cost * 100, 57_000,
            target * 100, target * 100,
        )  # fmt: skip
        members[f"m{at}"] = MemberRecord(f"m{at}", episodes=(episode,), **more)
    return PlanEvidence(
        "palmetto-manufacturing", sheet(**(terms or {})), Evidence("palmetto-manufacturing", CLOSED, members),
        returned(n, back, start) if returns is None else returns,
    )  # fmt: skip


def only(settled: PlanSettlement) -> PracticeSettlement:
    (one,) = settled.practices
    for determination in one.determinations:
        assert sum(line.amount_cents for line in determination.lines) == determination.amount_cents
        assert all(term.as_use()["illustrative"] for line in determination.lines for term in line.terms)
        payment = {"kind": determination.kind, "contract": "employer", "plan": ""}
        said = {"kind": determination.kind, "operands": determination.operands}
        tried_again(tried_settled(payment, {"clauses": [said]}), determination.amount_cents)
    return one


def moved(one: PracticeSettlement) -> dict[str, int]:
    return {d.kind: d.amount_cents for d in one.determinations}


CHEAP = Claim("c", "professional", "2025-02-01", "2025-02-01", allowed_cents=1_200_000,
              lines=(Service("2025-02-01", "99214", allowed_cents=1_200_000),))  # fmt: skip


# --- T2 --------------------------------------------------------------------------------------------------------------


def release(back: int, table: str, n: int = 40, **terms: str) -> PracticeSettlement:
    given = plan(n, back, terms={"settled_by": "T2", "return_expected": table, **terms}, claims=(CHEAP,))
    return only(settle(given, 4, "true-up"))


def test_the_withhold_is_released_by_observed_over_expected() -> None:
    """40 people, 26 back, 24.1 expected: 1.049862 adjusted, below 1.05: 0.05 x 480,000.00 x 1.00 = 24,000.00."""
    one = release(26, "*|*|*|*|*:0.6025")  # 40 x 0.6025 = 24.1
    assert moved(one) == {"WITHHOLD_RELEASE": 2_400_000}
    assert [line.amount_cents for line in one.determinations[0].lines] == [0, 0, 2_400_000]


def test_above_the_tier_half_as_much_again_unless_early_return_did_harm() -> None:
    """26 / 24 = 1.0833; 0.632456 x 1.0833 + 0.367544 = 1.0527: x 1.50 = 36,000.00. With a harm it is x 1.00."""
    assert moved(release(26, "*|*|*|*|*:0.60")) == {"WITHHOLD_RELEASE": 3_600_000}
    given = plan(terms={"settled_by": "T2", "return_expected": "*|*|*|*|*:0.60"}, claims=(CHEAP,))
    broke = {name: replace(one, broke_after=20 if one.cause == 1 else None) for name, one in given.returns.items()}
    given.returns = broke
    assert moved(only(settle(given, 4, "true-up"))) == {"WITHHOLD_RELEASE": 2_400_000}


def test_thirty_people_are_enough_and_twenty_nine_are_not() -> None:
    assert moved(release(20, "*|*|*|*|*:0.60", n=30)) != {}
    one = release(20, "*|*|*|*|*:0.60", n=29)
    assert (moved(one), one.pending) == ({}, [("T2", "minimum_denominator")])


def test_earlier_periods_are_pooled_in_while_people_are_too_few() -> None:
    given = plan(20, 12, terms={"settled_by": "T2"}, claims=(CHEAP,))
    before = plan(20, 12, start="2024-07-10")
    earlier = {f"b{name}": replace(one, member=f"b{name}") for name, one in before.evidence.members.items()}
    given.evidence = replace(given.evidence, members={**given.evidence.members, **earlier})
    given.returns = {**given.returns, **before.returns}
    one = only(settle(given, 4, "true-up"))
    assert one.pool is not None and one.pool.periods == (3, 4) and one.pool.compared.people == 40
    assert list(moved(one)) == ["WITHHOLD_RELEASE"]


def test_who_was_laid_off_is_in_no_comparison_and_who_was_dismissed_is() -> None:
    given = plan(terms={"settled_by": "T2"}, claims=(CHEAP,))
    names = sorted(given.returns)
    given.returns[names[-1]] = replace(given.returns[names[-1]], days=50, cause=0)  # laid off on day 50
    given.returns[names[-2]] = replace(given.returns[names[-2]], days=50, cause=3)  # dismissed on day 50
    one = only(settle(given, 4, "true-up"))
    assert one.pool is not None and one.pool.compared.people == 39


def test_a_stage_that_is_not_known_has_a_row_of_its_own() -> None:
    given = plan(terms={"settled_by": "T2", "return_expected": "*|unknown|*|*|*:0.50 *|*|*|*|*:0.60"}, claims=(CHEAP,))
    name = sorted(given.returns)[0]
    given.returns[name] = replace(given.returns[name], stratum=("breast", "unknown", "infused", "sedentary", "45-54"))
    one = only(settle(given, 4, "true-up"))
    assert one.pool is not None and one.pool.compared.expected == Fraction("23.9")  # 39 x 0.60 + 0.50


# --- T3 --------------------------------------------------------------------------------------------------------------

QUALITY = {"settled_by": "T3", "quality_weights": "RTW:1.00", "quality_goals": "RTW:0.00:0.65"}


def test_savings_are_shared_by_quality() -> None:
    """40 x 84,000 - 40 x 78,750 = 210,000; 26 of 40 back is 0.65, which scores 1: x 0.5 = 105,000.00."""
    assert moved(only(settle(plan(terms=QUALITY), 4, "initial"))) == {"SHARED_SAVINGS": 10_500_000}


def test_the_weight_of_what_nobody_could_be_measured_by_falls_to_the_others() -> None:
    """Scores 1, 1, 0 and 1 by 0.30, 0.20, 0.15 and 0.15, nothing by 0.20: 0.65 / 0.80 = 0.8125."""
    goals = "RTW:0.00:0.65 M3:60:30 M18:0:1 M12-active:0:1 M4:60:20"
    given = plan(
        terms={
            "settled_by": "T3", "quality_goals": goals,
            "quality_weights": "RTW:0.30 M3:0.20 M18:0.20 M12-active:0.15 M4:0.15",
        }
    )  # fmt: skip
    one = only(settle(given, 4, "initial"))
    assert one.pool is not None
    scores = {scored.metric: scored.score for scored in one.pool.quality}
    # nobody visits or is admitted: both score 1; nobody is navigated: 0; nobody on therapy: not measured
    assert scores == {"RTW": 1, "M3": 1, "M18": None, "M12-active": 0, "M4": 1}
    # 210,000 x 0.5 x 0.8125 = 85,312.50
    assert moved(one) == {"SHARED_SAVINGS": 8_531_250}


def test_what_nobody_could_be_measured_by_scores_nought_where_the_sheet_says_so() -> None:
    """0.5 x 1 + 0.5 x 0: 210,000 x 0.5 x 0.5 = 52,500.00."""
    terms = {**QUALITY, "quality_weights": "RTW:0.50 M18:0.50", "quality_goals": "RTW:0:0.65 M18:0:1"}
    assert moved(only(settle(plan(terms={**terms, "quality_unmeasured": "zero"}), 4, "initial"))) == {
        "SHARED_SAVINGS": 5_250_000
    }


def test_savings_at_the_least_rate_are_shared_and_a_cent_less_is_not() -> None:
    """2 % of 84,000.00 is 1,680.00: cost 82,320.00 each saves 67,200 of 3,360,000: x 0.5 = 33,600.00."""
    assert moved(only(settle(plan(cost=82_320, terms=QUALITY), 4, "initial"))) == {"SHARED_SAVINGS": 3_360_000}
    assert moved(only(settle(plan(cost=82_321, terms=QUALITY), 4, "initial"))) == {}


def test_harm_from_early_return_leaves_it_no_quality() -> None:
    given = plan(terms=QUALITY)
    given.returns = {
        name: replace(one, broke_after=20 if one.cause == 1 else None) for name, one in given.returns.items()
    }
    one = only(settle(given, 4, "initial"))
    assert one.pool is not None and one.pool.harm.exceeded == ("relapse", "absent_again")
    assert moved(one) == {}


# --- T4 --------------------------------------------------------------------------------------------------------------

GUARANTEE = {"settled_by": "T4"}


@pytest.mark.parametrize(
    ("back", "refund"),
    [
        # fees: 40 x 570.00 = 22,800.00; at risk x 0.20 x 0.25 = 1,140.00
        (22, 0),  # 0.55 is the benchmark
        (20, -57_000),  # (0.55 - 0.50) / 0.10 = 0.5
        (18, -114_000),  # 0.45 is the floor
        (10, -114_000),
    ],
)
def test_the_guarantee_of_a_contract_year(back: int, refund: int) -> None:
    one = only(settle(plan(40, back, terms=GUARANTEE), 4, "initial"))
    assert moved(one) == ({"GUARANTEE_REFUND": refund} if refund else {})


def test_the_guarantee_waits_for_the_year_and_for_thirty_people() -> None:
    assert only(settle(plan(40, 10, start="2024-07-10", terms=GUARANTEE), 3, "initial")).determinations == []
    one = only(settle(plan(29, 10, terms=GUARANTEE), 4, "initial"))
    assert (moved(one), one.pending) == ({}, [("T4", "minimum_denominator")])


# --- T5 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cost", "amount"),
    [
        (81_480, 0),  # 3 % under 84,000 is 81,480
        (81_479, 2_000),  # a dollar each more: 0.5 x 40 = 20.00
        (77_280, 8_400_000),  # 8 % under: 0.5 x (268,800 - 100,800) = 84,000.00
        (75_600, 11_760_000),  # 10 %: 0.5 x (336,000 - 100,800) = 117,600.00
        (60_000, 11_760_000),  # beyond it the employer keeps all
        (90_720, -8_400_000),  # 8 % over: the practice bears it
    ],
)
def test_the_corridor(cost: int, amount: int) -> None:
    one = only(settle(plan(cost=cost, terms={"settled_by": "T5"}), 4, "initial"))
    assert moved(one) == ({"RISK_CORRIDOR": amount} if amount else {})


# --- together --------------------------------------------------------------------------------------------------------


def test_a_plan_with_a_member_whose_facts_could_not_be_read_waits() -> None:
    given = plan(terms={"settled_by": "T3 T5"})
    given.failed = 1
    one = only(settle(given, 4, "initial"))
    assert (moved(one), one.pending) == ({}, [("T3", "member_parked"), ("T5", "member_parked")])


def test_a_clause_without_a_term_for_the_day_waits_for_it_and_the_others_do_not() -> None:
    given = plan(terms={"settled_by": "T3 T5", **{k: v for k, v in QUALITY.items() if k != "settled_by"}})
    terms = dict(given.sheet.content["terms"])
    late = {**terms["corridor_inner"], "values": [{"from": "2025-01-02", "value": "0.03"}]}
    given.sheet.content = {**given.sheet.content, "terms": {**terms, "corridor_inner": late}}
    one = only(settle(given, 4, "initial"))
    assert (moved(one), one.pending) == ({"SHARED_SAVINGS": 10_500_000}, [("T5", "no_corridor_inner")])
    late["values"] = [{"from": "2025-01-01", "value": "0.03"}]
    assert only(settle(given, 4, "initial")).pending == []


def test_only_episodes_of_the_period_count() -> None:
    given = plan(terms={"settled_by": "T5"}, cost=60_000)
    assert settle(given, 5, "initial").practices == []
    assert settle(given, 3, "initial").practices == []


def test_each_practice_by_itself_where_the_sheet_says_so() -> None:
    given = plan(
        terms={"settled_by": "T3", "measured_over": "practice", **{k: QUALITY[k] for k in QUALITY if k != "settled_by"}}
    )
    members = dict(given.evidence.members)
    for at in range(20):
        member = members[f"m{at}"]
        members[f"m{at}"] = replace(member, episodes=(replace(member.episodes[0], practice="P2"),))
    given.evidence = replace(given.evidence, members=members)
    first, second = settle(given, 4, "initial").practices
    assert first.pool is not None and second.pool is not None
    # the first 26 returned: of P2's 20 all, of P1's 20 six
    assert (first.practice, first.pool.rate, second.practice, second.pool.rate) == (
        "P1",
        Fraction(3, 10),
        "P2",
        Fraction(1),
    )


def test_answers_count_towards_quality() -> None:
    """On therapy from 10 January to 7 February, asked every 14 days: three windows, one answered, 1/3."""
    given = plan(
        1, 0, terms={"settled_by": "T3", "quality_weights": "M18:1", "quality_goals": "M18:0:1"},
        claims=(Claim("c", "professional", "2025-01-10", "2025-02-07", lines=given_on("2025-01-10", "2025-02-07")),),
        answers=(Answer("2025-01-12", "phq-9"),),
    )  # fmt: skip
    given.evidence = replace(
        given.evidence,
        members={
            k: replace(v, coverage=(Listed("2020-01-01", "9999-12-31"),)) for k, v in given.evidence.members.items()
        },
    )
    one = only(settle(given, 4, "initial"))
    assert one.pool is not None and one.pool.quality[0].value == Fraction(1, 3)


def given_on(*days: str) -> tuple[Service, ...]:
    return tuple(Service(day, "J9171") for day in days)
