"""Twelve invented practices: who takes part in the model, from when, and who does not."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Practice:
    """A practice by its TIN; `spans` are (from, through or '', takes part), in the order in which they were told."""

    tin: str
    name: str
    spans: tuple[tuple[str, str, bool], ...]
    cohort: int = 1
    weight: int = 10


_ALWAYS = (("2023-07-01", "", True),)
PRACTICES: tuple[Practice, ...] = (
    Practice("571000014", "Congaree Cancer Specialists", _ALWAYS),
    Practice("571000027", "Edisto Hematology Oncology", _ALWAYS),
    Practice("571000031", "Saluda Oncology Group", _ALWAYS),
    Practice("571000048", "Lowcountry Infusion Partners", _ALWAYS),
    Practice("571000052", "Pee Dee Cancer Care", _ALWAYS),
    Practice("571000069", "Blue Ridge Oncology Associates", _ALWAYS),
    Practice("571000073", "Santee Blood and Cancer", _ALWAYS),
    Practice("571000086", "Catawba Medical Oncology", _ALWAYS),
    Practice("571000095", "Waccamaw Cancer Institute", (("2025-07-01", "", True),), cohort=2, weight=4),
    Practice("571000107", "Ashley River Oncology", (("2023-07-01", "", True), ("2025-01-01", "", False)), weight=6),
    Practice("571000118", "Keowee Oncology", (("2023-07-01", "", False),), weight=3),
    Practice("571000123", "Wateree Medical Group", (("2023-07-01", "", False),), weight=3),
)
TAKING_PART = PRACTICES[:8]
NOT_TAKING_PART = PRACTICES[10:]
_WEIGHTS = tuple(p.weight for p in PRACTICES)


HOSPITAL = "570000990"
CENTER, OUTSIDE = "570000444", "570000555"
"""A hospital; a centre of excellence; a practice outside employers' networks."""
STANDARDS = (
    "omh/responsibilities", "omh/health-assessment", "omh/pathways", "omh/support", "omh/quality",
)  # fmt: skip


def any_practice(rng: Random) -> Practice:
    """A practice by its share of patients."""
    return rng.choices(PRACTICES, _WEIGHTS)[0]


def broadcasts() -> list[bytes]:
    """What the operator tells every log of them, as CloudEvents."""
    lines = []
    for practice in PRACTICES:
        for i, (start, through, participates) in enumerate(practice.spans, 1):
            data: dict[str, Any] = {"practice": practice.tin, "from_on": start, "participates": participates}
            if through:
                data["through_on"] = through
            if participates:
                data["cohort"] = practice.cohort
            data["name"] = practice.name
            event = {
                "specversion": "1.0",
                "id": f"practice-{practice.tin}-{i}",
                "source": "practices",
                "type": "carepact.PracticeParticipationChanged.v1",
                "time": f"2023-06-0{i}T12:00:00Z",
                "data": data,
            }
            lines.append(orjson.dumps(event))
    return lines


def evidence() -> list[bytes]:
    """What practices show of their redesign activities and agreed, and employers' networks, as CloudEvents."""
    told: list[tuple[str, dict[str, Any]]] = []
    for number, practice in enumerate(TAKING_PART):
        activities = ("certified_ehr", "epro", "hrsn", "guidelines", "quality_improvement", "access", "navigation",
                      "care_plan")  # fmt: skip
        shown = activities[:2] if number % 2 else activities[: 8 - number]
        for activity in shown:
            data = {"activity": activity, "evidence": "attestation", "from_on": "2023-07-01"}
            told.append(("RedesignActivityEvidenced", {"practice": practice.tin, **data}))
        for standard in STANDARDS if number % 2 else ():
            data = {"standard": standard, "evidence": "recognition", "from_on": "2023-07-01"}
            told.append(("RedesignActivityEvidenced", {"practice": practice.tin, **data}))
        if number < 3:
            share = {"partner": HOSPITAL, "share": "0.05", "from_on": "2024-01-01"}
            told.append(("CarePartnerArranged", {"practice": practice.tin, **share}))
            offered = {"enhancement": "telehealth", "from_on": "2023-07-01"}
            told.append(("BenefitEnhancementElected", {"practice": practice.tin, **offered}))
    lists = [("center_of_excellence", CENTER), ("network", HOSPITAL), ("network", CENTER)]
    lists += [("network", practice.tin) for practice in PRACTICES]
    lists += [("network", other) for other in ("570000770", "570000880", "570000881")]
    lists += [("medical_home", practice.tin) for practice in PRACTICES[:3]]
    told += [
        ("NetworkRosterChanged", {"roster": roster, "provider": tin, "tin": tin, "from_on": "2023-07-01"})
        for roster, tin in lists
    ]
    return [_told(number, kind, data) for number, (kind, data) in enumerate(told, 1)]


def _told(number: int, kind: str, data: dict[str, Any]) -> bytes:
    if kind == "RedesignActivityEvidenced":
        data = {"record_id": f"evidence-{number}", **data}
    event = {
        "specversion": "1.0",
        "id": f"evidence-{number}",
        "source": "practices",
        "type": f"carepact.{kind}.v1",
        "time": "2023-06-09T12:00:00Z",
        "data": data,
    }
    return orjson.dumps(event)
