"""The folder of one platform: its lock, its secrets, its ports, and what is said of what runs."""

from __future__ import annotations

import fcntl
import os
import random
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from carepact.local.errors import Held

PORTS = range(20_000, 32_000)  # below the ports that outgoing connections take, so that a restart finds its own free


class Home:
    """One home. Nothing is made on disk before something is stored in it."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()

    def __str__(self) -> str:
        return str(self.path)

    @property
    def kafka(self) -> Path:
        """The broker's folder."""
        return self.path / "kafka"

    @property
    def postgres(self) -> Path:
        """The database's folder."""
        return self.path / "postgres"

    @property
    def logs(self) -> Path:
        """What the parts print."""
        return self.path / "logs"

    @property
    def secrets(self) -> Path:
        """One file for each password, readable by the owner only."""
        return self.path / "secrets"

    def make(self) -> None:
        """Make the folders. The home is its owner's alone; the modes of folders above it are left as they are."""
        for folder in (self.path, self.kafka, self.postgres, self.logs, self.secrets):
            if not folder.exists():
                folder.mkdir(parents=True, mode=0o700)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold this home; `Held` names the process that already does. A killed holder's lock is gone with it."""
        self.make()
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 20, 0).decode().strip() or "unknown"
                raise Held(
                    f"home {self} is held by process {holder}; stop it with `carepact down --home {self}`"
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def holder(self) -> int | None:
        """The process that holds this home now, or None."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.pread(descriptor, 20, 0) or 0)
        finally:
            os.close(descriptor)
        return None

    def secret(self, name: str) -> str:
        """A password of this home, made at first use."""
        file = self.secrets / name
        try:
            return file.read_text(encoding="ascii")
        except FileNotFoundError:
            write_whole(file, secrets.token_urlsafe(24).encode())
            return file.read_text(encoding="ascii")

    def state(self) -> dict[str, Any]:
        """What the supervisor last said of its parts: ports, process ids, when started."""
        return read_json(self.path / "platform.json")

    def say(self, state: dict[str, Any]) -> None:
        """Replace what is said of the parts, in one step."""
        write_whole(self.path / "platform.json", orjson.dumps(state, option=orjson.OPT_INDENT_2))

    def choices(self) -> dict[str, Any]:
        """What was chosen once for this home: ports, partitions, the cluster's id."""
        return read_json(self.path / "home.json")

    def choose(self, **chosen: Any) -> None:
        """Remember choices for every later start."""
        write_whole(self.path / "home.json", orjson.dumps(self.choices() | chosen, option=orjson.OPT_INDENT_2))


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object, empty where there is no file."""
    try:
        read: dict[str, Any] = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    return read


def write_whole(file: Path, content: bytes) -> None:
    """Write a private file so that a reader sees the old or the new content, never half of one."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    partial.replace(file)


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address now."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Free ports, chosen at random so that homes started together seldom choose the same."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if port_is_free(port):
            found.append(port)
            if len(found) == count:
                return found
    raise Held(f"fewer than {count} of the ports {PORTS.start}-{PORTS.stop - 1} are free")
