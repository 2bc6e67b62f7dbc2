"""An employer's report: what was released to it, along its four steps in cancer care, with what each figure is.

A pure function of the released events alone, so that nothing is in it that did not pass the disclosure gate. What is
worked out here (a rate, a change in a year) is arithmetic on figures that are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any

from contracts.events.releases import EmployerOutcomeReported
from contracts.metrics.catalogue import CATALOGUE, DESIGN, INVESTMENT, SPENDING, TOUCHPOINTS, Definition
from contracts.metrics.measured import four_places

PEOPLE = "people"
STEPS = (SPENDING, TOUCHPOINTS, DESIGN, INVESTMENT)
CODE = "withheld"

CLAIMS, FILLS, ENROLLMENT = "medical claims", "pharmacy claims", "enrollment"
ANSWERS, PROGRAMMES, LEAVE = "patients' answers", "programmes' contacts", "the employer's leave file"
_SOURCES: dict[str, tuple[str, ...]] = {
    "M1-medical": (CLAIMS, ENROLLMENT), "M1-pharmacy": (FILLS, ENROLLMENT), "M2": (CLAIMS, FILLS), "M3": (CLAIMS,),
    "M4": (CLAIMS,), "M5": (CLAIMS,), "M6": (CLAIMS,), "M7": (CLAIMS,), "M9": (CLAIMS,), "M10": (CLAIMS,),
    "M11": (CLAIMS, "the plan's list of centres and its network"), "M12": (PROGRAMMES, CLAIMS),
    "M13": (CLAIMS, ENROLLMENT), "M13-early": ("clinical facts",), "M14": (CLAIMS, "clinical facts"),
    "M15": (ANSWERS, CLAIMS), "M16": (CLAIMS, PROGRAMMES, ENROLLMENT), "M17": (CLAIMS, ANSWERS), "M18": (ANSWERS,),
    "M19": (ANSWERS, PROGRAMMES), "M20": ("prior authorizations",), "M21": ("the plan's formulary",),
    "M22": (CLAIMS, "the plan's list of medical homes"),
}  # fmt: skip
"""What each figure is measured from, by metric or by the number it begins with."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a released figure is. `total` names the unit of a sum; `rate` what a sum is told for each `of`."""

    step: str
    title: str
    numerator: str
    denominator: str
    exclusions: str
    source: tuple[str, ...]
    version: str
    ask: str = ""
    better: str = "neither"
    total: str = ""
    rate: str = ""
    of: str = ""
    per: int = 1


_TOTALS = {
    "M1-medical": ("cents", "cents per covered person", "covered", 1),
    "M1-pharmacy": ("cents", "cents per covered person", "covered", 1),
    "M2": ("cents", "cents per person with an episode", "episodes", 1),
    "M3": ("visits", "per 100 people with an episode", "episodes", 100),
    "M3-admitted": ("visits", "per 100 people with an episode", "episodes", 100),
    "M4": ("stays", "per 100 people with an episode", "episodes", 100),
    "M10-switch": ("cents", "", "", 1),
}
_TITLES = {"M2": "Cost of episodes"}
_OTHERS: dict[str, Meaning] = {
    "covered": Meaning(PEOPLE, "People covered", "people covered on some day of the period", "", "", (ENROLLMENT,),
                       "covered/1"),
    "episodes": Meaning(PEOPLE, "People with an episode of cancer care that counts",
                        "people with an included episode that ends in the period and whose run-out is over",
                        "people covered", "42 CFR Part 2 facts; episodes the contract excludes", (CLAIMS,),
                        "episodes/1"),
    "absent": Meaning(INVESTMENT, "Absent from work", "people with such an episode, away for a week or more",
                      "people with an episode", "dependants; people not followed at work", (LEAVE,), "rtw-def/1"),
    "RTW": Meaning(INVESTMENT, "Returned to work", "returned and held it for 28 days, by the week, with competing "
                   "causes (Aalen-Johansen)", "people absent from work", "whoever left the feed is censored",
                   (LEAVE, "hours", "disability claims"), "rtw-def/1",
                   "Which programmes help people back to work, and who is offered them?", "more"),
    "guarantee": Meaning(INVESTMENT, "Guarantee on return to work", "rate promised by week 26, less the rate shown",
                         "rate promised, less the rate at which all fees at risk go back",
                         "measured over all practices; practices are settled each by itself", ("the contract's terms",
                         "Returned to work, week 26"), "T4", "What do you do when the rate falls short?"),
    "funding-call": Meaning(INVESTMENT, "Called for care fees and bonuses", "what is owed for people at public prices, "
                            "pooled over windows", "", "amounts from which a count could be solved wait",
                            ("the contract's terms",), "call/1", total="cents"),
    "settlement": Meaning(INVESTMENT, "Settled with practices", "withhold released, shared savings, guarantee and "
                          "corridor of the periods settled since, pooled; above 0 you pay, below 0 you receive", "",
                          "amounts of few people, and corrections alone, wait", ("the contract's terms",),
                          "settlement/1", "Which practices earned it, and by which clause?", total="cents"),
}  # fmt: skip
COLUMNS = (
    "step", "metric_id", "metric_version", "title", "stratum", "from", "to", "unit", "numerator", "denominator",
    "value", "ci_low", "ci_high", "rate", "rate_unit", "change_in_a_year", "withheld", "numerator_low",
    "numerator_high", "denominator_low", "denominator_high", "what_is_counted", "of_what", "left_out", "source", "ask",
    "event_id",
)  # fmt: skip
"""Of the table, one row for each figure, stratum and period."""


