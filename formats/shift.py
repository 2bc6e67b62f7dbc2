"""Move every day of a fact by whole years, so that old samples fall into a contract's years.

29 February becomes 28 where the target year has none. Birth days and birth years move too, so that ages stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from contracts.events import Event
from formats.reading import Read, ReadFact


def shift_day(day: date, years: int) -> date:
    """The same day, `years` later: 2008-02-29 and 15 years make 2023-02-28."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


def shift_event(event: Event, years: int) -> Event:
    """`event` with each of its days moved; everything else is the same."""
    return type(event).model_validate(_shifted(event.model_dump(), years))


def shift(items: Iterable[Read], years: int) -> Iterator[Read]:
    """What a reader yields, with its facts moved by `years`. Keys keep the days as sent."""
    for item in items:
        yield replace(item, event=shift_event(item.event, years)) if isinstance(item, ReadFact) and years else item


def _shifted(value: Any, years: int) -> Any:
    match value:
        case datetime():
            return value
        case date():
            return shift_day(value, years)
        case dict():
            return {k: v + years if k == "birth_year" and v else _shifted(v, years) for k, v in value.items()}
        case tuple() | list():
            return type(value)(_shifted(v, years) for v in value)
        case _:
            return value
