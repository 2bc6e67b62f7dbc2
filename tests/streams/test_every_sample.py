"""Every sample beside the repository goes through the door with each row accounted for, or is refused by name."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest

from formats.detect import UnknownFormat, check_file, read_files
from formats.reading import Reject
from streams.door import Door, FileSubmission
from streams.keys import SqliteKeyStore
from tests.payers import shipped

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the sample data is not beside the repository")

OF_NO_FORMAT = ("README.md", "cclf/bcda-open/archives/csv/", "ref/", "rtw/", "rif/bfd-synthea-open/export_summary.csv")
"""Lists of identifiers and of prices, a summary, and a table without days, which a mapping reads."""
SOURCES = (".fsh",)
TABLES = ("desynpuf/", "rif/", "synthea-csv/", "tuva/")
LINKED = "cclf/jhurrell-random-v38/"
"""Files of one delivery, which are read together."""


def test_every_file_is_read_or_refused_by_name() -> None:
    unknown = []
    for path in sorted(each for each in DATA.rglob("*") if each.is_file()):
        try:
            check_file(path)
        except UnknownFormat as refused:
            assert str(refused).startswith(f"{path.name}: the format cannot be told")
            assert "--mapping" in str(refused)
            unknown.append(str(path.relative_to(DATA)))
    assert all(name.startswith(OF_NO_FORMAT) or name.endswith(SOURCES) for name in unknown), unknown


def test_accepted_duplicate_and_rejected_are_all_that_was_read_of_every_file(tmp_path: Path) -> None:
    keys, told = SqliteKeyStore(tmp_path / "keys.sqlite3"), Counter[str]()
    (payer,) = shipped("medicare").payers
    door = Door(payer, keys, 4)
    for name, paths in groups().items():
        accepted = duplicate = rejected = 0
        ids: set[str] = set()
        items = list(read_files(paths))
        read = sum(item.rows for item in items)
        for out in door.admit(items, FileSubmission()):
            if isinstance(out, Reject):
                assert out.reason and out.remedy
                rejected += out.rows
                told[out.code] += out.rows
            elif out.event_id in ids:
                duplicate += out.rows
            else:
                ids.add(out.event_id)
                accepted += out.rows
                told[name.partition("/")[0]] += out.rows
        assert accepted + duplicate + rejected == read, name
        if name.startswith(TABLES):
            assert read == rows_in(paths[0]), name
    keys.close()
    assert {"fhir-eob", "synthea-csv", "desynpuf", "tuva", "cclf", "rif", "x12", "epro"} <= set(told)
    assert told["not_read"] > 0


def groups() -> dict[str, list[Path]]:
    """Files that are read, by what is read at once."""
    found: dict[str, list[Path]] = {}
    for path in sorted(each for each in DATA.rglob("*") if each.is_file()):
        name = str(path.relative_to(DATA))
        if not name.startswith(OF_NO_FORMAT) and not name.endswith(SOURCES):
            found.setdefault(LINKED if name.startswith(LINKED) else name, []).append(path)
    return found


def rows_in(path: Path) -> int:
    """The lines below the header."""
    raw = path.read_bytes()
    lines = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).splitlines()
    return sum(1 for line in lines if line.strip()) - 1
