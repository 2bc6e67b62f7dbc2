"""A release as rows: what left for an employer, and the events that the relay sends to the employer's topic."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from contracts.envelope import Envelope, schema_urn
from contracts.events import EmployerOutcomeReported, OutcomesReleased
from contracts.releases import events
from streams.topics import outcomes_topic

RELEASE = """
    INSERT INTO employer_release
        (payer, plan, ordinal, window_on, from_on, through_on, call_cents, event_id, log_offset, known_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT DO NOTHING
"""
OUTCOME = """
    INSERT INTO employer_outcome
        (payer, plan, ordinal, number, event_id, from_on, through_on, metric, stratum, event)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT DO NOTHING
"""
OUTBOX = """
    INSERT INTO outbox (payer, topic, key, value, event_id, partition, log_offset)
    SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (SELECT 1 FROM employer_outcome WHERE event_id = $5)
"""


def rows(
    act: OutcomesReleased, event_id: UUID, offset: int, known_at: datetime
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The rows of a release, each with its statement."""
    new = act.periods[-1]
    head = act.payer, act.plan, act.ordinal
    yield RELEASE, (*head, act.window_on, new.from_on, new.through_on, act.call_cents, event_id, offset, known_at)
    for number, (name, told) in enumerate(events(act)):
        value = _encoded(act, name, number, told, known_at)
        period = told.measurement_period
        place = period.from_on, period.through_on, told.metric_id, told.stratum
        yield OUTBOX, (act.payer, outcomes_topic(act.plan), act.plan.encode(), value, UUID(name), 0, offset)
        yield OUTCOME, (*head, number, UUID(name), *place, value)


def _encoded(act: OutcomesReleased, name: str, number: int, told: EmployerOutcomeReported, known_at: datetime) -> bytes:
    """The event's bytes: the same at every projection, and on every channel."""
    envelope = Envelope(
        id=name,
        source=f"/carepact/{act.payer}/{act.contract}",
        type=told.type_name(),
        subject=act.plan,
        time=known_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        dataschema=schema_urn(EmployerOutcomeReported),
        payer=act.payer,
        plan=act.plan,
        sequence=f"{act.ordinal:05d}{number:04d}",
        data=told.model_dump(mode="json", exclude=None if told.benchmark_id else {"benchmark_id"}),
    )
    return orjson.dumps(envelope.model_dump(mode="json", exclude_none=True))
