"""A practice's data as the FHIR Bundle of CMS's EOM interface (`POST /fhir/Bundle/$submit`), and the checks of both.

Profiles and rules are those of the EOM FHIR guide (CDE v2.2): Patient with its MBI, Condition of the primary cancer,
Observations of disease status, spread, TNM categories and markers, each `final`; beside them a MeasureReport for each
measure that the practice counts. Within the document a patient is a number: the platform's token goes nowhere.

The guide does not say how several patients stand in one submission, nor how measures and sociodemographic elements do:
here all stand in one collection, the latter as US Core has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.submission import Element, Reported
from formats.fhir_check import findings

Resource = dict[str, Any]

PROFILES = "https://globalalliantinc.com/enhancing-oncology-model/StructureDefinition/"
MBI_SYSTEM = "http://hl7.org/fhir/sid/us-mbi"
SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_A, _N = "[AC-HJKMNP-RT-Y]", "[0-9]"
_AN = "[AC-HJKMNP-RT-Y0-9]"
MBI = re.compile(f"[1-9]{_A}{_AN}{_N}{_A}{_AN}{_N}{_A}{_A}{_N}{_N}")
ENTITY = re.compile(r"EOM-PGP-[0-9A-Z]{4}")
_MARKERS = {"er": "85337-4", "pr": "85339-0", "her2": "85319-2"}
_TNM = {
    "tnm_t": ("399504009", "eom-tnm-primary-tumor-category"),
    "tnm_n": ("399534004", "eom-tnm-regional-node-category"),
    "tnm_m": ("399387003", "eom-tnm-distant-metastasis-category"),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a patient is, opened for this document alone. `about` are the answers of sociodemographic elements asked."""

    mbi: str = field(repr=False)
    family_name: str = field(repr=False)
    given_name: str = field(repr=False)
    birth_date: str = field(repr=False)
    about: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def lacks(self) -> tuple[str, ...]:
        """What of the patient is asked for and not known, or is not of its form."""
        told = {"family_name": self.family_name, "given_name": self.given_name, "birth_date": self.birth_date}
        unformed = () if MBI.fullmatch(self.mbi) else ("mbi",)
        return (*unformed, *(name for name, value in told.items() if not value))


def patient_resources(number: int, identity: Identity, one: Reported) -> Iterator[Resource]:
    """One patient's resources; what is not known is left out."""
    patient = f"patient-{number}"
    yield _patient(patient, identity, one)
    condition = f"condition-{number}"
    yield _condition(condition, patient, one)
    made = _Observations(number, patient, condition)
    elements = one.elements
    if trend := elements.get("status_trend"):
        yield made.observation(
            "eom-cancer-disease-status", LOINC, "97509-4", trend, valueCodeableConcept=_concept(SNOMED, trend.value)
        )
    if spread := elements.get("ever_metastatic"):
        yield made.observation(
            "eom-history-of-metastatic-cancer", SNOMED, "1287652008", spread, valueBoolean=spread.value == "true"
        )
    for name, (code, profile) in _TNM.items():
        if found := elements.get(name):
            system = SNOMED if found.value.isdecimal() else "http://cancerstaging.org"
            yield made.observation(profile, SNOMED, code, found, valueCodeableConcept=_concept(system, found.value))
    for name, code in _MARKERS.items():
        if found := elements.get(name):
            value = _concept(LOINC, found.value)
            yield made.observation("eom-tumor-marker-test", LOINC, code, found, valueCodeableConcept=value)
    if orientation := identity.about.get("sexual_orientation"):
        code, value = "76690-7", {"text": orientation}
        yield made.observation("", LOINC, code, Element("", one.ends_on), valueCodeableConcept=value)


def _patient(name: str, identity: Identity, one: Reported) -> Resource:
    about = identity.about
    extensions: list[Resource] = []
    if races := about.get("race"):
        parts = [{"url": "ombCategory", "valueCoding": _coding("urn:oid:2.16.840.1.113883.6.238", r)} for r in races]
        extensions.append(
            {"url": f"{US_CORE}us-core-race", "extension": [*parts, {"url": "text", "valueString": ", ".join(races)}]}
        )
    if ethnicity := about.get("ethnicity"):
        parts = [{"url": "ombCategory", "valueCoding": _coding("urn:oid:2.16.840.1.113883.6.238", ethnicity)}]
        extensions.append(
            {"url": f"{US_CORE}us-core-ethnicity", "extension": [*parts, {"url": "text", "valueString": ethnicity}]}
        )
    if gender := about.get("gender_identity"):
        extensions.append({"url": f"{US_CORE}us-core-genderIdentity", "valueCodeableConcept": {"text": gender}})
    made: Resource = {
        "resourceType": "Patient",
        "id": name,
        "meta": {"profile": [f"{PROFILES}eom-cancer-patient"]},
        "identifier": [{"system": MBI_SYSTEM, "value": identity.mbi}],
        "name": [{"family": identity.family_name, "given": [identity.given_name]}],
        "gender": one.sex,
        "birthDate": identity.birth_date,
    }
    if extensions:
        made["extension"] = extensions
    if one.died_on:
        made["deceasedDateTime"] = one.died_on
    if language := about.get("language"):
        made["communication"] = [{"language": _concept("urn:ietf:bcp:47", language)}]
    return {key: value for key, value in made.items() if value != ""}


