"""Comma-separated tables with a header: rows by column name, or rejects for rows that are none."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterable, Iterator

from pydantic import ValidationError

from contracts.envelope import MAX_FACT_BYTES
from formats.cells import BadCell, Row
from formats.reading import Place, Read, Reject
from formats.schema_errors import first_error

MOST_LINES = 1_000
"""Of one row: a quote that is never closed takes no more of a file with it."""

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")

NumberedRow = tuple[int, Row, bytes]
"""1-based line, cells by column, and the line as sent."""


class UnknownLayout(Exception):
    """The header is none that the reader knows. Names the file and what was looked for."""


def told_columns(names: Collection[str]) -> str:
    """Names of columns as a message may say them; one that is no plain word might be data, and is counted only."""
    plain = sorted(name for name in names if _PLAIN.fullmatch(name))
    others = len(names) - len(plain)
    return ", ".join([*plain, *([f"{others} more"] if others else [])])


def header_of(line: bytes, delimiter: str = ",") -> list[str]:
    """The column names of a header line; empty when it is no text."""
    try:
        text = line.removeprefix(b"\xef\xbb\xbf").decode()
        return [name.strip() for name in next(csv.reader([text], delimiter=delimiter), [])]
    except (UnicodeDecodeError, csv.Error):
        return []


def rows(
    lines: Iterator[bytes], file: str, header: list[str], delimiter: str = ",", before: int = 1
) -> Iterator[NumberedRow | Reject]:
    """The rows after the header and the `before` lines with it.

    A quoted cell may hold line ends, up to the size of one fact and to `MOST_LINES`.
    """
    number = before
    for raw in lines:
        number += 1
        if not raw.strip():
            continue
        first, whole = number, raw
        cells = _cells(whole, delimiter)
        while (
            cells is None
            and len(whole) < MAX_FACT_BYTES
            and number - first < MOST_LINES
            and (more := next(lines, None)) is not None
        ):
            number += 1
            whole += more
            if whole.count(b'"') % 2 == 0:
                cells = _cells(whole, delimiter)
        if cells is None or isinstance(cells, str):
            reason = cells or "a quoted cell that never ends"
            remedy = "send UTF-8 with each quote closed"
            yield Reject(Place(file, first), "unreadable", reason, remedy, whole[:MAX_FACT_BYTES])
        elif len(whole) > MAX_FACT_BYTES:
            reason = f"a row of more than {MAX_FACT_BYTES} bytes"
            yield Reject(Place(file, first), "too_large", reason, "send shorter rows", whole[:MAX_FACT_BYTES])
        elif len(cells) != len(header):
            reason = f"a row of {len(cells)} cells under a header of {len(header)}"
            yield Reject(Place(file, first), "unreadable", reason, "send as many cells as columns", whole)
        else:
            yield first, dict(zip(header, cells, strict=True)), whole


def _cells(raw: bytes, delimiter: str) -> list[str] | str | None:
    """The cells; None if a quote is still open; words if it is no text."""
    try:
        text = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return "a row that is not UTF-8"
    if '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        return None if "unexpected end of data" in str(error) else "a row with a quote inside a cell"


def read_rows(
    lines: Iterable[bytes], file: str, header: list[str], make: Callable[[Row, Place], Iterable[Read]]
) -> Iterator[Read]:
    """What `make` makes of each row; a row that it cannot read is a reject as a whole."""
    return made_of(rows(iter(lines), file, header), file, make)


def made_of(
    found: Iterable[NumberedRow | Reject], file: str, make: Callable[[Row, Place], Iterable[Read]]
) -> Iterator[Read]:
    """The same of rows that were cut by other rules."""
    for item in found:
        if isinstance(item, Reject):
            yield item
            continue
        number, row, raw = item
        place = Place(file, number)
        try:
            made = list(make(row, place))
        except (BadCell, ValidationError) as error:
            yield refusal(error, place, raw)
        else:
            yield from made


def refusal(error: BadCell | ValidationError, place: Place, raw: bytes, rows_: int = 1) -> Reject:
    """The reject of a row that could not be read."""
    if isinstance(error, BadCell):
        return Reject(Place(place.file, place.line, error.column), error.code, error.reason, error.remedy, raw, rows_)
    found = first_error(error)
    return Reject(Place(place.file, place.line, found.field), found.code, found.reason, found.remedy, raw, rows_)
