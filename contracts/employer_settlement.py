"""An employer's period settled: what T2 to T5 come to for each practice of a plan (outcome rules A.6).

`settle` reads as the contract does: which episodes and people count, over whom outcomes are measured, the withhold and
its release (T2), savings multiplied by quality (T3), the guarantee of a contract year (T4), the corridor (T5). A sheet
says which of them a plan has agreed. It is pure: the same evidence gives the same result. What keeps a clause from
being settled is named in `pending`, and then it moves nothing. Every dollar is illustrative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import Any

from contracts.clauses import Line
from contracts.determining import parted
from contracts.employer_evidence import PlanEvidence, by_name
from contracts.employer_terms import outcomes_guarantee, risk_corridor, shared_savings, withheld, withhold
from contracts.errors import NoTermInForce
from contracts.exact import exactly
from contracts.metrics import biosimilars, care, reported, use
from contracts.metrics.codes import Codes
from contracts.metrics.measured import Measured, four_places
from contracts.metrics.records import PHARMACY, Claim, EpisodeRecord, Evidence, MemberRecord, Service
from contracts.metrics.returns import (
    ExpectedTable,
    Harm,
    ObservedExpected,
    ReturnRecord,
    cohort,
    harm_screen,
    observed_expected,
    weekly,
)
from contracts.metrics.scope import Scope
from contracts.period import Period
from contracts.return_to_work import incidence
from contracts.terms import DatedValue, TermSheet
from contracts.units import add_months, dollars, money
from contracts.work import Definition

RELEASE, SAVINGS, REFUND, CORRIDOR = "WITHHOLD_RELEASE", "SHARED_SAVINGS", "GUARANTEE_REFUND", "RISK_CORRIDOR"
CLAUSES = {"T2": RELEASE, "T3": SAVINGS, "T4": REFUND, "T5": CORRIDOR}
WEEK_26, PERIODS_A_YEAR = 26, 2
STEPS = 10_000
"""Weights and scores have four decimals, so that a saving can be checked by hand."""

RETURNS = "RTW"

METRICS: dict[str, Callable[..., Measured]] = {
    "M3": use.emergency_visits,
    "M4": use.admissions,
    "M5": use.avoidable,
    "M8": biosimilars.weighted_index,
    "M12-active": care.navigation_active,
    "M16": care.palliative_early,
    "M18": reported.completion,
}
"""The metrics a sheet's quality may name, beside return to work."""


Operands = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Determination:
    """What one clause moves for a practice: above nought to it, below to the employer. `lines` add up to it.

    `operands` given to `contract try <contract>/<plan> <clause>` give the same cents.
    """

    kind: str
    amount_cents: int
    lines: tuple[Line, ...]
    operands: Operands


@dataclass(frozen=True, slots=True)
class Scored:
    """One metric of quality: its weight, its value as measured, and its score from 0 to 1; None without a measure."""

    metric: str
    weight: Fraction
    value: Fraction | None
    score: Fraction | None


@dataclass(slots=True)
class Pool:
    """The people outcomes are measured over: the periods pooled, the cohort, and what it comes to."""

    periods: tuple[int, ...]
    returns: list[ReturnRecord]
    compared: ObservedExpected
    rate: Fraction
    harm: Harm
    quality: tuple[Scored, ...] = ()

    @property
    def people(self) -> int:
        """The cohort absent from work."""
        return len(cohort(self.returns))


@dataclass(slots=True)
class PracticeSettlement:
    """A practice under a plan: its episodes, its sums in cents, and what moves. `pending` is (clause, reason)."""

    practice: str
    episodes: list[EpisodeRecord] = field(default_factory=list)
    target_cents: int = 0
    actual_cents: int = 0
    non_drug_cents: int = 0
    fees_cents: int = 0
    pool: Pool | None = None
    determinations: list[Determination] = field(default_factory=list)
    pending: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class PlanSettlement:
    """A plan's period."""

    plan: str
    sheet: TermSheet
    period: Period
    run: str
    practices: list[PracticeSettlement]


@exactly
def settle(plan: PlanEvidence, number: int, run: str) -> PlanSettlement:
    """Settle one period of one plan by the terms in force at the cut."""
    sheet = TermSheet(plan.sheet.content)
    period = Period.of(sheet, number, run)
    codes = Codes.of(plan.sheet.content)
    found = PlanSettlement(plan.plan, sheet, period, run, _practices(plan, codes, number, sheet))
    agreed = sheet.on("settled_by", period.first_on).value.split()
    pools: dict[tuple[str, tuple[int, ...]], Pool] = {}
    for one in found.practices:
        over = sheet.on("measured_over", period.first_on).value
        name = one.practice if over == "practice" else ""
        for periods in {(number,), _year_of(number)}:
            if (name, periods) not in pools:
                pools[name, periods] = _pool(plan, sheet, codes, period, name, periods)
        one.pool = pools[name, (number,)]
        for clause in agreed:
            if clause in CLAUSES:
                pool = pools[name, _year_of(number)] if clause == "T4" else one.pool
                _determine(clause, sheet, period, plan, one, pool)
    return found


