"""That personal data are read is noted before it is answered: once in a while of each caller, or it is not read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from formats.x12_acknowledge import Kind
from gateway.acknowledgements import Acknowledgements
from gateway.noting import NOTED_SECONDS, Accesses
from gateway.principals import Principal
from streams.keys import SqliteKeyStore
from streams.naming import Naming

MEDICARE = Principal("payer", "medicare")
PRACTICE = Principal("practice", "medicare", practice="P1")


class Topic:
    """What was noted; `away` is what writing it raises. Time is the test's."""

    def __init__(self) -> None:
        self.acts: list[Any] = []
        self.away: Exception | None = None
        self.seconds = 0.0
        self.accesses = Accesses(self.state, lambda: self.seconds)

    async def state(self, act: Any) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise self.away
        self.acts.append(act)


async def test_a_reader_that_asks_on_is_noted_once_in_a_while() -> None:
    topic = Topic()
    await asyncio.gather(*(topic.accesses.note(MEDICARE, "feed") for _ in range(5)))
    await topic.accesses.note(PRACTICE, "feed")
    await topic.accesses.note(MEDICARE, "statement")
    assert [(act.by, act.what) for act in topic.acts] == [
        ("gateway/payer:medicare", "feed"),
        ("gateway/practice:medicare/P1", "feed"),
        ("gateway/payer:medicare", "statement"),
    ]
    topic.seconds = NOTED_SECONDS - 1
    await topic.accesses.note(MEDICARE, "feed")
    assert len(topic.acts) == 3
    topic.seconds = NOTED_SECONDS
    await topic.accesses.note(MEDICARE, "feed")
    assert len(topic.acts) == 4


async def test_what_cannot_be_noted_is_not_read() -> None:
    topic = Topic()
    topic.away = ConnectionRefusedError()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await topic.accesses.note(MEDICARE, "feed")
    topic.away = None
    await topic.accesses.note(MEDICARE, "feed")
    assert len(topic.acts) == 1


def test_an_answer_that_names_a_person_is_deleted_and_others_are_kept(tmp_path: Path) -> None:
    answers, store = Acknowledgements(tmp_path), SqliteKeyStore(tmp_path / "keys")
    medicare, other = store.payer_keys("medicare"), store.payer_keys("bcbs-sc")
    kind: Kind = "277ca"
    answers.keep("run-1", medicare, [(kind, b"NM1*QC*1*DOE*JANE****MI*1EG4TE5MK73~")])
    answers.keep("run-2", medicare, [(kind, b"NM1*QC*1*ROE*JOHN****MI*1EG4TE5MK72~")])
    answers.keep("run-3", other, [(kind, b"NM1*QC*1*DOE*JANE****MI*1EG4TE5MK73~")])
    naming = Naming.of([{"identifier": {"kind": "mbi", "value": "1EG4-TE5-MK73"}}])
    assert answers.forget(medicare, naming.found_in) == 1
    assert [answers.kinds(f"run-{n}") for n in (1, 2, 3)] == [[], [kind], [kind]]
    assert answers.forget(medicare, naming.found_in) == 0
