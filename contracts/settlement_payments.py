"""What a settlement moves, as payments: new determinations, and the exact reversals of what an earlier run determined.

A run that comes to what is in force moves nothing. One that comes to another sum takes the earlier back and determines
anew, so that what moves is the difference (EOM 4.3, true-up).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.clauses import Line
from contracts.envelope import payment_id
from contracts.events import ReconciliationRequested
from contracts.meos_lines import OWED
from contracts.outcome import LedgerLine, Payment
from contracts.parts import Ref, read_ref
from contracts.reference_values import Reference
from contracts.settlement import Group, Practice, Settlement
from contracts.terms import DatedValue, TermSheet
from contracts.units import ZERO, money

PBP, PBR, RECOUPMENT = "PBP", "PBR", "MEOS_RECOUPMENT"
FACTS_NAMED = 200
"""A payment names no more facts than this; its contest pack has them all."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A payment of an earlier run that is in force."""

    payment_id: str
    kind: str
    amount_cents: int
    components: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """The request that is answered, and what its answer names as its ground."""

    payer: str
    contract: str
    contract_digest: str
    event_id: str
    topic: str
    offset: int
    log_topic: str
    log_partition: int
    sheet_ref: Ref


def moved(
    asked: Asked,
    sheet: TermSheet,
    settlement: Settlement,
    practice: Practice,
    group: Group | None,
    standing: Sequence[Standing],
    pack_digest: str,
) -> list[Payment]:
    """What a run moves for one practice, each reversal before what takes its place.

    While a group is pending its earlier result stands; a practice that does not take part has none.
    """
    maker = _Maker(asked, sheet, settlement, practice, pack_digest)
    held = {one.kind: one for one in standing}
    wanted: dict[str, tuple[int, list[Line], list[tuple[Ref, str]]]] = {}
    if group is not None and not group.pending and practice.share_cents:
        kind = PBP if practice.share_cents > 0 else PBR
        wanted[kind] = (practice.share_cents, *maker.result(group))
    if practice.recouped:
        wanted[RECOUPMENT] = (-practice.recouped_cents, *maker.recoupment())
    kinds = [RECOUPMENT] if group is not None and group.pending else [PBP, PBR, RECOUPMENT]
    for kind in kinds:
        want, stands = wanted.get(kind), held.get(kind)
        if stands is not None and (want is None or want[0] != stands.amount_cents):
            maker.reverse(stands)
        if want is not None and (stands is None or want[0] != stands.amount_cents):
            maker.determine(kind, *want, supersedes=stands.payment_id if stands else "")
    return maker.made


def ledger(payment: Payment, payer: str) -> tuple[LedgerLine, LedgerLine]:
    """Both sides: the payer's payable, the practice's receivable; they sum to nought."""
    return (
        LedgerLine(payment.payment_id, 1, "payer_payable", payer, -payment.amount_cents),
        LedgerLine(payment.payment_id, 2, "practice_receivable", payment.practice, payment.amount_cents),
    )


