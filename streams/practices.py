"""What the log says of a practice and its patients, record by record: only what is asked for is read.

Which records these are is known from the projection; they are fetched from the log by position, without a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from contracts.envelope import Fact
from contracts.practice_facts import HEARD as OF_PRACTICES
from contracts.practice_facts import PracticeFacts
from contracts.readiness import HEARD as OF_PATIENTS
from contracts.readiness import Patient, Running, days_of, hear_all, readiness
from contracts.terms import TermSheet
from projections.practice_patients import broadcast_places, episodes_of, paid_months, places_of
from streams.codec import decode_record
from streams.connections import Connections
from streams.reading import grouped, log_reader
from streams.topics import log_topic

TERMS = "carepact.TermsAdopted.v1"
AT_ONCE = 2_000
"""Records fetched in one go."""


class NothingAdopted(Exception):
    """The payer's log has adopted no terms of its contract yet."""


async def records_at(connections: Connections, payer: str, places: Sequence[tuple[int, int]]) -> list[Any]:
    """The records at these places, in their order."""
    topic = log_topic(payer)
    found: dict[tuple[str, int, int], Any] = {}
    if places:
        async with log_reader(connections) as reader:
            for start in range(0, len(places), AT_ONCE):
                some = places[start : start + AT_ONCE]
                found |= await reader.records(grouped((topic, *place) for place in some))
    return [found[topic, *place] for place in places if (topic, *place) in found]


def decoded(payer: str, records: Sequence[Any]) -> list[Fact]:
    """Their facts."""
    topic = log_topic(payer)
    return [decode_record(topic, r.partition, r.offset, r.timestamp, r.key, r.value) for r in records]


async def practices_of(connections: Connections, database: Any, payer: str) -> tuple[TermSheet, PracticeFacts]:
    """The terms in force and what is known of the payer's practices; `NothingAdopted` where there are no terms."""
    places = await broadcast_places(database, payer, (*OF_PRACTICES, TERMS))
    facts = decoded(payer, await records_at(connections, payer, places))
    adopted = [fact.data.content for fact in facts if fact.type == TERMS and not fact.data.plan]
    if not adopted:
        raise NothingAdopted(f"the log of {payer} has adopted no terms")
    known = PracticeFacts()
    hear_all(facts, known, {})
    return TermSheet(adopted[-1]), known


async def patients_of(
    connections: Connections, database: Any, payer: str, members: Sequence[str]
) -> dict[str, Patient]:
    """What the log says of members, as far as readiness asks."""
    places = await places_of(database, payer, members, OF_PATIENTS)
    patients: dict[str, Patient] = {}
    hear_all(decoded(payer, await records_at(connections, payer, places)), PracticeFacts(), patients)
    return patients


async def month_of(connections: Connections, database: Any, payer: str, practice: str, month: str) -> dict[str, Any]:
    """A practice's readiness in a month ('YYYY-MM'), as far as is projected."""
    sheet, facts = await practices_of(connections, database, payer)
    first, last = days_of(month)
    rows = await episodes_of(database, payer, practice, first, last)
    paid = await paid_months(database, payer, [row["episode_id"] for row in rows])
    patients = await patients_of(connections, database, payer, [row["member"] for row in rows])
    running = [
        Running(
            str(row["episode_id"]),
            row["member"],
            _iso(row["started_on"]),
            _iso(row["ends_on"]),
            row["cancer_type"],
            row["void_reason"] or row["exclusion"],
            paid.get(row["episode_id"], frozenset()),
        )
        for row in rows
    ]
    return {"payer": payer, **readiness(sheet, facts, practice, month, running, patients)}


def _iso(day: date) -> str:
    return day.isoformat()
