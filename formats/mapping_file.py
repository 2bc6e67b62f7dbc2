"""The file that says which column of a table is which field of an event: its shape, checked against the catalogue.

A field is the name of a column, or a table with one of `column`, `value` (the same on every row), `template` (text with
`{column}` in it), `digest` (columns whose hash is the value; none may name a person), or `ordinal` (the place in a
list), and then how to read it: `date` (as strptime has it), `values` and `otherwise`, `money` (`dollars` or `cents`),
`multiply_by` or `divide_by`, `split`, `remove`, `pad`, `upper`, `empty` (texts that mean nothing). Regular expressions,
conditions on values and code there are none.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic import Field as Declared

from contracts.events import LOG_FACTS, Event, MemberFact
from formats.table import UnknownLayout

Kind = Literal["text", "int", "decimal", "bool", "date", "cents", "texts"]
MOST_BYTES = 100_000
"""Of a mapping file."""


class BadMapping(UnknownLayout):
    """A mapping that cannot be used. Names the file, the place in it, and what to write instead."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Field(_Part):
    """Where a field's value comes from, and how it is read."""

    column: str | None = None
    value: str | None = None
    template: str | None = None
    digest: tuple[str, ...] | None = None
    ordinal: bool = False
    date: str | None = None
    values: dict[str, str] | None = None
    otherwise: str | None = None
    money: Literal["dollars", "cents"] | None = None
    multiply_by: Decimal | None = None
    divide_by: Decimal | None = None
    split: Annotated[str, Declared(min_length=1, max_length=3)] | None = None
    remove: str = ""
    pad: Annotated[int, Declared(ge=1, le=64)] | None = None
    upper: bool = False
    empty: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        named = [name for name in ("column", "value", "template", "digest") if getattr(self, name) is not None]
        if len(named) + self.ordinal != 1:
            raise ValueError("say one of column, value, template, digest, ordinal")
        if self.divide_by == 0:
            raise ValueError("divide_by is 0")
        if self.otherwise is not None and self.values is None:
            raise ValueError("otherwise goes with values")
        return self

    def columns(self) -> tuple[str, ...]:
        """The columns that it is made of."""
        if self.template is not None:
            return tuple(re.findall(r"\{([^{}]+)\}", self.template))
        return (self.digest or ()) + ((self.column,) if self.column is not None else ())

    def factor(self) -> Decimal:
        """What a number is multiplied by: minutes divided by 60 are hours."""
        return (self.multiply_by or Decimal(1)) / (self.divide_by or Decimal(1))

    def scaled(self) -> bool:
        """Whether there is a factor."""
        return self.multiply_by is not None or self.divide_by is not None


def _as_field(sent: Any) -> Any:
    return {"column": sent} if isinstance(sent, str) else sent


AField = Annotated[Field, BeforeValidator(_as_field)]


class IdentifierMap(Field):
    """The column that names the person, and what kind of name it is."""

    kind: Literal["mbi", "member_id", "employee_id", "beneficiary_id"]


class PersonMap(_Part):
    """The person of a row; all but the identifier is sealed detail."""

    identifier: IdentifierMap
    family_name: AField | None = None
    given_name: AField | None = None
    birth_date: AField | None = None
    address: AField | None = None
    postal_code: AField | None = None
    phone: AField | None = None
    email: AField | None = None

    def others(self) -> Iterator[tuple[str, Field]]:
        """What is known beside the identifier."""
        for name in type(self).model_fields:
            spec = getattr(self, name)
            if name != "identifier" and spec is not None:
                yield name, spec


class When(_Part):
    """A row is meant when the cell of `column` is one of `in`, or none of `not_in`."""

    column: str
    is_in: Annotated[tuple[str, ...] | None, Declared(alias="in")] = None
    not_in: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.is_in is None) == (self.not_in is None):
            raise ValueError("say one of in, not_in")
        return self

    def met(self, row: dict[str, str]) -> bool:
        """Whether the row is meant."""
        cell = row.get(self.column, "").strip()
        return cell in self.is_in if self.is_in is not None else cell not in (self.not_in or ())


class EventMap(_Part):
    """One event that a row, or a group of rows, makes."""

    type: str
    version: int = 1
    id: tuple[str, ...] = ()
    when: tuple[When, ...] = ()
    part2: tuple[When, ...] = ()
    group_by: tuple[str, ...] = ()
    person: PersonMap | None = None
    plan: AField | None = None
    fields: dict[str, AField] = {}
    lists: dict[str, tuple[dict[str, AField], ...]] = {}

    def columns_of_head(self) -> set[str]:
        """The columns of what is not a list."""
        specs = [*self.fields.values(), *([self.plan] if self.plan else [])]
        if self.person is not None:
            specs += [self.person.identifier, *(spec for _, spec in self.person.others())]
        return {column for spec in specs for column in spec.columns()}

    def columns_read(self) -> set[str]:
        """Every column it reads."""
        lists = {c for many in self.lists.values() for one in many for spec in one.values() for c in spec.columns()}
        return (
            self.columns_of_head()
            | lists
            | {*self.id, *self.group_by}
            | {each.column for each in (*self.when, *self.part2)}
        )


