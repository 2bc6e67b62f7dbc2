"""What is remembered of a member, in parts: the head, months of evidence, claim families, episodes.

Each part is stored by itself and is loaded and written only when a fact touches it, so that a long history costs no
more per fact than a short one: months are bounded by the calendar, families by the versions of one claim, episodes
by two a year; the head holds coverage, the days of therapy and an index of episodes.

Days are ISO strings inside parts (they sort and compare as days do). A `Ref` names a fact: event id, type and offset;
its partition and topic are those of the member.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Ref = tuple[bytes, str, int]
"""(event id, event type, offset) of a fact in the member's partition; the first two packed by `ref_to`."""

TYPE_CODES = {
    "carepact.ProfessionalClaimReceived.v1": "P",
    "carepact.InstitutionalClaimReceived.v1": "I",
    "carepact.PharmacyClaimReceived.v1": "D",
    "carepact.EnrollmentChanged.v1": "E",
    "carepact.HoursWorked.v1": "H",
}
"""The types that parts name most, in a letter. Part of the stored form: a letter never changes its meaning."""

_TYPES = {code: name for name, code in TYPE_CODES.items()}


def ref_to(event_id: str, event_type: str, offset: int) -> Ref:
    """A reference as parts keep it: a UUID as its 16 bytes, any other id as text of another length; see `read_ref`."""
    if len(event_id) == 36:
        packed = bytes.fromhex(event_id.replace("-", ""))
    else:
        packed = event_id.encode()
        packed += b"\0" * (len(packed) == 16)
    return packed, TYPE_CODES.get(event_type, event_type), offset


def read_ref(ref: Ref) -> tuple[str, str, int]:
    """(event id, event type, offset) in full."""
    packed, kind, offset = ref
    if len(packed) == 16:
        digits = packed.hex()
        event_id = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    else:
        event_id = packed.rstrip(b"\0").decode()
    return event_id, _TYPES.get(kind, kind), offset


class Span(NamedTuple):
    """Coverage of one kind from a day to a day, both inclusive; `through` is '9999-12-31' when open."""

    start: str
    through: str
    code: str
    ref: Ref


@dataclass(slots=True)
class Head:
    """The member: who is covered by what, when therapy was given, which episodes there are."""

    plan: str = ""
    birth_year: int = 0
    sex: str = ""
    state: str = ""
    died_on: str = ""
    died_ref: Ref | None = None
    coverage: dict[str, list[Span]] = field(default_factory=dict)
    therapy_days: dict[str, int] = field(default_factory=dict)
    fills: dict[str, int] = field(default_factory=dict)
    episodes: list[str] = field(default_factory=list)
    due: dict[str, str] = field(default_factory=dict)
    sequence: int = 0
    retired: bool = False
    risks: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(slots=True)
class Month:
    """Evidence of one calendar month, by what it is for; keys of the inner maps are unique, values withdrawable.

    triggers: 'day|rank|claim|line' -> (cancer type, drug class, source, ref)
    visits: 'day|practice|cancer type|claim|line' -> ref
    diagnoses: 'day|claim|line' -> (cancer type, ref)  (what a Part D fill may look back to)
    fills: 'day|claim' -> (drug class, ref)            (Part D therapy, a trigger only with a diagnosis before it)
    services: 'day|practice|code|claim|line' -> (paid cents, ref)
    cell_therapies: 'day|code|claim|line' -> ref
    spend: day -> (A and B cents, low-income subsidy cents, cents above the Part D threshold, plan cents)
    """

    triggers: dict[str, Sequence[Any]] = field(default_factory=dict)
    visits: dict[str, Any] = field(default_factory=dict)
    diagnoses: dict[str, Sequence[Any]] = field(default_factory=dict)
    fills: dict[str, Sequence[Any]] = field(default_factory=dict)
    services: dict[str, Sequence[Any]] = field(default_factory=dict)
    cell_therapies: dict[str, Any] = field(default_factory=dict)
    spend: dict[str, Sequence[int]] = field(default_factory=dict)


