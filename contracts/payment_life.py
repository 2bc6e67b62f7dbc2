"""What became of a determination: determined, sent, remitted, returned, open, and how long it has been open.

Money moves by facts that name a payment of ours: `PaymentRemitted` and `PaymentReturned` of a member's, and what a
remittance adjusts (`RemittanceReceived`) of a practice's. A payment and its exact reversal are one: what was remitted
for it and is taken back stays open until it has come back. Sums are integer cents, above nought to the practice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from contracts.envelope import Fact
from contracts.terms import TermSheet

REMITTED, RETURNED, ADJUSTED = (
    f"carepact.{name}.v1" for name in ("PaymentRemitted", "PaymentReturned", "RemittanceReceived")
)
MOVES = frozenset({REMITTED, RETURNED, ADJUSTED})
"""Facts by which money moves."""

DETERMINED, SENT, PARTLY = "determined", "sent", "partly_remitted"


class Moved(NamedTuple):
    """Money that moved for a payment: cents to the practice, below nought from it; which of the fact's it is."""

    payment_id: str
    kind: str
    amount_cents: int
    moved_on: date
    source: str
    trace: str
    reason: str
    ordinal: int


def moves(fact: Fact) -> Iterator[Moved]:
    """What a fact says moved. A remittance is told to every partition, and counts in the first."""
    data = fact.data
    match fact.type:
        case "carepact.PaymentRemitted.v1":
            trace = data.trace or ""
            yield Moved(data.payment_id, "remitted", data.amount_cents, data.remitted_on, data.source, trace, "", 0)
        case "carepact.PaymentReturned.v1":
            reason = data.reason or ""
            yield Moved(data.payment_id, "returned", -data.amount_cents, data.returned_on, data.source, "", reason, 0)
        case "carepact.RemittanceReceived.v1" if fact.partition == 0:
            for ordinal, one in enumerate(data.adjustments):
                if one.payment_id is not None:
                    cents, trace = -one.amount_cents, data.trace or ""
                    yield Moved(one.payment_id, "adjusted", cents, data.remitted_on, "835", trace, one.reason, ordinal)


@dataclass(frozen=True, slots=True)
class Life:
    """A payment with its reversal: what is due in the end, what was remitted and what came back, all in cents."""

    due_cents: int
    remitted_cents: int
    returned_cents: int
    sent: bool
    moves: int

    @property
    def open_cents(self) -> int:
        """Still to move: above nought to the practice, below from it."""
        return self.due_cents - self.remitted_cents + self.returned_cents

    @property
    def status(self) -> str:
        """`determined` until it is on its topic, `sent` until money moves, then by what is open.

        110.00 remitted of 110.00 is `remitted`; 60.00 of it is `partly_remitted`; 110.00 that came back is `returned`;
        110.00 remitted for what was then reversed is `to_come_back`; what was reversed before money moved is `void`.
        """
        due, left = self.due_cents, self.open_cents
        if not self.moves:
            return "void" if not due else SENT if self.sent else DETERMINED
        if not left:
            return "remitted" if due else "void"
        if due >= 0 > left or due <= 0 < left:
            return "to_come_back"
        return "returned" if self.remitted_cents == self.returned_cents else PARTLY


@dataclass(frozen=True, slots=True)
class Age:
    """How long a payment has been open beyond the day it was due on; `bucket` '' while it is not overdue."""

    due_on: date
    overdue_days: int
    bucket: str


def age(sheet: TermSheet, determined_on: date, on: date) -> Age:
    """Due within 30 days, aged by 30, 60 and 90: of 1 January, open on 1 April, is 60 days over: 31-60."""
    day = determined_on.isoformat()
    within = int(sheet.on("remittance_days", day).number)
    limits = [int(limit) for limit in sheet.on("aging_days", day).value.split()]
    due_on = date.fromordinal(determined_on.toordinal() + within)
    over = (on - due_on).days
    if over <= 0:
        return Age(due_on, 0, "")
    low = 0
    for limit in limits:
        if over <= limit:
            return Age(due_on, over, f"{low + 1}-{limit}")
        low = limit
    return Age(due_on, over, f"over {low}")
