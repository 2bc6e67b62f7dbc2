"""Bytes broken at random, the same ones each time: no reader falls over, and no reject says what was in them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

import pytest

from formats import cclf, fhir, mapping, rif, x12
from formats.mapping_file import Mapping
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


def test_numbers_that_are_none_or_without_end_are_no_crash() -> None:
    """A digit of another script, more digits than a number may have, and a short text that is a long number."""
    for count in ("\u00b2114", "9" * 5_000):
        receipt = f"CCLF8 Beneficiary|8|{count}|549".encode("latin-1")
        (told,) = cclf.read([receipt], "P.A0001.ACO.ZC0Y25.D250601.T0102030")
        assert isinstance(told, Reject) and told.code == "receipt"
    pointed = [segment + "1" * 5_000 if segment.startswith("SV1") else segment for segment in CLAIM]
    assert pointed != CLAIM
    assert list(x12.read([interchange(ABOVE + pointed)], "f"))
    hours = {
        "name": "hours",
        "event": [
            {
                "type": "HoursWorked",
                "person": {"identifier": {"kind": "employee_id", "column": "E"}},
                "fields": {"record_id": "R", "worked_on": "D", "hours": "H", "pay_code": {"value": "worked"}},
            }
        ],
    }
    lines = [b"E,R,D,H\n", b"e,r,2025-01-01,1e99999999\n"]
    (refused,) = mapping.read_by(Mapping.load(hours, "hours"), lines, "hours.csv")
    assert isinstance(refused, Reject)


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
