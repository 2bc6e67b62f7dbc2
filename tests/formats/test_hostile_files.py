"""Files made to do harm: archives with ways out of their folder or that grow, XML with entities, JSON without end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest

from formats.detect import UnknownFormat, read_file
from formats.reading import Reject
from formats.table import UnknownLayout

NOTHING = b'{"specversion":"1.0","source":"x","type":"carepact.Nothing.v1","data":{}}\n'
OUTSIDE = ("../../evil.ndjson", "/evil.ndjson", "..\\..\\evil.ndjson", "a/../../evil.ndjson")
LINK = 0o120777 << 16


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_archive_writes_nothing_and_its_places_have_no_folders(name: str, tmp_path: Path) -> None:
    inside = tmp_path / "in" / "side"
    inside.mkdir(parents=True)
    with ZipFile(inside / "sent.zip", "w") as archive:
        archive.writestr(name, NOTHING)
    (found,) = read_file(inside / "sent.zip")
    assert isinstance(found, Reject)
    assert found.code == "unknown_type"
    assert "/" not in found.place.file
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [inside / "sent.zip"]


def test_a_link_in_an_archive_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.ndjson").write_bytes(NOTHING * 3)
    with ZipFile(tmp_path / "sent.zip", "w") as archive:
        link = ZipInfo("link.ndjson")
        link.external_attr = LINK
        archive.writestr(link, b"secret.ndjson")
        archive.writestr("whole.ndjson", NOTHING)
    found = _told(tmp_path / "sent.zip")
    assert len(found) < 4, "of the three lines that the link names none is read"


def test_an_archive_that_grows_a_thousandfold_is_given_up(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "bomb.zip", "w", ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("bomb.ndjson", NOTHING + b" " * 40_000_000)
    (found,) = read_file(tmp_path / "bomb.zip")
    assert isinstance(found, Reject)
    assert found.code == "too_large"


def _entities() -> bytes:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    return f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e0 "{"x" * 100}">{levels}]><a>&e9;</a>'.encode()


def _outside() -> bytes:
    return b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>'


@pytest.mark.parametrize("made", [_entities, _outside])
def test_xml_is_no_format_and_no_entity_is_resolved(made: Callable[[], bytes], tmp_path: Path) -> None:
    (tmp_path / "claims.xml").write_bytes(made())
    with pytest.raises(UnknownLayout) as refused:
        list(read_file(tmp_path / "claims.xml"))
    assert "root:" not in str(refused.value)


def _told(path: Path) -> list[object]:
    try:
        return list(read_file(path))
    except UnknownLayout:
        return []


DEEP = b'{"a":' * 10_000 + b"1" + b"}" * 10_000


@pytest.mark.parametrize("format_", ["auto", "ndjson", "fhir"])
@pytest.mark.parametrize(
    "content",
    [
        DEEP,
        DEEP.replace(b"a", b"specversion", 1),
        b'{"resourceType": "Patient", "system\xff": 1}',
        b'{"specversion\xff": "1.0"}',
        b'{"specversion": "1.0", "id": "\x00"}',
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"resourceType": "Bundle", "entry": ' + DEEP + b"}",
    ],
    ids=["deep", "deep event", "key", "event key", "NUL", "open", "lists", "deep bundle"],
)
def test_json_that_nothing_can_read_is_a_reject_also_when_its_format_is_told(
    content: bytes, format_: str, tmp_path: Path
) -> None:
    path = tmp_path / "f"
    path.write_bytes(content + b"\n")
    try:
        items = list(read_file(path, format_))
    except UnknownFormat:
        assert content.startswith(b"[") and format_ == "auto"
        return
    assert [type(item) for item in items] == [Reject]
