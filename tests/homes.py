"""Where the homes of tests stand: in memory, where this machine has room for them, as stores make files by thousands.

A database that is copied for a test is five hundred files, a payer's topics two hundred; on a disk that is most of
their cost. What is killed here is a process and never the machine, so that memory keeps what a disk would.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM_BYTES = 6 << 30  # all homes of a run side by side need less than a third of it


def home_folder(prefix: str) -> tempfile.TemporaryDirectory[str]:
    """A folder with a short path, which goes with all that is in it."""
    return tempfile.TemporaryDirectory(prefix=prefix, dir=MEMORY if _is_roomy() else None)


def _is_roomy() -> bool:
    if not os.access(MEMORY, os.W_OK):
        return False
    available = re.search(r"^MemAvailable: +(\d+) kB$", Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE)
    return available is not None and min(shutil.disk_usage(MEMORY).free, 1024 * int(available[1])) > ROOM_BYTES


def naming_logs(folder: Path, canaries: Iterable[bytes]) -> list[tuple[str, bytes]]:
    """Logs of a folder that say one of these, in whatever case, and what they say."""
    found = re.compile(b"|".join(map(re.escape, canaries)), re.IGNORECASE)
    return [
        (path.name, line[:500])
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for line in path.read_bytes().splitlines()
        if found.search(line)
    ]
