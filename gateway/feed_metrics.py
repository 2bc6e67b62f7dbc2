"""Gauges of feeds for Prometheus: streams that are open, endpoints, what waits for them and for how long, attempts.

Labels are roles, payers, states and outcomes: no plan, practice, address or person. What stands in PostgreSQL is
counted there when it is asked for; while the database is away those lines are not there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Any

from gateway.open_streams import Stream
from projections import webhooks

ATTEMPTS_SECONDS = 300


def of_streams(streams: Iterable[Stream]) -> Iterable[str]:
    """How many streams are open, by role and payer of who reads."""
    counted = Counter((stream.principal.role, stream.principal.payer) for stream in streams)
    yield "# TYPE carepact_feed_streams gauge"
    for (role, payer), count in sorted(counted.items()):
        yield f'carepact_feed_streams{{role="{role}",payer="{payer}"}} {count}'


async def of_webhooks(connection: Any) -> AsyncIterator[str]:
    """Endpoints by state; what waits, and since when the oldest does; attempts of the last minutes by outcome."""
    yield "# TYPE carepact_webhook_endpoints gauge"
    for row in await webhooks.counted_endpoints(connection):
        yield f'carepact_webhook_endpoints{{{_of(row)},status="{row["status"]}"}} {row["count"]}'
    waiting = await webhooks.counted_waiting(connection)
    yield "# TYPE carepact_webhook_waiting gauge"
    for row in waiting:
        yield f"carepact_webhook_waiting{{{_of(row)}}} {row['count']}"
    yield "# TYPE carepact_webhook_lag_seconds gauge"
    for row in waiting:
        yield f"carepact_webhook_lag_seconds{{{_of(row)}}} {row['seconds']:.3f}"
    yield f"# HELP carepact_webhook_attempts of the last {ATTEMPTS_SECONDS} seconds"
    yield "# TYPE carepact_webhook_attempts gauge"
    for row in await webhooks.counted_attempts(connection, ATTEMPTS_SECONDS):
        yield f'carepact_webhook_attempts{{{_of(row)},outcome="{row["outcome"]}"}} {row["count"]}'


def _of(row: Any) -> str:
    return f'role="{row["role"]}",payer="{row["payer"]}"'
