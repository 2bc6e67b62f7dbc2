"""Which codes of a claim are unknown: of no form that their system has, or in no table on the day of service.

Diagnoses are held against ICD-10-CM by release and places of service against CMS's list, both dated. CPT, the codes of
revenue centres and bills, and drugs belong to others or change by the day: there the form is held, as their rules of
numbering have it, and the end of a code where a value set of the contracts knows it (99201 ended with 2020).
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterable, Iterator
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Final

from contracts.events import ClaimLine, InstitutionalClaimReceived, PharmacyClaimReceived, ProfessionalClaimReceived

AnyClaim = ProfessionalClaimReceived | InstitutionalClaimReceived | PharmacyClaimReceived

_ICD10_FROM: Final = date(2015, 10, 1)
_SERVICE: Final = re.compile(r"(?!000)[0-9]{5}|000[1-9][0-9]|[0-9]{4}[AFMTU]|[A-EGHJ-MP-V][0-9]{4}")
"""CPT in its three categories, laboratory and administration codes, and HCPCS level II by its letters in use."""
_RATE: Final = frozenset(("0022", "0023", "0024"))
"""Revenue centres whose lines have a rate code (HIPPS) where others have a service."""
_REVENUE: Final = re.compile(r"0001|002[2-4]|0[1-9][0-9]{2}|100[0-9]|210[0-9]|310[0-9]")
_BILL: Final = re.compile(r"0?[1-8][1-9][0-9A-Z]")
_MODIFIER: Final = re.compile(r"[0-9A-Z]{2}")
_ICD10_PROCEDURE: Final = re.compile(r"[0-9B-DF-HX][0-9A-HJ-NP-Z]{6}")
_ICD9_PROCEDURE: Final = re.compile(r"[0-9]{3,4}")
_DRG: Final = re.compile(r"(?!0+$)[0-9]{3,4}")
_ENDED_IN: Final = ("evaluation_and_management", "car_t", "initiating_therapies_hcpcs", "biosimilars", "metric_codes")

Days = tuple[date, date | None]


def codes_of(claim: AnyClaim) -> Iterator[tuple[str, str, bool]]:
    """Each code of a claim: its kind, the code, and whether it is known. A line's diagnoses count where new."""
    if isinstance(claim, PharmacyClaimReceived):
        yield from _drug(claim.ndc)
        return
    through = claim.through_on
    yield from _diagnoses(() if claim.source_diagnoses else claim.diagnoses, through)
    if isinstance(claim, InstitutionalClaimReceived):
        form = _ICD10_PROCEDURE if through >= _ICD10_FROM else _ICD9_PROCEDURE
        yield from (("procedure", code, bool(form.fullmatch(code))) for code in claim.procedures)
        yield from _formed("type_of_bill", claim.type_of_bill, _BILL)
        yield from _formed("drg", claim.drg, _DRG)
    for line in claim.lines:
        if not line.source_diagnoses:
            on = through if isinstance(claim, InstitutionalClaimReceived) else line.service_on
            yield from _diagnoses((code for code in line.diagnoses if code not in claim.diagnoses), on)
        yield from _services(line)


def _services(line: ClaimLine) -> Iterator[tuple[str, str, bool]]:
    if line.code is not None:
        yield "service", line.code, line.revenue_center in _RATE or service_known(line.code, line.service_on)
    yield from (("modifier", code, bool(_MODIFIER.fullmatch(code))) for code in line.modifiers)
    yield from _drug(line.ndc)
    yield from _formed("revenue_center", line.revenue_center, _REVENUE)
    if (place := line.place_of_service) is not None:
        yield "place_of_service", place, _within(_places().get(place), line.service_on)


def diagnosis_known(code: str, on: date) -> bool:
    """Whether ICD-10-CM has the code, or category, on that day; before 2015-10-01 it has none."""
    return _within(_diagnoses_table().get(code), on)


def service_known(code: str, on: date) -> bool:
    """Whether CPT or HCPCS may have a code of that form, and none of our value sets knows that it had ended."""
    return bool(_SERVICE.fullmatch(code)) and ((end := _ended().get(code)) is None or on <= end)


def _diagnoses(codes: Iterable[str], on: date) -> Iterator[tuple[str, str, bool]]:
    return (("diagnosis", code, diagnosis_known(code, on)) for code in codes)


def _formed(kind: str, code: str | None, form: re.Pattern[str]) -> Iterator[tuple[str, str, bool]]:
    if code is not None:
        yield kind, code, bool(form.fullmatch(code))


def _drug(ndc: str | None) -> Iterator[tuple[str, str, bool]]:
    """No labeler has the number 00000, and eleven times one digit stands for a drug without a number."""
    if ndc is not None:
        yield "ndc", ndc, not ndc.startswith("00000") and len(set(ndc)) > 1


def _within(days: Days | None, on: date) -> bool:
    return days is not None and days[0] <= on and (days[1] is None or on <= days[1])


def _rows(name: str) -> Iterator[dict[str, str]]:
    file = files("contracts").joinpath("value_sets", name)
    text = gzip.decompress(file.read_bytes()) if name.endswith(".gz") else file.read_bytes()
    return csv.DictReader(io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", newline=""))


def _dated(name: str) -> dict[str, Days]:
    """By code; days that many codes share are one object, as there are a hundred thousand codes."""
    shared: dict[tuple[str, str], Days] = {}
    found = {}
    for row in _rows(name):
        begins, ends = row["from"], row["through"]
        if (days := shared.get((begins, ends))) is None:
            days = date.fromisoformat(begins), date.fromisoformat(ends) if ends else None
            shared[begins, ends] = days
        found[row["code"]] = days
    return found


@cache
def _diagnoses_table() -> dict[str, Days]:
    return _dated("icd10cm_codes.csv.gz")


@cache
def _places() -> dict[str, Days]:
    return _dated("place_of_service.csv")


@cache
def _ended() -> dict[str, date]:
    """The last day of each service code that every row of a value set has ended, as a source or knowledge says."""
    ends: dict[str, list[str]] = {}
    for name in _ENDED_IN:
        for row in _rows(f"{name}.csv"):
            if _SERVICE.fullmatch(row["code"]) and row["status"] != "open":
                ends.setdefault(row["code"], []).append(row["through"])
    return {code: date.fromisoformat(max(found)) for code, found in ends.items() if all(found)}
