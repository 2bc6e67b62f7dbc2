"""How people are cared for: M11 centres, M12 navigation, M14 markers, M15 mood, M16 end of life, M22 medical homes.

Each is a share of the episodes that could show it. What programmes did is told by their contacts, or by billed codes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from fractions import Fraction

from contracts.metrics.codes import therapy_days
from contracts.metrics.measured import Measured, Number, medians, ratio
from contracts.metrics.records import Contact, EpisodeRecord, MemberRecord
from contracts.metrics.scope import Scope
from contracts.metrics.use import stays, visits
from contracts.units import add_days, days_between

Asked = Callable[[MemberRecord, EpisodeRecord], bool | None]
"""Whether an episode is in the numerator; None when it is in no denominator."""

ADVANCED = ("III", "IIIA", "IIIB", "IIIC", "IV", "IVA", "IVB", "3", "4")
METASTATIC = ("yes", "true", "positive")
TESTED_DAYS, REACHED_DAYS = 365, 7
OFFERED_DAYS, SCREENED_DAYS, BEHAVIORAL_DAYS, FOLLOWED_DAYS, PALLIATIVE_DAYS = 14, 30, 14, 183, 60
LAST_THERAPY_DAYS, LAST_USE_DAYS, HOSPICE_DAYS = 14, 30, 3
SCREENS = {"phq-2": ("phq2_total", 3), "phq-9": ("phq9_total", 10), "gad-7": ("gad7_total", 10),
           "distress-thermometer": ("distress", 4)}  # fmt: skip
"""By instrument, the total that is read and the least that is positive (B.3)."""


def of_episodes(scope: Scope, metric: str, asked: Asked, per: int = 1) -> Measured:
    """A share of episodes: those asked about that are so, of those asked about."""
    hits, of = Counter[str](), Counter[str]()
    for member, episode in scope.episodes():
        answer = asked(member, episode)
        if answer is not None:
            of[member.member] += 1
            hits[member.member] += answer
    return ratio(metric, hits, of, per=per)


def metastatic(member: MemberRecord, through: str) -> bool:
    """Whether spread is recorded by a day: as such, or by stage IV."""
    spread = any(
        one.element == "ever_metastatic" and one.value.lower() in METASTATIC and one.on <= through
        for one in member.findings
    )
    return spread or member.finding("stage", through).upper().startswith("IV")


# -- M11, M22: where --------------------------------------------------------------------------------------------------


def center_share(scope: Scope) -> Measured:
    """M11. Episodes touched by a centre of excellence: surgery, transplant or a review there, or its programme.

    Nothing is measured for a plan whose payer lists no centre and whose members belong to none.
    """

    def asked(member: MemberRecord, episode: EpisodeRecord) -> bool | None:
        for claim, line in member.services():
            touches = (
                scope.codes.surgery(line) or scope.codes.has("transplant", line.code) or
                scope.codes.has("plan_review", line.code)
            )  # fmt: skip
            listed = touches and scope.listed("center_of_excellence", line.provider, claim.tin, line.on)
            if listed and episode.holds(line.on):
                return True
        spans = [span for program, span in member.programs if program == "center_of_excellence"]
        return any(span.from_on <= episode.ends_on and span.through_on >= episode.started_on for span in spans)

    if not scope.has_roster("center_of_excellence") and not _attested(scope, "center_of_excellence"):
        return ratio("M11", {}, {})
    return of_episodes(scope, "M11", asked)


def leakage(scope: Scope) -> Measured:
    """M11-leakage. Allowed cents in episodes outside the network, of all allowed there (medical claims)."""
    hits: dict[str, Number] = defaultdict(int)
    of: dict[str, Number] = defaultdict(int)
    if scope.has_roster("network"):
        for member, episode in scope.episodes():
            for claim in member.claims:
                if claim.form == "pharmacy" or not episode.holds(claim.on):
                    continue
                of[member.member] += claim.allowed_cents
                if not scope.listed("network", claim.provider, claim.tin, claim.on):
                    hits[member.member] += claim.allowed_cents
    return ratio("M11-leakage", hits, of)


def medical_home_share(scope: Scope) -> Measured:
    """M22. Episodes of people in a medical home when it began, by attestation, or whose practice is listed as one."""

    def asked(member: MemberRecord, episode: EpisodeRecord) -> bool:
        on, practice = episode.started_on, episode.practice
        return member.belongs("medical_home", on) or scope.listed("medical_home", practice, practice, on)

    if not scope.has_roster("medical_home") and not _attested(scope, "medical_home"):
        return ratio("M22", {}, {})
    return of_episodes(scope, "M22", asked)


def _attested(scope: Scope, program: str) -> bool:
    return any(name == program for member in scope.evidence.members.values() for name, _ in member.programs)


# -- M12: navigation --------------------------------------------------------------------------------------------------


def _of(member: MemberRecord, program: str, *contacts: str) -> list[Contact]:
    return [one for one in member.contacts if one.program == program and (not contacts or one.contact in contacts)]


def navigation_offered(scope: Scope) -> Measured:
    """M12-offered. Episodes whose navigation was offered, or began, by the 14th day after the trigger."""

    def asked(member: MemberRecord, episode: EpisodeRecord) -> bool:
        last = add_days(episode.started_on, OFFERED_DAYS)
        offers = _of(member, "navigation", "offered", "reached", "declined")
        return any(episode.started_on <= one.on <= last for one in offers)

    return of_episodes(scope, "M12-offered", asked)


def navigation_reached(scope: Scope) -> Measured:
    """M12-reached. Of episodes with an offer, those whose first contact came by the 7th day after it."""

    def asked(member: MemberRecord, episode: EpisodeRecord) -> bool | None:
        offers = [one.on for one in _of(member, "navigation", "offered") if episode.holds(one.on)]
        if not offers:
            return None
        reached = (one.on for one in _of(member, "navigation", "reached"))
        return any(offers[0] <= day <= add_days(offers[0], REACHED_DAYS) for day in reached)

    return of_episodes(scope, "M12-reached", asked)


def navigation_active(scope: Scope) -> Measured:
    """M12-active. Episodes with navigation in half of their months or more: a contact, or a code billed for it."""

    def asked(member: MemberRecord, episode: EpisodeRecord) -> bool:
        days = [one.on for one in _of(member, "navigation", "reached")]
        days += [line.on for _, line in member.services() if scope.codes.has("navigation", line.code)]
        return 2 * len({day[:7] for day in days if episode.holds(day)}) >= len(episode.months)

    return of_episodes(scope, "M12-active", asked)


# -- M14: markers -----------------------------------------------------------------------------------------------------


def _indicated(member: MemberRecord, episode: EpisodeRecord) -> bool:
    """First-line therapy for which guidelines ask a test: advanced lung, metastatic colorectal, breast."""
    if member.episodes[0].episode_id != episode.episode_id:
        return False
    match episode.cancer:
        case "lung":
            stage = member.finding("stage", episode.ends_on).upper()
            return stage in ADVANCED or metastatic(member, episode.ends_on)
        case "colorectal":
            return metastatic(member, episode.ends_on)
        case cancer:
            return cancer == "breast"


def marker_before_therapy(scope: Scope) -> Measured:
    """M14. Of indicated first episodes, those with a test of the tumour on or before the first day of therapy.

    A test counts for a year. Germline tests are in no numerator: they are genetic information of the person.
    """

    def asked(member: MemberRecord, episode: EpisodeRecord) -> bool | None:
        if not _indicated(member, episode):
            return None
        first, last = add_days(episode.started_on, -TESTED_DAYS), episode.started_on
        return any(
            scope.codes.has("tumor_test", line.code) and first <= line.on <= last for _, line in member.services()
        )

    return of_episodes(scope, "M14", asked)


def marker_turnaround(scope: Scope) -> Measured:
    """M14-days. Median days from the request for a test of the tumour to the test as billed."""
    values: dict[str, list[Number]] = defaultdict(list)
    for member in scope.members():
        for asked in member.authorizations:
            if not scope.codes.has("tumor_test", asked.code):
                continue
            days = [
                line.on
                for _, line in member.services()
                if line.code == asked.code and line.on >= asked.requested_on and scope.within(line.on)
            ]
            if days:
                values[member.member].append(days_between(asked.requested_on, min(days)))
    return medians("M14-days", values)


def marker_denials(scope: Scope) -> Measured:
    """M14-denied. Lines of tests of the tumour that were denied, of all billed."""
    hits, of = Counter[str](), Counter[str]()
    for member in scope.members():
        paid = [line.on for _, line in member.services() if scope.codes.has("tumor_test", line.code)]
        denied = [line.on for line in member.denied if scope.codes.has("tumor_test", line.code)]
        hits[member.member] += sum(map(scope.within, denied))
        of[member.member] += sum(map(scope.within, [*paid, *denied]))
    return ratio("M14-denied", hits, of)


# -- M15: mood --------------------------------------------------------------------------------------------------------


def _screens(member: MemberRecord, episode: EpisodeRecord) -> list[tuple[str, bool, Fraction | None]]:
    """(day, positive, total of the PHQ-9) of each screen in the episode."""
    found = []
    for answer in member.answers:
        if answer.instrument in SCREENS and episode.holds(answer.on):
            name, least = SCREENS[answer.instrument]
            total = answer.score(name)
            if total is not None:
                found.append((answer.on, total >= least, total if answer.instrument == "phq-9" else None))
    return found


def mood_screened(scope: Scope) -> Measured:
    """M15-screened. Episodes with a mood or distress screen by their 30th day."""

    def asked(member: MemberRecord, episode: EpisodeRecord) -> bool:
        last = add_days(episode.started_on, SCREENED_DAYS)
        return any(day <= last for day, *_ in _screens(member, episode))

    return of_episodes(scope, "M15-screened", asked)


def mood_answered(scope: Scope) -> Measured:
    """M15-answered. Of episodes with a positive screen, those with behavioural care by the 14th day after the first."""

    def asked(member: MemberRecord, episode: EpisodeRecord) -> bool | None:
        positive = [day for day, bad, _ in _screens(member, episode) if bad]
        if not positive:
            return None
        days = [one.on for one in _of(member, "behavioral", "reached")]
        days += [line.on for _, line in member.services() if scope.codes.has("behavioral", line.code)]
        return any(positive[0] <= day <= add_days(positive[0], BEHAVIORAL_DAYS) for day in days)

    return of_episodes(scope, "M15-answered", asked)


def mood_better(scope: Scope) -> Measured:
    """M15-better. Of episodes with a positive PHQ-9, those where a later one within six months is below 5, or half."""

    def asked(member: MemberRecord, episode: EpisodeRecord) -> bool | None:
        first = next(((day, total) for day, bad, total in _screens(member, episode) if bad and total is not None), None)
        if first is None:
            return None
        last = add_days(first[0], FOLLOWED_DAYS)
        later = (
            one.score("phq9_total") for one in member.answers if one.instrument == "phq-9" and first[0] < one.on <= last
        )
        return any(total is not None and (total < 5 or 2 * total <= first[1]) for total in later)

    return of_episodes(scope, "M15-better", asked)


# -- M16: palliative care and the end of life -------------------------------------------------------------------------


def palliative_early(scope: Scope) -> Measured:
    """M16. Of first episodes of a cancer that has spread, those with palliative care by their 60th day."""

    def asked(member: MemberRecord, episode: EpisodeRecord) -> bool | None:
        last = add_days(episode.started_on, PALLIATIVE_DAYS)
        if member.episodes[0].episode_id != episode.episode_id or not metastatic(member, last):
            return None
        days = [one.on for one in _of(member, "palliative", "reached")]
        days += [claim.on for claim in member.claims if scope.codes.diagnosed("palliative_dx", claim.diagnoses)]
        days += [line.on for _, line in member.services() if scope.codes.diagnosed("palliative_dx", line.diagnoses)]
        return any(add_days(episode.started_on, -PALLIATIVE_DAYS) <= day <= last for day in days)

    return of_episodes(scope, "M16", asked)


def _of_decedents(scope: Scope, metric: str, asked: Callable[[MemberRecord], bool]) -> Measured:
    """A share of the people with an included episode who died in the period."""
    people = [
        member
        for member in scope.evidence.members.values()
        if scope.within(member.died_on) and any(one.included for one in member.episodes)
    ]
    return ratio(metric, {one.member: int(asked(one)) for one in people}, dict.fromkeys((p.member for p in people), 1))


def therapy_at_end(scope: Scope) -> Measured:
    """M16-therapy. Of those who died, those given chemotherapy in the last 14 days, the day of death included."""

    def asked(member: MemberRecord) -> bool:
        first = add_days(member.died_on, 1 - LAST_THERAPY_DAYS)
        return any(first <= day <= member.died_on for day in therapy_days(member, scope.codes))

    return _of_decedents(scope, "M16-therapy", asked)


def use_at_end(scope: Scope) -> Measured:
    """M16-use. Of those who died, those in an emergency department or intensive care in the last 30 days."""

    def asked(member: MemberRecord) -> bool:
        first = add_days(member.died_on, 1 - LAST_USE_DAYS)
        seen = any(first <= one.on <= member.died_on for one in visits(member, scope.codes))
        rolled = any(one.emergency and first <= one.on <= member.died_on for one in stays(member, scope.codes))
        intensive = any(
            scope.codes.has("intensive_care", line.revenue) and claim.through >= first and claim.on <= member.died_on
            for claim, line in member.services()
        )
        return seen or rolled or intensive

    return _of_decedents(scope, "M16-use", asked)


def hospice_at_end(scope: Scope) -> Measured:
    """M16-hospice. Of those who died, those in hospice for three days or more, by bill type 81x or 82x."""

    def asked(member: MemberRecord) -> bool:
        days = [
            claim.on
            for claim in member.claims
            if claim.setting == "hospice" or claim.bill.lstrip("0").startswith(("81", "82"))
        ]
        return bool(days) and add_days(min(days), HOSPICE_DAYS) <= member.died_on

    return _of_decedents(scope, "M16-hospice", asked)
