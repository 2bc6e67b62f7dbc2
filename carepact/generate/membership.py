"""Who is covered by what, as formats say it: changes, coverages, beneficiaries as they stand, spans as they stand."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from carepact.generate.corrections import billed
from carepact.generate.told import Told
from contracts import coverage
from contracts.parts import Span
from contracts.units import FOREVER, add_days

MONTH = date(2025, 6, 1)
"""The month of a CMS submission: the last of the two years that a population has by default."""
_PARTS = frozenset(("part_a", "part_b", "part_d", "medicare_advantage", "plan"))
_NO_REF = (b"", "", 0)


def as_changes(told: list[Told]) -> list[Told]:
    """834: the plan and the parts of Medicare; the relationship is self."""
    found = []
    for each in told:
        if each.type == "EnrollmentChanged":
            if each.data["coverage"] in _PARTS:
                found.append(replace(each, data={**each.data, "code": "18"}))
        else:
            found.append(each)
    return found


def as_coverages(told: list[Told]) -> list[Told]:
    """FHIR: the plan and the parts of Medicare, each change a Coverage."""
    return [each for each in told if each.type != "EnrollmentChanged" or each.data["coverage"] in _PARTS]


def standing(told: list[Told]) -> dict[str, tuple[Told, dict[str, list[Span]], dict[str, Any]]]:
    """Of each member, in the order in which they came: a fact, the spans of each coverage, the description."""
    found: dict[str, tuple[Told, dict[str, list[Span]], dict[str, Any]]] = {}
    for each in told:
        if each.type not in ("EnrollmentChanged", "MemberDescribed"):
            continue
        _, spans, described = found.setdefault(each.member, (each, {}, {}))
        data = each.data
        if each.type == "MemberDescribed":
            described |= data
            continue
        span = Span(data["from_on"], data.get("through_on") or FOREVER, data.get("code", ""), _NO_REF)
        spans[data["coverage"]] = coverage.overlay(spans.get(data["coverage"], []), span, data["covered"])
    return found


def _made(each: Told, kind: str, start: str, through: str, code: str = "") -> Told:
    data: dict[str, Any] = {"coverage": kind, "from_on": start, "covered": True}
    if through != FOREVER:
        data["through_on"] = through
    if code:
        data["code"] = code
    return replace(each, type="EnrollmentChanged", data=data, event_id=f"{each.event_id}-{kind}-{start}")


def _with(told: list[Told], members: Iterator[Told]) -> list[Told]:
    claims = (each for each in told if each.type not in ("EnrollmentChanged", "MemberDescribed"))
    return [*members, *claims]


def as_beneficiaries(told: list[Told]) -> list[Told]:
    """CCLF8: who the members are and when Parts A and B began; hospice; dual status and ESRD of one month."""
    month = MONTH.isoformat()
    last = MONTH.replace(day=monthrange(MONTH.year, MONTH.month)[1]).isoformat()

    def members() -> Iterator[Told]:
        for each, spans, described in standing(told).values():
            yield replace(each, type="MemberDescribed", data=described)
            for kind in ("part_a", "part_b"):
                if held := spans.get(kind):
                    yield _made(each, kind, held[0].start, FOREVER)
            if held := spans.get("hospice"):
                yield _made(each, "hospice", held[-1].start, held[-1].through)
            for kind in ("dual", "esrd"):
                if span := coverage.on(spans.get(kind), month):
                    yield _made(each, kind, month, last, span.code)

    return _with(_equipment(told), members())


def _equipment(told: list[Told]) -> list[Told]:
    """A supplier's claim without what CCLF6 has no column for."""
    found = []
    for each in told:
        if each.data.get("supplier") == "dmepos":
            lines = [
                {name: value for name, value in line.items() if name not in ("diagnoses", "units", "rendering_tin")}
                for line in each.data["lines"]
            ]
            gone = ("diagnoses", "billing_tin")
            data = {name: value for name, value in each.data.items() if name not in gone}
            found.append(replace(each, data={**data, "lines": lines}))
        else:
            found.append(each)
    return found


def as_spans(told: list[Told]) -> list[Told]:
    """Tuva's eligibility: spans in which a plan, or Parts A and B together, are in force; dual and ESRD within them."""

    def members() -> Iterator[Told]:
        for each, spans, described in standing(told).values():
            for start, through, dual, ill in eligible(spans):
                for kind in ("plan",) if "plan" in spans else ("part_a", "part_b"):
                    yield _made(each, kind, start, through)
                if dual:
                    yield _made(each, "dual", start, through, dual)
                if ill:
                    yield _made(each, "esrd", start, through)
            yield replace(each, type="MemberDescribed", data=described)

    return _with(_all_diagnoses(told), members())


def eligible(spans: dict[str, list[Span]]) -> Iterator[tuple[str, str, str, bool]]:
    """Rows of eligibility: first and last day, dual status, ESRD; cut where any of them changes."""
    whole = [spans["plan"]] if "plan" in spans else [spans.get("part_a", []), spans.get("part_b", [])]
    beside = [spans.get("dual", []), spans.get("esrd", [])]
    starts = {span.start for held in (*whole, *beside) for span in held}
    starts |= {add_days(span.through, 1) for held in (*whole, *beside) for span in held if span.through != FOREVER}
    cuts = sorted(starts)
    for start, following in zip(cuts, [*cuts[1:], ""], strict=True):
        if all(coverage.on(held, start) for held in whole):
            through = add_days(following, -1) if following else FOREVER
            dual = coverage.on(beside[0], start)
            yield start, through, dual.code if dual else "", coverage.on(beside[1], start) is not None


def _all_diagnoses(told: list[Told]) -> list[Told]:
    """Each line has its own diagnoses first, then the claim's others; the claim's are those of its lines."""
    found = []
    for each in told:
        data = each.data
        if not each.is_claim or each.type == "PharmacyClaimReceived":
            found.append(each)
            continue
        lines = [
            {**line, "diagnoses": list(dict.fromkeys((*line.get("diagnoses", ()), *data["diagnoses"])))}
            for line in data.get("lines") or [{"line": 1, "service_on": data["from_on"]}]
        ]
        union = list(dict.fromkeys(code for line in lines for code in line["diagnoses"]))
        found.append(replace(each, data={**billed(each), "diagnoses": union, "lines": lines}))
    return found


def day_before(day: str) -> str:
    """The last day of coverage that ends on `day`."""
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()
