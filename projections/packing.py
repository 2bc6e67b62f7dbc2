"""Parts of members as they are stored: msgpack arrays of a class's fields in their order, without their names.

The form follows from the annotations in `contracts.parts`. A field added to a part goes last and has a default: what
was stored before it reads as if it had been there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from operator import attrgetter
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from contracts.parts import PART_TYPES, Adoption

Part = TypeVar("Part")
Convert = Callable[[Any], Any]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def pack(part: Any) -> bytes:
    """A part, or what a partition adopted, as bytes; equal ones give equal bytes."""
    return _encode(_WRITERS[type(part)](part))


def unpack(made: type[Part], data: bytes) -> Part:
    """The part that `pack` made."""
    read: Part = _READERS[made](_decode(data))
    return read


def _names(made: type[Any]) -> list[str]:
    return [field.name for field in fields(made)] if is_dataclass(made) else list(made._fields)


def _annotations(made: type[Any]) -> list[Any]:
    hints = get_type_hints(made)
    return [hints[name] for name in _names(made)]


def _is_tuple(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, tuple)


@cache
def _writer(annotation: Any) -> Convert | None:
    """How a value of this type becomes plain; None when it is. A named tuple is, with all that it holds."""
    if is_dataclass(annotation):
        return _class_writer(annotation)
    return _within(annotation, _writer)


@cache
def _reader(annotation: Any) -> Convert | None:
    """How a value of this type is made of plain ones; None when it is plain."""
    if is_dataclass(annotation) or _is_tuple(annotation):
        return _class_reader(annotation)
    if get_origin(annotation) is tuple:
        return tuple
    return _within(annotation, _reader)


def _within(annotation: Any, of: Callable[[Any], Convert | None]) -> Convert | None:
    """The conversion of a list, a map by text, or a value that may be None, by that of what is in it."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is list and (each := of(inner[0])) is not None:
        return lambda values: [each(value) for value in values]
    if origin is dict and (held := of(inner[1])) is not None:
        return lambda values: {key: held(value) for key, value in values.items()}
    if origin is UnionType and (there := of(inner[0])) is not None:
        return lambda value: None if value is None else there(value)
    return None


def _class_writer(made: Any) -> Convert:
    names = _names(made)
    take: Convert = attrgetter(*names) if len(names) > 1 else lambda part: (getattr(part, names[0]),)
    nested = [(i, convert) for i, kind in enumerate(_annotations(made)) if (convert := _writer(kind)) is not None]
    if not nested:
        return take

    def write(part: Any) -> list[Any]:
        values = list(take(part))
        for i, convert in nested:
            values[i] = convert(values[i])
        return values

    return write


def _class_reader(made: Any) -> Convert:
    nested = [(i, convert) for i, kind in enumerate(_annotations(made)) if (convert := _reader(kind)) is not None]

    def read(values: list[Any]) -> Any:
        for i, convert in nested:
            if i < len(values):
                values[i] = convert(values[i])
        return made(*values)

    return read


_STORED = (*PART_TYPES.values(), Adoption)
_WRITERS = {made: _class_writer(made) for made in _STORED}
_READERS = {made: _class_reader(made) for made in _STORED}
