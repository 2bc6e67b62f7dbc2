"""From facts to rows: the engine that live agents and replays share.

Facts go in by (partition, offset); parts are loaded once for all of them, members are worked on in memory, and what
changed goes out as rows. Nothing here knows Kafka, SQL, a clock or how large the batches are: the same log makes the
same rows, whatever the batches.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any

from contracts.envelope import Fact
from contracts.errors import ContractError
from contracts.fold import Fold, Needs, NeedsEarlier, NotAdopted, OtherBuild, Sweep
from contracts.outcome import Outcome, ReturnToWork, SpendChange, ledger_lines
from contracts.parts import EMPLOYMENT, HEAD, PART_TYPES, WHOLE, Adoption, Member, Month
from contracts.payment_life import MOVES, moves
from projections.episode_events import of_version
from projections.packing import pack, unpack
from projections.rows import EPISODE_TO_OFFSET, PartStore, Rows, Want
from projections.store import instant
from streams.codec import Emitter
from streams.member_cache import NONE, Budget, Cached
from streams.topics import episodes_topic

NO_PART_AFTER = "~"
"""Sorts behind every key of a part."""

SWEEP_MEMBERS = 500
MONTHS_KEPT = 24
MONTHS_OPEN = 2
"""So many of a member's latest months are kept ready to be changed, the others as they are stored."""

MakeFold = Callable[[Adoption], Fold]


class Poisoned(Exception):
    """The fold raised for one member at one fact. `reason` names the error and its place, and no content."""

    def __init__(self, fact: Fact, member: str, reason: str) -> None:
        super().__init__(reason)
        self.partition, self.offset, self.event_id = fact.partition, fact.offset, fact.event_id
        self.member, self.reason = member, reason


