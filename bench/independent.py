"""The independent fold of the tests, which imports nothing of the product: no figure is shown that it denies."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ORACLE = Path(__file__).parents[1] / "tests" / "oracle" / "fold.py"


class NoOracle(Exception):
    """This installation has no independent fold; the benchmark runs in a clone of the repository."""


@dataclass(frozen=True)
class Expected:
    """What the files come to."""

    facts: int = 0
    duplicates: int = 0
    corrected: int = 0
    months: int = 0
    cents: int = 0

    def __add__(self, other: Expected) -> Expected:
        return Expected(
            self.facts + other.facts,
            self.duplicates + other.duplicates,
            self.corrected + other.corrected,
            self.months + other.months,
            self.cents + other.cents,
        )


def expected(events: Path, practices: Path) -> Expected:
    """Months and cents of one payer's file, and how much of it is replaced, voided, late or sent twice."""
    folded = _oracle().fold("medicare", events, practices)
    corrected = sum(folded.saw[case] for case in ("replacement", "void", "adjustment", "late"))
    return Expected(folded.events, folded.duplicates, corrected, folded.months, folded.cents)


def _oracle() -> Any:
    name = "carepact_independent_fold"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ORACLE)
        if spec is None or spec.loader is None or not ORACLE.exists():
            raise NoOracle(f"{ORACLE} is not there: run the benchmark in a clone of the repository")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
    return sys.modules[name]
