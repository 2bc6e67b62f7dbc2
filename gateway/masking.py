"""How much of a rejected record is shown: nothing, its shape, its open fields, or all of it.

- `masked`: letters and digits are replaced one by one, so that length, separators and form can be seen. Names of fields
  that the catalogue has stay.
- `limited`: of an event in JSON the open fields are shown as they are, if they are valid and do not repeat what names
  the person; all else is masked. Of other formats it is `masked`.
- `full`: the bytes.

A record was rejected because something in it is not where it should be, so nothing is trusted to be what it is called.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ValidationError

from contracts.events import LOG_FACTS, sealed_fields
from gateway.principals import AUDITOR, OPERATOR, PAYER

View = Literal["none", "masked", "limited", "full"]
VIEWS: tuple[View, ...] = ("none", "masked", "limited", "full")
MOST: dict[str, View] = {PAYER: "full", OPERATOR: "full", AUDITOR: "masked"}
"""The most that each role is shown; a scope is asked for beside it."""

_UPPER, _LOWER, _DIGIT = re.compile(r"[^\W\d_a-z]"), re.compile(r"[a-z]"), re.compile(r"\d")
_KEY = re.compile(r'"([a-z][a-z0-9_]{0,39})"(?=\s*:)')
_TOLD_MIN = 3
"""Shorter parts of a person's fields are found in too many codes."""

Path = tuple[str | int, ...]


def shape(text: str) -> str:
    """Each capital as X, other letter as x, digit as 9."""
    return _DIGIT.sub("9", _UPPER.sub("X", _LOWER.sub("x", text)))


def as_seen(record: bytes, format_: str, view: View) -> dict[str, str]:
    """A record as a view shows it: as `record`, or, whole and no text, as `record_base64`. Nothing with `none`."""
    if view == "none":
        return {}
    if view != "full":
        return {"record": limited(record) if view == "limited" and format_ == "ndjson" else masked(record)}
    try:
        return {"record": record.decode()}
    except UnicodeDecodeError:
        return {"record_base64": base64.b64encode(record).decode("ascii")}


def masked(raw: bytes) -> str:
    """The shape of a record; names of fields of the catalogue stay."""
    text, out, at = raw.decode("utf-8", "replace"), [], 0
    for found in _KEY.finditer(text):
        if found[1] in _vocabulary():
            out += [shape(text[at : found.start()]), found[0]]
            at = found.end()
    return "".join([*out, shape(text[at:])])


def limited(raw: bytes) -> str:
    """An event's valid open fields, the rest masked; of what is no event of the catalogue, the shape."""
    try:
        event = orjson.loads(raw)
        model = LOG_FACTS[event["type"]]
        data = event["data"]
        assert isinstance(data, dict)
    except (ValueError, KeyError, TypeError, AssertionError):
        return masked(raw)
    wrong, told = set(_wrong(model, data)), set(_told_of(data, sealed_fields(model)))

    def shown(value: Any, path: Path) -> Any:
        if path in wrong or (len(path) == 1 and path[0] in sealed_fields(model)):
            return _as_shape(value)
        if isinstance(value, dict):
            return {_key(key): shown(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [shown(each, (*path, n)) for n, each in enumerate(value)]
        return _as_shape(value) if any(part in str(value).lower() for part in told) else value

    head = {name: _as_shape(value) for name, value in event.items() if name in ("specversion", "source", "id", "time")}
    return orjson.dumps(head | {"type": model.type_name(), "data": shown(data, ())}).decode()


def _wrong(model: type[BaseModel], data: Any) -> Iterator[Path]:
    """Where the schema finds something wrong: there may be anything."""
    try:
        model.model_validate_json(orjson.dumps(data))
    except ValidationError as error:
        for each in error.errors(include_input=False, include_url=False, include_context=False):
            yield tuple(each["loc"])


def _told_of(data: dict[str, Any], sealed: tuple[str, ...]) -> Iterator[str]:
    """What the sealed fields say, and its words."""
    for text in _texts([data.get(name) for name in sealed]):
        for part in (text, *re.split(r"\W+", text)):
            if len(part) >= _TOLD_MIN:
                yield part.lower()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = [each for key, each in value.items() if key != "kind"]
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif value is not None:
        yield str(value)


def _as_shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(key): _as_shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_shape(each) for each in value]
    return shape(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else value


def _key(key: str) -> str:
    return key if key in _vocabulary() else shape(key)


@cache
def _vocabulary() -> frozenset[str]:
    """Names of fields, of events and of their envelope."""
    found = {"specversion", "type", "source", "id", "time", "plan", "payer", "data"}
    for model in LOG_FACTS.values():
        schema = model.model_json_schema()
        for part in (schema, *schema.get("$defs", {}).values()):
            found |= set(part.get("properties", {}))
    return frozenset(found)
