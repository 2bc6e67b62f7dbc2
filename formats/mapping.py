"""A table of anybody's, read by a mapping that says which column is which field: `publish --mapping FILE`.

A mapping is TOML or YAML and declares, it does not compute: a column, a fixed value, or a text made of columns; a date
format; a list of values and what they mean; dollars or cents; a factor between units. It is checked against the event
catalogue before a row is read, so that a wrong field, a missing one or a column that the table does not have is told
with the mapping's own place. One row makes the events whose `when` it meets; with `group_by`, rows that follow one
another with the same cells there make one, and `lists` take an element from each.

What is rejected keeps the mapping and the header with it, as a file that can be read by itself: format `mapped`, whose
first line is the mapping in JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import chain
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace
from pydantic import ValidationError

from contracts.envelope import MAX_FACT_BYTES
from contracts.events import LOG_FACTS, Event, MemberFact, Person
from formats.cells import BadCell, Row, cents, day
from formats.grouping import agreed
from formats.mapping_file import EventMap, Field, Kind, Mapping, kind_of, list_model
from formats.reading import Place, Read, ReadFact, Reject
from formats.schema_errors import first_error
from formats.table import NumberedRow, UnknownLayout, header_of, rows

FORMAT: Final = "mapped"
MARK: Final = b'{"carepact_mapping":'
MOST_ROWS: Final = 1_000
"""Rows of one record."""
_DIGITS_MAX: Final = 18
_YES: Final = frozenset(("true", "yes", "y", "1", "t"))
_NO: Final = frozenset(("false", "no", "n", "0", "f"))


def with_mapping(mapping: Mapping, lines: Iterable[bytes]) -> Iterator[bytes]:
    """A table as a file of the format `mapped`."""
    return chain([head_of(mapping)], lines)


def head_of(mapping: Mapping) -> bytes:
    """The first line of a file of the format `mapped`."""
    text = json.dumps({"carepact_mapping": mapping.model_dump(mode="json", by_alias=True, exclude_defaults=True)})
    return text.encode() + b"\n"


def read(lines: Iterable[bytes], file: str) -> Iterator[Read]:
    """Facts and rejects of a file whose first line is its mapping."""
    source = iter(lines)
    first = next(source, b"")
    try:
        sent = json.loads(first)["carepact_mapping"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UnknownLayout(f"{file}: no mapping in its first line; publish the table with --mapping FILE") from None
    return _table(Mapping.load(sent, file), source, file)


def read_by(mapping: Mapping, lines: Iterable[bytes], file: str) -> Iterator[Read]:
    """Facts and rejects of a table, by its mapping. `UnknownLayout` when a column is not there."""
    return _table(mapping, iter(lines), file)


def load(path: Path) -> Mapping:
    """The mapping of a file; `BadMapping` names what is wrong and where."""
    return Mapping.read(path)


def _table(mapping: Mapping, lines: Iterator[bytes], file: str) -> Iterator[Read]:
    lines = _as_utf8(lines, mapping.encoding)
    for _ in range(mapping.skip_lines):
        next(lines, b"")
    before = mapping.skip_lines
    header, head = list(mapping.columns), b""
    if not header:
        head = next(lines, b"")
        header, before = header_of(head, mapping.delimiter), before + 1
    if twice := sorted(name for name in mapping.columns_read() if header.count(name) > 1):
        raise UnknownLayout(f"{file}: the table has a column twice that the mapping reads: {', '.join(twice)}")
    if lacking := sorted(mapping.columns_read() - set(header)):
        raise UnknownLayout(f"{file}: the table lacks columns that the mapping reads: {', '.join(lacking)}")
    again = mapping.model_copy(update={"encoding": "utf-8", "skip_lines": 0})
    head = head_of(again) + head
    made = [_Maker(mapping, event) for event in mapping.event]
    for item in rows(lines, file, header, mapping.delimiter, before):
        if isinstance(item, Reject):
            yield _with_head(item, head)
            continue
        taken = False
        for maker in made:
            for each in maker.hear(item, file, owner=not taken):
                yield _with_head(each, head)
            taken = taken or maker.wants(item[1])
        if not taken:
            reason, remedy = "a row that the mapping makes nothing of", "add an event for it, or take the row out"
            yield _with_head(Reject(Place(file, item[0]), "unmapped", reason, remedy, item[2]), head)
    for maker in made:
        for each in maker.end(file):
            yield _with_head(each, head)


def _with_head(item: Read, head: bytes) -> Read:
    return replace(item, head=head, format=FORMAT) if isinstance(item, Reject) else item


def _as_utf8(lines: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The lines in UTF-8; one with a byte that the encoding does not have stays no text, and is refused as such."""
    for line in lines:
        try:
            yield line if encoding == "utf-8" else line.decode(encoding).encode()
        except UnicodeDecodeError:
            yield b"\xff" + line


