"""What was measured as FHIR R4 MeasureReports of HL7's Da Vinci Value-Based Performance Reporting (STU 1.0.0).

One collection: a performance MeasureReport for each period, of the contract, with its figures in groups; and for each
proportion of people of which it is said whether more is better, a quality MeasureReport, which the performance report
names. What is withheld is masked: no count, no score, and an extension of ours with the interval, as the report itself
says it. What leaves here was checked by `fhir.resources` against the base resources, and by `vbpr_profiles` against
what the two profiles ask for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from formats.vbpr_profiles import DEQM, GUIDE, TERMS, violations

Resource = dict[str, Any]
Interval = tuple[int | None, int | None]

CATEGORY: Final = {
    "url": "http://hl7.org/fhir/StructureDefinition/measurereport-category",
    "valueCodeableConcept": {
        "coding": [{"system": "http://hl7.org/fhir/CodeSystem/measurereport-category", "code": "vbp"}]
    },
}
MASKED: Final = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}
WITHHELD: Final = "urn:carepact:fhir:withheld"


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure of a period. Of people: counts; of a share: `value` alone; of a sum: `total` in `unit`.

    What is withheld is None, with its interval. `lower`: less is better; None: neither.
    """

    metric: str
    title: str
    version: str
    stratum: str = ""
    unit: str = "people"
    numerator: int | None = None
    denominator: int | None = None
    value: str | None = None
    hidden_numerator: Interval | None = None
    hidden_denominator: Interval | None = None
    lower: bool | None = None

    @property
    def is_quality(self) -> bool:
        """Whether it is a proportion with a better and a worse, which alone a quality report may tell."""
        return self.unit == "people" and self.lower is not None

    @property
    def key(self) -> str:
        """Its name in references."""
        return re.sub(r"[^A-Za-z0-9.-]", "-", f"{self.metric}-{self.stratum}".strip("-"))


@dataclass(frozen=True, slots=True)
class Contract:
    """Whose performance it is, who tells of it, under which contract, and when."""

    payer: str
    subject: str
    subject_name: str
    contract: str
    version: str
    as_of: str


def bundle(contract: Contract, periods: Iterable[tuple[str, str, Sequence[Measured]]]) -> Resource:
    """The collection, checked. Ids follow from contract, period and figure: the same figures are the same bytes."""
    resources: list[Resource] = [
        {"resourceType": "Organization", "id": "reporter", "active": True, "name": contract.payer},
        {"resourceType": "Organization", "id": "subject", "active": True, "name": contract.subject_name},
    ]
    for first, last, measured in periods:
        qualities = [_quality(contract, first, last, one) for one in measured if one.is_quality]
        others = [one for one in measured if not one.is_quality]
        resources.append(_performance(contract, first, last, others, [report["id"] for report in qualities]))
        resources += qualities
    document = {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": f"{contract.as_of}T00:00:00Z",
        "entry": [{"fullUrl": _url(contract, one["resourceType"], one["id"]), "resource": one} for one in resources],
    }
    check(document)
    return document


def check(document: Mapping[str, Any]) -> None:
    """`ValueError` where the base resources of FHIR R4, or the profiles, have something against a document."""
    models: Any = import_module("fhir.resources.R4B.bundle")  # R4's MeasureReport is R4B's; it takes a second to load
    models.Bundle.model_validate(document)
    if found := [*violations(document)]:
        raise ValueError("; ".join(found))


def _url(contract: Contract, kind: str, name: str) -> str:
    return f"urn:uuid:{uuid5(NAMESPACE_URL, f'carepact|{contract.payer}|{contract.subject}|{kind}|{name}')}"


def _reference(contract: Contract, kind: str, name: str) -> Resource:
    return {"reference": _url(contract, kind, name)}


