"""What this machine has and lacks, each with what to do about it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from carepact.local import jars
from carepact.local.errors import PlatformError
from carepact.local.home import free_ports
from carepact.local.kafka import java
from carepact.local.postgres import SOCKET_PATH_BYTES_MAX, Postgres, can_unshare, programs
from carepact.settings import Settings

DISK_BYTES = 2_000_000_000
MEMORY_BYTES = 1_500_000_000


@dataclass(frozen=True)
class Finding:
    """One line of `carepact doctor`. `remedy` is empty where nothing need be done."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check in order. A check that cannot be made is itself a finding."""
    for name, check in CHECKS.items():
        try:
            yield check(settings)
        except (PlatformError, OSError, ImportError, subprocess.SubprocessError) as error:
            yield Finding(name, False, str(error) or type(error).__name__, "see the message")


def _python(_: Settings) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= (3, 11), version, "" if sys.version_info >= (3, 11) else "use >= 3.11")


def _jre(_: Settings) -> Finding:
    said = subprocess.run([java(), "-version"], capture_output=True, text=True, check=True)
    return Finding("jre", True, said.stderr.splitlines()[0])


def _jars(settings: Settings) -> Finding:
    folder = settings.kafka_jars or jars.cache_folder()
    lacking = jars.missing(folder)
    size = sum(jar.size for jar in lacking) / 1e6
    if not lacking:
        return Finding("kafka jars", True, f"{len(jars.locked_jars())} verified in {folder}")
    if settings.kafka_jars:
        return Finding("kafka jars", False, f"{len(lacking)} missing in {folder}", "complete CAREPACT_KAFKA_JARS")
    return Finding("kafka jars", True, f"{len(lacking)} missing", f"the first start fetches {size:.1f} MB")


def _postgres(_: Settings) -> Finding:
    said = subprocess.run([programs() / "postgres", "--version"], capture_output=True, text=True, check=True)
    return Finding("postgresql", True, said.stdout.strip())


def _root(_: Settings) -> Finding:
    if os.getuid() != 0:
        return Finding("user", True, f"uid {os.getuid()}")
    if can_unshare():
        return Finding("user", True, "root, and PostgreSQL runs as nobody in a user namespace")
    return Finding(
        "user", True, "root without user namespaces", "PostgreSQL runs as user nobody; the home must be reachable"
    )


def _disk(settings: Settings) -> Finding:
    folder = settings.home_folder.path
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return Finding(
        "disk",
        free >= DISK_BYTES,
        f"{free / 1e9:.1f} GB free at {folder}",
        "" if free >= DISK_BYTES else f"free {DISK_BYTES / 1e9:.0f} GB, or name another folder by CAREPACT_HOME",
    )


def _memory(_: Settings) -> Finding:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    enough = free >= MEMORY_BYTES
    remedy = "" if enough else f"Kafka, PostgreSQL and a worker take up to {MEMORY_BYTES / 1e9:.1f} GB; end something"
    return Finding("memory", enough, f"{free / 1e9:.1f} GB available", remedy)


def _ports(_: Settings) -> Finding:
    return Finding("ports", True, f"free, for example {free_ports(1)[0]} on 127.0.0.1")


def _lock(settings: Settings) -> Finding:
    home = settings.home_folder
    if holder := home.holder():
        return Finding("home", True, f"{home} is run by process {holder}")
    return Finding("home", True, f"{home} is not running", f"carepact up --home {home}")


def _socket(settings: Settings) -> Finding:
    home = settings.home_folder
    folder = Postgres(home).socket_folder
    note = (
        "" if folder == home.postgres else f"the home's path is too long for a socket ({SOCKET_PATH_BYTES_MAX} bytes)"
    )
    return Finding("socket", True, str(folder), note)


CHECKS: dict[str, Callable[[Settings], Finding]] = {
    "python": _python,
    "jre": _jre,
    "kafka jars": _jars,
    "postgresql": _postgres,
    "user": _root,
    "disk": _disk,
    "memory": _memory,
    "ports": _ports,
    "home": _lock,
    "socket": _socket,
}
