"""What checks had against records that were taken, read from a payer's log when it is asked for.

They stand in the envelope and in no table: nothing that is decided rests on them (`contracts.envelope`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiokafka import TopicPartition

from streams.connections import Connections
from streams.output import groupless, partitions_of
from streams.topics import log_topic

_MARK = b'"findings":"'
_WAIT_MS = 500


class _Head(msgspec.Struct):
    id: str
    type: str
    subject: str = ""
    plan: str = ""
    findings: str = ""


_decode = msgspec.json.Decoder(_Head).decode


async def findings(connections: Connections, payer: str, member: str | None = None) -> AsyncIterator[dict[str, Any]]:
    """Every fact of a payer, or of one member, that stands with findings: partition by partition, in their order."""
    topic = log_topic(payer)
    async with groupless(connections) as consumer:
        for partition in sorted(await partitions_of(consumer, topic)):
            where = TopicPartition(topic, partition)
            consumer.assign([where])
            end = (await consumer.end_offsets([where]))[where]
            consumer.seek(where, (await consumer.beginning_offsets([where]))[where])
            while await consumer.position(where) < end:
                for record in (await consumer.getmany(where, timeout_ms=_WAIT_MS, max_records=5_000)).get(where, []):
                    marked = record.offset < end and record.value is not None and _MARK in record.value
                    if marked and (told := _told(record, payer, member)):
                        yield told


def _told(record: Any, payer: str, member: str | None) -> dict[str, Any] | None:
    head = _decode(record.value)
    if not head.findings or (member is not None and head.subject != member):
        return None
    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    of = {"payer": payer, "plan": head.plan, "member": head.subject, "event_id": head.id, "type": head.type}
    return of | place | {"findings": head.findings.split(" ")}
