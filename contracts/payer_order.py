"""Who pays first, a plan or Medicare, by the plan's own facts of coverage (outcome rules C.4).

    of 65 and more, current employment       the plan of an employer of 20 or more, else Medicare
    under 65, disabled                        the plan of an employer of 100 or more, else Medicare
    end-stage renal disease                   the plan for 30 months, of any size, then Medicare
    COBRA or retired, of 65 or disabled       Medicare

Medicare is known only as far as the payer's own enrollment facts say it: a span of `part_a` or `part_b`, whose code may
name the ground (`aged`, `disabled`, `esrd`), and a span of `esrd` from the day entitlement began. Without a ground the
year of birth tells it. What a claim says of who paid first (A, B, G) is the claim's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contracts import coverage
from contracts.parts import Ref, Span
from contracts.terms import DatedValue, TermSheet
from contracts.units import add_days, add_months

PLAN, MEDICARE = "plan", "medicare"
FORMER = frozenset({"cobra", "retiree"})
AGED_FROM = 65
KINDS = ("part_a", "part_b", "esrd", "plan")

Spans = Mapping[str, Sequence[Span]]
"""Coverage by kind, as a member's head keeps it."""


@dataclass(frozen=True, slots=True)
class Order:
    """Who pays first on a day, by which rule, and the terms and facts it rests on."""

    first: str
    rule: str
    terms: tuple[DatedValue, ...] = ()
    refs: tuple[Ref, ...] = ()


def pays_first(sheet: TermSheet, spans: Spans, birth_year: int, on: str, size: DatedValue | None = None) -> Order:
    """On 2025-05-01, of 66, working for an employer of 19: Medicare; of 20: the plan. `size` None is the sheet's."""
    plan = coverage.on(list(spans.get("plan", ())), on)
    medicare = coverage.on(list(spans.get("part_a", ())), on) or coverage.on(list(spans.get("part_b", ())), on)
    kidney = coverage.on(list(spans.get("esrd", ())), on)
    if medicare is None and kidney is None:
        return Order(PLAN, "no_medicare", refs=(plan.ref,) if plan else ())
    held = medicare or kidney
    assert held is not None
    if plan is None:
        return Order(MEDICARE, "no_plan", refs=(held.ref,))
    refs = (plan.ref, held.ref)
    if kidney is not None or held.code == "esrd":
        months = sheet.on("medicare_esrd_months", on)
        began = (kidney or held).start
        within = on < add_months(began, int(months.number))
        return Order(PLAN if within else MEDICARE, "esrd", (months,), refs)
    aged = held.code == "aged" or (held.code != "disabled" and int(on[:4]) - birth_year >= AGED_FROM)
    if plan.code in FORMER:
        return Order(MEDICARE, "former_employment", refs=refs)
    least = sheet.on("medicare_aged_least" if aged else "medicare_disabled_least", on)
    size = size or sheet.on("employer_size", on)
    first = PLAN if size.number >= least.number else MEDICARE
    return Order(first, "aged" if aged else "disabled", (least, size), refs)


def medicare_first_on(sheet: TermSheet, spans: Spans, birth_year: int, first: str, last: str) -> str:
    """The first day from `first` to `last` on which Medicare pays first; ''. Only days of a change are asked about."""
    if not any(spans.get(kind) for kind in KINDS[:3]):
        return ""
    days = {first}
    for kind in KINDS:
        for span in spans.get(kind, ()):
            days |= {span.start, add_days(span.through, 1)}
            if kind != "plan":
                days.add(add_months(span.start, int(sheet.on("medicare_esrd_months", first).number)))
    for year in range(int(first[:4]) + 1, int(last[:4]) + 1):
        days.add(f"{year}-01-01")
    asked = sorted(day for day in days if first <= day <= last)
    return next((day for day in asked if pays_first(sheet, spans, birth_year, day).first == MEDICARE), "")