def _practices(plan: PlanEvidence, codes: Codes, number: int, sheet: TermSheet) -> list[PracticeSettlement]:
    """Each practice with included episodes of the period (or of its contract year, for the guarantee), by name."""
    found: dict[str, PracticeSettlement] = {}
    year = _year_of(number)
    for member, episode in plan.episodes:
        period = _period_of(sheet, episode)
        if not episode.included or not episode.practice or period not in year:
            continue
        one = found.setdefault(episode.practice, PracticeSettlement(episode.practice))
        one.fees_cents += episode.fees_cents
        if period == number:
            one.episodes.append(episode)
            one.non_drug_cents += non_drug_allowed(member, episode, codes)
            if episode.target_cents is not None:
                one.target_cents += episode.target_cents
                one.actual_cents += episode.expenditure_cents
    for one in found.values():
        one.episodes.sort(key=lambda e: (e.started_on, e.episode_id))
    return [found[name] for name in sorted(found)]


def _period_of(sheet: TermSheet, episode: EpisodeRecord) -> int:
    """The half-year of initiation, counted from the contract's first day."""
    first = sheet.on("initiation_first_on", episode.started_on).value
    months = (int(episode.started_on[:4]) - int(first[:4])) * 12 + int(episode.started_on[5:7]) - int(first[5:7])
    return months // 6 + 1


def _year_of(number: int) -> tuple[int, ...]:
    """The periods of the contract year that a period is of, as far as it: (3,) for 3, (3, 4) for 4."""
    return (number,) if number % PERIODS_A_YEAR else (number - 1, number)


def non_drug_allowed(member: MemberRecord, episode: EpisodeRecord, codes: Codes) -> int:
    """Allowed cents in an episode that are for no drug; those of claims under Part 2 too, for it is the payer's money.

    A facility's claim counts as a whole unless all of its lines are drugs.
    """
    total = 0
    for claim in (*member.claims, *member.withheld):
        if claim.form == PHARMACY:
            continue
        if claim.setting:
            inside = episode.holds(claim.admitted_on if claim.inpatient else claim.on)
            drugs = bool(claim.lines) and all(_drug(line, codes) for line in claim.lines)
            total += claim.allowed_cents if inside and not drugs else 0
        else:
            total += sum(
                line.allowed_cents for line in claim.lines if episode.holds(line.on) and not _drug(line, codes)
            )
    return total


def _drug(line: Service, codes: Codes) -> bool:
    """HCPCS J and the biosimilars' Q5, and whatever is a therapy or a molecule of the sheet."""
    return line.code.startswith(("J", "Q5")) or codes.therapy(line) or codes.product(line) is not None


# -- over whom --------------------------------------------------------------------------------------------------------


def _pool(
    plan: PlanEvidence, sheet: TermSheet, codes: Codes, period: Period, practice: str, over: tuple[int, ...]
) -> Pool:
    """The cohort of some periods, with those of earlier ones while it has fewer people than money may depend on."""
    least = int(sheet.on("minimum_denominator", period.first_on).number)
    most = int(sheet.on("pooled_periods", period.first_on).number)
    evidence = plan.evidence if not practice else narrowed(plan.evidence, practice)
    periods, returns = list(over), _returns(plan, sheet, evidence, over)
    while _compared(sheet, period, returns).people < least and len(periods) < len(over) + most and periods[0] > 1:
        periods.insert(0, periods[0] - 1)
        returns = _returns(plan, sheet, evidence, periods)
    limits = by_name(sheet.on("harm_limits", period.first_on).value)
    held = int(sheet.on("return_sustained_days", period.first_on).number)
    rate = Fraction(round(incidence(weekly(returns)).at(WEEK_26) * 100), 100)
    pool = Pool(tuple(periods), returns, _compared(sheet, period, returns), rate, harm_screen(returns, held, limits))
    pool.quality = quality(sheet, codes, evidence, period, pool)
    return pool


def _returns(plan: PlanEvidence, sheet: TermSheet, evidence: Evidence, periods: Sequence[int]) -> list[ReturnRecord]:
    names = {
        episode.episode_id
        for member in evidence.members.values()
        for episode in member.episodes
        if _period_of(sheet, episode) in periods
    }
    return [one for name, one in plan.returns.items() if name in names]


def _compared(sheet: TermSheet, period: Period, returns: Iterable[ReturnRecord]) -> ObservedExpected:
    table = ExpectedTable(sheet.on("return_expected", period.first_on).value)
    definition = Definition.on(sheet, period.first_on)
    return observed_expected(returns, table, definition.held_days + definition.feed_lag_days)