@dataclass(frozen=True, slots=True)
class Released:
    """One figure's event, with its id."""

    event_id: str
    told: EmployerOutcomeReported


@dataclass(slots=True)
class _Shown:
    """Figures by (metric, stratum, first day), for arithmetic among them."""

    of: dict[tuple[str, str, date], Released] = field(default_factory=dict)

    def count(self, metric: str, on: date, stratum: str = "") -> int | None:
        found = self.of.get((metric, stratum, on))
        return found.told.numerator if found else None


def meaning(metric: str) -> Meaning:
    """What a metric's figure is; a metric of a later build is named and no more."""
    if (other := _OTHERS.get(metric)) is not None:
        return other
    definition = next((one for one in CATALOGUE if one.metric == metric), None)
    if definition is None:
        return Meaning(PEOPLE, metric, "", "", "", (), metric)
    total, rate, of, per = _TOTALS.get(metric, ("", "", "", 1))
    better = {True: "less", False: "more", None: "neither"}[definition.lower]
    return Meaning(
        definition.step, _TITLES.get(metric, definition.title), definition.numerator, definition.denominator,
        definition.exclusions, _source(definition), definition.name, _ask(definition), better, total, rate, of, per,
    )  # fmt: skip


def _source(definition: Definition) -> tuple[str, ...]:
    family = definition.metric.partition("-")[0]
    return (*(_SOURCES.get(definition.metric) or _SOURCES.get(family, ())), *definition.sets)


def _ask(definition: Definition) -> str:
    """What to ask the health plan; a figure without a question of its own has that of its family's first."""
    family = definition.metric.partition("-")[0]
    kin = (one.asks for one in CATALOGUE if one.asks and one.metric.partition("-")[0] == family)
    return definition.asks or next(kin, "")


def steps(released: Iterable[Released], release: Mapping[str, Any]) -> dict[str, Any]:
    """The report of one release as a document. `release`: plan, title, ordinal, window_on."""
    events = list(released)
    shown = _Shown({_place(one.told): one for one in events})
    periods = sorted({(one.told.measurement_period.from_on, one.told.measurement_period.through_on) for one in events})
    figures: dict[str, dict[str, Any]] = {}
    for one in events:
        told = one.told
        figure = figures.setdefault(told.metric_id, _figure(told.metric_id))
        strata = figure["strata"].setdefault(told.stratum, [])
        strata.append(_value(one, meaning(told.metric_id), shown))
    for figure in figures.values():
        figure["strata"] = [
            {"stratum": name, "values": sorted(values, key=lambda value: value["from"])}
            for name, values in figure["strata"].items()
        ]
    contracts = sorted({(one.told.contract_id, one.told.contract_version) for one in events})
    return {
        "employer_id": release["plan"],
        "employer": release["title"],
        "release": release["ordinal"],
        "as_of": release["window_on"],
        "contracts": [{"contract_id": name, "contract_version": version} for name, version in contracts],
        "periods": [{"from": first.isoformat(), "to": last.isoformat()} for first, last in periods],
        "steps": [
            {"step": step, "figures": [one for one in figures.values() if one["step"] == step]}
            for step in (PEOPLE, *STEPS)
        ],
    }


