"""Checkpoints: signed heads of the Merkle trees over a payer's log, its payments and what operators did.

A head is hashed as RFC 9162 says, over the leaves of `streams.chain`; a checkpoint is signed by Ed25519 and names the
hash of the one before it. It is written to a topic of its own and to a file outside PostgreSQL. Whoever keeps one can
show later that the logs still begin as they were.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from fcntl import LOCK_EX, flock
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from streams.chain import leaf
from streams.connections import Connections
from streams.log_writer import LogWriter
from streams.merkle import Tree
from streams.output import groupless, partitions_of
from streams.roster import Payer
from streams.topics import (
    checkpoints_topic,
    episodes_topic,
    log_topic,
    operations_topic,
    outcomes_topic,
    payments_topic,
    requests_topic,
    settlements_topic,
)
from streams.verify_packet import canonical
from streams.verifying_log import records_of

FILE, KEY = "checkpoints.ndjson", "audit-key"
At = tuple[str, int]
"""(topic, partition)"""


class Signer:
    """The platform's signing key, in a file that only its owner may read; made when there is none."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = Ed25519PrivateKey.generate().private_bytes_raw()
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                out.write(base64.b64encode(made) + b"\n")
        self._key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(file.read_bytes()))

    @property
    def public_key(self) -> str:
        """In hex: what an auditor compares."""
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, data: bytes) -> str:
        """In hex."""
        return self._key.sign(data).hex()


@dataclass
class Leaves:
    """One partition's records as leaves, and where each stands."""

    offsets: list[int]
    leaves: list[bytes]
    tree: Tree

    def index(self, offset: int) -> int | None:
        """The place of the record at an offset among the leaves."""
        low, high = 0, len(self.offsets)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.offsets[middle] < offset else (low, middle)
        return low if low < len(self.offsets) and self.offsets[low] == offset else None


@dataclass(frozen=True, slots=True)
class Head:
    """What a checkpoint signs of a partition."""

    topic: str
    partition: int
    size: int
    next_offset: int
    root: str


def heads_of(leaves: Mapping[At, Leaves]) -> list[Head]:
    """The heads of these leaves, in order."""
    return [
        Head(topic, partition, one.tree.size, one.offsets[-1] + 1 if one.offsets else 0, one.tree.root().hex())
        for (topic, partition), one in sorted(leaves.items())
    ]


async def leaves_of(connections: Connections, topics: Iterable[str]) -> dict[At, Leaves]:
    """The leaves of every partition of some topics, up to their ends as they stand now."""
    found: dict[At, Leaves] = {}
    async with groupless(connections) as consumer:
        parts = [TopicPartition(t, p) for t in topics for p in sorted(await partitions_of(consumer, t))]
        ends = await consumer.end_offsets(parts)
    for part in parts:
        offsets, leaves = [], []
        if ends[part]:
            async for record in records_of(connections, part.topic, part.partition, 0, ends[part]):
                offsets.append(record.offset)
                leaves.append(leaf(record))
        found[part.topic, part.partition] = Leaves(offsets, leaves, Tree(leaves))
    return found


def topics_of(payer: Payer, space: str) -> list[str]:
    """What a payer's checkpoints cover: its log and requests, all that was sent, and operators' acts."""
    told = payments_topic, episodes_topic, settlements_topic
    own = [topic(payer.name) for topic in (log_topic, requests_topic, *told)]
    return [*own, *(outcomes_topic(plan.name) for plan in payer.plans), operations_topic(space)]


def made(signer: Signer, payer: str, at: datetime, heads: Iterable[Head], previous: str) -> dict[str, Any]:
    """A signed checkpoint of these heads; `previous` is the hash of the one before, '' for the first."""
    document: dict[str, Any] = {
        "version": 1,
        "payer": payer,
        "at": at.isoformat(timespec="milliseconds"),
        "heads": [asdict(head) for head in heads],
        "previous": previous,
        "public_key": signer.public_key,
    }
    return document | {"signature": signer.sign(canonical(document))}


