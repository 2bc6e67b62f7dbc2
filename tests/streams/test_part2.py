"""The door tags 42 CFR Part 2 records, whatever reader they come through, and the tag is no part of what they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from contracts.envelope import Envelope
from contracts.events import MemberFact
from formats.detect import READERS
from formats.mapping import head_of
from formats.mapping_file import Mapping
from formats.reading import ReadFact, Reject
from streams.codec import decode_record
from streams.door import Admitted, Door
from streams.keys import SqliteKeyStore
from streams.roster import Payer, Roster
from tests.formats.test_cclf import PART_B
from tests.formats.test_fhir import R4
from tests.formats.test_leave_files import HOURS
from tests.formats.test_mapping import HEAD
from tests.formats.test_mapping import HOURS as MAPPED
from tests.formats.test_rif import CARRIER, table
from tests.formats.test_x12 import ABOVE, CLAIM, interchange
from tests.streams.test_door import PLACE, claim

EVENT = {
    "specversion": "1.0",
    "source": "sender",
    "type": "carepact.HoursWorked.v1",
    "data": {
        "person": {"identifier": {"kind": "employee_id", "value": "E1"}},
        "record_id": "R1", "worked_on": "2025-03-03", "hours": "8", "pay_code": "worked",
    },
}  # fmt: skip
DESYNPUF = "DESYNPUF_ID,PDE_ID,SRVC_DT,PROD_SRVC_ID,QTY_DSPNSD_NUM,DAYS_SUPLY_NUM,PTNT_PAY_AMT,TOT_RX_CST_AMT\n"
TUVA = (
    "claim_id,claim_line_number,patient_id,ndc_code,dispensing_date,paid_amount,paid_date,quantity,days_supply,"
    "dispensing_provider_npi,prescribing_provider_npi,allowed_amount\n"
)

DOCUMENTS: dict[str, list[bytes]] = {
    "ndjson": [json.dumps(EVENT).encode() + b"\n"],
    "desynpuf": [DESYNPUF.encode(), b"A1,P1,20090303,00006302602,1,30,10,100\n"],
    "tuva": [TUVA.encode(), b"c1,1,p1,00006302602,2018-03-03,10.00,,1,30,1000000004,1000000004,10.00\n"],
    "cclf": PART_B,
    "rif": table(CARRIER),
    "fhir": [json.dumps(R4).encode()],
    "x12": [interchange(ABOVE + CLAIM)],
    "epro": [b"response_id,member_id,instrument,collected_on,item,value\n", b"r1,m1,PHQ-9,2025-03-03,1,1\n"],
    "leave": [HOURS.encode() + b"\n", b"E1,T1,2025-03-03,8,REG\n"],
    "synthea": [
        b"Id,START,STOP,PATIENT,PAYER,ENCOUNTERCLASS,TOTAL_CLAIM_COST,PAYER_COVERAGE\n",
        b"e1,2025-02-03T00:00:00Z,2025-02-03T01:00:00Z,p1,y,ambulatory,10.00,5.00\n",
    ],
    "mapped": [
        head_of(Mapping.load(MAPPED, "map")), HEAD.encode() + b"\n", b"H,E1,R1,03.02.2025,60,1\n",
    ],
}  # fmt: skip
"""A document of every format that `--format` takes; a new reader must be put here."""


@pytest.fixture
def keys(tmp_path: Path) -> SqliteKeyStore:
    return SqliteKeyStore(tmp_path / "keys.sqlite3")


def door_of(keys: SqliteKeyStore, **programmes: Iterable[str]) -> Door:
    payer = Roster.load().payer("medicare").model_dump() | programmes
    return Door(Payer.model_validate(payer), keys, 4)


def admitted(door: Door, *facts: ReadFact) -> list[Admitted]:
    records = door.admit(facts)
    assert all(isinstance(record, Admitted) for record in records), records
    return [record for record in records if isinstance(record, Admitted)]


def tag(record: Admitted) -> Any:
    assert Envelope.model_validate_json(record.value).sensitivity == orjson.loads(record.value).get("sensitivity")
    fact = decode_record("t", record.partition, 0, 0, record.key, record.value)
    assert fact.sensitivity == (orjson.loads(record.value).get("sensitivity") or "")
    return orjson.loads(record.value).get("sensitivity")


def test_there_is_a_document_for_every_reader() -> None:
    assert set(DOCUMENTS) == set(READERS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_readers_facts_pass_the_tagger(name: str, keys: SqliteKeyStore) -> None:
    items = list(READERS[name](DOCUMENTS[name], "members_2009.txt"))
    facts = [item for item in items if isinstance(item, ReadFact) and isinstance(item.event, MemberFact)]
    assert facts, [str(item) for item in items if isinstance(item, Reject)]
    plain = admitted(door_of(keys), *facts)
    assert {tag(record) for record in plain} == {None}
    told = admitted(door_of(keys, part2_sources={fact.source for fact in facts}), *facts)
    assert {tag(record) for record in told} == {"part2"}
    assert [(r.event_id, r.digest) for r in told] == [(r.event_id, r.digest) for r in plain]


def test_a_code_tags_a_claim_and_leaves_its_content_as_it_was(keys: SqliteKeyStore) -> None:
    (plain,) = admitted(door_of(keys), ReadFact(claim(), PLACE, "x", "1"))
    (coded,) = admitted(door_of(keys), ReadFact(claim(diagnoses=("F1120",)), PLACE, "x", "2"))
    assert (tag(plain), tag(coded)) == (None, "part2")
    assert "sensitivity" not in orjson.loads(coded.value)["data"]


def test_a_programme_named_in_the_roster_tags_its_claims(keys: SqliteKeyStore) -> None:
    door = door_of(keys, part2_providers=["20-4299999"])
    (ours,) = admitted(door, ReadFact(claim(billing_tin="20-4299999"), PLACE, "x", "1"))
    (other,) = admitted(door, ReadFact(claim(billing_tin="20-1111111"), PLACE, "x", "2"))
    (unknown,) = admitted(door, ReadFact(claim(), PLACE, "x", "3"))
    assert [tag(each) for each in (ours, other, unknown)] == ["part2", None, "part2"]


def test_the_sender_of_an_event_may_tag_it_and_a_refused_one_keeps_the_tag(keys: SqliteKeyStore) -> None:
    for word in ("part2", "something"):
        (fact,) = READERS["ndjson"]([json.dumps(EVENT | {"sensitivity": word}).encode()], "f")
        assert isinstance(fact, ReadFact)
        (record,) = admitted(door_of(keys), fact)
        assert tag(record) == "part2"
        (refused,) = door_of(keys).admit([ReadFact(fact.event, fact.place, "", "1", part2=True)])
        assert isinstance(refused, Reject)
        assert json.loads(refused.raw)["sensitivity"] == "part2"
