"""Generated events sealed by the door into a file, and written from there to the log as often as is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from struct import Struct
from typing import TypeVar

from carepact.settings import Settings, connection
from formats.ndjson import read
from formats.reading import Reject
from streams.door import Door, FileSubmission
from streams.keys import SqliteKeyStore
from streams.log_writer import LogWriter, Position
from streams.topics import OPERATOR, log_topic

PAYER = "medicare"
CHUNK = 2_000
LENGTHS = Struct("<HHI")
Item = TypeVar("Item")


class Sealed:
    """A record as the door made it, read back."""

    __slots__ = ("key", "partition", "value")

    def __init__(self, partition: int, key: bytes, value: bytes) -> None:
        self.partition, self.key, self.value = partition, key, value


class Refused(Exception):
    """The door rejected generated events, so what follows would measure another population."""


def seal(settings: Settings, lines: Iterable[bytes], file: Path) -> int:
    """Let lines in by the payer's door and keep the records in `file`; answers how many there are."""
    keys = SqliteKeyStore(settings.key_store)
    try:
        door = Door(settings.load_roster().payer(PAYER), keys, settings.log_partitions)
        submission, count = FileSubmission(), 0
        with file.open("wb") as spool:
            for chunk in chunks(read(lines, "bench"), CHUNK):
                for record in door.admit(chunk, submission):
                    if isinstance(record, Reject):
                        raise Refused(f"{record.code}: {record.reason}")
                    spool.write(LENGTHS.pack(record.partition, len(record.key), len(record.value)))
                    spool.write(record.key)
                    spool.write(record.value)
                    count += 1
        return count
    finally:
        keys.close()


def sealed(file: Path) -> Iterator[Sealed]:
    """The records of a file that `seal` made, in order."""
    with file.open("rb") as spool:
        while head := spool.read(LENGTHS.size):
            partition, key_length, value_length = LENGTHS.unpack(head)
            yield Sealed(partition, spool.read(key_length), spool.read(value_length))


async def write(settings: Settings, records: Iterable[Sealed]) -> int:
    """Write records to the payer's log as fast as Kafka takes them; answers how many there were."""
    written = 0
    async with LogWriter(connection(settings, OPERATOR), "carepact.bench") as writer:
        for chunk in chunks(records, CHUNK):
            written += len(await writer.write(log_topic(PAYER), chunk))
    return written


async def write_steadily(
    settings: Settings, records: Iterable[Sealed], per_second: int, due: dict[Position, float]
) -> None:
    """Write records as they fall due at a steady rate; `due` learns when each was, however late it could be sent."""
    async with LogWriter(connection(settings, OPERATOR), "carepact.bench") as writer:
        source, began, number = iter(records), time.perf_counter(), 0
        while True:
            wanted = int((time.perf_counter() - began) * per_second) + 1 - number
            if not (part := list(islice(source, wanted))):
                return
            for nth, position in enumerate(await writer.write(log_topic(PAYER), part), number):
                due[position] = began + nth / per_second
            number += len(part)
            await asyncio.sleep(began + number / per_second - time.perf_counter())


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of `size`, the last one shorter."""
    source = iter(items)
    while part := list(islice(source, size)):
        yield part
