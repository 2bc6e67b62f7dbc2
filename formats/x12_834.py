"""X12 834: members added, changed, ended and reinstated, and what coverage that gives or takes.

A member is named by the number in NM1*IL (not a social security number), else by the subscriber's (REF*0F); a dependent
named so also by day of birth and first name. 021, 001, 025 and 030 give coverage from the benefit's begin (DTP*348,
else eligibility 356, else the maintenance day 303) to its end if one is sent; 024 and 002 end it on DTP*349, else 357.
Medical benefits (HLT, HMO, PPO, POS, EPO, MM) are the plan, or the part of Medicare that HD04 names; dental, vision and
other benefits are not read. Employment status, COBRA and coordination of benefits are not read.

A full file (BGN08 4, or RX) says that its roster (sponsor, insurer, group) has these members on its day (BGN03). Whom
it does not list it has missed; what that ends is decided where files are remembered (streams/rosters.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from pydantic import ValidationError

from contracts.events import EnrollmentChanged, Event, MemberDescribed
from formats.cells import BadCell
from formats.reading import Listing, Place, Read, ReadFact
from formats.states import LETTERS
from formats.x12_members import Who, day
from formats.x12_rosters import roster_of
from formats.x12_set import SOURCE, Elements, Transaction, refused

_MEDICAL = frozenset(("HLT", "HMO", "PPO", "POS", "EPO", "MM"))
_GIVES, _ENDS = frozenset(("021", "001", "025", "030")), frozenset(("024", "002"))
_PARTS = {"A": "part_a", "B": "part_b", "C": "medicare_advantage", "D": "part_d"}
_SEX = {"F": "female", "M": "male"}
_FULL = frozenset(("4", "RX"))
_NO_NUMBER = frozenset(("34", ""))
"""NM108 of a member number that is none: a social security number."""


class _Header:
    """What stands before the first member, and which full file it makes the set a part of."""

    def __init__(self, transaction: Transaction) -> None:
        self.first = transaction.started + 1
        self.segments: list[Elements] = []

    def alone(self) -> list[Elements]:
        """For a member kept alone: a part of a full file is none, and misses nobody."""
        return [[*e[:8], "2", *e[9:]] if e[0] == "BGN" and e[8] in _FULL else e for e in self.segments]

    def full(self) -> tuple[str, date] | None:
        """The roster and the day of a full file; None of one that tells changes, or has no day."""
        bgn = next((e for e in self.segments if e[0] == "BGN"), None)
        if bgn is None or bgn[8] not in _FULL:
            return None
        try:
            file_on = day(bgn, 3)
        except BadCell:
            return None
        of = {e[1]: f"{e[3]}:{e[4]}" for e in self.segments if e[0] == "N1"}
        group = next((e[2] for e in self.segments if e[0] == "REF" and e[1] == "38"), "")
        return (roster_of(of.get("P5", ""), of.get("IN", ""), group), file_on) if file_on else None


def read(transaction: Transaction) -> Iterator[Read]:
    """The members of one transaction set."""
    header, full = _Header(transaction), None
    member: list[Elements] = []
    first = 0
    for number, elements in transaction.segments():
        if elements[0] == "INS":
            if member:
                yield from _one(transaction, header, full, first, member)
            else:
                full = header.full()
            member, first = [elements], number
        elif member:
            member.append(elements)
        else:
            header.segments.append(elements)
    if member:
        yield from _one(transaction, header, full, first, member)


def _one(
    transaction: Transaction, header: _Header, full: tuple[str, date] | None, first: int, segments: list[Elements]
) -> Iterator[Read]:
    parsed = _Member(transaction, header, full, first, segments)
    made: list[Read]
    try:
        made = list(parsed.facts())
    except (BadCell, ValidationError) as error:
        at = parsed.at
        made = [refused(transaction, error, first + at, segments[at][0], [*header.alone(), *segments])]
    if full is not None:
        place = Place(transaction.file, transaction.started)
        transaction.rosters.member(*full, place, refused=not isinstance(made[0], ReadFact))
    yield from made


class _Member:
    """One INS with what follows it. `at` is the segment that is being read."""

    def __init__(
        self,
        transaction: Transaction,
        header: _Header,
        full: tuple[str, date] | None,
        first: int,
        segments: list[Elements],
    ) -> None:
        self.transaction, self.full = transaction, full
        self.first, self.segments = first, segments
        self.at = 0
        self.ins = segments[0]
        begins = next((i for i, e in enumerate(segments) if e[0] == "HD"), len(segments))
        self.head = range(1, begins)
        self.benefits: list[range] = []
        for i in range(begins, len(segments)):
            if segments[i][0] == "HD":
                self.benefits.append(range(i, i))
            self.benefits[-1] = range(self.benefits[-1].start, i + 1)
        self.findings = transaction.notes_of(
            (header.first, header.first + len(header.segments)), (first, first + len(segments))
        )

    def facts(self) -> Iterator[Read]:
        """A description, and a change for each medical benefit."""
        if self.transaction.unclean is not None and (found := self.transaction.spoilt(self.first, self.segments)):
            self.at = found[0] - self.first
            raise found[1]
        person = self._person()
        self.at = 0
        kind = self.ins[3]
        if kind not in (*_GIVES, *_ENDS):
            raise BadCell(
                "schema", "INS03", "a maintenance type that is not read", "send 001, 002, 021, 024, 025 or 030"
            )
        described = MemberDescribed.model_validate({"person": person} | self.described | {"died_on": day(self.ins, 12)})
        yield self._fact(described, None, "described", person["identifier"]["value"], kind)
        for benefit in self.benefits:
            hd = self.segments[benefit.start]
            if hd[3] in _MEDICAL:
                self.at = benefit.start
                yield self._change(person, _coverage(hd[4]), hd[1] or kind, benefit)
        if not self.benefits and kind != "001":
            yield self._change(person, "plan", kind, range(0))

    def _person(self) -> dict[str, Any]:
        who, of, family, ids = Who(), "", "", 0
        for i in self.head:
            e = self.segments[i]
            match e[0]:
                case "NM1":
                    of = e[1]
                    if of in ("IL", "74"):
                        who.take(i, e)
                        ids = i
                case "REF" if e[1] == "0F":
                    family = e[2]
                case "N3" | "N4" | "DMG" if of in ("IL", "74"):
                    who.take(i, e)
        own = who.name[9] if who.name is not None and who.name[8] not in _NO_NUMBER else ""
        self.at = who.numbers.get("DMG", ids) if own or family else ids
        person = who.made(own or family, dependent=not own and self.ins[2] != "18")
        state = who.place[2] if who.place else ""
        self.described = {
            "birth_year": person["birth_date"].year if person["birth_date"] else None,
            "sex": _SEX.get(who.born[3], "unknown") if who.born else None,
            "state": state if state in LETTERS else None,
        }
        return person

    def _change(self, person: dict[str, Any], coverage: str, kind: str, benefit: range) -> ReadFact:
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
                "code": self.ins[2] or None,
                "reason": self.ins[4] or None,
            }
        )
        listing = Listing(*self.full, coverage, ended=not covered or through is not None) if self.full else None
        return self._fact(event, listing, coverage, person["identifier"]["value"], kind, start.isoformat(), rows=0)

    def _day(self, segments: range, kind: str) -> date | None:
        for i in segments:
            e = self.segments[i]
            if e[0] == "DTP" and e[1] == kind:
                self.at = i
                return day(e, 3)
        return None

    def _fact(self, event: Event, listing: Listing | None, *key: str, rows: int = 1) -> ReadFact:
        return ReadFact(
            event,
            Place(self.transaction.file, self.first),
            SOURCE,
            natural_key="|".join((SOURCE, *key)),
            rows=rows,
            findings=self.findings,
            listing=listing,
        )


def _coverage(description: str) -> str:
    text = description.upper()
    if "MEDICARE ADVANTAGE" in text:
        return "medicare_advantage"
    found = re.search(r"MEDICARE PART ([A-D])\b", text)
    return _PARTS[found[1]] if found else "plan"
