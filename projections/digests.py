"""Rows held against rows, without keeping them: each table of a partition as sums of row digests, by bucket.

A bucket is a stretch of offsets, or, where rows have no offset of their own, members of equal beginnings. Sums do not
depend on the order of rows. Where two sums differ, the rows of that bucket alone are fetched and compared by their
business key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from hashlib import blake2b, sha256
from typing import Any

from projections.batches import COLUMNS as LOG_BATCH
from projections.rows import EPISODE, EPISODE_SPEND, LEDGER_LINE, PAYMENT, REMITTANCE, RETURN_TO_WORK, STATE_PART, Row
from projections.store import FACT, REJECT

OFFSETS_PER_BUCKET = 256
MEMBER_LETTERS = 2
ROWS_AT_ONCE = 2_000
WHOLE = 1 << 128
UUIDS = {
    "event_id",
    "reject_id",
    "episode_id",
    "cause_event_id",
    "payment_id",
    "reverses",
    "supersedes",
    "cause",
}

Bucket = int | str
Convert = Callable[[Any], str | int]

BETWEEN, NULL = "\x1f", "\x1e"
"""What stands between two columns and for no value in a row's text; neither is in any text of ours."""

DIGEST_BYTES, DIGEST_BITS = 16, 124
"""Of the SHA-256 of a row's text so much counts, as one signed number: two that a database can sum."""

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@lru_cache(maxsize=1_024)
def _of_instant(value: datetime) -> str:
    whole, part = divmod((value - _EPOCH) // _MICROSECOND, 1_000_000)
    return f"{whole}.{part:06d}"


def _of_any(value: Any) -> str:
    return NULL if value is None else str(value)


def _of_bool(value: bool) -> str:
    return "true" if value else "false"


def _of_list(value: Sequence[Any]) -> str:
    return f"{{{','.join(map(str, value))}}}"


BYTES = {"data", "event", "chain", "marks"}
"""Columns that stand behind a row's text as they are; the text has their lengths."""

_LENGTH: tuple[Convert, str] = len, "octet_length({0})"
_BOOL: tuple[Convert, str] = _of_bool, "{0}::text"
_INSTANT: tuple[Convert, str] = _of_instant, "extract(epoch FROM {0})::text"
_ANY: tuple[Convert, str] = _of_any, f"coalesce({{0}}::text, chr({ord(NULL)}))"
_ENDLESS = "replace(replace({0}::text, '-infinity', '0001-01-01'), 'infinity', '9999-12-31')"
"""The first and the last day that Python knows are stored as endless times."""

_DAY: tuple[Convert, str] = _of_any, f"coalesce({_ENDLESS}, chr({ord(NULL)}))"
_LIST: tuple[Convert, str] = _of_list, "{0}::text"
_FORMS: dict[str, tuple[Convert, str]] = {
    **dict.fromkeys(BYTES, _LENGTH),
    **dict.fromkeys(("included", "closed", "eligible", "conflict"), _BOOL),
    **dict.fromkeys(("to_offset", "reverses", "supersedes"), _ANY),
    "known_at": _INSTANT,
    "steps": _LIST,
}
"""Columns whose text is not simply what Python and PostgreSQL both write: how each of them writes it."""

_OF_TABLES: dict[str, dict[str, tuple[Convert, str]]] = {
    "log_batch": {"known_at": (str, "{0}")},  # there it is a number
    "reject": {"event_id": _ANY},
    "payment": {"episode_id": _ANY},
}


@dataclass(frozen=True)
class Compared:
    """A table: its compared columns, its business key, and the column that says which record made the row."""

    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    offset: str = ""

    @cached_property
    def at(self) -> int:
        """The place of the column by which rows fall into buckets: the offset, else the member, else the first."""
        names = [name for name in (self.offset, "member") if name in self.columns]
        return self.columns.index(names[0]) if names else 0

    @cached_property
    def key_at(self) -> tuple[int, ...]:
        """The places of the key's columns."""
        return tuple(self.columns.index(name) for name in self.key)

    @cached_property
    def forms(self) -> dict[str, tuple[Convert, str]]:
        """Columns that are written in a form of their own: by Python, and by PostgreSQL."""
        days = {name: _DAY for name in self.columns if name.endswith("_on")}
        found = _FORMS | days | _OF_TABLES.get(self.table, {})
        return {name: found[name] for name in self.columns if name in found}

    @cached_property
    def adds(self) -> Callable[[Iterable[Sequence[Any]], dict[Bucket, int]], int]:
        """Adds to sums by bucket the digests of rows, each as a number; answers how many rows there were.

        It is made for the table's columns, as one loop without a call for each of them: there are some rows for each
        event that is folded again.
        """
        names = {column: f"c{n}" for n, column in enumerate(self.columns)}
        written = {f"f{names[column]}": convert for column, (convert, _) in self.forms.items()}
        told = BETWEEN.join(f"{{f{c}({c})}}" if f"f{c}" in written else f"{{{c}}}" for c in names.values())
        behind = "".join(f" + {c}" for column, c in names.items() if column in BYTES)
        at = names[self.columns[self.at]]
        loop = f"""
def adds(rows, sums):
    count, get = 0, sums.get
    for {", ".join(names.values())} in rows:
        at = {f"{at} // {OFFSETS_PER_BUCKET}" if self.offset else f"{at}[:{MEMBER_LETTERS}]"}
        told = sha256(f{told!r}.encode(){behind}).digest()
        sums[at] = get(at, 0) + (number(told[:{DIGEST_BYTES}], "big", signed=True) >> {8 * DIGEST_BYTES - DIGEST_BITS})
        count += 1
    return count
"""
        known: dict[str, Any] = {"sha256": sha256, "number": int.from_bytes} | written
        exec(loop, known)  # noqa: S102 - names of COMPARED
        made: Callable[[Iterable[Sequence[Any]], dict[Bucket, int]], int] = known["adds"]
        return made

    @cached_property
    def summing(self) -> str:
        """The question for rows, and the two halves of their digests, summed by bucket; the same as of `adds`."""
        told = ", ".join(self.forms.get(name, (str, "{0}"))[1].format(name) for name in self.columns)
        at = self.columns[self.at]
        bucket = f"{at} / {OFFSETS_PER_BUCKET}" if self.offset else f"left({at}, {MEMBER_LETTERS})"
        behind = "".join(f" || {name}" for name in self.columns if name in BYTES)
        digest = f"sha256(convert_to(concat_ws(chr({ord(BETWEEN)}), {told}), 'UTF8'){behind})"
        return f"""
            SELECT at, count(*), sum(('x' || left(digest, 16))::bit(64)::bigint),
                   sum(('x' || substr(digest, 17, 15))::bit(60)::bigint)
              FROM (SELECT {bucket} AS at, encode(substr({digest}, 1, {DIGEST_BYTES}), 'hex') AS digest
                      FROM {self.table} WHERE {self.where} OFFSET 0) r
             GROUP BY at
        """  # noqa: S608 - names of COMPARED

    @property
    def where(self) -> str:
        """Which rows one log partition made; $1 is the payer, $2 the partition, $3 the log's topic if it is asked."""
        if self.table == "log_batch":
            return "$1 <> '' AND topic = $3 AND partition = $2"
        return f"payer = $1 AND partition = $2 AND {'topic = $3' if self.table == 'reject' else '$3 <> $1'}"

    def bucket(self, row: Sequence[Any]) -> Bucket:
        """The bucket of a row."""
        value = row[self.at]
        found: Bucket = value // OFFSETS_PER_BUCKET if self.offset else value[:MEMBER_LETTERS]
        return found

    def key_of(self, row: Sequence[Any]) -> Row:
        """The row's business key."""
        return tuple(row[place] for place in self.key_at)


COMPARED = (
    Compared("log_batch", LOG_BATCH, ("first_offset",), "first_offset"),
    Compared("parked_member", ("payer", "partition", "member", "log_offset", "event_id"), ("member",), "log_offset"),
    Compared("fact", FACT, ("event_id",), "log_offset"),
    Compared("reject", REJECT, ("reject_id",), "log_offset"),
    Compared("partition_state", ("payer", "partition", "data", "log_offset"), ("partition",)),
    Compared("state_part", STATE_PART, ("member", "kind", "key")),
    Compared("due", ("payer", "partition", "member", "due_on"), ("member",)),
    Compared("episode", EPISODE, ("episode_id", "version"), "from_offset"),
    Compared("episode_spend", EPISODE_SPEND, ("episode_id", "log_offset"), "log_offset"),
    Compared("return_to_work", RETURN_TO_WORK, ("episode_id", "version"), "from_offset"),
    Compared("payment", PAYMENT, ("payment_id",), "log_offset"),
    Compared("ledger_line", LEDGER_LINE, ("payment_id", "line"), "log_offset"),
    Compared("remittance", REMITTANCE, ("log_offset", "ordinal"), "log_offset"),
)
LOG_BATCHES, FACTS = COMPARED[0].table, COMPARED[2].table
TABLES = {one.table: one for one in COMPARED}


@dataclass(slots=True)
class Sums:
    """The digests of one partition's rows, 124 bits over every column, summed by table and bucket."""

    sums: dict[str, dict[Bucket, int]] = field(default_factory=lambda: defaultdict(dict))
    rows: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, table: Compared, rows: Iterable[Sequence[Any]]) -> None:
        """Count rows in."""
        self.rows[table.table] += table.adds(rows, self.sums[table.table])

    def merge(self, other: Sums) -> None:
        """Count in what another counted."""
        for table, sums in other.sums.items():
            mine = self.sums[table]
            for at, value in sums.items():
                mine[at] = mine.get(at, 0) + value
            self.rows[table] += other.rows[table]

    def differing(self, other: Sums) -> dict[str, Bucket]:
        """Where two differ first: tables, each with the bucket in which its first differing row is.

        Of tables whose rows have offsets, those that differ in the earliest stretch; failing these, one of the others.
        """
        found: dict[str, Bucket] = {}
        for one in COMPARED:
            mine, theirs = self.sums[one.table], other.sums[one.table]
            differing = [at for at in mine.keys() | theirs.keys() if mine.get(at, 0) != theirs.get(at, 0)]
            if differing:
                found[one.table] = min(differing)
        placed = {name: at for name, at in found.items() if TABLES[name].offset and name != LOG_BATCHES}
        earliest = min(placed.values(), default=None)
        first = {name: at for name, at in placed.items() if at == earliest}
        if LOG_BATCHES in found:
            return {LOG_BATCHES: found[LOG_BATCHES]} | first
        return first or dict([*found.items()][:1])

    def total(self, table: str) -> int:
        """One digest of a whole table."""
        return sum(self.sums[table].values()) % WHOLE