def _condition(name: str, patient: str, one: Reported) -> Resource:
    elements, extensions = one.elements, []
    if histology := elements.get("histology"):
        value = _concept(f"{TERMINOLOGY}icd-o-3", histology.value)
        extensions.append({"url": f"{MCODE}mcode-histology-morphology-behavior", "valueCodeableConcept": value})
    if first := elements.get("initial_diagnosis"):
        url = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate"
        extensions.append({"url": url, "valueDateTime": first.observed_on})
    made: Resource = {
        "resourceType": "Condition",
        "id": name,
        "meta": {"profile": [f"{PROFILES}eom-primary-cancer-condition"]},
        "verificationStatus": _concept(f"{TERMINOLOGY}condition-ver-status", "confirmed"),
        "category": [_concept(f"{TERMINOLOGY}condition-category", "problem-list-item")],
        "subject": {"reference": f"Patient/{patient}"},
    }
    if recurrence := elements.get("recurrence"):
        made["clinicalStatus"] = _concept(f"{TERMINOLOGY}condition-clinical", recurrence.value)
    if one.diagnosis:
        made["code"] = _concept("http://hl7.org/fhir/sid/icd-10-cm", _dotted(one.diagnosis))
    return made | ({"extension": extensions} if extensions else {})


@dataclass
class _Observations:
    number: int
    patient: str
    condition: str
    made: int = 0

    def observation(self, profile: str, system: str, code: str, element: Element, **value: Any) -> Resource:
        """A final observation of the patient."""
        self.made += 1
        found: Resource = {
            "resourceType": "Observation",
            "id": f"observation-{self.number}-{self.made}",
            "status": "final",
            "code": _concept(system, code),
            "subject": {"reference": f"Patient/{self.patient}"},
            "effectiveDateTime": element.observed_on,
            **value,
        }
        if profile:
            found |= {"meta": {"profile": [f"{PROFILES}{profile}"]}}
            found |= {"focus": [{"reference": f"Condition/{self.condition}"}]}
        return found


def measure_report(
    measure: str, counted: tuple[int, int], practice: str, period: tuple[str, str], made_at: str
) -> Resource:
    """A measure as the practice counts it, without any patient."""
    populations = zip(("numerator", "denominator"), counted, strict=True)
    return {
        "resourceType": "MeasureReport",
        "id": f"measure-{measure.lower()}",
        "status": "complete",
        "type": "summary",
        "measure": f"urn:carepact:eom:measure:{measure}",
        "date": made_at,
        "reporter": {"identifier": {"system": "urn:oid:2.16.840.1.113883.4.4", "value": practice}},
        "period": {"start": period[0], "end": period[1]},
        "group": [
            {
                "population": [
                    {"code": _concept(f"{TERMINOLOGY}measure-population", name), "count": count}
                    for name, count in populations
                ]
            }
        ],
    }


def bundle(resources: Iterable[Resource], made_at: str) -> Resource:
    """The document; `made_at` is an instant with its zone."""
    entries = [{"fullUrl": f"urn:carepact:eom:{one['resourceType']}:{one['id']}", "resource": one} for one in resources]
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [f"{PROFILES}eom-patient-bundle"]},
        "type": "collection",
        "timestamp": made_at,
        "entry": entries,
    }


def wrong(document: Resource, windows: Sequence[tuple[str, str]] = ()) -> tuple[str, ...]:
    """What FHIR's schema and the model's own rules have against a document, without any value of it.

    `windows` are the episodes' first and last days, patient by patient: a status is to be of these days.
    """
    found = list(findings(document))
    for entry in document["entry"]:
        one = entry["resource"]
        name = one["id"]
        found += [f"{name}:{finding}" for finding in findings(one)]
        if one["resourceType"] == "Observation" and one["status"] != "final":
            found.append(f"{name}:status")
        if one["resourceType"] == "Patient" and not MBI.fullmatch(one["identifier"][0].get("value", "")):
            found.append(f"{name}:mbi")
        if windows and "eom-cancer-disease-status" in str(one.get("meta")):
            first, last = windows[int(name.split("-")[1]) - 1]
            if not first <= one["effectiveDateTime"] <= last:
                found.append(f"{name}:effectiveDateTime")
    return tuple(found)


def _dotted(code: str) -> str:
    return f"{code[:3]}.{code[3:]}" if len(code) > 3 else code


def _coding(system: str, code: str) -> Resource:
    return {"system": system, "code": code}


def _concept(system: str, code: str) -> Resource:
    return {"coding": [_coding(system, code)]}
