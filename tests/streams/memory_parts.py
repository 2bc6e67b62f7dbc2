"""A store of parts in memory, for folds that need no database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import date

from contracts.parts import HEAD
from projections.rows import Rows, Want


class MemoryParts:
    """A `PartStore` in memory; `written` is told of all rows."""

    def __init__(self, written: Callable[[Rows], Awaitable[None]] | None = None) -> None:
        self.parts: dict[str, dict[tuple[str, str], bytes]] = {}
        self._partition: dict[str, int] = {}
        self._due: dict[str, date] = {}
        self._written = written

    async def load(self, wants: Sequence[Want]) -> Iterable[tuple[str, str, str, bytes]]:
        """All parts within the ranges."""
        found = []
        for token, kind, low, high in wants:
            parts = self.parts.get(token)
            if not parts:
                continue
            if kind == "claim":
                if (data := parts.get((kind, low))) is not None:
                    found.append((token, kind, low, data))
            elif kind == "head":
                if (data := parts.get(HEAD)) is not None:
                    found.append((token, kind, "", data))
            else:
                found += [
                    (token, kind, key, data) for (k, key), data in parts.items() if k == kind and low <= key < high
                ]
        return found

    async def due(self, partition: int, through: date, after: str, limit: int) -> Sequence[str]:
        """By token."""
        due = (t for t, on in self._due.items() if on <= through and t > after and self._partition[t] == partition)
        return sorted(due)[:limit]

    async def heads(self, partition: int, after: str, limit: int) -> Sequence[str]:
        """By token."""
        return sorted(t for t, its in self._partition.items() if its == partition and t > after)[:limit]

    async def write(self, rows: Rows) -> None:
        """Keep the parts, tell of the rows."""
        for _, partition, token, kind, key, data, _ in (*rows.new_parts, *rows.changed_parts):
            self.parts.setdefault(token, {})[kind, key] = data
            self._partition[token] = partition
        for _, token, on in rows.due:
            if on is None:
                self._due.pop(token, None)
            else:
                self._due[token] = on
        if self._written is not None:
            await self._written(rows)
