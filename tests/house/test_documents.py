"""What the documents tell a reader to type, and where they send him, is there."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import pytest
import typer

import bootstrap
from carepact.__main__ import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TYPED = re.compile(r"^(?:\$ )?python3 bootstrap\.py (\w+)", re.MULTILINE)
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
SEAM = re.compile(r"\bseams? ((?:\d+(?:, | and |-)?)+)")
RULE = re.compile(r"\b(EOM \d(?:\.\d+)?|(?<=rules )[A-F]\.\d|(?<=outcomes )[A-F]\.\d)")
ROOMS = ("bench", "carepact", "contracts", "formats", "gateway", "projections", "streams", "tests")
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
def test_each_command_of_a_page_exists_with_its_options(page: Path) -> None:
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.splitlines():
            words = line.split(" #")[0].split()
            if words[:1] == ["carepact"]:
                found = command(words[1:])
                known = {option for parameter in found.params for option in parameter.opts}
                assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, line


def command(words: list[str]) -> Any:
    """The command that words name, groups first."""
    found: Any = typer.main.get_command(app)
    for word in words:
        if not hasattr(found, "get_command"):
            break
        found = found.get_command(None, word)
    return found


def sources() -> str:
    """All that the rooms say, as one text."""
    files = (file for room in ROOMS for end in ("py", "sql", "toml") for file in (ROOT / room).rglob(f"*.{end}"))
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted(files))


def test_each_seam_that_the_code_cites_is_explained() -> None:
    page = (ROOT / "docs/explanation/the-log-and-its-seams.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^(\d+)\. \*\*", page, re.MULTILINE))
    cited = {number for cited in SEAM.findall(sources()) for number in re.findall(r"\d+", cited)}
    assert cited <= explained


def test_each_rule_that_the_code_cites_is_listed() -> None:
    page = (ROOT / "docs/reference/rules.md").read_text(encoding="utf-8")
    assert [] == sorted({rule for rule in RULE.findall(sources()) if not re.search(re.escape(rule) + r"\b", page)})


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
