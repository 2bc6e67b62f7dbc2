"""What is left of a claim when its voids, replacements and adjustments are counted (outcome rules D.5).

Records are paired line by line within a family. A replacement displaces every line of the claim it names. A void
displaces the same line of the claim it names; voids that name none follow, each displacing the earliest line of equal
paid amount that is left. An adjustment
displaces nothing itself: its cancels do. What no void or replacement displaces survives and counts; a void whose
original has not come displaces nothing yet.
"""

from __future__ import annotations

from collections.abc import Iterator

from contracts.parts import ClaimRecord, Family, Unit

Place = tuple[int, int]
"""(index of the record in its family, index of the unit in the record)."""


def survivors(records: list[ClaimRecord]) -> list[Place]:
    """The places of the units that count, in order of receipt.

    CMS's own example, Part A: 200 - 200 + 0 - 0 + 210 and 50 make 260.
    """
    if len(records) == 1:
        record = records[0]
        return [] if record.action == "void" else [(0, j) for j, unit in enumerate(record.units) if unit.counts]
    displaced = set(_replaced(records))
    voids = sorted(
        (i for i, record in enumerate(records) if record.action == "void"),
        key=lambda i: (not records[i].replaces, records[i].effective_on, records[i].claim_id),
    )
    for i in voids:
        for unit in records[i].units:
            if (target := _target(records, i, unit, displaced)) is not None:
                displaced.add(target)
    return [
        (i, j)
        for i, record in enumerate(records)
        if record.action != "void"
        for j, unit in enumerate(record.units)
        if unit.counts and (i, j) not in displaced
    ]


def _replaced(records: list[ClaimRecord]) -> Iterator[Place]:
    for k, newer in enumerate(records):
        if newer.action == "replacement" and newer.replaces:
            for i, record in enumerate(records):
                if record.claim_id == newer.replaces and record.action != "void" and _older(records, i, k):
                    yield from ((i, j) for j in range(len(record.units)))


def _older(records: list[ClaimRecord], i: int, k: int) -> bool:
    """Whether record `i` may be displaced by `k`: always another claim's, and an own one only if made before it.

    A payer that keeps one number for all versions names it in each replacement; the newest version stays.
    """
    if records[i].claim_id != records[k].claim_id:
        return True
    return (records[i].effective_on, i) < (records[k].effective_on, k)


def _target(records: list[ClaimRecord], void: int, unit: Unit, displaced: set[Place]) -> Place | None:
    """The unit a void's unit takes away: the named claim's line, else the earliest line of equal amount."""
    named = records[void].replaces
    found: list[tuple[str, str, Place]] = []
    for i, record in enumerate(records):
        if record.action == "void" or (named and record.claim_id != named):
            continue
        for j, other in enumerate(record.units):
            if other.line == unit.line and (i, j) not in displaced and (named or other.paid_cents == unit.paid_cents):
                found.append((record.effective_on, record.claim_id, (i, j)))
    return min(found)[2] if found else None


def receive(family: Family, record: ClaimRecord) -> tuple[list[Unit], list[Unit]]:
    """Add a record to its family; the units that ceased to count, and those that came to count."""
    family.records.append(record)
    if len(family.records) == 1:
        if record.action == "void":
            return [], []
        come = [unit for unit in record.units if unit.counts]
        if len(come) == len(record.units):
            family.surviving = [(0, j) for j in range(len(come))]
        else:
            family.surviving = [(0, j) for j, unit in enumerate(record.units) if unit.counts]
        return [], come
    after = survivors(family.records)
    before = {(i, j) for i, j in family.surviving}
    family.surviving = after
    gone = [family.records[i].units[j] for i, j in sorted(before.difference(after))]
    come = [family.records[i].units[j] for i, j in after if (i, j) not in before]
    return gone, come
