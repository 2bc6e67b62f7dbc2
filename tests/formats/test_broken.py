"""Bytes broken at random, the same ones each time: no reader falls over, and no reject says what was in them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

import pytest

from formats import cclf, fhir, rif, x12
from formats.reading import Read, ReadFact, Reject
from formats.table import UnknownLayout
from tests.formats.test_cclf import PART_A, PART_B
from tests.formats.test_fhir import R4
from tests.formats.test_rif import CARRIER, table
from tests.formats.test_x12 import ABOVE, CLAIM, interchange

ROUNDS = 300
INSERTED = (b"\x00", b"\xff", b"\xc3", b"-", b"1e999", b"null", b"9" * 40, b"\n", b"|", b"~", b"*", b'"', b"{" * 50)

CASES: dict[str, tuple[bytes, Callable[[bytes], Iterator[Read]]]] = {
    "cclf": (b"".join([*PART_A, *PART_B]), lambda sent: cclf.read(sent.splitlines(keepends=True), "f")),
    "rif": (b"".join(table(CARRIER, CARRIER)), lambda sent: rif.read(sent.splitlines(keepends=True), "f")),
    "fhir": (json.dumps(R4).encode(), lambda sent: fhir.read([sent], "f")),
    "x12": (interchange(ABOVE + CLAIM), lambda sent: x12.read([sent], "f")),
}


def broken(sent: bytes, chance: random.Random) -> bytes:
    whole = bytearray(sent)
    for _ in range(chance.randrange(1, 8)):
        at = chance.randrange(len(whole) or 1)
        match chance.randrange(4):
            case 0:
                whole[at : at + chance.randrange(20)] = b""
            case 1:
                whole[at:at] = chance.choice(INSERTED)
            case 2:
                whole[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                whole[at:at] = whole[: chance.randrange(100)]
    return bytes(whole)


@pytest.mark.parametrize("name", CASES)
def test_broken_bytes_become_facts_or_rejects(name: str) -> None:
    sent, read = CASES[name]
    chance = random.Random(name)
    for _ in range(ROUNDS):
        try:
            items = list(read(broken(sent, chance)))
        except UnknownLayout:
            continue
        assert all(isinstance(item, ReadFact | Reject) for item in items)
        told = " ".join(str(item) for item in items if isinstance(item, Reject))
        assert not any(canary in told for canary in ("1EG4TE5MK73", "CANARY", "ACCOUNT1", "567834"))
