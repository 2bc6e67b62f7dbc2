"""A log folded with every part kept as bytes between facts, and only the parts asked for loaded."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.envelope import Fact
from contracts.fold import Needs, NeedsEarlier
from contracts.outcome import Outcome
from contracts.parts import PART_TYPES, WHOLE, Adoption, Member
from contracts.roster import fold_for
from projections.packing import pack, unpack
from tests.contracts.given import PAYERS


class StoredFold:
    """As `Folded`, but a member lives only while one fact is folded; what it did not mark dirty must be unchanged.

    `always_all` loads everything each time. `written` counts parts and bytes written, `loaded` parts read, by fact.
    """

    def __init__(self, contract: str, facts: Iterable[Fact] = (), *, always_all: bool = False) -> None:
        self.contract = contract
        self.payer = PAYERS[contract]
        self.always_all = always_all
        self.adoption = pack(Adoption())
        self.parts: dict[str, dict[tuple[str, str], bytes]] = {}
        self.due: dict[str, str] = {}
        self.outcomes: list[Outcome] = []
        self.loaded: list[int] = []
        self.written: list[tuple[int, int]] = []
        for fact in facts:
            self.take(fact)

    def take(self, fact: Fact) -> Outcome:
        """Fold one fact with a fold and members made anew."""
        fold = fold_for(self.contract, self.payer, unpack(Adoption, self.adoption))
        outcome = Outcome()
        if fact.member:
            needs = fold.needs(fact)
            while True:
                member = self._load(fact.member, needs)
                try:
                    outcome = fold.apply(member, fact)
                    break
                except NeedsEarlier as earlier:
                    assert not member.dirty, "raised before anything is changed"
                    assert earlier.since < needs.since, "each try asks for more"
                    needs = Needs(needs.families, earlier.since)
            self._store(member, fold.due_on(member))
        elif (sweep := fold.adopt(fact)) is not None:
            for token in sorted(self.parts):
                due = self.due[token]
                if not (sweep.everyone or (due and due <= sweep.due_through)):
                    continue
                since = fold.sweep_since(self._load(token, Needs()))
                member = self._load(token, Needs(since=since))
                outcome.add(fold.revisit(member, fact))
                self._store(member, fold.due_on(member))
        self.adoption = pack(fold.adoption)
        self.outcomes.append(outcome)
        return outcome

    def _load(self, token: str, needs: Needs) -> Member:
        member = Member(self.payer, 0, token)
        member.since = "" if self.always_all else needs.since
        count = 0
        for (kind, key), data in self.parts.get(token, {}).items():
            wanted = (kind, key) in WHOLE or (key in needs.families if kind == "claim" else key >= member.since)
            if wanted or self.always_all:
                member.place(kind, key, unpack(PART_TYPES[kind], data))
                count += 1
        self.loaded.append(count)
        return member

    def _store(self, member: Member, due: str) -> None:
        held = self.parts.setdefault(member.token, {})
        there = [("head", ""), *(("month", k) for k in member.months), *(("claim", k) for k in member.families)]
        there += [("episode", k) for k in member.episodes]
        there += [("employment", ""), *(("work", k) for k in member.work)]
        assert self.contract == "employer" or not member.work, "only employers' members have parts of work"
        for kind, key in there:
            if (kind, key) not in member.dirty and (kind, key) in held:
                assert pack(member.part(kind, key)) == held[kind, key], f"{kind} changed and is not marked"
        size = 0
        for kind, key in member.dirty:
            held[kind, key] = pack(member.part(kind, key))
            size += len(held[kind, key])
        self.written.append((len(member.dirty), size))
        self.due[member.token] = due


class CachedFold(StoredFold):
    """As `StoredFold`, but members stay in memory, gain months when a fact needs them, and lose old ones at times."""

    def __init__(self, contract: str, facts: Iterable[Fact] = ()) -> None:
        self.kept: dict[str, Member] = {}
        self.turn = 0
        super().__init__(contract, facts)

    def _load(self, token: str, needs: Needs) -> Member:
        member = self.kept.setdefault(token, Member(self.payer, 0, token))
        held = self.parts.get(token, {})
        self.turn += 1
        if self.turn % 3 == 0:
            member.months = {key: month for key, month in member.months.items() if key >= needs.since}
            member.episodes = {key: episode for key, episode in member.episodes.items() if key >= needs.since}
            member.work = {key: month for key, month in member.work.items() if key >= needs.since}
            member.since = max(member.since, needs.since)
        for (kind, key), data in held.items():
            missing = key not in member.families if kind == "claim" else (kind, key) in WHOLE or key < member.since
            wanted = key in needs.families if kind == "claim" else (kind, key) in WHOLE or key >= needs.since
            if wanted and missing:
                member.place(kind, key, unpack(PART_TYPES[kind], data))
        member.since = min(member.since, needs.since)
        return member

    def _store(self, member: Member, due: str) -> None:
        super()._store(member, due)
        member.dirty.clear()
