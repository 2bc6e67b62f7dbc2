"""The rows a fold makes, as plain tuples in the order of their columns: ready to be copied, or to be compared.

Live and replay make the same tuples; they differ only in where they put them. Ids are texts, days `datetime.date`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

EPISODE = (
    "payer",
    "plan",
    "contract",
    "episode_id",
    "version",
    "member",
    "partition",
    "from_offset",
    "to_offset",
    "cause_event_id",
    "started_on",
    "ends_on",
    "performance_period",
    "cancer_type",
    "status",
    "void_reason",
    "included",
    "exclusion",
    "practice",
    "opened_by",
    "closed",
    "known_at",
)
EPISODE_TO_OFFSET = EPISODE.index("to_offset")
"""Also of RETURN_TO_WORK: rows of both begin alike."""

EPISODE_SPEND = ("payer", "partition", "episode_id", "log_offset", "delta_cents", "total_cents")
RETURN_TO_WORK = (
    "payer",
    "plan",
    "contract",
    "episode_id",
    "version",
    "member",
    "partition",
    "from_offset",
    "to_offset",
    "cause_event_id",
    "eligible",
    "status",
    "competing_cause",
    "absence_on",
    "partial_on",
    "returned_on",
    "confirmed_on",
    "held_days",
    "lapsed_on",
    "ended_on",
    "duty",
    "conflict",
)
PAYMENT = (
    "payer",
    "plan",
    "contract",
    "payment_id",
    "kind",
    "amount_cents",
    "member",
    "episode_id",
    "practice",
    "period",
    "effective_on",
    "reverses",
    "supersedes",
    "cause",
    "sequence",
    "partition",
    "log_offset",
    "event",
)
LEDGER_LINE = ("payer", "payment_id", "line", "account", "party", "amount_cents", "partition", "log_offset")
REMITTANCE = (
    "payer", "plan", "partition", "log_offset", "ordinal", "event_id", "member", "payment_id", "kind", "amount_cents",
    "moved_on", "source", "trace", "reason", "known_at",
)  # fmt: skip
OUTBOX = ("payer", "topic", "key", "value", "event_id", "partition", "log_offset")
STATE_PART = ("payer", "partition", "member", "kind", "key", "data", "log_offset")

Row = tuple[Any, ...]
Want = tuple[str, str, str, str]
"""(member, kind, from key, to key): stored parts with from <= key < to."""


@dataclass(slots=True)
class Rows:
    """What some facts of one payer made. `closes` are (episode_id, version, to_offset) of rows written before.

    An episode's row is a list until its version is superseded or written, since `to_offset` may still be filled in; so
    is a return's to work, whose rows written before are closed by `return_closes`.
    """

    episodes: list[list[Any]] = field(default_factory=list)
    closes: list[tuple[str, int, int]] = field(default_factory=list)
    spends: list[Row] = field(default_factory=list)
    returns: list[list[Any]] = field(default_factory=list)
    return_closes: list[tuple[str, int, int]] = field(default_factory=list)
    payments: list[Row] = field(default_factory=list)
    ledger: list[Row] = field(default_factory=list)
    outbox: list[Row] = field(default_factory=list)
    moves: list[Row] = field(default_factory=list)
    new_parts: list[Row] = field(default_factory=list)
    changed_parts: list[Row] = field(default_factory=list)
    due: list[tuple[int, str, date | None]] = field(default_factory=list)
    adoptions: list[tuple[int, bytes, int]] = field(default_factory=list)


class PartStore(Protocol):
    """Where one payer's parts are kept and its rows go: the live tables, or a replay's own memory."""

    async def load(self, wants: Sequence[Want]) -> Iterable[tuple[str, str, str, bytes]]:
        """The stored parts within the ranges: (member, kind, key, data)."""

    async def due(self, partition: int, through: date, after: str, limit: int) -> Sequence[str]:
        """The first members after `after`, by token, that are due on or before a day."""

    async def heads(self, partition: int, after: str, limit: int) -> Sequence[str]:
        """The first members after `after`, by token."""

    async def write(self, rows: Rows) -> None:
        """Keep the rows."""
