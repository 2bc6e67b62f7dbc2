"""Apache Kafka's jars: fetched once by name, and used only if their SHA-256 is the one in the lock file."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from carepact.local.errors import Refused, TryAgain
from carepact.local.progress import Progress
from streams.alone import alone_in

VERSION = "4.3.1"
LOCK_FILE = Path(__file__).with_name(f"kafka-{VERSION}.lock")
THREADS = 8
TRIES = 3


@dataclass(frozen=True)
class Jar:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int

    @property
    def filename(self) -> str:
        """The jar's file name, the same in a repository and in our folder."""
        return f"{self.artifact}-{self.version}.jar"


@cache
def locked_jars() -> tuple[Jar, ...]:
    """Every jar of the broker's class path."""
    return tuple(_jar(line) for line in LOCK_FILE.read_text(encoding="ascii").splitlines() if line)


def _jar(line: str) -> Jar:
    coordinates, sha256, size = line.split()
    group, artifact, version = coordinates.split(":")
    return Jar(group, artifact, version, sha256, int(size))


def cache_folder() -> Path:
    """Where fetched jars are kept for all homes of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "carepact" / f"kafka-{VERSION}"


def missing(folder: Path) -> list[Jar]:
    """The jars that a folder lacks; one that is there and is not what the lock names is refused."""
    lacking = []
    for jar in locked_jars():
        if (file := folder / jar.filename).exists():
            _verify(jar, file)
        else:
            lacking.append(jar)
    return lacking


def class_path(ready_folder: Path | None = None, mirror: str | None = None) -> list[Path]:
    """The verified jars, fetched first where they are missing.

    `ready_folder` is used as it is, and nothing is fetched. `mirror` is a Maven repository used in place of Maven
    Central. A fetch that was interrupted goes on with the jars it still lacks; once all are there, no network is used.
    Of several processes one fetches, and the others wait for it.
    """
    folder = ready_folder or cache_folder()
    lacking = missing(folder)
    if lacking and ready_folder:
        raise Refused(
            f"CAREPACT_KAFKA_JARS: {folder} lacks {', '.join(jar.filename for jar in lacking)}; "
            f"put them there, or unset it to have them fetched"
        )
    if lacking:
        folder.mkdir(parents=True, exist_ok=True)
        with alone_in(folder):
            _fetch(missing(folder), folder, mirror)
    return [folder / jar.filename for jar in locked_jars()]


def _verify(jar: Jar, file: Path) -> None:
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != jar.sha256:
        raise Refused(
            f"{jar.filename} is not the jar that was locked: its SHA-256 is {found}, expected {jar.sha256}. "
            f"It was not used. Delete {file} to have it fetched again, and check where it came from"
        )


def _fetch(jars: list[Jar], folder: Path, mirror: str | None) -> None:
    if not jars:
        return
    _maven()
    total = sum(jar.size for jar in jars)
    said = f"Apache Kafka {VERSION}: fetching {len(jars)} jars, {total / 1e6:.1f} MB, from {mirror or 'Maven Central'}"
    with Progress(said, total) as progress, _scratch(folder) as scratch, ThreadPoolExecutor(THREADS) as pool:
        fetches = {pool.submit(_fetch_one, jar, scratch, folder, mirror): jar for jar in jars}
        try:
            for done in as_completed(fetches):
                done.result()
                progress.advance(fetches[done].size)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@cache
def _maven() -> Any:
    with warnings.catch_warnings():  # its dependencies warn of folders that we do not use
        warnings.simplefilter("ignore")
        from jgo.maven import MavenContext  # noqa: PLC0415 - slow to import, and needed once only

    return MavenContext


def _fetch_one(jar: Jar, scratch: Path, folder: Path, mirror: str | None) -> None:
    context_of = _maven()
    remotes = {"mirror": mirror.rstrip("/")} if mirror else None
    for attempt in range(1, TRIES + 1):
        at = scratch / f"{jar.filename}.{attempt}"
        context = context_of(repo_cache=at, local_repos=[], remote_repos=remotes, timeout=30)
        try:
            file: Path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
            _verify(jar, file)
        except (Refused, OSError, RuntimeError) as failed:  # requests' errors are OSErrors
            if attempt < TRIES:
                continue
            if isinstance(failed, Refused):
                raise
            raise TryAgain(
                f"could not fetch {jar.filename} from {mirror or 'Maven Central'} ({type(failed).__name__}). "
                f"Name a mirror by CAREPACT_MAVEN, or a folder that has the jars by CAREPACT_KAFKA_JARS; "
                f"what was fetched is kept"
            ) from failed
        else:
            file.replace(folder / jar.filename)
            return
