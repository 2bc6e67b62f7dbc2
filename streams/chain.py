"""What a log's records hash to: a leaf for each, over every byte that Kafka stores of it, and a chain over the leaves.

A leaf is that of an RFC 9162 Merkle tree: SHA-256 of 0x00 and the record's form. The form is offset and append time,
8 bytes each, big-endian, then the SHA-256 of its content: key, value and headers, each with its length before it. So
a packet may withhold a content and still prove where it stands. Values are as stored, sealed parts as ciphertext.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

CHAIN_START = bytes(32)
MARK_BYTES = 8
"""Of each leaf a batch keeps so much: enough to say which of its records was changed."""

_LENGTH = struct.Struct(">q").pack
_PLACE = struct.Struct(">qq").pack
Headers = Sequence[tuple[str, bytes]]


def content_digest(key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
    """The SHA-256 of what a record holds. None and an empty value differ: the length of None is -1."""
    told = headers if isinstance(headers, tuple) else tuple(headers)
    form = _HEADERS.get(told)
    if form is None:
        form = _headers(told)
        if len(_HEADERS) < 100:  # the door writes one kind
            _HEADERS[told] = form
    lengths = _LENGTH(-1 if key is None else len(key)), _LENGTH(-1 if value is None else len(value))
    return sha256(b"".join((lengths[0], key or b"", lengths[1], value or b"", form))).digest()


def leaf_of(offset: int, timestamp_ms: int, content: bytes) -> bytes:
    """The leaf of a record with this content."""
    return sha256(b"\0" + _PLACE(offset, timestamp_ms) + content).digest()


def leaf(record: Any) -> bytes:
    """The leaf of a consumer's record."""
    content = content_digest(record.key, record.value, record.headers)
    return sha256(b"\0" + _PLACE(record.offset, record.timestamp) + content).digest()  # `leaf_of`, once for each fact


def link(chain: bytes, leaves: Iterable[bytes]) -> bytes:
    """The chain with leaves added: each time SHA-256 of what it was and the next leaf."""
    for one in leaves:
        chain = sha256(chain + one).digest()
    return chain


def _sized(part: bytes | None) -> bytes:
    return _LENGTH(-1) if part is None else _LENGTH(len(part)) + part


def _headers(headers: Headers) -> bytes:
    form = _LENGTH(len(headers))
    for name, value in headers:
        form += _sized(name.encode()) + _sized(value)
    return form


_HEADERS: dict[tuple[Any, ...], bytes] = {}


@dataclass(slots=True)
class Stretch:
    """Consecutive records of one partition as `projections.batches` keeps them.

    `steps` are offset and append time wherever the latter exceeds all before it, so that "by then" has an answer.
    """

    partition: int
    first_offset: int
    next_offset: int
    known_at: int
    chain: bytes
    steps: list[int] = field(default_factory=list)
    marks: bytes = b""

    @property
    def row(self) -> tuple[Any, ...]:
        """In the order of `projections.batches.COLUMNS`, without the topic."""
        return (
            self.partition, self.first_offset, self.next_offset, self.known_at, self.chain, self.steps, self.marks,
        )  # fmt: skip


@dataclass(slots=True)
class Reached:
    """How far a partition's chain goes: up to which offset, its value there, and the latest append time before it."""

    next_offset: int
    chain: bytes = CHAIN_START
    known_at: int = 0


def stretch(before: Reached, partition: int, records: Iterable[tuple[int, int, bytes]]) -> Stretch:
    """The stretch that records (offset, append time, leaf) make behind what was reached."""
    chain, known_at, next_offset = before.chain, before.known_at, before.next_offset
    steps: list[int] = []
    marks: list[bytes] = []
    for offset, timestamp, one in records:
        chain = sha256(chain + one).digest()
        marks.append(one[:MARK_BYTES])
        next_offset = offset + 1
        if timestamp > known_at:
            known_at = timestamp
            steps += (offset, timestamp)
    return Stretch(partition, before.next_offset, next_offset, known_at, chain, steps, b"".join(marks))


@dataclass
class Chains:
    """The chains of one topic as one process last left them, so that the next batch need not ask for them."""

    reached: dict[int, Reached] = field(default_factory=dict)

    def missing(self, next_offsets: Mapping[int, int]) -> list[int]:
        """The partitions whose chain is not known at the offset they stand at."""
        known = self.reached
        return [p for p, offset in next_offsets.items() if p not in known or known[p].next_offset != offset]

    def note(self, made: Iterable[Stretch]) -> None:
        """Stretches are stored: the next ones follow them."""
        for one in made:
            self.reached[one.partition] = Reached(one.next_offset, one.chain, one.known_at)
