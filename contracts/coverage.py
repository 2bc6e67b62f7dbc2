"""Coverage in time: the newest fact wins for the days it names.

A kind of coverage is a list of spans that never overlap, in order of their days. Writing a span cuts what it covers
out of the older ones; taking coverage away only cuts.
"""

from __future__ import annotations

from contracts.parts import Span
from contracts.units import add_days


def overlay(spans: list[Span], new: Span, covered: bool) -> list[Span]:
    """`spans` after a fact about the days of `new`: without those days, and with `new` in place if covered."""
    kept: list[Span] = []
    for old in spans:
        if old.through < new.start or old.start > new.through:
            kept.append(old)
            continue
        if old.start < new.start:
            kept.append(Span(old.start, add_days(new.start, -1), old.code, old.ref))
        if old.through > new.through:
            kept.append(Span(add_days(new.through, 1), old.through, old.code, old.ref))
    if covered:
        kept.append(new)
    kept.sort(key=lambda span: span.start)
    return kept


def on(spans: list[Span] | None, day: str) -> Span | None:
    """The span in force on a day."""
    for span in spans or ():
        if span.start <= day <= span.through:
            return span
    return None


def throughout(spans: list[Span] | None, first: str, last: str) -> str:
    """'' when every day from `first` to `last` is covered, else the first day that is not."""
    day = first
    for span in spans or ():
        if span.start <= day <= span.through:
            if span.through >= last:
                return ""
            day = add_days(span.through, 1)
        elif span.start > day:
            break
    return day


def ever(spans: list[Span] | None, first: str, last: str) -> Span | None:
    """The first span that has a day from `first` to `last`."""
    for span in spans or ():
        if span.start <= last and span.through >= first:
            return span
    return None
