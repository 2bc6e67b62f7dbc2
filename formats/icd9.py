"""ICD-9-CM cancer codes to ICD-10-CM families, by the dated table `icd9-cancer/1`; the longest prefix wins."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

MAPPING = "icd9-cancer/1"

_ENCOUNTERS = ("Z5111", "Z5112")


@cache
def _table() -> dict[str, str]:
    text = files("contracts").joinpath("value_sets", "icd9_to_icd10_cancer.csv").read_text(encoding="utf-8")
    return {row["icd9_prefix"]: row["icd10"] for row in csv.DictReader(text.splitlines())}


@cache
def to_icd10(code: str) -> str | None:
    """The ICD-10-CM family of an ICD-9-CM cancer code: 1749 is C509. None for any other code."""
    table = _table()
    for length in range(len(code), 2, -1):
        if found := table.get(code[:length]):
            return found
    return None


def translated(codes: Iterable[str]) -> tuple[str, ...]:
    """The codes that have a translation, in order. The encounter for chemotherapy counts only where it is principal."""
    found = []
    for i, code in enumerate(codes):
        new = to_icd10(code)
        if new and not (i and new in _ENCOUNTERS) and new not in found:
            found.append(new)
    return tuple(found)
