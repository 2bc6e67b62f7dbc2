"""What a contract's clauses say of one episode, whoever pays: the questions `eom`, `bcbs_sc` and `employers` answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from contracts.episode import Calendar, Window
from contracts.errors import NoTermInForce
from contracts.parts import Adoption, Episode, Member, Ref
from contracts.terms import DatedValue, TermSheet
from contracts.units import FOREVER
from contracts.work import Standing


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether an episode is valid, why not, and whether it is one the contract counts."""

    status: str
    void_reason: str = ""
    exclusion: str = ""

    @property
    def included(self) -> bool:
        """Valid, and of a sub-type that counts."""
        return self.status == "valid" and not self.exclusion


@dataclass(slots=True)
class Line:
    """One addend of a payment, with the dated values it used."""

    clause: str
    label: str
    arithmetic: str
    amount_cents: int
    terms: tuple[DatedValue, ...]


Explained = tuple[list[Line], list[tuple[Ref, str]]]
"""The lines of a payment, and the facts it rests on, each with what it says."""


@dataclass(slots=True)
class Due:
    """A payment the evidence supports now. What explains it is asked for only when it is determined.

    `basis` names the billed service it rests on, `alternatives` those of its period that would serve as well. `waits`
    names the term and day without which it cannot be made; what stands for its period stays until the term is there.
    """

    kind: str
    period: str
    practice: str
    effective_on: str
    amount_cents: int
    explain: Callable[[], Explained]
    basis: str = ""
    alternatives: Sequence[str] = ()
    waits: NoTermInForce | None = None


def waiting(kind: str, period: str, practice: str, effective_on: str, lacks: NoTermInForce, basis: str = "") -> Due:
    """A payment that is due, and that no term says the amount of."""
    return Due(kind, period, practice, effective_on, 0, lambda: ([], []), basis, (), lacks)


class Clauses(Protocol):
    """One contract's clauses under one adopted sheet."""

    contract: str
    sheet: TermSheet
    calendar: Calendar
    services: frozenset[str]
    medicare: bool

    def judge(self, member: Member, window: Window, cancer: str) -> Judgement:
        """Valid or void with its reason; counted or excluded with its sub-type."""

    def practice(self, window: Window) -> str:
        """The practice the episode belongs to."""

    def expenditure_cents(self, episode: Episode) -> int:
        """What the episode has cost, by the contract's own definition."""

    def owed(self, member: Member, episode: Episode, window: Window, adoption: Adoption) -> list[Due]:
        """The payments due for a valid, included episode on what is known now."""

    def due_on(self, episode: Episode, closed_through: str) -> str:
        """The next day whose close changes something for the episode."""


class FollowsWork(Clauses, Protocol):
    """A contract that follows returns to work."""

    def follow(self, member: Member, episode: Episode, before: str, closed_through: str) -> tuple[bool, Standing]:
        """Whether the episode's person is followed, and what is known of the return.

        `before` is the day the episode before it began, or ''.
        """


def opening_facts(window: Window) -> list[tuple[Ref, str]]:
    """The therapy that starts an episode and its first visit, each with what it says."""
    source, therapy = window.opened_by
    first = window.first_visit
    return [
        (therapy, f"therapy on {window.start} ({source}) starts the episode"),
        (first.ref, f"first {first.cancer} visit on {first.day} at practice {first.practice}"),
    ]


def eligible_window_facts(member: Member, window: Window, kinds: tuple[str, ...]) -> list[tuple[Ref, str]]:
    """The coverage facts an episode rests on, each with what it says."""
    facts: list[tuple[Ref, Any]] = []
    for kind in kinds:
        for span in member.head.coverage.get(kind, ()):
            if span.start <= window.end and span.through >= window.start:
                facts.append((span.ref, f"{kind} covered from {span.start} {_until(span.through)}"))
    return facts


def _until(through: str) -> str:
    return "and still is" if through == FOREVER else f"through {through}"
