"""What FHIR's own schema has against a resource, by `fhir.resources`: findings that stand beside the fact.

The version is told by shape, not by the first model that accepts: STU3 has money with a system and a code, `service`
and not `productOrService`, `information` and not `supportingInfo`, a questionnaire by reference and not by canonical.
A finding is one word, `R4:/item/0/service:unknown`: version, element, kind of failure; it repeats no value. Nothing is
refused for a finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from formats.fhir_json import Json, string

MOST: Final = 20
"""Findings of one resource; the rest are counted."""

_STU3_FIELDS: Final = frozenset(("service", "information", "diagnosisLinkId", "careTeamLinkId", "enterer", "grouping"))
_R4_FIELDS: Final = frozenset(("productOrService", "supportingInfo", "diagnosisSequence", "use", "outcome", "currency"))
_ELEMENT: Final = re.compile(r"[A-Za-z_]{1,40}")
_WORDS: Final = {"missing": "missing", "extra_forbidden": "unknown", "value_error": "rule"}
"""What is wrong with an element: it is missing, is none of this version, or breaks a rule; `type` else."""


def version_of(body: Json) -> str:
    """`STU3` or `R4`, by shape; R4 where nothing tells."""
    if isinstance(body.get("questionnaire"), dict):
        return "STU3"
    old = new = 0
    for name, value in _elements(body):
        old += name in _STU3_FIELDS or (name == "system" and "iso:std:iso:4217" in string(value))
        new += name in _R4_FIELDS
    return "STU3" if old > new else "R4"


def _elements(body: Json) -> Iterator[tuple[str, Any]]:
    stack: list[Any] = [body]
    while stack:
        at = stack.pop()
        if isinstance(at, dict):
            yield from at.items()
            stack.extend(value for value in at.values() if isinstance(value, dict | list))
        else:
            stack.extend(value for value in at if isinstance(value, dict | list))


def findings(body: Json) -> tuple[str, ...]:
    """What is wrong with a resource by the schema of its version; nothing for a type that the schema does not have."""
    version = version_of(body)
    model = _model(version, string(body.get("resourceType")))
    if model is None:
        return ()
    try:
        model.model_validate(body)
    except ValidationError as error:
        found = [
            f"{version}:{_path(each['loc'])}:{_WORDS.get(each['type'], 'type')}"
            for each in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        told = list(dict.fromkeys(found))
        more = len(told) - MOST
        return tuple(told[:MOST] + ([f"{version}:more:{more}"] if more > 0 else []))
    return ()


@cache
def _model(version: str, resource: str) -> type[BaseModel] | None:
    if version == "STU3":
        from fhir.resources.STU3 import get_fhir_model_class  # noqa: PLC0415 - a second's work, and only when asked
    else:
        from fhir.resources.R4B import get_fhir_model_class  # noqa: PLC0415
    try:
        found: type[BaseModel] = get_fhir_model_class(resource)
    except ValueError:
        return None
    return found


def _path(loc: tuple[int | str, ...]) -> str:
    """A JSON pointer; a key that is no plain element is not repeated, since a sender might have put data there."""
    parts = (str(part) if isinstance(part, int) or _ELEMENT.fullmatch(part) else "?" for part in loc)
    return "".join(f"/{part}" for part in parts) or "/"
