"""Reads settlement requests, waits until the log is applied up to each one's cut, and answers from what stood then.

A second consumer beside the contract agents (seam 14). A request is stored as waiting while its own offset advances.
It is refused when its cut lies past what the log held when the request was appended, by the log's own times, so that
a rebuild refuses it again. Answers read versions before the cut only, whenever they are made.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from hashlib import blake2b
from typing import Any
from uuid import uuid4, uuid5

import mode
import orjson
import structlog
from aiokafka import TopicPartition
from pydantic import ValidationError

from contracts.envelope import NAMESPACE, Envelope, payment_id, schema_urn
from contracts.events import ReconciliationRequested, SettlementAnswered
from projections.positions import applied
from projections.settlements import Settled, settled
from projections.store import OUTBOX_CHANNEL, Advance, Fenced, advance, claim, copy_rejects, hold, instant
from streams.connections import Connections
from streams.lease import TTL, Lease, LeaseLost
from streams.output import OutputChanged, groupless, partitions_of
from streams.reconciling import ANSWERS
from streams.relay import BACK_OFF_SECONDS, TRANSIENT, Connect
from streams.topics import log_topic, requests_topic, settlements_topic

CONSUMER = "requests"
ASK_AGAIN_MS = 300
PENDING = ("no_benchmark",)
"""Benchmarks are not adopted by any log yet, so no request is settled in money."""

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
_SETTLEMENT = """
    INSERT INTO settlement (payer, request_id, practice, settlement_id, log_offset, event)
    VALUES ($1, $2, $3, $4, $5, $6)
"""


class Desk:
    """One payer's requests in one holder's hands."""

    def __init__(self, payer: str, contract: str, connection: Any, consumer: Any) -> None:
        self.payer = payer
        self.contract = contract
        self.topic = requests_topic(payer)
        self._connection = connection
        self._consumer = consumer
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
        rows, rejects = [], []
        for record in records:
            try:
                rows.append(await self._read(record))
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

    async def _read(self, record: Any) -> tuple[Any, ...]:
        envelope = Envelope.model_validate_json(record.value or b"")
        asked = ReconciliationRequested.model_validate(envelope.data)
        reason = await self._refusal(asked, record.timestamp)
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

    async def _answer_waiting(self) -> None:
        waiting = await self._connection.fetch(
            "SELECT * FROM request WHERE payer = $1 AND status = 'waiting' ORDER BY log_offset", self.payer
        )
        if not waiting:
            return
        reached = await applied(self._connection, self.payer)
        for row in waiting:
            cut = {int(partition): offset for partition, offset in orjson.loads(row["cut"]).items()}
            if all(reached.get((self.payer, partition), 0) >= offset for partition, offset in cut.items()):
                await self._answer(row, cut)

    async def _answer(self, row: Any, cut: dict[int, int]) -> None:
        async with self._connection.transaction():
            await hold(self._connection, CONSUMER, self.topic, {0: self._epoch})
            for one in await settled(self._connection, self.payer, row["contract"], row["period"], cut):
                name, event = self._event(row, one)
                at = row["log_offset"]
                await self._connection.execute(
                    _SETTLEMENT, self.payer, row["request_id"], one.practice, name, at, event
                )
                topic, key = settlements_topic(self.payer), one.practice.encode()
                await self._connection.execute(_OUTBOX, self.payer, topic, key, event, name, 0, at)
            await self._connection.execute(
                "UPDATE request SET status = 'answered' WHERE payer = $1 AND request_id = $2",
                self.payer,
                row["request_id"],
            )
            await self._connection.execute(
                "SELECT pg_notify($1, $2), pg_notify($3, $4)", OUTBOX_CHANNEL, self.payer, ANSWERS, row["request_id"]
            )
        log.info("request_answered", payer=self.payer, request_id=row["request_id"])

    def _event(self, row: Any, one: Settled) -> tuple[str, bytes]:
        """The id and the exact bytes of an answer; both follow from the request and the log alone."""
        subject = f"{self.payer}|{one.practice}|{row['run']}"
        name = payment_id(row["contract"], subject, "SETTLEMENT", str(row["period"]), str(row["event_id"]), "", 0)
        answer = SettlementAnswered(
            request_id=row["request_id"],
            payer=self.payer,
            contract=row["contract"],
            practice=one.practice or None,
            period=row["period"],
            run=row["run"],
            episodes=one.episodes,
            included=one.included,
            expenditure_cents=one.expenditure_cents,
            payments_cents=one.payments_cents,
            pending=PENDING,
        )
        envelope = Envelope(
            id=name,
            source=f"/carepact/{self.payer}/{row['contract']}",
            type=SettlementAnswered.type_name(),
            time=row["known_at"].strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            dataschema=schema_urn(SettlementAnswered),
            payer=self.payer,
            sequence=f"{row['log_offset']:09d}",
            data=answer.model_dump(mode="json"),
        )
        return name, orjson.dumps(envelope.model_dump(mode="json", exclude_none=True))


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
                desk = Desk(self.payer, self.contract, connection, consumer)
                await desk.open(self._owner)
                renew_at = 0.0
                while not self.should_stop:
                    if (now := asyncio.get_running_loop().time()) >= renew_at:
                        await lease.hold(connection)
                        renew_at = now + self._ttl.total_seconds() / 3
                    await desk.step()
        finally:
            with contextlib.suppress(*TRANSIENT):
                await lease.release(connection)
