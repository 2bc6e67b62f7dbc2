"""What would have been paid: a payer's log folded as it is and as it might have been, side by side.

Nothing is read from the live tables and nothing is written. Money is told by practice, episode and clause: the net of
determinations and reversals, in cents, so that differences add up to the difference of the sums. With a period, its
settlement is made under both as well.
"""

from __future__ import annotations

import asyncio
import gc
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec

from contracts import employer_settlement as plan_settlement
from contracts import eom, ocm
from contracts.cases import Case
from contracts.drafts import Change
from contracts.employer_evidence import EmployerGatherer
from contracts.employer_payments import pending
from contracts.employers import CONTRACT as EMPLOYERS
from contracts.envelope import Fact
from contracts.errors import ContractError
from contracts.fold import NotAdopted, OtherBuild
from contracts.gathering import Gatherer
from contracts.methods import METHODS
from contracts.parts import Adoption
from contracts.reference_values import References
from contracts.roster import contract_digest
from contracts.settlement import settle
from contracts.terms import TermSheet
from projections.rows import EPISODE, PAYMENT, Rows
from streams.beside import Processes, no_collector
from streams.connections import Connections
from streams.employer_answers import UNREADABLE, refusal
from streams.replay import SHORT_RECORDS, PartitionReplay, log_records
from streams.roster import Payer
from streams.slices import Spool, slices_of
from streams.topics import log_topic

FACTS_AT_ONCE = 10_000
NONE = Change()
EPISODE_ID, PERIOD = EPISODE.index("episode_id"), EPISODE.index("performance_period")
PRACTICE, PAID_EPISODE, EVENT = (PAYMENT.index(name) for name in ("practice", "episode_id", "event"))
OWED = tuple(PAYMENT.index(name) for name in ("plan", "member", "kind", "amount_cents"))
SETTLED = "SETTLEMENT"
RECOUPED = "MEOS_RECOUPMENT"
MODELS = frozenset({eom.CONTRACT, ocm.CONTRACT})
"""Contracts under any of which a history of one can be told: Medicare's models of the same claims."""

Where = tuple[str, str, str]
"""(practice, episode, clause); the episode is '' in a settlement."""

Sums = dict[Where, int]


class CannotFold(Exception):
    """The history cannot be folded under these terms; the message says where and why."""


@dataclass
class World:
    """One of the two histories, folded: its money, its episodes' periods, and what a settlement rests on.

    `pending` are reasons for which the settlement of a practice moves nothing yet. `owed` are, of plans, units by plan,
    member, kind and price in cents, reversals taken off. `plans`, where there are, hold what their settlement rests on.
    """

    cents: Sums = field(default_factory=partial(defaultdict, int))
    periods: dict[str, int] = field(default_factory=dict)
    pending: dict[str, list[str]] = field(default_factory=dict)
    owed: dict[tuple[str, str, str, int], int] = field(default_factory=partial(defaultdict, int))
    cases: list[Case] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    adoption: Adoption | None = None
    plans: EmployerGatherer | None = None

    def add(self, other: World) -> None:
        """Take in what other members' facts came to."""
        for where, cents in other.cents.items():
            self.cents[where] += cents
        for whose, units in other.owed.items():
            self.owed[whose] += units
        self.periods |= other.periods
        self.cases += other.cases
        self.failed += other.failed
        self.adoption = self.adoption or other.adoption


class _Event(msgspec.Struct):
    data: _Lines


class _Lines(msgspec.Struct):
    lines: list[_Line]


class _Line(msgspec.Struct):
    clause: str
    amount_cents: int


_read = msgspec.json.Decoder(_Event).decode


class Imagined(PartitionReplay):
    """One partition folded for its money alone."""

    def __init__(self, payer: Payer, partition: int, world: World, plan: str) -> None:
        super().__init__(payer, partition)
        self._world, self._plan = world, plan

    def take(self, rows: Rows) -> None:
        """Add payments by practice, episode and clause."""
        for episode in rows.episodes:
            self._world.periods[episode[EPISODE_ID]] = episode[PERIOD]
        for payment in rows.payments:
            plan, member, kind, cents = (payment[place] for place in OWED)
            if self._plan not in ("", plan):
                continue
            if plan and member and cents:
                self._world.owed[plan, member, kind, abs(cents)] += 1 if cents > 0 else -1
            for line in _read(payment[EVENT]).data.lines:
                self._world.cents[payment[PRACTICE], payment[PAID_EPISODE] or "", line.clause] += line.amount_cents


