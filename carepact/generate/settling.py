"""A population to settle: everyone has cancer, many practices and pools, deaths, hospice, complications, ties.

The practices of `practices` are there once for each variant, under numbers of their own; all facts of one member name
those of one variant. Amounts and figures are invented.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import orjson

from carepact.generate.codes import CANCERS, DOCETAXEL, LEUPROLIDE
from carepact.generate.courses import Course, course, treat, visit
from carepact.generate.people import seeded
from carepact.generate.population import deck, in_order, member, payer_of
from carepact.generate.practices import PRACTICES, broadcasts
from carepact.generate.scenarios import Life
from carepact.generate.story import Story, iso

BASE = b"571000"
MONTHS = 30
"""Of service, so that initiations spread over 24 months: a life begins at most seven months before the end."""

LATEST = date(2026, 8, 31).toordinal()
"""The last day on which anything becomes known: eight months after the last of 24 months' episodes is over."""

COMPLICATIONS = ("D701", "E860", "R112", "J189", "A419", "K529")


def variant_tin(tin: str, variant: int) -> str:
    """The number of a practice's variant; the last digits stay, since ties go by them."""
    return f"57{10 + variant:02d}00{tin[6:]}"


def practices(variants: int) -> list[str]:
    """Every practice there is."""
    return [variant_tin(practice.tin, v) for v in range(variants) for practice in PRACTICES]


def settling_practices(
    variants: int, pooled: Iterable[str] = (), only: frozenset[str] | None = None
) -> Iterator[bytes]:
    """Who takes part, variant by variant; where it is said, `only` some. Two of `pooled` in a row share a pool."""
    pools = {tin: f"pool-{i // 2}" for i, tin in enumerate(pooled)}
    for v in range(variants):
        for line in broadcasts():
            event = orjson.loads(line)
            tin = variant_tin(event["data"]["practice"], v)
            event["id"] = f"{event['id']}-{v}"
            event["data"]["practice"] = tin
            if only is not None and tin not in only:
                event["data"]["participates"] = False
            if event["data"]["participates"] and tin in pools:
                event["data"]["pool"] = pools[tin]
            yield orjson.dumps(event)


def at_sites(lines: Iterable[bytes], practices: list[str], sites: int, practitioners: int) -> Iterator[bytes]:
    """The same facts, each physician's claim of these practices furnished by one of so many people at so many sites."""
    place = {tin: i for i, tin in enumerate(practices)}
    of = len(practices)
    for line in lines:
        if b"ProfessionalClaimReceived" not in line:
            yield line
            continue
        event = orjson.loads(line)
        data = event["data"]
        at = place.get(data["billing_tin"])
        if at is None:
            yield line
            continue
        rng = seeded("site", data["family"])
        data["billing_npi"] = f"15{at + of * rng.randrange((sites - 1 - at) // of + 1):08d}"
        for one in data["lines"]:
            one["rendering_npi"] = f"18{at + of * rng.randrange((practitioners - 1 - at) // of + 1):08d}"
        yield orjson.dumps(event)


def settling_events(members: int, seed: int, variants: int) -> list[bytes]:
    """Every fact of `members` Medicare members, in the order of knowledge."""
    return in_order(_stories(members, seed, variants))


def stories(members: int, seed: int, variants: int) -> Counter[str]:
    """How often a population's members were made to show something, by what it is called."""
    found: Counter[str] = Counter()
    for story in _stories(members, seed, variants):
        found.update(story.counts)
    return found


def _stories(members: int, seed: int, variants: int) -> Iterator[Story]:
    cards = [name for i, name in enumerate(deck("medicare", seed)) if name or i % 8 == 0]  # few plain lives
    made = number = given = 0
    while made < members:
        if payer_of(number)[0] == "medicare":
            dealt = ""
            if made % 12 == 11:
                s = _tied(seed, number, made)
            elif made % 60 == 10:
                s = _flips_back(seed, number)
            else:
                dealt, given = cards[given % len(cards)], given + 1
                s = member(seed, number, MONTHS, dealt)
            rng = seeded(seed, "settling", number)
            _more(s, rng, mortal=not dealt)
            tin = f"57{10 + rng.randrange(variants):02d}00".encode()
            s.facts = [(at, i, line.replace(b'"' + BASE, b'"' + tin)) for at, i, line in s.facts]
            made += 1
            yield s
        number += 1


