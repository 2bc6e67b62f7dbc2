"""Old sample data moved into a contract's years: every day of a fact, by whole years.

29 February becomes 28 February in a year that has none. A year of birth moves too, so that ages stay.
"""

from __future__ import annotations

from datetime import date
from functools import cache, lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel

from contracts.events import Event

E = TypeVar("E", bound=Event)
EARLIEST, LATEST = date(1900, 1, 1), date(2200, 1, 1)
_YEARS = frozenset({"birth_year"})


class DayOutOfRange(ValueError):
    """A shifted day lies outside the years that facts may have."""


def shifted(event: E, years: int) -> E:
    """The same fact `years` later, in all its days."""
    moved: E = _shift_model(event, years)
    return moved


@lru_cache(maxsize=40_000)
def shift_day(day: date, years: int) -> date:
    """2008-02-29 and 15 years is 2023-02-28."""
    year = day.year + years
    if not EARLIEST.year <= year <= LATEST.year:
        raise DayOutOfRange(f"a day shifted by {years} years falls outside {EARLIEST.year} to {LATEST.year}")
    if day.month == 2 and day.day == 29 and not _is_leap(year):
        return date(year, 2, 28)
    return day.replace(year=year)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _shift_model(model: Any, years: int) -> Any:
    changes: dict[str, Any] = {}
    for name in _candidates(model.__class__):
        value = getattr(model, name)
        if value is None:
            continue
        if name in _YEARS:
            changes[name] = value + years
        elif (moved := _shift_value(value, years)) is not value:
            changes[name] = moved
    return model.model_copy(update=changes) if changes else model


def _shift_value(value: Any, years: int) -> Any:
    if isinstance(value, date):
        return shift_day(value, years)
    if isinstance(value, BaseModel):
        return _shift_model(value, years)
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel | date):
        return tuple(_shift_value(each, years) for each in value)
    return value


@cache
def _candidates(model: type[BaseModel]) -> tuple[str, ...]:
    """The fields that may hold a day, or a model that has one."""
    return tuple(name for name, f in model.model_fields.items() if name in _YEARS or _may_hold(f.annotation))


def _may_hold(annotation: Any) -> bool:
    if isinstance(annotation, type):
        return issubclass(annotation, date | BaseModel)
    return any(_may_hold(each) for each in getattr(annotation, "__args__", ()))
