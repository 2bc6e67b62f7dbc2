"""Settles a period of an employers' log: read once up to the cut, then each plan and practice answered.

The second stage beside Medicare's: one engine reads requests, waits for the cut and stores answers; this makes them for
a contract of plans. Everything follows from the request and the log alone, so that a rebuild makes the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from contracts.determining import Asked, Standing
from contracts.employer_evidence import EmployerGatherer, PlanEvidence
from contracts.employer_payments import contest_pack, moved, pending, statement
from contracts.employer_settlement import PlanSettlement, PracticeSettlement, settle
from contracts.errors import ContractError
from contracts.events import PaymentDetermined
from contracts.fold import NotAdopted, OtherBuild
from contracts.outcome import Payment
from contracts.roster import contract_digest
from projections import settlements
from projections.settlements import Settled
from streams.answers import answered, emitted, settlement_id
from streams.connections import Connections
from streams.replay import log_records
from streams.settling import Between, CannotSettle, PartitionReader, beside
from streams.topics import log_topic

UNREADABLE = (ContractError, LookupError, ValueError, ArithmeticError)
"""What adopted terms that cannot be settled by raise: a day without a value, a table that names no metric or no row."""


def refusal(error: Exception) -> str:
    """A contract's refusal in its own words; of anything else that its terms could not be read."""
    return str(error) if isinstance(error, ContractError) else f"its terms cannot be read ({type(error).__name__})"


@dataclass
class GatheredPlans:
    """What an employers' log comes to at a cut; the adoption is that of its last partition."""

    partition: int
    plans: list[PlanEvidence]
    remitted: dict[str, int] = field(default_factory=dict)


async def gather_plans(connections: Connections, payer: str, cut: Mapping[int, int], between: Between) -> GatheredPlans:
    """The log up to a cut; `between` is awaited every few thousand records."""
    gatherer = EmployerGatherer(payer)
    remitted: dict[str, int] = {}
    for partition in sorted(cut):
        gatherer.partition(partition)
        reader = PartitionReader(payer, partition, gatherer)
        async for records in log_records(connections, log_topic(payer), partition, cut[partition]):
            await asyncio.to_thread(reader.feed, records)
            await between()
        await beside(gatherer.close, between)
        remitted |= reader.remitted
    if not gatherer.adoption.sheets:
        raise CannotSettle(f"{log_topic(payer)} has adopted no terms before the cut")
    try:
        plans = await beside(lambda: [gatherer.plan(plan) for plan in gatherer.plans()], between)
    except (NotAdopted, OtherBuild, *UNREADABLE) as error:
        raise CannotSettle(refusal(error)) from error
    return GatheredPlans(max(cut), plans, remitted)


class PlanAnswers:
    """Settles one request for every plan from what was gathered; pure, so that it can be done beside the event loop."""

    def __init__(
        self,
        payer: str,
        row: Any,
        gathered: GatheredPlans,
        known: Mapping[tuple[str, str], Settled],
        before: Mapping[tuple[str, str], list[Standing]],
    ) -> None:
        self._payer, self._row, self._gathered = payer, row, gathered
        self._known, self._before = known, before
        self.answers: list[tuple[Any, ...]] = []
        self.payments: list[tuple[Payment, bytes]] = []

    def make(self) -> None:
        """All answers and payments of the run."""
        for plan in self._gathered.plans:
            try:
                settlement = settle(plan, self._row["period"], self._row["run"])
            except UNREADABLE as error:
                raise CannotSettle(f"plan {plan.plan}: {refusal(error)}") from error
            named = {one.practice for one in settlement.practices}
            gone = {practice for of, practice in self._before if of == plan.plan} - named
            settlement.practices += [PracticeSettlement(practice) for practice in sorted(gone)]
            for one in settlement.practices:
                if one.episodes or one.determinations or (plan.plan, one.practice) in self._before:
                    self._answer(plan, settlement, one)

    def _answer(self, plan: PlanEvidence, settlement: PlanSettlement, one: PracticeSettlement) -> None:
        row, key = self._row, (plan.plan, one.practice)
        topic, before = log_topic(self._payer), self._before.get((plan.plan, one.practice), [])
        pack, kept = settlements.packed(contest_pack(plan, settlement, one))
        digest = sha256(pack).hexdigest()
        asked = Asked(
            self._payer, row["contract"], contract_digest(row["contract"]), str(row["event_id"]), row["topic"],
            row["log_offset"], topic, self._gathered.partition, plan.sheet.ref, plan.plan,
        )  # fmt: skip
        payments = moved(asked, settlement, one, before, digest)
        told = statement(settlement, one, before, payments)
        told |= {"payer": self._payer, "request_id": row["request_id"], "pack_digest": digest}
        for payment in payments:
            sequence = f"{row['log_offset']:09d}-{payment.sequence:03d}"
            event = emitted(self._payer, row, payment.payment_id, PaymentDetermined, sequence, payment.event, plan.plan)
            self.payments.append((payment, event))
        known = self._known.get(key)
        said = {
            "plan": plan.plan,
            "episodes": known.episodes if known else 0,
            "included": len(one.episodes),
            "expenditure_cents": sum(episode.expenditure_cents for episode in one.episodes),
            "payments_cents": known.payments_cents if known else 0,
            "pending": pending(one),
            "benchmark_cents": one.target_cents,
            "actual_cents": one.actual_cents,
            "share_cents": sum(made.amount_cents for made in one.determinations),
            "moved_cents": told["moved_cents"],
            "pack_digest": digest,
        }
        name = settlement_id(self._payer, row, one.practice, plan.plan)
        event = answered(self._payer, row, one.practice, name, said)
        document = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
        self.answers.append(
            (self._payer, row["request_id"], one.practice, name, row["log_offset"], event, document, kept, plan.plan)
        )
