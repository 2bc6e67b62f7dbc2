"""What a failed schema check says: code, place and remedy, never the value.

pydantic's own messages can repeat input (a union's tag, a wrong key), so each kind of failure has our words here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

_PLAIN_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")
_DATE = "a date that is not a date"
_MONEY = "an amount that is not money"

_SAYS: dict[str, tuple[str, str]] = {
    "missing": ("a required field is missing", "send the field"),
    "extra_forbidden": (
        "a field the schema does not know",
        "leave the field out, or send the event version that has it",
    ),
    "string_too_long": ("text longer than the schema allows", "shorten it to the schema's limit"),
    "string_too_short": ("text shorter than the schema allows", "send the whole value"),
    "string_pattern_mismatch": ("a value of another form than the schema asks", "send the form the schema names"),
    "literal_error": ("a value outside the schema's list", "send one of the values the schema lists"),
    "string_type": ("not a text", "send a JSON string"),
    "int_type": ("not a whole number", "send a JSON integer"),
    "int_parsing": ("not a whole number", "send a JSON integer"),
    "int_from_float": ("not a whole number", "send a JSON integer"),
    "bool_type": ("not true or false", "send true or false"),
    "tuple_type": ("not a list", "send a JSON array"),
    "dict_type": ("not an object", "send a JSON object"),
    "model_type": ("not an object", "send a JSON object"),
    "model_attributes_type": ("not an object", "send a JSON object"),
    "too_long": ("a list longer than the schema allows", "send no more elements than the schema allows"),
    "too_short": ("a list shorter than the schema allows", "send at least as many elements as the schema asks"),
    "greater_than_equal": ("a number below the schema's least", "send a value within the schema's bounds"),
    "less_than_equal": ("a number above the schema's most", "send a value within the schema's bounds"),
}


@dataclass(frozen=True, slots=True)
class SchemaError:
    """The first failure of a check: `field` is a JSON pointer below the checked object."""

    code: str
    field: str
    reason: str
    remedy: str


def first_error(error: ValidationError) -> SchemaError:
    """The first failure in the order of the schema, and how many more there are."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    first, more = found[0], len(found) - 1
    kind: str = first["type"]
    field = pointer(first["loc"])
    last = next((str(part) for part in reversed(first["loc"]) if isinstance(part, str)), "")
    suffix = f" (and {more} more)" if more else ""
    if kind.startswith("date") or last.endswith("_on"):
        if kind not in ("missing", "extra_forbidden"):
            return SchemaError("not_a_date", field, _DATE + suffix, "send an existing day as YYYY-MM-DD")
    elif last.endswith("_cents") and kind not in ("missing", "extra_forbidden"):
        return SchemaError("not_money", field, _MONEY + suffix, "send whole US cents as a JSON integer")
    if kind == "missing" and "person" in first["loc"]:
        return SchemaError("no_member_identifier", field, "a person without an identifier", "send person.identifier")
    if kind.startswith("decimal"):
        return SchemaError(
            "schema", field, "not a decimal number of the schema's size" + suffix, "send a decimal number"
        )
    reason, remedy = _SAYS.get(kind, ("a value the schema does not allow", "send what the event's schema asks"))
    return SchemaError("schema", field, reason + suffix, remedy)


def pointer(loc: tuple[Any, ...]) -> str:
    """A JSON pointer; a key that is no plain field name is not repeated, since a sender might have put data there."""
    parts = (str(p) if isinstance(p, int) or _PLAIN_KEY.fullmatch(p) else "?" for p in loc)
    return "".join(f"/{part}" for part in parts)