class Mapping(_Part):
    """A whole mapping. `name` is the source of its facts, and part of the ids derived for them."""

    name: Annotated[str, Declared(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
    delimiter: Annotated[str, Declared(min_length=1, max_length=1)] = ","
    encoding: Literal["utf-8", "cp1252", "latin-1"] = "utf-8"
    skip_lines: Annotated[int, Declared(ge=0, le=1000)] = 0
    columns: tuple[str, ...] = ()
    plan: Annotated[str, Declared(pattern=r"^[a-z0-9-]{0,64}$")] = ""
    event: Annotated[tuple[EventMap, ...], Declared(min_length=1, max_length=20)]

    @classmethod
    def read(cls, path: Path) -> Mapping:
        """The mapping of a TOML, YAML or JSON file."""
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise BadMapping(f"{path.name}: cannot be read ({error.strerror})") from None
        if len(raw) > MOST_BYTES:
            raise BadMapping(f"{path.name}: more than {MOST_BYTES} bytes is no mapping")
        try:
            text = raw.decode()
            if path.suffix in (".yaml", ".yml"):
                sent: Any = yaml.safe_load(text)
            elif path.suffix == ".json":
                sent = json.loads(text)
            else:
                sent = tomllib.loads(text)
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
            told = (
                str(error).splitlines()[0] if isinstance(error, tomllib.TOMLDecodeError) else "not as its suffix says"
            )
            raise BadMapping(f"{path.name}: {told}; write TOML (.toml) or YAML (.yaml)") from None
        return cls.load(sent, path.name)

    @classmethod
    def load(cls, sent: Any, file: str) -> Mapping:
        """A mapping from plain values, checked against the event catalogue."""
        try:
            mapping = cls.model_validate(sent)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            raise BadMapping(f"{file}: {_place(first['loc'])}: {_words(first['msg'])}") from None
        for place, wrong in mapping._wrong():
            raise BadMapping(f"{file}: {place}: {wrong}")
        return mapping

    def columns_read(self) -> set[str]:
        """Every column that some event reads."""
        return {column for event in self.event for column in event.columns_read()}

    def _wrong(self) -> Iterator[tuple[str, str]]:
        """What the catalogue has against the mapping: place, and what to do."""
        if self.columns and len(set(self.columns)) < len(self.columns):
            yield "columns", "a column is named twice"
        for at, event in enumerate(self.event):
            yield from (((f"event[{at}].{place}").rstrip("."), wrong) for place, wrong in _wrong_event(event))


def _wrong_event(event: EventMap) -> Iterator[tuple[str, str]]:
    model = LOG_FACTS.get(f"carepact.{event.type}.v{event.version}")
    if model is None:
        yield "type", "no event of the catalogue; `docs/reference/events` lists them"
        return
    known = {name for name in model.model_fields if name != "person"}
    for name, spec in event.fields.items():
        if name not in known:
            yield f"fields.{name}", f"{event.type} has no such field; it has {', '.join(sorted(known))}"
        elif spec.ordinal:
            yield f"fields.{name}", "ordinal is the place in a list, and this is none"
        else:
            yield from _wrong_field(f"fields.{name}", spec, kind_of(model, name))
    for name, elements in event.lists.items():
        element = list_model(model, name) if name in known else None
        if element is None:
            yield f"lists.{name}", f"{event.type} has no such list"
            continue
        for at, one in enumerate(elements):
            yield from _wrong_element(f"lists.{name}[{at}]", one, element)
    if issubclass(model, MemberFact) and event.person is None:
        yield "person", "an event about a member needs person.identifier, with kind and column"
    if not issubclass(model, MemberFact) and event.person is not None:
        yield "person", f"{event.type} is about no member"
    given = {*event.fields, *event.lists, "person"}
    if missing := [name for name, field in model.model_fields.items() if field.is_required() and name not in given]:
        yield "fields", f"{event.type} needs {', '.join(missing)}"


def _wrong_element(place: str, one: dict[str, Field], element: type[BaseModel]) -> Iterator[tuple[str, str]]:
    for name, spec in one.items():
        if name not in element.model_fields:
            yield f"{place}.{name}", f"no such field; there are {', '.join(element.model_fields)}"
        elif not spec.ordinal:
            yield from _wrong_field(f"{place}.{name}", spec, kind_of(element, name))
    if missing := [name for name, field in element.model_fields.items() if field.is_required() and name not in one]:
        yield place, f"an element needs {', '.join(missing)}"


def _wrong_field(place: str, spec: Field, kind: Kind) -> Iterator[tuple[str, str]]:
    if kind == "cents" and spec.money is None and spec.value is None:
        yield place, 'say money = "dollars" or money = "cents"'
    if spec.date is not None and kind != "date":
        yield place, "date is for a field that is a day"
    if spec.scaled() and kind not in ("decimal", "int"):
        yield place, "multiply_by and divide_by are for numbers"
    if spec.split is not None and kind != "texts":
        yield place, "split is for a list of texts"


def kind_of(model: type[BaseModel], name: str) -> Kind:
    """What a field of a model is made of."""
    found = _plain(model.model_fields[name].annotation)
    if name.endswith("_cents"):
        return "cents"
    if get_origin(found) is tuple:
        return "texts"
    kinds: dict[Any, Kind] = {bool: "bool", int: "int", Decimal: "decimal", date: "date"}
    return kinds.get(found, "text")


def list_model(model: type[Event], name: str) -> type[BaseModel] | None:
    """The model of the elements of a list; None for a field that is no list of models."""
    found = _plain(model.model_fields[name].annotation) if name in model.model_fields else None
    inner = [_plain(each) for each in get_args(found)] if get_origin(found) is tuple else []
    return inner[0] if inner and isinstance(inner[0], type) and issubclass(inner[0], BaseModel) else None


def _plain(annotation: Any) -> Any:
    """An annotation without its constraints and without None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return _plain(next(each for each in get_args(annotation) if each is not type(None)))
    return annotation


def _place(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".") or "the file"


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")
