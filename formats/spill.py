"""Records put in in any order and given back together by key, in bounded memory.

While a submission is small its records stay in memory. What is larger goes, by the key's checksum, into temporary files
that have no name in any folder and end with the process; one of them at a time is read back, and its keys are together
in it. So memory holds at most `HELD` bytes of records, or a share of the submission where that is more.
"""

from __future__ import annotations

import marshal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from typing import IO
from zlib import crc32

from msgspec import Struct
from msgspec.structs import astuple

HELD = 48 * 1024 * 1024
"""Bytes of records that are kept in memory."""
SHARES = 64
"""Temporary files of a submission that is larger."""
_BUFFER = 128 * 1024


class Kept(Struct, frozen=True, gc=False):
    """A record as sent, with its kind, the file it stood in and its 1-based line."""

    key: str
    kind: str
    file: str
    line: int
    raw: bytes


_kind = attrgetter("kind")


class Spill:
    """Records of one submission, to be grouped. Within a group they stand by kind, then as they came."""

    def __init__(self, files: ExitStack, held: int, shares: int) -> None:
        self._files, self._held, self._count = files, held, shares
        self._groups: dict[str, list[Kept]] = {}
        self._size = 0
        self._shares: list[IO[bytes]] = []

    def put(self, kept: Kept) -> None:
        """Keep a record."""
        group = self._groups.get(kept.key)
        if group is None:
            self._groups[kept.key] = [kept]
        else:
            group.append(kept)
        self._size += len(kept.raw)
        if self._size > self._held:
            self._flush()

    def groups(self) -> Iterator[list[Kept]]:
        """All records with one key at a time, keys in the order of their characters: of all, or within each share."""
        if not self._shares:
            yield from _in_order(self._groups)
            return
        self._flush()
        for share in self._shares:
            share.seek(0)
            groups: dict[str, list[Kept]] = {}
            while packed := share.read(4):
                for fields in marshal.loads(share.read(int.from_bytes(packed, "big"))):  # noqa: S302 - our own file
                    groups.setdefault(fields[0], []).append(Kept(*fields))
            yield from _in_order(groups)

    def _flush(self) -> None:
        """Move what is in memory into the shares, in the order in which it came within each key."""
        if not self._shares:
            for _ in range(self._count):
                self._shares.append(self._files.enter_context(tempfile.TemporaryFile()))  # noqa: SIM115 - closed with the stack
        parts: list[list[tuple[object, ...]]] = [[] for _ in self._shares]
        for key, group in self._groups.items():
            parts[crc32(key.encode("utf-8", "surrogateescape")) % len(parts)] += map(astuple, group)
        for share, part in zip(self._shares, parts, strict=True):
            packed = marshal.dumps(part)
            share.write(len(packed).to_bytes(4, "big") + packed)
        self._groups, self._size = {}, 0


def _in_order(groups: dict[str, list[Kept]]) -> Iterator[list[Kept]]:
    for key in sorted(groups):
        group = groups.pop(key)
        if len(group) > 1:
            group.sort(key=_kind)
        yield group


@contextmanager
def spill(held: int = 0, shares: int = SHARES) -> Iterator[Spill]:
    """A place for the records of one submission, gone when it is left."""
    with ExitStack() as files:
        yield Spill(files, held or HELD, shares)