def is_signed(checkpoint: Mapping[str, Any]) -> bool:
    """Whether a checkpoint is signed by the key that it names."""
    held = dict(checkpoint)
    try:
        signature = bytes.fromhex(held.pop("signature"))
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(held["public_key"])).verify(signature, canonical(held))
    except (InvalidSignature, KeyError, ValueError, TypeError):
        return False
    return True


def hash_of(checkpoint: Mapping[str, Any]) -> str:
    """By which the next one names it."""
    return sha256(canonical(dict(checkpoint))).hexdigest()


@dataclass(slots=True)
class _Record:
    value: bytes
    partition: int = 0
    key: bytes = b""


class Book:
    """The checkpoints there are: in the file, and on the topic."""

    def __init__(self, connections: Connections, file: Path, space: str) -> None:
        self._connections, self._file, self._topic = connections, file, checkpoints_topic(space)

    async def sign(self, signer: Signer, payer: str, at: datetime, heads: Sequence[Head]) -> dict[str, Any]:
        """Sign these heads as the next checkpoint of a payer, in the book. One process at a time signs in a book."""
        with self._alone():
            before = self.filed(payer)
            new = made(signer, payer, at, heads, hash_of(before[-1]) if before else "")
            await self.add(new)
        return new

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab") as file:
            flock(file, LOCK_EX)
            yield

    async def add(self, checkpoint: Mapping[str, Any]) -> None:
        """To the topic first, then to the file, where it is on disk when this returns."""
        async with LogWriter(self._connections) as writer:
            await writer.write(self._topic, [_Record(canonical(dict(checkpoint)))])
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab") as out:
            out.write(canonical(dict(checkpoint)) + b"\n")
            out.flush()
            os.fsync(out.fileno())

    def filed(self, payer: str) -> list[dict[str, Any]]:
        """Those of a payer in the file, in order; a line that cannot be read is an empty one."""
        if not self._file.exists():
            return []
        return [one for one in map(_read, self._file.read_bytes().splitlines()) if one.get("payer", payer) == payer]

    async def on_topic(self, payer: str) -> list[dict[str, Any]]:
        """Those of a payer on the topic, in order."""
        async with groupless(self._connections) as consumer:
            part = TopicPartition(self._topic, 0)
            end = (await consumer.end_offsets([part]))[part]
        if end == 0:
            return []
        values = [record.value async for record in records_of(self._connections, self._topic, 0, 0, end)]
        return [one for one in map(_read, values) if one.get("payer", payer) == payer]


def _read(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Broken:
    """What of the chain of checkpoints does not hold: which one, and why."""

    checkpoint: str
    reason: str


async def examine(book: Book, payer: str, leaves: Mapping[At, Leaves], key: str) -> list[Broken]:
    """Hold every checkpoint against the logs as they stand: signature, order, and that each log still begins so."""
    filed, wrong = book.filed(payer), list[Broken]()
    if filed != await book.on_topic(payer):
        wrong.append(Broken("", "the file and the topic do not hold the same checkpoints"))
    previous = ""
    for one in filed:
        name = str(one.get("at", "unreadable"))
        if not is_signed(one) or one["public_key"] != key:
            wrong.append(Broken(name, "it is not signed by this platform's key"))
            continue
        if one["previous"] != previous:
            wrong.append(Broken(name, "it does not follow the one before it: one is missing or was added"))
        previous = hash_of(one)
        for head in one["heads"]:
            place = f"{head['topic']}[{head['partition']}]"
            own = leaves.get((head["topic"], head["partition"]))
            if own is None or own.tree.size < head["size"]:
                wrong.append(Broken(name, f"{place} is shorter than the {head['size']} records that were signed"))
            elif own.tree.root(head["size"]).hex() != head["root"]:
                wrong.append(Broken(name, f"{place} does not begin with the {head['size']} records that were signed"))
    return wrong