def _place(told: EmployerOutcomeReported) -> tuple[str, str, date]:
    return told.metric_id, told.stratum, told.measurement_period.from_on


def _figure(metric: str) -> dict[str, Any]:
    found = meaning(metric)
    return {
        "metric_id": metric,
        "step": found.step,
        "title": found.title,
        "definition": {
            "version": found.version,
            "numerator": found.numerator,
            "denominator": found.denominator,
            "exclusions": found.exclusions,
            "source": list(found.source),
        },
        "better": found.better,
        "ask": found.ask,
        "total_unit": found.total,
        "rate_unit": found.rate,
        "strata": {},
    }


def _value(one: Released, what: Meaning, shown: _Shown) -> dict[str, Any]:
    told = one.told
    period = told.measurement_period
    before = date(period.from_on.year - 1, period.from_on.month, 1)
    hidden = told.suppression
    return {
        "from": period.from_on.isoformat(),
        "to": period.through_on.isoformat(),
        "unit": told.unit,
        "numerator": told.numerator,
        "denominator": told.denominator,
        "value": told.value,
        "ci_low": told.ci_low,
        "ci_high": told.ci_high,
        "rate": _ratio(told.numerator, shown.count(what.of, period.from_on) if what.of else None, what.per),
        "change_in_a_year": _change(told, what, before, shown),
        "withheld": None
        if hidden is None
        else {"code": CODE, "numerator": _interval(hidden.numerator), "denominator": _interval(hidden.denominator)},
        "event_id": one.event_id,
    }


def _interval(bounds: tuple[int | None, int | None] | None) -> list[int | None] | None:
    return None if bounds is None else list(bounds)


def _ratio(total: int | None, of: int | None, per: int = 1) -> str | None:
    return None if total is None or not of else four_places(Fraction(total * per, of))


def _change(told: EmployerOutcomeReported, what: Meaning, before: date, shown: _Shown) -> str | None:
    """How a sum's rate moved in a year, of both rates where they are shown: 0.0500 is 5 % more."""
    if not what.of:
        return None
    on = told.measurement_period.from_on
    now = told.numerator, shown.count(what.of, on)
    then = shown.count(told.metric_id, before, told.stratum), shown.count(what.of, before)
    if not (now[0] and now[1] and then[0] and then[1]):
        return None
    return four_places(Fraction(now[0], now[1]) / Fraction(then[0], then[1]) - 1)


def table(document: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """The report's rows under `COLUMNS`, as text; what is not shown is empty."""
    for step in document["steps"]:
        for figure in step["figures"]:
            for strata in figure["strata"]:
                for value in strata["values"]:
                    yield tuple(_text(word) for word in _row(figure, strata["stratum"], value))


def _row(figure: Mapping[str, Any], stratum: str, value: Mapping[str, Any]) -> Sequence[Any]:
    hidden = value["withheld"] or {"code": None, "numerator": None, "denominator": None}
    definition = figure["definition"]
    numerator, denominator = hidden["numerator"] or (None, None), hidden["denominator"] or (None, None)
    return (
        figure["step"], figure["metric_id"], definition["version"], figure["title"], stratum, value["from"],
        value["to"], value["unit"], value["numerator"], value["denominator"], value["value"], value["ci_low"],
        value["ci_high"], value["rate"], figure["rate_unit"] if value["rate"] else None, value["change_in_a_year"],
        hidden["code"], *numerator, *denominator, definition["numerator"], definition["denominator"],
        definition["exclusions"], "; ".join(definition["source"]), figure["ask"], value["event_id"],
    )  # fmt: skip


def _text(word: Any) -> str:
    return "" if word is None else str(word)
