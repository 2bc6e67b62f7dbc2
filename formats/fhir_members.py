"""FHIR Patient and Coverage as facts: who a member is, and what they are covered by."""

from __future__ import annotations

import re
from collections.abc import Iterator

from contracts.events import EnrollmentChanged, MemberDescribed, Person
from formats.fhir_json import Json, bad, codings, day, fact_of, first, identifier_of, objects, person_of, string
from formats.reading import Place, Read
from formats.states import BY_NAME, LETTERS

_PARTS = {"A": "part_a", "B": "part_b", "C": "medicare_advantage", "D": "part_d"}


def patient(body: Json, place: Place) -> Iterator[Read]:
    """Who a member is."""
    identifier, who = body.get("identifier"), string(body.get("id"))
    named = identifier_of(who) if who else person_of({"identifier": identifier}, "/id").identifier
    name, address = first(body.get("name")), first(body.get("address"))
    born, lines = day(body.get("birthDate"), "/birthDate"), address.get("line")
    given = name.get("given")
    person = Person(
        identifier=named,
        family_name=string(name.get("family")) or None,
        given_name=string(given[0]) or None if isinstance(given, list) and given else None,
        birth_date=born,
        address=string(lines[0]) or None if isinstance(lines, list) and lines else None,
        postal_code=string(address.get("postalCode")) or None,
    )
    state, sex = string(address.get("state")), string(body.get("gender"))
    event = MemberDescribed.model_validate(
        {
            "person": person,
            "birth_year": born.year if born else None,
            "sex": sex if sex in ("female", "male") else "unknown",
            "state": state if state in LETTERS else BY_NAME.get(state.lower()),
            "died_on": day(body.get("deceasedDateTime"), "/deceasedDateTime"),
        }
    )
    yield fact_of(event, place, "patient", named.value)


def coverage(body: Json, place: Place) -> Iterator[Read]:
    """What a member is covered by, from when to when."""
    person = person_of(body.get("beneficiary"), "/beneficiary")
    period = first(body.get("period"))
    start = day(period.get("start"), "/period/start")
    if start is None:
        raise bad("/period/start", "a coverage without the day it began", "send period.start", "no_date")
    status = string(body.get("status"))
    if status not in ("active", "cancelled"):
        raise bad("/status", "a coverage neither active nor cancelled", "send one of the two")
    event = EnrollmentChanged.model_validate(
        {
            "person": person,
            "coverage": _kind_of(body),
            "from_on": start,
            "through_on": day(period.get("end"), "/period/end"),
            "covered": status == "active",
            "code": next((code for _, code in codings(body.get("relationship"))), None),
        }
    )
    yield fact_of(event, place, "coverage", string(body.get("id")), status, start.isoformat())


def _kind_of(body: Json) -> str:
    """A part of Medicare, named as type, class or sub-plan; else the payer's plan."""
    grouping = first(body.get("grouping"))
    said = [
        *(code for _, code in codings(body.get("type"))),
        *(string(each.get("value")) for each in objects(body.get("class"))),
        string(grouping.get("subPlan")),
    ]
    for each in said:
        if found := re.fullmatch(r"Part ([A-D])", each):
            return _PARTS[found[1]]
    return "plan"
