"""What a decision says: new versions of episodes, changes of spend, payments and their reversals.

Rows are plain values; a projection stores them, a relay sends the payments on, a replay compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class EpisodeVersion:
    """One row of the append-only table of episodes; in force until the next version of the same episode."""

    episode_id: str
    version: int
    member: str
    plan: str
    contract: str
    offset: int
    cause: str
    started_on: str
    ends_on: str
    period: int
    cancer_type: str
    status: str
    void_reason: str
    included: bool
    exclusion: str
    practice: str
    opened_by: str
    closed: bool


@dataclass(slots=True)
class SpendChange:
    """By how much a fact moved an episode's expenditure, and what it is now; cents."""

    episode_id: str
    offset: int
    delta_cents: int
    total_cents: int


@dataclass(slots=True)
class ReturnToWork:
    """One row of the append-only table of returns to work: an episode's person, as known; days '' where there is none.

    `cause`: 1 returned, 2 died, 3 long-term disability or exit, 0 none yet or censored.
    """

    episode_id: str
    version: int
    member: str
    plan: str
    contract: str
    offset: int
    cause_event: str
    eligible: bool
    status: str
    cause: int
    absence_on: str
    partial_on: str
    returned_on: str
    confirmed_on: str
    held_days: int
    lapsed_on: str
    ended_on: str
    duty: str
    conflict: bool


@dataclass(slots=True)
class Payment:
    """A determination or the exact negative of one. `event` has the fields of `PaymentDetermined`."""

    payment_id: str
    member: str
    plan: str
    contract: str
    kind: str
    amount_cents: int
    episode_id: str
    practice: str
    period: str
    effective_on: str
    reverses: str
    supersedes: str
    cause: str
    sequence: int
    offset: int
    event: dict[str, Any]


@dataclass(slots=True)
class LedgerLine:
    """One side of a double entry. `account` is `payer_payable` or `practice_receivable`; a payment's lines sum to 0."""

    payment_id: str
    line: int
    account: str
    party: str
    amount_cents: int


@dataclass(slots=True, init=False)
class Outcome:
    """All that one fact decided, in order."""

    episodes: list[EpisodeVersion]
    spends: list[SpendChange]
    returns: list[ReturnToWork]
    payments: list[Payment]

    def __init__(self) -> None:
        self.episodes, self.spends, self.returns, self.payments = [], [], [], []

    def add(self, other: Outcome) -> None:
        """Append what another fact decided."""
        self.episodes += other.episodes
        self.spends += other.spends
        self.returns += other.returns
        self.payments += other.payments


NOTHING = Outcome()
"""What most facts decide. Nobody adds to it."""


def ledger_lines(payer: str, payment: Payment) -> tuple[LedgerLine, LedgerLine]:
    """The two sides of a payment: the payer owes, the practice is owed. They sum to zero."""
    return (
        LedgerLine(payment.payment_id, 1, "payer_payable", payer, -payment.amount_cents),
        LedgerLine(payment.payment_id, 2, "practice_receivable", payment.practice, payment.amount_cents),
    )
