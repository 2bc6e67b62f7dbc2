"""Every sample beside the repository is read, or is refused by name before anything is written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from formats.detect import UnknownFormat, check_file, read_files
from formats.reading import ReadFact, Reject

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the sample data is not beside the repository")

OF_NO_FORMAT = ("README.md", "cclf/bcda-open/archives/csv/", "ref/", "rtw/", "rif/bfd-synthea-open/export_summary.csv")
"""Lists of identifiers and of prices, a summary, and a table without days, which a mapping reads."""
SOURCES = (".fsh",)


def test_every_file_is_read_or_refused_by_name() -> None:
    known, unknown = [], []
    for path in sorted(each for each in DATA.rglob("*") if each.is_file()):
        try:
            check_file(path)
            known.append(path)
        except UnknownFormat as refused:
            assert str(refused).startswith(f"{path.name}: the format cannot be told")
            assert "--mapping" in str(refused)
            unknown.append(str(path.relative_to(DATA)))
    assert all(name.startswith(OF_NO_FORMAT) or name.endswith(SOURCES) for name in unknown), unknown
    facts, rejects = Counter[str](), Counter[str]()
    for item in read_files(known):
        assert item.rows >= 0
        if isinstance(item, ReadFact):
            facts[item.source.split("/")[0]] += 1
        else:
            assert isinstance(item, Reject)
            assert item.reason
            assert item.remedy
            rejects[item.code] += 1
    assert {"fhir", "synthea", "desynpuf", "tuva", "cclf", "rif"} <= set(facts)
    assert facts.total() > 40_000
    assert rejects["not_read"] > 0
