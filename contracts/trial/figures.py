"""The kinds of figures a clause is given, read strictly: what each accepts, and the code of its refusal.

Dollars are decimal strings or whole JSON numbers; ratios may be JSON numbers with decimals, which are read digit by
digit and never as floats. A refusal names the field and the kind, and never the value.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?(\d+))?", re.ASCII)
LONGEST = 64
MOST, FINEST = Decimal(10) ** 15, -18
"""No figure reaches 10^15 or is finer than 10^-18; beyond is a slip of the pen."""


class Given(BaseModel):
    """What one clause is given: every field is needed unless it has a default, and there are no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True)


class Refused(Exception):
    """A given figure cannot be used: a code, the field, and a message without the value."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code, self.field, self.message = code, field, message

    def document(self) -> dict[str, Any]:
        """The error as a result gives it."""
        return {"error": {"code": self.code, "field": self.field, "message": self.message}}


class Misfit(Exception):
    """Givens that are each well but do not fit each other: the field, and why."""

    def __init__(self, field: str, message: str, code: str = "out_of_range") -> None:
        super().__init__(message)
        self.field, self.code = field, code


def bad(code: str, message: str) -> PydanticCustomError:
    """A refusal of one value; pydantic adds its field."""
    return PydanticCustomError(code, "{message}", {"message": message})


def refused(error: ValidationError) -> Refused:
    """The first thing wrong, in the order of the clause's givens."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    field = str(first["loc"][0])[:80] if first["loc"] else ""
    match first["type"]:
        case "missing":
            return Refused("missing", field, "is missing")
        case "extra_forbidden":
            return Refused("unknown_field", field, "is not one of this clause's givens")
        case _:
            return Refused(first["type"], field, first["msg"])


# --- numbers ---------------------------------------------------------------------------------------------------------


def number(value: Any, decimals: bool) -> Decimal:
    """An exact decimal of a string or a JSON number; with `decimals` false, JSON numbers must be whole."""
    if value is None:
        raise bad("missing", "is null; a number is needed")
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise bad("not_a_number", "is not a number")
    if isinstance(value, Decimal) and not decimals:
        raise bad("not_a_number", 'dollars with cents are written as a string, "1234.50"')
    text = str(value)
    found = NUMBER.fullmatch(text) if len(text) <= LONGEST else None
    if found is None and len(text) <= LONGEST:
        raise bad("not_a_number", "is not a number")
    exact = Decimal(text) if found and len(found[4] or "") <= 3 else MOST
    if exact and (exact.adjusted() >= MOST.adjusted() or int(exact.as_tuple().exponent) < FINEST):
        raise bad("out_of_range", "has more digits than any figure of a contract")
    return Decimal(f"{exact:f}") if exact else Decimal(0)


@dataclass(frozen=True, slots=True)
class Number:
    """A kind of number: what it is, and between which bounds."""

    says: str
    least: Decimal | None = Decimal(0)
    most: Decimal | None = None
    above: bool = False
    decimals: bool = True
    places: int | None = None

    def __call__(self, value: Any) -> Decimal:
        """The number, or a refusal."""
        exact = number(value, self.decimals)
        if self.least is not None and (exact < self.least or (self.above and exact == self.least)):
            raise bad("out_of_range", f"must be {'above' if self.above else 'at least'} {self.least}")
        if self.most is not None and exact > self.most:
            raise bad("out_of_range", f"must be at most {self.most}")
        if self.places is not None and -int(exact.normalize().as_tuple().exponent) > self.places:
            raise bad("out_of_range", f"must have at most {self.places} decimals")
        return exact


@dataclass(frozen=True, slots=True)
class OrNull:
    """A kind of number, or null, which means what `null` says."""

    number: Number
    null: str = "the contract's own"

    @property
    def says(self) -> str:
        """What it accepts."""
        return f"{self.number.says}; null: {self.null}"

    def __call__(self, value: Any) -> Decimal | None:
        """The number, null, or a refusal."""
        return None if value is None else self.number(value)


@dataclass(frozen=True, slots=True)
class Whole:
    """A kind of whole number."""

    says: str
    least: int = 0
    most: int = 1_000_000_000

    def __call__(self, value: Any) -> int:
        """The number, or a refusal."""
        exact = number(value, True)
        if isinstance(value, Decimal) or exact != exact.to_integral_value():
            raise bad("not_a_number", "is not a whole number")
        if not self.least <= exact <= self.most:
            raise bad("out_of_range", f"must be from {self.least} to {self.most}")
        return int(exact)


ONE, HUNDRED = Decimal(1), Decimal(100)
dollars = Number("dollars", decimals=False)
dollars_above = Number("dollars, above 0", above=True, decimals=False)
dollars_signed = Number("dollars and cents, below 0 if owed", least=None, decimals=False, places=2)
_dollars_or_null = OrNull(dollars, "not needed")
dollars_and_cents = Number("dollars and cents, unsigned", decimals=False, places=2)
_factor = Number("factor, above 0", most=Decimal(1000), above=True)
_factor_from_one = Number("factor, 1 or more", least=ONE, most=Decimal(1000))
_fraction = Number("fraction, 0 to 1", most=ONE)
_fraction_or_null = OrNull(_fraction)
_percent = Number("per cent, 0 to 100", most=HUNDRED)
_count = Number("number, 0 or more")
_count_above = Number("number, above 0", above=True)
_count_or_null = OrNull(_count_above)

