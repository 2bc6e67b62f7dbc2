"""What can be tried of the contracts that are not Medicare's: BCBS South Carolina's, and employers'."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import PlainValidator

from contracts import bcbs_sc, bcbs_sc_settlement, employer_terms, employers, return_to_work
from contracts.care_fee import CareFeeClauses
from contracts.clauses import Line
from contracts.disclosure import suppress
from contracts.savings import plain
from contracts.steps import within_model
from contracts.terms import TermSheet
from contracts.trial.clause import Result, Trial, together
from contracts.trial.evidence import fees_owed
from contracts.trial.figures import (
    Amount,
    AmountAbove,
    AmountOrNull,
    Count,
    Dollars,
    DollarsAbove,
    Fraction,
    FractionOrNull,
    Given,
    Misfit,
    OnDay,
    OnDayOrNull,
    Says,
    Weights,
    Whole,
    bad,
    dollars,
    dollars_above,
    pairs,
)
from contracts.units import FOREVER, cents

EMPLOYER, BCBS = employers.CONTRACT, bcbs_sc.CONTRACT
CALENDAR = frozenset({"initiation_first_on", "initiation_last_on"})
WEEKS_MAX = 5_200
"""A hundred years, longer than anybody is followed."""


def _day(sheet: TermSheet, given: str | None) -> str:
    """The day given, which the contract must know; without one, the contract's first."""
    day = given or sheet.on("initiation_first_on", FOREVER).value
    within_model(sheet, day)
    return day


def _six(value: Decimal) -> str:
    return f"{value:.6f}"


# --- return to work --------------------------------------------------------------------------------------------------

_week = Whole("week", most=WEEKS_MAX)
_weeks = Whole("whole number of weeks", most=WEEKS_MAX)


def _observations(value: Any) -> tuple[tuple[int, int], ...]:
    found = []
    for week, cause in pairs(value, "[week, cause]"):
        if isinstance(cause, bool) or cause not in return_to_work.CAUSES or not isinstance(cause, int):
            raise bad("unknown_value", "a cause is 1 returned, 2 died, 3 long-term disability or exit, 0 censored")
        found.append((_week(week), cause))
    if not found:
        raise bad("out_of_range", "must hold at least one observation")
    return tuple(found)


def _list_of_weeks(value: Any) -> tuple[int, ...]:
    if value is None:
        raise bad("missing", "is null; weeks are needed")
    if not isinstance(value, list):
        raise bad("unknown_value", "must be a list of weeks")
    if not value:
        raise bad("out_of_range", "must hold at least one week")
    return tuple(_weeks(week) for week in value)


class ReturnToWork(Given):
    """How long each person was followed, and how it ended."""

    observations: Annotated[
        tuple[tuple[int, int], ...],
        PlainValidator(_observations),
        Says("list of [week, cause]; cause 1 returned, 2 died, 3 long-term disability or exit, 0 censored"),
    ]
    weeks: Annotated[tuple[int, ...], PlainValidator(_list_of_weeks), Says("list of weeks to report on")]


def _return_to_work(sheet: TermSheet, given: ReturnToWork) -> tuple[Result, Iterable[Line]]:
    found = return_to_work.incidence(given.observations)
    levels = {str(week): return_to_work.four_places(found.at(week)) for week in given.weeks}
    means = {str(week): return_to_work.four_places(found.restricted_mean(week)) for week in given.weeks}
    median = found.median()
    definition = sheet.on("return_to_work_definition", _day(sheet, None))
    words = ", ".join(f"F1({week}) = {level}" for week, level in levels.items())
    line = Line("RTW", "Cumulative incidence of return to work (Aalen-Johansen)", words, 0, (definition,))
    return {"incidence": levels, "median_weeks": median, "restricted_mean_weeks": means}, [line]


# --- T1 to T6 --------------------------------------------------------------------------------------------------------


