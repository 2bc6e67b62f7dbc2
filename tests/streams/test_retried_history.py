"""A history whose records were broken, mended and sent again comes to what one comes to that was never broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from carepact.generate.population import generate
from formats import ndjson
from formats.reading import Place, Read, ReadFact, Reject
from streams.door import Admitted, Door, FileSubmission
from streams.keys import SqliteKeyStore
from streams.rejects import RejectBook
from streams.retrying import kept_of, read_again
from streams.roster import Roster
from streams.topics import rejects_topic
from tests.generate.folded import Said, standing

PAYERS = {"medicare": "", "bcbs-sc": "", "employers": "lowcountry-retail"}
MEMBERS, SEED = 40, 3


def no_json(line: bytes) -> bytes:
    return line[:-2]


def another_type(line: bytes) -> bytes:
    return line.replace(b"carepact.", b"carepackt.", 1)


def a_field_more(line: bytes) -> bytes:
    return line.replace(b'"data":{', b'"data":{"no_such_field":"x",', 1)


def another_payer(line: bytes) -> bytes:
    """What the door refuses, having been read."""
    return line.replace(b'{"', b'{"payer":"nobody","', 1)


BREAKS: tuple[Callable[[bytes], bytes], ...] = (no_json, another_type, a_field_more, another_payer)


@pytest.mark.parametrize("payer", PAYERS)
def test_a_fixed_and_retried_history_gives_the_same_current_episodes_and_net_amounts(
    payer: str, tmp_path: Path
) -> None:
    plan = PAYERS[payer]
    lines = [line for _, line in generate(MEMBERS, SEED, payers=(payer,)) if not plan or _plan(line) == plan]
    lines = list(dict.fromkeys(lines))
    keys = SqliteKeyStore(tmp_path / "keys.sqlite3")
    door, book = Door(Roster.load().payer(payer), keys, 4, plan), RejectBook(payer, keys)
    whole = _taken(door, ndjson.read(lines, "whole.ndjson"))

    good: dict[str, bytes] = {}
    broken = []
    for number, line in enumerate(lines):
        broken.append(line if number % 3 else BREAKS[number // 3 % len(BREAKS)](line))
        good[f"broken.ndjson:{number + 1}"] = line
    kept: list[bytes] = []
    items: list[Read] = []
    answers = door.admit(list(ndjson.read(broken, "broken.ndjson")), FileSubmission())
    for answer, item in zip(answers, ndjson.read(broken, "broken.ndjson"), strict=True):
        if isinstance(answer, Reject):
            kept.append(book.record(answer, plan).value)
        else:
            items.append(item)
    assert len(kept) == len(range(0, len(lines), 3))
    together = FileSubmission()
    for value in kept:  # as they were they are refused once more, whoever refused them
        assert all(
            isinstance(each, Reject) for each in door.admit(list(read_again(_kept(keys, payer, value))), together)
        )
    for value in kept:
        place = _kept(keys, payer, value).event
        items.append(ndjson.read_one(good[f"{place.file}:{place.line}"], Place("mended.ndjson", 1)))
    retried = _taken(door, items)

    assert sorted(retried, key=orjson.dumps) == sorted(whole, key=orjson.dumps)
    assert retried != whole, "the order differs"
    expected = standing(payer, plan, whole)
    assert standing(payer, plan, retried) == expected
    assert any(expected.values()), "there are episodes"
    if payer == "medicare":  # others owe when days are closed
        assert any(episode["owed"] for member in expected.values() for episode in member)


def _plan(line: bytes) -> str:
    return str(orjson.loads(line).get("plan", ""))


def _kept(keys: SqliteKeyStore, payer: str, value: bytes) -> Any:
    return kept_of(keys, payer, rejects_topic(payer), value)


def _taken(door: Door, items: Any) -> list[Said]:
    """What the door takes, as the fold sees it; it must take all."""
    found = list(items)
    taken: list[Said] = []
    for fact, record in zip(found, door.admit(found, FileSubmission()), strict=True):
        assert isinstance(fact, ReadFact) and isinstance(record, Admitted), record
        event = orjson.loads(record.value)
        taken.append((event["type"], event["data"], record.member))
    return taken
