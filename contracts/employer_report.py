"""An employer's report of a period at a cut: every metric of the catalogue, and return to work, raw.

A pure function of a plan's evidence: the same facts give the same report, whatever their order. It is what the plan's
administrator may see and what the disclosure gate is given; nothing of it goes to an employer by another way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from contracts.employer_evidence import PlanEvidence, by_name
from contracts.employer_settlement import PlanSettlement
from contracts.metrics.catalogue import measure
from contracts.metrics.codes import Codes
from contracts.metrics.measured import Measured, Number
from contracts.metrics.records import Evidence
from contracts.metrics.report import Cell, EmployerReport, ReturnsCell, cell_of, inputs_digest, run_id
from contracts.metrics.returns import (
    AGAIN_DAYS,
    BY_DAYS,
    DAYS,
    WEEK,
    YEAR_DAYS,
    ExpectedTable,
    ReturnRecord,
    cohort,
    curve,
    disability_rate,
    harm_screen,
    maintenance_rate,
    mean,
    observed_expected,
    relapse_rate,
    weekly,
)
from contracts.metrics.scope import Scope
from contracts.metrics.screening import AGES, by_enrollment
from contracts.metrics.spending import medical_cost, pharmacy_cost
from contracts.savings import credibility
from contracts.terms import TermSheet
from contracts.units import add_days, add_months, days_between
from contracts.work import Definition

DIED = ("M16-therapy", "M16-use", "M16-hospice")
SPELL_DAYS, BEFORE_DAYS, AFTER_DAYS = 7, 30, 180
RETURN_FIGURES: tuple[tuple[str, str, str], ...] = (
    *((f"RTW-{days}", f"Returned by day {days}", "fraction") for days in DAYS),
    ("RTW-strict-182", "Returned by day 182, held 90 days", "fraction"),
    ("RTW-median", "Median days to return; none while half have not", "days"),
    ("RTW-waiting-182", "Mean days not returned in the first 182", "days"),
    ("RTW-fte", "Days lost in 365, in full-time equivalents", "days"),
    ("RTW-std", "Paid days of short-term disability", "days"),
    ("RTW-ltd", "Long-term disability within 365 days", "fraction"),
    ("RTW-relapse-28", "Returns that lapsed within 28 days", "fraction"),
    ("RTW-relapse-90", "Returns that lapsed within 90 days", "fraction"),
    ("RTW-symptoms", "Severe fatigue or pain within 90 days of a return", "fraction"),
    ("RTW-maintained", "Stayed at work, of all followed", "fraction"),
    ("RTW-oe", "Returned by day 182, observed over expected", "ratio"),
    ("RTW-oe-adjusted", "Observed over expected, adjusted for few people", "ratio"),
)
"""Every figure of return to work: id, what it says, unit."""

Benchmarks = dict[tuple[str, str], tuple[str, Fraction]]


def scope_of(plan: PlanEvidence, from_on: str, through_on: str) -> Scope:
    """What a period's metrics are asked about, by the terms in force on its first day."""
    sheet = TermSheet(plan.sheet.content)
    return Scope(
        plan.evidence, Codes.of(plan.sheet.content), from_on, through_on,
        int(sheet.on("metric_run_out_days", from_on).number), by_name(sheet.on("biosimilar_weights", from_on).value),
        int(sheet.on("survey_days", from_on).number),
    )  # fmt: skip


def report(
    plan: PlanEvidence,
    payer: str,
    period: tuple[str, str],
    cut: Mapping[int, int],
    key: bytes,
    settlement: PlanSettlement | None = None,
    supersedes: str = "",
) -> EmployerReport:
    """A plan's figures from a day through another. `key` is the payer's, for the digest of what was read."""
    from_on, through_on = period
    sheet, scope = TermSheet(plan.sheet.content), scope_of(plan, from_on, through_on)
    people = {member.member: episode.cancer for member, episode in scope.episodes()}
    names = {episode.episode_id for _, episode in plan.episodes if scope.of_period(episode)}
    counted = {episode.episode_id for _, episode in scope.episodes()}
    followed = [one for name, one in sorted(plan.returns.items()) if name in names]
    benchmarks = _benchmarks(sheet, from_on) | _year_before(plan, from_on, through_on)
    cells = [
        cell_of(measured, definition.name, definition.title, definition.unit, definition.of_people, benchmarks)
        for definition, measured in measure(scope)
    ]
    cells += _return_cells(sheet, from_on, followed, benchmarks)
    digest = inputs_digest(key, plan.evidence.inputs)
    at = tuple(sorted(cut.items()))
    cancers = sorted(set(people.values()))
    return EmployerReport(
        payer, plan.plan, sheet.contract, sheet.version, plan.sheet.digest, from_on, through_on,
        plan.evidence.closed_through, at, run_id(sheet.contract, plan.plan, period, at, digest), supersedes, digest,
        sum(1 for _ in scope.members()), len(people),
        tuple((cancer, sum(own == cancer for own in people.values())) for cancer in cancers), tuple(cells),
        _returns_cell(sheet, plan.evidence, period, [one for one in followed if one.episode_id in counted]),
        *_money(settlement), _bounds(scope),
    )  # fmt: skip


def _bounds(scope: Scope) -> tuple[tuple[str, int], ...]:
    """Who is of an age and sex to be screened, and who died, by enrollment alone."""
    died = sum(scope.within(member.died_on) for member in scope.evidence.members.values() if member.died_on)
    screens = [(f"M13/{cancer}", by_enrollment(scope, cancer)) for cancer in AGES]
    return (*screens, *((name, died) for name in DIED))


