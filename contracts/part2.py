"""Which facts are records of treatment for a substance use disorder (42 CFR Part 2; outcome rules E.5).

A fact about a member is tagged when its sender says so; when its source, or a provider it names, is a Part 2
programme of the payer; or when one of its codes is in the dated set `part2/1`. It fails closed: where a payer has named
programmes, a medical claim that names no provider is tagged, for it might be of one; a code tags on days before its
own; and whatever cannot be looked at is tagged. A tag is never taken away.

The tag stands beside the fact, in its envelope, and has no part in its id or its digest, so that a longer list of
codes does not turn what was sent before into a conflict.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

from contracts.events.base import Event
from contracts.events.claims import InstitutionalClaimReceived, ProfessionalClaimReceived
from contracts.events.remittance import ClaimRemitted

PART2: Final = "part2"
CODE_SET: Final = "part2/1"

CODES: Final[Mapping[str, str]] = {
    "diagnoses": "diagnosis",
    "source_diagnoses": "diagnosis",
    "diagnosis": "diagnosis",
    "code": "procedure",
    "procedures": "procedure_icd",
    "drg": "drg",
    "revenue_center": "revenue",
    "place_of_service": "place",
    "facility_type": "place",
    "ndc": "ndc",
    "instrument": "instrument",
}
"""Fields whose values are looked up, by name, and the code system of each."""
_QUESTIONS: Final = {("EproItem", "code"): "question", ("EproScore", "name"): "question"}
PROVIDERS: Final = frozenset((
    "billing_npi", "billing_tin", "rendering_npi", "rendering_tin", "facility", "pharmacy_npi", "prescriber_npi",
    "practice", "provider", "payee",
))  # fmt: skip
"""Fields that name a provider."""
_DAYS: Final = ("service_on", "through_on", "from_on", "filled_on", "collected_on", "observed_on", "requested_on")


@dataclass(frozen=True, slots=True)
class Programmes:
    """A payer's Part 2 programmes: the sources that are one, and the NPIs and tax numbers of providers that are."""

    sources: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()


def sensitive(event: Event, source: str, programmes: Programmes, *, said: bool = False) -> bool:
    """Whether a fact is a Part 2 record; `said` is that its sender says so."""
    try:
        if said or source in programmes.sources or PART2 in getattr(event, "sensitivity", ()):
            return True
        plan = _plan(type(event))
        if programmes.providers:
            named = set(_providers(event, plan))
            medical = isinstance(event, ProfessionalClaimReceived | InstitutionalClaimReceived | ClaimRemitted)
            if named & programmes.providers or (medical and not named):
                return True
        return _coded(event, plan, None)
    except Exception:
        return True


# What is looked at in each model, worked out once.


@dataclass(frozen=True, slots=True)
class _Plan:
    """The fields of a model that hold codes, those that name providers, those that hold other models, and its day."""

    codes: tuple[tuple[str, _Through], ...]
    providers: tuple[str, ...]
    inner: tuple[tuple[str, _Plan], ...]
    day: str | None


@cache
def _plan(model: type[BaseModel]) -> _Plan:
    codes, providers, inner = [], [], []
    for name, field in model.model_fields.items():
        if system := _QUESTIONS.get((model.__name__, name)) or CODES.get(name):
            codes.append((name, _through(system)))
        elif name in PROVIDERS:
            providers.append(name)
        elif name != "person" and (element := _model_of(field.annotation)) is not None:
            inner.append((name, _plan(element)))
    day = next((name for name in _DAYS if name in model.model_fields), None)
    return _Plan(tuple(codes), tuple(providers), tuple(inner), day)


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation, if it is one or a tuple of one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Annotated, Union, UnionType, tuple):
        return next((found for each in get_args(annotation) if (found := _model_of(each)) is not None), None)
    return None


def _coded(at: BaseModel, plan: _Plan, on: date | None) -> bool:
    """Whether a code of the set stands in a value or in those within it."""
    fields = at.__dict__  # a model's own attributes, at half the price of asking for each
    on = (fields[plan.day] if plan.day else None) or on
    for name, through in plan.codes:
        if value := fields[name]:
            for code in (value,) if isinstance(value, str) else value:
                if (last := through[code]) is not None and (on is None or on <= last):
                    return True
    for name, inner in plan.inner:
        found = fields[name]
        for each in found if isinstance(found, tuple | list) else (found,):
            if each is not None and _coded(each, inner, on):
                return True
    return False


def _providers(at: Any, plan: _Plan) -> Iterator[str]:
    for name in plan.providers:
        if value := getattr(at, name):
            yield value
    for name, inner in plan.inner:
        found = getattr(at, name)
        for each in found if isinstance(found, tuple | list) else (found,):
            if each is not None:
                yield from _providers(each, inner)


# The code set


@cache
def _codes() -> Mapping[str, tuple[tuple[int, Mapping[str, date | None]], ...]]:
    """By system and length of prefix: the prefixes, and the last day each tags (None for no end)."""
    text = files("contracts").joinpath("value_sets", "part2_codes.csv").read_text(encoding="utf-8")
    found: dict[str, dict[int, dict[str, date | None]]] = {}
    for row in csv.DictReader(text.splitlines()):
        through = date.fromisoformat(row["through"]) if row["through"] else None
        found.setdefault(row["system"], {}).setdefault(len(row["prefix"]), {})[row["prefix"]] = through
    return {system: tuple(sorted(lengths.items())) for system, lengths in found.items()}


class _Through(dict[str, date | None]):
    """The last day that a code of one system tags, by the code; None for one that never does. Kept for some codes."""

    def __init__(self, system: str) -> None:
        super().__init__()
        self._system = system

    def __missing__(self, code: str) -> date | None:
        if len(self) >= _CODES_KEPT:
            self.clear()
        sent = code.lower() if self._system == "instrument" else code
        lengths = _codes().get(self._system, ())
        found = self[code] = max(
            (each[sent[:length]] or date.max for length, each in lengths if sent[:length] in each), default=None
        )
        return found


_through = cache(_Through)
_CODES_KEPT = 20_000
