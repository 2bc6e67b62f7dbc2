"""Which format a file is, by its content; and its lines, in bounded memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from gzip import BadGzipFile, GzipFile
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

import msgspec

from contracts.envelope import MAX_FACT_BYTES
from formats import desynpuf, ndjson, tuva
from formats.reading import Place, Read, Reader, Reject
from formats.table import UnknownLayout, header_of

READERS: dict[str, Reader] = {"ndjson": ndjson.read, "desynpuf": desynpuf.read, "tuva": tuva.read}
"""The formats that `--format` takes, besides `auto`."""

HEADED = frozenset({"desynpuf", "tuva"})
"""Formats whose first line names the columns of all others."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_LIMIT = MAX_FACT_BYTES + 2
_PEEK = 100


class UnknownFormat(UnknownLayout):
    """The content is of no format that can be read. Names the file and what was looked for."""

    def __init__(self, file: str) -> None:
        super().__init__(
            f"{file}: the format cannot be told. Looked, in gzip or plain text, for CloudEvents in JSON (ndjson), "
            "a DE-SynPUF header (desynpuf), a Tuva header (tuva). Name it with --format if you know it."
        )


def detect(lines: list[bytes], file: str) -> str:
    """The format that these first lines of a file are of. A bad line among events does not hide them."""
    first = next((line for line in lines if line.strip()), b"")
    header = header_of(first)
    if desynpuf.maker(header, file) is not None:
        return "desynpuf"
    if tuva.kind_of(header) is not None:
        return "tuva"
    if any(_is_event(line) for line in lines) or first.removeprefix(_BOM).startswith(b"{"):
        return "ndjson"
    raise UnknownFormat(file)


def _is_event(line: bytes) -> bool:
    try:
        return "specversion" in msgspec.json.decode(line.removeprefix(_BOM), type=dict)
    except msgspec.DecodeError:
        return False


def lines_of(stream: BinaryIO | GzipFile) -> Iterator[bytes]:
    """Lines with their ends. Of a line longer than a fact may be, only so much that it is seen to be too long."""
    while line := stream.readline(_LIMIT):
        yield line
        while len(line) == _LIMIT and not line.endswith(b"\n"):
            if not (line := stream.readline(_LIMIT)):
                return


def read_file(path: Path, format_: str = "auto") -> Iterator[Read]:
    """Facts and rejects of a file of any format, gzip or plain. An empty file has none.

    Raises `UnknownLayout` before the first item when nothing fits. A gzip file that breaks off is a reject at its end.
    """
    file = path.name
    with ExitStack() as stack:
        stream: BinaryIO | GzipFile = stack.enter_context(path.open("rb"))
        packed = stream.read(2) == _GZIP
        stream.seek(0)
        if packed:
            stream = stack.enter_context(GzipFile(fileobj=stream))
        lines = _Counted(lines_of(stream))
        try:
            head = list(islice(lines, _PEEK))
            if not any(line.strip() for line in head):
                return
            chosen = detect(head, file) if format_ == "auto" else format_
            items = READERS[chosen](chain(head, lines), file)
            yield from _readable_again(items, chosen, head[0] if chosen in HEADED else b"")
        except (EOFError, BadGzipFile, zlib.error):
            place = Place(file, lines.count + 1)
            yield Reject(place, "unreadable", "a gzip file that is damaged or breaks off", "send the whole file again")


def _readable_again(items: Iterable[Read], format_: str, header: bytes) -> Iterator[Read]:
    """Rejects with their format, those of a table with its header too: without it no row could be read again."""
    for item in items:
        yield replace(item, format=format_, head=header) if isinstance(item, Reject) else item


class _Counted:
    """An iterator that knows how far it came."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self.count = 0

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> bytes:
        line = next(self._lines)
        self.count += 1
        return line
