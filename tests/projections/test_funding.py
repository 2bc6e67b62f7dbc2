"""What settlements of a plan moved since money last moved, by period and kind."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from projections.funding import MovedPeriod, settled

pytestmark = pytest.mark.platform


async def asked(connection: Any, offset: int, period: int, run: str, status: str = "answered") -> None:
    await connection.execute(
        """
        INSERT INTO request (payer, request_id, contract, period, run, cut, event_id, topic, log_offset, known_at,
                             status)
        VALUES ('employers', $1::int::text, 'employer', $2, $3, '{}', $4, 't', $1::int, $5, $6)
        """,
        offset, period, run, uuid4(), datetime(2026, 1, 1, tzinfo=UTC), status,
    )  # fmt: skip


async def moved(connection: Any, offset: int, period: int, kind: str, cents: int, plan: str = "acme") -> None:
    await connection.execute(
        """
        INSERT INTO settlement_payment (payer, contract, payment_id, kind, amount_cents, practice, period, effective_on,
                                        cause, ordinal, request_id, log_offset, event, plan)
        VALUES ('employers', 'employer', $1, $2, $3, 'P1', 'PP' || $4::int::text, $5, $1, 0, $6::int::text, $6::int,
                '', $7)
        """,
        uuid4(), kind, cents, period, date(2026, 1, 1), offset, plan,
    )  # fmt: skip


async def test_payments_and_reversals_of_a_period_are_one_and_what_moved_before_is_left(fresh_database: str) -> None:
    connection = await asyncpg.connect(fresh_database)
    assert await settled(connection, "employers", "acme", -1) == ([], -1)
    await asked(connection, 3, 4, "initial")
    await moved(connection, 3, 4, "SHARED_SAVINGS", 900)
    await moved(connection, 3, 4, "SHARED_SAVINGS", 50, plan="other")
    assert await settled(connection, "employers", "acme", -1) == (
        [MovedPeriod(4, "initial", True, {"SHARED_SAVINGS": 900})], 3,
    )  # fmt: skip
    await asked(connection, 5, 4, "true-up")
    for cents in (-900, 850):
        await moved(connection, 5, 4, "SHARED_SAVINGS", cents)
    await asked(connection, 6, 5, "initial")
    await moved(connection, 6, 5, "GUARANTEE_REFUND", -20)
    told, refund = MovedPeriod(4, "true-up", False, {"SHARED_SAVINGS": -50}), {"GUARANTEE_REFUND": -20}
    assert await settled(connection, "employers", "acme", 3) == ([told, MovedPeriod(5, "initial", True, refund)], 6)
    await asked(connection, 7, 6, "initial", "waiting")
    assert await settled(connection, "employers", "acme", 3) is None
    await connection.close()
