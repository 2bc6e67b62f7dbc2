"""What else the terms, or one fact, might have been: a draft sheet, a sheet frozen at a day, a fact that came in time.

Facts are changed one by one on their way to the fold; the history itself is never touched.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from contracts.envelope import Fact
from contracts.evolving import CLAIMS
from contracts.terms import digest_of

ADOPTED, CLAUSES, ARRANGED, CLOSED = (
    f"carepact.{name}.v1" for name in ("TermsAdopted", "ContractAdopted", "RiskArrangementSet", "DayClosed")
)


def frozen(content: Mapping[str, Any], day: str) -> dict[str, Any]:
    """A sheet in which what is in force on a day was so from the first day on.

    A term that has no value yet on the day keeps those it has.
    """
    terms = {name: term | {"values": _frozen(term["values"], day)} for name, term in content["terms"].items()}
    head = content["sheet"] | {"version": f"{content['sheet']['version']}@{day}"}
    return {**content, "sheet": head, "terms": terms}


def _frozen(values: Sequence[Mapping[str, Any]], day: str) -> list[dict[str, Any]]:
    index = bisect_right([str(value["from"]) for value in values], day) - 1
    if index < 0:
        return [dict(value) for value in values]
    return [dict(values[index]) | {"from": values[0]["from"]}]


@dataclass(frozen=True, slots=True)
class Change:
    """What is other than it was: terms of a plan ('' of all without a sheet of their own, None of every plan),
    arrangements, single facts.

    `clauses` is the digest of another contract's, where the sheet is that contract's: the history is then one under it.
    `in_time` are facts taken before the first day that was closed at or after their service; `without` are left out.
    """

    sheet: Mapping[str, Any] | None = None
    plan: str | None = ""
    arrangement: str = ""
    clauses: str = ""
    without: frozenset[str] = frozenset()
    in_time: frozenset[str] = frozenset()
    _digest: list[str] = field(default_factory=list)

    def apply(self, facts: Iterable[Fact]) -> list[Fact]:
        """One partition's facts, in order, as they would have been."""
        kept = [self._changed(fact) for fact in facts if not {fact.event_id, fact.fact_id} & self.without]
        for name in self.in_time:
            kept = _in_time(kept, name)
        return kept

    def _changed(self, fact: Fact) -> Fact:
        if self.sheet is not None and fact.type == ADOPTED and self.plan in (None, fact.data.plan):
            if not self._digest:
                self._digest.append(digest_of(dict(self.sheet)))
            head = self.sheet["sheet"]
            said = {"content": self.sheet, "digest": self._digest[0], "sheet_version": head["version"]}
            return replace(fact, data=_with(fact.data, contract=head["contract"], **said))
        if self.sheet is not None and self.clauses and fact.type == CLAUSES:
            contract = self.sheet["sheet"]["contract"]
            return replace(fact, data=_with(fact.data, contract=contract, digest=self.clauses))
        if self.arrangement and fact.type == ARRANGED:
            return replace(fact, data=_with(fact.data, arrangement=self.arrangement))
        return fact


def _with(data: Any, **changed: Any) -> Any:
    """A fact's data with other values: whichever kind of structure it is."""
    names = getattr(type(data), "__struct_fields__", None) or type(data).model_fields
    made: Any = type(data)(**({name: getattr(data, name) for name in names} | changed))
    return made


def _in_time(facts: list[Fact], name: str) -> list[Fact]:
    late = next((fact for fact in facts if fact.event_id == name), None)
    if late is None or late.type not in CLAIMS:
        return facts
    day = _service_day(late)
    first = next(
        (n for n, fact in enumerate(facts) if fact.type == CLOSED and fact.data.through_on.isoformat() >= day), None
    )
    if first is None or facts.index(late) < first:
        return facts
    others = [fact for fact in facts if fact is not late]
    return [*others[:first], late, *others[first:]]


def _service_day(claim: Fact) -> str:
    data = claim.data
    day = data.through_on if hasattr(data, "through_on") else data.filled_on
    text: str = day.isoformat()
    return text
