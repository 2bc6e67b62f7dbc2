"""An 837 of any size through the reader and the door, and the most memory that took: `python -m bench.large 1000`.

It stands as a file on disk and is read as `publish` reads it, some claims at a time; what the door makes of them is
counted and let go of. The process is its own, so that its peak is what reading took, the program with it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bench import x12
from formats.detect import read_files
from streams.door import Admitted, Door, FileSubmission
from streams.keys import SqliteKeyStore
from streams.publishing import CHUNK_ROWS
from streams.roster import Roster

CLAIM_BYTES = 420
PARTITIONS = 4
_KIBIBYTE = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Held:
    """What a file was, and the most memory that the process had at once; seconds are of processor time."""

    file_bytes: int
    claims: int
    peak_bytes: int
    seconds: float


def run(megabytes: float) -> Held:
    """In a process of its own."""
    words = [sys.executable, "-m", "bench.large", str(megabytes)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return Held(**json.loads(done.stdout))


def taken(megabytes: float) -> Held:
    """In this process."""
    with tempfile.TemporaryDirectory(prefix="carepact-bench-") as name:
        path = Path(name) / "large.837"
        with path.open("wb") as file:
            for part in x12.written(round(megabytes * 1e6 / CLAIM_BYTES)):
                file.write(part)
        keys = SqliteKeyStore(Path(name) / "keys.sqlite3")
        door, submission = Door(Roster.load().payer("medicare"), keys, PARTITIONS), FileSubmission()
        items, claims, began = read_files([path]), 0, time.process_time()
        while chunk := list(islice(items, CHUNK_ROWS)):
            admitted = door.admit(chunk, submission)
            assert all(isinstance(each, Admitted) for each in admitted), "the file is whole"
            claims += len(admitted)
        seconds, size = time.process_time() - began, path.stat().st_size
        keys.close()
    return Held(size, claims, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBIBYTE, seconds)


if __name__ == "__main__":
    print(json.dumps(taken(float(sys.argv[1])).__dict__))
