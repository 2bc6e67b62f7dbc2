"""What must hold of any bytes given to the readers of JSON; `python -m tests.fuzz.json_bytes 120` looks for others.

The same bytes are a file of FHIR and one of events.
"""

from __future__ import annotations

import io
import re
import sys

from formats import fhir, ndjson
from formats.detect import lines_of
from formats.fhir_check import findings
from formats.fhir_json import Resource, resources
from formats.reading import ReadFact, Reject
from tests.fuzz.detecting import is_told
from tests.fuzz.looking import look

_FIELD = re.compile(r"(/[A-Za-z0-9_?]{0,60}){0,40}")
_FINDING = re.compile(r"(R4|STU3):[A-Za-z0-9_?/]{1,300}:(missing|unknown|rule|type)|(R4|STU3):more:[0-9]+")
_SAYS = re.compile(r"[A-Za-z0-9 ,.';:()-]{3,4000}")


def holds(sent: bytes) -> None:
    """Raises where a rule does not hold of these bytes."""
    is_told(sent)
    items = list(fhir.read([sent], "f"))
    cut = list(fhir.read([sent[at : at + 61] for at in range(0, len(sent), 61)], "f"))
    assert [_seen(i) for i in items] == [_seen(i) for i in cut], "the same however it is cut"
    for item in (*items, *ndjson.read(lines_of(io.BytesIO(sent)), "f")):
        assert item.rows >= 0
        if isinstance(item, Reject):
            assert _FIELD.fullmatch(item.place.field), f"a field that may be data: {len(item.place.field)} characters"
            assert _SAYS.fullmatch(item.reason), "words that may be data"
        else:
            item.event.model_dump_json()
    for found in resources([sent], "f"):
        if isinstance(found, Resource):
            assert all(map(_FINDING.fullmatch, findings(found.body))), "a finding that may be data"


def _seen(item: ReadFact | Reject) -> object:
    if isinstance(item, Reject):
        return item.place, item.code, item.rows
    return item.place, item.natural_key, item.event


if __name__ == "__main__":
    look("json_bytes", "json", *sys.argv[1:])
