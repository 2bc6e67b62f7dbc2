"""Questionnaires as dated definitions: items, the score of an answer, totals and the bands they fall in.

`definitions.toml` holds them; this module reads it and scores by it. A total is made of items only when every one of
them is answered, since nothing may be imputed; a total that was sent stands where the items do not give one.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache, lru_cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.instruments import pro_ctcae, promis


class _Dated(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cut(_Dated):
    """From `at` on, a value is in `band`."""

    at: Decimal
    band: str


class Bands(_Dated):
    """The cuts in force from a day on, lowest first."""

    from_on: date = Field(alias="from")
    cuts: tuple[Cut, ...] = Field(min_length=1)


class Total(_Dated):
    """The sum of the items: its name, its code if it has one, and the most it can be."""

    name: str
    code: str | None = None
    most: Decimal


class Beside(_Dated):
    """An item asked beside those that are summed."""

    most: Decimal
    answers: Mapping[str, int] = {}


class Instrument(_Dated):
    """A questionnaire. `limits` are the items whose highest answer is not `most`; `safety` those of which any answer
    above zero asks for help the same day. Answers are whole numbers but where `whole` is false."""

    title: str
    names: tuple[str, ...] = Field(min_length=1)
    code_system: str
    panel: str | None = None
    items: tuple[str, ...] = Field(min_length=1)
    beside: Mapping[str, Beside] = {}
    least: Decimal
    most: Decimal
    limits: Mapping[str, Decimal] = {}
    whole: bool = True
    answers: Mapping[str, int] = {}
    total: Total | None = None
    safety: tuple[str, ...] = ()
    bands: tuple[Bands, ...] = ()
    source: str
    status: Literal["found", "known"]

    def bounds(self, code: str) -> tuple[Decimal, Decimal] | None:
        """The least and the most that the answer to an item can be; None for a code that is no item of this."""
        if code in self.items:
            return self.least, self.limits.get(code, self.most)
        if (found := self.beside.get(code)) is not None:
            return Decimal(0), found.most
        return None

    def answer(self, code: str, answered: str) -> int | None:
        """The score of a coded answer to an item; None when the instrument does not have it."""
        beside = self.beside.get(code)
        return (beside.answers if beside else self.answers).get(answered)

    def band(self, value: Decimal, on: date) -> str | None:
        """The band of a total, by the cuts in force that day. A PHQ-9 of 10 is moderate, of 9 mild."""
        known = [each for each in self.bands if each.from_on <= on]
        reached = [cut.band for cut in known[-1].cuts if cut.at <= value] if known else []
        return reached[-1] if reached else None


@cache
def instruments() -> Mapping[str, Instrument]:
    """Every questionnaire by its id, in the order of the file."""
    text = files("contracts").joinpath("instruments", "definitions.toml").read_text(encoding="utf-8")
    return {name: Instrument.model_validate(raw) for name, raw in tomllib.loads(text).items()}


@cache
def _by_name() -> Mapping[str, str]:
    return {_plain(name): each for each, one in instruments().items() for name in (each, *one.names)}


@cache
def _by_panel() -> Mapping[str, str]:
    return {one.panel: each for each, one in instruments().items() if one.panel}


@cache
def _totals() -> Mapping[str, tuple[str, str]]:
    return {
        one.total.code: (each, one.total.name) for each, one in instruments().items() if one.total and one.total.code
    }


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@lru_cache(maxsize=4_096)
def named(name: str) -> str | None:
    """The id of the instrument that a name or a panel's code means; None when it is none we score.

    `PHQ9`, `phq-9` and `44249-1` are `phq-9`; `PROCTCAE` is `pro-ctcae`; whatever begins with PROMIS is `promis`.
    """
    plain = _plain(name)
    if plain.startswith("proctcae"):
        return "pro-ctcae"
    if plain.startswith("promis"):
        return "promis"
    return _by_panel().get(name) or _by_name().get(plain)


def mentioned(text: str) -> str | None:
    """The instrument that a longer name speaks of: `mii-qst-pro-phq-9` is `phq-9`. The longest name found wins."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", text) if word]
    for length in range(min(len(words), 6), 0, -1):
        for first in range(len(words) - length + 1):
            if found := named("-".join(words[first : first + length])):
                return found
    return None


def total_of(code: str) -> tuple[str, str] | None:
    """The instrument and the name of the score that a code of LOINC is: 44261-6 is `phq9_total` of `phq-9`."""
    if (domain := promis.DOMAINS.get(code)) is not None:
        return "promis", promis.score_name(domain)
    return _totals().get(code)


def holding(codes: frozenset[str]) -> str | None:
    """The instrument that most of these items belong to, the first of those that share them; None for none."""
    best, most = None, 0
    for name, one in instruments().items():
        if (count := len(codes & {*one.items, *one.beside})) > most:
            best, most = name, count
    if most == 0 and any(pro_ctcae.item_of(code) for code in codes):
        return "pro-ctcae"
    return best


def item_code(instrument: Instrument, sent: str) -> str | None:
    """The item that a sender's own code means: by its code, or by its place (`PHQ-9.3`, `PHQ.3`, `Q3`, `3`)."""
    if instrument.bounds(sent) is not None:
        return sent
    lowered = {code.lower(): code for code in (*instrument.items, *instrument.beside)}
    if sent.lower() in lowered:
        return lowered[sent.lower()]
    last = re.split(r"[-._/: ]", sent)[-1].lower()
    found = re.fullmatch(r"q?([0-9]{1,2})([a-z]?)", last)
    if found is None:
        return None
    if (own := f"q{found[1]}{found[2]}") in lowered:
        return lowered[own]
    place = int(found[1])
    if found[2] or instrument.items[0].upper().startswith("Q"):
        return None
    if 1 <= place <= len(instrument.items):
        return instrument.items[place - 1]
    following = place - len(instrument.items)
    beside = list(instrument.beside)
    return beside[following - 1] if 1 <= following <= len(beside) else None
