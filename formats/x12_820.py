"""X12 820: premiums that a sponsor or a member paid to an insurer.

A premium of one person (RMR below an ENT with NM1) is a fact of that member; a group's premium (RMR below an
organization's ENT, or none) stands in the fact of the whole remittance. The member number is NM109 (not a social
security number), else REF*0F, else ENT04. ADX before the first RMR of an ENT corrects an earlier payment; ADX behind an
RMR is in its amount already. BPR02 must be the sum of RMR04 and of the ADX before them, or the whole set is refused.
Coverage periods are DTM*582. Billing lines (IT1) and allowances (SAC) are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from contracts.events import PremiumPaid
from formats.cells import BadCell
from formats.reading import Place, Read, ReadFact
from formats.x12_members import Who, cents, day
from formats.x12_remittance import Misplaced, Payment, needed, pieces, received, unbalanced, whole
from formats.x12_set import SOURCE, Elements, Transaction, refused

_CODE, _COUNT = re.compile(r"[A-Za-z0-9._:/+-]{1,32}"), re.compile(r"[0-9]{1,9}")
_NO_NUMBER = frozenset(("34", ""))
_PERSON = frozenset(("DO", "EY", "IL", "QE"))
Numbered = list[tuple[int, Elements]]


def read(transaction: Transaction) -> Iterator[Read]:
    """The premiums of one transaction set, then the remittance as a whole."""
    try:
        yield from _Remittance(transaction).facts()
    except Misplaced as error:
        separator, end = transaction.around[1], transaction.around[0]
        yield whole(transaction, error, transaction.text.count(f"{end}RMR{separator}"))


class _Remittance:
    """BPR to the last RMR. Amounts are added up before the first premium is given out."""

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.header = next(pieces(transaction, ("ENT", "RMR")))
        self.payment = Payment(self.header)
        self.items = self.paid = self.earlier = 0
        self.groups: list[dict[str, Any]] = []
        first = transaction.started + 1
        self.ranges = [(first, first + len(self.header))]
        behind = False
        for at, e in transaction.segments():
            if e[0] == "ENT":
                behind = False
            elif e[0] == "RMR":
                behind = True
                self.items += 1
                self.paid += needed(at, e, 4)
            elif e[0] == "ADX" and not behind:
                self.earlier += needed(at, e, 1)
        self.bpr = next((at, e) for at, e in self.header if e[0] == "BPR")
        if self.payment.amount_cents != self.paid + self.earlier:
            raise unbalanced(*self.bpr)
        for who, premium in self._premiums():
            if not who.is_person:
                self.groups.append(self._group(premium))
                self.ranges.append((who.above[0][0] if who.above else premium[0][0], premium[-1][0] + 1))

    def facts(self) -> Iterator[Read]:
        whole_ = self._whole()
        for who, premium in self._premiums():
            if who.is_person:
                yield self._one(who, premium)
        yield whole_

    def _premiums(self) -> Iterator[tuple[_Member, Numbered]]:
        for piece in pieces(self.transaction, ("ENT",)):
            above, *premiums = _cut(piece, "RMR")
            who = _Member(above)
            for premium in premiums:
                yield who, premium

    def _one(self, who: _Member, premium: Numbered) -> Read:
        transaction, payment = self.transaction, self.payment
        segments = [e for _, e in (*self.header, *who.above, *premium)]
        first = premium[0][0]
        number, name = first, "RMR"
        try:
            for at, e in (*who.above, *premium) if transaction.unclean is not None else ():
                if found := transaction.spoilt(at, [e]):
                    number = found[0]
                    raise found[1]
            number, name = who.number, "NM1"
            person = who.person([e for _, e in premium])
            number, name = first, "RMR"
            event = PremiumPaid.model_validate({"person": person, **self._premium(premium)} | self._common())
        except Misplaced as error:
            return refused(transaction, error, error.number, error.elements[0], segments)
        except (BadCell, ValidationError) as error:
            return refused(transaction, error, number, name, segments)
        key = (SOURCE, "820", payment.trace or "", payment.remitted_on.isoformat(), person["identifier"]["value"])
        ranges = ((n, n + 1) for n, _ in (*self.header, *who.above, *premium))
        notes = (*payment.notes, *transaction.notes_of(*ranges))
        return ReadFact(event, Place(transaction.file, first), SOURCE, natural_key="|".join(key), findings=notes)

    def _common(self) -> dict[str, Any]:
        return {"remitted_on": self.payment.remitted_on, "trace": self.payment.trace}

    def _premium(self, premium: Numbered) -> dict[str, Any]:
        at, rmr = premium[0]
        try:
            billed = cents(rmr, 5)
        except BadCell as error:
            raise Misplaced(at, rmr, error) from None
        made: dict[str, Any] = {"paid_cents": needed(at, rmr, 4), "billed_cents": billed}
        made["adjustment_cents"] = sum(needed(n, e, 1) for n, e in premium if e[0] == "ADX")
        for n, e in premium:
            if e[0] == "DTM" and e[1] == "582":
                try:
                    made |= {"from_on": day(e, 6), "through_on": day(e, 6, last=True)}
                except BadCell as error:
                    raise Misplaced(n, e, error) from None
        return made

    def _group(self, premium: Numbered) -> dict[str, Any]:
        made = self._premium(premium)
        del made["adjustment_cents"]
        kind = premium[0][1][1]
        counts = [e[4] for _, e in premium if e[0] == "SLN"]
        members = sum(int(text) for text in counts) if counts and all(map(_COUNT.fullmatch, counts)) else None
        return made | {"reference": kind if _CODE.fullmatch(kind) else None, "members": members}

    def _whole(self) -> ReadFact:
        payment, transaction = self.payment, self.transaction
        event = received(
            {
                "kind": "premiums",
                "amount_cents": payment.amount_cents,
                "method": payment.method,
                "items": self.items,
                "items_cents": self.paid,
                "premiums": tuple(self.groups),
            }
            | self._common(),
            *self.bpr,
        )
        key = (SOURCE, "820", payment.trace or "", payment.remitted_on.isoformat(), str(payment.amount_cents))
        place = Place(transaction.file, transaction.started)
        rows = len(self.groups) if self.items else 1
        notes = (*payment.notes, *transaction.notes_of(*self.ranges))
        return ReadFact(event, place, SOURCE, natural_key="|".join(key), rows=rows, findings=notes)


class _Member:
    """Whose premium it is: ENT and what stands before the first RMR below it."""

    def __init__(self, above: Numbered) -> None:
        self.above = above
        self.who = Who()
        for number, e in above:
            if e[0] == "NM1" and e[1] in _PERSON:
                self.who.take(number, e)
        self.is_person = self.who.name is not None or any(e[0] == "ENT" and e[2] == "2J" for _, e in above)
        self.number = self.who.numbers.get("NM1", above[0][0] if above else 0)

    def person(self, premium: list[Elements]) -> dict[str, Any]:
        """The person, by NM109, REF*0F or ENT04."""
        name, ent = self.who.name, next((e for _, e in self.above if e[0] == "ENT"), None)
        refs = [e for e in (*(e for _, e in self.above), *premium) if e[0] == "REF" and e[1] == "0F"]
        own = name[9] if name is not None and name[8] not in _NO_NUMBER else ""
        employee = name is not None and bool(own) and name[8] == "EI"
        if not own and refs:
            own = refs[0][2]
        if not own and ent is not None and ent[3] not in _NO_NUMBER:
            own, employee = ent[4], ent[3] == "EI"
        person = self.who.made(own)
        if employee:
            person["identifier"] = {"kind": "employee_id", "value": own}
        return person


def _cut(piece: Numbered, mark: str) -> list[Numbered]:
    """What stands before the first `mark`, then each with what follows it."""
    found: list[Numbered] = [[]]
    for numbered in piece:
        if numbered[1][0] == mark:
            found.append([])
        found[-1].append(numbered)
    return found
