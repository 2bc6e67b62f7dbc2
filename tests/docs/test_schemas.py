"""The reference of events is written from the models, and a change that breaks is seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
import yaml
from jsonschema import Draft202012Validator
from typer import Typer
from typer.testing import CliRunner

from carepact import schemas
from contracts.events import (
    LOG_FACTS,
    FileRunRecorded,
    Person,
    ProfessionalClaimReceived,
    RejectRecorded,
    sealed_fields,
)
from formats.ndjson import read_one
from formats.reading import Place, ReadFact, Reject
from streams.door import OWN_FACTS, Admitted, Door
from streams.keys import SqliteKeyStore
from streams.operations import record_of
from streams.rejects import RejectBook
from streams.roster import Roster
from streams.topics import topics
from tests.streams.ways_in import claim, ndjson

CLAIM = "stored/ProfessionalClaimReceived.v1.json"
command = Typer()
command.command()(schemas.main)


def run(*words: str) -> Any:
    return CliRunner().invoke(command, list(words))


def test_the_pages_are_those_of_the_models() -> None:
    result = run("--check")
    assert result.exit_code == 0, result.stderr


def test_every_page_is_a_schema() -> None:
    names = [name for name in schemas.pages() if name.endswith(".json")]
    assert len(names) > 2 * len(LOG_FACTS) - len(OWN_FACTS)
    for name in names:
        Draft202012Validator.check_schema(json.loads(schemas.pages()[name]))


@pytest.fixture
def admitted(tmp_path: Path) -> Admitted:
    door = Door(Roster.load().payer("medicare"), SqliteKeyStore(tmp_path / "keys"), 4)
    sent = read_one(ndjson(claim("1EG4TE5MK73", "C1"), "id-1"), Place("f", 1))
    assert isinstance(sent, ReadFact)
    (record,) = door.admit([sent])
    assert isinstance(record, Admitted)
    return record


def test_what_is_sent_and_what_is_stored_are_as_the_pages_say(admitted: Admitted) -> None:
    sent = orjson.loads(ndjson(claim("1EG4TE5MK73", "C1"), "id-1"))
    valid("envelope.inbound.json", sent)
    valid("inbound/ProfessionalClaimReceived.v1.json", sent["data"])
    stored = orjson.loads(admitted.value)
    valid("envelope.stored.json", stored)
    valid(CLAIM, stored["data"])
    with pytest.raises(AssertionError):
        valid(CLAIM, sent["data"])


def test_a_reject_is_as_its_page_says(tmp_path: Path) -> None:
    book = RejectBook("medicare", SqliteKeyStore(tmp_path / "keys"))
    event = orjson.loads(book.record(Reject(Place("f", 3, "/data"), "schema", "why", "what", b"raw", 2)).value)
    valid("envelope.stored.json", event)
    valid("emitted/RejectRecorded.v1.json", event["data"])


def test_an_act_of_an_operator_is_as_its_page_says() -> None:
    at = datetime(2026, 1, 31, tzinfo=UTC)
    act = FileRunRecorded(payer="medicare", by="operator/x", run_id="r", format="auto", started_at=at, finished_at=at)
    event = orjson.loads(record_of(act, str(uuid4()), at).value)
    valid("envelope.stored.json", event)
    valid("emitted/FileRunRecorded.v1.json", event["data"])


@pytest.mark.parametrize(
    ("attribute", "values"),
    [("source", ["", "s" * 121, 1]), ("id", ["", "i" * 201, 1]), ("plan", ["A B", 1]), ("specversion", ["0.3"])],
)
def test_the_reader_refuses_what_the_envelope_does(attribute: str, values: list[Any]) -> None:
    for value in values:
        sent = orjson.loads(ndjson(claim("1EG4TE5MK73", "C1"), "id-1")) | {attribute: value}
        assert isinstance(read_one(orjson.dumps(sent), Place("f", 1)), Reject)
        with pytest.raises(AssertionError):
            valid("envelope.inbound.json", sent)


def valid(page: str, value: Any) -> None:
    errors = [error.message for error in Draft202012Validator(json.loads(schemas.pages()[page])).iter_errors(value)]
    assert not errors, errors


def test_no_stored_schema_has_a_sealed_field() -> None:
    for model in LOG_FACTS.values():
        properties = json.loads(schemas.pages()[f"stored/{model.__name__}.v1.json"])["properties"]
        assert not set(properties) & set(sealed_fields(model))
        for name in properties:
            assert f"| `{name}` |" in schemas.pages()["README.md"]


def test_the_page_says_of_every_personal_field_that_it_is_sealed() -> None:
    section = schemas.pages()["README.md"].split("### Person\n")[1].split("###")[0]
    for name in Person.model_fields:
        row = next(line for line in section.splitlines() if line.startswith(f"| `{name}`"))
        assert "**sealed**" in row
    assert "remain in the log" in schemas.pages()["README.md"]


def test_the_asyncapi_document_names_every_topic_and_message() -> None:
    document = yaml.safe_load(schemas.pages()["asyncapi.yaml"])
    assert document["asyncapi"] == "3.0.0"
    roster = Roster.load()
    for topic in topics(roster):
        channel = document["channels"][topic.kind]
        made = {channel["address"]}
        for name, parameter in channel.get("parameters", {}).items():
            made = {address.replace(f"{{{name}}}", value) for address in made for value in parameter["enum"]}
        assert topic.name in made
    for channel in document["channels"].values():
        for message in channel["messages"].values():
            assert message["$ref"].rpartition("/")[2] in document["components"]["messages"]
    for message in document["components"]["messages"].values():
        envelope, event = message["payload"]["allOf"]
        assert envelope["$ref"].removeprefix("./") in schemas.pages()
        assert event["properties"]["data"]["$ref"].removeprefix("./") in schemas.pages()
    for operation in document["operations"].values():
        assert operation["channel"]["$ref"].rpartition("/")[2] in document["channels"]
    assert "RejectRecorded" in str(document["channels"]["rejects"])
    assert RejectRecorded.type_name() in schemas.pages()["asyncapi.yaml"]


# What breaks


def changed(change: Callable[[dict[str, Any]], Any], page: str = CLAIM) -> list[str]:
    """Why the page, changed so, breaks with what it was."""
    schema = json.loads(schemas.pages()[page])
    change(schema)
    return schemas.breaking(schemas.pages(), {**schemas.pages(), page: json.dumps(schema)})


def test_nothing_breaks_with_itself() -> None:
    assert schemas.breaking(schemas.pages(), schemas.pages()) == []


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("the field is gone", lambda s: s["properties"].pop("family")),
        ("was not required", lambda s: s["required"].append("billing_tin")),
        ("the default was", lambda s: s["properties"]["supplier"].update(default="dmepos")),
        ('no longer allows "dmepos"', lambda s: s["properties"]["supplier"].update(enum=["physician"])),
        ("is now one of a list", lambda s: s["properties"]["family"].update(enum=["a"])),
        ("maxLength is lower", lambda s: s["properties"]["claim_id"].update(maxLength=3)),
        ("minLength is higher", lambda s: s["properties"]["claim_id"].update(minLength=3)),
        ("pattern is another", lambda s: s["properties"]["claim_id"].update(pattern="^x$")),
        ("was string, is integer", lambda s: s["properties"]["claim_id"].update(type="integer")),
        ("no longer allows null", lambda s: s["properties"]["replaces"]["anyOf"].pop()),
        ("lines[]/service_on: the field is gone", lambda s: s["$defs"]["ClaimLine"]["properties"].pop("service_on")),
    ],
)
def test_a_change_that_breaks_is_seen(why: str, change: Callable[[dict[str, Any]], Any]) -> None:
    assert why in "\n".join(changed(change))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["properties"].update(new={"type": "string", "default": None}),
        lambda s: s["properties"]["supplier"]["enum"].append("pharmacy"),
        lambda s: s["properties"]["claim_id"].update(maxLength=200, description="other words"),
        lambda s: s["required"].remove("family"),
        lambda s: s["$defs"]["ClaimLine"]["properties"]["denied"].update(description="x"),
    ],
)
def test_a_change_that_only_allows_more_passes(change: Callable[[dict[str, Any]], Any]) -> None:
    assert changed(change) == []


def test_unsealing_a_field_breaks() -> None:
    page = f"inbound/{ProfessionalClaimReceived.__name__}.v1.json"
    assert "was sealed" in "\n".join(changed(lambda s: s["properties"]["person"].pop("sealed"), page))


def test_an_event_that_is_gone_breaks_and_a_new_version_does_not() -> None:
    without = {name: page for name, page in schemas.pages().items() if name != CLAIM}
    assert schemas.breaking(schemas.pages(), without) == [f"{CLAIM}: the event is gone"]
    assert schemas.breaking(schemas.pages(), without | {CLAIM.replace("v1", "v2"): schemas.pages()[CLAIM]}) == []


def test_the_command_refuses_to_write_what_breaks(tmp_path: Path) -> None:
    assert run("--folder", str(tmp_path)).exit_code == 0
    assert run("--folder", str(tmp_path), "--check").exit_code == 0
    page = tmp_path / CLAIM
    old = json.loads(page.read_text())
    wider = deepcopy(old)
    wider["properties"]["claim_id"]["maxLength"] = 999
    page.write_text(json.dumps(wider))
    for words in ((), ("--check",)):
        result = run("--folder", str(tmp_path), *words)
        assert result.exit_code == 1
        assert "claim_id: maxLength is lower" in result.stderr
    assert run("--folder", str(tmp_path), "--allow-breaking").exit_code == 0
    assert json.loads(page.read_text()) == old
    page.write_text(page.read_text() + "\n")
    assert "differs: " + CLAIM in run("--folder", str(tmp_path), "--check").stderr
