"""Windows of an employer's feed, and the figures of a release as events, each with its id.

A period is a half year, so that no person has two six-month episodes that end in one. Its window opens once a day long
after it has closed, by the log's own `DayClosed`; nothing leaves between windows. Ids and sequence follow from plan,
window and figure, so that a release told again from the operations topic is the very same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any
from uuid import uuid5

from contracts.disclosure_figures import Figure, Gated, Outcome, Period
from contracts.envelope import NAMESPACE
from contracts.events.releases import (
    EmployerOutcomeReported,
    MeasuredPeriod,
    OutcomesReleased,
    ReleasedFigure,
    ReleasedPeriod,
    Withheld,
)
from contracts.metrics.measured import four_places, wilson
from contracts.terms import TermSheet
from contracts.units import add_days, add_months

OF = " of"
"""The end of the name of a count of those of whom a figure could be asked."""


@dataclass(frozen=True, slots=True)
class Window:
    """A period, and the day that must have closed before its figures leave."""

    period: Period
    opens_on: str


class NoSuchWindow(ValueError):
    """A day on which no period of the plan begins."""


def window(sheet: TermSheet, from_on: str) -> Window:
    """The window of the period that begins on a day: 2026-01-01 is the first half of 2026, open from 2026-12-31 on."""
    months = int(sheet.on("release_period_months", from_on).number)
    first = date.fromisoformat(from_on)
    if first.day != 1 or (first.month - 1) % months:
        raise NoSuchWindow(f"no period begins on {from_on}: they are of {months} months, from 1 January on")
    last = add_days(add_months(from_on, months), -1)
    delay = int(sheet.on("release_delay_months", from_on).number)
    opens = add_days(add_months(add_days(last, 1), delay), -1)
    return Window(Period(first, date.fromisoformat(last)), opens)


def released(gated: Gated, earlier: Sequence[ReleasedPeriod], fresh: ReleasedPeriod) -> ReleasedPeriod:
    """A period as its release tells it. Figures that stand keep the run and the digest they left with.

    `fresh` is this run's, without figures; `earlier` are the period's versions in order.
    """
    figures = tuple(
        ReleasedFigure(name=one.name, kind=one.kind, value=one.value, low=one.low, high=one.high, whole=one.whole)
        for one in gated.outcome.figures
    )
    made = fresh
    if earlier and outcome(earlier[-1]) == gated.outcome:
        made = earlier[-1]
    terms = earlier[-1] if earlier else fresh
    told = {"figures": figures, "held": gated.held, "rules": gated.rules}
    told |= {"guarantee": terms.guarantee, "benchmarks": terms.benchmarks}
    return made.model_copy(update=told)


def guarantee(sheet: TermSheet, from_on: str) -> tuple[str, str]:
    """What a plan's terms promise of return to work in a period's contract year, and where all that is at risk goes."""
    on = f"{from_on[:4]}-01-01"
    promised, floor = sheet.on("guarantee_benchmark", on).number, sheet.on("guarantee_floor", on).number
    return f"{promised:.4f}", f"{floor:.4f}"


def benchmarks(sheet: TermSheet, from_on: str) -> tuple[tuple[str, str], ...]:
    """The figures that a plan's terms have a mark for, whatever they come to: each with the term that has it."""
    goals = (said.partition(":")[0] for said in sheet.on("quality_goals", from_on).value.split())
    return (*((name, "quality_goals") for name in goals if name != "RTW"), (GUARANTEED, "guarantee_benchmark"))


def outcome(period: ReleasedPeriod) -> Outcome:
    """A released period as the gate compares it."""
    figures = (Figure(one.name, one.kind, one.value, one.low, one.high, one.whole) for one in period.figures)
    return Outcome(Period(period.from_on, period.through_on), tuple(figures))


def event_id(plan: str, period: ReleasedPeriod, name: str, ordinal: int) -> str:
    """The id of a figure's event in a plan's release."""
    return str(uuid5(NAMESPACE, f"outcome|{plan}|{period.from_on}|{period.through_on}|{name}|{ordinal}"))


