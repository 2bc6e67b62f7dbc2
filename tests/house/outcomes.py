"""Prints what contracts, door, readers and clocks make of fixed inputs: `python -m tests.house.outcomes`.

Random bytes are replaced by fixed ones, so that two runs differ only by what the machine is set to.
"""

from __future__ import annotations

import io
import itertools
import os
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import astuple
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from carepact.calendar_command import passed_in, until_midnight
from carepact.generate import write
from contracts.events import RejectDropped
from formats import detect
from formats.reading import Read, ReadFact
from projections.positions import AsOf
from projections.store import instant
from streams.codec import decode_record
from streams.door import Admitted, Door
from streams.keys import SqliteKeyStore
from streams.operations import record_of
from streams.rejects import RejectBook
from streams.roster import Roster
from tests.contracts.given import Folded, Log
from tests.contracts.test_cases import CASES
from tests.streams.test_retrying import TABLE
from tests.streams.ways_in import claim, ndjson

TIMES = ("2024-02-29T23:30:00-10:00", "2024-03-01T00:30:00+14:00", "2024-12-31T23:59:59Z", "2023-07-01T00:00:00+00:00")
INSTANTS = (datetime(2026, 1, 31, 11, 30, tzinfo=UTC), datetime(2026, 3, 8, 7, 30, tzinfo=UTC))


def outcomes(folder: Path) -> Iterator[Any]:
    """One line for each outcome."""
    numbers = itertools.count(1)
    os.urandom = lambda size: next(numbers).to_bytes(size, "big")
    yield from contracts()
    yield from ways_in(folder)
    yield from clocks()


def contracts() -> Iterator[Any]:
    """What every case of every contract decides."""
    for file in CASES:
        content = tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
        for case in content["case"]:
            contract = content.get("contract", "medicare-eom")
            log = Log(contract).opened(case.get("bare", False))
            if not case.get("bare", False):
                log.enrolled()
            log.told(case["given"])
            for outcome in Folded(contract, log.facts).outcomes:
                yield case["name"], outcome


def ways_in(folder: Path) -> Iterator[Any]:
    """What readers, door and codec make of files, and how a population is generated."""
    times = (*TIMES, "2024-01-01T00:00:00")
    events = [ndjson(claim("1EG4TE5MK73", f"C{n}"), f"c-{n}", time=time) for n, time in enumerate(times)]
    (folder / "events.ndjson").write_bytes(b"\n".join(events))
    (folder / "pharmacy.csv").write_bytes(b"".join(TABLE) + TABLE[1].replace(b"2024-03-01", b"2024-02-30"))
    write(folder / "population", 20, 7, 6)
    keys = SqliteKeyStore(folder / "keys.sqlite3")
    book = RejectBook("medicare", keys)
    for shift in (0, 15):
        door = Door(Roster.load().payer("medicare"), keys, 4, shift_years=shift)
        for file in (folder / "events.ndjson", folder / "pharmacy.csv", folder / "population" / "medicare.ndjson"):
            items: list[Read] = list(detect.read_file(file))
            yield from ((item.place, item.event.model_dump_json()) for item in items if isinstance(item, ReadFact))
            for answer in door.admit(items):
                yield answer
                if isinstance(answer, Admitted):
                    at = ("t", answer.partition, 1, 1_709_164_799_999)
                    yield decode_record(*at, answer.key, answer.value)
                else:
                    yield book.record(answer).value
    keys.close()


def clocks() -> Iterator[Any]:
    """Instants and days, wherever the machine thinks it is."""
    for payer, at in itertools.product(Roster.load().payers, INSTANTS):
        yield payer.name, passed_in(payer, at), until_midnight(payer, at)
    for text in ("2026-01-31", "2026-01-31T23:30:00-05:00"):
        yield astuple(AsOf.parse(text, None))
    yield instant(1_709_164_799_999)
    why = RejectDropped(payer="medicare", by="x", reject_id="0d9a3f0e-6d0f-5c4b-9d7c-6f1f5b2c8a11", why="x")
    yield from (record_of(why, "0d9a3f0e-6d0f-5c4b-9d7c-6f1f5b2c8a11", at).value for at in INSTANTS)


if __name__ == "__main__":
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as temporary:
        for line in outcomes(Path(temporary)):
            print(repr(line), file=printed)
    sys.stdout.write(printed.getvalue())
