"""A partition's records in temporary files by member, so that a few members at a time are folded in little memory.

Members never meet in a fold: one that is folded alone, between all that was told to everybody, comes to the same. So
each slice holds the records of some keys in their order, and every record that has no key.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import IO, Any, NamedTuple, Self
from zlib import crc32

SLICE_RECORDS = 3_000
"""About so many in a slice: what they make stays in the processor's cache, and each part is packed once."""

SLICES_MAX = 1_000
CHUNK_BYTES = 32 * 1024
NONE = -1
_HEAD = Struct("<qqii")


class Kept(NamedTuple):
    """A record as far as a fold reads it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def slices_of(records: int) -> int:
    """Into how many slices so many records are laid."""
    return max(1, min(SLICES_MAX, -(-records // SLICE_RECORDS)))


class Spool:
    """Records laid into slices, in a file without a name that is gone when this is closed."""

    def __init__(self, slices: int) -> None:
        self.slices = slices
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`
        self._end = 0
        self._held: list[list[bytes]] = [[] for _ in range(slices)]
        self._sizes = [0] * slices
        self._chunks: list[list[tuple[int, int]]] = [[] for _ in range(slices)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, records: Sequence[Any]) -> None:
        """Lay records into their slices."""
        count, held, sizes, pack = self.slices, self._held, self._sizes, _HEAD.pack
        for record in records:
            key, value = record.key, record.value
            head = pack(
                record.offset,
                record.timestamp,
                NONE if key is None else len(key),
                NONE if value is None else len(value),
            )
            parts, size = (head, key or b"", value or b""), len(value or b"")
            for place in (crc32(key) % count,) if key else range(count):
                held[place] += parts
                sizes[place] += size
                if sizes[place] > CHUNK_BYTES:
                    self._write(place)

    def _write(self, place: int) -> None:
        data = b"".join(self._held[place])
        self._held[place], self._sizes[place] = [], 0
        self._file.seek(self._end)
        self._file.write(data)
        self._chunks[place].append((self._end, len(data)))
        self._end += len(data)

    def records(self, place: int, at_once: int) -> Iterator[list[Kept]]:
        """A slice's records in order, some at a time."""
        self._write(place)
        found, size, unpack, new = list[Kept](), _HEAD.size, _HEAD.unpack_from, tuple.__new__
        for start, length in self._chunks[place]:
            self._file.seek(start)
            data, at = self._file.read(length), 0
            while at < length:
                offset, timestamp, key_length, value_length = unpack(data, at)
                key_at = at + size
                value_at = key_at + max(key_length, 0)
                at = value_at + max(value_length, 0)
                key = None if key_length == NONE else data[key_at:value_at]
                value = None if value_length == NONE else data[value_at:at]
                found.append(new(Kept, (offset, timestamp, key, value)))
            if len(found) >= at_once:
                yield found
                found = []
        if found:
            yield found
