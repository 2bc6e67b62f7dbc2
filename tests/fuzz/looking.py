"""Looking for bytes of which the rules of a module do not hold, by atheris; the process ends with the search."""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path

MOST_BYTES = 8_000
INSTRUMENTED = ("formats", "contracts.instruments", "gateway.cursors")
CORPUS = Path(__file__).with_name("corpus")


def look(name: str, corpus: str, seconds: str = "60", found: str = "") -> None:
    """Give `holds` of `tests.fuzz.<name>` bytes for so many seconds, from `corpus/<corpus>` on.

    What reaches new code is put into the folder `found`; the smallest of these become the corpus by hand.
    """
    import atheris  # instruments what is imported after it

    for module in [each for each in sys.modules if each.startswith(INSTRUMENTED)]:
        del sys.modules[module]
    sys.modules.pop(f"tests.fuzz.{name}", None)
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        target = import_module(f"tests.fuzz.{name}")
    folder = found or tempfile.mkdtemp(prefix="carepact-fuzz-")
    told = [sys.argv[0], folder, str(CORPUS / corpus), f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}"]
    told += ["-timeout=20", "-rss_limit_mb=1024", f"-artifact_prefix={folder}/bad-"]
    atheris.Setup(told, target.holds)
    atheris.Fuzz()
