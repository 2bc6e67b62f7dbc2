"""What a practice reports of a patient's episode: clinical elements (CDE v2.2), and the visits its measures are of.

Which elements are asked for is data of the term sheet, by cancer type. An element is what was recorded last by the
episode's end; the clinical status must be of the episode's own days. Who the patient is stands in the sealed part of
the log, which nothing here opens.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from contracts.claims import survivors
from contracts.envelope import Fact
from contracts.evidence import CodeSets, of_claim
from contracts.evolving import CLAIMS
from contracts.parts import Family
from contracts.readiness import HEARD as OF_READINESS
from contracts.readiness import Patient
from contracts.reported_measures import Seen
from contracts.terms import TermSheet

HEARD = OF_READINESS | CLAIMS | {"carepact.ClinicalFactRecorded.v1"}
TRENDS = {
    "improved": "268910001",
    "stable": "359746009",
    "worsened": "271299001",
    "undetermined": "709137006",
    "full_remission": "103338009",
    "partial_remission": "103337004",
    "distant_metastasis": "399409002",
}
"""The seven answers to how the condition goes, as SNOMED CT has them; either may be recorded."""
RECURRENCE = {
    "no": "active", "active": "active", "recurrence": "recurrence", "yes": "recurrence", "relapse": "relapse",
    "remission": "remission", "resolved": "resolved",
}  # fmt: skip
MARKERS = {
    "positive": "LA6576-8",
    "negative": "LA6577-6",
    "indeterminate": "LA11884-6",
    "not_tested": "LA13538-6",
}
YES_NO = {"yes": "true", "no": "false", "true": "true", "false": "false", "positive": "true", "negative": "false"}
_CODED: dict[str, dict[str, str]] = {
    "status_trend": TRENDS,
    "recurrence": RECURRENCE,
    "ever_metastatic": YES_NO,
    **dict.fromkeys(("er", "pr", "her2"), MARKERS),
}


@dataclass(frozen=True, slots=True)
class Element:
    """A clinical element as it is reported, and the day it was observed."""

    value: str
    observed_on: str


@dataclass(frozen=True, slots=True)
class Reported:
    """An episode as it is reported. `lacks` are the elements that are asked for and not known."""

    member: str
    cancer_type: str
    diagnosis: str
    started_on: str
    ends_on: str
    sex: str
    died_on: str
    elements: dict[str, Element]
    lacks: tuple[str, ...]


@dataclass(slots=True)
class Record:
    """A member's facts as far as read."""

    patient: Patient = field(default_factory=Patient)
    responses: dict[str, Any] = field(default_factory=dict)
    clinical: dict[str, Any] = field(default_factory=dict)
    families: dict[str, Family] = field(default_factory=dict)
    diagnoses: Counter[str] = field(default_factory=Counter)
    sex: str = "unknown"


class Records:
    """The members of a practice, under its contract's terms."""

    def __init__(self, sheet: TermSheet) -> None:
        self.sheet = sheet
        self.codes = CodeSets(sheet)
        self.of: dict[str, Record] = {}

    def hear(self, fact: Fact) -> None:
        """The next fact about a member, each once and in order."""
        record = self.of.setdefault(fact.member, Record())
        data = fact.data
        record.patient.hear(fact.type, data, fact.ref)
        match fact.type:
            case kind if kind in CLAIMS:
                claim = of_claim(fact, self.codes, frozenset(), medicare=True)
                record.families.setdefault(data.family, Family()).records.append(claim)
                lines = () if kind == "carepact.PharmacyClaimReceived.v1" else data.lines
                record.diagnoses.update(code for one in (*lines,) for code in one.diagnoses[:1])
            case "carepact.EproResponseReceived.v1":
                record.responses.pop(data.response_id, None)
                if data.status != "entered_in_error":
                    record.responses[data.response_id] = data
            case "carepact.ClinicalFactRecorded.v1":
                record.clinical.pop(data.record_id, None)
                if data.status != "entered_in_error":
                    record.clinical[data.record_id] = data
            case "carepact.MemberDescribed.v1":
                record.sex = data.sex or record.sex

    def reported(self, member: str, cancer_type: str, started_on: str, ends_on: str) -> Reported:
        """An episode's elements."""
        record = self.of.get(member, Record())
        asked = [
            name
            for name, cancers in self.sheet.codes("clinical_elements").items()
            if cancers == "all" or cancer_type in cancers.split()
        ]
        found = {name: _element(record, name, started_on, ends_on) for name in asked}
        elements = {name: element for name, element in found.items() if element is not None}
        diagnosis = self._diagnosis(record, cancer_type)
        lacks = [name for name, element in found.items() if element is None]
        died = record.patient.died_on
        return Reported(
            member, cancer_type, diagnosis, started_on, ends_on, record.sex, died if died <= ends_on else "", elements,
            tuple(sorted([*lacks, *(["diagnosis"] if not diagnosis else [])])),
        )  # fmt: skip

    def _diagnosis(self, record: Record, cancer_type: str) -> str:
        """The cancer's code: the practice's own where it recorded one of the type, else the one billed most."""
        own = [data.diagnosis for data in record.clinical.values() if data.diagnosis]
        for code in reversed(own):
            if self.codes.cancer(code) == cancer_type:
                return str(code)
        billed = [(-n, code) for code, n in record.diagnoses.items() if self.codes.cancer(code) == cancer_type]
        return min(billed)[1] if billed else ""

    def seen(self, member: str, practice: str, started_on: str, ends_on: str) -> Seen:
        """The episode's visits at the practice, and what the patient told and was offered."""
        record = self.of.get(member, Record())
        visits = {
            key[:10]
            for family in record.families.values()
            for at, unit in survivors(family.records)
            for bucket, _, key, _ in family.records[at].units[unit].evidence
            if bucket == "visits" and started_on <= key[:10] <= ends_on and key.split("|")[1] == practice
        }
        return Seen(started_on, tuple(sorted(visits)), record.responses.values(), record.patient.contacts.values())


def _element(record: Record, name: str, started_on: str, ends_on: str) -> Element | None:
    """What was observed last by the episode's end, as it is reported; None where that is no answer to it.

    That a cancer has ever spread stays true.
    """
    first = started_on if name == "status_trend" else ""
    found = [
        (data.observed_on.isoformat(), n, data.value)
        for n, data in enumerate(record.clinical.values())
        if data.element == name and first <= data.observed_on.isoformat() <= ends_on
    ]
    if not found:
        return None
    coded = _CODED.get(name)
    told = [(day, _as_reported(coded, value)) for day, _, value in sorted(found)]
    day, value = told[-1]
    if name == "ever_metastatic":
        day, value = next(((d, v) for d, v in told if v == "true"), (day, value))
    return Element(value, day) if value else None


def _as_reported(coded: dict[str, str] | None, value: str) -> str:
    if coded is None:
        return value
    return value if value in coded.values() else coded.get(value, "")
