"""The catalogue of metrics: each with its dated definition, and the function that measures it.

A definition holds from a day on; a change is a new version with its own day, and the old one stays for the periods
that began under it. Numbers are those of the outcome rules A.8. `docs/reference/metrics.md` is written from this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from contracts.metrics import biosimilars, care, reported, screening, site, spending, use
from contracts.metrics.measured import Measured
from contracts.metrics.scope import Scope

Measure = Callable[[Scope], Iterable[Measured]]


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric as in force from a day on.

    `of_people`: numerator and denominator count people, so the figure is a proportion with an interval. `lower` says
    whether less is better; None where neither is. `asks` is what an employer may ask its health plan about it.
    """

    metric: str
    version: int
    from_on: str
    step: str
    title: str
    unit: str
    numerator: str
    denominator: str
    exclusions: str
    sets: tuple[str, ...]
    measure: Measure
    lower: bool | None = None
    of_people: bool = False
    asks: str = ""

    @property
    def name(self) -> str:
        """Its id with its version: M3/1."""
        return f"{self.metric}/{self.version}"


def _one(measure: Callable[[Scope], Measured]) -> Measure:
    return lambda scope: (measure(scope),)


def _by_molecule(measure: Callable[[Scope, str], Measured]) -> Measure:
    return lambda scope: (measure(scope, molecule) for molecule in scope.codes.molecules)


def _by_role(scope: Scope) -> Iterator[Measured]:
    for molecule in scope.codes.molecules:
        for role in (biosimilars.BIOSIMILAR, biosimilars.REFERENCE):
            yield biosimilars.member_cost(scope, molecule, role)


def _screens(scope: Scope) -> Iterable[Measured]:
    return (screening.screened(scope, cancer) for cancer in screening.AGES)


def _experience(scope: Scope) -> Iterable[Measured]:
    return (reported.experience(scope, composite) for composite in reported.composites(scope))


SPENDING, TOUCHPOINTS, DESIGN, INVESTMENT = "spending", "touchpoints", "benefit design", "long-term investment"
"""An employer's four steps in cancer care."""

EPISODES = "included episodes that end in the period and whose run-out is over"
SHARE, PER_100, CENTS, DAYS = "fraction", "per 100 episodes", "cents", "days"
NONE = "none"
FROM = "2023-07-01"


def _made(
    metric: str, step: str, title: str, unit: str, numerator: str, denominator: str, exclusions: str,
    sets: tuple[str, ...], measure: Measure, lower: bool | None = None, of_people: bool = False, asks: str = "",
) -> Definition:  # fmt: skip
    return Definition(
        metric, 1, FROM, step, title, unit, numerator, denominator, exclusions, sets, measure, lower, of_people, asks
    )


