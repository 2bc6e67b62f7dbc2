"""CMS Claim and Claim Line Feed: the files CCLF1 to 9, A and B of one submission, read together; CCLF0 checks receipt.

Fixed width, no header (Information Packet v36, layouts up to v38; older layouts are beginnings of these). A file's
kind is told by the length of its records, or where trailing blanks were cut off by its CMS name (`...ZC5Y24...`).

Part A: a header (CCLF1) with its revenue centres (2), procedures (3) and diagnoses (4) is one claim, paid as the
header says. Physician (5) and DME (6) lines of one claim id, control number, kind and day are one claim. The
benefit-enhancement records (A, B) are counted with their claim; what they say is not taken over. Part D (7) is one
fill a line.

Versions: adjustment type 0 is an original, 1 a void, 2 an adjustment, which displaces nothing itself; amounts are those
of the record, unsigned. Families are CMS's natural keys without the member, who is known beside: for Part A the billing
provider's OSCAR number with both dates, for Part B and DME the claim control number, for Part D the fill. Denied are a
Part A claim with a non-payment reason, a claim whose carrier denial code says that Medicare paid nobody, and lines with
another processing indicator than A, O, R or S.

Former MBIs (9) are replaced by the present one in all records of the submission. 1000-01-01 and 9999-12-31 are no days.
Descriptive codes of another form than their code system has (DRG, revenue centre, place of service) are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from pydantic import ValidationError

from formats.cclf_claims import claims, fill
from formats.cclf_layout import BY_LENGTH, LENGTHS, SOURCE, Line, bad, refused
from formats.cclf_members import beneficiary, former
from formats.cells import BadCell
from formats.reading import Place, Read, Reject
from formats.spill import Kept, spill

File = tuple[str, Iterable[bytes]]
"""A file's name without folders, and its lines."""

_NAME = re.compile(r"(?:^|\.)ZC([0-9AB])(?=[YRW.]|$)")
_COUNT = re.compile(r"[0-9]{1,18}")
_RECEIPT = re.compile(r"CCLF([0-9AB])\s*$")


def read(lines: Iterable[bytes], file: str) -> Iterator[Read]:
    """Facts and rejects of one file, or of the records of one claim under whatever name."""
    return read_set([(file, lines)])


def read_set(files: Iterable[File]) -> Iterator[Read]:
    """Facts and rejects of the files of one submission; each claim with what other files say of it.

    Beneficiaries and former identifiers come first, then fills, then claims by claim id, then what CCLF0 promised and
    did not come.
    """
    with spill() as alone, spill() as grouped:
        seen: dict[str, list[int]] = {}
        receipts: list[Kept] = []
        known_before: list[Kept] = []
        places: dict[str, Callable[[Kept], None]] = dict.fromkeys(LENGTHS, grouped.put)
        places |= {"0": receipts.append, "9": known_before.append, "8": alone.put, "7": alone.put}
        for file, lines in files:
            yield from _sorted(file, lines, places, seen)
        present: dict[str, str] = {}
        yield from former(known_before, present)
        for group in alone.groups():
            yield from _one(Line.of(group[0], present))
        for group in grouped.groups():
            yield from claims([Line(each.kind, each.file, each.line, each.raw, present) for each in group])
    yield from _not_received(receipts, seen)


def kind_of(lines: list[bytes], file: str) -> str | None:
    """Which CCLF file these first lines are of, by length and by what stands in the date columns; None if none."""
    named = _named(file)
    filled = [line.rstrip(b"\r\n") for line in lines if line.strip()]
    if not filled:
        return None
    first = filled[0]
    if b"|" in first:
        return "0" if re.match(rb"(x?CCLF[0-9AB]|File Number)\s*\|", first) else None
    kind = BY_LENGTH.get(len(first)) or (named if named and len(first) <= LENGTHS[named][0] else None)
    if kind is None or any(len(line) > LENGTHS[kind][0] for line in filled[:-1]):
        return None
    text = first.decode("latin-1")
    if kind in "89":
        key = text[:11] if kind == "8" else text[1:12]
        return kind if re.fullmatch(r"[0-9A-Z ]{9,11}", key) and "," not in text[:30] else None
    return kind if re.fullmatch(r" *[0-9]+ *", text[:13]) else None


