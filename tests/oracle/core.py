"""The contract core run in memory over generated files: one partition, every part of a member always at hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from contracts.envelope import Fact
from contracts.events import Event, MemberFact
from contracts.events.practice import ContractAdopted, DayClosed, TermsAdopted
from contracts.outcome import Outcome, Payment
from contracts.parts import Adoption, Employment, Episode, Member
from contracts.roster import bundled_sheet, contract_digest, fold_for
from formats.detect import read_file
from formats.reading import ReadFact
from tests.oracle.fold import Member as Who

CONTRACTS = {"medicare": "medicare-eom", "bcbs-sc": "bcbs-sc", "employers": "employer"}


@dataclass
class Core:
    """A payer's contract over one log in memory."""

    payer: str
    members: dict[str, Member] = field(default_factory=dict)
    who: dict[str, Who] = field(default_factory=dict)
    payments: list[Payment] = field(default_factory=list)
    offset: int = 0
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        contract = CONTRACTS[self.payer]
        self.fold = fold_for(contract, self.payer, Adoption())
        version, digest, content = bundled_sheet(contract)
        self.broadcast(TermsAdopted(contract=contract, sheet_version=version, digest=digest, content=content))
        self.broadcast(ContractAdopted(contract=contract, digest=contract_digest(contract), build="test"))

    def broadcast(self, event: Event) -> None:
        """A fact to everyone."""
        fact = self._fact(event, "", "", f"b-{self.offset}")
        sweep = self.fold.adopt(fact)
        for token, member in self.members.items():
            due = self.fold.due_on(member)
            if sweep and (sweep.everyone or "" < due <= sweep.due_through):
                self._keep(self.fold.revisit(self.members[token], fact))

    def publish(self, path: Path) -> None:
        """All facts of a file; one id counts once."""
        for item in read_file(path):
            if not isinstance(item, ReadFact) or item.producer_id in self.seen:
                continue
            self.seen.add(item.producer_id or "")
            if not isinstance(item.event, MemberFact):
                self.broadcast(item.event)
                continue
            person = item.event.person
            assert person is not None
            identifier = person.identifier
            token = f"{item.plan}|{identifier.kind}|{identifier.value}"
            self.who[token] = (item.plan, identifier.kind, identifier.value)
            member = self.members.get(token)
            if member is None:
                member = self.members[token] = Member(self.payer, 0, token)
                member.since = ""
            fact = self._fact(item.event, token, item.plan, item.producer_id or "")
            member.loaded_families.update(self.fold.needs(fact).families)
            self._keep(self.fold.apply(member, fact))

    def close(self, through: DayClosed) -> None:
        """Time passes."""
        self.broadcast(through)

    def episodes(self) -> list[tuple[Who, Episode]]:
        """The episodes in force."""
        return [(self.who[t], m.episodes[s]) for t, m in self.members.items() for s in m.head.episodes]

    def employment(self, who: Who) -> Employment:
        """What is remembered of a person's work."""
        return self.members["|".join(who)].employment

    def _keep(self, outcome: Outcome) -> None:
        self.payments += outcome.payments

    def _fact(self, event: Event, token: str, plan: str, event_id: str) -> Fact:
        self.offset += 1
        return Fact(event_id, event_id, event.type_name(), token, plan, event, "log", 0, self.offset, 0, "")