async def live_rows(
    connection: Any, table: Compared, payer: str, partition: int, log: str
) -> AsyncIterator[Sequence[Row]]:
    """The rows of a live table that one log partition made, some thousand at a time, in the caller's transaction."""
    selected = ", ".join(f"{name}::text" if name in UUIDS else name for name in table.columns)
    question = f"SELECT {selected} FROM {table.table} WHERE {table.where}"  # noqa: S608 - names of COMPARED
    cursor = await connection.cursor(question, payer, partition, log)
    while rows := await cursor.fetch(ROWS_AT_ONCE):
        yield [tuple(row) for row in rows]


async def live_sums(connection: Any, payer: str, partition: int, log: str) -> Sums:
    """The sums of all compared tables of one log partition as they are live, in the caller's transaction.

    PostgreSQL adds them up, so that no row leaves it.
    """
    sums = Sums()
    await connection.execute("SET LOCAL datestyle = 'ISO'; SET LOCAL jit = off")
    for table in COMPARED:
        mine = sums.sums[table.table]
        for at, count, high, low in await connection.fetch(table.summing, payer, partition, log):
            mine[at] = (int(high) << (DIGEST_BITS - 64)) + int(low)
            sums.rows[table.table] += count
    return sums


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing found that is not as the log says; `event_id` is of the record at the position."""

    table: str
    key: dict[str, Any]
    field: str | None
    expected: Any
    found: Any
    position: dict[str, Any] | None
    event_id: str | None = None

    def as_json(self) -> dict[str, Any]:
        """With stable keys."""
        return {
            "table": self.table,
            "key": self.key,
            "field": self.field,
            "expected": self.expected,
            "found": self.found,
            "position": self.position,
            "event_id": self.event_id,
        }


def first_difference(
    table: Compared, expected: Iterable[Row], found: Iterable[Row], log: str, partition: int
) -> Difference:
    """The difference with the lowest offset, then key, between two sets of rows that are known to differ."""
    should = {table.key_of(row): tuple(row) for row in expected}
    are = {table.key_of(row): tuple(row) for row in found}
    differing = [key for key in should.keys() | are.keys() if should.get(key) != are.get(key)]
    assert differing, f"the sums of {table.table} differ and its rows do not"

    def order(key: Row) -> tuple[int, str]:
        row = should.get(key) or are[key]
        return (row[table.columns.index(table.offset)] if table.offset else 0, repr(key))

    key = min(differing, key=order)
    want, have = should.get(key), are.get(key)
    place = want or have or ()
    at = table.offset or ("log_offset" if "log_offset" in table.columns else "")
    position = {"topic": log, "partition": partition, "offset": place[table.columns.index(at)]} if at else None
    named = dict(zip(table.key, (plain(value) for value in key), strict=True))
    if want is None or have is None:
        return Difference(table.table, named, None, _shown(table, want), _shown(table, have), position)
    column = next(n for n, (one, other) in enumerate(zip(want, have, strict=True)) if one != other)
    return Difference(table.table, named, table.columns[column], plain(want[column]), plain(have[column]), position)


def _shown(table: Compared, row: Row | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {name: plain(value) for name, value in zip(table.columns, row, strict=True)}


def plain(value: Any) -> Any:
    """A column's value as JSON can hold it; bytes as their digest."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return f"{len(value)} bytes, blake2b {blake2b(value, digest_size=16).hexdigest()}"
    return value
