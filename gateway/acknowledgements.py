"""The answers to X12 files (TA1, 999, 277CA), sealed where the gateway keeps them until their sender fetches them.

A 277CA repeats patients as they were sent. So what lies on disk is encrypted under a key of the payer's own, chunk by
chunk, and is deleted after some weeks; whoever needs it later sends the file again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from formats.x12_acknowledge import KINDS, Kind
from streams.keys import PayerKeys

KEPT_SECONDS = 30 * 86_400
CHUNK_BYTES = 65_536
_NONCE_BYTES = 12
_SIZE_BYTES = 4


class Acknowledgements:
    """The folder of sealed answers, one file for each run and kind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "acknowledgements"

    def clear(self) -> None:
        """Delete those that were kept long enough, and what was not finished."""
        oldest = time.time() - KEPT_SECONDS
        for path in self._folder.glob("*"):
            with suppress(FileNotFoundError):
                if path.suffix == ".part" or path.stat().st_mtime < oldest:
                    path.unlink()

    def kinds(self, run_id: str) -> list[Kind]:
        """Those that a run has."""
        return [kind for kind in KINDS if self._path(run_id, kind).exists()]

    def keep(self, run_id: str, keys: PayerKeys, answers: Iterable[tuple[Kind, bytes]]) -> None:
        """Seal the answers to a run; whole or not at all."""
        with ExitStack() as stack:
            open_: dict[Kind, Callable[[bytes], None]] = {}
            for kind, text in answers:
                if kind not in open_:
                    open_[kind] = stack.enter_context(_Sealing(self._path(run_id, kind), keys, f"{run_id}|{kind}")).add
                open_[kind](text)
        self.clear()

    def read(self, run_id: str, kind: Kind, keys: PayerKeys) -> Iterator[bytes] | None:
        """The answer, opened piece by piece; None when there is none."""
        path = self._path(run_id, kind)
        return _opened(path, keys, f"{run_id}|{kind}") if path.exists() else None

    def forget(self, keys: PayerKeys, names: Callable[[bytes], bool]) -> int:
        """Delete a payer's answers in which `names` finds somebody; how many that were. Others' do not open."""
        count = 0
        for path in self._folder.glob("*"):
            try:
                told = b"".join(_opened(path, keys, path.name.replace(".", "|")))
            except (InvalidTag, OSError, ValueError):
                continue
            if names(told):
                path.unlink(missing_ok=True)
                count += 1
        return count

    def _path(self, run_id: str, kind: Kind) -> Path:
        return self._folder / f"{run_id}.{kind}"


class _Sealing:
    """A file that is being written under another name."""

    def __init__(self, path: Path, keys: PayerKeys, bound: str) -> None:
        path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        self._path, self._part = path, path.with_name(path.name + ".part")
        self._cipher, self._bound, self._number = AESGCM(_key(keys)), bound, 0
        self._held = bytearray()
        self._file = os.fdopen(os.open(self._part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb")

    def __enter__(self) -> _Sealing:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._put(last=True)
        self._file.close()
        if kind is None:
            self._part.replace(self._path)
        else:
            self._part.unlink()

    def add(self, text: bytes) -> None:
        """More of it."""
        self._held += text
        if len(self._held) >= CHUNK_BYTES:
            self._put(last=False)

    def _put(self, last: bool) -> None:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, bytes(self._held), _place(self._bound, self._number, last))
        self._file.write((len(sealed) + _NONCE_BYTES).to_bytes(_SIZE_BYTES) + nonce + sealed)
        self._held.clear()
        self._number += 1


def _opened(path: Path, keys: PayerKeys, bound: str) -> Iterator[bytes]:
    cipher = AESGCM(_key(keys))
    with path.open("rb") as file:
        for number in count():
            chunk = file.read(int.from_bytes(file.read(_SIZE_BYTES)))
            nonce, sealed = chunk[:_NONCE_BYTES], chunk[_NONCE_BYTES:]
            try:
                yield cipher.decrypt(nonce, sealed, _place(bound, number, last=False))
            except InvalidTag:
                yield cipher.decrypt(nonce, sealed, _place(bound, number, last=True))
                return


def _key(keys: PayerKeys) -> bytes:
    return hmac.digest(keys.rejects, b"acknowledgements", hashlib.sha256)


def _place(bound: str, number: int, last: bool) -> bytes:
    """What a chunk is bound to, so that none can be left out, or come from elsewhere."""
    return f"{bound}|{number}|{'last' if last else 'more'}".encode()
