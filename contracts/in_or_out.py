"""Whether a version of a claim counts in an episode, and why."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from contracts.parts import ClaimRecord, Unit


def in_or_out(record: ClaimRecord, counted: Sequence[Unit], start: str, end: str) -> tuple[bool, str]:
    """In or out of the days from `start` to `end`. `counted` are its lines that no later version took away."""
    days = days_of(counted)
    why_not = never(record, counted, days)
    return (False, why_not) if why_not else within(days, start, end)


def days_of(counted: Sequence[Unit]) -> list[str]:
    """The days that lines of a claim name, each once, in order."""
    days = {item[2][:10] for unit in counted for item in unit.evidence}
    days.update([item[0] for unit in counted for item in unit.spend])
    return sorted(days)


def never(record: ClaimRecord, counted: Sequence[Unit], days: Sequence[str]) -> str:
    """Why a version counts in no episode whatever its days; '' if they decide. `days` are `days_of` what counts."""
    if record.action == "void":
        return "a void takes another version away and counts for nothing itself"
    if record.note:
        return record.note
    if not counted:
        silent = not any(unit.counts for unit in record.units)
        return "every line is denied" if silent else "voided or replaced by a later version"
    return "" if days else "names no day and no amount that the contract counts"


def within(days: Sequence[str], start: str, end: str) -> tuple[bool, str]:
    """Whether one of some days, in order and at least one, lies from `start` to `end`; and the words for it."""
    if days[-1] < start:
        return False, f"service on {days[-1]} is before the episode began on {start}"
    if days[0] > end:
        return False, f"service on {days[0]} is after the episode ended on {end}"
    first = days[bisect_left(days, start)]
    if first <= end:
        return True, f"service on {first} is within {start} to {end}"
    return False, f"services on {days[0]} to {days[-1]} are all outside {start} to {end}"
