"""What can be tried of coverage: who pays first beside Medicare, and what coverage that ends leaves of an episode."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import PlainValidator

from contracts import coverage_change, employers
from contracts.clauses import Line
from contracts.parts import Span
from contracts.payer_order import pays_first
from contracts.return_to_work import four_places
from contracts.steps import within_model
from contracts.terms import DatedValue, TermSheet
from contracts.trial.clause import Result, Trial
from contracts.trial.figures import Count, Given, Misfit, OnDay, OnDayOrNull, Word
from contracts.units import FOREVER

_relations = Word(("employee", "cobra", "retiree"))
_grounds = Word(("none", "aged", "disabled", "esrd"))
_rules = Word(coverage_change.RULES)
CALENDAR = frozenset({"initiation_first_on", "initiation_last_on"})


class PaysFirst(Given):
    """A day, how the person is covered by the plan, and on what ground by Medicare since when."""

    on: OnDay
    relation: Annotated[str, PlainValidator(_relations), _relations]
    medicare: Annotated[str, PlainValidator(_grounds), _grounds]
    medicare_from: OnDayOrNull = None
    employees: Count


def _pays_first(sheet: TermSheet, given: PaysFirst) -> tuple[Result, Iterable[Line]]:
    within_model(sheet, given.on)
    since = given.medicare_from or given.on
    if since > given.on:
        raise Misfit("medicare_from", "must not be after the day")
    spans = {"plan": [Span("2000-01-01", FOREVER, given.relation, (b"", "", 0))]}
    if given.medicare != "none":
        spans["part_a"] = [Span(since, FOREVER, given.medicare, (b"", "", 0))]
    known = sheet.on("employer_size", given.on)
    size = DatedValue(
        known.name, known.label, str(given.employees), known.unit, known.from_on, known.dated_by, "given", known.status
    )
    order = pays_first(sheet, spans, 0, given.on, size)
    line = Line("C.4", "Who pays first", f"{order.rule.replace('_', ' ')}: {order.first}", 0, order.terms)
    return {"first": order.first, "rule": order.rule}, [line]


class CoverageEnds(Given):
    """An episode, and the first day of it that is not covered."""

    rule: Annotated[str, PlainValidator(_rules), _rules]
    started_on: OnDay
    ends_on: OnDay
    lost_on: OnDay


def _coverage_ends(sheet: TermSheet, given: CoverageEnds) -> tuple[Result, Iterable[Line]]:
    within_model(sheet, given.started_on)
    if not given.started_on <= given.lost_on <= given.ends_on:
        raise Misfit("lost_on", "must be a day of the episode")
    floor = sheet.on("coverage_floor_days", given.started_on)
    change = coverage_change.after(given.rule, int(floor.number), given.started_on, given.ends_on, given.lost_on)
    words = f"counts through {change.through_on}, {change.part} of its target" if change.counts else "does not count"
    line = Line("C.5", "Coverage that ends in an episode", words, 0, (floor,))
    through = change.through_on if change.counts else None
    return {"counts": change.counts, "through_on": through, "part": four_places(change.part)}, [line]


TRIALS = (
    Trial(employers.CONTRACT, "pays-first", "Whether the plan or Medicare pays first (C.4).", PaysFirst, _pays_first,
          {"on": "2025-05-01", "relation": "employee", "medicare": "aged", "medicare_from": "2025-03-01",
           "employees": 19},
          CALENDAR | {"employer_size", "medicare_aged_least", "medicare_disabled_least", "medicare_esrd_months"},
          ("C.4",)),
    Trial(employers.CONTRACT, "coverage-ends", "What coverage that ends leaves of an episode (C.5).", CoverageEnds,
          _coverage_ends, {"rule": "truncate_prorate", "started_on": "2025-01-01", "ends_on": "2025-06-30",
                           "lost_on": "2025-03-02"}, CALENDAR | {"coverage_floor_days"}, ("C.5",)),
)  # fmt: skip