class _Maker:
    """What one `event` of a mapping makes of rows. A row counts for the first event that wants it."""

    def __init__(self, mapping: Mapping, event: EventMap) -> None:
        self._mapping = mapping
        self._event = event
        self._model: type[Event] = LOG_FACTS[f"carepact.{event.type}.v{event.version}"]
        self._held: list[tuple[NumberedRow, bool]] = []
        self._size = 0

    def wants(self, row: Row) -> bool:
        """Whether the row meets every condition."""
        return all(each.met(row) for each in self._event.when)

    def hear(self, item: NumberedRow, file: str, *, owner: bool) -> Iterator[Read]:
        """What comes of a row, or of the group that it ends."""
        if not self.wants(item[1]):
            return
        if not self._event.group_by:
            yield from self._made([(item, owner)], file)
            return
        if self._held and self._key(item[1]) != self._key(self._held[-1][0][1]):
            yield from self.end(file)
        self._held.append((item, owner))
        self._size += len(item[2])
        if len(self._held) > MOST_ROWS or self._size > MAX_FACT_BYTES:
            group, self._held, self._size = self._held, [], 0
            reason = f"more than {MOST_ROWS} rows, or {MAX_FACT_BYTES} bytes, that are one record"
            for (number, _, raw), ours in group:
                yield Reject(
                    Place(file, number), "too_many_rows", reason, "send the record in parts", raw, rows=int(ours)
                )

    def end(self, file: str) -> Iterator[Read]:
        """What comes of the rows held."""
        group, self._held, self._size = self._held, [], 0
        if group:
            yield from self._made(group, file)

    def _key(self, row: Row) -> tuple[str, ...]:
        return tuple(row[column].strip() for column in self._event.group_by)

    def _made(self, group: list[tuple[NumberedRow, bool]], file: str) -> Iterator[Read]:
        table = [row for (_, row, _), _ in group]
        place, counted = Place(file, group[0][0][0]), sum(ours for _, ours in group)
        raw = b"".join(raw for (_, _, raw), _ in group)
        try:
            fields = self._fields(table)
            event = self._model.model_validate_json(json.dumps(fields))
            plan = str(_value(table[0], self._event.plan, "text") or "") if self._event.plan else ""
            given = [text for column in self._event.id for text in [table[0][column].strip()] if text]
        except BadCell as refused:
            where = Place(file, place.line, refused.column)
            yield Reject(where, refused.code, refused.reason, refused.remedy, raw, counted)
            return
        except ValidationError as error:
            found = first_error(error)
            where = Place(file, place.line, self._column_of(found.field) or found.field)
            yield Reject(where, found.code, found.reason, found.remedy, raw, counted)
            return
        if isinstance(event, MemberFact) and event.person is None:
            where = Place(file, place.line, "person.identifier")
            reason, remedy = "a row without a member identifier", "fill the column of person.identifier"
            yield Reject(where, "no_member_identifier", reason, remedy, raw, counted)
            return
        yield ReadFact(
            event,
            place,
            self._mapping.name,
            producer_id="|".join(given) if self._event.id and len(given) == len(self._event.id) else None,
            natural_key="|".join((FORMAT, self._event.type)),
            plan=plan or self._mapping.plan,
            rows=counted,
            part2=any(each.met(row) for row in table for each in self._event.part2),
        )

    def _fields(self, table: list[Row]) -> dict[str, Any]:
        """The event's data as JSON would have it."""
        if len(table) > 1:
            agreed(table, *sorted(self._event.columns_of_head()))
        row = {name: next((r[name] for r in table if r[name].strip()), "") for name in table[0]}
        made: dict[str, Any] = {}
        for name, spec in self._event.fields.items():
            if (value := _value(row, spec, kind_of(self._model, name))) is not None:
                made[name] = value
        if self._event.person is not None:
            others = ((name, _value(row, spec, kind_of(Person, name))) for name, spec in self._event.person.others())
            person = {name: value for name, value in others if value is not None}
            kind = self._event.person.identifier.kind
            if (value := _value(row, self._event.person.identifier, "text")) is not None:
                made["person"] = person | {"identifier": {"kind": kind, "value": value}}
        for name, elements in self._event.lists.items():
            model = list_model(self._model, name)
            assert model is not None, "the mapping was checked against the catalogue"
            found = [one for r in table for spec in elements if (one := _element(r, spec, model)) is not None]
            for place, one in enumerate(found, 1):
                one |= {field: place for field, value in one.items() if value is _ORDINAL}
            made[name] = found
        return made

    def _column_of(self, pointer: str) -> str:
        """The column that a field at the top of the event is read from."""
        spec = self._event.fields.get(pointer.lstrip("/").split("/")[0])
        return spec.column or "" if spec else ""


