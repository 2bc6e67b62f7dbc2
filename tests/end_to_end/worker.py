"""A worker as `carepact worker` runs it, with what only a test asks for: batches of another size, a fold that raises.

python -m tests.end_to_end.worker --index 0 --batch-records 7 --poison FILE

While the file is there, the fold raises on a claim of any member whose token the file names.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from carepact.logging import to_stderr
from carepact.settings import Settings
from carepact.worker_command import run
from contracts.fold import Fold
from contracts.parts import Adoption
from contracts.roster import fold_for
from streams.app import MakeFolds
from streams.roster import Payer
from streams.transport import BATCH_RECORDS


class Poisoned:
    """A payer's fold that cannot bear the claims of the members whom a file names."""

    def __init__(self, payer: Payer, adoption: Adoption, file: Path) -> None:
        self._fold = fold_for(payer.contract, payer.name, adoption)
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fold, name)

    def apply(self, member: Any, fact: Any) -> Any:
        """As the payer's own; raises on a claim of a member named."""
        if "Claim" in fact.type and self._file.exists() and member.token in self._file.read_text():
            raise ZeroDivisionError
        return self._fold.apply(member, fact)


def poisoned(file: Path) -> MakeFolds:
    """Folds that raise for the members whom the file names."""

    def make(payer: Payer) -> Callable[[Adoption], Fold]:
        return lambda adoption: Poisoned(payer, adoption, file)

    return make


def main() -> int:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--batch-records", type=int, default=BATCH_RECORDS)
    parser.add_argument("--poison", type=Path)
    told = parser.parse_args()
    to_stderr()
    options: dict[str, Any] = {"batch_records": told.batch_records}
    if told.poison is not None:
        options["make_folds"] = poisoned(told.poison)
    return asyncio.run(run(Settings(), told.index, **options))


if __name__ == "__main__":
    sys.exit(main())