class TierBonus(Given):
    """One person's absence and return."""

    absence_on: OnDay
    returned_on: OnDayOrNull
    partial_on: OnDayOrNull = None
    benchmark_weeks: AmountAbove
    last_award_on: OnDayOrNull = None
    lapsed_on: OnDayOrNull = None


def _tier_bonus(sheet: TermSheet, given: TierBonus) -> tuple[Result, Iterable[Line]]:
    within_model(sheet, given.absence_on)
    found = employer_terms.tier_bonus(
        sheet,
        given.absence_on,
        given.returned_on,
        given.partial_on,
        given.benchmark_weeks,
        given.last_award_on,
        given.lapsed_on,
    )
    return {"tier": found.tier, "amount_cents": found.line.amount_cents}, [found.line]


class Withheld(Given):
    """Payments of which a part is withheld."""

    non_drug_allowed: Dollars
    on: OnDayOrNull = None


def _withheld(sheet: TermSheet, given: Withheld) -> tuple[Result, Iterable[Line]]:
    line = employer_terms.withheld(sheet, _day(sheet, given.on), given.non_drug_allowed)
    return {"amount_cents": line.amount_cents}, [line]


def _harm(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or any(name not in employer_terms.HARMS for name in value):
        raise bad("unknown_value", f"must be a list of {', '.join(employer_terms.HARMS)}")
    return tuple(value)


class Withhold(Given):
    """Observed and expected returns, and what was withheld."""

    n: Count
    observed: Amount
    expected: AmountAbove
    n_full: AmountOrNull
    withheld: Dollars
    harm: Annotated[
        tuple[str, ...], PlainValidator(_harm), Says("list of what exceeded its limit after early returns; none")
    ] = ()
    on: OnDayOrNull = None


def _withhold(sheet: TermSheet, given: Withhold) -> tuple[Result, Iterable[Line]]:
    found = employer_terms.withhold(
        sheet, _day(sheet, given.on), given.n, given.observed, given.expected, given.n_full, given.withheld,
        given.harm,
    )  # fmt: skip
    result: Result = {
        "oe": _six(found.oe),
        "credibility": _six(found.credibility),
        "oe_adjusted": _six(found.oe_adjusted),
        "factor": None if found.factor is None else str(found.factor),
        "amount_cents": None if found.line is None else found.line.amount_cents,
    }
    if found.line is None:
        return {**result, "pending": "minimum_denominator"}, []
    return result, [found.line]


class SharedSavings(Given):
    """A target, what was spent, and the terms of sharing."""

    target: DollarsAbove
    actual: Dollars
    share: FractionOrNull
    quality: Weights
    minimum_savings_rate: FractionOrNull
    cap: FractionOrNull
    on: OnDayOrNull = None


def _shared_savings(sheet: TermSheet, given: SharedSavings) -> tuple[Result, Iterable[Line]]:
    found = employer_terms.shared_savings(
        sheet,
        _day(sheet, given.on),
        given.target,
        given.actual,
        given.quality,
        given.share,
        given.minimum_savings_rate,
        given.cap,
    )
    result = {
        "savings_cents": cents(found.savings, sheet.rounding),
        "quality_multiplier": plain(found.quality_multiplier),
        "amount_cents": found.line.amount_cents,
    }
    return result, [found.line]


class Guarantee(Given):
    """A contract year's fees, and the rate of return to work against its benchmark and floor."""

    fees: Dollars
    benchmark: Fraction
    floor: Fraction
    observed: Fraction
    on: OnDayOrNull = None


def _guarantee(sheet: TermSheet, given: Guarantee) -> tuple[Result, Iterable[Line]]:
    if given.floor >= given.benchmark:
        raise Misfit("floor", "must be below the benchmark")
    found = employer_terms.outcomes_guarantee(
        sheet, _day(sheet, given.on), given.fees, given.benchmark, given.floor, given.observed
    )
    at_risk, missed = cents(found.at_risk, sheet.rounding), _six(found.missed)
    return {"at_risk_cents": at_risk, "missed": missed, "amount_cents": found.line.amount_cents}, [found.line]


class Corridor(Given):
    """A target and what was spent."""

    target: DollarsAbove
    actual: Dollars
    on: OnDayOrNull = None


def _corridor(sheet: TermSheet, given: Corridor) -> tuple[Result, Iterable[Line]]:
    found = employer_terms.risk_corridor(sheet, _day(sheet, given.on), given.target, given.actual)
    deviation = cents(found.deviation, sheet.rounding)
    result = {"deviation_cents": deviation, "zone": found.zone, "amount_cents": found.line.amount_cents}
    return result, [found.line]


class CareFee(Given):
    """The days an episode was active, of six months at most; a month counts when its first day is among them."""

    from_on: OnDay
    through_on: OnDay


def _care_fee(sheet: TermSheet, given: CareFee) -> tuple[Result, Iterable[Line]]:
    within_model(sheet, given.from_on)
    clauses = CareFeeClauses(sheet.contract, sheet)
    if not given.from_on <= given.through_on <= clauses.calendar.ends_on(given.from_on):
        raise Misfit("through_on", "must be from the first day to the end of an episode that began then")
    dues = fees_owed(clauses, given.from_on, given.through_on)
    lines = together(line for due in dues for line in due.explain()[0])
    months = [due.period for due in dues]
    return {"months": months, "amount_cents": sum(due.amount_cents for due in dues)}, lines


# --- what may leave --------------------------------------------------------------------------------------------------

_people = Whole("people")


def _cells(value: Any) -> dict[str, int]:
    if value is None:
        raise bad("missing", "is null; cells are needed")
    if not isinstance(value, dict) or not value:
        raise bad("unknown_value", "must be an object of counts by name")
    return {name: _people(count) for name, count in value.items()}


class Suppress(Given):
    """A table of people: its total, its cells, and what they are a percentage of where that is not the total."""

    total: Count
    cells: Annotated[dict[str, int], PlainValidator(_cells), Says("object of counts by name")]
    percent_of: Annotated[
        int | None, PlainValidator(lambda value: None if value is None else _people(value)), Says("whole number")
    ] = None


def _suppress(sheet: TermSheet, given: Suppress) -> tuple[Result, Iterable[Line]]:
    del sheet
    if sum(given.cells.values()) > given.total:
        raise Misfit("cells", "must not add up to more than the total")
    if given.percent_of is not None and max(given.cells.values()) > given.percent_of:
        raise Misfit("percent_of", "must not be less than a cell")
    released = suppress(given.total, given.cells, given.percent_of)
    reasons = {name: "withheld" for name, count in released.cells.items() if count is None}
    return {"cells": released.cells, "total": released.total, "reasons": reasons}, []


# --- BCBS South Carolina ---------------------------------------------------------------------------------------------


def _episodes(value: Any) -> tuple[tuple[Decimal, Decimal], ...]:
    found = tuple((dollars_above(target), dollars(actual)) for target, actual in pairs(value, "[target, actual]"))
    if not found:
        raise bad("out_of_range", "must hold at least one episode")
    return found


class BcbsSharedSavings(Given):
    """A period's episodes and quality."""

    period_on: OnDay
    episodes: Annotated[
        tuple[tuple[Decimal, Decimal], ...], PlainValidator(_episodes), Says("list of [target, actual], dollars")
    ]
    quality: Weights


def _bcbs_shared_savings(sheet: TermSheet, given: BcbsSharedSavings) -> tuple[Result, Iterable[Line]]:
    within_model(sheet, given.period_on)
    found = bcbs_sc_settlement.shared_savings(sheet, given.period_on, given.episodes, given.quality)
    result = {
        "target_cents": cents(found.target, sheet.rounding),
        "actual_cents": cents(found.actual, sheet.rounding),
        "savings_cents": cents(found.savings, sheet.rounding),
        "credibility": _six(found.credibility),
        "quality_multiplier": plain(found.quality_multiplier),
        "amount_cents": found.line.amount_cents,
    }
    return result, [found.line]


_followed = [[4, 1], [6, 1], [8, 1], [9, 2], [10, 1], [12, 1], [12, 1], [14, 0], [16, 1], [18, 3]]
_scores = [["0.30", "1.0"], ["0.20", "0.8"], ["0.20", "1.0"], ["0.15", "0.6"], ["0.15", "0.75"]]
_fee = {"from_on": "2025-01-10", "through_on": "2025-07-09"}
_window = CALENDAR | {"care_fee", "episode_months", "part_d_lookback_days"}
_sharing = frozenset({"savings_share", "minimum_savings_rate", "savings_cap"})

TRIALS = (
    Trial(EMPLOYER, "return-to-work", "Who returned by when, with competing risks.", ReturnToWork, _return_to_work,
          {"observations": _followed, "weeks": [13, 26, 52]}, CALENDAR | {"return_to_work_definition"}),
    Trial(EMPLOYER, "tier-bonus", "A bonus for one person's return (T1).", TierBonus, _tier_bonus,
          {"absence_on": "2025-01-06", "returned_on": "2025-04-28", "benchmark_weeks": "20"},
          CALENDAR | {"bonus_fast", "bonus_on_time", "bonus_partial", "bonus_fast_share", "bonus_partial_weeks",
                      "award_interval_months", "bonus_lapse_days"}, ("T1",)),
    Trial(EMPLOYER, "withhold", "What of a withhold is released (T2).", Withhold, _withhold,
          {"n": 40, "observed": 26, "expected": "24.1", "n_full": 100, "withheld": "24000.00"},
          CALENDAR | {"withhold_tiers", "minimum_denominator", "credibility_full", "harm_limits"}, ("T2",)),
    Trial(EMPLOYER, "withheld", "What is withheld (T2).", Withheld, _withheld,
          {"non_drug_allowed": "480000.00"}, CALENDAR | {"withhold_share"}),
    Trial(EMPLOYER, "shared-savings", "A saving shared by quality (T3).", SharedSavings, _shared_savings,
          {"target": "3360000.00", "actual": "3150000.00", "share": "0.50", "quality": _scores,
           "minimum_savings_rate": "0.02", "cap": "0.10"}, CALENDAR | _sharing, ("T3",)),
    Trial(EMPLOYER, "outcomes-guarantee", "A refund of fees when too few return (T4).", Guarantee, _guarantee,
          {"fees": "400000.00", "benchmark": "0.55", "floor": "0.45", "observed": "0.52"},
          CALENDAR | {"fees_at_risk", "return_to_work_weight"}, ("T4",)),
    Trial(EMPLOYER, "risk-corridor", "A deviation from target, shared (T5); to the practice is positive.", Corridor,
          _corridor, {"target": "1000000.00", "actual": "920000.00"},
          CALENDAR | {"corridor_inner", "corridor_outer", "corridor_share"}, ("T5",)),
    Trial(EMPLOYER, "care-fee", "The monthly care fee (T6).", CareFee, _care_fee, _fee, _window, ("T6",)),
    Trial(EMPLOYER, "suppress", "What of a table of people may leave.", Suppress, _suppress,
          {"total": 40, "cells": {"returned": 22, "absent": 14, "died": 4}}),
    Trial(BCBS, "shared-savings", "Savings, and from 2026 on losses, shared.", BcbsSharedSavings,
          _bcbs_shared_savings,
          {"period_on": "2026-01-01", "episodes": [["84000.00", "75000.00"], ["61000.00", "63500.00"]],
           "quality": [["0.6", "0.9"], ["0.4", "0.75"]]},
          CALENDAR | _sharing | {"savings_sides", "minimum_loss_rate", "loss_share", "loss_cap",
                                 "episode_stop_loss", "credibility_full"}),
    Trial(BCBS, "care-fee", "The monthly enhanced-services fee.", CareFee, _care_fee, _fee, _window),
)  # fmt: skip
