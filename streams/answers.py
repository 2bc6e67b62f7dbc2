"""The answers to a settlement request, and the payments it moves: as rows, and as the bytes that are sent.

Everything follows from the request and the log alone, so that a rebuild makes the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson

from contracts.determining import Asked, Standing
from contracts.envelope import Envelope, payment_id, schema_urn
from contracts.events import PaymentDetermined, SettlementAnswered
from contracts.events.base import Event
from contracts.feedback import shown
from contracts.methods import METHODS
from contracts.outcome import Payment
from contracts.roster import contract_digest
from contracts.settled import Group, Practice, Settlement
from contracts.settlement import settle
from contracts.settlement_payments import moved
from contracts.statement import answer, contest_pack, statement
from contracts.terms import TermSheet
from projections import settlements
from projections.settlements import Settled
from streams.settling import Gathered
from streams.topics import log_topic


class Answers:
    """Settles one request from what was gathered; pure, so that it can be done beside the event loop."""

    def __init__(
        self,
        payer: str,
        row: Any,
        gathered: Gathered,
        known: Mapping[str, Settled],
        before: Mapping[str, list[Standing]],
    ) -> None:
        self._payer, self._row, self._gathered = payer, row, gathered
        self._known, self._before = known, before
        self._sheet = TermSheet(gathered.sheet.content)
        self.answers: list[tuple[Any, ...]] = []
        self.payments: list[tuple[Payment, bytes]] = []

    def make(self, excepted: frozenset[tuple[str, str, str]]) -> None:
        """All answers and payments of the run."""
        row, gathered = self._row, self._gathered
        settlement = settle(
            METHODS[row["contract"]], self._sheet, gathered.adoption, gathered.references, row["period"], row["run"],
            gathered.cases, gathered.failed, excepted,
        )  # fmt: skip
        for name in self._before.keys() - {practice.name for practice, _ in settlement.practices}:
            settlement.outside.append(Practice(name))
        for practice, group in settlement.practices:
            if practice.priced or practice.others or practice.monthly or practice.name in self._before:
                self._answer(settlement, practice, group)

    def _answer(self, settlement: Settlement, practice: Practice, group: Group | None) -> None:
        row, gathered = self._row, self._gathered
        topic = log_topic(self._payer)
        pack, kept = settlements.packed(contest_pack(settlement, practice, self._payer, topic))
        digest = sha256(pack).hexdigest()
        asked = Asked(
            self._payer, row["contract"], contract_digest(row["contract"]), str(row["event_id"]), row["topic"],
            row["log_offset"], topic, gathered.partition, gathered.sheet.ref,
        )  # fmt: skip
        before = self._before.get(practice.name, [])
        payments = moved(asked, self._sheet, settlement, practice, group, before, digest)
        told = statement(
            self._sheet, gathered.adoption, settlement, practice, group, before, payments, gathered.remitted
        )
        told |= {"payer": self._payer, "request_id": row["request_id"], "pack_digest": digest}
        told |= shown(settlement.period, practice, gathered.practices)
        for payment in payments:
            sequence = f"{row['log_offset']:09d}-{payment.sequence:03d}"
            event = emitted(self._payer, row, payment.payment_id, PaymentDetermined, sequence, payment.event)
            self.payments.append((payment, event))
        cases = [*(one.case for one in practice.priced), *practice.others]
        included = [case for case in cases if case.included]
        known = self._known.get(practice.name)
        said = answer(told, settlement) | {
            "episodes": sum(case.status == "valid" for case in cases),
            "included": len(included),
            "expenditure_cents": sum(case.expenditure_cents for case in included),
            "payments_cents": known.payments_cents if known else 0,
            "pack_digest": digest,
        }
        name = settlement_id(self._payer, row, practice.name)
        event = answered(self._payer, row, practice.name, name, said)
        document = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
        self.answers.append(
            (self._payer, row["request_id"], practice.name, name, row["log_offset"], event, document, kept, "")
        )


def settlement_id(payer: str, row: Any, practice: str, plan: str = "") -> str:
    """The id of a practice's answer; it follows from the request and the log alone."""
    subject = f"{payer}|{plan}|{practice}|{row['run']}" if plan else f"{payer}|{practice}|{row['run']}"
    return payment_id(row["contract"], subject, "SETTLEMENT", str(row["period"]), str(row["event_id"]), "", 0)


def answered(payer: str, row: Any, practice: str, name: str, said: Mapping[str, Any]) -> bytes:
    """The exact bytes of an answer."""
    told = {key: tuple(value) if isinstance(value, list) else value for key, value in said.items()}
    told |= {key: row[key] for key in ("request_id", "contract", "period", "run")}
    answer_ = SettlementAnswered.model_validate(told | {"payer": payer, "practice": practice or None})
    data = answer_.model_dump(mode="json", exclude_defaults=True)
    return emitted(payer, row, name, SettlementAnswered, f"{row['log_offset']:09d}", data, answer_.plan)


def emitted(
    payer: str, row: Any, name: str, model: type[Event], sequence: str, data: dict[str, Any], plan: str = ""
) -> bytes:
    """A CloudEvent as the settlements topic has it; its time is the request's."""
    envelope = Envelope(
        id=name,
        source=f"/carepact/{payer}/{row['contract']}",
        type=model.type_name(),
        time=row["known_at"].strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        dataschema=schema_urn(model),
        payer=payer,
        plan=plan,
        sequence=sequence,
        data=data,
    )
    return orjson.dumps(envelope.model_dump(mode="json", exclude_none=True))
