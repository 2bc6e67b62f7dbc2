"""A settled period, whoever's contract it is: priced episodes, practices, groups, and how a contract settles.

Plain values; what they come to is decided in `settlement` by a contract's `Method`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from contracts.cases import Case, MonthlyLine
from contracts.clauses import Line
from contracts.parts import Ref
from contracts.period import Period
from contracts.quality import Quality
from contracts.reference_values import Reference, References
from contracts.terms import DatedValue, TermSheet
from contracts.units import ZERO

ONE = Decimal(1)


@dataclass(slots=True)
class Priced:
    """An episode with what counts of its cost and its benchmark; `missing` names what its benchmark lacks.

    `baseline_from` says where the price is from: episode, model, practice or cancer. `add_on_cents` of its cost are
    what biosimilars were paid and does not count.
    """

    case: Case
    counted_cents: int
    winsorised: str = ""
    limits: tuple[DatedValue, ...] = ()
    add_on_cents: int = 0
    novel_cents: int = 0
    baseline: Decimal = ZERO
    baseline_from: str = ""
    experience: Decimal = ZERO
    clinical: Decimal = ONE
    trend: Decimal = ZERO
    trended_cents: int = 0
    benchmark_cents: int = 0
    line: Line | None = None
    missing: tuple[str, ...] = ()
    values: tuple[DatedValue, ...] = ()
    refs: list[Ref] = field(default_factory=list)


@dataclass(slots=True)
class Practice:
    """One practice: its settled episodes with their prices, the others attributed to it, and its billed months.

    `share_cents` is its part of the group's result; `recouped` are the lines that come back. `novel` is (what they are
    for, factor, line) of novel therapy.
    """

    name: str
    pool: str = ""
    takes_part: bool = False
    priced: list[Priced] = field(default_factory=list)
    others: list[Case] = field(default_factory=list)
    monthly: list[MonthlyLine] = field(default_factory=list)
    recouped: list[MonthlyLine] = field(default_factory=list)
    novel: list[tuple[str, Decimal, Line]] = field(default_factory=list)
    arrangement: str = ""
    gaf: Reference | None = None
    refs: list[Ref] = field(default_factory=list)
    share_cents: int = 0

    @property
    def benchmark_cents(self) -> int:
        """Of all its settled episodes."""
        return sum(one.benchmark_cents for one in self.priced)

    @property
    def actual_cents(self) -> int:
        """What counts of their cost."""
        return sum(one.counted_cents for one in self.priced)

    @property
    def recouped_cents(self) -> int:
        """What comes back of billed months."""
        return sum(line.paid_cents for line in self.recouped)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A result for a performance period, in exact dollars; `lines` add up to what moves.

    `pbp_cents` is what is earned, whatever the contract calls it, `pbr_cents` what is owed.
    """

    zone: str
    target: Decimal
    threshold: Decimal
    pbp_cents: int
    pbr_cents: int
    lines: tuple[Line, ...]


@dataclass(slots=True)
class Group:
    """Practices settled together: a pool, or one practice alone (`pool` '')."""

    pool: str
    practices: list[Practice]
    arrangement: str = ""
    gaf: Decimal = ZERO
    revenue: Decimal = ZERO
    quality: Quality | None = None
    result: Reconciled | None = None
    pending: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def priced(self) -> list[Priced]:
        """All settled episodes."""
        return [one for practice in self.practices for one in practice.priced]

    @property
    def benchmark_cents(self) -> int:
        """Of all its practices."""
        return sum(practice.benchmark_cents for practice in self.practices)

    @property
    def actual_cents(self) -> int:
        """What counts of their cost."""
        return sum(practice.actual_cents for practice in self.practices)

    @property
    def amount_cents(self) -> int:
        """What moves: above nought to the practices, below to the payer."""
        return 0 if self.result is None or self.pending else self.result.pbp_cents - self.result.pbr_cents


@dataclass(slots=True)
class Settlement:
    """A period's groups, and the practices that no group has: those that do not take part, and '' for none."""

    method: Method
    period: Period
    run: str
    groups: list[Group]
    outside: list[Practice]

    @property
    def practices(self) -> list[tuple[Practice, Group | None]]:
        """All practices by name, each with its group."""
        found: list[tuple[Practice, Group | None]] = [(p, group) for group in self.groups for p in group.practices]
        found += [(practice, None) for practice in self.outside]
        return sorted(found, key=lambda one: one[0].name)


Operands = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Method:
    """How a contract settles a period: its clauses, and its words for what moves.

    `price` prices an episode, `adjust` corrects the prices of a group, `ready` finds what its result needs beside them
    or says in `pending` what is not known, `reconcile` makes the result of a group of which all is known, and
    `operands` are what `contract try` takes to give it again. `recoupment` is the term that says what comes back of a
    billed month; '' where months are not billed. `types` is the term that names the cancers which are reconciled; ''
    where all that count are.
    """

    earned: str
    owed: str
    expected: str
    counted: str
    price: Callable[[TermSheet, References, Case, Period], Priced]
    adjust: Callable[[TermSheet, References, Period, Group], None]
    ready: Callable[[TermSheet, References, Period, Group], None]
    reconcile: Callable[[TermSheet, Period, Group], Reconciled]
    operands: Callable[[Period, Group], Operands]
    recoupment: str = ""
    types: str = ""
    illustrative: bool = False