Dollars = Annotated[Decimal, PlainValidator(dollars), dollars]
DollarsAbove = Annotated[Decimal, PlainValidator(dollars_above), dollars_above]
DollarsSigned = Annotated[Decimal, PlainValidator(dollars_signed), dollars_signed]
DollarsOrNull = Annotated[Decimal | None, PlainValidator(_dollars_or_null), _dollars_or_null]
DollarsAndCents = Annotated[Decimal, PlainValidator(dollars_and_cents), dollars_and_cents]
Factor = Annotated[Decimal, PlainValidator(_factor), _factor]
FactorFromOne = Annotated[Decimal, PlainValidator(_factor_from_one), _factor_from_one]
Fraction = Annotated[Decimal, PlainValidator(_fraction), _fraction]
FractionOrNull = Annotated[Decimal | None, PlainValidator(_fraction_or_null), _fraction_or_null]
Percent = Annotated[Decimal, PlainValidator(_percent), _percent]
Amount = Annotated[Decimal, PlainValidator(_count), _count]
AmountAbove = Annotated[Decimal, PlainValidator(_count_above), _count_above]
AmountOrNull = Annotated[Decimal | None, PlainValidator(_count_or_null), _count_or_null]
_whole = Whole("whole number")
Count = Annotated[int, PlainValidator(_whole), _whole]


# --- days, words, flags ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Day:
    """An ISO day, kept as its string."""

    says: str = "day, YYYY-MM-DD"
    or_null: bool = False

    def __call__(self, value: Any) -> str | None:
        """The day, or a refusal."""
        if value is None:
            if self.or_null:
                return None
            raise bad("missing", "is null; a day is needed")
        try:
            if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
                raise ValueError
            return date.fromisoformat(value).isoformat()
        except ValueError:
            raise bad("not_a_day", "is not a day; write YYYY-MM-DD") from None


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false, and where it may be unknown, null."""

    says: str = "true or false"
    or_null: bool = False

    def __call__(self, value: Any) -> bool | None:
        """The flag, or a refusal."""
        if value is None and self.or_null:
            return None
        if not isinstance(value, bool):
            raise bad("missing" if value is None else "unknown_value", f"must be {self.says}")
        return value


@dataclass(frozen=True, slots=True)
class Word:
    """One of the words a clause knows; any text of up to 200 characters where it names none."""

    choices: tuple[str, ...] = ()

    @property
    def says(self) -> str:
        """What it accepts."""
        return " | ".join(self.choices) or "text"

    def __call__(self, value: Any) -> str:
        """The word, or a refusal."""
        if value is None:
            raise bad("missing", "is null; text is needed")
        if not isinstance(value, str) or (self.choices and value not in self.choices):
            raise bad("unknown_value", f"must be {self.says}")
        if not 0 < len(value) <= 200:
            raise bad("out_of_range", "must have 1 to 200 characters")
        return value


_day, _day_or_null = Day(), Day("day, YYYY-MM-DD; null if none", or_null=True)
_flag, _flag_or_null = Flag(), Flag("true, false, or null if unknown", or_null=True)
_text = Word()

OnDay = Annotated[str, PlainValidator(_day), _day]
OnDayOrNull = Annotated[str | None, PlainValidator(_day_or_null), _day_or_null]
TrueFalse = Annotated[bool, PlainValidator(_flag), _flag]
Known = Annotated[bool | None, PlainValidator(_flag_or_null), _flag_or_null]
Text = Annotated[str, PlainValidator(_text), _text]


@dataclass(frozen=True, slots=True)
class Says:
    """What a list or table of figures accepts, in words; its own validator stands beside it."""

    says: str


# --- weights ---------------------------------------------------------------------------------------------------------

Quality = tuple[tuple[Decimal, Decimal], ...]


def pairs(value: Any, what: str) -> list[list[Any]]:
    """A list of two-element lists, or a refusal."""
    if value is None:
        raise bad("missing", f"is null; {what} are needed")
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise bad("unknown_value", f"must be a list of {what}")
    return value


def _weights(value: Any) -> Quality:
    found = []
    for weight, score in pairs(value, "[weight, score]"):
        found.append((_fraction(weight), _fraction(score)))
    if sum(weight for weight, _ in found) != 1:
        raise bad("out_of_range", "the weights must add up to exactly 1")
    return tuple(found)


Weights = Annotated[
    Quality, PlainValidator(_weights), Says("list of [weight, score], fractions; the weights add up to 1")
]


# --- JSON ------------------------------------------------------------------------------------------------------------


def read_json(text: str) -> Any:
    """JSON with every number exact: whole ones as int, others as Decimal. Raises ValueError when it is not JSON."""
    try:
        return json.loads(
            text,
            parse_float=_decimal,
            parse_int=lambda digits: int(digits) if len(digits) <= LONGEST else MOST,
            parse_constant=lambda _: float("nan"),
            object_pairs_hook=_once,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _decimal(digits: str) -> Any:
    found = NUMBER.fullmatch(digits) if len(digits) <= LONGEST else None
    return Decimal(digits) if found and len(found[4] or "") <= 3 else MOST


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("an object names a field twice")
    return found
