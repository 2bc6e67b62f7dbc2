"""Opens a window of an employer's feed: what was released before is read, figures are gated, and the release is stated.

A release is an event in the operations topic first (seam 18); its tables and the employer's own topic follow from that
event alone. Every earlier release is read from the topic itself, so that no database that is behind lets a figure out
that the gate would have held against an earlier one. One release of a plan at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

import orjson
from aiokafka import TopicPartition

from contracts.disclosure_figures import Outcome
from contracts.disclosure_gate import gate
from contracts.disclosure_money import Call, PeriodSettled, funding_call, settlement_call
from contracts.employer_disclosure import figures
from contracts.employer_evidence import PlanEvidence
from contracts.employer_report import report
from contracts.employer_settlement import REFUND, settle
from contracts.events import OperatorAct, OutcomesReleased
from contracts.events.releases import ReleasedPeriod
from contracts.releases import Window, benchmarks, guarantee, outcome, released, window
from contracts.terms import TermSheet
from projections import funding
from projections.positions import applied
from streams.connections import Connections
from streams.employer_answers import gather_plans
from streams.log_writer import LogWriter
from streams.operations import state
from streams.output import groupless
from streams.reconciling import log_ends
from streams.replay import log_records
from streams.roster import Payer, Roster
from streams.topics import operations_topic

Act = TypeVar("Act", bound=OperatorAct)


class CannotRelease(Exception):
    """Why a window stays shut."""


class NotYet(Exception):
    """What must come first: time to pass, the projection to catch up, another release to end."""


@dataclass(frozen=True)
class Desk:
    """What a release needs: ways to both stores, the payer and its plan, the payer's content key, and who acts."""

    connections: Connections
    database: Any
    writer: LogWriter
    roster: Roster
    payer: Payer
    plan: str
    key: bytes
    by: str


async def release(desk: Desk, from_on: str) -> tuple[OutcomesReleased, bool]:
    """The release of the window whose period begins on a day, and whether it was made now. A window opens once."""
    async with alone(desk):
        before = await releases(desk.connections, desk.roster, desk.plan)
        for earlier in before:
            if earlier.periods[-1].from_on.isoformat() == from_on:
                return earlier, False
        if before and before[-1].periods[-1].from_on.isoformat() > from_on:
            raise CannotRelease(f"a later window of {desk.plan} is open already; windows open in their order")
        ends = await log_ends(desk.connections, desk.payer.name)
        cut = {int(part): offset for part, offset in ends.items()}
        gathered = await gather_plans(desk.connections, desk.payer.name, cut, _nothing)
        plan = next((one for one in gathered.plans if one.plan == desk.plan), None)
        if plan is None:
            raise CannotRelease(f"the log of {desk.payer.name} has no member of {desk.plan}")
        opened = _open(plan, from_on)
        periods = list(_periods(desk, plan, before, opened, cut))
        call = await _call(desk, before, cut)
        settlement, through = await _settlement(desk, before, plan)
        act = OutcomesReleased(
            payer=desk.payer.name,
            plan=desk.plan,
            by=desk.by,
            contract=desk.payer.contract,
            ordinal=len(before) + 1,
            window_on=date.fromisoformat(opened.opens_on),
            periods=tuple(periods),
            call_cents=call.amount_cents,
            call_rule=call.rule,
            call_cut={str(part): offset for part, offset in sorted(cut.items())},
            settled_cents=settlement.amount_cents,
            settled_rule=settlement.rule,
            settled_through=through,
        )
        await state(desk.writer, desk.roster, act)
        return act, True


async def releases(connections: Connections, roster: Roster, plan: str) -> list[OutcomesReleased]:
    """Every release of a plan there ever was, from the operations topic."""
    return await acts(connections, roster, plan, OutcomesReleased)


async def acts(connections: Connections, roster: Roster, plan: str, kind: type[Act]) -> list[Act]:
    """Every act of a kind for a plan, in order, from the operations topic."""
    topic = operations_topic(roster.space)
    part = TopicPartition(topic, 0)
    async with groupless(connections) as consumer:
        end = (await consumer.end_offsets([part]))[part]
    found: list[Act] = []
    wanted = kind.type_name()
    async for records in log_records(connections, topic, 0, end):
        for record in records:
            if wanted.encode() not in (record.value or b""):
                continue
            envelope = orjson.loads(record.value)
            if envelope.get("type") == wanted and envelope.get("plan") == plan:
                found.append(kind.model_validate_json(orjson.dumps(envelope["data"])))
    return found


