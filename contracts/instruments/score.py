"""Totals, grades, bands and needs of one response, by the definition of its instrument.

A response of an instrument we do not know has the scores it was sent with and nothing else. Answers are as in
`EproResponseReceived`: a code of the question and a value on its scale, None where it was not answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final, Literal, Protocol

from contracts.instruments import pro_ctcae, promis
from contracts.instruments.definition import Instrument, instruments, item_code, named, total_of
from contracts.instruments.wpai import Version, impairment


class Answer(Protocol):
    """The answer to one question."""

    @property
    def code(self) -> str: ...
    @property
    def value(self) -> Decimal | None: ...


class SentScore(Protocol):
    """A score as sent."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> Decimal: ...


class Response(Protocol):
    """What is scored: `EproResponseReceived`, or a structure equal to it."""

    @property
    def response_id(self) -> str: ...
    @property
    def instrument(self) -> str: ...
    @property
    def collected_on(self) -> date: ...
    @property
    def status(self) -> str: ...
    @property
    def items(self) -> Iterable[Answer]: ...
    @property
    def scores(self) -> Iterable[SentScore]: ...


@dataclass(frozen=True, slots=True)
class Score:
    """A total or T-score, the band it falls in (None where none is defined), and where it is from."""

    name: str
    value: Decimal
    band: str | None
    origin: Literal["items", "sent"]


@dataclass(frozen=True, slots=True)
class Scored:
    """What a response comes to. `grades` are composite grades by PRO-CTCAE term, `needs` the HRSN domains in need;
    `missing` the items without an answer; `differs` the scores sent that are not what the items add up to."""

    instrument: str | None
    scores: tuple[Score, ...] = ()
    grades: Mapping[str, int | None] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unscorable:
    """An answer that its question cannot have; the reason says no value."""

    index: int
    code: str
    reason: str


def score(response: Response) -> Scored:
    """Score a response. PHQ-9 answers 2 2 2 2 1 1 2 0 0 are 12, moderate; with one missing there is no total."""
    known = named(response.instrument)
    if known == "pro-ctcae":
        return _graded(response)
    if known is None or known == "promis":
        return Scored(known, tuple(_sent(response, None)))
    instrument = instruments()[known]
    answers = answers_of(instrument, response)
    missing = tuple(code for code in instrument.items if answers.get(code) is None)
    made = tuple(_made(known, instrument, answers, response.collected_on))
    by_name = {each.name: each.value for each in made}
    sent = tuple(_sent(response, instrument))
    differs = tuple(each.name for each in sent if each.name in by_name and each.value != by_name[each.name])
    return Scored(
        known,
        made + tuple(each for each in sent if each.name not in by_name),
        needs=_needs(answers) if known == "ahc-hrsn" else (),
        missing=missing,
        differs=differs,
    )


def unscorable(response: Response) -> Iterator[Unscorable]:
    """The answers that are outside the scale of their question, in order; of instruments we do not know, none."""
    known = named(response.instrument)
    instrument = instruments().get(known or "")
    for index, answer in enumerate(response.items):
        if answer.value is None:
            continue
        bounds: tuple[Decimal, Decimal] | None = None
        if known == "pro-ctcae" and (item := pro_ctcae.item_of(answer.code)):
            bounds = Decimal(0), Decimal(pro_ctcae.most(item[1]))
        elif instrument and (code := item_code(instrument, answer.code)):
            bounds = instrument.bounds(code)
        if bounds and not bounds[0] <= answer.value <= bounds[1]:
            yield Unscorable(index, answer.code, f"an answer outside {bounds[0]:f} to {bounds[1]:f}")
        elif bounds and answer.value % 1 and (instrument is None or instrument.whole):
            yield Unscorable(index, answer.code, "an answer between two of the scale")


def answers_of(instrument: Instrument, response: Response) -> dict[str, Decimal | None]:
    """The answers by the instrument's own item codes. Of several answers to one question, the highest."""
    found: dict[str, Decimal | None] = {}
    for answer in response.items:
        if (code := item_code(instrument, answer.code)) is not None:
            before = found.get(code)
            found[code] = answer.value if before is None else max(before, answer.value or before)
    return found


def _made(name: str, instrument: Instrument, answers: Mapping[str, Decimal | None], on: date) -> Iterator[Score]:
    """The scores that the items give."""
    if name in ("wpai-gh", "wpai-shp"):
        version: Version = "wpai-gh" if name == "wpai-gh" else "wpai-shp"
        figures = impairment(version, answers)
        for each in ("absenteeism", "presenteeism", "overall", "activity"):
            value: Decimal | None = getattr(figures, each)
            if value is not None:
                yield Score(f"wpai_{each}", value, None, "items")
    given = [answers.get(code) for code in instrument.items]
    scores = [value for value in given if value is not None]
    if instrument.total and len(scores) == len(given):
        total = sum(scores, Decimal(0))
        yield Score(instrument.total.name, total, instrument.band(total, on), "items")


def _sent(response: Response, instrument: Instrument | None) -> Iterator[Score]:
    """The scores as sent, under our names. A PROMIS T-score has the band of its domain."""
    for each in response.scores:
        known = total_of(each.name)
        name = known[1] if known else each.name
        band = None
        if (domain := promis.domain_of(each.name)) is not None:
            name, band = promis.score_name(domain), promis.band(domain, each.value)
        elif instrument and instrument.total and name == instrument.total.name:
            band = instrument.band(each.value, response.collected_on)
        yield Score(name, each.value, band, "sent")


def _graded(response: Response) -> Scored:
    """PRO-CTCAE: a composite grade for each term, None where an answer is missing."""
    answered = [
        (item, None if answer.value is None else int(answer.value))
        for answer in response.items
        if (item := pro_ctcae.item_of(answer.code))
    ]
    grades: dict[str, int | None] = {}
    missing: list[str] = []
    for number, answers in pro_ctcae.by_term(answered).items():
        term = pro_ctcae.TERMS[number]
        if term.graded and (grade := pro_ctcae.composite(term, answers)) is None:
            missing.append(term.name)
            grades[term.name] = None
        elif term.graded:
            grades[term.name] = grade
    return Scored("pro-ctcae", tuple(_sent(response, None)), grades=grades, missing=tuple(missing))


# Health-related social needs

_DOMAINS: Final = {
    "housing": ("71802-3", "96778-6"),
    "food": ("88122-7", "88123-5"),
    "transportation": ("93030-5",),
    "utilities": ("96779-4",),
}
_SAFETY: Final = ("95618-5", "95617-7", "95616-9", "95615-1")
SAFETY_FROM: Final = 11
"""The sum of the four safety items, each 1 to 5, from which on there is a need (known)."""


def _needs(answers: Mapping[str, Decimal | None]) -> tuple[str, ...]:
    """The domains in need: any answer of need, or a safety sum of 11 and more."""
    found = [domain for domain, codes in _DOMAINS.items() if any(answers.get(code) for code in codes)]
    safety = [answers.get(code) for code in _SAFETY]
    total = answers.get("95614-4")
    if total is None and all(value is not None for value in safety):
        total = sum((value for value in safety if value is not None), Decimal(0))
    return tuple(found + (["safety"] if total is not None and total >= SAFETY_FROM else []))
