"""Wrapping keys, which wrap all others of the key store: in the environment, in a file, or under a KMS (seam 20).

In the environment and in a file a key stands as it is. With a KMS the file holds each key as the KMS encrypted it, and
the KMS is asked when a process opens the store or first meets a new key: it sees neither a member's key nor how many
there are, and its being away stops no process that is at work. A file may hold both kinds, which is how one moves.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from streams.key_errors import KeyStoreError
from streams.kms import Kms

WRAPPING_KEY_VARIABLE = "CAREPACT_WRAPPING_KEY"
KEY_BYTES = 32
ID_BYTES = 8
_NONCE_BYTES = 12
_BY_KMS = "kms:"


@dataclass(frozen=True, slots=True)
class _Held:
    """A wrapping key, and the line that stands for it in the file."""

    key: bytes = field(repr=False)
    line: str = field(repr=False)


class WrappingKeys:
    """The keys that wrap all others, known by the first bytes of their hash.

    They stand one a line in a file that only its owner may read, or in `CAREPACT_WRAPPING_KEY`, separated by commas;
    each is the base64url of 32 bytes, or what the KMS made of them. The first is the one to wrap with after the next
    re-wrap.
    """

    def __init__(self, keys: Iterable[bytes | _Held], file: Path | None = None, kms: Kms | None = None) -> None:
        self.file, self._kms = file, kms
        self._held = [each if isinstance(each, _Held) else _Held(each, _encoded(each)) for each in keys]
        if not self._held or any(len(held.key) != KEY_BYTES for held in self._held):
            raise KeyStoreError(f"a wrapping key is the base64url of {KEY_BYTES} bytes")
        self._ciphers = {_key_id(held.key): AESGCM(held.key) for held in self._held}

    @classmethod
    def beside(cls, store: Path, environ: Mapping[str, str] = os.environ, kms: Kms | None = None) -> WrappingKeys:
        """Those of the environment; else those in the file beside the store, which is made when there is none."""
        return cls.found(store.with_name(store.name + ".wrapping"), environ, kms=kms)

    @classmethod
    def found(
        cls, file: Path, environ: Mapping[str, str] = os.environ, *, make: bool = True, kms: Kms | None = None
    ) -> WrappingKeys:
        """Those of the environment; else those in the file, which is made when there is none, if it may be."""
        if given := environ.get(WRAPPING_KEY_VARIABLE):
            return cls(_Held(_decoded(text), text) for text in _texts(given.split(",")))
        if not file.exists():
            if not make:
                raise KeyStoreError(f"there is no wrapping key: neither {WRAPPING_KEY_VARIABLE} nor {file}")
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_once(file, [_made(kms)])
        return cls(_read(file, kms), file, kms)

    @property
    def newest(self) -> bytes:
        """The id of the first key."""
        return _key_id(self._held[0].key)

    def __contains__(self, key_id: bytes) -> bool:
        return key_id in self._ciphers

    def wrap(self, key_id: bytes, key: bytes, purpose: str) -> bytes:
        """Wrap `key` so that it opens for the same purpose only."""
        nonce = os.urandom(_NONCE_BYTES)
        return key_id + nonce + self._ciphers[key_id].encrypt(nonce, key, purpose.encode())

    def unwrap(self, wrapped: bytes, purpose: str) -> bytes:
        """The key in `wrapped`; `KeyStoreError` when it was wrapped for another purpose, or by a key we have not."""
        cipher = self._ciphers.get(wrapped[:ID_BYTES])
        if cipher is None:
            raise KeyStoreError(f"no wrapping key {wrapped[:ID_BYTES].hex()}: the store was wrapped by another one")
        nonce, sealed = wrapped[ID_BYTES : ID_BYTES + _NONCE_BYTES], wrapped[ID_BYTES + _NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, sealed, purpose.encode())
        except InvalidTag:
            raise KeyStoreError(f"a key of the store does not open as {purpose}") from None

    @contextmanager
    def rotating(self) -> Iterator[None]:
        """One rotation at a time of what this file's keys wrap: two would drop each other's new key."""
        if self.file is None:
            yield
            return
        handle = os.open(self.file.with_name(f"{self.file.name}.rotating"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def renewed(self) -> WrappingKeys:
        """With a new first key; the file has it too before this returns."""
        return self._replaced([_made(self._kms), *self._held])

    def without_old(self) -> WrappingKeys:
        """With the first key only."""
        return self._replaced(self._held[:1])

    def reread(self) -> WrappingKeys:
        """As the file has them now."""
        return WrappingKeys(_read(self.file, self._kms), self.file, self._kms) if self.file else self

    def _replaced(self, held: Sequence[_Held]) -> WrappingKeys:
        if self.file is None:
            raise KeyStoreError(f"the wrapping keys come by {WRAPPING_KEY_VARIABLE}: put the new one first there")
        beside = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        _write_private(beside, held)
        beside.replace(self.file)
        _sync_folder(self.file.parent)
        return WrappingKeys(held, self.file, self._kms)


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"carepact wrapping key|" + key).digest()[:ID_BYTES]


def _made(kms: Kms | None) -> _Held:
    key = os.urandom(KEY_BYTES)
    return _Held(key, _BY_KMS + kms.encrypted(key) if kms else _encoded(key))


def _read(file: Path, kms: Kms | None) -> list[_Held]:
    return [_Held(_opened(text, kms), text) for text in _texts(file.read_text(encoding="ascii").split())]


def _opened(text: str, kms: Kms | None) -> bytes:
    if not text.startswith(_BY_KMS):
        return _decoded(text)
    if kms is None:
        raise KeyStoreError("the wrapping key is under a KMS; name it by CAREPACT_KMS")
    return kms.decrypted(text.removeprefix(_BY_KMS))


def _texts(given: Iterable[str]) -> Iterator[str]:
    yield from (text.strip() for text in given if text.strip())


def _encoded(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode("ascii")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, altchars=b"-_", validate=True)
    except ValueError:
        raise KeyStoreError(f"a wrapping key is the base64url of {KEY_BYTES} bytes") from None


def _write_once(file: Path, held: Sequence[_Held]) -> None:
    """Make the file whole or not at all; when another process was first, its file stays."""
    beside = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}")
    _write_private(beside, held)
    try:
        with suppress(FileExistsError):
            os.link(beside, file)
    finally:
        beside.unlink()
    _sync_folder(file.parent)


def _write_private(file: Path, held: Sequence[_Held]) -> None:
    handle = os.open(file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    try:
        os.write(handle, "".join(f"{each.line}\n" for each in held).encode("ascii"))
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
