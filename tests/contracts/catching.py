"""Which case comes to something else under a wrong sheet.

`python -m tests.contracts.catching` looks for one for every wrong sheet, and writes `exactly.toml`; it takes minutes.
"""

from __future__ import annotations

import copy
import importlib
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from contracts import adopting
from contracts.roster import SHEETS, bundled_sheet
from contracts.terms import TermSheet, digest_of
from tests.contracts import given, test_cases, test_try, test_weighed
from tests.contracts.mutants import Mutant, mutants

KEPT = Path(__file__).with_name("exactly.toml")
Held = Callable[[], None]


def _tried(contract: str, case: dict[str, Any], content: dict[str, Any]) -> Held:
    del content
    return lambda: test_try.test_given_figures_then(contract, copy.deepcopy(case))


def _weighed(contract: str, case: dict[str, Any], content: dict[str, Any]) -> Held:
    del contract
    return lambda: test_weighed.weigh(TermSheet(content), case)


def _folded(contract: str, case: dict[str, Any], content: dict[str, Any]) -> Held:
    del content
    return lambda: test_cases.test_given_facts_then(contract, copy.deepcopy(case))


@cache
def every_case() -> Mapping[str, tuple[str, Callable[..., Held], dict[str, Any]]]:
    """Each case by its name: its contract, how it is held, and what it says; those that cost least come first."""
    found = {}
    for of, hold in ((test_try, _tried), (test_weighed, _weighed), (test_cases, _folded)):
        for param in of.cases():
            contract, case = param.values
            found[f"{of.__name__.rpartition('.')[2]}: {param.id}"] = (contract, hold, case)
    return found


@contextmanager
def sheet_of(mutant: Mutant) -> Iterator[None]:
    """A wrong sheet in the place of the contract's own, for cases that adopt or try it."""
    version, digest = mutant.content["sheet"]["version"], digest_of(mutant.content)
    answering = importlib.import_module("contracts.trial.answer")
    sheet = answering._sheet
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            given,
            "bundled_sheet",
            lambda name: (version, digest, mutant.content) if name == mutant.contract else bundled_sheet(name),
        )
        patch.setattr(
            answering, "_sheet", lambda name: TermSheet(mutant.content) if name == mutant.contract else sheet(name)
        )
        patch.setattr(adopting, "_compiled", {})
        yield


def catches(name: str, mutant: Mutant) -> bool:
    """Whether a case does not hold under a wrong sheet. What only repeats a sheet's values shows no wrong value."""
    contract, hold, case = every_case()[name]
    if contract != mutant.contract or (case.get("kind") == "dated" and not mutant.of_day):
        return False
    with sheet_of(mutant):
        try:
            hold(contract, case, mutant.content)()
        except Exception:  # whatever it is that shows it
            return True
    return False


def kept() -> Mapping[str, str]:
    """For each wrong sheet the case that catches it."""
    found: dict[str, str] = tomllib.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    return found


def main() -> None:
    """Look for what catches each wrong sheet; keep what does still."""
    held, lines = kept(), []
    for name, (contract, hold, case) in every_case().items():
        content = bundled_sheet(contract)[2] if contract in SHEETS else {}
        try:
            hold(contract, case, content)()
        except AssertionError:
            raise SystemExit(f"{name} does not hold under its own sheet") from None
    for contract in SHEETS:
        for mutant in mutants(contract):
            names = [held[mutant.name]] if held.get(mutant.name) in every_case() else []
            names += [name for name, (of, _, _) in every_case().items() if of == contract]
            found = next((name for name in names if catches(name, mutant)), "")
            if found:
                lines.append(f"{_quoted(mutant.name)} = {_quoted(found)}")
            else:
                print("nothing catches", mutant.name)
    KEPT.write_text("\n".join([f"# Written by python -m {__spec__.name}.", *lines]) + "\n", encoding="utf-8")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


if __name__ == "__main__":
    main()
