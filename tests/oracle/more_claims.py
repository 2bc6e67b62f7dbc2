"""What a generated employers' file lacks for metrics: emergency visits, stays, biosimilars, told to people with cancer.

Every kind that a metric must tell apart is dealt by a seeded chance: facility and physician on the same or a near day,
urgent care, interim bills and transfers, discarded drug, denied, void and moved claims.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

from tests.oracle.fold import read

FIRST, DAYS = date(2023, 8, 1), 640
DRUGS = ("J9035", "Q5118", "Q5107", "J2505", "J2506", "Q5111", "J9312", "Q5115", "J9356", "J1447", "J1442", "Q5101")
REVENUE = ("0450", "0451", "0452", "0453", "0456", "0459", "0981", "0510")
NEOPLASM = ("C", "D3", "D4")


def add(source: Path, out: Path, seed: int) -> None:
    """Write the events of a file and, after them, more claims of its people with cancer."""
    people: dict[tuple[str, str], tuple[dict[str, Any], str]] = {}
    for event in read(source):
        data = event["data"]
        diagnoses = [d for d in data.get("diagnoses", ()) if d.startswith(NEOPLASM)]
        if diagnoses:
            people.setdefault((event["plan"], data["person"]["identifier"]["value"]), (data["person"], diagnoses[0]))
    chance = Random(seed)
    with out.open("wb") as file:
        file.write(source.read_bytes())
        for number, ((plan, _), (person, cancer)) in enumerate(sorted(people.items())):
            for n, (kind, data) in enumerate(_lives(chance, f"X{number:05d}", cancer)):
                event = {
                    "specversion": "1.0", "id": f"more-{number}-{n}", "source": "more", "plan": plan,
                    "type": f"carepact.{kind}.v1", "data": {"person": person, **data},
                }  # fmt: skip
                file.write(json.dumps(event).encode() + b"\n")


def _lives(chance: Random, name: str, cancer: str) -> Iterator[tuple[str, dict[str, Any]]]:
    claims: list[tuple[str, dict[str, Any]]] = []
    for n in range(chance.randrange(1, 5)):
        day = FIRST + timedelta(days=chance.randrange(DAYS))
        claims += _emergency(chance, f"{name}E{n}", day, cancer)
    for n in range(chance.randrange(3)):
        day = FIRST + timedelta(days=chance.randrange(DAYS))
        claims += _stay(chance, f"{name}S{n}", day, cancer)
    for n in range(chance.randrange(6)):
        day = FIRST + timedelta(days=chance.randrange(DAYS))
        claims.append(_drug(chance, f"{name}D{n}", day, cancer))
    for kind, data in claims:
        yield kind, data
        luck = chance.random()
        if luck < 0.08:
            yield kind, data | {"claim_id": data["claim_id"] + "v", "action": "void", "replaces": data["claim_id"]}
        elif luck < 0.14 and kind == "ProfessionalClaimReceived":
            later = (date.fromisoformat(data["from_on"]) + timedelta(days=chance.randrange(40))).isoformat()
            lines = [line | {"service_on": later} for line in data["lines"]]
            moved = {"action": "replacement", "replaces": data["claim_id"], "from_on": later, "through_on": later}
            yield kind, data | moved | {"claim_id": data["claim_id"] + "r", "lines": lines}


def _claim(name: str, day: date, cancer: str) -> dict[str, Any]:
    return {
        "claim_id": name, "family": name, "action": "original", "effective_on": (day + timedelta(days=9)).isoformat(),
        "from_on": day.isoformat(), "through_on": day.isoformat(), "billing_tin": "570000990", "diagnoses": [cancer],
    }  # fmt: skip


def _line(day: date, code: str, **more: Any) -> dict[str, Any]:
    return {"line": 1, "service_on": day.isoformat(), "code": code, **more}


def _professional(name: str, day: date, dx: str, code: str, place: str, **more: Any) -> tuple[str, dict[str, Any]]:
    line = _line(
        day, code, diagnoses=[dx], place_of_service=place, rendering_tin="570000990", paid_cents=8_000,
        allowed_cents=10_000, **more,
    )  # fmt: skip
    return "ProfessionalClaimReceived", {**_claim(name, day, dx), "lines": [line]}


def _facility(
    name: str, day: date, dx: str, revenue: str, facility: str, setting: str, **more: Any
) -> tuple[str, dict[str, Any]]:
    line = _line(day, "36415", revenue_center=revenue, charge_cents=50_000)
    made = {"setting": setting, "facility": facility, "paid_cents": 70_000, "allowed_cents": 90_000, "lines": [line]}
    return "InstitutionalClaimReceived", {**_claim(name, day, dx), **made, **more}


def _emergency(chance: Random, name: str, day: date, cancer: str) -> Iterator[tuple[str, dict[str, Any]]]:
    facility, dx = chance.choice(("H1", "H2")), chance.choice((cancer, "R509", "I10"))
    yield _facility(f"{name}f", day, dx, chance.choice(REVENUE), facility, "outpatient", type_of_bill="131")
    for n in range(chance.randrange(3)):
        on = day + timedelta(days=chance.choice((-2, -1, 0, 0, 1, 2, 3)))
        yield _professional(
            f"{name}p{n}", on, dx, chance.choice(("99283", "99285", "99214")), chance.choice(("23", "11"))
        )
    if chance.random() < 0.3:
        again = day + timedelta(days=chance.choice((1, 1, 2)))
        other = chance.choice(("H1", "H2"))
        yield _facility(f"{name}g", again, dx, chance.choice(REVENUE), other, "outpatient", type_of_bill="131")
    if chance.random() < 0.3:
        inside = day + timedelta(days=chance.choice((0, 1, 2)))
        yield from _stay(chance, f"{name}s", inside, cancer)


def _stay(chance: Random, name: str, day: date, cancer: str) -> Iterator[tuple[str, dict[str, Any]]]:
    through, facility = day + timedelta(days=chance.randrange(9)), chance.choice(("H1", "H2"))
    bill = chance.choice(("111", "0111", "112", "121", None))
    told: dict[str, Any] = {"admitted_on": day.isoformat(), "through_on": through.isoformat()}
    told |= {"discharged_on": through.isoformat()} if bill != "112" else {}
    revenue = chance.choice(("0120", "0120", "0450"))
    yield _facility(f"{name}a", day, cancer, revenue, facility, "inpatient", type_of_bill=bill, **told)
    if bill == "112":
        for n, kind in enumerate(("113", "114")):
            begin = through + timedelta(days=chance.choice((1, 1, 4)))
            through = begin + timedelta(days=chance.randrange(9))
            more = {
                "admitted_on": day.isoformat(),
                "through_on": through.isoformat(),
                "discharged_on": through.isoformat(),
            }
            yield _facility(f"{name}b{n}", begin, cancer, "0120", facility, "inpatient", type_of_bill=kind, **more)
    if chance.random() < 0.4:
        begin = through + timedelta(days=chance.choice((0, 1, 2)))
        end = begin + timedelta(days=3)
        more = {"admitted_on": begin.isoformat(), "through_on": end.isoformat(), "discharged_on": end.isoformat()}
        other = chance.choice(("H1", "H2"))
        yield _facility(f"{name}t", begin, cancer, "0120", other, "inpatient", type_of_bill="111", **more)


def _drug(chance: Random, name: str, day: date, cancer: str) -> tuple[str, dict[str, Any]]:
    more: dict[str, Any] = {"units": str(chance.randrange(1, 60)), "denied": chance.random() < 0.1}
    more["modifiers"] = chance.choice(([], [], ["JZ"], ["JW"]))
    return _professional(name, day, cancer, chance.choice(DRUGS), "11", **more)
