"""The quality card counts what is there, how late it is, what was paid, and what was refused."""

from __future__ import annotations

from datetime import date

from contracts.events import ClaimLine
from formats.reading import Place, ReadFact, Reject
from streams.quality import Card
from tests.streams.ways_in import claim


def read(claim_id: str, **changed: object) -> ReadFact:
    return ReadFact(claim("1EG4TE5MK73", claim_id, **changed), Place("f"), "test")


def test_a_card_counts_what_rows_are_like() -> None:
    card = Card()
    line = ClaimLine(line=1, service_on=date(2009, 3, 1), source_diagnoses=("1749", "V5811"), diagnoses=("C50911",))
    card.hear(
        [
            read("A", billing_tin="571000014"),
            read("B", effective_on=date(2024, 6, 29)),  # 120 days after the service
            read("C", action="void", replaces="A", diagnoses=("C50911", "C5091Q")),
            read("D", lines=(line,), effective_on=date(2026, 1, 1)),
            Reject(Place("f", 9), "schema", "why", "what", rows=2),
        ]
    )
    card.refused([Reject(Place("f", 9), "schema", "why", "what", rows=2), Reject(Place("f", 3), "conflict", "", "")])
    made = card.document()
    assert made.facts == {"claim": 4}
    assert made.paid_cents == 10_000  # A and B less C; D has no amount
    assert made.late == {"0-30": 2, "91-180": 1, "366+": 1}
    assert (made.asked["claim.billing_tin"], made.missing["claim.billing_tin"]) == (4, 3)
    assert made.untranslated == 1
    assert made.codes["diagnosis"] == 4
    assert made.unknown == {"diagnosis": 1}
    assert made.rejects == {"schema": 2, "conflict": 1}