_ORDINAL: Final = object()


def _element(row: Row, spec: dict[str, Field], model: type[Any]) -> dict[str, Any] | None:
    """An element of a list; None when every column it is read from is empty."""
    read_from = {column for each in spec.values() for column in each.columns()}
    if read_from and not any(row[column].strip() for column in read_from):
        return None
    made: dict[str, Any] = {}
    for name, each in spec.items():
        value = _ORDINAL if each.ordinal else _value(row, each, kind_of(model, name))
        if value is not None:
            made[name] = value
    return made


def _value(row: Row, spec: Field, kind: Kind) -> Any:
    """A field's value as JSON would have it; None when the cells are empty."""
    text, column = _sent(row, spec)
    if not text:
        return None
    if spec.values is not None:
        found = spec.values.get(text, spec.otherwise)
        if found is None:
            raise BadCell("unmapped", column, "a value that the mapping does not have", "add it to values")
        text = found
    if spec.split is not None:
        return [part.strip() for part in text.split(spec.split) if part.strip()]
    try:
        return _as_kind(text, column, spec, kind)
    except (ValueError, InvalidOperation):
        raise BadCell(
            "schema", column, f"not {_KINDS[kind]}", "send one, or say in the mapping how to read it"
        ) from None


_KINDS: Final[dict[Kind, str]] = {
    "text": "a text", "int": "a whole number", "decimal": "a number", "bool": "yes or no", "date": "a date",
    "cents": "an amount", "texts": "a list",
}  # fmt: skip


def _as_kind(text: str, column: str, spec: Field, kind: Kind) -> Any:
    match kind:
        case "date":
            return _date(text, column, spec)
        case "cents":
            return cents({column: text}, column) if spec.money == "dollars" else int(text)
        case "decimal" | "int":
            sent = Decimal(text)
            if not sent.is_finite() or sent.adjusted() > _DIGITS_MAX:  # 1e99999999 is short, and long as a number
                raise ValueError(text)
            exact = sent * spec.factor()
            if kind == "decimal":
                return str(exact.quantize(Decimal("0.0001")).normalize() if spec.scaled() else exact)
            if exact != int(exact):
                raise ValueError(text)
            return int(exact)
        case "bool":
            plain = text.lower()
            if plain not in _YES | _NO:
                raise ValueError(text)
            return plain in _YES
        case "texts":
            return [text]
        case _:
            return text


def _date(text: str, column: str, spec: Field) -> str:
    if spec.date is None:
        found = day({column: text}, column)
        assert found is not None
        return found.isoformat()
    try:
        return datetime.strptime(text, spec.date).date().isoformat()  # noqa: DTZ007 - the day as written
    except ValueError:
        remedy = f"send dates as {spec.date}, or change the mapping's format"
        raise BadCell("not_a_date", column, "a date that is not as the mapping says", remedy) from None


def _sent(row: Row, spec: Field) -> tuple[str, str]:
    """The text that a field is made of, and the column to name when it is wrong."""
    if spec.value is not None:
        return spec.value, ""
    if spec.template is not None:
        names = spec.columns()
        if not all(row[name].strip() for name in names):
            return "", names[0] if names else ""
        text = re.sub(r"\{([^{}]+)\}", lambda found: row[found[1]].strip(), spec.template)
        return text, names[0] if names else ""
    if spec.digest is not None:
        joined = "\x1f".join(row[name].strip() for name in spec.digest)
        return hashlib.blake2b(joined.encode(), digest_size=12).hexdigest(), spec.digest[0]
    column = spec.column or ""
    text = row.get(column, "").strip()
    if text in spec.empty:
        return "", column
    if spec.remove:
        text = "".join(character for character in text if character not in spec.remove)
    if spec.pad is not None and text:
        text = text.rjust(spec.pad, "0")
    return (text.upper() if spec.upper else text), column