def _report(contract: Contract, name: str, profile: str, measure: str, period: tuple[str, str]) -> Resource:
    subject = {
        "extension": [
            {
                "url": f"{GUIDE}organization-subject",
                "valueReference": _reference(contract, "Organization", "subject"),
            }
        ],
        "display": contract.subject_name,
    }
    return {
        "resourceType": "MeasureReport",
        "id": name[:64],
        "meta": {"profile": [f"{GUIDE}{profile}"]},
        "extension": [CATEGORY],
        "status": "complete",
        "type": "summary",
        "measure": measure,
        "subject": subject,
        "date": contract.as_of,
        "reporter": _reference(contract, "Organization", "reporter"),
        "period": {"start": period[0], "end": period[1]},
    }


def _performance(
    contract: Contract, first: str, last: str, sums: Sequence[Measured], qualities: Sequence[str]
) -> Resource:
    name = f"performance-{first}"
    measure = f"urn:carepact:contract:{contract.contract}|{contract.version}"
    report = _report(contract, name, "vbp-performance-measurereport", measure, (first, last))
    if sums:
        report["group"] = [_group(one) for one in sums]
    if qualities:
        report["evaluatedResource"] = [_reference(contract, "MeasureReport", quality) for quality in qualities]
    return report


def _group(one: Measured) -> Resource:
    found: Resource = {"id": one.key, "code": _code(one)}
    if one.unit in ("people", "percent"):
        return found | _proportion(one)
    if one.numerator is None:
        found["measureScore"] = {"extension": list(_masked(one.hidden_numerator))}
    elif one.unit == "cents":
        money = {"value": float(Decimal(one.numerator) / 100), "currency": "USD"}
        found["measureScore"] = {"extension": [{"url": f"{GUIDE}alternate-measurescore", "valueMoney": money}]}
    else:
        found["measureScore"] = {"value": one.numerator, "unit": one.unit}
    return found


def _quality(contract: Contract, first: str, last: str, one: Measured) -> Resource:
    name, measure = f"quality-{first}-{one.key}", f"urn:carepact:measure:{one.metric}|{one.version}"
    report = _report(contract, name, "vbp-quality-measurereport", measure, (first, last))
    scoring = {"coding": [{"system": f"{TERMS}measure-scoring", "code": "proportion"}]}
    report["extension"].insert(0, {"url": f"{DEQM}extension-measureScoring", "valueCodeableConcept": scoring})
    notation = {"system": f"{TERMS}measure-improvement-notation", "code": "decrease" if one.lower else "increase"}
    report["improvementNotation"] = {"coding": [notation]}
    report["group"] = [{"code": _code(one)} | _proportion(one)]
    return report


def _proportion(one: Measured) -> Resource:
    """Counts of people, if there are any, and the rate."""
    group: Resource = {}
    if one.unit == "people":
        counted = ("numerator", one.numerator, one.hidden_numerator), (
            "denominator", one.denominator, one.hidden_denominator,
        )  # fmt: skip
        group["population"] = [_population(*each) for each in counted if each[1:] != (None, None)]
    if one.value is not None:
        group["measureScore"] = {"value": float(Decimal(one.value))}
    elif one.unit == "percent":
        group["measureScore"] = {"extension": list(_masked(one.hidden_numerator))}
    return group


def _population(code: str, count: int | None, hidden: Interval | None) -> Resource:
    found: Resource = {"code": {"coding": [{"system": f"{TERMS}measure-population", "code": code}]}}
    if count is None:
        found["_count"] = {"extension": list(_masked(hidden))}
    else:
        found["count"] = count
    return found


def _masked(hidden: Interval | None) -> Iterator[Resource]:
    yield dict(MASKED)
    if hidden is not None:
        bounds = {
            name: {"value": bound} for name, bound in zip(("low", "high"), hidden, strict=True) if bound is not None
        }
        yield {"url": WITHHELD, "valueRange": bounds}


def _code(one: Measured) -> Resource:
    coding = {"system": "urn:carepact:metric", "version": one.version, "code": one.key}
    return {"coding": [coding], "text": f"{one.title}: {one.stratum}" if one.stratum else one.title}