def narrowed(evidence: Evidence, practice: str) -> Evidence:
    """The records of a practice's people alone, with its episodes of them."""
    members = {
        name: replace(member, episodes=own)
        for name, member in evidence.members.items()
        if (own := tuple(one for one in member.episodes if one.practice == practice))
    }
    return replace(evidence, members=members)


def quality(sheet: TermSheet, codes: Codes, evidence: Evidence, period: Period, pool: Pool) -> tuple[Scored, ...]:
    """Each metric's score: (value - where it scores 0) / (where it scores 1 - where 0), within 0 and 1.

    Emergency visits of 36 per 100, 60 scoring 0 and 30 scoring 1: (36 - 60) / (30 - 60) = 0.8.
    """
    scope = _scope(sheet, codes, evidence, period)
    goals = {
        name: (Fraction(zero), Fraction(one))
        for name, zero, one in (said.split(":") for said in sheet.on("quality_goals", period.first_on).value.split())
    }
    found = []
    for name, weight in by_name(sheet.on("quality_weights", period.first_on).value).items():
        if name == RETURNS:
            value = pool.rate if pool.people else None
            score = Fraction(0) if pool.harm.exceeded and value is not None else _score(value, *goals[name])
        else:
            value = METRICS[name](scope).value
            score = _score(value, *goals[name])
        found.append(Scored(name, weight, value, score))
    return tuple(found)


def _score(value: Fraction | None, zero: Fraction, one: Fraction) -> Fraction | None:
    return None if value is None else min(max((value - zero) / (one - zero), Fraction(0)), Fraction(1))


def _scope(sheet: TermSheet, codes: Codes, evidence: Evidence, period: Period) -> Scope:
    """The period's episodes by the day they began, and its days."""
    on = period.first_on
    return Scope(
        evidence, codes, on, period.last_on, int(sheet.on("metric_run_out_days", on).number),
        by_name(sheet.on("biosimilar_weights", on).value), int(sheet.on("survey_days", on).number), by_start=True,
    )  # fmt: skip


# -- the clauses ------------------------------------------------------------------------------------------------------


def _determine(
    clause: str, sheet: TermSheet, period: Period, plan: PlanEvidence, one: PracticeSettlement, pool: Pool
) -> None:
    """One clause for one practice: what it moves, or why it waits."""
    if plan.failed:
        one.pending.append((clause, "member_parked"))
        return
    try:
        settled = {"T2": _release, "T3": _savings, "T4": _refund, "T5": _corridor}[clause](sheet, period, one, pool)
    except NoTermInForce as lacks:
        settled = f"no_{lacks.term}"
    if isinstance(settled, str):
        if settled:
            one.pending.append((clause, settled))
        return
    lines, operands = settled
    amount = sum(line.amount_cents for line in lines)
    if amount:
        one.determinations.append(Determination(CLAUSES[clause], amount, lines, operands))


Settled = tuple[tuple[Line, ...], Operands] | str
"""The lines of a clause and what was given to it; or why it waits, '' when it has nothing to say."""


def _release(sheet: TermSheet, period: Period, one: PracticeSettlement, pool: Pool) -> Settled:
    """T2. A withhold and its release by observed over expected; above 1.00 only if no harm shows."""
    on, compared = period.first_on, pool.compared
    if not one.episodes:
        return ""
    if compared.people < sheet.on("minimum_denominator", on).number or not compared.expected:
        return "minimum_denominator"
    held = withheld(sheet, on, dollars(one.non_drug_cents))
    said = withhold(
        sheet, on, compared.people, Decimal(compared.observed), as_decimal(compared.expected), None,
        dollars(held.amount_cents), pool.harm.exceeded,
    )  # fmt: skip
    if said.line is None or said.factor is None:
        return "minimum_denominator"
    words = (
        f"{compared.people} people: {compared.observed} returned by day 182, {four_places(compared.expected)} expected"
    )
    table = (sheet.on("return_expected", on),)
    lines = [
        Line(held.clause, held.label, held.arithmetic, 0, held.terms),
        Line("T2.compared", "Observed over expected", words, 0, table),
    ]
    operands = {
        "n": compared.people, "observed": compared.observed, "expected": str(as_decimal(compared.expected)),
        "n_full": None, "withheld": str(dollars(held.amount_cents)),
        "harm": list(pool.harm.exceeded), "on": on,
    }  # fmt: skip
    return (*lines, said.line), operands


