"""Early detection: M13, screening as HEDIS has it, and how early cancers are found.

Asked of members covered on the period's last day and throughout the year before it. Each code of a screen counts for
as many months as the set says: a colonoscopy 120, a mammogram 27. Age is that reached in the period's last year.
"""

from __future__ import annotations

from contracts.metrics.care import of_episodes
from contracts.metrics.measured import Measured, ratio
from contracts.metrics.records import EpisodeRecord, MemberRecord
from contracts.metrics.scope import Scope
from contracts.units import add_days, add_months

AGES = {"breast": (40, 74), "colorectal": (45, 75), "cervical": (21, 64), "lung": (50, 80)}
HAD = {"breast": ("C50",), "colorectal": ("C18", "C19", "C20", "C21"), "cervical": ("C53",), "lung": ("C34",)}
EARLY, LATE = ("I", "II"), ("III", "IV")


def screened(scope: Scope, cancer: str) -> Measured:
    """M13. Members who had a screen that still counts, of those it is for.

    A breast screen is for women of 40 to 74, a cervical one for women of 21 to 64, a colorectal one for 45 to 75, a
    lung one for 50 to 80 with tobacco use on a claim. Who has had the cancer is not screened for it.
    """
    hits: dict[str, int] = {}
    of: dict[str, int] = {}
    for member in scope.members():
        if _is_for(scope, member, cancer):
            of[member.member] = 1
            hits[member.member] = int(_screened(scope, member, cancer))
    return ratio("M13", hits, of, cancer)


def by_enrollment(scope: Scope, cancer: str) -> int:
    """Of how many enrollment alone says that a screen is for them: whoever has the enrollment records knows it."""
    return sum(1 for member in scope.members() if _of_age(scope, member, cancer))


def _of_age(scope: Scope, member: MemberRecord, cancer: str) -> bool:
    youngest, oldest = AGES[cancer]
    age = int(scope.through_on[:4]) - member.birth_year if member.birth_year else -1
    if not youngest <= age <= oldest or (cancer in ("breast", "cervical") and member.sex != "female"):
        return False
    return _covered_a_year(member, scope.through_on) and not _died(member, scope.through_on)


def _is_for(scope: Scope, member: MemberRecord, cancer: str) -> bool:
    if not _of_age(scope, member, cancer):
        return False
    diagnoses = {code for claim in member.claims for code in claim.diagnoses}
    diagnoses |= {code for _, line in member.services() for code in line.diagnoses}
    if any(code.startswith(HAD[cancer]) for code in diagnoses):
        return False
    return cancer != "lung" or scope.codes.diagnosed("tobacco_dx", diagnoses)


def _died(member: MemberRecord, by: str) -> bool:
    return bool(member.died_on) and member.died_on <= by


def _covered_a_year(member: MemberRecord, last: str) -> bool:
    day = add_days(add_months(last, -12), 1)
    while day <= last:
        span = member.covered(day)
        if span is None:
            return False
        day = add_days(span.through_on, 1) if span.through_on < last else add_days(last, 1)
    return True


def _screened(scope: Scope, member: MemberRecord, cancer: str) -> bool:
    for name, codes in scope.codes.named(f"screen:{cancer}:").items():
        first = add_months(scope.through_on, -int(name.rsplit(":", 1)[1]))
        if any(line.code in codes and first < line.on <= scope.through_on for _, line in member.services()):
            return True
    return False


def found_early(scope: Scope) -> Measured:
    """M13-early. First episodes of stage I or II, of those with a stage on record by their end."""

    def asked(member: MemberRecord, episode: EpisodeRecord) -> bool | None:
        stage = member.finding("stage", episode.ends_on).upper().rstrip("ABC0123")
        if member.episodes[0].episode_id != episode.episode_id or stage not in (*EARLY, *LATE):
            return None
        return stage in EARLY

    return of_episodes(scope, "M13-early", asked)
