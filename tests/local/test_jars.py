"""Jars are used only when they are the locked ones, and fetched only when they are missing."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from carepact.local import jars
from carepact.local.errors import Refused, TryAgain
from carepact.local.jars import Jar

CONTENTS = {"one": b"first jar" * 1000, "two": b"second jar" * 2000}


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Jar]:
    """Two small jars in place of the broker's, and an empty cache."""
    made = [
        Jar("org.example", name, "1.0", hashlib.sha256(content).hexdigest(), len(content))
        for name, content in CONTENTS.items()
    ]
    monkeypatch.setattr(jars, "locked_jars", lambda: tuple(made))
    monkeypatch.setattr(jars, "TRIES", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


class Mirror:
    """A Maven repository of files, and the jars that were asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, list[str]()
        mirror = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.endswith(".jar"):
                    mirror.asked.append(self.path.rpartition("/")[2])
                super().do_GET()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def put(self, name: str, content: bytes) -> None:
        file = self.folder / "org" / "example" / name / "1.0" / f"{name}-1.0.jar"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    """A running mirror with nothing in it."""
    (tmp_path / "mirror").mkdir()
    made = Mirror(tmp_path / "mirror")
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_every_jar_of_the_lock_file_is_named_once_with_its_hash() -> None:
    locked = jars.locked_jars()
    assert len({jar.filename for jar in locked}) == len(locked) == 46
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in locked)


def test_jars_are_fetched_once_and_then_without_a_network(locked: list[Jar], mirror: Mirror) -> None:
    for name, content in CONTENTS.items():
        mirror.put(name, content)
    found = jars.class_path(mirror=mirror.url)
    assert [file.read_bytes() for file in found] == list(CONTENTS.values())
    assert jars.class_path(mirror="http://127.0.0.1:1") == found
    assert sorted(mirror.asked) == ["one-1.0.jar", "two-1.0.jar"]
    assert sorted(file.name for file in jars.cache_folder().iterdir()) == ["one-1.0.jar", "two-1.0.jar"]


def test_several_that_need_the_same_jars_at_once_fetch_them_once(locked: list[Jar], mirror: Mirror) -> None:
    for name, content in CONTENTS.items():
        mirror.put(name, content)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: jars.class_path(mirror=mirror.url), range(4)))
    assert [paths == found[0] for paths in found] == [True] * 4
    assert sorted(mirror.asked) == ["one-1.0.jar", "two-1.0.jar"]


def test_an_interrupted_fetch_goes_on_with_what_is_missing(locked: list[Jar], mirror: Mirror) -> None:
    mirror.put("one", CONTENTS["one"])
    with pytest.raises(TryAgain, match=r"could not fetch two-1\.0\.jar .*CAREPACT_MAVEN"):
        jars.class_path(mirror=mirror.url)
    mirror.put("two", CONTENTS["two"])
    mirror.asked.clear()
    jars.class_path(mirror=mirror.url)
    assert mirror.asked == ["two-1.0.jar"]


def test_a_jar_with_another_hash_is_refused_and_not_kept(locked: list[Jar], mirror: Mirror) -> None:
    mirror.put("one", CONTENTS["one"])
    mirror.put("two", b"something else")
    with pytest.raises(Refused, match=r"two-1\.0\.jar is not the jar that was locked: its SHA-256 is"):
        jars.class_path(mirror=mirror.url)
    assert not (jars.cache_folder() / "two-1.0.jar").exists()


def test_a_jar_changed_in_the_cache_is_refused_by_name(locked: list[Jar]) -> None:
    jars.cache_folder().mkdir(parents=True)
    (jars.cache_folder() / "one-1.0.jar").write_bytes(b"tampered")
    with pytest.raises(Refused, match=r"one-1\.0\.jar is not the jar that was locked"):
        jars.class_path()


def test_a_ready_folder_is_verified_and_never_completed(locked: list[Jar], tmp_path: Path) -> None:
    folder = tmp_path / "ready"
    folder.mkdir()
    (folder / "one-1.0.jar").write_bytes(CONTENTS["one"])
    with pytest.raises(Refused, match=r"lacks two-1\.0\.jar"):
        jars.class_path(folder)
    (folder / "two-1.0.jar").write_bytes(CONTENTS["two"])
    assert len(jars.class_path(folder)) == 2