class Stopped(Exception):
    """A partition cannot go on beyond an offset: no terms adopted, another build, a type this build does not know."""

    def __init__(self, partition: int, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.partition, self.offset, self.reason = partition, offset, reason


class Folder:
    """Folds one payer's facts. After an exception call `rollback`; after the rows are safe call `commit`."""

    def __init__(
        self, payer: str, contract: str, payments_topic: str, make_fold: MakeFold, budget: Budget | None = None
    ) -> None:
        self.payer = payer
        self.payments_topic, self.episodes_topic = payments_topic, episodes_topic(payer)
        self.sweep_members = SWEEP_MEMBERS
        self._make_fold = make_fold
        self._budget = budget or Budget()
        self._budget.folders += 1
        self._emitter = Emitter(payer, contract)
        self._folds: dict[int, Fold] = {}
        self._adopted: dict[int, bytes] = {}
        self._adopting: dict[int, tuple[bytes, int]] = {}
        self._members: OrderedDict[str, Cached] = OrderedDict()
        self._bytes = 0
        self._touched: dict[str, Cached] = {}
        self._versions: dict[str, list[Any]] = {}
        self._return_versions: dict[str, list[Any]] = {}
        self._rows = Rows()

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions that are open."""
        return frozenset(self._folds)

    def open(self, partition: int, adopted: bytes | None) -> None:
        """Begin with a partition as its stored adoption stands (None: nothing is adopted yet)."""
        self._adopted[partition] = adopted if adopted is not None else pack(Adoption())
        self._folds[partition] = self._make_fold(unpack(Adoption, self._adopted[partition]))

    def close(self, partitions: Iterable[int]) -> None:
        """Forget partitions and their members."""
        gone = set(partitions)
        for partition in gone:
            self._folds.pop(partition, None)
            self._adopted.pop(partition, None)
        for token in [token for token, one in self._members.items() if one.member.partition in gone]:
            self._forget(token)

    def adoption(self, partition: int) -> Adoption:
        """What a partition has adopted, as folded so far."""
        return self._folds[partition].adoption

    def rollback(self, partitions: Iterable[int] | None = None) -> None:
        """Forget the members of the partitions worked on (all, if not said), and what was adopted since the commit."""
        gone = self.partitions if partitions is None else set(partitions)
        for token in [token for token, one in self._members.items() if one.member.partition in gone]:
            self._forget(token)
        self._touched.clear()
        self._versions.clear()
        self._return_versions.clear()
        self._rows = Rows()
        self._adopting.clear()
        for partition in gone & self._adopted.keys():
            self._folds[partition] = self._make_fold(unpack(Adoption, self._adopted[partition]))

    def commit(self) -> None:
        """The rows written are safe: keep what was adopted, and drop members beyond the cache's size."""
        for partition, (adopted, _) in self._adopting.items():
            self._adopted[partition] = adopted
        self._adopting.clear()
        budget = self._budget
        while budget.used > budget.limit and self._bytes > budget.share and self._members:
            self._forget(next(iter(self._members)))

    async def fold(self, facts: Sequence[Fact], store: PartStore, parked: Mapping[str, int]) -> None:
        """Fold facts in their order and write all they make. Facts of parked members from their offset on are left."""
        todo = [f for f in facts if not f.member or f.offset < parked.get(f.member, f.offset + 1)] if parked else facts
        await self._load_for(todo, store)
        for fact in todo:
            if fact.type in MOVES:
                self._moved(fact)
            if fact.member:
                outcome = self._apply(fact)
                if outcome is None:
                    outcome = await self._load_and_apply(fact, store)
                if outcome.episodes or outcome.spends or outcome.returns or outcome.payments:
                    self._record(fact, outcome)
            else:
                await self._broadcast(fact, store, parked)
        await self._flush(store)
        for token in parked:
            self._forget(token)  # a release folds it elsewhere
        self._trim({fact.member for fact in todo})

    def adopt(self, broadcasts: Iterable[Fact]) -> None:
        """Record broadcasts for `refold`, without their sweeps: what they decided is decided."""
        for fact in broadcasts:
            self._adopt(fact)

    async def refold(self, token: str, facts: Sequence[Fact], store: PartStore) -> None:
        """Fold a released member's waiting facts among the broadcasts of its partition; no other member is touched.

        The partition was opened as its adoption stood before the first of them.
        """
        for fact in facts:
            if fact.member:
                if fact.type in MOVES:
                    self._moved(fact)
                await self._load_for([fact], store)
                outcome = self._apply(fact) or await self._load_and_apply(fact, store)
                self._record(fact, outcome)
            elif (sweep := self._adopt(fact)) is not None:
                await self._load([(token, fact.partition, Needs())], store)
                cached = self._members[token]
                if HEAD in cached.stored or cached.changed:
                    due = self._folds[fact.partition].due_on(cached.member)
                    if sweep.everyone or ("" < due <= sweep.due_through):
                        await self._revisit(fact, [token], store)
        self._adopting.clear()
        await self._flush(store)

    # -- one fact ---------------------------------------------------------------------------------------------------

    def _apply(self, fact: Fact) -> Outcome | None:
        """What the fact decides; None when the member is not loaded far enough back."""
        cached = self._members.get(fact.member)
        if cached is None:
            return None
        try:
            outcome = self._folds[fact.partition].apply(cached.member, fact)
        except NeedsEarlier:
            return None
        except (NotAdopted, OtherBuild) as stop:
            raise Stopped(fact.partition, fact.offset, str(stop)) from stop
        except Exception as error:
            raise Poisoned(fact, fact.member, reason_of(error)) from error
        self._mark(fact, cached)
        return outcome

    async def _load_and_apply(self, fact: Fact, store: PartStore) -> Outcome:
        """Load again what the fact says it needs, until it is content."""
        cached = self._members.get(fact.member)
        needs = self._needs(fact)
        for _ in range(3):
            await self._load([(fact.member, fact.partition, needs)], store)
            cached = self._members[fact.member]
            try:
                outcome = self._folds[fact.partition].apply(cached.member, fact)
            except NeedsEarlier as earlier:
                needs = Needs(needs.families, min(needs.since, earlier.since))
                continue
            except (NotAdopted, OtherBuild) as stop:
                raise Stopped(fact.partition, fact.offset, str(stop)) from stop
            except Exception as error:
                raise Poisoned(fact, fact.member, reason_of(error)) from error
            self._mark(fact, cached)
            return outcome
        raise Poisoned(fact, fact.member, "the fold asks for earlier months without end")

    def _mark(self, fact: Fact, cached: Cached) -> None:
        """Note which parts the fact changed. A member's first fact always makes its head."""
        member, changed, offset = cached.member, cached.changed, fact.offset
        if HEAD not in cached.stored:
            changed.setdefault(HEAD, offset)
        elif not member.dirty:
            return
        for part in member.dirty:
            changed[part] = offset
        member.dirty.clear()
        self._touched[member.token] = cached

    def _needs(self, fact: Fact) -> Needs:
        try:
            return self._folds[fact.partition].needs(fact)
        except (NotAdopted, OtherBuild) as stop:
            raise Stopped(fact.partition, fact.offset, str(stop)) from stop
        except Exception as error:
            raise Poisoned(fact, fact.member, reason_of(error)) from error

    # -- broadcasts -------------------------------------------------------------------------------------------------

    def _adopt(self, fact: Fact) -> Sweep | None:
        fold = self._folds[fact.partition]
        try:
            sweep = fold.adopt(fact)
        except Exception as error:
            raise Stopped(fact.partition, fact.offset, reason_of(error)) from error
        self._adopting[fact.partition] = (b"", fact.offset)
        return sweep

    async def _broadcast(self, fact: Fact, store: PartStore, parked: Mapping[str, int]) -> None:
        sweep = self._adopt(fact)
        if sweep is None:
            return
        await self._flush(store)
        after = ""
        while True:
            if sweep.everyone:
                tokens = await store.heads(fact.partition, after, self.sweep_members)
            else:
                through = date.fromisoformat(sweep.due_through)
                tokens = await store.due(fact.partition, through, after, self.sweep_members)
            if not tokens:
                return
            after = tokens[-1]
            awake = [token for token in tokens if fact.offset < parked.get(token, fact.offset + 1)]
            if awake:
                await self._sweep(fact, awake, store)

    async def _sweep(self, fact: Fact, tokens: Sequence[str], store: PartStore) -> None:
        """Revisit some members and write what it made; those that were not in memory leave it again."""
        guests = [token for token in tokens if token not in self._members]
        await self._load([(token, fact.partition, Needs()) for token in tokens], store)
        await self._revisit(fact, tokens, store)
        try:
            await self._flush(store)
        except Exception as error:
            if self.sweep_members == 1 and is_data_error(error):
                raise Poisoned(fact, tokens[0], f"SQLSTATE {getattr(error, 'sqlstate', '')}") from error
            raise
        for token in guests:
            self._forget(token)

    async def _revisit(self, fact: Fact, tokens: Sequence[str], store: PartStore) -> None:
        fold = self._folds[fact.partition]
        since = []
        for token in tokens:
            try:
                since.append(fold.sweep_since(self._members[token].member))
            except Exception as error:
                raise Poisoned(fact, token, reason_of(error)) from error
        needs = [(token, fact.partition, Needs(since=month)) for token, month in zip(tokens, since, strict=True)]
        await self._load(needs, store)
        for token in tokens:
            cached = self._members[token]
            try:
                outcome = fold.revisit(cached.member, fact)
            except (NotAdopted, OtherBuild) as stop:
                raise Stopped(fact.partition, fact.offset, str(stop)) from stop
            except Exception as error:
                raise Poisoned(fact, token, reason_of(error)) from error
            self._mark(fact, cached)
            self._record(fact, outcome)

    # -- loading ----------------------------------------------------------------------------------------------------

    async def _load_for(self, facts: Sequence[Fact], store: PartStore) -> None:
        """Load for all facts by one query. A fact whose needs cannot be told yet is loaded at its turn."""
        asked = []
        folds, members = self._folds, self._members
        for fact in facts:
            if fact.member:
                try:
                    needs = folds[fact.partition].needs(fact)
                except Exception:  # noqa: S112 - asked again at the fact's turn, where it is said
                    continue
                cached = members.get(fact.member)
                if cached is None or not cached.has(needs):
                    asked.append((fact.member, fact.partition, needs))
                else:
                    members.move_to_end(fact.member)
        if asked:
            await self._load(asked, store)

    async def _load(self, asked: Sequence[tuple[str, int, Needs]], store: PartStore) -> None:
        wants: list[Want] = []
        come: list[Cached] = []
        members = self._members
        for token, partition, needs in asked:
            cached = members.get(token)
            if cached is None:
                cached = members[token] = Cached(Member(self.payer, partition, token, _thaw))
                come.append(cached)
                wants.append((token, *HEAD, NO_PART_AFTER))
                if self._folds[partition].follows_work:
                    wants.append((token, *EMPLOYMENT, NO_PART_AFTER))
            else:
                members.move_to_end(token)
            member, since = cached.member, needs.since
            cached.wanted = min(cached.wanted, since)
            if since < member.since:
                until = NO_PART_AFTER if member.since == NONE else member.since
                wants.append((token, "month", since, until))
                wants.append((token, "episode", since, until))
                if self._folds[partition].follows_work:
                    wants.append((token, "work", since, until))
                member.since = since
            for family in needs.families:
                if family not in member.loaded_families:
                    if cached.claims is None or hash(family) in cached.claims:
                        wants.append((token, "claim", family, f"{family} "))
                    member.loaded_families.add(family)
        if not wants:
            return
        for token, kind, key, data in await store.load(wants):
            cached = members[token]
            if kind == "month":
                cached.member.frozen[key] = data
            else:
                cached.member.place(kind, key, unpack(PART_TYPES[kind], data))
            if kind == "claim":
                cached.families.add(key)
            else:
                cached.stored[kind, key] = len(data)
                self._grow(cached, len(data))
        for cached in come:
            member = cached.member
            if HEAD in cached.stored:
                cached.due_on = self._folds[member.partition].due_on(member)
            else:  # its first fact: nothing is stored, so all of it is in memory
                cached.due_on, cached.claims, member.since = "", set(), ""

    def _grow(self, cached: Cached, size: int) -> None:
        cached.size += size
        self._bytes += size
        self._budget.used += size

    def _forget(self, token: str) -> None:
        cached = self._members.pop(token, None)
        if cached is not None:
            self._grow(cached, -cached.size)

    def _trim(self, tokens: Iterable[str]) -> None:
        """Keep of the members worked on what the next facts are likely to need: no claims, and the latest months."""
        for token in tokens:
            cached = self._members.get(token)
            if cached is None:
                continue
            member = cached.member
            if member.loaded_families:
                cached.families.clear()
                member.families.clear()
                member.loaded_families.clear()
            wanted, cached.wanted = cached.wanted, NONE
            if member.since < wanted and len(member.months) + len(member.frozen) > MONTHS_KEPT and wanted != NONE:
                member.since = wanted
                for parts in (member.months, member.frozen, member.episodes, member.work):
                    for key in [key for key in parts if key < wanted]:
                        del parts[key]
                cached.stored = {part: n for part, n in cached.stored.items() if part in WHOLE or part[1] >= wanted}
                self._grow(cached, sum(cached.stored.values()) - cached.size)

    # -- rows -------------------------------------------------------------------------------------------------------

    def _record(self, fact: Fact, outcome: Outcome) -> None:
        """The decided rows of one fact. An episode's version closes the one before it."""
        rows, payer, partition, offset = self._rows, self.payer, fact.partition, fact.offset
        for e in outcome.episodes:
            before = self._versions.get(e.episode_id)
            if before is not None:
                before[EPISODE_TO_OFFSET] = offset
            elif e.version > 1:
                rows.closes.append((e.episode_id, e.version - 1, offset))
            row = [
                payer,
                e.plan,
                e.contract,
                e.episode_id,
                e.version,
                e.member,
                partition,
                offset,
                None,
                e.cause,
                date.fromisoformat(e.started_on),
                date.fromisoformat(e.ends_on),
                e.period,
                e.cancer_type,
                e.status,
                e.void_reason,
                e.included,
                e.exclusion,
                e.practice,
                e.opened_by,
                e.closed,
                instant(fact.known_at),
            ]
            self._versions[e.episode_id] = row
            rows.episodes.append(row)
            name, event = of_version(e, payer, partition, offset, fact.known_at)
            rows.outbox.append((payer, self.episodes_topic, e.member.encode(), event, name, partition, offset))
        for change in outcome.spends if len(outcome.spends) < 2 else _summed(outcome.spends):
            rows.spends.append((payer, partition, change.episode_id, offset, change.delta_cents, change.total_cents))
        for one in outcome.returns:
            self._record_return(one, partition, offset)
        for p in outcome.payments:
            event = self._emitter.encode(p, fact.known_at)
            rows.payments.append(
                (
                    payer,
                    p.plan,
                    p.contract,
                    p.payment_id,
                    p.kind,
                    p.amount_cents,
                    p.member,
                    p.episode_id or None,
                    p.practice,
                    p.period,
                    date.fromisoformat(p.effective_on),
                    p.reverses or None,
                    p.supersedes or None,
                    p.cause,
                    p.sequence,
                    partition,
                    offset,
                    event,
                )
            )
            for line in ledger_lines(payer, p):
                rows.ledger.append(
                    (payer, line.payment_id, line.line, line.account, line.party, line.amount_cents, partition, offset)
                )
            key = p.member.encode()
            rows.outbox.append((payer, self.payments_topic, key, None, p.payment_id, partition, offset))

    def _moved(self, fact: Fact) -> None:
        """Money that a fact says moved for payments of ours."""
        for one in moves(fact):
            self._rows.moves.append(
                (
                    self.payer, fact.plan, fact.partition, fact.offset, one.ordinal, fact.fact_id, fact.member,
                    one.payment_id, one.kind, one.amount_cents, one.moved_on, one.source, one.trace, one.reason,
                    instant(fact.known_at),
                )
            )  # fmt: skip

    def _record_return(self, r: ReturnToWork, partition: int, offset: int) -> None:
        """A version of a return to work closes the one before it. Nothing of it is sent to anyone."""
        before = self._return_versions.get(r.episode_id)
        if before is not None:
            before[EPISODE_TO_OFFSET] = offset
        elif r.version > 1:
            self._rows.return_closes.append((r.episode_id, r.version - 1, offset))
        row = [
            self.payer, r.plan, r.contract, r.episode_id, r.version, r.member, partition, offset, None, r.cause_event,
            r.eligible, r.status, r.cause, *map(_day, (r.absence_on, r.partial_on, r.returned_on, r.confirmed_on)),
            r.held_days, _day(r.lapsed_on), _day(r.ended_on), r.duty, r.conflict,
        ]  # fmt: skip
        self._return_versions[r.episode_id] = row
        self._rows.returns.append(row)

    async def _flush(self, store: PartStore) -> None:
        """Write what was made since the last flush."""
        rows = self._rows
        new, changed, due = rows.new_parts, rows.changed_parts, rows.due
        payer = self.payer
        for token, cached in self._touched.items():
            member, stored, families = cached.member, cached.stored, cached.families
            partition, months, grown = member.partition, {}, 0
            for part, offset in cached.changed.items():
                kind, key = part
                data = pack(member.part(kind, key))
                row = (payer, partition, token, kind, key, data, offset)
                if kind == "claim":
                    if key in families:
                        changed.append(row)
                        continue
                    new.append(row)
                    families.add(key)
                    if cached.claims is not None:
                        cached.claims.add(hash(key))
                    continue
                if kind == "month":
                    months[key] = data
                held = stored.get(part)
                if held is None:
                    new.append(row)
                    grown += len(data)
                else:
                    changed.append(row)
                    grown += len(data) - held
                stored[part] = len(data)
            cached.changed.clear()
            self._grow(cached, grown)
            if len(member.months) > MONTHS_OPEN:
                for key in sorted(member.months)[:-MONTHS_OPEN]:
                    member.frozen[key] = months.get(key) or pack(member.months[key])
                    del member.months[key]
            due_on = self._folds[partition].due_on(member)
            if due_on != cached.due_on:
                due.append((partition, token, date.fromisoformat(due_on) if due_on else None))
                cached.due_on = due_on
        for partition, (_, offset) in self._adopting.items():
            adopted = pack(self._folds[partition].adoption)
            self._adopting[partition] = (adopted, offset)
            rows.adoptions.append((partition, adopted, offset))
        self._touched.clear()
        self._versions.clear()
        self._return_versions.clear()
        self._rows = Rows()
        await store.write(rows)


_thaw = partial(unpack, Month)


def _day(day: str) -> date | None:
    return date.fromisoformat(day) if day else None


def _summed(spends: Sequence[SpendChange]) -> list[SpendChange]:
    """One change for each episode that a fact moved, none where it moved back."""
    totals: dict[str, SpendChange] = {}
    for one in spends:
        held = totals.get(one.episode_id)
        if held is None:
            totals[one.episode_id] = SpendChange(one.episode_id, one.offset, one.delta_cents, one.total_cents)
        else:
            held.delta_cents += one.delta_cents
            held.total_cents = one.total_cents
    return [one for one in totals.values() if one.delta_cents]


def reason_of(error: BaseException) -> str:
    """The error's class and where in our code it was raised. Only a contract's own refusals are quoted."""
    if isinstance(error, ContractError):
        return f"{type(error).__name__}: {error}"
    place, trace = "", error.__traceback__
    while trace is not None:
        code, module = trace.tb_frame.f_code, trace.tb_frame.f_globals.get("__name__", "")
        if module != __name__:
            place = f" in {module}.{code.co_qualname}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}{place}"


def is_data_error(error: BaseException) -> bool:
    """Whether a value or a constraint was refused (SQLSTATE classes 22 and 23, or already when it was sent)."""
    state = str(getattr(error, "sqlstate", None) or "")
    return state[:2] in {"22", "23"} or isinstance(error, (OverflowError, ValueError))