def _more(s: Story, rng: Any, mortal: bool) -> None:
    """What claims-based quality asks of: admissions and emergency visits, deaths, hospice; and subsidies of Part D.

    The `mortal` have no other story, in which a death would mean something else.
    """
    dx = CANCERS[rng.choice(("lung", "breast", "colorectal"))].codes[0]
    for _ in range(rng.randrange(4)):
        day = s.first + rng.randrange(MONTHS * 30)
        kind = rng.randrange(3)
        codes = (dx, rng.choice(COMPLICATIONS)) if kind else (rng.choice(COMPLICATIONS), dx)
        if rng.random() < 0.5:
            s.inpatient(day, 4, 900_000 + rng.randrange(500_000), codes, standardized_cents=880_000)
        else:
            lines = [
                {"line": 1, "service_on": iso(day), "code": "99284", "revenue_center": rng.choice(("0450", "0456"))}
            ]
            s.outpatient(day, (("99284", 1, 71_000),), "570000990", codes, lines=lines)
    if rng.random() < 0.3:
        drug = ("00310135030", 30, 1_420_000)
        s.fill(s.first + rng.randrange(MONTHS * 30), drug, low_income_subsidy_cents=rng.randrange(90_000))
    if rng.random() < 0.3:
        day, drug = s.first + rng.randrange(MONTHS * 30), ("Q5101", 300 + 10 * rng.randrange(30), 21_000)
        if rng.random() < 0.5:
            s.professional(day, [s.line(1, day, drug, "571000014", (dx,))], "571000014", (dx,))
        else:
            s.outpatient(day, (drug,), "570000990", (dx,))
    if rng.random() < 0.04:
        day = s.first + (MONTHS - 8) * 30 + rng.randrange(6 * 30)
        s.inpatient(day, 3, 700_000 + rng.randrange(300_000), (dx, "J189"), known=LATEST - rng.randrange(180))
        s.note("after_the_run_out")
    if mortal and rng.random() < 0.45:
        day = s.first + 120 + rng.randrange(MONTHS * 30 - 200)
        s.describe(day + 20, died=day)
        if rng.random() < 0.6:
            s.cover(day + 9, "hospice", day - rng.randrange(9), day if rng.random() < 0.5 else None)


def _flips_back(seed: int, number: int) -> Story:
    """Androgen deprivation, docetaxel beside it, and the claims of docetaxel voided: excluded, included, excluded."""
    s = member(seed, number, 3, None)
    rng = seeded(seed, "flips back", number)
    start = s.first + rng.randrange(23 * 30)
    c = course(s, start, 150, CANCERS["prostate"], LEUPROLIDE, "571000014")
    for sent in treat(s, start + 60, DOCETAXEL, c.tin, c.dx):
        s.version(sent, sent.known + 90, "void")
    s.note("prostate_flips_back")
    return s


def _tied(seed: int, number: int, made: int) -> Story:
    """Visits that tie: of practices by the latest visit or the last digit, of cancers by each step."""
    s = member(seed, number, 3, None)
    rng = seeded(seed, "tied", number)
    start = s.first + rng.randrange(23 * 30)
    cancer = CANCERS["lung"]
    life = Life(s, start, cancer, cancer.regimens[0], "571000014", 90)
    c: Course = course(s, start, life.days, cancer, life.regimen, life.tin, visits=False, services=False)
    if made // 12 % 3 == 0:  # of two sources on the day it opens, a hospital's goes first
        s.outpatient(start, c.regimen.drugs, "570000990", c.dx)
    elif made // 12 % 3 == 1:  # of two claims of one source, that of the lower id
        treat(s, start, c.regimen, c.tin, c.dx)
    match made // 12 % 5:
        case 0:  # two practices with as many visits, one the later
            visit(s, start + 1, "571000014", c.dx)
            for i in range(4):
                visit(s, start + 10 + i * 20, "571000027", c.dx)
                visit(s, start + 12 + i * 20, "571000031", c.dx)
        case 1:  # and on the same days: the last digit
            visit(s, start + 1, "571000014", c.dx)
            for i in range(4):
                visit(s, start + 10 + i * 20, "571000027", c.dx)
                visit(s, start + 10 + i * 20, "571000031", c.dx)
        case 2:  # two cancers, one with more visits
            for day, dx in ((10, c.dx), (30, ("C9000",)), (50, c.dx), (60, c.dx)):
                visit(s, start + day, "571000048", dx)
        case 3:  # two cancers with as many visits, the last of them on one day, the one before it not
            for day, dx in ((10, c.dx), (30, ("C9000",)), (60, c.dx), (60, ("C9000",))):
                visit(s, start + day, "571000048", dx)
        case _:  # two cancers on the same days: the last digit of their practices
            for day in (10, 40):
                visit(s, start + day, "571000052", c.dx)
                visit(s, start + day, "571000069", ("C9000",))
    return s


def figures(values: Iterable[tuple[str, str, str, str, str]]) -> Iterator[bytes]:
    """Reference values as facts: each (name, key, value, unit, from day)."""
    for i, (name, key, value, unit, from_on) in enumerate(values):
        data = {"name": name, "key": key, "value": value, "unit": unit, "from_on": from_on, "source": "synthetic"}
        yield _broadcast(f"figure-{i}", "ReferenceValueSet", data)


def arrangements(held: Iterable[tuple[str, str, int]]) -> Iterator[bytes]:
    """Risk arrangements as facts: each (practice, arrangement, from period)."""
    for i, (practice, arrangement, period) in enumerate(held):
        data = {"practice": practice, "arrangement": arrangement, "from_period": period}
        yield _broadcast(f"arrangement-{i}", "RiskArrangementSet", data)


def _broadcast(name: str, kind: str, data: dict[str, Any]) -> bytes:
    event = {
        "specversion": "1.0", "id": name, "source": "figures", "type": f"carepact.{kind}.v1",
        "time": "2023-06-15T12:00:00Z", "data": data,
    }  # fmt: skip
    return orjson.dumps(event)


def known_by(line: bytes, day: date) -> bool:
    """Whether a fact of a population became known on a day or before it."""
    return bytes(orjson.loads(line)["time"][:10], "ascii") <= day.isoformat().encode()
