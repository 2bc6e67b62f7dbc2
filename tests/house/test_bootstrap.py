"""What bootstrap.py asks of a machine, and what it leaves alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import bootstrap
from conftest import LONGEST, TESTS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder whose `.venv` is empty; `pip` and `venv` are written down, not run."""
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        (tmp_path / name).write_text("# pinned\n" + "".join(f"p{n}==1 \\\n    --hash=sha256:{n}\n" for n in range(5)))
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(bootstrap, "PYTHON", tmp_path / ".venv/bin/python")
    monkeypatch.setattr(bootstrap, "INSTALLED", tmp_path / ".venv/installed")
    monkeypatch.setattr(bootstrap, "PROJECT", tmp_path / "pyproject.toml")
    monkeypatch.setattr(bootstrap, "RUNTIME", tmp_path / "requirements.lock")
    monkeypatch.setattr(bootstrap, "DEVELOPMENT", tmp_path / "requirements-dev.lock")
    return tmp_path


@pytest.fixture
def ran(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What was installed, in order."""
    calls: list[tuple[str, ...]] = []

    def make_environment() -> None:
        bootstrap.PYTHON.parent.mkdir(parents=True)
        bootstrap.PYTHON.touch()

    monkeypatch.setattr(bootstrap, "make_environment", make_environment)
    monkeypatch.setattr(bootstrap, "pip", lambda *arguments: calls.append(arguments))
    return calls


def test_a_lock_is_installed_once(ran: list[tuple[str, ...]]) -> None:
    bootstrap.install(bootstrap.RUNTIME)
    first = list(ran)
    bootstrap.install(bootstrap.RUNTIME)
    assert ran == first
    assert [("--require-hashes", "--no-deps")] * 2 == [call[:2] for call in first[:2]]


def test_both_halves_of_a_lock_have_each_package_once_with_its_hashes(ran: list[tuple[str, ...]]) -> None:
    bootstrap.install(bootstrap.RUNTIME)
    halves = [Path(call[-1]).read_text() for call in ran[:2]]
    pins = sorted(pin for half in halves for pin in bootstrap.PACKAGE.findall(half))
    assert bootstrap.RUNTIME.read_text() == "# pinned\n" + "".join(pins)


def test_a_lock_is_pins_and_nothing_else() -> None:
    for lock in (bootstrap.RUNTIME, bootstrap.DEVELOPMENT):
        text = lock.read_text()
        assert text == bootstrap.HEADER + "".join(bootstrap.PACKAGE.findall(text))


def test_the_development_lock_serves_the_demo_too(ran: list[tuple[str, ...]]) -> None:
    bootstrap.install(bootstrap.DEVELOPMENT)
    ran.clear()
    bootstrap.install(bootstrap.RUNTIME)
    assert [] == ran


def test_a_changed_project_is_installed_again(ran: list[tuple[str, ...]]) -> None:
    bootstrap.install(bootstrap.RUNTIME)
    bootstrap.PROJECT.write_text("changed")
    ran.clear()
    bootstrap.install(bootstrap.RUNTIME)
    assert ran


def test_an_install_that_failed_is_tried_again(ran: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "pip", broken)
        with pytest.raises(KeyboardInterrupt):
            bootstrap.install(bootstrap.RUNTIME)
    bootstrap.install(bootstrap.RUNTIME)
    assert ran


def test_an_old_python_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    assert "Python 3.11 or newer is needed" in bootstrap.what_is_lacking()


def test_a_python_without_pip_is_told_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "has", lambda _: False)
    assert "python3-venv" in bootstrap.what_is_lacking()


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert bootstrap.main(["dance"]) == 2
    assert "bootstrap.py demo" in capsys.readouterr().out


def test_the_files_that_a_run_begins_with_are_there() -> None:
    assert [name for name in LONGEST if not (TESTS / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)
