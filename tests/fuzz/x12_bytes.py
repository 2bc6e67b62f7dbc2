"""What must hold of any bytes given to the X12 reader; `python -m tests.fuzz.x12_bytes 120` looks for counterexamples.

It looks for 120 seconds from the corpus on (atheris), and puts what reaches new code into a folder of its own; by hand
the smallest of these become the corpus. Bytes that begin with ISA are a file. Others are the inside of one transaction
set: the first byte chooses its kind, and counts and control numbers are made right, so that they do not end at the
door.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime

from formats import x12
from formats.reading import ReadFact, Reject
from formats.x12_acknowledge import acknowledge
from tests.formats.x12_samples import GUIDES, ISA
from tests.fuzz.detecting import is_told
from tests.fuzz.looking import CORPUS, look

FOUND = CORPUS / "x12"
KINDS = tuple(GUIDES)
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_FIELD = re.compile(r"[A-Z0-9?]{0,5}(-[0-9]+)?(/[a-z0-9_?/]*)?")
_FINDING = re.compile(r"[A-Z0-9?]{1,3}[0-9]{0,2}(-[0-9]+)?:[A-Za-z0-9]{1,9}")
_SEGMENT = re.compile(rb"[A-Z][A-Z0-9]{1,2}(\*[ -)+-}]*)*~\n")


def whole(sent: bytes) -> bytes:
    """The file that these bytes stand for."""
    if sent[:3] == b"ISA" or not sent:
        return sent
    kind = KINDS[sent[0] % len(KINDS)]
    group, guide = GUIDES[kind]
    body = sent[1:].strip(b"~") + b"~"
    segments = sum(1 for each in body.split(b"~") if each.strip(b"\r\n\t "))
    start = f"ST*{kind[:3]}*0001" + ("" if kind == "835" else f"*{guide}")
    head = f"{ISA}~GS*{group}*SENDER*RECEIVER*20240131*1147*1*X*{guide}~{start}~"
    return head.encode() + body + f"SE*{segments + 2}*0001~GE*1*1~IEA*1*000000907~".encode()


def holds(sent: bytes) -> None:
    """Raises where a rule does not hold of these bytes."""
    file = whole(sent)
    is_told(file)
    items = list(x12.read([file], "f"))
    split = list(x12.read([file[at : at + 97] for at in range(0, len(file), 97)], "f"))
    assert [_seen(i) for i in items] == [_seen(i) for i in split], "the same however it is cut"
    for item in items:
        assert item.rows >= 0
        if isinstance(item, Reject):
            assert _FIELD.fullmatch(item.place.field), f"a field that may be data: {len(item.place.field)} characters"
            list(x12.read([item.raw], "f"))
        else:
            assert isinstance(item, ReadFact)
            item.event.model_dump_json()
            assert all(map(_FINDING.fullmatch, item.findings)), "a finding that may be data"
    for text in acknowledge([file], "f", AT, 1).values():
        assert all(_SEGMENT.fullmatch(line) for line in text.splitlines(keepends=True)), "an answer that is no X12"
    for item in x12.read([file], "f", validate="full"):
        assert not isinstance(item, ReadFact) or all(map(_FINDING.fullmatch, item.findings)), "a finding may be data"


def _seen(item: ReadFact | Reject) -> object:
    if isinstance(item, Reject):
        return item.place, item.code, item.rows
    return item.place, item.natural_key, item.event


if __name__ == "__main__":
    look("x12_bytes", "x12", *sys.argv[1:])
