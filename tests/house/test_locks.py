"""The locks pin every dependency, by hash, without saying where from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUNTIME, DEVELOPMENT = "requirements.lock", "requirements-dev.lock"


def pins(lock: str) -> dict[str, Requirement]:
    """The requirements of a lock by name, each with `==` and one version."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split("--hash=")[0] for line in text.splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, lines)}


def declared(*groups: str) -> list[Requirement]:
    """What pyproject.toml asks for at run time and in dependency groups."""
    asked = [one for group in groups for one in PROJECT["dependency-groups"][group] if isinstance(one, str)]
    return [Requirement(one) for one in PROJECT["project"]["dependencies"] + asked]


@pytest.mark.parametrize(
    ("lock", "requirement"),
    [(RUNTIME, one) for one in declared("build")] + [(DEVELOPMENT, one) for one in declared("build", "dev")],
    ids=str,
)
def test_each_dependency_is_pinned_to_a_version_that_pyproject_allows(lock: str, requirement: Requirement) -> None:
    pin = pins(lock)[canonicalize_name(requirement.name)]
    (version,) = [part.version for part in pin.specifier if part.operator == "=="]
    assert requirement.specifier.contains(version, prereleases=True)


@pytest.mark.parametrize("lock", [RUNTIME, DEVELOPMENT])
def test_every_pin_has_a_hash(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    without = [
        line for line in text.splitlines() if "==" in line and not re.search(r"--hash=sha256:[0-9a-f]{64}", line)
    ]
    assert [] == without


@pytest.mark.parametrize("lock", [RUNTIME, DEVELOPMENT])
def test_a_lock_names_no_place(lock: str) -> None:
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    placed = [line for line in lines if re.search(r"://|^\s*-(?!-hash=)|file:|@ ", line)]
    assert [] == placed


def test_the_development_lock_holds_the_other_in_the_same_versions() -> None:
    runtime, development = pins(RUNTIME), pins(DEVELOPMENT)
    assert {name: str(pin.specifier) for name, pin in runtime.items()} == {
        name: str(development[name].specifier) for name in runtime if name in development
    }


def test_what_moves_money_is_pinned_exactly() -> None:
    exact = {pin.name for pin in declared() if [part.operator for part in pin.specifier] == ["=="]}
    assert {"aiokafka", "faust-streaming", "mode-streaming"} <= exact
