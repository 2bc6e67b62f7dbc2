"""Looking for bytes of which the rules of a module do not hold, by atheris; the process ends with the search.

What a search finds that reaches code of its own is kept: `python -m tests.fuzz.looking x12_bytes x12 FOLDER` merges a
folder of found bytes into `corpus/x12.found`, a line of base64 for each: the fewest that reach as much, but for those
over a thousand bytes. Seeds that were written by hand are files of `corpus/x12`.
"""

from __future__ import annotations

import base64
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

MOST_BYTES = 8_000
KEPT_BYTES = 1_000
INSTRUMENTED = ("formats", "contracts.instruments", "gateway.cursors")
CORPUS = Path(__file__).with_name("corpus")


def seeds(corpus: str) -> list[tuple[str, bytes]]:
    """(name, bytes) of all that is kept: seeds by hand first, then what was found."""
    by_hand = [(path.name, path.read_bytes()) for path in sorted((CORPUS / corpus).iterdir())]
    found = CORPUS / f"{corpus}.found"
    lines = found.read_text(encoding="ascii").splitlines() if found.exists() else []
    return by_hand + [(f"found-{n}", base64.b64decode(line)) for n, line in enumerate(lines, 1)]


def look(name: str, corpus: str, seconds: str = "60", found: str = "") -> None:
    """Give `holds` of `tests.fuzz.<name>` bytes for so many seconds, from the corpus on.

    What reaches new code is put into the folder `found`.
    """
    folder = found or tempfile.mkdtemp(prefix="carepact-fuzz-")
    _fuzz(name, [folder, _unpacked(corpus), f"-max_total_time={seconds}", f"-artifact_prefix={folder}/bad-"])


def keep(name: str, corpus: str, found: str) -> None:
    """The fewest of what is kept and of a folder that reach as much code, in the place of what was kept."""
    with tempfile.TemporaryDirectory(prefix="carepact-fuzz-") as folder:
        again, fewest = Path(folder, "again"), Path(folder, "fewest")
        fewest.mkdir()
        again.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.fuzz.looking "{name}" "$0" "$@"\n')
        again.chmod(0o700)
        words = [str(again), "-merge=1", str(fewest), str(CORPUS / corpus), _unpacked(corpus), found]
        subprocess.run(words, check=True, cwd=CORPUS.parents[2])
        by_hand = {path.read_bytes() for path in (CORPUS / corpus).iterdir()}
        kept = sorted({path.read_bytes() for path in fewest.iterdir()} - by_hand, key=lambda sent: (len(sent), sent))
    lines = [base64.b64encode(sent).decode("ascii") + "\n" for sent in kept if 0 < len(sent) <= KEPT_BYTES]
    (CORPUS / f"{corpus}.found").write_text("".join(lines), encoding="ascii")


def _unpacked(corpus: str) -> str:
    folder = Path(tempfile.mkdtemp(prefix="carepact-fuzz-"))
    for name, sent in seeds(corpus):
        (folder / name).write_bytes(sent)
    return str(folder)


def _fuzz(name: str, words: list[str], program: str = sys.argv[0]) -> None:
    import atheris  # instruments what is imported after it

    for module in [each for each in sys.modules if each.startswith(INSTRUMENTED)]:
        del sys.modules[module]
    sys.modules.pop(f"tests.fuzz.{name}", None)
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        target = import_module(f"tests.fuzz.{name}")
    atheris.Setup([program, *words, f"-max_len={MOST_BYTES}", "-timeout=20", "-rss_limit_mb=1024"], target.holds)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[2].startswith("/"):  # what merges runs itself again for each part
        _fuzz(sys.argv[1], sys.argv[3:], sys.argv[2])
    else:
        keep(*sys.argv[1:])
