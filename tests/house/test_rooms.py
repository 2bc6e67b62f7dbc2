"""The core knows no clock, chance or network. That rooms import inwards is asked by `lint-imports`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = sorted((ROOT / "contracts").rglob("*.py"))
IMPURE = {
    "asyncio",
    "http",
    "os",
    "random",
    "secrets",
    "socket",
    "sqlite3",
    "subprocess",
    "threading",
    "time",
    "urllib",
}
CLOCKS = {"now", "utcnow", "today", "uuid1", "uuid4"}


def imported(tree: ast.AST) -> Iterator[str]:
    """The top name of every module that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "contracts" if node.level else str(node.module).split(".")[0]


@pytest.mark.parametrize("file", CORE, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_core_imports_pydantic_and_pure_parts_of_the_standard_library(file: Path) -> None:
    known = {*sys.stdlib_module_names, "pydantic", "pydantic_core", "contracts"} - IMPURE
    assert set(imported(ast.parse(file.read_text(encoding="utf-8")))) <= known


@pytest.mark.parametrize("file", CORE, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_core_asks_no_clock_and_draws_no_id(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    called = {
        node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)
    }
    assert set() == called & CLOCKS


def test_every_folder_of_tests_is_a_package() -> None:
    """Else pytest puts the folder itself on the path, and `tests/projections` stands before `projections`."""
    folders = {folder for file in (ROOT / "tests").rglob("*.py") for folder in (file.parent, ROOT / "tests")}
    assert [] == sorted(str(folder) for folder in folders if not (folder / "__init__.py").exists())
