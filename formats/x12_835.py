"""X12 835: what a payer paid on each claim, and to or from a provider besides.

A claim payment (CLP) is a fact of its own about the payer's claim, whose family is the payer's claim control number
(CLP07); beside it stands the id that the claim has if this payee sent it as an 837. It moves no payment of ours. Where
CLP01 names a payment of ours (its id), the fact is that this was remitted, or returned by a reversal (CLP02 22).
Adjustments stand as sent: of the claim (CAS before the first SVC), of each service, of the provider (PLB).

The envelope is hard: BPR02 must be the sum of CLP04 minus that of PLB, or the whole set is refused. A service whose
charge minus adjustments is not what was paid is left out of its claim, and the claim says so in a finding
(`SVC03:balance`); so does a claim (`CLP04:balance`). A patient must have a member number of their own (NM1*QC).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from contracts.events import ClaimRemitted, PaymentRemitted, PaymentReturned
from formats.cells import BadCell
from formats.reading import Place, Read, ReadFact
from formats.x12_claim import submission_of
from formats.x12_members import Who, cents, day, number
from formats.x12_remittance import (
    Misplaced,
    Payment,
    needed,
    payment_id,
    pieces,
    practice,
    received,
    record_id,
    unbalanced,
    whole,
)
from formats.x12_set import SOURCE, Elements, Finding, Transaction, refused

_REVERSAL = "22"
_SOCIAL_SECURITY = "34"
_PLACES = tuple(range(2, 20, 3))
"""Of the reasons in a CAS: each with its amount and quantity behind it."""
_HCPCS, _NDC, _NPI = re.compile(r"[A-Z0-9]{5}"), re.compile(r"[0-9]{11}"), re.compile(r"[A-Za-z0-9]{1,15}")
_CODE, _REASON = re.compile(r"[A-Za-z0-9._:/+-]{1,32}"), re.compile(r"[A-Z0-9]{1,5}")
_FOUR, _DRG = re.compile(r"[0-9]{4}"), re.compile(r"[0-9]{3,4}")
_ROOM = ("ST", "LX", "TS3", "TS2")
"""Segments between claims that belong to none."""


def read(transaction: Transaction) -> Iterator[Read]:
    """The claim payments of one transaction set, then the remittance as a whole."""
    rows = 0
    try:
        remittance = _Remittance(transaction)
        rows = remittance.rows
        yield from remittance.facts()
    except Misplaced as error:
        separator, end = transaction.around[1], transaction.around[0]
        yield whole(transaction, error, rows or transaction.text.count(f"{end}CLP{separator}"))


class _Remittance:
    """BPR to the last PLB. Amounts are added up before the first claim is given out."""

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        header = next(pieces(transaction, ("CLP", "LX", "PLB")))
        self.payment = Payment(header)
        self.payee = self.payment.party("PE")
        self.rows = self.paid = 0
        self.adjustments: list[dict[str, Any]] = []
        for at, e in transaction.segments():
            if e[0] == "CLP":
                self.rows += 1
                self.paid += needed(at, e, 4)
            elif e[0] == "PLB":
                self._adjusted(at, e)
        given = sum(each["amount_cents"] for each in self.adjustments)
        self.bpr = next((at, e) for at, e in header if e[0] == "BPR")
        if self.payment.amount_cents != self.paid - given:
            raise unbalanced(*self.bpr)
        first = transaction.started + 1
        self.range = (first, first + len(header))

    def _adjusted(self, at: int, plb: Elements) -> None:
        year_end = None
        try:
            year_end = day(plb, 2)
        except BadCell:
            self.payment.notes += (str(Finding("PLB", 2, 0, "8")),)
        for place in range(3, 15, 2):
            if not plb[place] and not plb[place + 1]:
                continue
            reason, *reference = self.transaction.composite(plb[place])
            if not _CODE.fullmatch(reason):
                missing = BadCell("schema", f"PLB{place:02}", "an adjustment without its reason", "send its code")
                raise Misplaced(at, plb, missing)
            ours = payment_id(reference[0]) if reference else None
            self.adjustments.append(
                {
                    "reason": reason,
                    "amount_cents": needed(at, plb, place + 1),
                    "year_end": year_end,
                    "payment_id": ours,
                }
            )

    def facts(self) -> Iterator[Read]:
        payment, transaction = self.payment, self.transaction
        event = received(
            {
                "kind": "claims",
                "remitted_on": payment.remitted_on,
                "amount_cents": payment.amount_cents,
                "method": payment.method,
                "trace": payment.trace,
                "payee": practice(self.payee),
                "items": self.rows,
                "items_cents": self.paid,
                "adjustments": tuple(self.adjustments),
            },
            *self.bpr,
        )
        others = [self.range]
        for piece in pieces(self.transaction, ("CLP", "PLB", *_ROOM)):
            if piece and piece[0][1][0] == "CLP":
                yield self._one([e for _, e in piece], piece[0][0])
            elif piece:
                others.append((piece[0][0], piece[-1][0] + 1))
        key = (SOURCE, "835", payment.trace or "", payment.remitted_on.isoformat(), str(payment.amount_cents))
        notes = (*payment.notes, *transaction.notes_of(*others))
        place = Place(transaction.file, transaction.started)
        yield ReadFact(event, place, SOURCE, natural_key="|".join(key), rows=0 if self.rows else 1, findings=notes)

    def _one(self, segments: list[Elements], first: int) -> Read:
        claim = _Claim(self, segments, first)
        try:
            return claim.fact()
        except (BadCell, ValidationError) as error:
            header = [e for _, e in next(pieces(self.transaction, ("CLP", "LX", "PLB")))]
            at = claim.at
            return refused(self.transaction, error, first + at, segments[at][0], [*header, *segments])


class _Claim:
    """One CLP with what follows it. `at` is the segment that is being read."""

    def __init__(self, remittance: _Remittance, segments: list[Elements], first: int) -> None:
        self.remittance, self.transaction = remittance, remittance.transaction
        self.segments, self.first = segments, first
        self.at = 0
        self.who = Who()
        self.adjustments: list[dict[str, Any]] = []
        self.lines: list[dict[str, Any]] = []
        self.dates: dict[str, Any] = {}
        self.rendering: str | None = None
        self.notes: list[str] = []

    def fact(self) -> ReadFact:
        """The claim payment as a fact."""
        if self.transaction.unclean is not None and (found := self.transaction.spoilt(self.first, self.segments)):
            self.at = found[0] - self.first
            raise found[1]
        for self.at, e in enumerate(self.segments):  # noqa: B020 - where an error is, is the segment reached
            self._take(e)
        self.at = 0
        clp = self.segments[0]
        if not clp[2]:
            raise BadCell("schema", "CLP02", "a claim payment without its status", "send CLP02")
        event = self._event(clp)
        family = event.family if isinstance(event, ClaimRemitted) else event.payment_id
        payment = self.remittance.payment
        key = (SOURCE, "835", payment.trace or "", payment.remitted_on.isoformat(), family, clp[2], clp[4])
        ranges = (self.remittance.range, (self.first, self.first + len(self.segments)))
        notes = (*payment.notes, *self.notes, *self.transaction.notes_of(*ranges))
        keyed: tuple[str, ...] = ()
        if isinstance(event, ClaimRemitted):
            keyed = ("submission",) if record_id(clp[7]) else ("submission", "family")
        place = Place(self.transaction.file, self.first)
        return ReadFact(
            event, place, SOURCE, natural_key="|".join(key), keyed=keyed, findings=tuple(dict.fromkeys(notes))
        )

    def _event(self, clp: Elements) -> ClaimRemitted | PaymentRemitted | PaymentReturned:
        payment, payee = self.remittance.payment, self.remittance.payee
        name = self.who.name
        self.at = self.who.numbers.get("NM1", self.first) - self.first
        own = name[9] if name is not None and name[8] != _SOCIAL_SECURITY else ""
        person = self.who.made(own)
        self.at = 0
        charge, paid = cents(clp, 3) or 0, cents(clp, 4) or 0
        reversal = clp[2] == _REVERSAL
        if ours := payment_id(clp[1]):
            moved: dict[str, Any] = {"person": person, "payment_id": ours, "source": "835"}
            if reversal:
                moved |= {"amount_cents": -paid, "returned_on": payment.remitted_on, "reason": "reversal"}
                return PaymentReturned.model_validate(moved)
            moved |= {"amount_cents": paid, "remitted_on": payment.remitted_on, "trace": payment.trace}
            return PaymentRemitted.model_validate(moved)
        submission = submission_of(payee.get("XX") or payee.get("FI") or "", clp[1])
        adjusted = [*self.adjustments, *(each for line in self.lines for each in line["adjustments"])]
        if charge - sum(each["amount_cents"] for each in adjusted) != paid:
            self.notes.append(str(Finding("CLP", 4, 0, "balance")))
        return ClaimRemitted.model_validate(
            {
                "person": person,
                "family": record_id(clp[7]) or submission,
                "submission": submission,
                "status": clp[2],
                "reversal": reversal,
                "remitted_on": payment.remitted_on,
                "charge_cents": charge,
                "paid_cents": paid,
                "member_owes_cents": cents(clp, 5) or 0,
                "payee": practice(payee),
                "trace": payment.trace,
                "filing": clp[6] if _CODE.fullmatch(clp[6]) else None,
                "facility_type": clp[8] if _CODE.fullmatch(clp[8]) else None,
                "frequency": clp[9] if _CODE.fullmatch(clp[9]) else None,
                "drg": clp[11] if _DRG.fullmatch(clp[11]) else None,
                "rendering_npi": self.rendering,
                "from_on": self.dates.get("232"),
                "through_on": self.dates.get("233"),
                "adjustments": tuple(self.adjustments),
                "lines": tuple(self._balanced()),
                "patient_control_number": clp[1] or None,
            }
        )

    def _balanced(self) -> Iterator[dict[str, Any]]:
        """The services of which charge, adjustments and what was paid agree."""
        for n, line in enumerate(self.lines, 1):
            if line["charge_cents"] - sum(each["amount_cents"] for each in line["adjustments"]) == line["paid_cents"]:
                yield line | {"line": n, "adjustments": tuple(line["adjustments"])}
            else:
                self.notes.append(str(Finding("SVC", 3, 0, "balance")))

    def _take(self, e: Elements) -> None:
        line = self.lines[-1] if self.lines else None
        match e[0]:
            case "SVC":
                self._service(e)
            case "CAS":
                (self.adjustments if line is None else line["adjustments"]).extend(_adjustments(e))
            case "NM1" if e[1] == "QC":
                self.who.take(self.first + self.at, e)
            case "NM1" if e[1] == "82" and e[8] == "XX":
                self.rendering = e[9] if _NPI.fullmatch(e[9]) else None
            case "DTM" if line is None:
                self.dates[e[1]] = day(e, 2)
            case "DTM" if line is not None and e[1] in ("472", "150"):
                line["service_on"] = day(e, 2)
            case "AMT" if line is not None and e[1] == "B6":
                line["allowed_cents"] = cents(e, 2)
            case _:
                pass

    def _service(self, e: Elements) -> None:
        kind, *rest = self.transaction.composite(e[1])
        named = rest[0] if rest else ""
        self.lines.append(
            {
                "code": named if kind == "HC" and _HCPCS.fullmatch(named) else None,
                "modifiers": tuple(code for code in rest[1:5] if _CODE.fullmatch(code)) if kind == "HC" else (),
                "ndc": named if kind == "N4" and _NDC.fullmatch(named) else None,
                "revenue_center": e[4].zfill(4) if e[4] and _FOUR.fullmatch(e[4].zfill(4)) else None,
                "charge_cents": cents(e, 2) or 0,
                "paid_cents": cents(e, 3) or 0,
                "units": number(e, 5),
                "adjustments": [],
            }
        )


def _adjustments(cas: Elements) -> Iterator[dict[str, Any]]:
    for place in _PLACES:
        if not cas[place] and not cas[place + 1]:
            continue
        if cas[1] not in ("CO", "OA", "PI", "PR"):
            raise BadCell("schema", "CAS01", "an adjustment of a group that is not known", "send CO, OA, PI or PR")
        if not _REASON.fullmatch(cas[place]):
            raise BadCell("schema", f"CAS{place:02}", "an adjustment without its reason", "send its code")
        yield {
            "group": cas[1],
            "reason": cas[place],
            "amount_cents": cents(cas, place + 1) or 0,
            "quantity": number(cas, place + 2),
        }
