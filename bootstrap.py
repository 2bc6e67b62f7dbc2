#!/usr/bin/env python3
"""The two commands of the README, for a machine that has Python 3.11 or newer and pip, and nothing else.

    python3 bootstrap.py demo [arguments of `carepact demo`]
    python3 bootstrap.py test [arguments of pytest]
    python3 bootstrap.py shell -- COMMAND       a command with the environment's programs first
    python3 bootstrap.py lock [--upgrade]       write both requirements files again from pyproject.toml

Everything goes into `.venv` beside this file. Packages come from the index that pip is set up with, pinned by version
and hash; nothing is installed again until a lock, pyproject.toml or the place of this folder changes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PROGRAMS = VENV / "bin"
PYTHON = PROGRAMS / "python"
INSTALLED = VENV / "installed"  # digests of what this environment holds, a line each
PROJECT = ROOT / "pyproject.toml"
RUNTIME = ROOT / "requirements.lock"
DEVELOPMENT = ROOT / "requirements-dev.lock"  # all of RUNTIME, in the same versions, and more
GROUPS = {RUNTIME: "build", DEVELOPMENT: "dev"}
HEADER = "# Pinned and hashed for every platform, from pyproject.toml, by `python3 bootstrap.py lock`.\n"
PACKAGE = re.compile(r"^[a-z0-9].*\n(?: .*\n)*", re.MULTILINE)  # a pin of a lock, and its hashes below it
OLDEST = (3, 11)
CHECKS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format --check": ["ruff", "format", "--check", "."],
    "lint-imports": ["lint-imports", "--no-logo"],
}
COLLECT = ["pytest", "--collect-only", "-qq"]
"""Reads every test once before three processes do, which would each compile all that this leaves compiled."""
SIDE_BY_SIDE = ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
"""Three on two cores, as half the tests wait for a broker or a database; conftest begins with what takes longest."""


def main(arguments: list[str]) -> int:
    """Run the command named first; 2 when there is none such, 3 when this machine lacks something."""
    if not arguments or arguments[0] not in COMMANDS:
        print(__doc__)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    if lack := what_is_lacking():
        print(f"bootstrap: {lack}", file=sys.stderr)
        return 3
    try:
        return COMMANDS[arguments[0]](arguments[1:])
    except subprocess.CalledProcessError as error:
        print(f"bootstrap: `{Path(error.cmd[0]).name}` ended with {error.returncode}; see above", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def demo(arguments: list[str]) -> int:
    """Install what runs, then run the demo in this process's place."""
    install(RUNTIME)
    become([str(PROGRAMS / "carepact"), "demo", *arguments])


def test(arguments: list[str]) -> int:
    """Run every check, then every test, whatever failed before; 1 when anything did."""
    install(DEVELOPMENT)
    failed = [name for name, command in CHECKS.items() if not told(checked(name, command))]
    print("\nmypy, and beside it pytest: platform, chaos, unit, property", flush=True)
    with ThreadPoolExecutor(1) as beside:
        typed = beside.submit(checked, "mypy", ["mypy"])
        if not told(checked("pytest --collect-only", COLLECT)):
            failed.append("pytest --collect-only")
        tested = run(["pytest", *SIDE_BY_SIDE, *arguments]) == 0
        failed += [name for name, ok in (("mypy", told(typed.result())), ("pytest", tested)) if not ok]
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


def shell(arguments: list[str]) -> int:
    """Run any command with the environment's programs first on the path."""
    install(DEVELOPMENT)
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    become(command or [os.environ.get("SHELL", "/bin/sh")])


def lock(arguments: list[str]) -> int:
    """Resolve pyproject.toml again, the development lock within the versions of the other. Needs the package index."""
    if not (PROGRAMS / "uv").exists():
        install(DEVELOPMENT)
    options = ["--universal", "--generate-hashes", "--no-annotate", "--no-header", "--quiet", *arguments]
    for file, group in GROUPS.items():
        within = ["--constraint", RUNTIME.name] if file != RUNTIME else []
        target = [PROJECT.name, "--group", group, *within, "--output-file", file.name]
        subprocess.run([PROGRAMS / "uv", "pip", "compile", *options, *target], cwd=ROOT, check=True)
        file.write_text(HEADER + file.read_text(encoding="utf-8"), encoding="utf-8")
    return 0


def what_is_lacking() -> str:
    """What keeps this machine from going on, with the remedy; empty when nothing does."""
    if os.name == "nt":
        return "Windows is served through WSL: run this there"
    if sys.version_info < OLDEST:
        newer = [name for name in ("python3.14", "python3.13", "python3.12", "python3.11") if shutil.which(name)]
        remedy = f"run it by `{newer[0]} bootstrap.py`" if newer else "install one; it may stand beside this one"
        return f"Python 3.11 or newer is needed, and this is {sys.version.split()[0]}: {remedy}"
    if not (PYTHON.exists() or has("ensurepip") or has("pip")):
        return "this Python has neither ensurepip nor pip: install your system's python3-venv or python3-pip"
    return ""