Evidence = tuple[str, str, str, Any]
"""(bucket, month, key, value); see `Month`."""

Spent = tuple[str, int, int, int, int]
"""(day, and cents in the order of `Month.spend`)."""


class Unit(NamedTuple):
    """One line of a claim record (line 0: the whole claim): what is paired with a void, and what it contributes.

    Few lines have more than one thing to say, and most of nothing but what they cost.
    """

    line: int
    paid_cents: int
    evidence: Sequence[Evidence]
    spend: Sequence[Spent]
    counts: bool = True


class ClaimRecord(NamedTuple):
    """One version of a claim, as received."""

    claim_id: str
    action: str
    replaces: str
    effective_on: str
    ref: Ref
    units: list[Unit]
    note: str = ""


@dataclass(slots=True)
class Family:
    """All versions of one claim, and which of their lines survive the voids and replacements (outcome rules D.5)."""

    records: list[ClaimRecord] = field(default_factory=list)
    surviving: Sequence[Sequence[int]] = ()


class Owed(NamedTuple):
    """A payment in force: determined and not reversed.

    `basis` names what it rests on (the key of a billed service), `components` are [clause, label, cents].
    """

    payment_id: str
    kind: str
    period: str
    amount_cents: int
    practice: str
    effective_on: str
    basis: str
    components: list[list[Any]]


@dataclass(slots=True)
class Episode:
    """An episode as last decided, and the payments in force for it; `waits`: kind|period -> the term it waits for."""

    episode_id: str
    started_on: str
    ends_on: str
    version: int = 0
    cancer_type: str = ""
    status: str = ""
    void_reason: str = ""
    exclusion: str = ""
    included: bool = False
    practice: str = ""
    period: int = 0
    opened_by: str = ""
    closed: bool = False
    spend: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    expenditure_cents: int = 0
    owed: dict[str, Owed] = field(default_factory=dict)
    waits: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class WorkMonth:
    """Hours of one calendar month, each record as its highest version.

    hours: record id -> [version, day, hours in ten-thousandths, pay code, ref]
    """

    hours: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(slots=True)
class Followed:
    """One episode's return to work as last decided (`contracts.work.Standing`), and the day of the award in force."""

    version: int = 0
    eligible: bool = False
    said: list[Any] = field(default_factory=list)
    award_on: str = ""


@dataclass(slots=True)
class Employment:
    """What employers and their administrators say of a person, each record as its highest version; hours are apart.

    schedules: id -> [version, from day, weekly hours in ten-thousandths, ref]
    leaves: id -> [version, status, continuity, from day, through day, ref]
    claims: id -> [version, plan type, status, disability day, benefit day, approved through, ref]
    reports: id -> [version, source, day, duty status, restricted, ref]
    statuses: id -> [version, status, from day, reason, ref]
    corrected: id -> [version, day] of hours that came in a version above the first, so that an older one is known
    followed: an episode's start day -> its return to work
    """

    schedules: dict[str, list[Any]] = field(default_factory=dict)
    leaves: dict[str, list[Any]] = field(default_factory=dict)
    claims: dict[str, list[Any]] = field(default_factory=dict)
    reports: dict[str, list[Any]] = field(default_factory=dict)
    statuses: dict[str, list[Any]] = field(default_factory=dict)
    corrected: dict[str, list[Any]] = field(default_factory=dict)
    followed: dict[str, Followed] = field(default_factory=dict)


PART_TYPES: dict[str, type[Any]] = {
    "head": Head,
    "month": Month,
    "claim": Family,
    "episode": Episode,
    "employment": Employment,
    "work": WorkMonth,
}
"""The stored kinds. Keys: head and employment '', month and work 'YYYY-MM', claim the family, episode its start day.

Employment and work are of members whose contract follows returns to work, and of no others.
"""

