"""What cancer care costs: M1 per member and month, M2 per episode against its target."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

from contracts.metrics.measured import Measured, Number, ratio
from contracts.metrics.records import INSTITUTIONAL, PHARMACY, EpisodeRecord, MemberRecord
from contracts.metrics.scope import Scope


def medical_cost(scope: Scope) -> Measured:
    """M1-medical. Allowed cents of oncology's medical claims per member and month covered.

    9,600.00 allowed for 800 member-months: 1,200 cents, 12.00 a month.
    """
    return _cost(scope, "M1-medical", pharmacy=False)


def pharmacy_cost(scope: Scope) -> Measured:
    """M1-pharmacy. The same of pharmacy claims."""
    return _cost(scope, "M1-pharmacy", pharmacy=True)


def _cost(scope: Scope, metric: str, pharmacy: bool) -> Measured:
    hits: dict[str, int] = defaultdict(int)
    of: dict[str, int] = {}
    for member in scope.members():
        of[member.member] = sum(member.covered(f"{month}-01") is not None for month in scope.months())
        for claim in member.claims:
            if (claim.form == PHARMACY) != pharmacy:
                continue
            if claim.form == INSTITUTIONAL:
                counted = any(scope.codes.oncology(claim, line) for line in claim.lines)
                if scope.within(claim.on) and (counted or scope.codes.diagnosed("oncology_dx", claim.diagnoses)):
                    hits[member.member] += claim.allowed_cents
            else:
                lines = [line for line in claim.lines if scope.within(line.on) and scope.codes.oncology(claim, line)]
                hits[member.member] += sum(line.allowed_cents for line in lines)
    return ratio(metric, hits, of)


def trend(now: Measured, before: Measured) -> Fraction | None:
    """M1. Year over year: 12.60 after 12.00 a month is 0.05; None without a year before."""
    if now.value is None or not before.value:
        return None
    return now.value / before.value - 1


def paid_cents(member: MemberRecord, episode: EpisodeRecord) -> int:
    """What the plan paid in an episode, of the records: a stay by its admission, all else by its own day."""
    total = 0
    for claim in member.claims:
        if claim.form == INSTITUTIONAL:
            total += claim.paid_cents if episode.holds(claim.admitted_on if claim.inpatient else claim.on) else 0
        else:
            total += sum(line.paid_cents for line in claim.lines if episode.holds(line.on))
    return total


def episode_cost(scope: Scope) -> Measured:
    """M2. Cost of episodes over their targets: 3,150,000 / 3,360,000 = 0.9375. One without a target is left out."""
    hits: dict[str, Number] = defaultdict(int)
    of: dict[str, Number] = defaultdict(int)
    for member, episode in scope.episodes():
        if episode.target_cents is not None:
            hits[member.member] += paid_cents(member, episode)
            of[member.member] += episode.target_cents
    return ratio("M2", hits, of)


def adjusted_cost(scope: Scope) -> Measured:
    """M2-adjusted. Observed over expected: the same over targets adjusted for the spread of the cancer."""
    hits: dict[str, Number] = defaultdict(int)
    of: dict[str, Number] = defaultdict(int)
    for member, episode in scope.episodes():
        if episode.expected_cents is not None:
            hits[member.member] += paid_cents(member, episode)
            of[member.member] += episode.expected_cents
    return ratio("M2-adjusted", hits, of)
