"""The alerts of a payer's surveys, worked out from the log when they are asked for.

No consumer keeps them: alerts follow from the surveys in the order of the log and from nothing else, surveys are few
beside claims, and so nothing on the contract's path pays for them. A partition's surveys are read at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from contracts.envelope import Fact
from contracts.instruments import Alert, AlertBook
from projections.surveys import partitions, surveys
from streams.codec import decode_record
from streams.connections import Connections
from streams.reading import log_reader
from streams.topics import log_topic

READ_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class At:
    """The record that raised or closed an alert."""

    event_id: str
    topic: str
    partition: int
    offset: int
    known_at: int

    def document(self) -> dict[str, Any]:
        """As `carepact alerts` prints it."""
        at = datetime.fromtimestamp(self.known_at / 1000, UTC).isoformat(timespec="milliseconds")
        place = {"topic": self.topic, "partition": self.partition, "offset": self.offset}
        return {"event_id": self.event_id, "known_at": at.replace("+00:00", "Z"), **place}


async def alerts(
    database: Any, connections: Connections, payer: str, member: str | None = None, *, only_open: bool = False
) -> AsyncIterator[dict[str, Any]]:
    """Every alert of a payer's members, or of one: by partition, by member, in the order in which they were raised."""
    topic = log_topic(payer)
    async with log_reader(connections) as reader:
        for partition in await partitions(database):
            books: dict[tuple[str, str], AlertBook[At]] = defaultdict(AlertBook)
            found = await surveys(database, payer, partition, member)
            for start in range(0, len(found), READ_AT_ONCE):
                part = found[start : start + READ_AT_ONCE]
                wanted = {(topic, partition): [each.offset for each in part]}
                records = await reader.records(wanted)
                for each in part:
                    if (record := records.get((topic, partition, each.offset))) is not None:
                        fact = decode_record(topic, partition, each.offset, record.timestamp, record.key, record.value)
                        books[fact.member, fact.plan].hear(fact.data, _at(fact))
            for (who, plan), book in sorted(books.items()):
                for alert in book.alerts():
                    if alert.is_open or not only_open:
                        yield _document(payer, plan, who, alert)


def _at(fact: Fact) -> At:
    return At(fact.event_id, fact.topic, fact.partition, fact.offset, fact.known_at)


def _document(payer: str, plan: str, member: str, alert: Alert[At]) -> dict[str, Any]:
    return {
        "payer": payer,
        "plan": plan,
        "member": member,
        "response_id": alert.response_id,
        "instrument": alert.instrument,
        "collected_on": alert.collected_on.isoformat(),
        "subject": alert.finding.subject,
        "level": alert.finding.level,
        "reasons": list(alert.finding.reasons),
        "status": "open" if alert.is_open else "closed",
        "close_reason": alert.close_reason,
        "raised_by": alert.raised_by.document(),
        "closed_by": alert.closed_by.document() if alert.closed_by else None,
    }
