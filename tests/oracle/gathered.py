"""Generated files as the settlement reads them: every fact once, in order, from a log of one partition in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.cases import Case
from contracts.envelope import Fact
from contracts.events import Event
from contracts.gathering import Gatherer
from contracts.methods import METHODS
from contracts.parts import Sheet
from contracts.reference_values import References
from contracts.settled import Settlement
from contracts.settlement import settle
from contracts.terms import TermSheet
from tests.oracle.core import CONTRACTS, Core


@dataclass
class Recorded(Core):
    """A contract core that keeps the facts it was given."""

    facts: list[Fact] = field(default_factory=list)

    def _fact(self, event: Event, token: str, plan: str, event_id: str) -> Fact:
        fact = super()._fact(event, token, plan, event_id)
        self.facts.append(fact)
        return fact


@dataclass
class Gathered:
    """What a settlement rests on, and what it comes to for a period."""

    gatherer: Gatherer
    references: References
    cases: list[Case]

    @property
    def sheet(self) -> TermSheet:
        """The adopted terms."""
        held: Sheet = self.gatherer.adoption.sheets[""]
        return TermSheet(held.content)

    def settled(self, period: int, run: str = "initial") -> Settlement:
        """One period."""
        return settle(
            METHODS[self.sheet.contract], self.sheet, self.gatherer.adoption, self.references, period, run, self.cases
        )


def gathered(payer: str, facts: list[Fact]) -> Gathered:
    """The cases of some facts."""
    gatherer = Gatherer(payer, CONTRACTS[payer], 0)
    for fact in facts:
        gatherer.take(fact)
    references = References(gatherer.adoption.references)
    cases = list(gatherer.cases(references))
    assert gatherer.failed == []
    return Gathered(gatherer, references, cases)
