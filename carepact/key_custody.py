"""The key store as operators keep it: rotated, backed up, put back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
from aiokafka import TopicPartition

from carepact.settings import Settings, connection, open_key_store
from contracts.events import SubjectErased, SubjectErasureDone
from streams.connections import Connections
from streams.output import groupless, partitions_of
from streams.own_keys import REJECT
from streams.topics import OPERATOR, log_topic, operations_topic

READ_AT_ONCE = 5_000
_AWAIT_MS = 500
_ERASED, _DONE = SubjectErased.type_name(), SubjectErasureDone.type_name()


def open_and_rotate(settings: Settings) -> int:
    """Wrap every key of the store anew, under a new wrapping key; answers how many. Others read and write meanwhile."""
    keys = open_key_store(settings)
    try:
        return keys.rotate_wrapping_key()
    finally:
        keys.close()


def backed_up(settings: Settings, out: Path) -> None:
    """Copy the store to a new file; `FileExistsError` when there is one."""
    keys = open_key_store(settings)
    try:
        keys.backup(out)
    finally:
        keys.close()


async def restored(settings: Settings, source: Path) -> dict[str, Any]:
    """Put a backup back, but for what was erased since: the logs name the members, the operations topic the rejects."""
    reach, count, roster = connection(settings, OPERATOR), 0, settings.load_roster()
    keys = open_key_store(settings)
    try:
        for payer in roster.names:
            erased = [event["subject"] async for event in _events(reach, log_topic(payer), _ERASED)]
            for token in erased:
                keys.destroy(payer, token)
            count += len(set(erased))
        async for event in _events(reach, operations_topic(roster.space), _DONE):
            keys.destroy_own(event["payer"], REJECT, event["data"].get("reject_ids", ()))
        keys.restore(source)
        for payer in roster.names:
            for token in keys.destroyed(payer):
                keys.destroy(payer, token)  # and what the backup knows to be the same person
    finally:
        keys.close()
    return {"file": str(source), "erased": count}


async def _events(reach: Connections, topic: str, kind: str) -> AsyncIterator[dict[str, Any]]:
    """The events of one type in a topic, up to its end as it is now."""
    async with groupless(reach) as consumer:
        parts = [TopicPartition(topic, number) for number in await partitions_of(consumer, topic)]
        consumer.assign(parts)
        begins, ends = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
        for at, offset in begins.items():
            consumer.seek(at, offset)
        todo = [at for at in parts if begins[at] < ends[at]]
        while todo:
            got = await consumer.getmany(*todo, timeout_ms=_AWAIT_MS, max_records=READ_AT_ONCE)
            for at, records in got.items():
                for record in records:
                    if record.offset < ends[at] and kind.encode() in (record.value or b""):
                        event = orjson.loads(record.value)
                        if event.get("type") == kind:
                            yield event
            todo = [at for at in todo if await consumer.position(at) < ends[at]]
