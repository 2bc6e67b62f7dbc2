"""What no file of this tree may hold: places of one machine, hosts of package indexes, how it came about."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Each is written in two parts, so that this file passes its own test.
HOSTS = [
    "py" + "pi.org",
    "pythonhosted" + ".org",
    "maven." + "apache.org",
    "repo1." + "maven",
    "registry." + "npmjs",
    "crates" + ".io",
]
PLACES = [
    r"(?<![\w./$}-])/" + name + r"(?=[/\s\"'`)]|$)" for name in ("work", "root", "tmp", r"home/\w+", r"Users/\w+")
]
ORIGINS = [
    r"\b" + "clau" + r"de\b",
    r"\b" + "anthro" + "pic",
    r"\b" + "chat" + r"gpt\b",
    r"\b" + "open" + r"ai\b",
    r"\b" + "LL" + r"Ms?\b",
    "language " + "model",
    r"\b" + "co-authored" + "-by",
    r"\b" + "sub-?" + r"agents?\b",
    r"(?<![-\w])(seams|streaming|architecture|style|cli|outcomes|eom)" + r"\.md\b",
    r"\b" + "truths?" + r" \d",
    r"\b" + "must-" + r"hold\b",
    r"\b(the|our) " + "(lead|brief)" + r"\b(?! time)",
]


def files() -> list[Path]:
    """The files under version control, or all but made ones where there is no history."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        found = [
            path for path in ROOT.rglob("*") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
        ]
    return [path for path in found if path.is_file()]


def lines_with(patterns: list[str]) -> list[str]:
    """Where any of `patterns` stands, as file:line."""
    wanted = re.compile("|".join(patterns), re.IGNORECASE)
    found = []
    for path in files():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [
            f"{path.relative_to(ROOT)}:{number}: {hit.group()}"
            for number, line in enumerate(text.splitlines(), start=1)
            if (hit := wanted.search(line))
        ]
    return found


def test_no_file_names_a_package_index() -> None:
    assert [] == lines_with([re.escape(host) for host in HOSTS])


def test_no_file_names_a_place_of_one_machine() -> None:
    assert [] == lines_with(PLACES)


def test_no_file_tells_how_it_came_about() -> None:
    assert [] == lines_with(ORIGINS)


def test_no_file_is_large() -> None:
    assert [] == [str(path.relative_to(ROOT)) for path in files() if path.stat().st_size > 1_000_000]
