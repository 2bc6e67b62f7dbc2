"""FHIR R4 and STU3: one resource, a Bundle, or bulk NDJSON, each resource by the reader of its type.

Read are ExplanationOfBenefit, Claim, Coverage, Patient, QuestionnaireResponse, and Observations that are a score of a
questionnaire. All others are counted and refused by name, in one reject for a file. A Claim whose explanation of
benefit stands in the same Bundle says nothing more and is among them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

from msgspec.structs import replace
from pydantic import ValidationError

from formats import fhir_check, fhir_eob, fhir_members, questionnaires
from formats.cells import BadCell
from formats.fhir_json import SOURCE, Json, Resource, first, objects, resources, string
from formats.reading import Place, Read, ReadFact, Reject
from formats.schema_errors import first_error

Maker = Callable[[Json, Place], Iterable[Read]]

MAKERS: Final[dict[str, Maker]] = {
    "ExplanationOfBenefit": fhir_eob.explanation,
    "Claim": fhir_eob.claim,
    "Coverage": fhir_members.coverage,
    "Patient": fhir_members.patient,
    "QuestionnaireResponse": questionnaires.response,
    "Observation": questionnaires.observation,
}
"""What makes facts of a resource, by its type. One that makes nothing does not read this resource."""

_PART2: Final = frozenset(("42CFRPart2", "ETH", "ETHUD", "OPIOIDUD", "SUD"))
"""Codes of HL7's security labels: the law, and what is sensitive by it."""
Validate = Literal["syntax", "full"]


def read(chunks: Iterable[bytes], file: str, *, validate: Validate = "syntax") -> Iterator[Read]:
    """Facts and rejects in the order of the file; a row is a resource.

    With `validate="full"` each resource is held against FHIR's own schema, and what is found stands beside its facts.
    """
    others: Counter[str] = Counter()
    for item in resources(chunks, file):
        if isinstance(item, Reject):
            yield item
            continue
        made = list(_made(item, file))
        if not made:
            others[item.type if re.fullmatch(r"[A-Za-z]{1,40}", item.type) else "unnamed"] += 1
        if _is_part2(item.body):
            made = [replace(each, part2=True) if isinstance(each, ReadFact) else each for each in made]
        if validate == "full" and any(isinstance(each, ReadFact) for each in made):
            found = fhir_check.findings(item.body)
            made = [replace(each, findings=found) if isinstance(each, ReadFact) else each for each in made]
        yield from made
    if others:
        names = ", ".join(f"{count} {name}" for name, count in sorted(others.items()))
        remedy = "nothing is to be done; send claims, Coverage, Patient and QuestionnaireResponse"
        yield Reject(
            Place(file), "not_read", f"resources of types that are not read: {names}", remedy, rows=others.total()
        )


def _is_part2(body: Json) -> bool:
    """Whether a security label marks a resource as a record of substance use."""
    return any(string(label.get("code")) in _PART2 for label in objects(first(body.get("meta")).get("security")))


def _made(item: Resource, file: str) -> Iterator[Read]:
    """The facts of a resource, or its reject; nothing when it is of a type that is not read."""
    make = MAKERS.get(item.type)
    if make is None or (item.type == "Claim" and item.body.get("id") in item.adjudicated):
        return
    try:
        yield from list(make(item.body, Place(file, item.line, item.pointer)))
    except BadCell as refused:
        yield _refused(item, file, refused.code, refused.column, refused.reason, refused.remedy)
    except ValidationError as error:
        found = first_error(error)
        yield _refused(item, file, found.code, found.field, found.reason, found.remedy)


def _refused(item: Resource, file: str, code: str, field: str, reason: str, remedy: str) -> Reject:
    return Reject(Place(file, item.line, item.pointer + field), code, reason, remedy, item.raw(), format=SOURCE)
