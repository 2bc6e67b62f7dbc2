"""Full enrollment files (834): who is missed twice in a row ends, and not before; who comes back was never gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from formats import x12
from formats.reading import ReadFact, Reject
from streams.door import Admitted, Door
from streams.keys import SqliteKeyStore
from streams.roster import Roster
from tests.formats.x12_samples import ROSTER, made

Take = Callable[..., list[Any]]


def full(day: str, *members: str, action: str = "4", bad: str = "") -> bytes:
    """A full file of a day that lists these members, the one named `bad` without a day of its coverage."""
    segments = [f"BGN*00*F{day}*{day}*1200****{action}", *ROSTER[1:4]]
    for member in members:
        one = [s.replace("*M1", f"*{member}").replace("*S1", f"*{member}") for s in ROSTER[4:]]
        segments += [s for s in one if not (member == bad and s.startswith("DTP"))]
    return made("834", segments)


@pytest.fixture
def keys(tmp_path: Path) -> SqliteKeyStore:
    return SqliteKeyStore(tmp_path / "keys.sqlite3")


@pytest.fixture
def take(keys: SqliteKeyStore) -> Take:
    """Sends a file through the door; what the door states of members by itself."""
    payer = Roster.load().payer("medicare")

    def sent(file: bytes, chunk: int = 1_000, shift: int = 0) -> list[Any]:
        door = Door(payer, keys, 4, shift_years=shift)
        items = list(x12.read([file], "members.834"))
        answers = [a for at in range(0, len(items), chunk) for a in door.admit(items[at : at + chunk])]
        rows = sum(a.rows for a in answers if isinstance(a, Admitted | Reject))
        assert rows == sum(item.rows for item in items)
        own = [orjson.loads(a.value) for a in answers if isinstance(a, Admitted) and b"/rosters" in a.value]
        return [(e["subject"], e["data"], e["id"]) for e in own]

    return sent


def said(own: list[Any]) -> list[tuple[str, bool, str]]:
    return [(data["from_on"], data.get("covered", True), data["reason"]) for _, data, _ in own]


def test_a_member_ends_when_two_files_in_a_row_miss_them(take: Take) -> None:
    assert take(full("20240301", "M1", "M2")) == []
    assert take(full("20240401", "M1")) == []
    ended = take(full("20240501", "M1"))
    assert said(ended) == [("2024-04-01", False, "not_listed")]
    assert ended[0][1]["coverage"] == "plan"


def test_one_file_that_misses_a_member_ends_nothing(take: Take) -> None:
    for day, members in (("20240301", "M1 M2"), ("20240401", "M1"), ("20240501", "M1 M2"), ("20240601", "M1")):
        assert take(full(day, *members.split())) == []


def test_the_same_file_again_and_an_older_one_count_once(take: Take) -> None:
    take(full("20240301", "M1", "M2"))
    assert take(full("20240401", "M1")) == take(full("20240401", "M1")) == []
    first = take(full("20240501", "M1"))
    assert take(full("20240501", "M1")) == first
    assert take(full("20240401", "M1")) == take(full("20240301", "M1", "M2")) == []
    assert take(full("20240601", "M1")) == first, "stated once more, under the same id, for what broke off"
    assert take(full("20240701", "M1")) == []


def test_a_change_file_misses_nobody(take: Take) -> None:
    take(full("20240301", "M1", "M2"))
    for day in ("20240401", "20240501", "20240601"):
        assert take(full(day, "M1", action="2")) == []


def test_a_file_with_a_refused_member_counts_for_nothing(take: Take) -> None:
    take(full("20240301", "M1", "M2", "M3"))
    for day in ("20240401", "20240501", "20240601"):
        assert take(full(day, "M1", "M3", bad="M3")) == []
    assert take(full("20240701", "M1", "M3")) == []
    assert len(take(full("20240801", "M1", "M3"))) == 1


def test_a_file_that_breaks_off_counts_for_nothing(take: Take) -> None:
    take(full("20240301", "M1", "M2"))
    for day in ("20240401", "20240501"):
        cut = full(day, "M1")
        assert take(cut[: cut.index(b"IEA*")]) == []


def test_who_is_listed_again_was_never_gone(take: Take) -> None:
    take(full("20240301", "M1", "M2"))
    take(full("20240401", "M1"))
    ((member, _, _),) = take(full("20240501", "M1"))
    back = take(full("20240601", "M1", "M2"))
    assert (said(back), back[0][0]) == ([("2024-04-01", True, "listed_again")], member)
    assert take(full("20240701", "M1", "M2")) == back
    assert take(full("20240801", "M1", "M2")) == []


def test_an_end_that_is_said_is_not_implied_again(take: Take) -> None:
    take(full("20240301", "M1", "M2"))
    gone = full("20240401", "M1", "M2").replace(b"HD*021", b"HD*024").replace(b"DTP*348", b"DTP*349")
    take(gone)
    for day in ("20240501", "20240601"):
        assert take(full(day)) == []


def test_rosters_are_apart_by_group_and_a_file_may_stand_in_several_sets_and_chunks(take: Take) -> None:
    other = full("20240301", "M9").replace(b"GROUP1", b"GROUP2")
    take(other)
    both = made("834", [*full_set("20240301", "M1")], [*full_set("20240301", "M2")])
    take(both, 1)
    take(full("20240401", "M1"), 1)
    (ended,) = take(full("20240501", "M1"), 1)
    assert ended[1]["from_on"] == "2024-04-01"


def full_set(day: str, member: str) -> list[str]:
    return full(day, member).decode().split("~")[3:-4]


def test_days_are_shifted_as_those_of_the_facts(take: Take) -> None:
    for day, members in (("20240301", "M1 M2"), ("20240401", "M1")):
        take(full(day, *members.split()), shift=-1)
    assert said(take(full("20240501", "M1"), shift=-1)) == [("2023-04-01", False, "not_listed")]


def test_of_who_was_erased_nothing_is_stated(take: Take, keys: SqliteKeyStore) -> None:
    take(full("20240301", "M1", "M2"))
    take(full("20240401", "M1"))
    ((member, _, _),) = take(full("20240501", "M1"))
    keys.destroy("medicare", member)
    assert take(full("20240601", "M1")) == []


def test_a_member_whom_the_door_refuses_spoils_the_file(keys: SqliteKeyStore, take: Take) -> None:
    take(full("20240301", "M1", "M2"))
    take(full("20240401", "M1"))
    items = list(x12.read([full("20240501", "M1")], "members.834"))
    sent = [replace(i, payer="another") if isinstance(i, ReadFact) and i.listing and i.rows == 0 else i for i in items]
    marker = items[-1]
    *_, last = Door(Roster.load().payer("medicare"), keys, 4).admit([*sent[:-1], marker])
    assert isinstance(last, Admitted)
    assert b'"whole":false' in last.value
    assert len(take(full("20240601", "M1"))) == 1


def test_a_member_sent_again_after_a_refusal_is_no_full_file() -> None:
    items = list(x12.read([full("20240401", "M1", "M3", bad="M3")], "members.834"))
    (reject,) = [i for i in items if isinstance(i, Reject)]
    again = x12.read([reject.raw.replace(b"HD*021**HLT**EMP", b"HD*021**HLT**EMP~DTP*348*D8*20240101")], "m")
    assert all(isinstance(i, Reject) or i.listing is None for i in again)
