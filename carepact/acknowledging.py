"""The X12 files of one publication: how they are checked, and the acknowledgements that are written to a folder."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO

from formats import x12
from formats.reading import Reader, Reject
from formats.x12_acknowledge import Hearing


class Acknowledging:
    """Listens while X12 files are read; a file's answers are named as it is, with .ta1, .999 and .277ca behind.

    They are for who sent the file: 277CA repeats patients as they were sent, so only their owner may read the files.
    """

    def __init__(self, validate: x12.Validate, folder: Path | None) -> None:
        self._validate, self._folder = validate, folder
        self._hearing = Hearing(validate)

    @property
    def readers(self) -> dict[str, Reader]:
        """X12 as it is asked for, for `read_files`."""
        return {"x12": partial(x12.read, validate=self._validate)} if self._folder is None else self._hearing.readers

    def refused(self, reject: Reject) -> None:
        """The door refuses what was read."""
        self._hearing.refused(reject)

    def write(self, made_at: datetime) -> list[Path]:
        """Write the answers to all files that were read; which files these are."""
        if self._folder is None:
            return []
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        streams: dict[Path, IO[bytes]] = {}
        names: Counter[str] = Counter()
        chosen: dict[int, str] = {}
        with ExitStack() as stack:
            for place, file, kind, text in self._hearing.answers(made_at):
                if place not in chosen:
                    names[file] += 1
                    chosen[place] = file if names[file] == 1 else f"{file}.{names[file]}"
                path = self._folder / f"{chosen[place]}.{kind}"
                if path not in streams:
                    streams[path] = stack.enter_context(open(path, "wb", opener=_for_its_owner))
                streams[path].write(text)
        return list(streams)


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
