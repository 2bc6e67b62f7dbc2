"""What people report: M18 questionnaires, M19 social needs, M23 experience of care."""

from __future__ import annotations

from collections import Counter, defaultdict

from contracts.metrics.care import of_episodes
from contracts.metrics.codes import therapy_days
from contracts.metrics.measured import Measured, Number, ratio
from contracts.metrics.records import EpisodeRecord, MemberRecord
from contracts.metrics.scope import Scope
from contracts.metrics.use import stays
from contracts.units import add_days

GRACE_DAYS = 3
CLOSED_DAYS = 30
SOCIAL = ("ahc-hrsn", "prapare", "PRAPARE")


def completion(scope: Scope) -> Measured:
    """M18. Questionnaires completed of those expected (B.6): 70 of 100 windows answered is 0.7.

    One is expected in each window from an episode's first day to its last day of therapy: alive, covered, and not in
    hospital for the whole window. It is answered by a questionnaire in the window or up to three days after it; each
    answers one window, the earliest it can.
    """
    hits, of = Counter[str](), Counter[str]()
    for member, episode in scope.episodes():
        asked = windows(scope, member, episode)
        of[member.member] += len(asked)
        hits[member.member] += answered(sorted(one.on for one in member.answers), asked)
    return ratio("M18", hits, of)


def windows(scope: Scope, member: MemberRecord, episode: EpisodeRecord) -> list[tuple[str, str]]:
    """The windows in which an answer is expected."""
    given = [day for day in _days_of_therapy(scope, member) if episode.holds(day)]
    last = max(given, default="")
    held = stays(member, scope.codes)
    hospice = min((claim.on for claim in member.claims if claim.setting == "hospice"), default="")
    found = []
    first = episode.started_on
    while first <= last:
        end = add_days(first, scope.survey_days - 1)
        gone = (member.died_on and member.died_on <= first) or (hospice and hospice <= first)
        inside = any(stay.on <= first and end <= stay.through for stay in held)
        if not gone and not inside and member.covered(first) is not None:
            found.append((first, end))
        first = add_days(end, 1)
    return found


def _days_of_therapy(scope: Scope, member: MemberRecord) -> set[str]:
    """Days on which any therapy was given, hormones included."""
    days = {line.on for _, line in member.services() if scope.codes.therapy(line)}
    return days.union(therapy_days(member, scope.codes))


def answered(days: list[str], asked: list[tuple[str, str]]) -> int:
    """How many windows are answered, each by one questionnaire: days 1 and 9 answer [1-7] and [8-14]."""
    count, at = 0, 0
    for first, end in asked:
        while at < len(days) and days[at] < first:
            at += 1
        if at < len(days) and days[at] <= add_days(end, GRACE_DAYS):
            count, at = count + 1, at + 1
    return count


def enrolled_in_reporting(scope: Scope) -> Measured:
    """M18-enrolled. Episodes with a questionnaire answered at all; below 0.6 a completion says little (B.6)."""

    def asked(member: MemberRecord, episode: EpisodeRecord) -> bool:
        return any(episode.holds(one.on) for one in member.answers)

    return of_episodes(scope, "M18-enrolled", asked)


def needs_screened(scope: Scope) -> Measured:
    """M19. Episodes with a screen for social needs: its questionnaire, or a contact of that programme."""

    def asked(member: MemberRecord, episode: EpisodeRecord) -> bool:
        days = [one.on for one in member.answers if one.instrument in SOCIAL]
        days += [one.on for one in member.contacts if one.program == "hrsn" and one.contact in ("reached", "closed")]
        return any(map(episode.holds, days))

    return of_episodes(scope, "M19", asked)


def needs_closed(scope: Scope) -> Measured:
    """M19-closed. Of episodes with a need found, those whose referral was closed by the 30th day after it."""

    def asked(member: MemberRecord, episode: EpisodeRecord) -> bool | None:
        found = [one.on for one in member.answers if one.needs and episode.holds(one.on)]
        if not found:
            return None
        closed = (one.on for one in member.contacts if one.program == "hrsn" and one.contact == "closed")
        return any(found[0] <= day <= add_days(found[0], CLOSED_DAYS) for day in closed)

    return of_episodes(scope, "M19-closed", asked)


def experience(scope: Scope, composite: str) -> Measured:
    """M23. Mean score of one composite of the experience-of-care survey, over surveys completed in the period."""
    hits: dict[str, Number] = defaultdict(int)
    of: dict[str, Number] = defaultdict(int)
    for member in scope.members():
        for survey in member.experience:
            score = survey.score(composite)
            if score is not None and scope.within(survey.on):
                hits[member.member] += score
                of[member.member] += 1
    return ratio("M23", hits, of, composite)


def composites(scope: Scope) -> list[str]:
    """The composites there are scores of."""
    return sorted({name for m in scope.members() for s in m.experience for name, _ in s.scores})
