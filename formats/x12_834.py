"""X12 834: members added, changed, ended and reinstated, and what coverage that gives or takes.

A member is named by the number in NM1*IL (not a social security number), else by the subscriber's (REF*0F); a dependent
named so also by day of birth and first name. 021, 001, 025 and 030 give coverage from the benefit's begin (DTP*348,
else eligibility 356, else the maintenance day 303) to its end if one is sent; 024 and 002 end it on DTP*349, else 357.
Medical benefits (HLT, HMO, PPO, POS, EPO, MM) are the plan, or the part of Medicare that HD04 names; dental, vision and
other benefits are not read. A full file (BGN08 4, 030) says nothing of those who are missing in it. Employment status,
COBRA and coordination of benefits are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from pydantic import ValidationError

from contracts.events import EnrollmentChanged, Event, MemberDescribed
from formats.cells import BadCell
from formats.reading import Place, Read, ReadFact
from formats.states import LETTERS
from formats.x12 import SOURCE, Segment, Transaction, refused
from formats.x12_members import Who, day

_MEDICAL = frozenset(("HLT", "HMO", "PPO", "POS", "EPO", "MM"))
_GIVES, _ENDS = frozenset(("021", "001", "025", "030")), frozenset(("024", "002"))
_PARTS = {"A": "part_a", "B": "part_b", "C": "medicare_advantage", "D": "part_d"}
_SEX = {"F": "female", "M": "male"}


def read(transaction: Transaction) -> Iterator[Read]:
    """The members of one transaction set."""
    header: list[Segment] = []
    member: list[Segment] = []
    for segment in transaction.segments():
        name = segment.elements[0]
        if name in ("INS", "SE") and member:
            yield from _one(transaction, header, member)
            member = []
        if name == "INS" or member:
            member.append(segment)
        else:
            header.append(segment)


def _one(transaction: Transaction, header: list[Segment], segments: list[Segment]) -> Iterator[Read]:
    parsed = _Member(transaction, segments)
    try:
        made = list(parsed.facts())
    except (BadCell, ValidationError) as error:
        yield refused(transaction, error, parsed.at, [*header, *segments])
    else:
        yield from made


class _Member:
    """One INS with what follows it."""

    def __init__(self, transaction: Transaction, segments: list[Segment]) -> None:
        self.transaction = transaction
        self.at = self.ins = segments[0]
        first = next((i for i, s in enumerate(segments) if s.elements[0] == "HD"), len(segments))
        self.head = segments[1:first]
        self.benefits: list[list[Segment]] = []
        for segment in segments[first:]:
            if segment.elements[0] == "HD":
                self.benefits.append([])
            self.benefits[-1].append(segment)

    def facts(self) -> Iterator[Read]:
        """A description, and a change for each medical benefit."""
        who, of, family = Who(), "", ""
        for segment in self.head:
            match segment.elements[0]:
                case "NM1":
                    of = segment(1)
                    if of in ("IL", "74"):
                        who.name = segment
                case "REF" if segment(1) == "0F":
                    family = segment(2)
                case "N3" | "N4" | "DMG" if of in ("IL", "74"):
                    who.take(segment)
        own = who.name(9) if who.name is not None and who.name(8) not in ("34", "") else ""
        dependent = not own and self.ins(2) != "18"
        self.at = who.born or self.ins
        person = who.person(own or family, dependent=dependent)
        self.at = self.ins
        state, kind = who.place(2) if who.place else "", self.ins(3)
        described = MemberDescribed.model_validate(
            {
                "person": person,
                "birth_year": person.birth_date.year if person.birth_date else None,
                "sex": _SEX.get(who.born(3), "unknown") if who.born else None,
                "state": state if state in LETTERS else None,
                "died_on": day(self.ins, 12),
            }
        )
        if kind not in (*_GIVES, *_ENDS):
            raise BadCell(
                "schema", "INS03", "a maintenance type that is not read", "send 001, 002, 021, 024, 025 or 030"
            )
        yield self._fact(described, "described", person.identifier.value, kind)
        medical = [each for each in self.benefits if each[0](3) in _MEDICAL]
        for benefit in medical:
            self.at = benefit[0]
            yield self._change(person, _coverage(benefit[0](4)), benefit[0](1) or kind, benefit)
        if not self.benefits and kind != "001":
            yield self._change(person, "plan", kind, [])

    def _change(self, person: Any, coverage: str, kind: str, benefit: list[Segment]) -> ReadFact:
        begin, end = self._day(benefit, "348"), self._day(benefit, "349")
        begin = begin or self._day(self.head, "356") or self._day(self.head, "303")
        end = end or self._day(self.head, "357")
        start, through, covered = begin, end, kind not in _ENDS
        if not covered:
            start, through = end + timedelta(days=1) if end else None, None
        if start is None:
            what = "the day a benefit begins" if covered else "the day a benefit ends"
            raise BadCell("no_date", "DTP03", f"a change without {what}", "send DTP*348, or DTP*349 for an end")
        event = EnrollmentChanged.model_validate(
            {
                "person": person,
                "coverage": coverage,
                "from_on": start,
                "through_on": through,
                "covered": covered,
                "code": self.ins(2) or None,
                "reason": self.ins(4) or None,
            }
        )
        return self._fact(event, coverage, person.identifier.value, kind, start.isoformat(), rows=0)

    def _day(self, segments: list[Segment], kind: str) -> date | None:
        for segment in segments:
            if segment.elements[0] == "DTP" and segment(1) == kind:
                self.at = segment
                return day(segment, 3)
        return None

    def _fact(self, event: Event, *key: str, rows: int = 1) -> ReadFact:
        place = Place(self.transaction.file, self.ins.number)
        return ReadFact(event, place, SOURCE, natural_key="|".join((SOURCE, *key)), rows=rows)


def _coverage(description: str) -> str:
    text = description.upper()
    if "MEDICARE ADVANTAGE" in text:
        return "medicare_advantage"
    found = re.search(r"MEDICARE PART ([A-D])\b", text)
    return _PARTS[found[1]] if found else "plan"
