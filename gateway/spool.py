"""Where a file lies while it is taken in: a folder that is the gateway's alone, empty at each start and each end.

Its name there is ours. Of the sender's name stays what readers need, the month or year of a CMS file and a known
ending, since names of files may name people.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.problems import Problem
from streams.operations import ending_of

PLACE = "http"
_CCLF = re.compile(r"P\.[A-Z]{1,5}[0-9]{0,6}(\.ACO|\.KCC)?\.ZC[0-9AB]{1,2}[A-Z0-9]{0,4}\.D[0-9]{6}\.T[0-9]{7}(\.txt)?")
_YEAR = re.compile(r"(?<![0-9])(19|20)[0-9]{2}(?![0-9])")
_SHA256 = re.compile(r"(?:^|[\s,])sha-256=:([A-Za-z0-9+/=]{44}):")


@dataclass(frozen=True, slots=True)
class Spooled:
    """A file that came whole."""

    path: Path
    size_bytes: int
    sha256: bytes


class Spool:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "incoming"

    def clear(self) -> None:
        """Remove what a process that was killed has left."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def place(self, name: str) -> Iterator[Path]:
        """A path for one file, which is gone at the end."""
        folder = self._folder / uuid.uuid4().hex
        folder.mkdir(parents=True, mode=0o700)
        try:
            yield folder / place_name(name)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def place_name(name: str) -> str:
    """What stays of a sender's name."""
    if _CCLF.fullmatch(name):
        return name
    years = {found[0] for found in _YEAR.finditer(name)}
    return PLACE + (f".{years.pop()}" if len(years) == 1 else "") + ending_of(name)


async def received(chunks: AsyncIterator[bytes], path: Path, content_digest: str | None) -> Spooled:
    """Write what comes to a file. `Problem` 400 when it is not what `Content-Digest` (RFC 9530) says."""
    hashed, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        async for chunk in chunks:
            hashed.update(chunk)
            size += len(chunk)
            await asyncio.to_thread(file.write, chunk)
    told = _SHA256.search(content_digest or "")
    if told and base64.b64decode(told[1]) != hashed.digest():
        raise Problem(400, "digest_mismatch", "the body is not what Content-Digest says; send it again")
    return Spooled(path, size, hashed.digest())
