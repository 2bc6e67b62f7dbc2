"""An episode as a settlement sees it: what stands at a cut, with all that its figures rest on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from contracts.attribution import Attribution
from contracts.parts import Ref

NOBODY = Attribution("", "", "", ())


class Claimed(NamedTuple):
    """A version of a claim: whether it counts in the episode and why, and the cents it adds before any factor.

    `service` is the kind of claim; `emergency` for an outpatient one with an emergency visit. `part2`: a version of it
    is tagged under 42 CFR Part 2; it counts, and is shown to no practice.
    """

    claim_id: str
    family: str
    action: str
    inside: bool
    reason: str
    amount_cents: int
    ref: Ref
    service: str = ""
    part2: bool = False


class MonthlyLine(NamedTuple):
    """A billed month of enhanced services, and what becomes of it: `owed`, or why not.

    `practice` billed it; `paid_cents` is what the claim says was paid.
    """

    day: str
    practice: str
    paid_cents: int
    disposition: str
    ref: Ref
    partition: int

    @property
    def month(self) -> str:
        """Its calendar month."""
        return self.day[:7]


@dataclass(slots=True)
class Case:
    """One episode; with episode_id '' only monthly lines that no episode covers.

    Days are ISO strings, '' when there is none. `components` and `novel` are cents before the factors of the contract:
    `novel` as (Parts A and B, low-income subsidy, above the Part D threshold). `biosimilars` are billed by (HCPCS, day,
    units) on lines whose amount is not standardised. `consented` are the practices that may see its claims under 42 CFR
    Part 2, at the cut.
    """

    episode_id: str
    member: str
    partition: int
    plan: str
    started_on: str = ""
    ends_on: str = ""
    period: int = 0
    cancer_type: str = ""
    status: str = ""
    void_reason: str = ""
    exclusion: str = ""
    source: str = ""
    opened_by: Ref = (b"", "", 0)
    attribution: Attribution = NOBODY
    takes_part: bool = False
    cancers: tuple[tuple[str, int], ...] = ()
    expenditure_cents: int = 0
    components: dict[str, int] = field(default_factory=dict)
    novel: tuple[int, ...] = (0, 0, 0)
    biosimilars: list[tuple[str, str, str]] = field(default_factory=list)
    meos: list[MonthlyLine] = field(default_factory=list)
    meos_months: int = 0
    died_on: str = ""
    ever_metastatic: bool | None = None
    her2_positive: bool | None = None
    sex: str = ""
    age: int = 0
    dual_code: str = ""
    part_d: bool = False
    therapy_before: str = ""
    follows: str = ""
    outpatient_therapy: bool = False
    admission: bool = False
    emergency: bool = False
    therapy_at_end: bool = False
    hospice: bool = False
    claims: list[Claimed] = field(default_factory=list)
    consented: frozenset[str] = frozenset()

    @property
    def practice(self) -> str:
        """The practice it is attributed to; ''."""
        return self.attribution.practice

    @property
    def included(self) -> bool:
        """Valid, and of a sub-type that counts."""
        return self.status == "valid" and not self.exclusion

    @property
    def settles(self) -> bool:
        """Whether it counts in its practice's settlement: included, and the practice took part when it began."""
        return self.included and self.takes_part
