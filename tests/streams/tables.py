"""What a test compares of a database: every row that the log alone decides, sorted by business key."""

from __future__ import annotations

from typing import Any

import msgspec

from projections.rows import EPISODE, PAYMENT

QUERIES = {
    "fact": "SELECT * FROM fact ORDER BY payer, partition, log_offset",
    "state_part": "SELECT * FROM state_part ORDER BY payer, member, kind, key",
    "due": "SELECT * FROM due ORDER BY payer, member",
    "partition_state": "SELECT * FROM partition_state ORDER BY payer, partition",
    "episode": f"SELECT {', '.join(EPISODE)} FROM episode ORDER BY episode_id, version",
    "episode_spend": "SELECT * FROM episode_spend ORDER BY episode_id, log_offset",
    "return_to_work": "SELECT * FROM return_to_work ORDER BY episode_id, version",
    "payment": f"SELECT {', '.join(PAYMENT)} FROM payment ORDER BY member, sequence",
    "ledger_line": "SELECT * FROM ledger_line ORDER BY payment_id, line",
    "remittance": "SELECT * FROM remittance ORDER BY payer, partition, log_offset, ordinal",
    "outbox": "SELECT payer, topic, key, value, event_id, partition, log_offset FROM outbox ORDER BY event_id",
    "order": "SELECT key, event_id FROM outbox ORDER BY key, outbox_id",
    "reject": "SELECT * FROM reject ORDER BY reject_id",
    "parked_member": "SELECT payer, partition, member, log_offset, event_id, reason FROM parked_member ORDER BY member",
    "position": "SELECT consumer, topic, partition, next_offset, log_id, last_digest FROM consumer_offset"
    " WHERE consumer = 'contract' ORDER BY topic, partition",
}


async def rows(pool: Any, *leave_out: str) -> dict[str, list[tuple[Any, ...]]]:
    """All compared rows, by table."""
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        await connection.execute("SET LOCAL enable_seqscan = on")
        return {
            table: [tuple(row) for row in await connection.fetch(query)]
            for table, query in QUERIES.items()
            if table not in leave_out
        }


def assert_same(one: dict[str, list[tuple[Any, ...]]], other: dict[str, list[tuple[Any, ...]]]) -> None:
    """Equal, or the first row that differs, by table."""
    for table, expected in one.items():
        for mine, its in zip(expected, other[table], strict=False):
            assert mine == its, f"{table}: {_shown(mine)} is not {_shown(its)}"
        assert len(expected) == len(other[table]), table


def _shown(row: tuple[Any, ...]) -> list[Any]:
    """A row with its packed parts opened."""
    return [
        msgspec.msgpack.decode(value) if isinstance(value, bytes) and value[:1] >= b"\x80" else value for value in row
    ]
