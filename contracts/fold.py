"""The fold: facts of one partition, in log order, become parts and decisions.

`evolve` records what a fact says and never decides; `decide` compares what the evidence now supports with what was
decided before, and says the difference. Both are pure: no clock, no randomness, no I/O. They work in place on a
`Member`'s working copy, which the caller discards when either raises. `decide` runs after every fact (seam 11).

The caller's part, for each record in log order:

    broadcast:  sweep = fold.adopt(fact)         ->  for each member the sweep names: fold.revisit(member, fact)
    member:     needs = fold.needs(fact)         ->  load those parts, then  outcome = fold.apply(member, fact)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from contracts.envelope import Fact
from contracts.outcome import Outcome
from contracts.parts import Adoption, Member


class Needs(NamedTuple):
    """The parts a fact may touch: these claim families, and months and episodes from `since` ('YYYY-MM') on.

    The head is always needed, and so is the employment of a member whose contract follows work.
    `since` '9999-12' means none; '' means all.
    """

    families: tuple[str, ...] = ()
    since: str = "9999-12"


@dataclass(frozen=True, slots=True)
class Sweep:
    """Members that a broadcast touches: those due on or before `due_through`, or, when `everyone`, all."""

    due_through: str = ""
    everyone: bool = False


class NotAdopted(Exception):
    """The log has no terms or clauses yet for what a fact needs; the partition stops until they are adopted."""


class OtherBuild(Exception):
    """The log adopted clauses of another digest than this build's; the partition is refused."""


class NeedsEarlier(Exception):
    """A fact turned out to touch months before those loaded. Raised before anything is changed: load from `since` on
    (months and episodes), and apply the fact again."""

    def __init__(self, since: str) -> None:
        super().__init__(since)
        self.since = since


class Fold(Protocol):
    """One payer's contract over one partition. Made by `contracts.roster.fold_for(contract, payer, adoption)`."""

    adoption: Adoption
    follows_work: bool
    """Whether members have the parts of employment and work (`contracts.parts`)."""

    def adopt(self, fact: Fact) -> Sweep | None:
        """Record a broadcast in `adoption`; name the members it touches."""

    def needs(self, fact: Fact) -> Needs:
        """What must be loaded before `apply`."""

    def apply(self, member: Member, fact: Fact) -> Outcome:
        """Evolve and decide one member's fact."""

    def revisit(self, member: Member, fact: Fact) -> Outcome:
        """Decide again because a broadcast touched this member (all its parts from `sweep_since` on are loaded)."""

    def sweep_since(self, member: Member) -> str:
        """From which month on a revisited member's months and episodes must be loaded (`Needs.since`)."""

    def due_on(self, member: Member) -> str:
        """The next day ('YYYY-MM-DD') on which time alone changes something for the member; '' if none."""
