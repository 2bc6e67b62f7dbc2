"""Checkpoints made by themselves: the heads of every payer's logs, signed again whenever something was added to one.

Only what is new is read: of what was read before, the right edge of each tree is kept, in a file beside the book. An
edge that does not lead to the head that was signed last is not believed, and the log is read from its beginning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition

from streams.chain import leaf
from streams.checkpoints import At, Book, Head, Signer, topics_of
from streams.connections import Connections
from streams.merkle import Frontier
from streams.output import groupless, partitions_of
from streams.roster import Roster
from streams.verifying_log import records_of

EDGES = "checkpoints-edges.json"


@dataclass
class Edge:
    """One partition as far as it was read."""

    frontier: Frontier = field(default_factory=Frontier)
    next_offset: int = 0


class Keeper:
    """Reads on, and signs what moved."""

    def __init__(self, connections: Connections, roster: Roster, book: Book, signer: Signer, edges: Path) -> None:
        self._connections, self._roster, self._book, self._signer = connections, roster, book, signer
        self._file = edges
        self._edges: dict[At, Edge] = _read(edges)

    async def step(self, now: Callable[[], datetime]) -> list[str]:
        """One round; answers the payers of whom a checkpoint was made."""
        moved = []
        for payer in self._roster.payers:
            filed = self._book.filed(payer.name)
            last = {(head["topic"], head["partition"]): head for head in (filed[-1].get("heads", ()) if filed else ())}
            ends = await self._ends(topics_of(payer, self._roster.space))
            heads = [await self._head(at, end, last.get(at)) for at, end in sorted(ends.items())]
            if any(head.size != last.get((head.topic, head.partition), {"size": 0})["size"] for head in heads):
                await self._book.sign(self._signer, payer.name, now(), heads)
                moved.append(payer.name)
        if moved:
            self._write()
        return moved

    async def _ends(self, topics: Iterable[str]) -> dict[At, int]:
        async with groupless(self._connections) as consumer:
            parts = [TopicPartition(t, p) for t in topics for p in await partitions_of(consumer, t)]
            return {(part.topic, part.partition): end for part, end in (await consumer.end_offsets(parts)).items()}

    async def _head(self, at: At, end: int, signed: dict[str, Any] | None) -> Head:
        """The head of a partition as it ends now, and as it was `signed` last."""
        edge = self._edges.get(at, Edge())
        if signed is not None and edge.frontier.size == signed["size"] and edge.frontier.root().hex() != signed["root"]:
            edge = Edge()
        if edge.next_offset > end:  # a log that is shorter than it was: what it is now is signed, the chain tells
            edge = Edge()
        if edge.next_offset < end:
            async for record in records_of(self._connections, *at, edge.next_offset, end):
                edge.frontier.append(leaf(record))
                edge.next_offset = record.offset + 1
        self._edges[at] = edge
        return Head(*at, edge.frontier.size, edge.next_offset, edge.frontier.root().hex())

    def _write(self) -> None:
        told = [
            {"topic": t, "partition": p, "size": edge.frontier.size, "next_offset": edge.next_offset,
             "peaks": [peak.hex() for peak in edge.frontier.peaks]}
            for (t, p), edge in sorted(self._edges.items())
        ]  # fmt: skip
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(told), encoding="ascii")
        beside.replace(self._file)


def _read(file: Path) -> dict[At, Edge]:
    """The edges that were kept; none where the file is not there or not whole."""
    try:
        return {
            (one["topic"], one["partition"]): Edge(
                Frontier(one["size"], [bytes.fromhex(peak) for peak in one["peaks"]]), one["next_offset"]
            )
            for one in json.loads(file.read_text(encoding="ascii"))
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}