def _money(settlement: PlanSettlement | None) -> tuple[tuple[tuple[str, int], ...], tuple[str, ...]]:
    """What moved by kind, and what waits, over all practices."""
    if settlement is None:
        return (), ()
    moved: dict[str, int] = {}
    for one in settlement.practices:
        for made in one.determinations:
            moved[made.kind] = moved.get(made.kind, 0) + made.amount_cents
    waits = {f"{clause}:{reason}" for one in settlement.practices for clause, reason in one.pending}
    return tuple(sorted(moved.items())), tuple(sorted(waits))


def _benchmarks(sheet: TermSheet, on: str) -> Benchmarks:
    """What the sheet compares figures with: where quality scores 1, and the guarantee."""
    goals = (said.split(":") for said in sheet.on("quality_goals", on).value.split())
    found: Benchmarks = {(name, ""): ("quality_goals", Fraction(one)) for name, _, one in goals if name != "RTW"}
    found["RTW-182", ""] = ("guarantee_benchmark", Fraction(sheet.on("guarantee_benchmark", on).number))
    return found


def _year_before(plan: PlanEvidence, from_on: str, through_on: str) -> Benchmarks:
    """M1's trend: the same months of the year before."""
    first, last = add_months(from_on, -12), add_days(add_months(add_days(through_on, 1), -12), -1)
    before = scope_of(plan, from_on, through_on)
    before = Scope(before.evidence, before.codes, first, last)
    found: Benchmarks = {}
    for one in (medical_cost(before), pharmacy_cost(before)):
        if one.value is not None:
            found[one.metric, ""] = ("the same months a year before", one.value)
    return found


# -- return to work ---------------------------------------------------------------------------------------------------


def _return_cells(sheet: TermSheet, on: str, followed: Sequence[ReturnRecord], benchmarks: Benchmarks) -> list[Cell]:
    """Incidence by day, median, time not returned, days lost, disability, relapse, maintenance, observed/expected."""
    definition = Definition.on(sheet, on)
    absent = cohort(followed)
    known, strict = curve(absent), curve(absent, strict=True)
    table = ExpectedTable(sheet.on("return_expected", on).value)
    compared = observed_expected(absent, table, definition.held_days + definition.feed_lag_days)
    weight = Fraction(credibility(compared.people, sheet.on("credibility_full", on).number))
    harm = harm_screen(absent, definition.held_days, by_name(sheet.on("harm_limits", on).value))
    held = definition.held_days
    oe = Fraction(compared.observed) / compared.expected if compared.expected else None
    values: dict[str, Fraction | int | None] = {
        **{f"RTW-{days}": known.at(days) for days in DAYS},
        "RTW-strict-182": strict.at(BY_DAYS),
        "RTW-median": known.median(),
        "RTW-waiting-182": known.restricted_mean(BY_DAYS),
        "RTW-fte": mean(one.fte_days for one in absent),
        "RTW-std": mean(one.std_days for one in absent),
        "RTW-ltd": disability_rate(absent, YEAR_DAYS),
        "RTW-relapse-28": relapse_rate(absent, held),
        "RTW-relapse-90": relapse_rate(absent, AGAIN_DAYS),
        "RTW-symptoms": harm.symptoms,
        "RTW-maintained": maintenance_rate(followed),
        "RTW-oe": oe,
        "RTW-oe-adjusted": None if oe is None else weight * oe + (1 - weight),
    }
    cells = []
    for metric, title, unit in RETURN_FIGURES:
        counted = followed if metric == "RTW-maintained" else absent
        back = [one.member for one in counted if (one.maintained if metric == "RTW-maintained" else one.cause == 1)]
        hits: dict[str, Number] = dict.fromkeys(sorted(back), 1)
        of: dict[str, Number] = dict.fromkeys(sorted(one.member for one in counted), 1)
        value = values[metric]
        exact = None if value is None or not of else Fraction(value)
        measured = Measured(metric, hits, of, computed=exact, kind="composite")
        cells.append(cell_of(measured, definition.version, title, unit, False, benchmarks))
    return cells


def _returns_cell(
    sheet: TermSheet, evidence: Evidence, period: tuple[str, str], followed: Sequence[ReturnRecord]
) -> ReturnsCell:
    """The cohort of the episodes that count, by weeks, and what the employer's leave file says of everybody then."""
    first = add_days(add_months(period[0], -6), -BEFORE_DAYS)
    last = add_days(period[1], AFTER_DAYS)
    own = list(_leaves(evidence, first, last))
    returned, waiting, before = [], [], -1
    for week in (13, 26, 52):
        there = [(weeks, back) for weeks, back in own if weeks > before]
        came = sum(1 for weeks, back in there if weeks <= week and back)
        returned.append(came)
        waiting.append(len(there) - came)
        before = week
    definition = sheet.on("return_to_work_definition", period[0]).value
    return ReturnsCell(
        definition, weekly(followed), (returned[0], returned[1], returned[2]), (waiting[0], waiting[1], waiting[2])
    )


def _leaves(evidence: Evidence, first: str, last: str) -> Iterable[tuple[int, bool]]:
    """(weeks, came back) of each leave of a week or more that began in a time; one still open is not over."""
    for member in evidence.members.values():
        for leave in member.leaves:
            end = min(leave.through_on, evidence.closed_through)
            days = days_between(leave.from_on, end) + 1
            if first <= leave.from_on <= last and days >= SPELL_DAYS:
                yield -(-days // WEEK), leave.through_on <= evidence.closed_through
