"""Payments: what the evidence supports against what is in force. What falls away is reversed by its exact negative."""

from __future__ import annotations

from typing import Any

from contracts.adopting import Rules
from contracts.clauses import Due
from contracts.envelope import Fact, payment_id
from contracts.errors import NoTermInForce
from contracts.evolving import CLAIMS
from contracts.outcome import Outcome, Payment
from contracts.parts import HEAD, Episode, Member, Owed, Ref, read_ref
from contracts.reversals import reversed_lines

CAUSES = {
    "original": "claim_received",
    "replacement": "claim_replaced",
    "adjustment": "claim_adjusted",
    "void": "claim_voided",
    "carepact.EnrollmentChanged.v1": "enrollment_changed",
    "carepact.MemberDescribed.v1": "member_described",
    "carepact.MemberRetired.v1": "member_retired",
    "carepact.DayClosed.v1": "day_closed",
    "carepact.TermsAdopted.v1": "terms_adopted",
    "carepact.ContractAdopted.v1": "contract_adopted",
    "carepact.PracticeParticipationChanged.v1": "participation_changed",
    "carepact.WorkScheduleSet.v1": "schedule_set",
    "carepact.HoursWorked.v1": "hours_worked",
    "carepact.LeaveChanged.v1": "leave_changed",
    "carepact.DisabilityClaimChanged.v1": "disability_claim_changed",
    "carepact.ReturnToWorkReported.v1": "return_reported",
    "carepact.EmploymentChanged.v1": "employment_changed",
}


EXPENDITURE = "EXPENDITURE"
"""What of an episode waits, when it is its cost: beside the kinds and periods of payments."""


class Payments:
    """Determines and reverses the payments of one contract's episodes."""

    def __init__(self, payer: str, contract: str, build_digest: str) -> None:
        self.payer = payer
        self.contract = contract
        self._build = build_digest

    def settle(
        self, member: Member, fact: Fact, rules: Rules, episode: Episode, due: list[Due], outcome: Outcome
    ) -> None:
        """Reverse what is no longer supported, determine what newly is; leave alone what stands, or lacks a term."""
        wanted = {f"{d.kind}|{d.period}": d for d in due}
        reversed_by: dict[str, str] = {}
        for key, owed in list(episode.owed.items()):
            want = wanted.get(key)
            if want is not None and (want.waits or _same(owed, want)):
                del wanted[key]
                continue
            del episode.owed[key]
            self._reverse(member, fact, rules, episode, owed, outcome)
            reversed_by[key] = owed.payment_id
        waits = {key: str(want.waits) for key, want in wanted.items() if want.waits}
        for key, want in wanted.items():
            if not want.waits:
                try:
                    self._determine(member, fact, rules, episode, key, want, reversed_by.get(key, ""), outcome)
                except NoTermInForce as lacks:
                    waits[key] = str(lacks)
        if EXPENDITURE in episode.waits:
            waits[EXPENDITURE] = episode.waits[EXPENDITURE]
        if waits != episode.waits:
            episode.waits = waits
            member.dirty.add(("episode", episode.started_on))

    def _reverse(
        self, member: Member, fact: Fact, rules: Rules, episode: Episode, owed: Owed, outcome: Outcome
    ) -> None:
        name = payment_id(self.contract, episode.episode_id, owed.kind, owed.period, fact.fact_id, owed.payment_id, 0)
        lines = reversed_lines(owed.payment_id, owed.components)
        facts = [(fact.ref, CAUSES.get(_cause(fact), _cause(fact)).replace("_", " "))]
        member.dirty.add(("episode", episode.started_on))
        self.emit(
            member, fact, rules, episode, outcome, name, owed.kind, -owed.amount_cents, owed.practice, owed.period,
            owed.effective_on, owed.payment_id, "", lines, facts,
        )  # fmt: skip

    def _determine(
        self,
        member: Member,
        fact: Fact,
        rules: Rules,
        episode: Episode,
        key: str,
        due: Due,
        supersedes: str,
        outcome: Outcome,
    ) -> None:
        amount = due.amount_cents
        explained, rests_on = due.explain()
        assert sum(line.amount_cents for line in explained) == amount
        name = payment_id(self.contract, episode.episode_id, due.kind, due.period, fact.fact_id, "", 0)
        components = [[line.clause, line.label, line.amount_cents] for line in explained]
        episode.owed[key] = Owed(
            name, due.kind, due.period, amount, due.practice, due.effective_on, due.basis, components
        )
        lines = [
            {
                "clause": line.clause,
                "label": line.label,
                "arithmetic": line.arithmetic,
                "amount_cents": line.amount_cents,
                "terms": [term.as_use() for term in line.terms],
            }
            for line in explained
        ]
        facts = [*rests_on, (rules.sheet.ref, f"terms {rules.sheet.version} of {self.contract} adopted")]
        member.dirty.add(("episode", episode.started_on))
        self.emit(
            member, fact, rules, episode, outcome, name, due.kind, amount, due.practice, due.period, due.effective_on,
            "", supersedes, lines, facts,
        )  # fmt: skip

    def emit(
        self,
        member: Member,
        fact: Fact,
        rules: Rules,
        episode: Episode,
        outcome: Outcome,
        name: str,
        kind: str,
        amount: int,
        practice: str,
        period: str,
        effective_on: str,
        reverses: str,
        supersedes: str,
        lines: list[dict[str, Any]],
        facts: list[tuple[Ref, str]],
    ) -> None:
        """One event of a member, in the order of all of them."""
        head = member.head
        head.sequence += 1
        member.dirty.add(HEAD)
        event = {
            "payment_id": name,
            "payer": self.payer,
            "plan": head.plan,
            "contract": self.contract,
            "contract_version": rules.sheet.version,
            "contract_digest": self._build,
            "kind": kind,
            "amount_cents": amount,
            "currency": "USD",
            "member": member.token,
            "episode_id": episode.episode_id or None,
            "practice": practice or None,
            "period": period,
            "effective_on": effective_on,
            "reverses": reverses or None,
            "supersedes": supersedes or None,
            "cause": fact.fact_id,
            "cause_kind": CAUSES.get(_cause(fact), _cause(fact)),
            "lines": lines,
            "facts": [
                {
                    "event_id": event_id,
                    "type": kind,
                    "position": {"topic": fact.topic, "partition": fact.partition, "offset": offset},
                    "says": says,
                }
                for (event_id, kind, offset), says in ((read_ref(ref), says) for ref, says in facts)
            ],
            "position": {"topic": fact.topic, "partition": fact.partition, "offset": fact.offset},
        }
        outcome.payments.append(
            Payment(
                name, member.token, head.plan, self.contract, kind, amount, episode.episode_id, practice, period,
                effective_on, reverses, supersedes, fact.fact_id, head.sequence, fact.offset, event,
            )
        )  # fmt: skip


def _same(owed: Owed, due: Due) -> bool:
    """Whether a payment in force is what the evidence still supports: same money, and its own basis still stands."""
    return (
        owed.amount_cents == due.amount_cents
        and owed.practice == due.practice
        and (owed.basis == due.basis or owed.basis in due.alternatives)
    )


def _cause(fact: Fact) -> str:
    action: str = fact.data.action if fact.type in CLAIMS else fact.type
    return action
