"""Intake, format by format: what one core takes in, beside what one would otherwise use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench import files, over_http, x12

Say = Callable[[str], None]


@dataclass(frozen=True)
class Figure:
    """One way in. `ratio` is to the library it is compared with, which holds on other machines too."""

    name: str
    unit: str
    per_core: float
    beside: str
    beside_per_core: float
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times as fast."""
        return self.per_core / self.beside_per_core

    def as_json(self) -> dict[str, Any]:
        """With stable keys."""
        return {
            "name": self.name,
            "unit": self.unit,
            "per_core_second": round(self.per_core),
            "beside": self.beside,
            "beside_per_core_second": round(self.beside_per_core),
            "ratio": round(self.ratio, 2),
            "note": self.note,
        }

    def told(self) -> str:
        """One line."""
        line = f"{self.ratio:>8.1f} x  {self.per_core:>10,.0f} {self.unit}/s of one core: {self.name}"
        return f"{line}; {self.beside}: {self.beside_per_core:,.0f}" + (f" ({self.note})" if self.note else "")


def http(scale: float, say: Say) -> Figure:
    """NDJSON over HTTP."""
    ours, plain = asyncio.run(over_http.run(round(60_000 * scale), round(1_000 * scale) + 10, say))
    note = f"by the clock, with the broker on the same machine, {ours.per_second:,.0f} and {plain.per_second:,.0f}"
    beside = "a plain FastAPI route with pydantic and aiokafka, unsealed"
    return Figure("NDJSON over HTTP, checked, sealed, in Kafka", "events", ours.per_core, beside, plain.per_core, note)


def claims(scale: float, say: Say) -> Figure:
    """X12 837 with syntax checks."""
    say("reading an 837")
    ours = x12.read(x12.written(round(40_000 * scale)))
    theirs = x12.read_by_pyx12(b"".join(x12.written(round(1_000 * scale) + 100)))
    return Figure("X12 837, syntax checked", "claims", ours.per_second, "pyx12's loops", theirs.per_second)


def cclf(scale: float, say: Say) -> Figure:
    """A CCLF submission, its files linked."""
    say("reading CCLF")
    members = _members(scale)
    ours, plain = files.read_cclf(members), files.slice_cclf(members)
    note = f"{ours.records:,} lines of all files linked into {ours.facts:,} facts; CCLF5 alone, unlinked"
    return Figure("CCLF, a whole submission", "lines", ours.per_second, "slices and pydantic", plain.per_second, note)


def fhir(scale: float, say: Say) -> Figure:
    """ExplanationOfBenefit in bulk."""
    say("reading FHIR")
    members = _members(scale)
    ours, theirs = files.read_fhir(members), files.validate_fhir(members)
    return Figure("FHIR R4 ExplanationOfBenefit", "resources", ours.per_second, "fhir.resources", theirs.per_second)


def tuva(scale: float, say: Say) -> Figure:
    """Medical claims as CSV."""
    say("reading CSV")
    members = _members(scale)
    ours, plain = files.read_csv(members), files.validate_csv(members)
    return Figure("CSV, Tuva's medical claims", "rows", ours.per_second, "csv and pydantic, unlinked", plain.per_second)


def _members(scale: float) -> int:
    return max(40, round(1_000 * scale))


FIGURES: dict[str, Callable[[float, Say], Figure]] = {
    "http": http,
    "x12": claims,
    "cclf": cclf,
    "fhir": fhir,
    "csv": tuva,
}
"""Each by its name; `scale` is how much is measured, 1 being the usual."""
