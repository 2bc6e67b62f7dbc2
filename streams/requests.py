"""Reads settlement requests, waits until the log is applied up to each one's cut, and answers from what stood then.

A second consumer beside the contract agents (seam 14). A request is stored as waiting while its own offset advances.
It is refused when its cut lies past what the log held when the request was appended, by the log's own times, so that
a rebuild refuses it again. Answers read versions before the cut only, whenever they are made.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from hashlib import blake2b
from typing import Any
from uuid import uuid4, uuid5

import mode
import orjson
import structlog
from aiokafka import TopicPartition
from pydantic import ValidationError

from contracts import employers
from contracts.envelope import NAMESPACE, Envelope
from contracts.events import ReconciliationRequested
from contracts.outcome import Payment
from projections import settlements
from projections.positions import applied
from projections.settlements import Settled, settled
from projections.store import OUTBOX_CHANNEL, Advance, Fenced, advance, claim, copy_rejects, hold, instant
from streams.answers import Answers
from streams.connections import Connections
from streams.employer_answers import GatheredPlans, PlanAnswers, gather_plans
from streams.lease import TTL, Lease, LeaseLost
from streams.output import OutputChanged, groupless, partitions_of
from streams.reconciling import ANSWERS
from streams.relay import BACK_OFF_SECONDS, TRANSIENT, Connect
from streams.settling import CannotSettle, Gathered, beside, gather
from streams.topics import log_topic, requests_topic, settlements_topic

CONSUMER = "requests"
ASK_AGAIN_MS = 300

log = structlog.get_logger(__name__)

_STORE = """
    INSERT INTO request (payer, request_id, contract, period, run, cut, event_id, topic, log_offset, known_at,
                         status, reason)
    VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (payer, request_id) DO NOTHING
"""
_OUTBOX = """
    INSERT INTO outbox (payer, topic, key, value, event_id, partition, log_offset) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_TRUED_UP = """
    SELECT 1 FROM request
     WHERE payer = $1 AND contract = $2 AND period = $3 AND run = 'true-up' AND status <> 'refused'
"""


