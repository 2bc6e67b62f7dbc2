"""Small folds for tests of the engine: they count what they are told, and raise where a test wants them to."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from contracts.envelope import Fact
from contracts.fold import Fold
from contracts.outcome import Outcome
from contracts.parts import Adoption, Member
from contracts.roster import fold_for
from streams.roster import Payer


class Raising:
    """A payer's real fold that raises for some members' facts, or refuses a partition, for as long as a test says."""

    def __init__(self, fold: Fold, poisoned: Collection[str], error: Callable[[], Exception]) -> None:
        self._fold = fold
        self._poisoned = poisoned
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fold, name)

    def apply(self, member: Member, fact: Fact) -> Outcome:
        """As the real one, but for the facts named: after it has already changed the member."""
        outcome = self._fold.apply(member, fact)
        if fact.event_id in self._poisoned:
            raise self._error()
        return outcome

    def revisit(self, member: Member, fact: Fact) -> Outcome:
        """As the real one; a broadcast named with a member's token raises for that member."""
        outcome = self._fold.revisit(member, fact)
        if f"{fact.fact_id}/{member.token}" in self._poisoned:
            raise self._error()
        return outcome


def raising(poisoned: Collection[str], error: Callable[[], Exception] = lambda: ZeroDivisionError("secret")) -> Any:
    """A `make_folds` whose folds raise at the named facts; empty the collection and they no longer do."""

    def make_folds(payer: Payer) -> Callable[[Adoption], Fold]:
        def make(adoption: Adoption) -> Fold:
            return Raising(fold_for(payer.contract, payer.name, adoption), poisoned, error)

        return make

    return make_folds
