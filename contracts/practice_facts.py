"""What is known of practices beside their patients: who takes part, which activities are shown, what was agreed.

Facts about no one member, heard in the order of the log; the newest wins for the days it names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts import coverage
from contracts.parts import Ref, Span
from contracts.units import FOREVER, last_day

HEARD = frozenset(
    f"carepact.{name}.v1"
    for name in (
        "PracticeParticipationChanged",
        "RedesignActivityEvidenced",
        "CarePartnerArranged",
        "BenefitEnhancementElected",
    )
)
ACTIVITIES = (
    "access", "navigation", "care_plan", "guidelines", "hrsn", "epro", "quality_improvement", "certified_ehr",
)  # fmt: skip
"""The eight, in the model's order."""

Spans = dict[tuple[str, str], list[Span]]


@dataclass
class PracticeFacts:
    """All practices of a payer. A span's code is a pool, a kind of evidence, a share, or nothing."""

    participation: Spans = field(default_factory=dict)
    activities: Spans = field(default_factory=dict)
    standards: Spans = field(default_factory=dict)
    partners: Spans = field(default_factory=dict)
    enhancements: Spans = field(default_factory=dict)

    def hear(self, kind: str, data: Any, ref: Ref) -> None:
        """The next fact, of any kind; others than those of `HEARD` say nothing here."""
        match kind:
            case "carepact.PracticeParticipationChanged.v1":
                self._span(self.participation, data, "", data.pool or "", data.participates, ref)
            case "carepact.RedesignActivityEvidenced.v1":
                if data.activity:
                    self._span(self.activities, data, data.activity, data.evidence, data.met, ref)
                if data.standard:
                    self._span(self.standards, data, data.standard, data.evidence, data.met, ref)
            case "carepact.CarePartnerArranged.v1":
                self._span(self.partners, data, data.partner, f"{data.share:f}", data.in_force, ref)
            case "carepact.BenefitEnhancementElected.v1":
                self._span(self.enhancements, data, data.enhancement, "", data.elected, ref)

    @staticmethod
    def _span(spans: Spans, data: Any, what: str, code: str, holds: bool, ref: Ref) -> None:
        key = data.practice, what
        span = Span(data.from_on.isoformat(), last_day(data.through_on), code, ref)
        spans[key] = coverage.overlay(spans.get(key, []), span, holds)

    def takes_part(self, practice: str, day: str) -> bool:
        """Whether a practice takes part on a day."""
        return coverage.on(self.participation.get((practice, "")), day) is not None

    def shown(self, practice: str, day: str, standards: Mapping[str, str]) -> dict[str, list[tuple[str, Span]]]:
        """Each activity shown on a day, and by what: (standard or '', the evidence). `standards` name activities."""
        found: dict[str, list[tuple[str, Span]]] = {}
        for activity in ACTIVITIES:
            if (span := coverage.on(self.activities.get((practice, activity)), day)) is not None:
                found.setdefault(activity, []).append(("", span))
        for standard, spans in _of(self.standards, practice):
            if (span := coverage.on(spans, day)) is not None:
                for activity in standards.get(standard, "").split():
                    found.setdefault(activity, []).append((standard, span))
        return found

    def agreed(self, practice: str, first: str, last: str) -> dict[str, list[dict[str, Any]]]:
        """Care Partners and benefit enhancements of a practice with a day from `first` through `last`."""
        return {
            "care_partners": [
                {"partner": partner, "share": span.code, **_days(span)}
                for partner, span in _within(self.partners, practice, first, last)
            ],
            "benefit_enhancements": [
                {"enhancement": name, **_days(span)} for name, span in _within(self.enhancements, practice, first, last)
            ],
        }


def _of(spans: Spans, practice: str) -> Iterator[tuple[str, list[Span]]]:
    for (of, what), held in sorted(spans.items()):
        if of == practice:
            yield what, held


def _within(spans: Spans, practice: str, first: str, last: str) -> Iterator[tuple[str, Span]]:
    for what, held in _of(spans, practice):
        yield from ((what, span) for span in held if span.start <= last and span.through >= first)


def _days(span: Span) -> dict[str, str | None]:
    return {"from_on": span.start, "through_on": None if span.through == FOREVER else span.through}
