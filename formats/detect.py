"""Which format a file is, by its content; and its lines, in bounded memory."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from gzip import BadGzipFile, GzipFile
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, cast
from zipfile import BadZipFile, ZipFile, ZipInfo

import msgspec
from msgspec.structs import replace

from contracts.envelope import MAX_FACT_BYTES
from formats import cclf, desynpuf, epro_csv, fhir, leave_files, mapping, ndjson, rif, synthea, tuva, x12
from formats.mapping_file import Mapping
from formats.reading import Place, Read, Reader, Reject
from formats.table import UnknownLayout, header_of

READERS: dict[str, Reader] = {
    "ndjson": ndjson.read,
    "desynpuf": desynpuf.read,
    "tuva": tuva.read,
    "cclf": cclf.read,
    "rif": rif.read,
    "fhir": fhir.read,
    "x12": x12.read,
    "epro": epro_csv.read,
    "leave": leave_files.read,
    "synthea": synthea.read,
    mapping.FORMAT: mapping.read,
}
"""The formats that `--format` takes, besides `auto`."""

_WITH_HEADER = frozenset(("desynpuf", "tuva", "rif", "epro", "leave", "synthea"))
"""Formats whose rows cannot be read without the first line of their file."""
_IN_CHUNKS = frozenset(("fhir", "x12"))
"""Formats that are not lines, or whose lines may be longer than a fact."""
_CHECKED: dict[str, Callable[..., Iterator[Read]]] = {"fhir": fhir.read, "x12": x12.read}
"""Formats that a schema or guide of their own can be held against."""
_TOGETHER = frozenset(("cclf", "synthea"))
"""Formats of which the files of one folder are one submission."""
_CHUNK = 65_536
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_BOM = b"\xef\xbb\xbf"
_LIMIT = MAX_FACT_BYTES + 2
_PEEK = 100
_RESOURCE = re.compile(rb'"resourceType"\s*:\s*"[A-Z][A-Za-z]{2,40}"')
_MOST_RATIO, _SMALL = 200, 10_000_000
"""A packed file may become this many times larger, or this many bytes."""


class UnknownFormat(UnknownLayout):
    """The content is of no format that can be read. Names the file and what was looked for."""

    def __init__(self, file: str) -> None:
        super().__init__(
            f"{file}: the format cannot be told. Looked, in gzip, zip or plain text, for CloudEvents in JSON (ndjson), "
            "a DE-SynPUF header (desynpuf), a Tuva header (tuva), fixed-width CMS claim feeds (cclf), a RIF header "
            "(rif), FHIR resources (fhir), an X12 interchange (x12), our tables of answers (epro) and of work and "
            "leave (leave), Synthea's CSV (synthea). Name it with --format if you know it; read any other table with "
            "--mapping."
        )


def detect(lines: list[bytes], file: str) -> str:
    """The format that these first lines of a file are of. A bad line among events does not hide them."""
    first = next((line for line in lines if line.strip()), b"")
    if x12.looks_like(first):
        return "x12"
    if (table := _table(first, file)) is not None:
        return table
    if first.removeprefix(_BOM).startswith(mapping.MARK):
        return mapping.FORMAT
    if cclf.kind_of(lines, file) is not None:
        return "cclf"
    events = any(_is_event(line) for line in lines)
    if not events and _is_fhir(lines):
        return "fhir"
    if events or first.removeprefix(_BOM).startswith(b"{"):
        return "ndjson"
    raise UnknownFormat(file)


def _table(first: bytes, file: str) -> str | None:
    """Which table has this header."""
    header = header_of(first)
    told = {
        "desynpuf": desynpuf.maker(header, file) is not None,
        "tuva": tuva.kind_of(header) is not None,
        "rif": rif.kind_of(rif.header_of(first)) is not None,
        "epro": epro_csv.is_header(header),
        "leave": leave_files.kind_of(header) is not None,
        "synthea": synthea.kind_of(header) is not None,
    }
    return next((name for name, is_it in told.items() if is_it), None)


def _is_fhir(lines: list[bytes]) -> bool:
    """Whether this is a JSON object that names a resourceType, or one over several lines, as no event is."""
    start = b"".join(lines).removeprefix(_BOM).lstrip()
    return start.startswith((b"{\n", b"{\r")) or (start.startswith(b"{") and bool(_RESOURCE.search(start)))


def _is_event(line: bytes) -> bool:
    try:
        return "specversion" in msgspec.json.decode(line.removeprefix(_BOM), type=dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def lines_of(stream: IO[bytes] | GzipFile) -> Iterator[bytes]:
    """Lines with their ends. Of a line longer than a fact may be, only so much that it is seen to be too long."""
    while line := stream.readline(_LIMIT):
        yield line
        while len(line) == _LIMIT and not line.endswith(b"\n"):
            if not (line := stream.readline(_LIMIT)):
                return


def read_file(path: Path, format_: str = "auto") -> Iterator[Read]:
    """Facts and rejects of a file of any format; gzip, zip or plain. An empty file has none.

    Raises `UnknownLayout` before the first item when nothing fits. A packed file that breaks off is a reject there.
    """
    return read_files([path], format_)


def read_files(
    paths: Iterable[Path],
    format_: str = "auto",
    *,
    validate: fhir.Validate = "syntax",
    by: Mapping | None = None,
    readers: dict[str, Reader] | None = None,
) -> Iterator[Read]:
    """Facts and rejects of files, in their order.

    The CCLF files of a folder, and those of a Synthea export, are one submission and come last. `validate="full"` holds
    FHIR and X12 against their own schema too. With a mapping (`by`) every file is a table that it reads. `readers` read
    their formats in place of ours.
    """
    together: dict[tuple[str, str], list[_Part]] = {}
    for path in paths:
        for part in _parts(path):
            if isinstance(part, Reject):
                yield part
                continue
            chosen = _format_of(part, format_ if by is None else mapping.FORMAT)
            if isinstance(chosen, Reject):
                yield chosen
            elif chosen in _TOGETHER:
                together.setdefault((part.folder, chosen), []).append(part)
            elif chosen:
                yield from _read(part, chosen, (readers or {}).get(chosen) or _reader(chosen, validate, by))
    for (_, chosen), parts in together.items():
        if chosen == "cclf":
            broken: list[Reject] = []
            yield from cclf.read_set((part.file, _lines(part, broken)) for part in parts)
            yield from broken
        else:
            reader = synthea.reader_beside(_header(part) for part in parts)
            for part in parts:
                yield from _read(part, chosen, reader)


def _reader(format_: str, validate: fhir.Validate, by: Mapping | None) -> Reader:
    if by is not None:
        return partial(mapping.read_by, by)
    if validate == "full" and format_ in _CHECKED:
        return partial(_CHECKED[format_], validate=validate)
    return READERS[format_]


def _header(part: _Part) -> list[str]:
    with closing(_lines(part, [])) as lines:
        return header_of(next(lines, b""))


def check_file(path: Path, format_: str = "auto", by: Mapping | None = None) -> None:
    """Raise `UnknownLayout` when a file is of no known format or not of the one named. Reads its beginning."""
    for part in _parts(path):
        if isinstance(part, _Part):
            chosen = _format_of(part, format_ if by is None else mapping.FORMAT)
            if isinstance(chosen, str) and chosen != "cclf":
                with closing(_read(part, chosen, _reader(chosen, "syntax", by), _PEEK)) as items:
                    next(items, None)


@dataclass(frozen=True, slots=True)
class _Part:
    """A file, or a file within a zip archive. Unpacked, it may have `most_bytes`."""

    file: str
    folder: str
    open: Callable[[], AbstractContextManager[IO[bytes]]]
    archived: bool = False
    most_bytes: int | None = None


def _parts(path: Path) -> Iterator[_Part | Reject]:
    with path.open("rb") as stream:
        start = stream.read(4)
    if start == _ZIP:
        yield from _archived(path)
    elif start[:2] == _GZIP:
        most = max(_SMALL, _MOST_RATIO * path.stat().st_size)
        yield _Part(
            path.name,
            str(path.parent),
            lambda: cast("AbstractContextManager[IO[bytes]]", GzipFile(path)),
            most_bytes=most,
        )
    else:
        yield _Part(path.name, str(path.parent), lambda: path.open("rb"))


def _archived(path: Path) -> Iterator[_Part | Reject]:
    try:
        with ZipFile(path) as archive:
            entries = [each for each in archive.infolist() if not each.is_dir()]
    except (BadZipFile, ValueError, NotImplementedError):
        yield _broken(path.name, 0, "zip archive")
        return
    for entry in entries:
        name = PurePosixPath(entry.filename)
        if entry.file_size > max(_SMALL, _MOST_RATIO * entry.compress_size):
            reason = f"a file of an archive that is more than {_MOST_RATIO} times its packed size"
            yield Reject(Place(path.name), "too_large", reason, "send the file unpacked", rows=0)
        elif entry.flag_bits & 1:
            yield Reject(Place(path.name), "unreadable", "an archive with a password", "send it without", rows=0)
        else:
            yield _Part(name.name, f"{path}/{name.parent}", _entry(path, entry), archived=True)


def _entry(path: Path, entry: ZipInfo) -> Callable[[], AbstractContextManager[IO[bytes]]]:
    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with ZipFile(path) as archive, archive.open(entry) as stream:
            yield stream

    return opened


def _broken(file: str, line: int, what: str, rows: int = 1) -> Reject:
    reason = f"a {what} that is damaged or breaks off"
    return Reject(Place(file, line), "unreadable", reason, "send the whole file again", rows=rows)


def _lines(part: _Part, broken: list[Reject], chunks: bool = False) -> Generator[bytes, None, None]:
    """The lines of a part, or chunks of it; that it breaks off is put into `broken`."""
    count = size = 0
    try:
        with part.open() as stream:
            for line in iter(partial(stream.read, _CHUNK), b"") if chunks else lines_of(stream):
                count, size = count + 1, size + len(line)
                if part.most_bytes is not None and size > part.most_bytes:
                    reason = f"a file that is more than {_MOST_RATIO} times its packed size"
                    broken.append(Reject(Place(part.file, count), "too_large", reason, "send the file unpacked"))
                    return
                yield line
    except (EOFError, BadGzipFile, BadZipFile, zlib.error):
        broken.append(_broken(part.file, count + 1, "zip archive" if part.archived else "gzip file"))


def _format_of(part: _Part, format_: str) -> str | Reject | None:
    """The format of a part; None if nothing is in it. What lies in an archive and is of no format is a reject."""
    broken: list[Reject] = []
    with closing(_lines(part, broken)) as lines:
        head = list(islice(lines, _PEEK))
    if not any(line.strip() for line in head):
        return broken[0] if broken else None
    if format_ != "auto":
        return format_
    try:
        return detect(head, part.file)
    except UnknownFormat as unknown:
        if not part.archived:
            raise
        return Reject(Place(part.file), "unreadable", "a file of no known format in an archive", str(unknown), rows=0)


def _read(part: _Part, format_: str, reader: Reader, most: int | None = None) -> Generator[Read, None, None]:
    """What a reader makes of a part, or of its first `most` lines: a reader may ask for all before it gives any."""
    broken: list[Reject] = []
    lines: Iterator[bytes] = islice(_lines(part, broken, format_ in _IN_CHUNKS), most)
    header = b""
    if format_ in _WITH_HEADER:
        header = next(lines, b"")
        lines = _after(header, lines)
    try:
        for item in reader(lines, part.file):
            yield _readable_again(item, format_, header) if isinstance(item, Reject) else item
    except UnknownLayout as unknown:
        if not part.archived:
            raise
        yield Reject(Place(part.file), "unreadable", "a file of an archive that cannot be read", str(unknown), rows=0)
    yield from broken


def _after(header: bytes, lines: Iterator[bytes]) -> Iterator[bytes]:
    yield header
    yield from lines


def _readable_again(reject: Reject, format_: str, header: bytes) -> Reject:
    """A rejected row with its header, without which it could not be read again."""
    return replace(reject, format=format_, head=reject.head or header)
