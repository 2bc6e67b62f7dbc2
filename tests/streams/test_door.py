"""The door: who comes in gets a token, what names them is sealed, and what is refused says why."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka.partitioner import DefaultPartitioner
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from cryptography.exceptions import InvalidTag
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.envelope import MAX_FACT_BYTES, Envelope, broadcast_copy_id, log_id
from contracts.events import (
    CATALOGUE,
    ClaimLine,
    DayClosed,
    DisabilityClaimChanged,
    EnrollmentChanged,
    EproResponseReceived,
    Event,
    MemberDescribed,
    MemberFact,
    Person,
    PracticeParticipationChanged,
    ProfessionalClaimReceived,
    ReconciliationRequested,
    SubjectErased,
    stored,
)
from contracts.events.base import Identifier
from contracts.events.health import EproItem
from formats import x12
from formats.reading import Place, ReadFact, Reject
from streams.codec import decode_record
from streams.door import Admitted, Door, FileSubmission, SingleRecords, family_of, unseal
from streams.keys import SqliteKeyStore, identifier_digest, member_token
from streams.roster import Payer, Roster
from streams.shifting import shifted
from tests.formats.x12_samples import PROFESSIONAL, REMITTANCE, made

CANARIES = (
    b"Canaria",
    b"Quetzal",
    b"1EG4TE5MK73",
    b"1EG4-TE5-MK73",
    b"1951-07-13",
    b"12 Finch Lane",
    b"555-0100",
    b"PCN-777",
)
JANE = Person(
    identifier=Identifier(kind="mbi", value="1EG4-TE5-MK73"),
    family_name="Canaria",
    given_name="Quetzal",
    birth_date=date(1951, 7, 13),
    address="12 Finch Lane",
    phone="555-0100",
)
PLACE = Place("claims.ndjson", 7)


def claim(person: Person | None = JANE, **changes: Any) -> ProfessionalClaimReceived:
    line = ClaimLine(line=1, service_on=date(2024, 2, 29), code="96413", diagnoses=("C509",), units=Decimal("1.5"))
    fields: dict[str, Any] = {
        "person": person,
        "claim_id": "C1",
        "family": "F1",
        "effective_on": date(2024, 3, 1),
        "from_on": date(2024, 2, 29),
        "through_on": date(2024, 2, 29),
        "patient_control_number": "PCN-777",
        "lines": (line,),
    }
    return ProfessionalClaimReceived(**(fields | changes))


def read(event: Event, producer_id: str | None = "id-1", **changes: Any) -> ReadFact:
    return ReadFact(event, PLACE, "clearing house", producer_id, **changes)


@pytest.fixture
def keys(tmp_path: Path) -> SqliteKeyStore:
    return SqliteKeyStore(tmp_path / "keys.sqlite3")


@pytest.fixture
def medicare() -> Payer:
    return Roster.load().payer("medicare")


@pytest.fixture
def employers() -> Payer:
    return Roster.load().payer("employers")


@pytest.fixture
def door(keys: SqliteKeyStore, medicare: Payer) -> Door:
    return Door(medicare, keys, 4)


def one(door: Door, fact: ReadFact) -> Admitted:
    (record,) = door.admit([fact])
    assert isinstance(record, Admitted), record
    return record


def refusal(door: Door, fact: ReadFact) -> Reject:
    (reject,) = door.admit([fact])
    assert isinstance(reject, Reject), reject
    return reject


def test_a_fact_is_a_cloud_event_under_the_members_token(door: Door, keys: SqliteKeyStore) -> None:
    record = one(door, read(claim(), time="2024-03-02T01:30:00.5+02:00"))
    token = member_token(identifier_digest(keys.payer_keys("medicare").pseudonym, "", JANE.identifier))
    parsed: BaseCloudEvent = JSONFormat().read(CloudEvent, record.value)
    assert parsed.get_specversion() == "1.0"
    assert parsed.get_subject() == token == record.key.decode() == record.member
    assert parsed.get_type() == "carepact.ProfessionalClaimReceived.v1"
    assert parsed.get_source() == "/carepact/medicare/clearing%20house"
    assert parsed.get_id() == record.event_id == log_id("medicare", "clearing house", "id-1", token)
    assert str(parsed.get_time()) == "2024-03-01 23:30:00.500000+00:00"
    envelope = Envelope.model_validate_json(record.value)
    assert envelope.contentdigest == record.digest
    assert stored(ProfessionalClaimReceived).model_validate(envelope.data, strict=False)
    assert (record.family, record.rows, record.place) == ("claim", 1, PLACE)


def test_the_key_lands_where_every_client_puts_it(door: Door) -> None:
    record = one(door, read(claim()))
    partitions = list(range(4))
    assert record.partition == DefaultPartitioner()(record.key, partitions, partitions)


def test_what_names_the_person_is_sealed_and_opens_with_their_key_only(door: Door, keys: SqliteKeyStore) -> None:
    record = one(door, read(claim()))
    envelope = orjson.loads(record.value)
    key = keys.data_key("medicare", record.member)
    opened = unseal(key, record.event_id, record.member, envelope["sealed"])
    assert opened["person"]["family_name"] == "Canaria"
    assert opened["patient_control_number"] == "PCN-777"
    assert "person" not in envelope["data"]
    other = keys.subjects("medicare", [b"o" * 32])[b"o" * 32].key
    assert other is not None
    for wrong in (
        (other, record.event_id, record.member),
        (key, "another event", record.member),
        (key, record.event_id, "another member"),
    ):
        with pytest.raises(InvalidTag):
            unseal(*wrong, envelope["sealed"])


def test_no_personal_field_leaves_the_door_open(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    epro = EproResponseReceived(
        person=JANE, response_id="R1", instrument="PRO-CTCAE", instrument_version="1.0", collected_on=date(2024, 3, 1),
        items=(EproItem(code_system="PRO-CTCAE", code="fatigue"),), comment="Quetzal at 555-0100",
    )  # fmt: skip
    refused = [
        read(claim(person=None)),
        read(claim(), time="2024-03-02T01:30:00"),
        read(claim(), plan="Canaria"),
        ReadFact(claim(), PLACE, "s" * 300),
        read(claim(patient_control_number="x" * 2000, lines=tuple(long_line(n) for n in range(1, 999)))),
    ]
    records = door.admit([read(claim()), read(epro), *refused])
    assert sum(isinstance(record, Reject) for record in records) == len(refused)
    for record in records:
        if isinstance(record, Admitted):
            shown = record.value + record.key + repr(record).encode()
        else:
            shown = f"{record.place}|{record.code}|{record.reason}|{record.remedy}|{record!r}".encode()
        assert not [canary for canary in CANARIES if canary in shown]
    assert not [canary for canary in CANARIES if canary.decode() in caplog.text]


def long_line(number: int) -> ClaimLine:
    return ClaimLine(line=number, service_on=date(2024, 3, 1), diagnoses=("C509",) * 90)


def test_the_log_reads_what_the_door_writes(door: Door) -> None:
    record = one(door, read(claim()))
    fact = decode_record("t", record.partition, 5, 0, record.key, record.value)
    assert (fact.event_id, fact.member, fact.digest) == (record.event_id, record.member, record.digest)
    assert fact.data.lines[0].units == Decimal("1.5")
    assert fact.data.action == "original", "what is at its default is not written"


def test_a_default_spelled_out_changes_nothing(door: Door) -> None:
    assert one(door, read(claim())).digest == one(door, read(claim(action="original", denied=False))).digest


@pytest.mark.parametrize(
    ("fact", "code", "field"),
    [
        (read(claim(person=None)), "no_member_identifier", "/data/person/identifier"),
        (read(claim(), plan="palmetto-manufacturing"), "unknown_plan", "/plan"),
        (read(claim(), payer="acme"), "unknown_payer", "/payer"),
        (read(claim(), time="yesterday"), "bad_time", "/time"),
        (read(claim(), time="2024-03-02T01:30:00"), "bad_time", "/time"),
        (ReadFact(claim(), PLACE, ""), "bad_source", "/source"),
        (read(DayClosed(through_on=date(2024, 1, 1))), "unknown_type", "/type"),
        (read(SubjectErased(person=JANE, reason="x")), "unknown_type", "/type"),
        (
            read(ReconciliationRequested(request_id="r", contract="c", period=1, run="initial", cut={"0": 1})),
            "unknown_type",
            "/type",
        ),
        (read(claim(lines=tuple(long_line(n) for n in range(1, 999)))), "too_large", "/data"),
    ],
)
def test_a_refusal_has_its_place_and_its_remedy(door: Door, fact: ReadFact, code: str, field: str) -> None:
    reject = refusal(door, fact)
    assert (reject.code, reject.place) == (code, Place("claims.ndjson", 7, field))
    assert reject.remedy
    assert reject.rows == 1
    kept = orjson.loads(reject.raw)
    assert kept["type"] == fact.event.type_name(), "kept whole, so that it can be corrected and sent again"


def test_one_bad_record_does_not_stop_the_others(door: Door) -> None:
    passed_on = Reject(Place("f", 1), "unreadable", "not JSON", "mend it", b"{")
    answers = door.admit([passed_on, read(claim(), "a"), read(claim(person=None), "b"), read(claim(), "c")])
    assert answers[0] is passed_on
    assert [isinstance(answer, Admitted) for answer in answers] == [False, True, False, True]


def test_a_fact_just_below_the_limit_is_taken(door: Door) -> None:
    lines = tuple(long_line(n) for n in range(1, 700))
    record = one(door, read(claim(lines=lines)))
    assert 0.8 * MAX_FACT_BYTES < len(record.value) <= MAX_FACT_BYTES


def test_findings_stand_beside_a_fact_and_change_neither_its_id_nor_its_content(keys: SqliteKeyStore) -> None:
    door = Door(Roster.load().payer("medicare"), keys, 4)
    plain = one(door, read(claim(), None))
    warned = one(door, read(claim(), None, findings=("SV102:6", "N403:4")))
    assert (warned.event_id, warned.digest) == (plain.event_id, plain.digest)
    assert Envelope.model_validate_json(warned.value).findings == "SV102:6 N403:4"
    assert b"findings" not in plain.value


def test_a_digest_of_what_names_a_person_is_put_under_the_payers_key(keys: SqliteKeyStore) -> None:
    submitted = claim(claim_id="0" * 32, family="0" * 32)
    fact = read(submitted, None, natural_key="0" * 32, keyed=("claim_id", "family", "replaces"))
    medicare, other = (Door(Roster.load().payer(name), keys, 4) for name in ("medicare", "bcbs-sc"))
    mine, again, theirs = (Envelope.model_validate_json(one(d, fact).value).data for d in (medicare, medicare, other))
    assert mine["claim_id"] == mine["family"] == again["claim_id"]
    assert len({submitted.claim_id, mine["claim_id"], theirs["claim_id"]}) == 3


def test_a_remittance_names_the_claim_that_was_submitted(door: Door) -> None:
    def data(kind: str, segments: list[str]) -> list[dict[str, Any]]:
        answers = door.admit(list(x12.read([made(kind, segments)], "f")))
        return [Envelope.model_validate_json(a.value).data for a in answers if isinstance(a, Admitted)]

    submitted, remitted = data("837", PROFESSIONAL)[0], data("835", REMITTANCE)[0]
    assert remitted["submission"] == submitted["claim_id"]
    assert remitted["family"] == "ICN1"
    assert data("835", [s.replace("*ICN1*", "**") for s in REMITTANCE])[0]["family"] == submitted["claim_id"]


def test_a_members_plan_is_part_of_who_they_are(keys: SqliteKeyStore, employers: Payer) -> None:
    door = Door(employers, keys, 4)
    person = Person(identifier=Identifier(kind="employee_id", value="E1"))
    event = DisabilityClaimChanged(
        person=person, claim_id="D1", plan_type="STD", status="opened", disability_on=date(2024, 1, 1)
    )
    records = [one(door, read(event, plan=plan)) for plan in ("palmetto-manufacturing", "lowcountry-retail")]
    assert records[0].member != records[1].member
    assert records[0].event_id != records[1].event_id
    assert orjson.loads(records[0].value)["plan"] == "palmetto-manufacturing"
    assert refusal(door, read(event)).code == "unknown_plan"
    assert refusal(door, read(event, plan="acme")).code == "unknown_plan"


def test_a_plans_way_in_takes_no_other_plans_facts(keys: SqliteKeyStore, employers: Payer) -> None:
    door = Door(employers, keys, 4, plan="lowcountry-retail")
    assert one(door, read(claim())).plan == "lowcountry-retail"
    assert refusal(door, read(claim(), plan="palmetto-manufacturing")).code == "other_plan"
    with pytest.raises(ValueError, match="no plan"):
        Door(employers, keys, 4, plan="acme")


def test_a_broadcast_has_a_copy_in_every_partition(door: Door) -> None:
    event = PracticeParticipationChanged(practice="123456789", from_on=date(2023, 7, 1))
    copies = [each for each in door.admit([read(event, rows=1)]) if isinstance(each, Admitted)]
    assert [copy.partition for copy in copies] == [0, 1, 2, 3]
    assert {copy.key for copy in copies} == {b""}
    assert [copy.event_id for copy in copies] == [broadcast_copy_id(copies[0].fact_id, p) for p in range(4)]
    assert sum(copy.rows for copy in copies) == 1
    assert len({copy.fact_id for copy in copies}) == 1
    for copy in copies:
        envelope = Envelope.model_validate_json(copy.value)
        assert (envelope.factid, envelope.subject, envelope.sealed) == (copy.fact_id, None, None)
        assert decode_record("t", copy.partition, 1, 0, copy.key, copy.value).fact_id == copy.fact_id


def test_two_plans_broadcasts_of_one_id_are_two(keys: SqliteKeyStore, employers: Payer) -> None:
    event = PracticeParticipationChanged(practice="123456789", from_on=date(2023, 7, 1))
    plans = ("palmetto-manufacturing", "lowcountry-retail")
    made = [Door(employers, keys, 4, plan=plan).admit([read(event)])[0] for plan in plans]
    assert isinstance(made[0], Admitted)
    assert isinstance(made[1], Admitted)
    assert made[0].fact_id != made[1].fact_id


def test_the_platform_states_its_own_facts(door: Door) -> None:
    copies = door.admit_own(DayClosed(through_on=date(2024, 1, 31)), "calendar", "2024-01-31")
    assert len(copies) == 4
    (erased,) = door.admit_own(SubjectErased(reason="request"), "operator", "e1", member="abc")
    assert (erased.member, erased.key) == ("abc", b"abc")
    assert "sealed" not in orjson.loads(erased.value)


def test_an_erased_member_is_refused_and_nothing_is_kept(door: Door, keys: SqliteKeyStore) -> None:
    token = one(door, read(claim())).member
    keys.destroy("medicare", token)
    reject = refusal(door, read(claim(), "id-2"))
    assert (reject.code, reject.raw) == ("member_erased", b"")


def test_linked_identifiers_come_in_under_the_first_token(door: Door, keys: SqliteKeyStore) -> None:
    john = Person(identifier=Identifier(kind="mbi", value="2EG4TE5MK73"))
    first, second = one(door, read(claim(), "a")).member, one(door, read(claim(john), "b")).member
    assert first != second
    keys.link("medicare", survivor=first, retired=second)
    assert one(door, read(claim(john), "c")).member == first


# ids derived from content


def derived(door: Door, *facts: ReadFact) -> list[str]:
    return [each.event_id for each in door.admit(facts) if isinstance(each, Admitted)]


def test_files_renamed_or_split_give_the_same_ids(door: Door) -> None:
    claims = [read(claim(claim_id=f"C{n}"), None) for n in range(4)]
    elsewhere = [ReadFact(each.event, Place("renamed", n), each.source) for n, each in enumerate(reversed(claims))]
    assert set(derived(door, *claims)) == {*derived(door, *elsewhere[:2]), *derived(door, *elsewhere[2:])}


def test_two_identical_originals_of_one_file_are_two_facts(door: Door) -> None:
    twins = [read(claim(), None), read(claim(), None)]
    ids = derived(door, *twins)
    assert len(set(ids)) == 2
    assert derived(door, *twins) == ids, "and the same two when the file is sent again"
    alone = door.admit(twins, SingleRecords())
    assert {each.event_id for each in alone if isinstance(each, Admitted)} == {ids[0]}


@pytest.mark.parametrize(
    "other",
    [
        read(claim(family="F2"), None),
        read(claim(patient_control_number="other"), None),
        read(claim(), None, natural_key="C1|void"),
        ReadFact(claim(), PLACE, "another source"),
    ],
)
def test_another_content_is_another_fact(door: Door, other: ReadFact) -> None:
    assert derived(door, read(claim(), None)) != derived(door, other)


def test_one_id_with_two_contents_has_two_digests(door: Door) -> None:
    first, second = one(door, read(claim())), one(door, read(claim(family="F2")))
    assert first.event_id == second.event_id
    assert first.digest != second.digest


def test_homes_that_share_a_key_store_give_the_same_ids(door: Door, tmp_path: Path, medicare: Payer) -> None:
    again = Door(medicare, SqliteKeyStore(tmp_path / "keys.sqlite3"), 4)
    apart = Door(medicare, SqliteKeyStore(tmp_path / "other"), 4)
    fact = read(claim(), None)
    assert derived(door, fact) == derived(again, fact) != derived(apart, fact)
    assert one(door, fact).digest == one(again, fact).digest != one(apart, fact).digest


def test_counts_of_equal_records_outlive_memory() -> None:
    submission, plain = FileSubmission(held=3), FileSubmission()
    records = [bytes([n % 7]) * 32 for n in range(60)]
    assert [submission.ordinal(r) for r in records] == [plain.ordinal(r) for r in records]


# shifted years


def test_every_day_of_a_shifted_fact_moves_and_says_so(keys: SqliteKeyStore, medicare: Payer) -> None:
    door = Door(medicare, keys, 4, shift_years=15)
    line = ClaimLine(line=1, service_on=date(2008, 2, 29))
    record = one(door, read(claim(from_on=date(2008, 2, 29), lines=(line,)), None))
    envelope = orjson.loads(record.value)
    assert envelope["shiftyears"] == 15
    assert envelope["data"]["from_on"] == envelope["data"]["lines"][0]["service_on"] == "2023-02-28"
    plain = Door(medicare, keys, 4)
    moved = shifted(claim(from_on=date(2008, 2, 29), lines=(line,)), 15)
    assert record.event_id not in derived(plain, read(moved, None)), "the shift is part of a derived id"


def test_ages_stay_when_years_shift() -> None:
    member = MemberDescribed(person=JANE, birth_year=1951, died_on=date(2010, 5, 5))
    moved = shifted(member, 15)
    assert (moved.birth_year, moved.died_on) == (1966, date(2025, 5, 5))
    assert moved.person is not None
    assert moved.person.birth_date == date(1966, 7, 13)
    assert shifted(moved, -15) == member


def test_a_day_shifted_out_of_range_is_refused(keys: SqliteKeyStore, medicare: Payer) -> None:
    reject = refusal(Door(medicare, keys, 4, shift_years=500), read(claim()))
    assert reject.code == "day_out_of_range"


# properties

days = st.dates(date(1990, 1, 1), date(2100, 12, 31))
texts = st.text(max_size=40)
people = st.builds(
    Person,
    identifier=st.builds(
        Identifier,
        kind=st.sampled_from(["mbi", "member_id", "employee_id", "beneficiary_id"]),
        value=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
    ),
    family_name=texts,
    address=st.none() | texts,
    birth_date=st.none() | days,
)
events = st.builds(
    claim,
    people,
    from_on=days,
    through_on=days,
    patient_control_number=st.none() | texts,
    diagnoses=st.lists(st.sampled_from(["C509", "Z5111"]), max_size=3).map(tuple),
) | st.builds(
    EnrollmentChanged,
    person=people,
    coverage=st.sampled_from(["part_a", "part_b", "dual"]),
    from_on=days,
    through_on=st.none() | days,
    covered=st.booleans(),
)


@pytest.fixture(scope="module")
def shared_door(tmp_path_factory: pytest.TempPathFactory) -> Door:
    store = SqliteKeyStore(tmp_path_factory.mktemp("keys") / "keys.sqlite3")
    return Door(Roster.load().payer("medicare"), store, 4)


@settings(max_examples=60, deadline=None)
@given(event=events, source=st.text(min_size=1, max_size=20), producer_id=st.none() | st.text(min_size=1, max_size=20))
def test_whatever_comes_in_is_read_back_whole(
    shared_door: Door, event: Event, source: str, producer_id: str | None
) -> None:
    fact = ReadFact(event, PLACE, source, producer_id)
    record = one(shared_door, fact)
    envelope = Envelope.model_validate_json(record.value)
    key = shared_door._store.data_key("medicare", record.member)
    assert envelope.sealed is not None
    opened = unseal(key, record.event_id, record.member, envelope.sealed)
    assert type(event).model_validate_json(orjson.dumps(envelope.data | opened)) == event
    again = one(shared_door, fact)
    assert (again.event_id, again.digest, again.partition) == (record.event_id, record.digest, record.partition)
    JSONFormat().read(CloudEvent, record.value)
    decode_record("t", record.partition, 0, 0, record.key, record.value)


@settings(max_examples=60, deadline=None)
@given(event=events)
def test_what_is_sealed_is_the_same_the_short_way(shared_door: Door, event: Event) -> None:
    assert isinstance(event, MemberFact)
    kind = shared_door._kind(type(event))
    whole = type(event).__pydantic_serializer__.to_json(event, include=kind.sealed, exclude_defaults=True)
    assert kind.personal(event) == whole


@settings(max_examples=40, deadline=None)
@given(batch=st.lists(events, max_size=8), cut=st.integers(0, 8))
def test_the_size_of_a_batch_changes_no_id(shared_door: Door, batch: list[Event], cut: int) -> None:
    facts = [read(event, None) for event in batch]
    submission = FileSubmission()
    whole = shared_door.admit(facts)
    parts = [*shared_door.admit(facts[:cut], submission), *shared_door.admit(facts[cut:], submission)]
    assert [a.event_id for a in whole if isinstance(a, Admitted)] == [
        a.event_id for a in parts if isinstance(a, Admitted)
    ]


def test_every_type_of_the_catalogue_has_a_family() -> None:
    known = {"claim", "enrollment", "epro", "clinical", "work", "payment", "remittance", "practice"}
    assert {family_of(model) for model in CATALOGUE.values()} == known
