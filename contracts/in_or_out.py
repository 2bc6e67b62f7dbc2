"""Whether a version of a claim counts in an episode, and why."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.parts import ClaimRecord, Unit


def in_or_out(record: ClaimRecord, counted: list[Unit], start: str, end: str) -> tuple[bool, str]:
    """In or out of the days from `start` to `end`. `counted` are its lines that no later version took away."""
    if record.action == "void":
        return False, "a void takes another version away and counts for nothing itself"
    if record.note:
        return False, record.note
    if not counted:
        silent = not any(unit.counts for unit in record.units)
        return False, "every line is denied" if silent else "voided or replaced by a later version"
    days = sorted({day for unit in counted for day in _days(unit)})
    if not days:
        return False, "names no day and no amount that the contract counts"
    inside = [day for day in days if start <= day <= end]
    if inside:
        return True, f"service on {inside[0]} is within {start} to {end}"
    if days[-1] < start:
        return False, f"service on {days[-1]} is before the episode began on {start}"
    if days[0] > end:
        return False, f"service on {days[0]} is after the episode ended on {end}"
    return False, f"services on {days[0]} to {days[-1]} are all outside {start} to {end}"


def _days(unit: Unit) -> Iterable[str]:
    yield from (item[2][:10] for item in unit.evidence)
    yield from (item[0] for item in unit.spend)
