"""Rows of a table that belong together: those that follow one another under one key, or all those with one key."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator

from pydantic import ValidationError

from contracts.envelope import MAX_FACT_BYTES
from formats.cells import BadCell, Row
from formats.reading import Place, Read, Reject
from formats.table import NumberedRow, refusal, rows

Group = list[NumberedRow]
MAX_ROWS = 1_000_000
"""Of a file whose rows must be gathered before the first is given out."""


def groups(
    lines: Iterator[bytes], file: str, header: list[str], key: Callable[[Row], Hashable], most: int
) -> Iterator[Group | Reject]:
    """Rows that follow one another with equal keys. Of a group that is too long every row is a reject."""
    held: Group = []
    held_key: Hashable = None
    size, spilled = 0, False
    for item in rows(lines, file, header):
        if isinstance(item, Reject):
            yield item
            continue
        if (item_key := key(item[1])) != held_key:
            if held:
                yield held
            held, held_key, size, spilled = [], item_key, 0, False
        size += len(item[2])
        if spilled or len(held) == most or size > MAX_FACT_BYTES:
            yield from (_too_many(each, file, most) for each in [*held, item])
            held, spilled = [], True
        else:
            held.append(item)
    if held:
        yield held


def _too_many(row: NumberedRow, file: str, most: int) -> Reject:
    reason = f"more than {most} rows, or {MAX_FACT_BYTES} bytes, that are one record"
    return Reject(Place(file, row[0]), "too_many_rows", reason, "send the record in parts", row[2])


def read_groups(
    found: Iterable[Group | Reject], file: str, make: Callable[[list[Row], Place], Iterable[Read]]
) -> Iterator[Read]:
    """What `make` makes of each group; a group that it cannot read is a reject as a whole."""
    for group in found:
        if isinstance(group, Reject):
            yield group
            continue
        place = Place(file, group[0][0])
        try:
            made = list(make([row for _, row, _ in group], place))
        except (BadCell, ValidationError) as error:
            yield refusal(error, place, b"".join(raw for _, _, raw in group), len(group))
        else:
            yield from made


def gathered(
    lines: Iterator[bytes], file: str, header: list[str], key: Callable[[Row], Hashable]
) -> Iterator[Group | Reject]:
    """Rows with equal keys, wherever they stand in the file; groups in the order of their first rows.

    All rows are held until the last is read, without their empty cells; a file of more than `MAX_ROWS` is to be split.
    """
    found: dict[Hashable, Group] = {}
    held = 0
    for item in rows(lines, file, header):
        if isinstance(item, Reject):
            yield item
            continue
        number, row, raw = item
        if held == MAX_ROWS:
            reason = f"more than {MAX_ROWS} lines in one file"
            yield Reject(Place(file, number), "too_many_rows", reason, "split the file by claim", raw)
            continue
        held += 1
        found.setdefault(key(row), []).append((number, {name: cell for name, cell in row.items() if cell}, raw))
    blank = dict.fromkeys(header, "")
    for group in found.values():
        yield [(number, blank | row, raw) for number, row, raw in group]


def agreed(group: list[Row], *columns: str) -> None:
    """Refuse a group whose rows disagree about what they share; an empty cell agrees with any."""
    for column in columns:
        if len({text for row in group if (text := row.get(column, "").strip())}) > 1:
            reason = "rows of one record that disagree"
            raise BadCell("schema", column, reason, "repeat one value on each row of the record")


def shared(group: list[Row], column: str) -> str:
    """The value that the rows of a group share; '' when none has it."""
    return next((text for row in group if (text := row.get(column, "").strip())), "")
