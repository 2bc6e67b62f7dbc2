"""What the documents tell a reader to type, and where they send him, is there."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

import bootstrap

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TYPED = re.compile(r"^(?:\$ )?python3 bootstrap\.py (\w+)", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)")


def named(page: Path) -> str:
    """A page as a test's name says it."""
    return str(page.relative_to(ROOT))


def test_the_readme_gives_the_two_commands() -> None:
    assert {"demo", "test"} <= set(TYPED.findall((ROOT / "README.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_each_bootstrap_command_of_a_page_exists(page: Path) -> None:
    assert set(TYPED.findall(page.read_text(encoding="utf-8"))) <= set(bootstrap.COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_each_link_of_a_page_leads_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [] == [target for target in targets if not (page.parent / target).exists()]


def test_ci_runs_the_readmes_test_command() -> None:
    script = ROOT / ".ci" / "run"
    commands = [line for line in script.read_text(encoding="utf-8").splitlines() if "bootstrap.py" in line]
    assert ["python3 bootstrap.py test"] == commands
    assert script.stat().st_mode & stat.S_IXUSR


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
