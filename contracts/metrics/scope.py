"""What a metric is asked about: a plan's records, the days of the period, and the episodes that count in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from contracts.metrics.codes import Codes
from contracts.metrics.records import EpisodeRecord, Evidence, MemberRecord
from contracts.units import add_days, months_of


@dataclass(frozen=True, slots=True)
class Scope:
    """One period of one plan. `run_out_days` must have closed after an episode's end before it counts.

    `weights` are the molecules' shares of reference spending, fixed at the contract's start; `survey_days` is how often
    a patient on treatment is asked.
    """

    evidence: Evidence
    codes: Codes
    from_on: str
    through_on: str
    run_out_days: int = 0
    weights: Mapping[str, Fraction] = field(default_factory=dict)
    survey_days: int = 7
    by_start: bool = False

    def counts(self, episode: EpisodeRecord) -> bool:
        """Included, and of the period."""
        return episode.included and self.of_period(episode)

    def of_period(self, episode: EpisodeRecord) -> bool:
        """Ending in the period (or begun in it, if `by_start`), with its run-out over."""
        day = episode.started_on if self.by_start else episode.ends_on
        over = add_days(episode.ends_on, self.run_out_days) <= self.evidence.closed_through
        return self.from_on <= day <= self.through_on and over

    def episodes(self) -> Iterator[tuple[MemberRecord, EpisodeRecord]]:
        """Every episode that counts, with its member."""
        for member in self.evidence.members.values():
            for episode in member.episodes:
                if self.counts(episode):
                    yield member, episode

    def members(self) -> Iterator[MemberRecord]:
        """Every member covered on some day of the period."""
        for member in self.evidence.members.values():
            if any(span.from_on <= self.through_on and span.through_on >= self.from_on for span in member.coverage):
                yield member

    def within(self, day: str) -> bool:
        """Whether a day is of the period."""
        return self.from_on <= day <= self.through_on

    def months(self) -> tuple[str, ...]:
        """The period's calendar months."""
        return months_of(self.from_on, self.through_on)

    def listed(self, roster: str, provider: str, tin: str, day: str) -> bool:
        """Whether a provider, or the practice it bills for, is on a roster on a day."""
        rosters = self.evidence.rosters
        spans = rosters.get(f"{roster}|{provider}", ()) if provider else ()
        if any(span.holds(day) for span in spans):
            return True
        if not tin:
            return False
        named = (span for key, held in rosters.items() if key.startswith(f"{roster}|") for span in held)
        return any(span.name == tin and span.holds(day) for span in named) or any(
            span.holds(day) for span in rosters.get(f"{roster}|{tin}", ())
        )

    def has_roster(self, roster: str) -> bool:
        """Whether anybody is on a roster at all: without one there is nothing to measure by it."""
        return any(key.startswith(f"{roster}|") for key in self.evidence.rosters)
