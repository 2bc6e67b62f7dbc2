"""Former MBIs of CCLF9: one member across submissions, in whatever order these come; what came apart is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from formats import cclf
from streams.door import Admitted, Door
from streams.keys import SqliteKeyStore
from streams.roster import Roster
from tests.formats.test_cclf import record

OLD, NEW, NEWEST = "1EG4TE5MK73", "9XY8TE5MK74", "2AB3TE5MK75"


@pytest.fixture
def keys(tmp_path: Path) -> SqliteKeyStore:
    return SqliteKeyStore(tmp_path / "keys.sqlite3")


@pytest.fixture
def door(keys: SqliteKeyStore) -> Door:
    return Door(Roster.load().payer("medicare"), keys, 4)


def described(mbi: str) -> bytes:
    return record("8", BENE_MBI_ID=mbi, BENE_DOB="1950-01-02", BENE_SEX_CD="1")


def changed(new: str, old: str) -> bytes:
    return record("9", HICN_MBI_XREF_IND="M", CRNT_NUM=new, PRVS_NUM=old, PRVS_ID_EFCTV_DT="2024-01-01")


def members(door: Door, *lines: bytes) -> set[str]:
    """Whose facts a submission of these records is."""
    admitted = door.admit(list(cclf.read(lines, "P.A0001.ACO.D250601.T0102030")))
    assert all(isinstance(each, Admitted) for each in admitted), admitted
    return {each.member for each in admitted if isinstance(each, Admitted)}


def member(door: Door, mbi: str) -> str:
    (found,) = members(door, described(mbi))
    return found


def test_a_later_submission_brings_a_present_identifier_to_the_member_of_the_former(door: Door) -> None:
    first = member(door, OLD)
    assert members(door, changed(NEW, OLD), described(NEW)) == {first}
    assert member(door, NEW) == member(door, OLD) == first
    assert members(door, changed(NEWEST, NEW)) == {first}
    assert member(door, NEWEST) == first
    assert door.take_links() == []


def test_a_former_identifier_that_comes_late_is_the_present_member(door: Door) -> None:
    first = member(door, NEW)
    assert members(door, changed(NEW, OLD)) == {first}
    assert member(door, OLD) == first
    assert members(door, changed("8CD3TE5MK76", "7CD3TE5MK77")) == {member(door, "7CD3TE5MK77")}, "neither was known"
    assert door.take_links() == []


@pytest.mark.parametrize("chain", [[(NEW, OLD), (NEWEST, NEW)], [(NEWEST, NEW), (NEW, OLD)]])
def test_a_chain_of_one_submission_is_one_member(door: Door, chain: Sequence[tuple[str, str]]) -> None:
    first = member(door, OLD)
    assert members(door, *(changed(*each) for each in chain), described(NEWEST)) == {first}
    assert {member(door, mbi) for mbi in (OLD, NEW, NEWEST)} == {first}


def test_members_that_came_apart_are_to_be_linked_until_they_are(door: Door, keys: SqliteKeyStore) -> None:
    first, second = member(door, OLD), member(door, NEW)
    assert first != second
    members(door, changed(NEW, OLD))
    assert door.take_links() == [(first, second)]
    assert door.take_links() == []
    keys.link("medicare", first, second)
    assert members(door, changed(NEW, OLD), described(NEW)) == {first}
    assert door.take_links() == [(first, second)], "only the log says whether its facts were moved"
    assert {member(door, OLD), member(door, NEW)} == {first}


def test_who_was_erased_stays_erased_under_a_new_identifier(door: Door, keys: SqliteKeyStore) -> None:
    keys.destroy("medicare", member(door, OLD))
    items = list(cclf.read([changed(NEW, OLD), described(NEW)], "P.A0001.ACO.D250601.T0102030"))
    assert {getattr(each, "code", "") for each in door.admit(items)} == {"member_erased"}