class _Maker:
    """Makes one practice's payments of one run."""

    def __init__(
        self, asked: Asked, sheet: TermSheet, settlement: Settlement, practice: Practice, pack_digest: str
    ) -> None:
        self.asked, self.sheet, self.settlement, self.practice = asked, sheet, settlement, practice
        self.pack = f"contest pack sha256:{pack_digest}"
        self.made: list[Payment] = []

    @property
    def subject(self) -> str:
        """Whose payments they are: a practice's period."""
        return f"{self.asked.payer}|{self.practice.name}"

    def result(self, group: Group) -> tuple[list[Line], list[tuple[Ref, str]]]:
        """The lines and facts of a performance payment or recoupment."""
        assert group.result is not None and group.quality is not None and group.quality.score is not None
        benchmark = sum(practice.benchmark_cents for practice in group.practices)
        actual = sum(practice.actual_cents for practice in group.practices)
        episodes = len(group.priced)
        limits = _once(value for one in group.priced for value in one.limits)
        lines = [
            _told("BENCHMARK", "Benchmark", f"{episodes} episodes in the {self.pack} = {money(benchmark)}"),
            _told("ACTUAL", "Expenditure that counts", f"the same episodes = {money(actual)}", limits),
            _told("QUALITY", "Aggregate quality score", f"{group.quality.score:f} per cent", group.quality.values),
        ]
        (line,) = group.result.lines
        geography = _once(p.gaf.value for p in group.practices if p.gaf is not None)
        if not group.pool:
            lines.append(Line(line.clause, line.label, line.arithmetic, line.amount_cents, (*line.terms, *geography)))
        else:
            rule = self.sheet.on("pool_share", self.settlement.period.first_on)
            lines.append(_told(line.clause, f"{line.label} of pool {group.pool}", line.arithmetic, line.terms))
            words = (
                f"{money(line.amount_cents)} x {money(self.practice.benchmark_cents)} / {money(benchmark)}"
                f" = {money(self.practice.share_cents)}, to whole cents"
            )
            label = f"Part of pool {group.pool}'s result"
            lines.append(Line("POOL_SHARE", label, words, self.practice.share_cents, (rule, *geography)))
        facts = [(ref, "takes part, and under which arrangement") for p in group.practices for ref in p.refs]
        facts += _reference_facts(p.gaf for p in group.practices)
        facts += [(ref, "quality, as the payer says") for ref in group.quality.refs]
        used = {ref: "price, trend or limit of an episode" for one in group.priced for ref in one.refs}
        return lines, [*facts, *used.items()]

    def recoupment(self) -> tuple[list[Line], list[tuple[Ref, str]]]:
        """A line for each reason, and the billed lines."""
        rule = self.sheet.on("meos_recoupment", self.settlement.period.first_on)
        reasons: dict[str, list[int]] = {}
        for one in self.practice.recouped:
            assert one.disposition != OWED
            reasons.setdefault(one.disposition, []).append(one.paid_cents)
        lines = []
        for reason, paid in sorted(reasons.items()):
            label = f"Billed months that are not owed: {reason.replace('_', ' ')}"
            words = f"{len(paid)} months, as paid on their claims = {money(sum(paid))}"
            lines.append(Line(RECOUPMENT, label, words, -sum(paid), (rule,)))
        facts = [
            (one.ref, f"month {one.month} billed by practice {one.practice}: {one.disposition.replace('_', ' ')}")
            for one in self.practice.recouped
        ]
        return lines, facts

    def reverse(self, stands: Standing) -> None:
        """The exact negative of an earlier run's payment."""
        lines = [
            {
                "clause": clause,
                "label": f"Reversal: {label}",
                "arithmetic": f"-({money(amount)}) of payment {stands.payment_id}",
                "amount_cents": -amount,
                "terms": [],
            }
            for clause, label, amount in stands.components
        ]
        self._emit(stands.kind, -stands.amount_cents, lines, [], reverses=stands.payment_id, supersedes="")

    def determine(
        self, kind: str, amount: int, lines: Sequence[Line], facts: Sequence[tuple[Ref, str]], supersedes: str
    ) -> None:
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
        facts: Sequence[tuple[Ref, str]],
        reverses: str,
        supersedes: str,
    ) -> None:
        asked, period = self.asked, f"PP{self.settlement.period.number}"
        name = payment_id(asked.contract, self.subject, kind, period, asked.event_id, reverses, 0)
        event = {
            "payment_id": name,
            "payer": asked.payer,
            "plan": "",
            "contract": asked.contract,
            "contract_version": self.sheet.version,
            "contract_digest": asked.contract_digest,
            "kind": kind,
            "amount_cents": amount,
            "currency": "USD",
            "member": None,
            "episode_id": None,
            "practice": self.practice.name or None,
            "period": period,
            "effective_on": self.settlement.period.due_on,
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
                name, "", "", asked.contract, kind, amount, "", self.practice.name, period,
                self.settlement.period.due_on, reverses, supersedes, asked.event_id, len(self.made) + 1, asked.offset,
                event,
            )
        )  # fmt: skip

    def _facts(self, facts: Sequence[tuple[Ref, str]]) -> list[dict[str, Any]]:
        asked = self.asked
        request = {
            "event_id": asked.event_id,
            "type": ReconciliationRequested.type_name(),
            "position": {"topic": asked.topic, "partition": 0, "offset": asked.offset},
            "says": f"{self.settlement.run} run of period {self.settlement.period.number} asked for, at its cut",
        }
        found = [request]
        once = dict.fromkeys([*facts, (asked.sheet_ref, f"terms {self.sheet.version} of {asked.contract} adopted")])
        for ref, says in list(once)[-FACTS_NAMED:]:
            event_id, kind, offset = read_ref(ref)
            place = {"topic": asked.log_topic, "partition": asked.log_partition, "offset": offset}
            found.append({"event_id": event_id, "type": kind, "position": place, "says": says})
        return found


def _told(clause: str, label: str, arithmetic: str, values: Iterable[DatedValue] = ()) -> Line:
    """A line that says something and moves nothing."""
    return Line(clause, label, arithmetic, 0, tuple(values))


def _once(values: Iterable[DatedValue]) -> list[DatedValue]:
    return list(dict.fromkeys(values))


def _reference_facts(references: Iterable[Reference | None]) -> list[tuple[Ref, str]]:
    return [(one.ref, f"{one.value.label} {one.value.value}") for one in references if one is not None]


def operands(settlement: Settlement, group: Group) -> Mapping[str, str] | None:
    """What `contract try medicare-eom reconciliation` takes to give the group's result again; None while pending."""
    if group.result is None or group.quality is None or group.quality.score is None:
        return None
    cents = [sum(getattr(p, name) for p in group.practices) for name in ("benchmark_cents", "actual_cents")]
    benchmark, actual = (f"{cent // 100}.{cent % 100:02d}" for cent in cents)
    return {
        "initiated_on": settlement.period.first_on,
        "risk_arrangement": group.arrangement,
        "benchmark": benchmark,
        "actual": actual,
        "aqs": f"{group.quality.score + ZERO:f}",
        "gaf": f"{group.gaf:f}",
    }