@dataclass(frozen=True, slots=True)
class Options:
    """What to ask: episodes of one period only, and its settlement; the money of one plan only."""

    period: int | None = None
    run: str = "initial"
    plan: str = ""


class Imagining:
    """A payer's history, partition by partition, as it is and under a change."""

    def __init__(self, payer: Payer, before: Change, after: Change, options: Options = Options()) -> None:
        self.payer = payer
        self._asked = payer, before, after, options
        self.before, self.after = World(), World()
        self._changes = ((self.before, *_under(payer, before)), (self.after, *_under(payer, after)))
        self._options = options
        self._settles = options.period is not None and payer.contract in METHODS
        self._settles_plans = options.period is not None and payer.contract == EMPLOYERS
        if self._settles_plans:
            self.before.plans, self.after.plans = EmployerGatherer(payer.name), EmployerGatherer(payer.name)

    async def partition(self, partition: int, records: Iterable[Sequence[Any]], slices: int = 1) -> None:
        """Fold one partition's records under both."""
        with Spool(slices) as spool:
            for some in records:
                spool.add(some)
            await self._fold(partition, spool)

    async def read(self, connections: Connections, cut: Mapping[int, int]) -> None:
        """Fold the log up to a cut, partitions beside each other where it is long and no plan is settled of it all."""
        if sum(cut.values()) < SHORT_RECORDS or self._settles_plans:
            for partition in sorted(cut):
                await self.logged(connections, partition, cut[partition])
            return
        async with Processes() as processes:
            parts = [_Part(self._asked, connections, partition, cut[partition]) for partition in sorted(cut)]
            for worlds in await asyncio.gather(*map(processes.do, parts)):
                for mine, theirs in zip((self.before, self.after), worlds, strict=True):
                    mine.add(theirs)

    async def logged(self, connections: Connections, partition: int, cut: int) -> None:
        """Fold one partition of the log up to a cut."""
        with Spool(slices_of(cut)) as spool:
            async for records in log_records(connections, log_topic(self.payer.name), partition, cut):
                spool.add(records)
            await self._fold(partition, spool)

    async def _fold(self, partition: int, spool: Spool) -> None:
        """Fold one slice of members after another, each under both."""
        for place in range(spool.slices):
            sifter, facts = PartitionReplay(self.payer, partition), list[Fact]()
            for records in spool.records(place, FACTS_AT_ONCE):
                facts += sifter.sift(records)[0]
            self._refuse(sifter)
            for world, payer, change in self._changes:
                changed = change.apply(facts)
                replay = Imagined(payer, partition, world, self._options.plan)
                for at in range(0, len(changed), FACTS_AT_ONCE):
                    await replay.fold(changed[at : at + FACTS_AT_ONCE])
                self._refuse(replay)
                if self._settles:
                    _gather(payer, partition, changed, world)
                if world.plans is not None:
                    _gather_plans(partition, changed, world.plans)
            if not gc.isenabled():
                gc.collect()

    @staticmethod
    def _refuse(replay: PartitionReplay) -> None:
        if replay.stopped is not None:
            where = f"{replay.topic}[{replay.partition}] offset {replay.stopped.offset}"
            raise CannotFold(f"{where}: {replay.stopped.reason}")

    def result(self) -> WhatIf:
        """The money under both, and what differs."""
        period = self._options.period
        if period is not None:
            for world in (self.before, self.after):
                if self._settles:
                    _settle(world, period, self._options.run)
                if world.plans is not None:
                    _settle_plans(world, world.plans, self._options)
        cents = []
        for world in (self.before, self.after):
            kept = {
                at: amount
                for at, amount in world.cents.items()
                if period is None or not at[1] or world.periods.get(at[1]) == period
            }
            cents.append(kept)
        rows = [
            Row(*where, cents[0].get(where, 0), cents[1].get(where, 0)) for where in sorted(cents[0].keys() | cents[1])
        ]
        pending = self.before.pending | self.after.pending
        return WhatIf(self.payer.name, rows, {name: reasons for name, reasons in sorted(pending.items()) if reasons})


@dataclass(frozen=True)
class _Part:
    """One partition, folded under both in a process of its own."""

    asked: tuple[Payer, Change, Change, Options]
    connections: Connections
    partition: int
    cut: int

    async def done(self) -> tuple[World, World]:
        """Both worlds as this partition makes them."""
        imagining = Imagining(*self.asked)
        with no_collector():
            await imagining.logged(self.connections, self.partition, self.cut)
        return imagining.before, imagining.after


