"""What Da Vinci VBPR's profiles (STU 1.0.0) ask of a MeasureReport beyond FHIR R4: cardinalities, fixed values, rules.

Of `vbp-performance-measurereport` its differential; of `vbp-quality-measurereport` what it takes from DEQM's summary
MeasureReport (STU 4), with the rules deqm-2 (a proportion says whether more is better), deqm-3 (scoring is said once)
and deqm-5 (what is scored has a population). Bindings of codes are extensible there, so that codes of ours are allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Resource = Mapping[str, Any]

GUIDE: Final = "http://hl7.org/fhir/us/davinci-vbpr/StructureDefinition/"
DEQM: Final = "http://hl7.org/fhir/us/davinci-deqm/StructureDefinition/"
TERMS: Final = "http://terminology.hl7.org/CodeSystem/"
PERFORMANCE, QUALITY = f"{GUIDE}vbp-performance-measurereport", f"{GUIDE}vbp-quality-measurereport"
CATEGORY: Final = "http://hl7.org/fhir/StructureDefinition/measurereport-category"
SUBJECT, ALTERNATE, SCORING = (
    f"{GUIDE}organization-subject",
    f"{GUIDE}alternate-measurescore",
    "extension-measureScoring",
)
SCORES = ("valueDecimal", "valueInteger", "valueMoney", "valueString")


def violations(document: Resource) -> Iterator[str]:
    """What each MeasureReport of a bundle has against its profile, by its id."""
    known = {entry["fullUrl"]: entry["resource"] for entry in document["entry"]}
    for one in known.values():
        if one["resourceType"] == "MeasureReport":
            profiles = one.get("meta", {}).get("profile", ())
            found = [*_both(one, known)]
            if PERFORMANCE in profiles:
                found += _performance(one, known)
            elif QUALITY in profiles:
                found += _quality(one)
            else:
                found.append("meta.profile: neither profile is named")
            yield from (f"{one['id']}: {words}" for words in found)


def _both(one: Resource, known: Mapping[str, Resource]) -> Iterator[str]:
    categories = _extensions(one, CATEGORY)
    codes = [coding["code"] for each in categories for coding in each["valueCodeableConcept"]["coding"]]
    if codes != ["vbp"]:
        yield "extension measurereport-category: once, with the code vbp"
    if one.get("type") != "summary":
        yield "type: summary"
    for name in ("measure", "date", "reporter", "period"):
        if not one.get(name):
            yield f"{name}: required"
    if _kind(one.get("reporter", {}), known) != "Organization":
        yield "reporter: an Organization of the bundle"
    if not {"start", "end"} <= one.get("period", {}).keys():
        yield "period: start and end"
    for score in _scores(one):
        if not score.keys() & {"value", "extension"}:
            yield "measureScore: a value, or why there is none"


def _performance(one: Resource, known: Mapping[str, Resource]) -> Iterator[str]:
    subjects = _extensions(one.get("subject", {}), SUBJECT)
    if len(subjects) != 1 or _kind(subjects[0].get("valueReference", {}), known) != "Organization":
        yield "subject: one organization-subject, an Organization of the bundle"
    if "improvementNotation" in one:
        yield "improvementNotation: not in a performance report"
    for group in one.get("group", ()):
        if not group.get("id") or not group.get("code"):
            yield "group: an id and a code"
    for score in _scores(one):
        alternates = _extensions(score, ALTERNATE)
        if len(alternates) > 1 or any(not each.keys() & {*SCORES} for each in alternates):
            yield "alternate-measurescore: once, of a type it may have"
    for each in one.get("evaluatedResource", ()):
        if QUALITY not in known.get(each["reference"], {}).get("meta", {}).get("profile", ()):
            yield "evaluatedResource: a quality report of the bundle"


def _quality(one: Resource) -> Iterator[str]:
    groups = one.get("group", ())
    root = _extensions(one, DEQM + SCORING)
    if bool(root) == (bool(groups) and all(_extensions(group, DEQM + SCORING) for group in groups)):
        yield "extension-measureScoring: of the report, or of each group (deqm-3)"
    codes = {coding["code"] for each in root for coding in each["valueCodeableConcept"]["coding"]}
    if codes & {"proportion", "ratio", "continuous-variable"} and not one.get("improvementNotation"):
        yield "improvementNotation: required of a proportion (deqm-2)"
    if "composite" not in codes and any(not group.get("population") for group in groups):
        yield "group.population: one or more (deqm-5)"
    for group in groups:
        for population in group.get("population", ()):
            if not population.get("code") or not population.keys() & {"count", "_count"}:
                yield "group.population: a code, and a count or why there is none"


def _scores(one: Resource) -> list[Resource]:
    return [group["measureScore"] for group in one.get("group", ()) if "measureScore" in group]


def _extensions(element: Resource, url: str) -> Sequence[Resource]:
    return [each for each in element.get("extension", ()) if each["url"] == url]


def _kind(reference: Resource, known: Mapping[str, Resource]) -> str:
    found: Resource = known.get(reference.get("reference", ""), {})
    return str(found.get("resourceType", ""))