class Desk:
    """One payer's requests in one holder's hands."""

    def __init__(
        self,
        payer: str,
        contract: str,
        connections: Connections,
        connection: Any,
        consumer: Any,
        between: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`between` is awaited every second while a log is read or a period settled, to say that it goes on."""
        self.payer = payer
        self.contract = contract
        self.topic = requests_topic(payer)
        self._connections = connections
        self._connection = connection
        self._consumer = consumer
        self._between = between or _nothing
        self._gathered: tuple[dict[int, int], Gathered | GatheredPlans] | None = None
        self._logs: list[TopicPartition] = []
        self._epoch = 0
        self._next = 0

    async def open(self, owner: str) -> None:
        """Claim the position and go there."""
        log_name = log_topic(self.payer)
        parts = sorted(await partitions_of(self._consumer, log_name))
        self._logs = [TopicPartition(log_name, partition) for partition in parts]
        part = TopicPartition(self.topic, 0)
        await partitions_of(self._consumer, self.topic)
        position = (await claim(self._connection, CONSUMER, [(self.topic, 0)], owner))[self.topic, 0]
        self._epoch, self._next = position.epoch, position.next_offset
        if (end := (await self._consumer.end_offsets([part]))[part]) < self._next:
            raise OutputChanged(f"{self.topic} ends at {end}, before the noted {self._next}")
        self._consumer.assign([part])
        self._consumer.seek(part, self._next)

    async def step(self, timeout_ms: int = ASK_AGAIN_MS) -> None:
        """Store what was asked since, then answer what can be answered."""
        got = await self._consumer.getmany(TopicPartition(self.topic, 0), timeout_ms=timeout_ms, max_records=500)
        for records in got.values():
            await self._store([record for record in records if record.offset >= self._next])
        await self._answer_waiting()

    async def _store(self, records: Sequence[Any]) -> None:
        rows: list[tuple[Any, ...]] = []
        rejects = []
        for record in records:
            try:
                rows.append(await self._read(record, rows))
            except ValidationError as error:
                rejects.append(self._reject(record, error))
        if not records:
            return
        async with self._connection.transaction():
            held = await hold(self._connection, CONSUMER, self.topic, {0: self._epoch})
            if held[0].next_offset != self._next:
                raise Fenced(f"{self.topic} stands at {held[0].next_offset}, not {self._next}")
            await self._connection.executemany(_STORE, rows)
            await copy_rejects(self._connection, rejects)
            digest = blake2b(records[-1].value or b"", digest_size=16).hexdigest()
            await advance(self._connection, CONSUMER, self.topic, [Advance(0, records[-1].offset + 1, digest)])
            for row in rows:
                await self._connection.execute("SELECT pg_notify($1, $2)", ANSWERS, row[1])
        self._next = records[-1].offset + 1

    async def _read(self, record: Any, before: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        envelope = Envelope.model_validate_json(record.value or b"")
        asked = ReconciliationRequested.model_validate(envelope.data)
        reason = await self._refusal(asked, record.timestamp) or await self._too_late(asked, before)
        return (
            self.payer,
            asked.request_id,
            asked.contract,
            asked.period,
            asked.run,
            orjson.dumps(asked.cut).decode(),
            envelope.factid or envelope.id,
            self.topic,
            record.offset,
            instant(record.timestamp),
            "refused" if reason else "waiting",
            reason,
        )

    async def _refusal(self, asked: ReconciliationRequested, asked_at: int) -> str:
        """Why a request can have no answer, '' if it can: its contract, its partitions, an end that lies too far."""
        if asked.contract != self.contract:
            return f"{self.payer} is under {self.contract}, not {asked.contract}"
        there = {str(part.partition) for part in self._logs}
        if asked.cut.keys() != there:
            return f"the cut must name the log's partitions {', '.join(sorted(there, key=int))}, and no other"
        ends = await self._consumer.end_offsets(self._logs)
        later = await self._consumer.offsets_for_times(dict.fromkeys(self._logs, asked_at + 1))
        for part in self._logs:
            known = min(ends[part], later[part].offset) if later[part] is not None else ends[part]
            if (wanted := asked.cut[str(part.partition)]) > known:
                return f"partition {part.partition} ended at {known} when it was asked for; the cut names {wanted}"
        return ""

    def _reject(self, record: Any, error: ValidationError) -> tuple[Any, ...]:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the record"
        return (
            uuid5(NAMESPACE, f"reject|{self.topic}|0|{record.offset}"),
            self.payer,
            "",
            self.topic,
            0,
            record.offset,
            "unreadable",
            f"{place}: {first['msg']}",
            "ask again with `carepact reconcile`",
            None,
            instant(record.timestamp),
        )

    async def _too_late(self, asked: ReconciliationRequested, before: Sequence[tuple[Any, ...]]) -> str:
        """A first run after the period was trued up would take back what the later one determined."""
        if asked.run != "initial":
            return ""
        same = any(row[2:5] == (asked.contract, asked.period, "true-up") and not row[11] for row in before)
        held = await self._connection.fetchval(_TRUED_UP, self.payer, asked.contract, asked.period)
        return f"period {asked.period} is trued up already; ask for another true-up" if same or held else ""

    async def _answer_waiting(self) -> None:
        """Answer what the log is applied for, a period's requests in the order asked: a later is the difference."""
        waiting = await self._connection.fetch(
            "SELECT * FROM request WHERE payer = $1 AND status = 'waiting' ORDER BY log_offset", self.payer
        )
        if not waiting:
            self._gathered = None
            return
        reached = await applied(self._connection, self.payer)
        blocked = set()
        for row in waiting:
            cut = {int(partition): offset for partition, offset in orjson.loads(row["cut"]).items()}
            short = any(reached.get((self.payer, partition), 0) < offset for partition, offset in cut.items())
            if short or row["period"] in blocked:
                blocked.add(row["period"])
            else:
                await self._answer(row, cut)

    async def _answer(self, row: Any, cut: dict[int, int]) -> None:
        known = await settled(self._connection, self.payer, row["contract"], row["period"], cut)
        reason = ""
        answers: list[tuple[Any, ...]] = []
        payments: list[tuple[Payment, bytes]] = []
        try:
            answers, payments = await self._settle(row, cut, known)
        except CannotSettle as cannot:
            reason = str(cannot)
        async with self._connection.transaction():
            await hold(self._connection, CONSUMER, self.topic, {0: self._epoch})
            await settlements.store(self._connection, answers, payments, self.payer, row["request_id"])
            topic, at = settlements_topic(self.payer), row["log_offset"]
            sent = [(p.practice, p.payment_id, event) for p, event in payments]
            sent += [(practice, name, event) for _, _, practice, name, _, event, *_ in answers]
            for practice, name, event in sent:
                await self._connection.execute(_OUTBOX, self.payer, topic, practice.encode(), event, name, 0, at)
            await self._connection.execute(
                "UPDATE request SET status = $3, reason = $4 WHERE payer = $1 AND request_id = $2",
                self.payer,
                row["request_id"],
                "refused" if reason else "answered",
                reason,
            )
            await self._connection.execute(
                "SELECT pg_notify($1, $2), pg_notify($3, $4)", OUTBOX_CHANNEL, self.payer, ANSWERS, row["request_id"]
            )
        log.info("request_answered", payer=self.payer, request_id=row["request_id"], reason=reason)

    async def _gather(self, cut: dict[int, int]) -> Gathered | GatheredPlans:
        """The log up to a cut; requests at one cut share one reading."""
        if self._gathered is None or self._gathered[0] != cut:
            self._gathered = None
            if self.contract == employers.CONTRACT:
                self._gathered = cut, await gather_plans(self._connections, self.payer, cut, self._between)
            else:
                self._gathered = cut, await gather(self._connections, self.payer, self.contract, cut, self._between)
        return self._gathered[1]

    async def _settle(
        self, row: Any, cut: dict[int, int], known: Sequence[Settled]
    ) -> tuple[list[tuple[Any, ...]], list[tuple[Payment, bytes]]]:
        """Each practice's answer with its documents, and the payments that the run moves."""
        gathered = await self._gather(cut)
        before = await settlements.standing(
            self._connection, self.payer, row["contract"], row["period"], row["log_offset"]
        )
        if isinstance(gathered, GatheredPlans):
            plans = PlanAnswers(self.payer, row, gathered, {(one.plan, one.practice): one for one in known}, before)
            await beside(plans.make, self._between)
            return plans.answers, plans.payments
        paid = {name for name, cents in gathered.remitted.items() if cents > 0}
        excepted = await settlements.remitted_months(self._connection, self.payer, paid)
        by_practice = {practice: held for (_, practice), held in before.items()}
        maker = Answers(self.payer, row, gathered, {one.practice: one for one in known}, by_practice)
        await beside(lambda: maker.make(excepted), self._between)
        return maker.answers, maker.payments


async def _nothing() -> None:
    """What is awaited where nobody waits."""


class Requests(mode.Service):  # type: ignore[misc]
    """Answers one payer's requests for as long as it runs, or stands by while another process does."""

    def __init__(
        self, payer: str, contract: str, connections: Connections, connect: Connect, ttl: timedelta = TTL
    ) -> None:
        super().__init__()
        self.payer = payer
        self.contract = contract
        self._connections = connections
        self._connect = connect
        self._ttl = ttl
        self._owner = str(uuid4())

    @mode.Service.task  # type: ignore[untyped-decorator]
    async def _run(self) -> None:
        failed = 0
        while not self.should_stop:
            try:
                await self._stand_by_or_answer()
                failed = 0
            except (LeaseLost, Fenced) as lost:
                log.warning("requests_taken_over", payer=self.payer, reason=str(lost))
            except TRANSIENT as error:
                failed += 1
                pause = BACK_OFF_SECONDS[min(failed, len(BACK_OFF_SECONDS)) - 1]
                if failed == 1:
                    log.warning("requests_interrupted", payer=self.payer, error=type(error).__name__)
                await self.sleep(pause)

    async def _stand_by_or_answer(self) -> None:
        connection = await self._connect()
        try:
            while not self.should_stop:
                lease = await Lease.take(connection, f"requests:{self.payer}", self._owner, self._ttl)
                if lease is not None:
                    await self._answer(connection, lease)
                else:
                    await self.sleep(self._ttl.total_seconds() / 3)
        finally:
            with contextlib.suppress(*TRANSIENT):
                await connection.close(timeout=2)

    async def _answer(self, connection: Any, lease: Lease) -> None:
        try:
            async with groupless(self._connections) as consumer:
                held = _Held(lease, connection)
                desk = Desk(self.payer, self.contract, self._connections, connection, consumer, held.renew)
                await desk.open(self._owner)
                while not self.should_stop:
                    await held.renew()
                    await desk.step()
        finally:
            with contextlib.suppress(*TRANSIENT):
                await lease.release(connection)


class _Held:
    """A lease renewed in time, however often it is asked to be."""

    def __init__(self, lease: Lease, connection: Any) -> None:
        self._lease, self._connection = lease, connection
        self._renew_at = 0.0

    async def renew(self) -> None:
        """Renew it if a third of its time has passed; raises `LeaseLost` once another has taken over."""
        now = asyncio.get_running_loop().time()
        if now >= self._renew_at:
            await self._lease.hold(self._connection)
            self._renew_at = now + self._lease.ttl.total_seconds() / 3