def has(module: str) -> bool:
    """Whether the Python that runs this file can import `module`."""
    return importlib.util.find_spec(module) is not None


def install(file: Path) -> None:
    """Bring `.venv` to what `file` pins, with this folder as an editable install; nothing when it is there already."""
    wanted = digest(file)
    if PYTHON.exists() and INSTALLED.exists() and wanted in INSTALLED.read_text(encoding="ascii").split():
        return
    began = time.monotonic()
    count = len(PACKAGE.findall(file.read_text(encoding="utf-8")))
    print(f"installing the {count} packages of {file.name} into .venv", file=sys.stderr, flush=True)
    if not PYTHON.exists():
        make_environment()
    INSTALLED.unlink(missing_ok=True)
    pinned(file)
    pip("--no-index", "--no-deps", "--no-build-isolation", "--editable", ".")
    held = {digest(RUNTIME), wanted}  # the development lock holds the other in whole
    INSTALLED.write_text("\n".join(sorted(held)) + "\n", encoding="ascii")
    print(f"installed in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def pinned(file: Path) -> None:
    """Install what a lock pins by two pips side by side, each every other package: one pip keeps one core busy.

    A lock names all that each package needs, so that neither half has anything to look for.
    """
    packages = PACKAGE.findall(file.read_text(encoding="utf-8"))
    halves = [VENV / f"lock.{number}" for number in (0, 1)]
    for number, half in enumerate(halves):
        half.write_text("".join(packages[number::2]), encoding="utf-8")
    with ThreadPoolExecutor(len(halves)) as both:
        list(both.map(lambda half: pip("--require-hashes", "--no-deps", "--requirement", str(half)), halves))


def digest(file: Path) -> str:
    """One hash of all that an installed environment depends on."""
    parts = (file.read_bytes(), PROJECT.read_bytes(), os.fsencode(ROOT))
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def make_environment() -> None:
    """Make `.venv`, without its own pip where the system ships Python without ensurepip."""
    pipless = [] if has("ensurepip") else ["--without-pip"]
    subprocess.run([sys.executable, "-m", "venv", "--clear", *pipless, VENV], check=True)


def pip(*arguments: str) -> None:
    """`pip install` for `.venv`: by its own pip, else by that of the Python which runs this file.

    Nothing is compiled ahead: of five thousand modules one in five is ever used, and Python keeps what it has compiled.
    """
    own = subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, check=False, cwd=ROOT).returncode == 0
    program = [PYTHON, "-m", "pip"] if own else [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    options = ["--quiet", "--no-input", "--no-compile", "--disable-pip-version-check", "--no-warn-script-location"]
    subprocess.run([*program, "install", *options, *arguments], cwd=ROOT, env=environment(), check=True)


def environment() -> dict[str, str]:
    """This process's variables with the environment's programs first, and without what would reach around it.

    Nor without compiled modules, which each of the hundred processes of a run of the tests would make again.
    """
    reaching = {"PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV"}
    reaching |= {"PYTHONDONTWRITEBYTECODE"}
    kept = {name: value for name, value in os.environ.items() if name not in reaching}
    return kept | {"PATH": f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', os.defpath)}", "VIRTUAL_ENV": str(VENV)}


def become(command: list[str]) -> NoReturn:
    """Run `command` in this process's place, so that signals and the exit code are its own."""
    os.execvpe(command[0], command, environment())  # noqa: S606  # the command is the user's own


def checked(name: str, command: list[str]) -> tuple[bool, str]:
    """Run one check; how it went, and its output when it failed."""
    began = time.monotonic()
    done = subprocess.run(
        [PROGRAMS / command[0], *command[1:]],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    ok = done.returncode == 0
    line = f"{'ok    ' if ok else 'FAILED'} {name:<25} {time.monotonic() - began:6.1f} s"
    return ok, line if ok else f"{line}\n{done.stdout}"


def told(result: tuple[bool, str]) -> bool:
    """Print what a check came to; whether it passed."""
    print(result[1], flush=True)
    return result[0]


def run(command: list[str]) -> int:
    """Run `command` with this terminal; on Ctrl-C it is the command that decides when to end."""
    with subprocess.Popen([PROGRAMS / command[0], *command[1:]], cwd=ROOT, env=environment()) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


COMMANDS = {"demo": demo, "test": test, "shell": shell, "lock": lock}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
