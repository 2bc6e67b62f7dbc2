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