def _savings(sheet: TermSheet, period: Period, one: PracticeSettlement, pool: Pool) -> Settled:
    """T3. Target less actual, shared by quality."""
    if not one.target_cents:
        return "" if not one.episodes else "no_target"
    on = period.first_on
    weights, terms = _weights(sheet, on, pool.quality)
    if weights is None:
        return "no_quality"
    target = dollars(one.target_cents)
    found = shared_savings(sheet, on, target, dollars(one.actual_cents), weights, None, None, None)
    operands = {
        "target": str(target), "actual": str(dollars(one.actual_cents)), "share": None,
        "quality": [[str(weight), str(score)] for weight, score in weights], "minimum_savings_rate": None, "cap": None,
        "on": on,
    }  # fmt: skip
    return (_sum_line(sheet, one, target), _quality_line(pool.quality, weights, terms), found.line), operands


def _refund(sheet: TermSheet, period: Period, one: PracticeSettlement, pool: Pool) -> Settled:
    """T4, at the end of a contract year. The rate is in whole per cent, as it is told to the employer."""
    if period.number % PERIODS_A_YEAR:
        return ""
    on = add_months(period.first_on, -6)
    benchmark, floor = sheet.on("guarantee_benchmark", on), sheet.on("guarantee_floor", on)
    if pool.people < sheet.on("minimum_denominator", on).number:
        return "minimum_denominator"
    observed = as_decimal(pool.rate)
    found = outcomes_guarantee(sheet, on, dollars(one.fees_cents), benchmark.number, floor.number, observed)
    words = f"{pool.people} people absent; {observed:.2f} returned by week 26 (Aalen-Johansen, whole per cent)"
    definition = sheet.on("return_to_work_definition", on)
    line = found.line
    operands = {
        "fees": str(dollars(one.fees_cents)), "benchmark": benchmark.value, "floor": floor.value,
        "observed": str(observed), "on": on,
    }  # fmt: skip
    return (
        Line("T4.observed", "Rate of return to work", words, 0, (definition, benchmark, floor)),
        Line(line.clause, line.label, line.arithmetic, -line.amount_cents, line.terms),
    ), operands


def _corridor(sheet: TermSheet, period: Period, one: PracticeSettlement, pool: Pool) -> Settled:
    """T5. What deviates from the target."""
    del pool
    if not one.target_cents:
        return "" if not one.episodes else "no_target"
    target = dollars(one.target_cents)
    found = risk_corridor(sheet, period.first_on, target, dollars(one.actual_cents))
    operands = {"target": str(target), "actual": str(dollars(one.actual_cents)), "on": period.first_on}
    return (_sum_line(sheet, one, target), found.line), operands


def _sum_line(sheet: TermSheet, one: PracticeSettlement, target: Decimal) -> Line:
    term = sheet.on("episode_target", one.episodes[0].started_on)
    counted = sum(episode.target_cents is not None for episode in one.episodes)
    words = f"{counted} episodes: targets {target:.2f}, cost {money(one.actual_cents)}"
    return Line("TARGET", "Target and actual cost", words, 0, (term,))


def _weights(
    sheet: TermSheet, on: str, scored: Sequence[Scored]
) -> tuple[list[tuple[Decimal, Decimal]] | None, tuple[DatedValue, ...]]:
    """(weight, score) as T3 takes them, to four decimals each, the weights adding up to 1.

    Where nobody could be measured the others take the weight in proportion, or it scores 0, as the sheet says.
    """
    rule = sheet.on("quality_unmeasured", on)
    terms = (sheet.on("quality_weights", on), sheet.on("quality_goals", on), rule)
    known = [one for one in scored if one.score is not None or rule.value == "zero"]
    over = lcm(*(one.weight.denominator for one in known)) if known else 1
    shares = parted(STEPS, [int(one.weight * over) for one in known])
    if not sum(shares):
        return None, terms
    scores = (Decimal(four_places(one.score or Fraction(0)) or 0) for one in known)
    return [(Decimal(share) / STEPS, score) for share, score in zip(shares, scores, strict=True)], terms


def _quality_line(
    scored: Sequence[Scored], weights: Sequence[tuple[Decimal, Decimal]], terms: tuple[DatedValue, ...]
) -> Line:
    measured = "; ".join(
        f"{one.metric} {four_places(one.value) or 'not measured'} scores {four_places(one.score) or 'nothing'}"
        for one in scored
    )
    words = " + ".join(f"{weight:f} x {score:f}" for weight, score in weights)
    return Line("QUALITY", "Quality", f"{measured}: {words}", 0, terms)


@exactly
def as_decimal(value: Fraction) -> Decimal:
    """A fraction in as many digits as a clause has."""
    return Decimal(value.numerator) / Decimal(value.denominator)


def claims_of(member: MemberRecord, episode: EpisodeRecord, practice: str) -> list[Claim]:
    """The claims with a day in an episode, for its practice to contest; under Part 2 only where it may see them."""
    told = (*member.claims, *(member.withheld if practice in member.consented else ()))
    return [one for one in told if one.on <= episode.ends_on and one.through >= episode.started_on]
