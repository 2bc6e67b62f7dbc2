"""Unknown are codes of a form that their system does not have, and codes in no table on the day of service."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from contracts.events import (
    ClaimLine,
    InstitutionalClaimReceived,
    PharmacyClaimReceived,
    ProfessionalClaimReceived,
)
from formats.detect import read_files
from formats.known_codes import codes_of, diagnosis_known, service_known
from formats.reading import ReadFact
from tests.formats import test_samples

CLAIMS = (ProfessionalClaimReceived, InstitutionalClaimReceived, PharmacyClaimReceived)
DAY = date(2024, 3, 1)


@pytest.mark.parametrize(
    ("code", "on", "known"),
    [
        ("C50911", DAY, True),
        ("C50", DAY, True),  # a category
        ("C5091Z", DAY, False),
        ("C50911", date(2015, 9, 30), False),
        ("C50911", date(2015, 10, 1), True),
        ("C50A0", date(2025, 9, 30), False),  # inflammatory carcinoma of the breast, new with fiscal year 2026
        ("C50A0", date(2025, 10, 1), True),
        ("T407X1A", date(2020, 1, 1), True),  # split in October 2022
        ("T407X1A", date(2026, 1, 1), False),
        ("17490", DAY, False),
    ],
)
def test_a_diagnosis_is_known_by_the_release_of_its_day(code: str, on: date, known: bool) -> None:
    assert diagnosis_known(code, on) is known


@pytest.mark.parametrize(
    ("code", "known"),
    [("99214", True), ("J9271", True), ("0042T", True), ("3014F", True), ("0001U", True), ("00100", True),
     ("00000", False), ("X9999", False), ("ZZZZZ", False), ("J92A1", False), ("99201", False), ("J2505", False)],
)  # fmt: skip
def test_a_service_is_known_by_its_form_until_a_value_set_ends_it(code: str, known: bool) -> None:
    assert service_known(code, DAY) is known
    assert service_known("99201", date(2020, 12, 31)) and service_known("J2505", date(2021, 12, 31))


def line(**fields: object) -> ClaimLine:
    return ClaimLine.model_validate({"line": 1, "service_on": DAY, **fields})


def unknown(claim: ProfessionalClaimReceived | InstitutionalClaimReceived | PharmacyClaimReceived) -> list[str]:
    return [code for _, code, known in codes_of(claim) if not known]


def test_each_code_of_a_claim_is_told_with_its_kind() -> None:
    days = {"effective_on": DAY, "from_on": DAY, "through_on": DAY}
    office = ProfessionalClaimReceived.model_validate({
        "claim_id": "A", "family": "A", **days, "diagnoses": ("C50911", "QQQ"),
        "lines": (
            line(code="99214", place_of_service="11", diagnoses=("C50911", "C50Q"), modifiers=("25", "999")),
            line(code="X0001", place_of_service="00", ndc="00000000000", source_diagnoses=("1749",)),
        ),
    })  # fmt: skip
    assert unknown(office) == ["QQQ", "C50Q", "999", "X0001", "00000000000", "00"]
    assert Counter(kind for kind, _, _ in codes_of(office)) == {
        "diagnosis": 3, "service": 2, "modifier": 2, "place_of_service": 2, "ndc": 1,
    }  # fmt: skip
    stay = InstitutionalClaimReceived.model_validate({
        "claim_id": "B", "family": "B", **days, "setting": "home_health", "type_of_bill": "0329", "drg": "000",
        "procedures": ("0TTD0ZZ", "0TTO0ZZ", "8109"),
        "lines": (line(revenue_center="0023", code="1AA11"), line(revenue_center="6767", code="1AA11")),
    })  # fmt: skip
    assert unknown(stay) == ["0TTO0ZZ", "8109", "000", "1AA11", "6767"]
    fill = PharmacyClaimReceived(claim_id="C", family="C", effective_on=DAY, filled_on=DAY, ndc="00310083030")
    assert list(codes_of(fill)) == [("ndc", "00310083030", True)]


@test_samples.pytestmark
@pytest.mark.parametrize(
    ("folder", "diagnoses", "bills"),
    [("tuva", (0, 7_618), (0, 237)), ("cclf/jhurrell-random-v38", (1_357, 2_817), (33, 300))],
)
def test_real_codes_are_known_and_random_ones_half_of_the_time(
    folder: str, diagnoses: tuple[int, int], bills: tuple[int, int]
) -> None:
    """Tuva's claims carry real codes; the random CCLF draws diagnoses of both systems and bills of no facility."""
    paths = sorted(path for path in (test_samples.DATA / folder).rglob("*") if path.is_file())
    told: Counter[tuple[str, bool]] = Counter()
    for item in read_files([Path(path) for path in paths]):
        if isinstance(item, ReadFact) and isinstance(item.event, CLAIMS):
            told.update((kind, known) for kind, _, known in codes_of(item.event))
    for kind, (missing, all_) in (("diagnosis", diagnoses), ("type_of_bill", bills)):
        assert (told[kind, False], told[kind, False] + told[kind, True]) == (missing, all_)
