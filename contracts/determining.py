"""Determinations of a settlement: new ones, and the exact reversals of what an earlier run determined.

A run that comes to what is in force moves nothing. One that comes to another sum takes the earlier back and determines
anew, so that what moves is the difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.clauses import Line
from contracts.envelope import payment_id
from contracts.events import ReconciliationRequested
from contracts.outcome import LedgerLine, Payment
from contracts.parts import Ref, read_ref
from contracts.period import Period
from contracts.reversals import reversed_lines
from contracts.terms import TermSheet

FACTS_NAMED = 200
"""A payment names no more facts than this; its contest pack has them all."""

Said = tuple[Ref, str] | tuple[Ref, str, int]
"""A fact and what it says; with the partition it stands in, where that is not the one the request's terms are of."""

Wanted = tuple[int, Sequence[Line], Sequence[Said]]
"""What a clause comes to: cents, the lines that add up to it, and the facts it rests on."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A payment of an earlier run that is in force."""

    payment_id: str
    kind: str
    amount_cents: int
    components: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """The request that is answered, and what its answer names as its ground; `plan` where there are plans."""

    payer: str
    contract: str
    contract_digest: str
    event_id: str
    topic: str
    offset: int
    log_topic: str
    log_partition: int
    sheet_ref: Ref
    plan: str = ""


def ledger(payment: Payment, payer: str) -> tuple[LedgerLine, LedgerLine]:
    """Both sides: the payable of the payer, or of the plan that pays; the practice's receivable. They sum to nought."""
    return (
        LedgerLine(payment.payment_id, 1, "payer_payable", payment.plan or payer, -payment.amount_cents),
        LedgerLine(payment.payment_id, 2, "practice_receivable", payment.practice, payment.amount_cents),
    )


class Maker:
    """Makes one practice's payments of one run."""

    def __init__(self, asked: Asked, sheet: TermSheet, period: Period, run: str, practice: str) -> None:
        self.asked, self.sheet, self.period, self.run = asked, sheet, period, run
        self.practice_name = practice
        self.made: list[Payment] = []

    @property
    def subject(self) -> str:
        """Whose payments they are: a practice's period, under a plan where there are plans."""
        asked = self.asked
        payer = f"{asked.payer}|{asked.plan}" if asked.plan else asked.payer
        return f"{payer}|{self.practice_name}"

    def settle_up(self, wanted: Mapping[str, Wanted], standing: Sequence[Standing], kinds: Sequence[str]) -> None:
        """The difference between what is wanted of some kinds and what stands, each reversal before its successor."""
        held = {one.kind: one for one in standing}
        for kind in kinds:
            want, stands = wanted.get(kind), held.get(kind)
            if stands is not None and (want is None or want[0] != stands.amount_cents):
                self.reverse(stands)
            if want is not None and (stands is None or want[0] != stands.amount_cents):
                self.determine(kind, *want, supersedes=stands.payment_id if stands else "")

    def reverse(self, stands: Standing) -> None:
        """The exact negative of an earlier run's payment."""
        lines = reversed_lines(stands.payment_id, stands.components)
        self._emit(stands.kind, -stands.amount_cents, lines, [], reverses=stands.payment_id, supersedes="")

    def determine(self, kind: str, amount: int, lines: Sequence[Line], facts: Sequence[Said], supersedes: str) -> None:
        """A payment of this run."""
        assert sum(line.amount_cents for line in lines) == amount
        told = [
            {
                "clause": line.clause,
                "label": line.label,
                "arithmetic": line.arithmetic,
                "amount_cents": line.amount_cents,
                "terms": [term.as_use() for term in line.terms],
            }
            for line in lines
        ]
        self._emit(kind, amount, told, facts, reverses="", supersedes=supersedes)

    def _emit(
        self,
        kind: str,
        amount: int,
        lines: list[dict[str, Any]],
        facts: Sequence[Said],
        reverses: str,
        supersedes: str,
    ) -> None:
        asked, period = self.asked, f"PP{self.period.number}"
        name = payment_id(asked.contract, self.subject, kind, period, asked.event_id, reverses, 0)
        event = {
            "payment_id": name,
            "payer": asked.payer,
            "plan": asked.plan,
            "contract": asked.contract,
            "contract_version": self.sheet.version,
            "contract_digest": asked.contract_digest,
            "kind": kind,
            "amount_cents": amount,
            "currency": "USD",
            "member": None,
            "episode_id": None,
            "practice": self.practice_name or None,
            "period": period,
            "effective_on": self.period.due_on,
            "reverses": reverses or None,
            "supersedes": supersedes or None,
            "cause": asked.event_id,
            "cause_kind": "reconciliation_requested",
            "lines": lines,
            "facts": self._facts(facts),
            "position": {"topic": asked.topic, "partition": 0, "offset": asked.offset},
        }
        self.made.append(
            Payment(
                name, "", asked.plan, asked.contract, kind, amount, "", self.practice_name, period,
                self.period.due_on, reverses, supersedes, asked.event_id, len(self.made) + 1, asked.offset,
                event,
            )
        )  # fmt: skip

    def _facts(self, facts: Sequence[Said]) -> list[dict[str, Any]]:
        asked = self.asked
        request = {
            "event_id": asked.event_id,
            "type": ReconciliationRequested.type_name(),
            "position": {"topic": asked.topic, "partition": 0, "offset": asked.offset},
            "says": f"{self.run} run of period {self.period.number} asked for, at its cut",
        }
        found = [request]
        terms: Said = (asked.sheet_ref, f"terms {self.sheet.version} of {asked.contract} adopted")
        for ref, says, *at in list(dict.fromkeys([*facts, terms]))[-FACTS_NAMED:]:
            event_id, kind, offset = read_ref(ref)
            partition = at[0] if at else asked.log_partition
            place = {"topic": asked.log_topic, "partition": partition, "offset": offset}
            found.append({"event_id": event_id, "type": kind, "position": place, "says": says})
        return found


def parted(total_cents: int, weights: Sequence[int]) -> list[int]:
    """A sum divided by weights to whole cents, the cents left over to the largest remainders, then to the first.

    100 by 1, 1, 1 is 34, 33, 33.
    """
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    sign, size = (-1, -total_cents) if total_cents < 0 else (1, total_cents)
    parts = [size * weight // whole for weight in weights]
    left = size - sum(parts)
    order = sorted(range(len(weights)), key=lambda i: (-(size * weights[i] % whole), i))
    for i in order[:left]:
        parts[i] += 1
    return [sign * part for part in parts]
