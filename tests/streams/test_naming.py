"""Bytes that name a person are found in whatever format, and those of another are not."""

from __future__ import annotations

from typing import Any

import pytest

from streams.naming import Naming, holds_word, squeezed, word_of

JANE: dict[str, Any] = {
    "identifier": {"kind": "mbi", "value": "1EG4-TE5-MK73"},
    "family_name": "O'Hara",
    "given_name": "José",
    "birth_date": "1951-03-07",
    "phone": "803-555-0101",
}


@pytest.mark.parametrize(
    "raw",
    [
        b"NM1*IL*1*X*Y****MI*1EG4TE5MK73~",
        b'{"value":"1eg4-te5-mk73"}',
        b"0001EG4TE5MK73  20240101000012.00",
        "NM1*IL*1*O'HARA*JOSÉ****~".encode(),
        b'{"family_name":"O\'Hara","given_name":"Jos\\u00e9"}',
        b"ohara,,03/07/1951,F",
        b"O-Hara;19510307",
        b"call (803) 555-0101",
    ],
)
def test_a_person_is_found(raw: bytes) -> None:
    assert Naming.of([JANE]).found_in(raw)


@pytest.mark.parametrize(
    "raw", [b"", b"NM1*IL*1*OHARA*MARY****MI*1EG4TE5MK72~", b"Jos\xc3\xa9 of the O'Haras", b"03/07/1951"]
)
def test_another_person_is_not(raw: bytes) -> None:
    assert not Naming.of([JANE]).found_in(raw)


def test_a_short_identifier_is_a_word_of_its_own() -> None:
    naming = Naming.of([{"identifier": {"kind": "member_id", "value": "1001"}}])
    assert naming.found_in(b"1001;12.00") and naming.found_in(b"id=1001")
    assert not naming.found_in(b"21001;10012")
    assert naming.identifiers == {"1001"}


def test_a_name_of_two_words_is_found() -> None:
    naming = Naming.of([{"family_name": "Van Dyk", "given_name": "Al"}])
    assert naming.found_in(b"NM1*IL*1*VAN DYK*AL~") and not naming.found_in(b"VAN*DIK*AL")


def test_nothing_names_nobody() -> None:
    assert not Naming.of([{"identifier": {"kind": "member_id", "value": "1"}, "family_name": ""}]).found_in(b"1")


@pytest.mark.parametrize(
    ("said", "raw"), [("1EG4-TE5-MK73", b"xx1eg4te5mk73yy"), ("W-77", b"a W-77 b"), ("1001", b"1001")]
)
def test_a_word_is_known_again_by_its_digest(said: str, raw: bytes) -> None:
    words = frozenset([word_of(b"k" * 32, squeezed(said))])
    assert holds_word(b"k" * 32, words, raw)
    assert not holds_word(b"o" * 32, words, raw)
    assert not holds_word(b"k" * 32, words, b"something else 10012")
    assert not holds_word(b"k" * 32, frozenset(), raw)
