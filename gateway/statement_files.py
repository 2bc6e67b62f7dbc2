"""Monthly statements as files: a subscriber's events of a month as CSV and as Parquet, each row one event.

The columns are what tools sum up; `event` is the event itself, byte for byte as on every other channel. The same events
give the same bytes of a file (with one version of Arrow, for Parquet).
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import orjson

from gateway.pages import inert

CSV, PARQUET = "csv", "parquet"
MEDIA = {CSV: "text/csv; charset=utf-8", PARQUET: "application/vnd.apache.parquet"}
ROWS_AT_ONCE = 10_000
ENVELOPE = ("id", "type", "subject", "sequence", "time", "payer", "plan")
TEXTS = (
    "contract", "practice", "kind", "period", "episode_id", "reverses", "supersedes", "cause", "run", "metric_id",
    "stratum", "unit", "value", "status", "cancer_type", "exclusion",
)  # fmt: skip
NUMBERS = ("amount_cents", "numerator", "denominator", "moved_cents")
DAYS = ("effective_on", "from", "to", "as_of")
COLUMNS = (*ENVELOPE, *TEXTS, *NUMBERS, *DAYS, "withheld", "event")


class _Writer(Protocol):
    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None: ...


async def write_statement(events: AsyncIterator[bytes], path: Path, form: str) -> int:
    """Write a file of events in the order they come, some thousands at a time; answers how many."""
    count = 0
    with ExitStack() as stack:
        writer = await asyncio.to_thread(_WRITERS[form], path, stack)
        held: list[bytes] = []
        async for event in events:
            held.append(event)
            count += 1
            if len(held) == ROWS_AT_ONCE:
                await asyncio.to_thread(writer.rows, [row_of(one) for one in held])
                held.clear()
        if held:
            await asyncio.to_thread(writer.rows, [row_of(one) for one in held])
    return count


def row_of(event: bytes) -> dict[str, Any]:
    """One event under `COLUMNS`; what it has not is None."""
    envelope = orjson.loads(event)
    data = envelope["data"]
    measured = data.get("measurement_period") or {}
    row = {name: envelope.get(name) for name in ENVELOPE}
    row |= {name: data.get(name) for name in (*TEXTS, *NUMBERS, *DAYS)}
    row |= {"contract": data.get("contract") or data.get("contract_id"), "period": _text(data.get("period"))}
    row |= {"from": measured.get("from_on") or data.get("started_on")}
    row |= {"to": measured.get("through_on") or data.get("ends_on")}
    hidden = data.get("suppression")
    return row | {"withheld": hidden["code"] if hidden else None, "event": event.decode()}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


class _Csv:
    """RFC 4180, UTF-8."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._to = csv.writer(stack.enter_context(path.open("w", encoding="utf-8", newline="")), lineterminator="\r\n")
        self._to.writerow(COLUMNS)

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write some more."""
        self._to.writerows([inert(_text(row[name]) or "") for name in COLUMNS] for row in rows)


class _Parquet:
    """Days and instants as such, cents as integers."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
        kinds = {
            **dict.fromkeys(NUMBERS, self._arrow.int64()),
            **dict.fromkeys(DAYS, self._arrow.date32()),
            "time": self._arrow.timestamp("ms", tz="UTC"),
        }
        fields = [self._arrow.field(name, kinds.get(name, self._arrow.string())) for name in COLUMNS]
        self._schema = self._arrow.schema(fields)
        self._to = stack.enter_context(parquet.ParquetWriter(path, self._schema, compression="zstd", version="2.6"))

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write a row group."""
        columns = [[_typed(name, row[name]) for row in rows] for name in COLUMNS]
        arrays = [self._arrow.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._to.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))


def _typed(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "time":
        return datetime.fromisoformat(value).astimezone(UTC)
    return date.fromisoformat(value) if name in DAYS else value


_WRITERS: Mapping[str, Callable[[Path, ExitStack], _Writer]] = {CSV: _Csv, PARQUET: _Parquet}