CATALOGUE: tuple[Definition, ...] = (
    _made("M1-medical", SPENDING, "Oncology cost, medical", "cents per member-month",
          "allowed amounts of lines with an oncology diagnosis or drug",
          "months on whose first day a member is covered", "denied lines, claims another payer pays first",
          ("metric_codes: oncology_dx", "therapy_hcpcs", "biosimilars"), _one(spending.medical_cost), True,
          asks="How does our trend compare with your book of business, and what drives it?"),
    _made("M1-pharmacy", SPENDING, "Oncology cost, pharmacy", "cents per member-month",
          "total cost of fills of oncology drugs", "months on whose first day a member is covered", NONE,
          ("therapy_ndc9",), _one(spending.pharmacy_cost), True,
          asks="Which drugs moved from the medical to the pharmacy benefit?"),
    _made("M2", SPENDING, "Cost of episodes over target", SHARE, "paid amounts in episodes", "targets of episodes",
          "episodes without a target", (), _one(spending.episode_cost), True,
          asks="Which episodes drive the excess: drugs, stays, or site of care?"),
    _made("M2-adjusted", SPENDING, "Cost of episodes over expected, risk-adjusted", SHARE, "paid amounts in episodes",
          "targets adjusted for spread", "episodes without a target", (), _one(spending.adjusted_cost), True,
          asks="Does adjustment for spread explain the difference?"),
    _made("M3", SPENDING, "Emergency visits", PER_100,
          "visits: one person, facility and day; lines merged, and days no more than one apart", EPISODES,
          "visits that became a stay (M3-admitted); urgent care, revenue 0456", ("emergency_visits",),
          _one(use.emergency_visits), True, asks="What do practices offer after hours?"),
    _made("M3-admitted", SPENDING, "Emergency visits that became a stay", PER_100,
          "visits on the day of admission, the day before it, or billed by the stay", EPISODES, "urgent care",
          ("emergency_visits",), _one(use.emergency_to_inpatient), True),
    _made("M4", SPENDING, "Hospital stays", PER_100,
          "stays by bill type 11x; interim bills and transfers by the next day merged", EPISODES, NONE, (),
          _one(use.admissions), True, asks="Which stays could symptom management have avoided?"),
    _made("M5", SPENDING, "Avoidable use within 30 days of chemotherapy", SHARE,
          "patients with a stay or visit for one of ten conditions on days 1 to 30 after a day of chemotherapy",
          "patients with chemotherapy in an episode", "hormone therapy; the day of therapy itself",
          ("complications", "emergency_visits", "metric_codes: chemo_admin"), _one(use.avoidable), True, True,
          asks="Who reaches out to patients in the week after an infusion?"),
    _made("M5-admission", SPENDING, "Avoidable stays within 30 days of chemotherapy", SHARE, "as M5, stays",
          "as M5", "as M5", ("complications",), _one(use.avoidable_admissions), True, True),
    _made("M5-emergency", SPENDING, "Avoidable emergency visits within 30 days of chemotherapy", SHARE,
          "as M5, visits on days without such a stay", "as M5", "as M5", ("complications", "emergency_visits"),
          _one(use.avoidable_emergency), True, True),
    _made("M6", SPENDING, "Unplanned readmissions within 30 days", SHARE, "discharges followed by an unplanned stay",
          "discharges in an episode, alive", "stays for radiation or chemotherapy as planned",
          ("metric_codes: planned_stay_dx",), _one(use.readmissions), True,
          asks="Who sees a patient in the week after leaving hospital?"),
    _made("M7", INVESTMENT, "Biosimilar share", SHARE, "units of biosimilars",
          "units of biosimilars and of the reference product",
          "discarded drug (JW); combinations under the skin; tbo-filgrastim", ("biosimilars",),
          _by_molecule(biosimilars.share), False,
          asks="Which biosimilars does your formulary prefer, and from when?"),
    _made("M8", INVESTMENT, "Weighted biosimilar index", SHARE, "shares weighted by reference spending at the start",
          "weights of molecules in use", "molecules nobody was given", ("biosimilars",),
          _one(biosimilars.weighted_index), False,
          asks="Which biosimilars does your formulary prefer, and from when?"),
    _made("M9", INVESTMENT, "New starts on a biosimilar", SHARE,
          "first administrations in 365 days that are a biosimilar's",
          "first administrations in 365 days", "as M7", ("biosimilars",), _by_molecule(biosimilars.new_starts), False,
          asks="Do new patients begin on the biosimilar?"),
    _made("M10", INVESTMENT, "Member cost of a biosimilar less the reference product's", "cents per unit",
          "cost of a unit of biosimilars less that of the reference product", "both given in the period",
          "lines without a member's cost", ("biosimilars",), _by_molecule(biosimilars.member_cost_difference), True,
          asks="Does the member pay less for the biosimilar?"),
    _made("M10-unit", INVESTMENT, "Member cost of a unit, by product", "cents per unit", "what members owe",
          "units given", "lines without a member's cost", ("biosimilars",), _by_role, True),
    _made("M10-switch", INVESTMENT, "What the next switch would have saved", CENTS,
          "units of the reference product x the difference of allowed cost per unit",
          "days on which the reference product was given, where biosimilars were given in the period too", NONE,
          ("biosimilars",), _by_molecule(biosimilars.switch_value), False,
          asks="What keeps the rest on the reference product?"),
    _made("M11", DESIGN, "Touched by a centre of excellence", SHARE,
          "episodes with surgery, transplant or a review of the plan there, or in its programme", EPISODES,
          "plans without a listed centre", ("metric_codes: transplant, plan_review",), _one(care.center_share), False,
          asks="Which centres are in network, and who pays for travel?"),
    _made("M11-leakage", DESIGN, "Spending outside the network", SHARE, "allowed cents of providers not listed",
          "allowed cents of medical claims in episodes", "plans without a listed network", (), _one(care.leakage),
          True),
    _made("M12-offered", TOUCHPOINTS, "Navigation offered", SHARE, "episodes with an offer by day 14", EPISODES, NONE,
          (), _one(care.navigation_offered), False, asks="Who offers navigation, and when do they hear?"),
    _made("M12-reached", TOUCHPOINTS, "Navigation reached", SHARE, "episodes with a contact by day 7 after the offer",
          "episodes with an offer", NONE, (), _one(care.navigation_reached), False),
    _made("M12-active", TOUCHPOINTS, "Navigation active", SHARE,
          "episodes with a contact or a code for it in half of their months or more", EPISODES, NONE,
          ("metric_codes: navigation",), _one(care.navigation_active), False),
    _made("M13", TOUCHPOINTS, "Screened", SHARE, "members with a screen that still counts",
          "members of the age and sex it is for, covered for a year", "members who have had the cancer",
          ("metric_codes: screen",), _screens, False, True, asks="How are members who are overdue reached?"),
    _made("M13-early", TOUCHPOINTS, "Found at stage I or II", SHARE, "first episodes of stage I or II",
          "first episodes with a stage", "episodes without a stage", (), _one(screening.found_early), False),
    _made("M14", TOUCHPOINTS, "Tumour tested before first-line therapy", SHARE,
          "episodes with a test on or before the first day of therapy",
          "first episodes of advanced lung, metastatic colorectal or breast cancer", "germline tests",
          ("metric_codes: tumor_test",), _one(care.marker_before_therapy), False,
          asks="Which evidence-based genomic tests need prior authorization?"),
    _made("M14-days", TOUCHPOINTS, "Days from request to test", DAYS, "median days", "requests followed by a test",
          "germline tests", ("metric_codes: tumor_test",), _one(care.marker_turnaround), True),
    _made("M14-denied", DESIGN, "Tests denied", SHARE, "denied lines", "billed lines", "germline tests",
          ("metric_codes: tumor_test",), _one(care.marker_denials), True),
    _made("M15-screened", TOUCHPOINTS, "Screened for mood or distress", SHARE, "episodes with a screen by day 30",
          EPISODES, NONE, (), _one(care.mood_screened), False, asks="What happens after a positive screen?"),
    _made("M15-answered", TOUCHPOINTS, "Positive screen answered", SHARE,
          "episodes with behavioural care by day 14 after it", "episodes with a positive screen", NONE,
          ("metric_codes: behavioral",), _one(care.mood_answered), False),
    _made("M15-better", TOUCHPOINTS, "Mood better", SHARE,
          "episodes with a later PHQ-9 below 5, or half, in six months",
          "episodes with a positive PHQ-9", NONE, (), _one(care.mood_better), False),
    _made("M16", TOUCHPOINTS, "Early palliative care", SHARE, "episodes with palliative care by day 60",
          "first episodes of cancer that has spread", NONE, ("metric_codes: palliative_dx",),
          _one(care.palliative_early), False, asks="Is palliative care offered beside treatment, at home too?"),
    _made("M16-therapy", TOUCHPOINTS, "Chemotherapy in the last 14 days", SHARE, "people given it",
          "people with an episode who died in the period", "hormone therapy", ("metric_codes: chemo_admin",),
          _one(care.therapy_at_end), True, True),
    _made("M16-use", TOUCHPOINTS, "Emergency or intensive care in the last 30 days", SHARE, "people there",
          "people with an episode who died in the period", NONE, ("emergency_visits", "metric_codes: intensive_care"),
          _one(care.use_at_end), True, True),
    _made("M16-hospice", TOUCHPOINTS, "Hospice for three days or more", SHARE, "people in hospice",
          "people with an episode who died in the period", NONE, (), _one(care.hospice_at_end), False, True),
    _made("M17", DESIGN, "Infusions in an office or at home", SHARE, "days of infusion there",
          "days of infusion there or at a hospital's outpatient department", "infusions in hospital",
          ("metric_codes: chemo_admin, infusion",), _one(site.infusions_near_home), False,
          asks="Which infusions must be at a hospital, and why?"),
    _made("M17-urgent", DESIGN, "Urgent visit on the day of a call or alert", SHARE, "followed the same day by a visit",
          "symptom calls and alerts", "emergency visits", ("metric_codes: urgent_revenue",), _one(site.urgent_same_day),
          False),
    _made("M17-emergency", DESIGN, "Emergency visit within a day of a call or alert", SHARE,
          "followed that day or the next by a visit", "symptom calls and alerts", NONE, ("emergency_visits",),
          _one(site.emergency_after_alert), True),
    _made("M18", TOUCHPOINTS, "Questionnaires completed", SHARE, "windows answered, up to three days late",
          "windows while on therapy, alive, covered and not in hospital throughout", "windows in hospice", (),
          _one(reported.completion), False, asks="Who calls a patient who does not answer?"),
    _made("M18-enrolled", TOUCHPOINTS, "Episodes that report at all", SHARE, "episodes with a questionnaire", EPISODES,
          NONE, (), _one(reported.enrolled_in_reporting), False),
    _made("M19", TOUCHPOINTS, "Screened for social needs", SHARE, "episodes with a screen", EPISODES, NONE, (),
          _one(reported.needs_screened), False, asks="What follows when a patient cannot get to the clinic?"),
    _made("M19-closed", TOUCHPOINTS, "Social need answered", SHARE, "episodes whose referral closed by day 30",
          "episodes with a need found", NONE, (), _one(reported.needs_closed), False),
    _made("M20", DESIGN, "Hours to a prior authorization", "hours", "median hours to the first answer",
          "requests of the period with an answer", NONE, (), _one(site.hours_to_decision), True,
          asks="Which oncology services still need prior authorization, and how many are ever refused?"),
    _made("M20-prompt", DESIGN, "Prior authorizations answered within 72 hours", SHARE,
          "requests first answered within 72 hours", "requests of the period with an answer", NONE, (),
          _one(site.answered_promptly), False),
    _made("M20-overturned", DESIGN, "Denials overturned", SHARE, "denials later overturned", "denials", NONE, (),
          _one(site.overturned), True),
    _made("M20-delay", DESIGN, "Days from request to therapy", DAYS, "median days", "requests followed by the therapy",
          NONE, (), _one(site.therapy_delay), True),
    _made("M21", DESIGN, "Biosimilar on the reference product's tier or lower", SHARE, "members for whom it is",
          "members with both in their formulary", NONE, ("biosimilars",), _by_molecule(biosimilars.tier_parity), False,
          True, asks="Is the biosimilar on a lower tier with a lower member cost?"),
    _made("M21-cost", DESIGN, "Biosimilar cheaper for the member", SHARE, "members for whom it is",
          "members with both costs in their formulary", NONE, ("biosimilars",),
          _by_molecule(biosimilars.cheaper_for_members), False, True),
    _made("M22", DESIGN, "In a medical home", SHARE, "episodes of members in one, or of a practice that is one",
          EPISODES,
          "plans without a listed medical home", (), _one(care.medical_home_share), False,
          asks="Which oncology practices in our region are medical homes?"),
    _made("M23", TOUCHPOINTS, "Experience of care", "mean score", "sum of scores of a composite",
          "surveys completed in the period", NONE, (), _experience, False,
          asks="How do you hear from patients, and what changed because of it?"),
)  # fmt: skip
"""In the order of the numbers. Every metric has one definition in force on a day."""


def in_force(on: str) -> tuple[Definition, ...]:
    """The definitions in force on a day, each metric's newest; in the catalogue's order."""
    newest: dict[str, Definition] = {}
    for definition in CATALOGUE:
        held = newest.get(definition.metric)
        if definition.from_on <= on and (held is None or held.from_on < definition.from_on):
            newest[definition.metric] = definition
    return tuple(newest.values())


def measure(scope: Scope) -> Iterator[tuple[Definition, Measured]]:
    """Every metric of a period by the definition in force on its first day, each stratum a figure."""
    for definition in in_force(scope.from_on):
        for measured in definition.measure(scope):
            yield definition, measured