def _under(payer: Payer, change: Change) -> tuple[Payer, Change]:
    """The payer under the contract whose terms a change names, where that is another model of the same claims."""
    contract = change.sheet["sheet"]["contract"] if change.sheet is not None else payer.contract
    if contract == payer.contract:
        return payer, change
    if not MODELS.issuperset({contract, payer.contract}):
        raise CannotFold(f"a history under {payer.contract} cannot be told under {contract}")
    return payer.model_copy(update={"contract": contract}), replace(change, clauses=contract_digest(contract))


def _gather(payer: Payer, partition: int, facts: Sequence[Fact], world: World) -> None:
    gatherer = Gatherer(payer.name, payer.contract, partition)
    try:
        for fact in facts:
            gatherer.take(fact)
        if world.adoption is None:
            world.adoption = gatherer.adoption
        world.cases += gatherer.cases(References(world.adoption.references))
        world.failed += gatherer.failed
    except (NotAdopted, OtherBuild, ContractError) as error:
        raise CannotFold(str(error)) from error


def _settle(world: World, period: int, run: str) -> None:
    """Add what the settlement of a period moves for each practice."""
    adoption = world.adoption
    if adoption is None or "" not in adoption.sheets:
        return
    sheet, references = TermSheet(adoption.sheets[""].content), References(adoption.references)
    settlement = settle(METHODS[sheet.contract], sheet, adoption, references, period, run, world.cases, world.failed)
    for practice, group in settlement.practices:
        if group is not None and group.pending:
            world.pending[practice.name] = list(group.pending)
        elif practice.share_cents:
            world.cents[practice.name, "", SETTLED] += practice.share_cents
        if practice.recouped:
            world.cents[practice.name, "", RECOUPED] -= practice.recouped_cents


def _gather_plans(partition: int, facts: Iterable[Fact], plans: EmployerGatherer) -> None:
    plans.partition(partition)
    try:
        for fact in facts:
            plans.take(fact)
        plans.close()
    except (NotAdopted, OtherBuild, ContractError) as error:
        raise CannotFold(str(error)) from error


def _settle_plans(world: World, plans: EmployerGatherer, options: Options) -> None:
    """Add what the settlement of a period moves for each practice of the plans, by clause."""
    for plan in plans.plans():
        if options.plan not in ("", plan) or options.period is None:
            continue
        try:
            settlement = plan_settlement.settle(plans.plan(plan), options.period, options.run)
        except (NotAdopted, OtherBuild, *UNREADABLE) as error:
            raise CannotFold(f"plan {plan}: {refusal(error)}") from error
        for one in settlement.practices:
            world.pending.setdefault(one.practice, []).extend(pending(one))
            for made in one.determinations:
                world.cents[one.practice, "", made.kind] += made.amount_cents


@dataclass(frozen=True, slots=True)
class Row:
    """One practice's money for one episode by one clause, under both; the episode is '' in a settlement."""

    practice: str
    episode_id: str
    clause: str
    before_cents: int
    after_cents: int

    @property
    def difference_cents(self) -> int:
        """What the change adds."""
        return self.after_cents - self.before_cents

    def as_json(self) -> dict[str, Any]:
        """With stable keys."""
        return {
            "practice": self.practice or None,
            "episode_id": self.episode_id or None,
            "clause": self.clause,
            "before_cents": self.before_cents,
            "after_cents": self.after_cents,
            "difference_cents": self.difference_cents,
        }


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The answer: all money under both, row by row; those that differ are what a reader wants."""

    payer: str
    rows: list[Row]
    pending: Mapping[str, list[str]]

    @property
    def before_cents(self) -> int:
        """All that is owed as it is."""
        return sum(row.before_cents for row in self.rows)

    @property
    def after_cents(self) -> int:
        """All that would be owed."""
        return sum(row.after_cents for row in self.rows)

    def summed(self, by: Callable[[Row], str]) -> list[dict[str, Any]]:
        """Sums by what `by` names, in its order."""
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for row in self.rows:
            held = sums[by(row)]
            held[0] += row.before_cents
            held[1] += row.after_cents
        return [
            {"name": name or None, "before_cents": a, "after_cents": b, "difference_cents": b - a}
            for name, (a, b) in sorted(sums.items())
        ]

    def as_json(self) -> dict[str, Any]:
        """With stable keys; `rows` are those that differ."""
        return {
            "payer": self.payer,
            "before_cents": self.before_cents,
            "after_cents": self.after_cents,
            "difference_cents": self.after_cents - self.before_cents,
            "practices": self.summed(lambda row: row.practice),
            "clauses": self.summed(lambda row: row.clause),
            "rows": [row.as_json() for row in self.rows if row.difference_cents],
            "settlement_pending": dict(self.pending),
        }
