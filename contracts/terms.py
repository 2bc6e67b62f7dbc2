"""Dated terms: a sheet of named values, each with its unit, source and standing, in force from a day on.

A sheet is TOML in this folder. What the log adopts is its content as JSON, with the codes of its value sets, and the
SHA-256 of that content; the fold reads the adopted content and never the file.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tomllib
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from contracts.errors import BadSheet, NoTermInForce
from contracts.units import FOREVER

_decimal = lru_cache(maxsize=4_096)(Decimal)

STATUSES = ("found", "known", "open", "illustrative")


@dataclass(frozen=True, slots=True)
class DatedValue:
    """A term's value on a day, with what an explanation shows beside it."""

    name: str
    label: str
    value: str
    unit: str
    from_on: str
    dated_by: str
    source: str
    status: str

    @property
    def number(self) -> Decimal:
        """The value as an exact decimal."""
        return _decimal(self.value)

    def as_use(self) -> dict[str, Any]:
        """The value as `PaymentLine.terms` keeps it."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "from": self.from_on,
            "dated_by": self.dated_by,
            "source": self.source,
            "status": self.status,
            "illustrative": self.status in ("illustrative", "open"),
        }


class TermSheet:
    """The terms of one contract, as adopted. `on(term, day)` is the value in force, or a refusal that names both."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.contract: str = content["sheet"]["contract"]
        self.version: str = content["sheet"]["version"]
        self.rounding: str = content["sheet"]["rounding"]
        self._starts: dict[str, list[str]] = {}
        self._values: dict[str, list[DatedValue]] = {}
        self._found: dict[tuple[str, str], DatedValue] = {}
        for name, term in content["terms"].items():
            self._read(name, term)

    def _read(self, name: str, term: dict[str, Any]) -> None:
        for key in ("label", "unit", "dated_by", "source", "status", "values"):
            if not term.get(key):
                raise BadSheet(self.contract, name, f"has no {key}; add one")
        if term["status"] not in STATUSES:
            raise BadSheet(self.contract, name, f"status must be one of {', '.join(STATUSES)}")
        starts = [str(v["from"]) for v in term["values"]]
        if starts != sorted(set(starts)):
            raise BadSheet(self.contract, name, "values overlap or are out of order; sort them by 'from'")
        self._starts[name] = starts
        self._values[name] = [
            DatedValue(
                name,
                term["label"],
                str(v["value"]),
                term["unit"],
                str(v["from"]),
                term["dated_by"],
                term["source"],
                v.get("status", term["status"]),
            )
            for v in term["values"]
        ]

    def on(self, term: str, day: str) -> DatedValue:
        """The value of `term` on `day` ('YYYY-MM-DD')."""
        found = self._found.get((term, day))
        if found is None:
            index = bisect_right(self._starts.get(term, []), day) - 1
            if index < 0:
                raise NoTermInForce(self.contract, term, day)
            found = self._values[term][index]
            if len(self._found) < 100_000:  # a sheet has some 15 terms, asked for on a few thousand days
                self._found[term, day] = found
        return found

    def code_days(self, *value_sets: str) -> dict[str, tuple[str, str]]:
        """The first and last day of service of those codes of some sets that do not hold on all days."""
        told = self.content.get("code_days", {})  # a sheet adopted before there were any holds its codes on all days
        return {
            code: (first, last or FOREVER) for name in value_sets for code, (first, last) in told.get(name, {}).items()
        }

    def codes(self, value_set: str) -> dict[str, str]:
        """A value set's codes, each with its class."""
        return {code: kind for kind, members in self.content["value_sets"][value_set].items() for code in members}


def _plain(value: Any) -> Any:
    """TOML values as JSON has them: days as ISO strings, numbers as strings of their own digits."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return value


EARLIEST = "2016-07-01"
"""The first day of any contract here; a code that holds from before it on, and still does, needs no days."""


def _value_set(name: str, key: str, kind: str) -> dict[str, list[str]]:
    """Codes of `contracts/value_sets/<name>.csv`, grouped by class, both sorted."""
    groups: dict[str, list[str]] = {}
    for row in _rows(name):
        groups.setdefault(row[kind] if kind else "all", []).append(row[key])
    return {group: sorted(set(codes)) for group, codes in sorted(groups.items())}


def _rows(name: str) -> csv.DictReader[str]:
    text = files("contracts").joinpath("value_sets", f"{name}.csv").read_text(encoding="utf-8")
    return csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))


def _days(name: str, key: str) -> dict[str, list[str]]:
    """[first, last] day of service of each code that a set does not hold on all days; the last '' if still held."""
    return {row[key]: [row["from"], row["through"]] for row in _rows(name) if row["through"] or row["from"] > EARLIEST}


def canonical(content: dict[str, Any]) -> bytes:
    """The one byte form of a sheet's content that its digest is taken of."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def digest_of(content: dict[str, Any]) -> str:
    """SHA-256 of a sheet's content, hex."""
    return hashlib.sha256(canonical(content)).hexdigest()


def written(sheet: str) -> str:
    """The text of `contracts/<sheet>.toml`."""
    return files("contracts").joinpath(f"{sheet}.toml").read_text(encoding="utf-8")


def read_sheet(text: str) -> dict[str, Any]:
    """A sheet as it is written; raises `tomllib.TOMLDecodeError`."""
    return tomllib.loads(text, parse_float=Decimal)


def whole(content: dict[str, Any]) -> dict[str, Any]:
    """A sheet with what it extends: head, value sets and terms of another, its own in the place of that one's."""
    head = content.get("sheet")
    if not isinstance(head, dict) or "extends" not in head:
        return content
    base = whole(read_sheet(written(head["extends"])))
    own = {key: value for key, value in head.items() if key != "extends"}
    sets = {**base["sheet"]["value_sets"], **own.get("value_sets", {})}
    return {**base, **content, "sheet": {**base["sheet"], **own, "value_sets": sets}}


@cache
def bundled(sheet: str) -> dict[str, Any]:
    """The content of `contracts/<sheet>.toml`, with its value sets read in."""
    return content_of(written(sheet))


def content_of(text: str) -> dict[str, Any]:
    """What a log adopts of a sheet as it is written: a draft's too. Raises `tomllib.TOMLDecodeError`, `KeyError`."""
    raw = _plain(whole(read_sheet(text)))
    head = raw.pop("sheet")
    named = head.pop("value_sets")
    sets = {name: _value_set(spec["file"], spec["key"], spec.get("class", "")) for name, spec in named.items()}
    days = {name: _days(spec["file"], spec["key"]) for name, spec in named.items()}
    return {"sheet": head, "terms": raw, "value_sets": sets, "code_days": {k: v for k, v in days.items() if v}}