def _open(plan: PlanEvidence, from_on: str) -> Window:
    found = window(TermSheet(plan.sheet.content), from_on)
    closed = plan.evidence.closed_through
    if closed < found.opens_on:
        raise NotYet(f"the window opens when {found.opens_on} has closed; the log has closed {closed or 'no day'}")
    return found


def _periods(
    desk: Desk, plan: PlanEvidence, before: Sequence[OutcomesReleased], opened: Window, cut: Mapping[int, int]
) -> list[ReleasedPeriod]:
    """Every period released before, again, and the new one; each against all that ever left."""
    told: list[Outcome] = []
    versions: dict[tuple[date, date], list[ReleasedPeriod]] = {}
    for earlier in before:
        for one in earlier.periods:
            told.append(outcome(one))
            versions.setdefault((one.from_on, one.through_on), []).append(one)
    made = []
    for first, last in [*versions, (opened.period.first_on, opened.period.last_on)]:
        raw = report(plan, desk.payer.name, (first.isoformat(), last.isoformat()), cut, desk.key)
        gated = gate(figures(raw), told)
        sheet = TermSheet(plan.sheet.content)
        fresh = ReleasedPeriod(
            from_on=first,
            through_on=last,
            run_id=raw.run_id,
            inputs_digest=raw.inputs_digest,
            terms_version=raw.contract_version,
            figures=(),
            guarantee=guarantee(sheet, first.isoformat()),
            benchmarks=benchmarks(sheet, first.isoformat()),
        )
        made.append(released(gated, versions.get((first, last), ()), fresh))
        told.append(gated.outcome)
    return made


async def _call(desk: Desk, before: Sequence[OutcomesReleased], cut: Mapping[int, int]) -> Call:
    """The funding call of the window, pooled with all that was pending."""
    reached = await applied(desk.database, desk.payer.name)
    if any(reached.get((desk.payer.name, part), 0) < offset for part, offset in cut.items()):
        raise NotYet("the tables are behind the log; `carepact wait` returns when they are not")
    moved = next((one for one in reversed(before) if one.call_cents is not None), None)
    since = {int(part): offset for part, offset in moved.call_cut.items()} if moved else {}
    priced, behind = await funding.owed(desk.database, desk.payer.name, desk.plan, since, cut)
    return funding_call(priced, behind)


async def _settlement(desk: Desk, before: Sequence[OutcomesReleased], plan: PlanEvidence) -> tuple[Call, int]:
    """The pooled amount of what was settled by period since one last moved, and how far in the requests it counts."""
    moved = next((one for one in reversed(before) if one.settled_cents is not None), None)
    since = -1 if moved is None or moved.settled_through is None else moved.settled_through - 1
    found = await funding.settled(desk.database, desk.payer.name, desk.plan, since)
    if found is None:
        return Call(None, "a settlement is under way"), since + 1
    rows, through = found
    return settlement_call([_settled(plan, one) for one in rows]), through + 1


def _settled(plan: PlanEvidence, one: funding.MovedPeriod) -> PeriodSettled:
    """A period's amount, with what the episodes in it cost as they stand at the release."""
    episodes = [each for practice in settle(plan, one.number, one.run).practices for each in practice.episodes]
    return PeriodSettled(
        sum(one.cents.values()),
        sum(cents for kind, cents in one.cents.items() if kind != REFUND),
        one.new,
        tuple(each.expenditure_cents for each in episodes),
        tuple(each.expenditure_cents - each.target_cents for each in episodes if each.target_cents is not None),
    )


@contextlib.asynccontextmanager
async def alone(desk: Desk) -> AsyncIterator[None]:
    """One release of a plan at a time on one database; the lock ends with the session."""
    lock = f"carepact.release|{desk.plan}"
    if not await desk.database.fetchval("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", lock):
        raise NotYet(f"another release of {desk.plan} is under way")
    try:
        yield
    finally:
        await desk.database.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", lock)


async def _nothing() -> None:
    """What is awaited between batches: nobody waits for a release's reading."""
