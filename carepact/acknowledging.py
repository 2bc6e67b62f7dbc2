"""The X12 files of one publication: how they are checked, and the acknowledgements that are written to a folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from formats import x12
from formats.reading import Read, Reader, Reject
from formats.x12_acknowledge import KINDS, Heard


class Acknowledging:
    """Listens while X12 files are read; a file's answers are named as it is, with .ta1, .999 and .277ca behind.

    They are for who sent the file: 277CA repeats patients as they were sent, so only their owner may read the files.
    """

    def __init__(self, validate: x12.Validate, folder: Path | None) -> None:
        self.validate, self.folder = validate, folder
        self._heard: list[tuple[str, Heard]] = []

    @property
    def readers(self) -> dict[str, Reader]:
        """X12 as it is asked for, for `read_files`."""
        return {"x12": self._read}

    def _read(self, chunks: Iterable[bytes], file: str) -> Iterator[Read]:
        if self.folder is None:
            return x12.read(chunks, file, validate=self.validate)
        heard = Heard()
        self._heard.append((file, heard))
        return x12.read(chunks, file, validate=self.validate, heard=heard)

    def refused(self, reject: Reject) -> None:
        """The door refuses what was read: of files of one name it is the last."""
        for file, heard in reversed(self._heard):
            if file == reject.place.file:
                heard.refused(reject.place.line, reject.code, reject.place.field)
                return

    def write(self, made_at: datetime) -> list[Path]:
        """Write the answers to all files that were read; which files these are."""
        if self.folder is None:
            return []
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        written: list[Path] = []
        names: Counter[str] = Counter()
        control = int(made_at.timestamp()) % 10**9
        for file, heard in self._heard:
            names[file] += 1
            name = file if names[file] == 1 else f"{file}.{names[file]}"
            streams = {kind: _Answer(self.folder / f"{name}.{kind}") for kind in KINDS}
            for kind, text in heard.answers(made_at, control):
                control += text.startswith(b"ISA*")
                streams[kind].add(text)
            written += [stream.path for stream in streams.values() if stream.close()]
        return written


class _Answer:
    """A file for its owner only, made when there is something to write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = -1

    def add(self, text: bytes) -> None:
        if self._handle < 0:
            self._handle = os.open(self.path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        while text:
            text = text[os.write(self._handle, text) :]

    def close(self) -> bool:
        """Whether there was anything."""
        if self._handle < 0:
            return False
        os.close(self._handle)
        return True