def events(release: OutcomesReleased) -> Iterator[tuple[str, EmployerOutcomeReported]]:
    """A release's events, each with its id, in the order they are sent.

    All its periods but the last were in the plan's release before it, whose events these take the place of.
    """
    for period in release.periods:
        figures = {one.name: one for one in period.figures}
        again = release.ordinal - 1 if period is not release.periods[-1] else 0
        for one in period.figures:
            if not one.name.endswith(OF):
                before = event_id(release.plan, period, one.name, again) if again else None
                yield (
                    event_id(release.plan, period, one.name, release.ordinal),
                    _row(release, period, one, figures, before),
                )
        if period.guarantee:
            for stratum, value in _kept(period.guarantee, figures.get(GUARANTEED)):
                name = f"{GUARANTEE}/{stratum}"
                before = event_id(release.plan, period, name, again) if again else None
                yield (
                    event_id(release.plan, period, name, release.ordinal),
                    _promise(release, period, stratum, value, before),
                )
    last = release.periods[-1]
    yield event_id(release.plan, last, CALL, release.ordinal), _call(release, last, CALL, release.call_cents, 0)
    if release.settled_through is not None:
        told = _call(release, last, SETTLED, release.settled_cents, None)
        yield event_id(release.plan, last, SETTLED, release.ordinal), told


CALL, SETTLED, GUARANTEE, GUARANTEED = "funding-call", "settlement", "guarantee", "RTW/26"


def _kept(promise: tuple[str, str], observed: ReleasedFigure | None) -> Iterator[tuple[str, Fraction | None]]:
    """Of 0.55 promised and a floor of 0.45, 52 % shown: (0.55 - 0.52) / 0.10 = 0.3 of the fees at risk go back."""
    promised, floor = Fraction(promise[0]), Fraction(promise[1])
    yield "promised", promised
    yield "floor", floor
    missed: Fraction | None = None
    if observed is not None and observed.value is not None:
        short = promised - Fraction(observed.value, 100)
        missed = min(max(short, Fraction(0)), promised - floor) / (promised - floor)
    yield "missed", missed


def _promise(
    release: OutcomesReleased, period: ReleasedPeriod, stratum: str, value: Fraction | None, supersedes: str | None
) -> EmployerOutcomeReported:
    hidden = Withheld(numerator=(0, 100)) if value is None else None
    return EmployerOutcomeReported(
        **_common(release, period),
        metric_id=GUARANTEE,
        stratum=stratum,
        unit="percent",
        value=four_places(value),
        benchmark_id=dict(period.benchmarks).get(GUARANTEED),
        suppression=hidden,
        supersedes=supersedes,
    )


def _row(
    release: OutcomesReleased,
    period: ReleasedPeriod,
    one: ReleasedFigure,
    figures: Mapping[str, ReleasedFigure],
    supersedes: str | None,
) -> EmployerOutcomeReported:
    metric, _, stratum = one.name.partition("/")
    whole = figures.get(one.whole)
    common = {
        **_common(release, period),
        "metric_id": metric,
        "stratum": stratum,
        "supersedes": supersedes,
        "benchmark_id": dict(period.benchmarks).get(one.name),
    }
    if one.kind == "percent":
        share = None if one.value is None else four_places(Fraction(one.value, 100))
        hidden = None if one.value is not None else Withheld(numerator=(one.low, one.high))
        return EmployerOutcomeReported(**common, unit="percent", value=share, suppression=hidden)
    denominator = whole.value if whole else None
    value, bounds = None, None
    if one.value is not None and denominator:
        value = four_places(Fraction(one.value, denominator))
        bounds = wilson(one.value, denominator) if one.kind != "sum" else None
    hidden = Withheld(
        numerator=None if one.value is not None else (one.low, one.high),
        denominator=(whole.low, whole.high) if whole and whole.value is None else None,
    )
    return EmployerOutcomeReported(
        **common,
        unit="total" if one.kind == "sum" else "people",
        numerator=one.value,
        denominator=denominator,
        value=value,
        ci_low=four_places(bounds[0]) if bounds else None,
        ci_high=four_places(bounds[1]) if bounds else None,
        suppression=hidden if hidden.numerator or hidden.denominator else None,
    )


def _call(
    release: OutcomesReleased, period: ReleasedPeriod, metric: str, cents: int | None, least: int | None
) -> EmployerOutcomeReported:
    """One of the window's pooled amounts in cents, or that it is pending."""
    hidden = Withheld(numerator=(least, None)) if cents is None else None
    common = _common(release, period)
    return EmployerOutcomeReported(**common, metric_id=metric, unit="cents", numerator=cents, suppression=hidden)


def _common(release: OutcomesReleased, period: ReleasedPeriod) -> dict[str, Any]:
    return {
        "contract_id": release.contract,
        "contract_version": period.terms_version,
        "employer_id": release.plan,
        "metric_version": "1",
        "measurement_period": MeasuredPeriod(from_on=period.from_on, through_on=period.through_on),
        "as_of": release.window_on,
        "run_id": period.run_id,
        "inputs_digest": period.inputs_digest,
    }
