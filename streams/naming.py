"""What names a person, and whether bytes hold it: for finding what is to be erased, and what is not to be kept again.

A person is named by an identifier, a mail address or a telephone number; or by the family name together with the given
name or the day of birth. Bytes are looked at as text without regard to case, blanks and punctuation, so that a name in
an X12 segment, a table or JSON is found alike. What is short is looked for as a word of its own, so that `1001` is
not found in every amount. Two people of one name are not told apart: what names either is found.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import orjson

AS_WORD_BELOW = 8
_DIGEST_BYTES = 16
_SHORTEST = 3
_WORD = re.compile(r"[^\W_]+(?:[-./'\u2019][^\W_]+)*")
_PIECE = re.compile(r"[^\W_]+")
_NOT_SAID = re.compile(r"[\W_]+")


def squeezed(text: str) -> str:
    """Letters and digits alone, in capitals."""
    return _NOT_SAID.sub("", text).upper()


class Text:
    """Bytes as they are looked at."""

    def __init__(self, raw: bytes) -> None:
        text = raw.decode("utf-8", "replace")
        with suppress(ValueError):
            text += " " + orjson.dumps(orjson.loads(raw)).decode()  # what JSON has escaped, as it reads
        self.whole = squeezed(text)
        pieces = [squeezed(piece) for piece in _PIECE.findall(text)]
        self.words = {squeezed(word) for word in _WORD.findall(text)} | set(pieces)
        self.words |= {one + other for one, other in pairwise(pieces)}  # a name of two words

    def holds(self, said: str) -> bool:
        """Whether something squeezed is in them."""
        return said in (self.words if len(said) < AS_WORD_BELOW else self.whole)


@dataclass(frozen=True, slots=True)
class Naming:
    """What names one person: alone, or two of them together."""

    alone: frozenset[str] = frozenset()
    together: frozenset[tuple[str, str]] = frozenset()
    identifiers: frozenset[str] = frozenset()

    @classmethod
    def of(cls, persons: Iterable[Mapping[str, Any]]) -> Naming:
        """From the `person` fields of facts, as they were sealed."""
        alone: set[str] = set()
        together: set[tuple[str, str]] = set()
        identifiers: set[str] = set()
        for person in persons:
            said = {name: squeezed(value) for name, value in person.items() if isinstance(value, str)}
            identifiers.add(squeezed(person.get("identifier", {}).get("value", "")))
            alone |= {said.get(name, "") for name in ("email", "phone")}
            for day in _as_written(person.get("birth_date") or ""):
                together.add((said.get("family_name", ""), day))
            together.add((said.get("family_name", ""), said.get("given_name", "")))
        identifiers = {each for each in identifiers if len(each) >= _SHORTEST}
        return cls(
            frozenset(identifiers | {each for each in alone if len(each) >= AS_WORD_BELOW - 1}),
            frozenset(pair for pair in together if all(pair)),
            frozenset(identifiers),
        )

    def __bool__(self) -> bool:
        return bool(self.alone or self.together)

    def found_in(self, raw: bytes) -> bool:
        """Whether bytes name the person."""
        text = Text(raw)
        return any(map(text.holds, self.alone)) or any(
            text.holds(one) and text.holds(other) for one, other in self.together
        )


def _as_written(day: str) -> tuple[str, ...]:
    """A day as files write it, squeezed."""
    year, month, of_month = day[:4], day[5:7], day[8:10]
    return (year + month + of_month, month + of_month + year) if len(day) == len("2000-01-31") else ()


def word_of(key: bytes, said: str) -> bytes:
    """What is kept of a word that is not to be kept: its length, and a keyed digest."""
    return bytes([min(len(said), 255)]) + hmac.digest(key, b"word|" + said.encode(), hashlib.sha256)[:_DIGEST_BYTES]


def holds_word(key: bytes, words: frozenset[bytes], raw: bytes) -> bool:
    """Whether bytes hold one of the words of `word_of`."""
    if not words:
        return False
    text = Text(raw)
    for length in {word[0] for word in words}:
        if length < AS_WORD_BELOW:
            said = {word for word in text.words if len(word) == length}
        else:
            said = {text.whole[at : at + length] for at in range(len(text.whole) - length + 1)}
        if any(word_of(key, each) in words for each in said):
            return True
    return False
