"""The machine a figure was measured on, and what processes took of it, out of /proc."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
SAMPLE_SECONDS = 0.25

Pids = Callable[[], Sequence[int]]
"""The root processes of a group now; a part that was started again has another."""


@dataclass(frozen=True)
class Machine:
    """What a figure depends on beside the code."""

    cores: int
    cpu: str
    memory_bytes: int
    system: str
    python: str
    packages: Mapping[str, str]

    def __str__(self) -> str:
        packages = ", ".join(f"{name} {number}" for name, number in self.packages.items())
        memory = f"{self.memory_bytes / 2**30:.0f} GiB"
        return f"{self.cores} cores ({self.cpu}), {memory}, {self.system}, Python {self.python}, {packages}"

    def as_json(self) -> dict[str, Any]:
        """With stable keys."""
        return asdict(self)


def this_machine() -> Machine:
    """The machine this runs on. Cores are those this process may use."""
    models = [line.partition(":")[2].strip() for line in _lines("cpuinfo") if line.startswith("model name")]
    total = next((int(line.split()[1]) * 1024 for line in _lines("meminfo") if line.startswith("MemTotal")), 0)
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        cpu=models[0] if models else platform.processor() or "unknown",
        memory_bytes=total,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages={name: version(name) for name in ("aiokafka", "asyncpg", "faust-streaming", "msgspec")},
    )


def _lines(name: str) -> list[str]:
    try:
        return (PROC / name).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    own: int  # clock ticks
    reaped: int  # of children that have ended and were waited for


def _processes() -> dict[int, _Process]:
    found = {}
    for entry in os.scandir(PROC):
        if entry.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                text = Path(entry.path, "stat").read_text(encoding="ascii", errors="replace")
                words = text.rpartition(")")[2].split()
                numbers = [int(words[place]) for place in (1, 11, 12, 13, 14)]
                found[int(entry.name)] = _Process(numbers[0], numbers[1] + numbers[2], numbers[3] + numbers[4])
    return found


def family(roots: Sequence[int]) -> set[int]:
    """The processes and all their descendants that live now."""
    return _family(roots, _processes())


def _family(roots: Sequence[int], processes: Mapping[int, _Process]) -> set[int]:
    found = {pid for pid in roots if pid in processes}
    more = set(found)
    while more:
        more = {pid for pid, process in processes.items() if process.parent in more} - found
        found |= more
    return found


def cpu_seconds(groups: Mapping[str, Pids]) -> dict[str, float]:
    """Processor time of each group so far, its ended children included."""
    processes = _processes()
    return {
        name: sum(processes[pid].own + processes[pid].reaped for pid in _family(pids(), processes)) / TICKS
        for name, pids in groups.items()
    }


def resident_bytes(pid: int) -> int:
    """Resident memory of one process; 0 when it is gone."""
    try:
        return int((PROC / str(pid) / "statm").read_text(encoding="ascii").split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def shared_out_bytes(pids: Sequence[int]) -> int:
    """Memory of processes that share some of it, each page counted once among those that map it."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


@dataclass
class Memory:
    """Resident bytes of one group's processes over a run, as (seconds, bytes of each)."""

    samples: list[tuple[float, list[int]]] = field(default_factory=list)

    @property
    def peak_bytes(self) -> int:
        """Of the process that had most."""
        return max((max(each, default=0) for _, each in self.samples), default=0)

    @property
    def growth(self) -> float:
        """The last third's mean against the middle third's: 1.0 is flat."""
        if len(self.samples) < 6:
            return 1.0
        first, last = self.samples[0][0], self.samples[-1][0]
        third = (last - first) / 3
        middle = [sum(each) for at, each in self.samples if first + third <= at < first + 2 * third]
        end = [sum(each) for at, each in self.samples if at >= first + 2 * third]
        return (sum(end) / len(end)) / (sum(middle) / len(middle)) if middle and sum(middle) else 1.0


class Meter:
    """`async with Meter(groups, sampled) as meter:` measures time, processor time and one group's memory."""

    def __init__(self, groups: Mapping[str, Pids], sampled: str) -> None:
        self._groups, self._sampled = groups, sampled
        self.memory = Memory()
        self.peaks: dict[str, int] = {}
        self.seconds = 0.0
        self.cpu: dict[str, float] = {}

    async def __aenter__(self) -> Meter:
        self.begin()
        self._task = asyncio.create_task(self._sample())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def begin(self) -> None:
        """Count from now on."""
        self._began, self._cpu_began = time.perf_counter(), cpu_seconds(self._groups)
        self.memory = Memory()

    def end(self) -> None:
        """Count until now."""
        self.seconds = time.perf_counter() - self._began
        ended = cpu_seconds(self._groups)
        self.cpu = {name: ended[name] - before for name, before in self._cpu_began.items()}

    async def _sample(self) -> None:
        number = 0
        while True:
            pids = self._groups[self._sampled]()
            self.memory.samples.append((time.perf_counter(), [resident_bytes(pid) for pid in pids]))
            if number % 8 == 0:
                for name, roots in self._groups.items():
                    held = shared_out_bytes(sorted(family(roots())))
                    self.peaks[name] = max(self.peaks.get(name, 0), held)
            number += 1
            await asyncio.sleep(SAMPLE_SECONDS)
