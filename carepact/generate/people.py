"""Invented people. Every name and number carries its member's number, so that a leak can be searched for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

_START = ("Mar", "Tel", "Quin", "Ves", "Dro", "Hal", "Jor", "Pel", "Sar", "Wen", "Bri", "Nol")
_MIDDLE = ("vo", "li", "ra", "de", "mi", "to", "sa", "ne")
_END = ("len", "rick", "stad", "mond", "ford", "wyn", "dale", "berg")
_GIVEN = (
    "Avela",
    "Boric",
    "Celdra",
    "Dorun",
    "Elvane",
    "Faric",
    "Gwenol",
    "Hestor",
    "Ilda",
    "Joral",
    "Kestin",
    "Lorane",
)
_LETTERS = "ACDEFGHJKMNPQRTUVWXY"
_ALNUM = _LETTERS + "0123456789"

STATES = ("SC", "SC", "SC", "SC", "SC", "NC", "GA")


def seeded(*parts: object) -> Random:
    """The generator of one purpose: the same parts, the same numbers."""
    return Random("/".join(map(str, parts)))  # noqa: S311 - invented people are no secret


@dataclass(frozen=True, slots=True)
class Invented:
    """A person as the payer's files name them, and what the open part of the log may say of them."""

    person: dict[str, Any]
    birth_year: int
    sex: str
    state: str


def mbi(rng: Random) -> str:
    """A number of the form of a Medicare Beneficiary Identifier (outcome rules C.3)."""
    a, x = _LETTERS, _ALNUM
    shape = ("123456789", a, x, "0123456789", a, x, "0123456789", a, a, "0123456789", "0123456789")
    return "".join(rng.choice(s) for s in shape)


def invent(rng: Random, payer: str, plan: str, number: int, sex: str) -> Invented:
    """The person behind member `number` of a payer."""
    elderly = payer == "medicare"
    born = date(rng.randint(1934, 1958) if elderly else rng.randint(1960, 1995), rng.randint(1, 12), rng.randint(1, 28))
    state = rng.choice(STATES)
    if elderly:
        identifier = {"kind": "mbi", "value": mbi(rng)}
    elif plan:
        identifier = {"kind": "member_id", "value": f"{plan[:2].upper()}E{number:07d}"}
    else:
        identifier = {"kind": "member_id", "value": f"ZCS{number:08d}"}
    person = {
        "identifier": identifier,
        "family_name": f"{rng.choice(_START)}{rng.choice(_MIDDLE)}{rng.choice(_END)}-{number:05d}",
        "given_name": rng.choice(_GIVEN),
        "birth_date": born.isoformat(),
        "address": f"{number + 100} {rng.choice(_START)}{rng.choice(_END)} Street",
        "postal_code": f"29{rng.randint(0, 999):03d}",
    }
    return Invented(person, born.year, sex, state)