def _named(file: str) -> str | None:
    found = _NAME.search(file)
    return found[1] if found and found[1] != "0" else None


def _sorted(
    file: str, lines: Iterable[bytes], places: Mapping[str, Callable[[Kept], None]], seen: dict[str, list[int]]
) -> Iterator[Reject]:
    """Put each record of a file in its place; yields what is none. `seen` has count and greatest length by kind."""
    named, receipt = _named(file), bool(re.search(r"(?:^|\.)ZC0(?=[YRW.]|$)", file))
    most = LENGTHS[named][0] if named else -1
    for line, sent in enumerate(lines, 1):
        raw = sent.rstrip(b"\r\n")
        size = len(raw)
        if not size or raw.isspace():
            continue
        if size == most and not receipt:  # as most are
            assert named is not None
            kind = named
        elif receipt or raw.find(b"|", 0, 40) >= 0:
            if raw.lstrip(b"\xef\xbb\xbf").startswith(b"File Number"):
                continue
            kind = "0"
        elif size <= most:
            assert named is not None
            kind = named
        elif size in BY_LENGTH:
            kind = BY_LENGTH[size]
        else:
            reason = "a record of a length that no CCLF layout has"
            remedy = "send the records in full width, one a line, under the file's CMS name"
            yield Reject(Place(file, line), "unreadable", reason, remedy, sent, format=SOURCE)
            continue
        if kind in _ALONE:
            key = f"{_ALONE[kind]}{file} {line:010}"
        elif not (key := raw[:13].decode("latin-1").strip()):
            yield refused(Line(kind, file, line, raw, {}), bad("CUR_CLM_UNIQ_ID", "a claim without its id"))
            continue
        if (counted := seen.get(kind)) is None:
            counted = seen[kind] = [0, 0]
        counted[0] += 1
        counted[1] = max(counted[1], size)
        places[kind](Kept(key, kind, file, line, raw))


_ALONE = {"0": "", "9": "", "8": " ", "7": "!"}
"""Records that stand alone, and what their keys begin with: beneficiaries before fills."""


def _one(line: Line) -> Iterator[Read]:
    make = beneficiary if line.kind == "8" else fill
    try:
        yield from list(make(line))
    except (BadCell, ValidationError) as error:
        yield refused(line, error)


# Receipt


def _not_received(receipts: list[Kept], seen: dict[str, list[int]]) -> Iterator[Reject]:
    """What CCLF0 declares and the files beside it do not have. Its records are no rows."""
    for kept in receipts:
        cells_ = [cell.strip() for cell in kept.raw.decode("latin-1").split("|")]
        found = _RECEIPT.search(cells_[0])
        place = Place(kept.file, kept.line)
        if found is None or len(cells_) < 4 or not all(map(_COUNT.fullmatch, cells_[2:4])):
            reason, remedy = "a record that declares no CCLF file", "send CCLF0 as the layout has it"
            yield Reject(place, "receipt", reason, remedy, kept.raw, 0, format=SOURCE)
            continue
        kind, declared, length = found[1], int(cells_[2]), int(cells_[3])
        count, longest = seen.get(kind, (0, 0))
        if declared != count:
            field, reason = "Total Records Count", f"CCLF{kind} should have {declared} records and has {count}"
            remedy = "send the whole submission again, or drop this if CCLF0 is wrong"
        elif count and length not in (longest, *LENGTHS.get(kind, ())):
            field, reason = "Record Length", f"CCLF{kind} is declared with another record length than it has"
            remedy = "send the layout that CCLF0 declares, or drop this if CCLF0 is wrong"
        else:
            continue
        yield Reject(Place(kept.file, kept.line, field), "receipt", reason, remedy, kept.raw, 0, format=SOURCE)
