"""The measures a practice reports itself, counted from its patients' records: EOM-4a, EOM-4b and EOM-5 (EOM 5).

EOM-4a is of visits at which the patient had told how strong the pain is; EOM-4b of those with pain for which care was
planned; EOM-5 of patients seen who were screened for depression and, where that was positive, had a plan in time.
EOM-6 is a survey that the payer runs. Nothing is adjusted for risk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.instruments import pro_ctcae
from contracts.instruments.definition import named
from contracts.instruments.score import score
from contracts.readiness import Contact
from contracts.terms import TermSheet
from contracts.units import add_days

PAIN = 48
"""General pain among the terms of PRO-CTCAE."""
POSITIVE = {"phq-2": frozenset({"positive"}), "phq-9": frozenset({"moderate", "moderately_severe", "severe"})}
"""Bands that ask for a plan; PHQ-9 from 10 on is open."""
PAIN_PLANS, MOOD_PLANS = frozenset({"care_plan", "palliative"}), frozenset({"behavioral"})
MEASURES = ("EOM-4a", "EOM-4b", "EOM-5")


@dataclass(slots=True)
class Seen:
    """A patient's episode at a practice: its visits there, answers (as in the log) and contacts that reached them."""

    started_on: str
    visits: tuple[str, ...] = ()
    responses: Iterable[Any] = field(default_factory=list)
    contacts: Iterable[Contact] = field(default_factory=list)


def counts(sheet: TermSheet, episodes: Iterable[Seen]) -> Mapping[str, tuple[int, int]]:
    """(numerator, denominator) of each measure."""
    found = dict.fromkeys(MEASURES, (0, 0))

    def add(measure: str, met: bool) -> None:
        numerator, denominator = found[measure]
        found[measure] = numerator + met, denominator + 1

    for one in episodes:
        pain = [(day, most) for day, most in map(_pain, one.responses) if most is not None]
        mood = [(day, positive) for day, positive in map(_mood, one.responses) if positive is not None]
        within = int(sheet.on("quality_pain_days", one.started_on).number)
        for visit in one.visits:
            told = [most for day, most in pain if add_days(visit, -within) <= day <= visit]
            add("EOM-4a", bool(told))
            if any(told):
                add("EOM-4b", _planned(one.contacts, PAIN_PLANS, add_days(visit, -within), add_days(visit, within)))
        if one.visits:
            add("EOM-5", _screened(sheet, one, mood))
    return found


def _screened(sheet: TermSheet, one: Seen, mood: list[tuple[str, bool]]) -> bool:
    before = int(sheet.on("quality_screening_days", one.started_on).number)
    after = int(sheet.on("quality_plan_days", one.started_on).number)
    return any(
        not positive or _planned(one.contacts, MOOD_PLANS, day, add_days(visit, after))
        for visit in one.visits
        for day, positive in mood
        if add_days(visit, -before) <= day <= visit
    )


def _planned(contacts: Iterable[Contact], programs: frozenset[str], first: str, last: str) -> bool:
    return any(contact.program in programs and first <= contact.day <= last for contact in contacts)


def _pain(response: Any) -> tuple[str, int | None]:
    """The day, and the strongest pain told; None where pain was not answered."""
    told = [
        int(item.value)
        for item in response.items
        if item.value is not None and (asked := pro_ctcae.item_of(item.code)) and asked[0] == PAIN
    ]
    known = named(response.instrument) == "pro-ctcae"
    return response.collected_on.isoformat(), max(told, default=None) if known else None


def _mood(response: Any) -> tuple[str, bool | None]:
    """The day, and whether a screening for depression was positive; None where it was none, or has no total."""
    positive = POSITIVE.get(named(response.instrument) or "")
    bands = [one.band for one in score(response).scores if one.band] if positive else []
    return response.collected_on.isoformat(), bool(positive & set(bands)) if positive and bands else None
