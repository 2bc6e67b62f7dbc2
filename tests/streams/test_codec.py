"""Stored bytes, read by structures derived from the pydantic models: equal on every event ever released."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel, ValidationError

from contracts.envelope import Envelope
from contracts.events import LOG_FACTS, stored
from contracts.outcome import Payment
from streams.app import folder_of
from streams.codec import UnknownType, Unreadable, as_plain, decode_record, encode_payment, struct_of
from streams.roster import Roster
from tests.streams.logs import Log
from tests.streams.memory_parts import MemoryParts

GOLDEN = sorted((Path(__file__).parent.parent / "golden").glob("*.json"))
ROSTER = Roster.load()


def record(file: Path, **changes: Any) -> tuple[bytes, bytes]:
    """Key and value of a golden record, some attributes changed."""
    event = json.loads(file.read_text()) | changes
    return (event.get("subject") or "").encode(), json.dumps(event, separators=(",", ":")).encode()


def decode(key: bytes, value: bytes) -> Any:
    return decode_record("carepact.medicare.events.v1", 2, 17, 1_700_000_000_123, key, value)


def test_every_version_ever_released_has_a_golden_record() -> None:
    assert {f"carepact.{file.stem}" for file in GOLDEN} >= set(LOG_FACTS)


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_structures_read_what_pydantic_reads(file: Path) -> None:
    key, value = record(file)
    envelope = Envelope.model_validate_json(value)
    model = stored(LOG_FACTS[envelope.type]).model_validate_json(json.dumps(envelope.data))
    fact = decode(key, value)
    assert as_plain(fact.data) == as_plain(model)
    assert (fact.event_id, fact.type, fact.member) == (envelope.id, envelope.type, envelope.subject or "")
    assert (fact.fact_id, fact.digest) == (envelope.factid or envelope.id, envelope.contentdigest)
    assert (fact.partition, fact.offset, fact.known_at) == (2, 17, 1_700_000_000_123)


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_structures_and_pydantic_refuse_an_unknown_field(file: Path) -> None:
    key, value = record(file, data=json.loads(file.read_text())["data"] | {"surprise": 1})
    with pytest.raises(Unreadable, match="surprise"):
        decode(key, value)
    with pytest.raises(ValidationError):
        stored(LOG_FACTS[f"carepact.{file.stem}"]).model_validate_json(json.dumps(json.loads(value)["data"]))


@pytest.mark.parametrize("payer", ROSTER.names)
async def test_every_golden_record_folds(payer: str) -> None:
    named = ROSTER.payer(payer)
    log = Log(payer, named.contract, partitions=1)
    log.open()
    facts = [decode_record("t", 0, r.offset, r.timestamp, r.key, r.value) for r in log.records[0]]
    for offset, file in enumerate(GOLDEN, len(facts)):
        if "Adopted" not in file.stem:
            facts.append(decode_record("t", 0, offset, 1_700_000_000_000, *record(file)))
    folder = folder_of(named)
    folder.open(0, None)
    parts = MemoryParts()
    await folder.fold(facts, parts, {})
    assert len(parts.parts) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"id": "not-a-uuid"}, "not a UUID"),
        ({"subject": "someone-else"}, "another member"),
        ({"specversion": "0.3"}, "specversion"),
        ({"data": {"coverage": "part_a", "from_on": "2024-13-01"}}, "from_on"),
        ({"data": {"coverage": "smith", "from_on": "2024-01-01"}}, "coverage"),
        ({"data": {"coverage": "part_a"}}, "from_on"),
        ({"data": "smith"}, "object"),
    ],
)
def test_an_unreadable_record_is_named_and_not_quoted(change: dict[str, Any], says: str) -> None:
    file = next(file for file in GOLDEN if file.stem == "EnrollmentChanged.v1")
    key, _ = record(file)
    _, value = record(file, **change)
    with pytest.raises(Unreadable, match=says) as refused:
        decode(key, value)
    assert "smith" not in str(refused.value) and "2024" not in str(refused.value)


@pytest.mark.parametrize("value", [b"", b"\xff\xfe", b"[1,2]", b'{"id":', b"null"])
def test_bytes_that_are_no_event_are_unreadable(value: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(b"", value)


@pytest.mark.parametrize("kind", ["carepact.EnrollmentChanged.v2", "carepact.Unheard.v1"])
def test_a_newer_type_is_told_from_an_unreadable_record(kind: str) -> None:
    file = next(file for file in GOLDEN if file.stem == "EnrollmentChanged.v1")
    with pytest.raises(UnknownType, match=kind):
        decode(*record(file, type=kind))


def test_a_structure_keeps_alias_and_defaults() -> None:
    class Inner(BaseModel):
        one: int

    class Outer(BaseModel):
        inner: tuple[Inner, ...] = ()
        kind: Literal["a", "b"] = "a"

    made = struct_of(Outer)()
    assert as_plain(made) == {"inner": [], "kind": "a"}
    assert get_origin(get_type_hints(struct_of(Outer))["inner"]) is tuple
    assert get_args(Union[int, None]) == get_args(int | None)  # noqa: UP007 - both are unpacked alike
    assert isinstance(int | None, types.UnionType)


def test_a_payment_is_emitted_with_the_time_its_cause_was_known() -> None:
    payment = Payment(
        "p", "member", "", "medicare-eom", "MEOS", 7000, "e", "P1", "2024-01", "2024-01-05", "", "", "c", 12, 3,
        {"a": 1},
    )  # fmt: skip
    event = json.loads(encode_payment("medicare", "medicare-eom", payment, 1_700_000_000_005))
    assert event["time"] == "2023-11-14T22:13:20.005Z"
    assert (event["id"], event["sequence"], event["subject"]) == ("p", "000000012", "member")
    assert event["source"] == "/carepact/medicare/medicare-eom"
    assert event["data"] == {"a": 1}
