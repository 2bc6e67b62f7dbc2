"""People whose names, numbers and days are searched for in every output, in each format that is taken in.

Files come whole, cut off in the middle of a record, and with days that are none, so that every reader refuses some.
What X12 sends back to its sender may name whom it is about, in three segments and nowhere else.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import orjson

from carepact.generate.population import generate
from carepact.generate.practices import broadcasts
from carepact.generate.writing import write_as
from tests.formats import test_canaries as cells
from tests.formats.test_fhir import R4
from tests.formats.test_questionnaires import item, phq9, survey
from tests.formats.x12_samples import INSTITUTIONAL, PREMIUMS, PROFESSIONAL, REMITTANCE, ROSTER, made
from tests.streams.ways_in import CANARIES

MEMBERS, SEED, MONTHS = 2, 1951, 4
PLANTED = (*CANARIES, b"19510713", b"Zebrafinch")
_RENAMED = (
    ("CANARY", "Canaria"), ("ZEBRA", "Quetzal"), ("19500203", "19510713"), ("19700614", "19510713"),
    ("ACCOUNT1", "PCN-777"), ("*M1", "*1EG4TE5MK73"),
)  # fmt: skip
MAY_NAME = re.compile(rb"NM1\*QC\*1\*[^~]*~|TRN\*2\*[^~]*~|REF\*D9\*[^~]*~")
"""Of a 277CA: the patient, the sender's own number of the claim, and the number of its clearing house."""

_POPULATION = [line for _, line in generate(MEMBERS, SEED, payers=("medicare",))]


def canaries() -> tuple[bytes, ...]:
    """What must be in no output: what is planted by hand, and all that names one of the invented people."""
    found = set(PLANTED)
    for line in _POPULATION:
        person = dict(orjson.loads(line)["data"].get("person") or {})
        number = person.pop("identifier", {}).get("value")
        named = [person.get(name) for name in ("family_name", "address", "birth_date")]
        found |= {each.encode() for each in (number, *named) if each}
        found |= {(person.get("birth_date") or "").replace("-", "").encode()} - {b""}
    return tuple(sorted(found))


def inputs(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each file: our generator's formats, resources, and tables with a name in each cell."""
    for name, content in _whole(folder):
        yield name, content
        yield f"cut-{name}", content[: len(content) * 2 // 3]
        if name.endswith(".zip"):
            yield f"days-{name}", _zipped((each, _without_days(text)) for each, text in _unzipped(content))
        else:
            yield f"days-{name}", _without_days(content)
    for name, (_, head, rows) in cells.TABLES.items():
        table = b"\n".join([rows[0].encode(), *(sent.splitlines()[-1] for sent in cells.cells(rows[:2]))])
        if not head:  # a mapping is sent beside its table
            yield f"{name}.csv", table + b"\n"
    changed = [orjson.dumps(body) for body in (*cells.values(survey(phq9(1))), *cells.values(R4))]
    yield "resources.ndjson", b"\n".join(changed)


def sets() -> Iterator[tuple[str, bytes]]:
    """(name, content) of X12, whole and with a claim or member refused."""
    for kind, segments in (
        ("837", PROFESSIONAL), ("837I", INSTITUTIONAL), ("834", ROSTER), ("835", REMITTANCE), ("820", PREMIUMS),
    ):  # fmt: skip
        content = made(kind, segments).decode()
        for old, new in _RENAMED:
            content = content.replace(old, new)
        yield f"{kind}.x12", content.encode()
        yield f"days-{kind}.x12", _without_days(content.encode())


def _whole(folder: Path) -> Iterator[tuple[str, bytes]]:
    yield "practices.ndjson", b"\n".join(broadcasts()) + b"\n"
    yield "facts.ndjson", b"\n".join(_POPULATION) + b"\n"
    yield "answers.ndjson", orjson.dumps(survey([*phq9(1, 2), item("/44261-6", {"valueString": "3"})]))
    for format_ in ("x12", "cclf", "fhir", "csv"):
        write_as(format_, folder / format_, MEMBERS, SEED, MONTHS, payers=("medicare",))
        files = sorted(path for path in (folder / format_ / "medicare").rglob("*") if path.is_file())
        if format_ == "cclf":
            yield "cclf.zip", _zipped((path.name, path.read_bytes()) for path in files)
        else:
            yield from ((path.name, path.read_bytes()) for path in files)


def _without_days(content: bytes) -> bytes:
    """Each day of this century with a month that there is not."""
    return re.sub(rb"(20[012][0-9]-?)[01][0-9](-?[0-3][0-9])", rb"\g<1>99\g<2>", content)


def _zipped(files: Iterator[tuple[str, bytes]]) -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        for name, content in files:
            archive.writestr(name, content)
    return kept.getvalue()


def _unzipped(content: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            yield name, archive.read(name)
