"""The evidence metrics are computed from: plain, frozen records of one member, and of one plan.

Days are ISO strings, amounts cents, units exact. Claims are in final action: what a void or a replacement displaces is
not here (outcome rules D.5), so that counting counts what stands and money is the signed sum. Lines that were denied
are apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from contracts.units import months_of

PROFESSIONAL, INSTITUTIONAL, PHARMACY = "professional", "institutional", "pharmacy"


@dataclass(frozen=True, slots=True)
class Service:
    """One line of a claim. `member_cents` is what the member owes of it; None where the feed does not say."""

    on: str
    code: str = ""
    ndc: str = ""
    revenue: str = ""
    place: str = ""
    modifiers: tuple[str, ...] = ()
    diagnoses: tuple[str, ...] = ()
    units: Fraction = Fraction(0)
    allowed_cents: int = 0
    paid_cents: int = 0
    member_cents: int | None = None
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim as it stands. Allowed amounts are the paid ones where a feed has no others.

    `through` of a stay is the day of discharge; `bill` the type of bill, '' where a feed has none.
    """

    claim_id: str
    form: str
    on: str
    through: str
    setting: str = ""
    bill: str = ""
    provider: str = ""
    tin: str = ""
    diagnoses: tuple[str, ...] = ()
    admitted_on: str = ""
    allowed_cents: int = 0
    paid_cents: int = 0
    lines: tuple[Service, ...] = ()

    @property
    def inpatient(self) -> bool:
        """A hospital stay: bill type 11x, or said by the setting where there is no bill type."""
        return self.bill.lstrip("0").startswith("11") if self.bill else self.setting == "inpatient"


@dataclass(frozen=True, slots=True)
class Denied:
    """A line that the plan denied."""

    on: str
    code: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A completed questionnaire, scored: totals by name, composite grades by symptom, social needs.

    `instrument` is the scored one's id, or as sent; `red` says that a nurse had to see it.
    """

    on: str
    instrument: str
    scores: tuple[tuple[str, Fraction], ...] = ()
    grades: tuple[tuple[str, int], ...] = ()
    needs: tuple[str, ...] = ()
    red: bool = False

    def score(self, name: str) -> Fraction | None:
        """A total by its name."""
        return next((value for held, value in self.scores if held == name), None)


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact of a programme with the member or a caregiver."""

    on: str
    program: str
    contact: str


@dataclass(frozen=True, slots=True)
class Authorization:
    """A prior authorization asked for, and the plan's answers in their order: (day, decision, hours)."""

    requested_on: str
    code: str
    decisions: tuple[tuple[str, str, Fraction | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """Stage, spread or marker as recorded."""

    on: str
    element: str
    value: str


@dataclass(frozen=True, slots=True)
class Tier:
    """A drug's place in the member's formulary from a day on; `drug` is its HCPCS or NDC."""

    from_on: str
    drug: str
    tier: int
    member_cents: int | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A span of days: of coverage with its code, or of belonging to a programme with its provider."""

    from_on: str
    through_on: str
    name: str = ""

    def holds(self, day: str) -> bool:
        """Whether the day is within it."""
        return self.from_on <= day <= self.through_on


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """An episode as the contract decided it by the cut. `expenditure_cents` and `fees_cents` are payer money.

    `target_cents` is what the sheet expects of it, adjusted for risk in `expected_cents`, each to the cent.
    `part` is that of its days which count: less than 1 where it lost its coverage and is cut short.
    """

    episode_id: str
    started_on: str
    ends_on: str
    cancer: str
    practice: str
    included: bool
    expenditure_cents: int = 0
    fees_cents: int = 0
    target_cents: int | None = None
    expected_cents: int | None = None
    part: Fraction = Fraction(1)

    def holds(self, day: str) -> bool:
        """Whether a day is within the episode."""
        return self.started_on <= day <= self.ends_on

    @property
    def months(self) -> tuple[str, ...]:
        """Its calendar months."""
        return months_of(self.started_on, self.ends_on)


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """Everything of one member that a metric may ask, as of the cut.

    `withheld` are claims tagged under 42 CFR Part 2: they count in the payer's money, and no metric asks for them;
    `consented` are the practices that may see them.
    """

    member: str
    birth_year: int = 0
    sex: str = ""
    died_on: str = ""
    coverage: tuple[Listed, ...] = ()
    claims: tuple[Claim, ...] = ()
    denied: tuple[Denied, ...] = ()
    answers: tuple[Answer, ...] = ()
    experience: tuple[Answer, ...] = ()
    contacts: tuple[Contact, ...] = ()
    authorizations: tuple[Authorization, ...] = ()
    findings: tuple[Finding, ...] = ()
    tiers: tuple[Tier, ...] = ()
    programs: tuple[tuple[str, Listed], ...] = ()
    demands: tuple[tuple[str, str], ...] = ()
    leaves: tuple[Listed, ...] = ()
    withheld: tuple[Claim, ...] = ()
    episodes: tuple[EpisodeRecord, ...] = ()
    consented: frozenset[str] = frozenset()

    def services(self) -> Iterator[tuple[Claim, Service]]:
        """Every line that stands, with its claim."""
        return ((claim, line) for claim in self.claims for line in claim.lines)

    def covered(self, day: str) -> Listed | None:
        """The plan's coverage on a day."""
        return next((span for span in self.coverage if span.holds(day)), None)

    def finding(self, element: str, through: str) -> str:
        """What was last recorded of an element by a day; ''."""
        found = [(one.on, one.value) for one in self.findings if one.element == element and one.on <= through]
        return max(found)[1] if found else ""

    def belongs(self, program: str, day: str) -> bool:
        """Whether the member is in a programme on a day."""
        return any(name == program and span.holds(day) for name, span in self.programs)


Rosters = Mapping[str, tuple[Listed, ...]]
"""`<roster>|<provider>` -> the days on which it is listed, with its TIN."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A plan's records as of a cut. `closed_through` is the last day known to have passed."""

    plan: str
    closed_through: str = ""
    members: Mapping[str, MemberRecord] = field(default_factory=dict)
    rosters: Rosters = field(default_factory=dict)
    inputs: tuple[tuple[str, str], ...] = ()
