"""One partition's parts in memory while its log is folded again."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from datetime import date

from projections.rows import STATE_PART, Row, Rows, Want

Part = tuple[str, str]
"""(kind, key)"""

DATA = STATE_PART.index("data")


class ReplayParts:
    """One partition's parts, as rows, and due days in memory (a `PartStore`); what a batch wrote can be taken back."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[Part, Row]] = {}
        self.due_days: dict[str, date] = {}
        self.adopted: tuple[bytes, int] | None = None
        self.written: list[Rows] = []
        self._undo: list[tuple[str, Part, Row | None]] = []
        self._undo_due: list[tuple[str, date | None]] = []
        self._undo_adopted: list[tuple[bytes, int] | None] = []

    async def load(self, wants: Sequence[Want]) -> Iterable[tuple[str, str, str, bytes]]:
        """All parts within the ranges."""
        found: list[tuple[str, str, str, bytes]] = []
        for token, kind, low, high in wants:
            parts = self.parts.get(token, {})
            if kind in {"claim", "head"}:
                part = parts.get((kind, low))
                if part is not None:
                    found.append((token, kind, low, part[DATA]))
            else:
                found += [
                    (token, kind, key, row[DATA]) for (k, key), row in parts.items() if k == kind and low <= key < high
                ]
        return found

    async def due(self, partition: int, through: date, after: str, limit: int) -> Sequence[str]:
        """By token."""
        del partition
        return heapq.nsmallest(limit, (token for token, on in self.due_days.items() if on <= through and token > after))

    async def heads(self, partition: int, after: str, limit: int) -> Sequence[str]:
        """By token."""
        del partition
        return heapq.nsmallest(limit, (token for token in self.parts if token > after))

    async def write(self, rows: Rows) -> None:
        """Keep the parts at once, and the rows until the batch is done."""
        undo, last, parts = self._undo, "", dict[Part, Row]()
        for row in (*rows.new_parts, *rows.changed_parts):
            _, _, token, kind, key, *_ = row
            if token != last:
                last, parts = token, self.parts.setdefault(token, {})
            part = kind, key
            undo.append((token, part, parts.get(part)))
            parts[part] = row
        for _, token, on in rows.due:
            self._undo_due.append((token, self.due_days.get(token)))
            self._set_due(token, on)
        for _, data, offset in rows.adoptions:
            self._undo_adopted.append(self.adopted)
            self.adopted = data, offset
        self.written.append(rows)

    def commit(self) -> list[Rows]:
        """The batch is done: what it wrote."""
        written, self.written = self.written, []
        self._undo, self._undo_due, self._undo_adopted = [], [], []
        return written

    def rollback(self) -> None:
        """The batch failed: all is as it was before."""
        for token, part, before in reversed(self._undo):
            if before is not None:
                self.parts[token][part] = before
                continue
            del self.parts[token][part]
            if not self.parts[token]:
                del self.parts[token]
        for token, on in reversed(self._undo_due):
            self._set_due(token, on)
        for adopted in reversed(self._undo_adopted):
            self.adopted = adopted
        self.commit()

    def _set_due(self, token: str, on: date | None) -> None:
        if on is None:
            self.due_days.pop(token, None)
        else:
            self.due_days[token] = on