HEAD, EMPLOYMENT = ("head", ""), ("employment", "")
WHOLE = frozenset({HEAD, EMPLOYMENT})
"""Parts of which a member has one; they are loaded with the member."""


class Member:
    """The working copy of one member while facts are folded; discarded if a fold raises.

    `since` is the first month whose months and episodes are loaded ('' = all of them, '9999-12' = none).
    `dirty` names the parts to be written: (kind, key). `windows` are the evidence of the episodes last decided, by
    their start, so that the next fact need not gather it again, and `traces` the evidence of returns to work; they are
    not stored. `frozen` are loaded months as they are stored, until a fact changes one; `thaw` reads them.
    """

    __slots__ = (
        "dirty",
        "employment",
        "episodes",
        "families",
        "frozen",
        "head",
        "loaded_families",
        "months",
        "partition",
        "payer",
        "since",
        "thaw",
        "token",
        "traces",
        "windows",
        "work",
    )

    def __init__(self, payer: str, partition: int, token: str, thaw: Callable[[bytes], Month] | None = None) -> None:
        self.payer = payer
        self.partition = partition
        self.token = token
        self.thaw = thaw
        self.head = Head()
        self.employment = Employment()
        self.work: dict[str, WorkMonth] = {}
        self.months: dict[str, Month] = {}
        self.frozen: dict[str, bytes] = {}
        self.families: dict[str, Family] = {}
        self.episodes: dict[str, Episode] = {}
        self.since = "9999-12"
        self.loaded_families: set[str] = set()
        self.dirty: set[tuple[str, str]] = set()
        self.windows: dict[str, Any] = {}
        self.traces: dict[str, Any] = {}

    def month(self, name: str) -> Month | None:
        """A month's evidence to look at, if there is any and it is loaded."""
        month = self.months.get(name)
        if month is None and self.thaw is not None and (stored := self.frozen.get(name)) is not None:
            return self.thaw(stored)
        return month

    def open_month(self, name: str) -> Month:
        """A month's evidence to be changed; there may have been none."""
        self.dirty.add(("month", name))
        month = self.months.get(name)
        if month is None:
            month = self.months[name] = self.month(name) or Month()
            self.frozen.pop(name, None)
        return month

    def place(self, kind: str, key: str, part: Any) -> None:
        """Put a loaded part where the fold looks for it."""
        match kind:
            case "head":
                self.head = part
            case "month":
                self.months[key] = part
            case "claim":
                self.families[key] = part
            case "episode":
                self.episodes[key] = part
            case "employment":
                self.employment = part
            case "work":
                self.work[key] = part
            case _:
                raise AssertionError(f"no part of kind {kind}")

    def part(self, kind: str, key: str) -> Any:
        """The part a dirty mark names."""
        match kind:
            case "head":
                return self.head
            case "month":
                return self.months[key]
            case "claim":
                return self.families[key]
            case "employment":
                return self.employment
            case "work":
                return self.work[key]
            case _:
                return self.episodes[key]


@dataclass(slots=True)
class Sheet:
    """A term sheet as adopted: its content, and the fact that adopted it."""

    version: str
    digest: str
    ref: Ref
    content: dict[str, Any]


@dataclass(slots=True)
class Adoption:
    """What the log has adopted so far in one partition: terms, clauses, time, practices (one row per partition).

    `sheets` are by plan; '' holds for every plan without a sheet of its own.
    """

    contract: str = ""
    log_id: str = ""
    sheets: dict[str, Sheet] = field(default_factory=dict)
    contract_digest: str = ""
    build: str = ""
    closed_through: str = ""
    closed_ref: Ref | None = None
    practices: dict[str, list[Span]] = field(default_factory=dict)
    arrangements: dict[str, list[list[Any]]] = field(default_factory=dict)
    rosters: dict[str, list[Span]] = field(default_factory=dict)
    references: dict[str, list[list[Any]]] = field(default_factory=dict)
