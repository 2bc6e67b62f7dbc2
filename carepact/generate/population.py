"""A population of several payers: who is in it, what is dealt to whom, and the order in which it becomes known.

Every member's life comes from its own generator, seeded by seed, payer and number: a member is the same whoever else is
asked for. Nothing here looks at a clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import orjson

from carepact.generate import beside
from carepact.generate.codes import CANCERS
from carepact.generate.courses import everyday
from carepact.generate.employment import work
from carepact.generate.people import invent, seeded
from carepact.generate.practices import any_practice, broadcasts, evidence
from carepact.generate.scenarios import MEDICARE_ONLY, SPECIAL, Life, enroll, fill_up, plain
from carepact.generate.story import Story

FIRST_DAY = date(2023, 7, 1).toordinal()
PAYERS = ("medicare", "bcbs-sc", "employers")
PLANS = ("palmetto-manufacturing", "lowcountry-retail")
LEAST_WITH_EPISODE = 56
CANCER_SHARE = (9, 20)


@dataclass(slots=True)
class Made:
    """What `write` made: events by payer and by type, and what they were made to show."""

    members: int = 0
    seed: int = 0
    files: dict[str, int] = field(default_factory=dict)
    types: Counter[str] = field(default_factory=Counter)
    shows: Counter[str] = field(default_factory=Counter)


def payer_of(number: int) -> tuple[str, str]:
    """Payer and plan of the n-th member: half Medicare, a quarter each of the others."""
    match number % 4:
        case 2:
            return "bcbs-sc", ""
        case 3:
            return "employers", PLANS[number // 4 % 2]
        case _:
            return "medicare", ""


def deck(payer: str, seed: int) -> list[str]:
    """The order in which scenarios are dealt to a payer's members with cancer; '' is a plain life."""
    names = [n for n in SPECIAL if payer == "medicare" or n not in MEDICARE_ONLY]
    seeded(seed, payer, "deck").shuffle(names)
    dealt: list[str] = []
    for name in names:
        dealt += ["", name]
    return dealt


def member(seed: int, number: int, months: int, dealt: str | None) -> Story:
    """The facts of one member. `dealt` is None without cancer, else the scenario's name."""
    payer, plan = payer_of(number)
    rng = seeded(seed, payer, number)
    cancers = list(CANCERS.values())
    cancer = rng.choices(cancers, [c.weight for c in cancers])[0]
    sex = {"breast": "female", "prostate": "male"}.get(cancer.name) or rng.choice(("female", "male"))
    s = Story(rng, payer, plan, number, invent(rng, payer, plan, number, sex), FIRST_DAY)
    span = months * 30
    if dealt is None:
        enroll(s)
        everyday(s, FIRST_DAY, span)
        if plan:
            beside.member(s, seed, span)
        return s
    start = FIRST_DAY + rng.randrange(max(1, span - 190))
    left = FIRST_DAY + span - start
    days = min(max(left, 60), rng.choice((110, 170, 170, 240, 330, 420)))
    life = Life(s, start, cancer, rng.choice(cancer.regimens), any_practice(rng).tin, days)
    (SPECIAL[dealt] if dealt else plain)(life)
    if plan:
        work(s, life.start, number // 8, dealt)
    everyday(s, FIRST_DAY, span)
    fill_up(s, life.start, LEAST_WITH_EPISODE)
    if plan:
        beside.employee(s, life, seed)
    elif payer == "medicare":
        beside.patient(s, life, seed)
    return s


def stories(members: int, seed: int, months: int, payer: str) -> Iterator[Story]:
    """The members of one payer, in their order."""
    cards = deck(payer, seed)
    with_cancer = 0
    for number in range(members):
        if payer_of(number)[0] != payer:
            continue
        share, of = CANCER_SHARE
        if number // 4 * share % of < share:
            yield member(seed, number, months, cards[with_cancer % len(cards)])
            with_cancer += 1
        else:
            yield member(seed, number, months, None)


def in_order(some: Iterable[Story]) -> list[bytes]:
    """All facts in the order in which they became known."""
    facts = [(at, n, i, line) for n, s in enumerate(some) for at, i, line in s.facts]
    facts.sort(key=lambda f: f[:3])
    return [line for *_, line in facts]


def generate(members: int, seed: int, months: int = 24, payers: Iterable[str] = PAYERS) -> Iterator[tuple[str, bytes]]:
    """(payer, CloudEvent as one line of JSON), payer by payer, each in the order of knowledge."""
    for payer in payers:
        for line in in_order(stories(members, seed, months, payer)):
            yield payer, line


def write(
    out: Path, members: int, seed: int, months: int = 24, payers: Iterable[str] = PAYERS, bad_lines: bool = False
) -> Made:
    """`<payer>.ndjson` for each payer and `practices.ndjson`, which is for every one of them."""
    out.mkdir(parents=True, exist_ok=True)
    made = Made(members, seed)
    _write(out / "practices.ndjson", [*broadcasts(), *evidence()], made)
    for payer in payers:
        kept: list[Story] = []
        for s in stories(members, seed, months, payer):
            made.shows.update(s.counts)
            kept.append(s)
        lines = in_order(kept)
        if bad_lines:
            lines += spoiled(lines)
        _write(out / f"{payer}.ndjson", lines, made)
    return made


def _write(path: Path, lines: list[bytes], made: Made) -> None:
    with path.open("wb") as file:
        for line in lines:
            file.write(line + b"\n")
    made.files[path.name] = len(lines)
    for line in lines:
        start = line.find(b'"type":"carepact.')
        if start >= 0:
            made.types[line[start + 17 : line.index(b".v", start)].decode()] += 1


def spoiled(lines: list[bytes]) -> list[bytes]:
    """One of each thing that cannot be taken in, made from good lines; the last is one id with another content."""
    claim = next(line for line in lines if b"ProfessionalClaimReceived" in line)

    def changed(n: int, **data: object) -> bytes:
        event = orjson.loads(claim)
        event["id"] = f"bad-{n}"
        event["data"] |= data
        return orjson.dumps(event)

    one = orjson.loads(claim)
    line = one["data"]["lines"][0]
    nobody = orjson.loads(changed(3))
    del nobody["data"]["person"]
    unknown = orjson.loads(changed(8))
    unknown["type"] = "carepact.NothingHappened.v1"
    conflict = orjson.loads(claim)
    conflict["data"]["effective_on"] = "2023-01-01"
    return [
        b'{"specversion":"1.0","id":"bad-1","source":"carrier","type":',
        changed(2, from_on=[]),
        orjson.dumps(nobody),
        changed(4, lines=[{**line, "paid_cents": "12.5O"}]),
        changed(5, lines=[{**line, "service_on": "2024-02-31"}]),
        changed(6, patient_control_number="x" * 600_000),
        changed(7).replace(b'"denied":', b'"denied_":').replace(b'"action":', b'"action":"void","action":'),
        orjson.dumps(unknown),
        orjson.dumps(conflict),
    ]
