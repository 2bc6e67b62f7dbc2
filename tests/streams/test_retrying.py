"""A rejected record read again from what was kept: the same facts and ids as if it had come for the first time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from contracts.envelope import MAX_FACT_BYTES
from contracts.events import DisabilityClaimChanged, Person
from contracts.events.base import Identifier
from formats.detect import read_file
from formats.reading import Place, Read, ReadFact, Reject
from streams.door import Admitted, Door
from streams.keys import KeyDestroyed, SqliteKeyStore
from streams.rejects import RejectBook
from streams.retrying import NotKept, kept_of, opened, read_again
from streams.roster import Roster
from streams.topics import log_topic, rejects_topic
from tests.streams.ways_in import claim, ndjson

TABLE = (
    b"claim_id,claim_line_number,patient_id,ndc_code,dispensing_date,paid_amount,paid_date,quantity,days_supply,"
    b"dispensing_provider_npi,prescribing_provider_npi,allowed_amount\n",
    b"R1,1,P1,00002323130,2024-03-01,12.50,,30,30,,,\n",
    b"R2,1,P1,00002323130,2024-03-02,12.50,,30,30,,,\n",
)


@pytest.fixture
def keys(tmp_path: Path) -> SqliteKeyStore:
    return SqliteKeyStore(tmp_path / "keys.sqlite3")


@pytest.fixture
def door(keys: SqliteKeyStore) -> Door:
    return Door(Roster.load().payer("medicare"), keys, 4, shift_years=1)


def sent_again(keys: SqliteKeyStore, reject: Reject, payer: str = "medicare", plan: str = "") -> list[Read]:
    value = RejectBook(payer, keys).record(reject, plan, 1).value
    return list(read_again(kept_of(keys, payer, rejects_topic(payer), value)))


def ids(answers: Sequence[Any]) -> list[str]:
    assert all(isinstance(each, Admitted) for each in answers), answers
    return [each.event_id for each in answers]


def test_a_row_of_a_table_is_read_again_under_its_header(keys: SqliteKeyStore, door: Door, tmp_path: Path) -> None:
    (tmp_path / "pharmacy.csv").write_bytes(b"".join(TABLE).replace(b"2024-03-02,12.50", b"2024-03-02,12.5O"))
    good, bad = read_file(tmp_path / "pharmacy.csv")
    assert isinstance(bad, Reject)
    assert (bad.format, bad.head, bad.raw) == ("tuva", TABLE[0], TABLE[2].replace(b"12.50", b"12.5O"))
    assert sent_again(keys, bad) == [bad], "refused again, it is the same reject"

    (tmp_path / "pharmacy.csv").write_bytes(b"".join(TABLE))
    whole = list(read_file(tmp_path / "pharmacy.csv"))
    cured = replace(bad, raw=TABLE[2])  # as if the reader had been mended
    (again,) = sent_again(keys, cured)
    assert isinstance(again, ReadFact)
    assert again.place == Place("pharmacy.csv", 3)
    assert ids(door.admit([again])) == ids(door.admit([whole[1]]))
    assert isinstance(good, ReadFact)


def test_what_the_door_refused_has_the_id_that_it_would_have_had(keys: SqliteKeyStore) -> None:
    employers = Roster.load().payer("employers")
    plan = employers.plans[0].name
    event = DisabilityClaimChanged(
        person=Person(identifier=Identifier(kind="employee_id", value="E1")),
        claim_id="D1",
        plan_type="STD",
        status="opened",
        disability_on=date(2024, 3, 1),
    )
    fact = ReadFact(event, Place("leave.csv", 7), "leave", natural_key="csv|D1|opened", rows=2)
    (refused,) = Door(employers, keys, 4).admit([fact])
    assert isinstance(refused, Reject)
    assert (refused.code, refused.schema) == ("unknown_plan", "urn:carepact:event:DisabilityClaimChanged:1")
    (again,) = sent_again(keys, refused, "employers")
    assert again == replace(fact, place=Place("leave.csv", 7))
    own = Door(employers, keys, 4, plan)
    assert ids(own.admit([again])) == ids(own.admit([fact]))


def test_an_event_refused_again_is_the_same_reject(keys: SqliteKeyStore) -> None:
    book = RejectBook("medicare", keys)
    for raw in (b'{"Canaria"\n', b"\xff\xfe", ndjson(claim("1EG4TE5MK73", "A"), "a").replace(b"2024-03-01", b"soon")):
        first = Reject(Place("f.ndjson", 3, "/data"), "schema", "why", "what", raw)
        (again,) = sent_again(keys, first)
        assert isinstance(again, Reject)
        once = orjson.loads(book.record(again).value)["id"]
        (twice,) = sent_again(keys, again)
        assert isinstance(twice, Reject)
        assert orjson.loads(book.record(twice).value)["id"] == once


@pytest.mark.parametrize("raw", [b"", b"x" * MAX_FACT_BYTES, b"x" * 3_000_000])
def test_what_was_not_kept_whole_is_not_sent_again(keys: SqliteKeyStore, raw: bytes) -> None:
    with pytest.raises(NotKept, match="--with FILE"):
        sent_again(keys, Reject(Place("f", 1), "too_large", "why", "what", raw))


def test_a_record_of_the_log_is_opened_with_its_members_key_and_not_sent_again(
    keys: SqliteKeyStore, door: Door
) -> None:
    (sent,) = door.admit([ReadFact(claim("1EG4TE5MK73", "A1"), Place("f", 1), "s", "id-1")])
    assert isinstance(sent, Admitted)
    assert b"Canaria" not in sent.value
    assert b"Canaria" in opened(keys, "medicare", log_topic("medicare"), sent.value)
    with pytest.raises(NotKept, match="stands in the log"):
        kept_of(keys, "medicare", log_topic("medicare"), sent.value)
    keys.destroy("medicare", sent.member)
    with pytest.raises(KeyDestroyed):
        opened(keys, "medicare", log_topic("medicare"), sent.value)
