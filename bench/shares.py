"""What two things that live work does for auditors cost it, as shares of its own processor time.

The chain: every record of the log is hashed as a worker does it, in batches as large. The lineage: the facts that each
payment names are told and written anew. Both are done here once more, over all that the workers did, and held against
what the workers took in all.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from contracts.parts import Ref, read_ref, ref_to
from streams.chain import Reached, leaf, stretch

BATCH = 2_000
_encode = msgspec.json.Encoder().encode


def chain_seconds(records: Sequence[Any]) -> float:
    """Processor time of the chain over the records of one partition."""
    reached, began = Reached(0), time.process_time()
    for at in range(0, len(records), BATCH):
        made = stretch(reached, 0, [(one.offset, one.timestamp, leaf(one)) for one in records[at : at + BATCH]])
        reached = Reached(made.next_offset, made.chain, made.known_at)
    return time.process_time() - began


def lineage_seconds(events: Sequence[bytes]) -> float:
    """Processor time of the facts that payments name, from references to bytes; `events` are the payments'."""
    named: list[list[tuple[Ref, str, dict[str, Any]]]] = []
    for event in events:
        facts = msgspec.json.decode(event)["data"]["facts"]
        named.append(
            [(ref_to(f["event_id"], f["type"], f["position"]["offset"]), f["says"], f["position"]) for f in facts]
        )
    began = time.process_time()
    for facts in named:
        told = []
        for ref, says, at in facts:
            event_id, kind, offset = read_ref(ref)
            position = {"topic": at["topic"], "partition": at["partition"], "offset": offset}
            told.append({"event_id": event_id, "type": kind, "position": position, "says": says})
        _encode(told)
    return time.process_time() - began
