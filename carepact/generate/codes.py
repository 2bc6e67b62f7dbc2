"""What the invented people are treated with: real codes of `contracts/value_sets`, invented amounts.

A drug is (code, units, paid cents); a regimen says by which road its drugs are billed and how many days a cycle has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Road = Literal["carrier", "outpatient", "dmepos", "part_d"]
Drug = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Regimen:
    """Drugs given together: HCPCS when billed on a medical claim, NDC (11 digits) when filled at a pharmacy."""

    road: Road
    cycle_days: int
    drugs: tuple[Drug, ...]


@dataclass(frozen=True, slots=True)
class Cancer:
    """A cancer: its ICD-10-CM codes, its regimens, and its share of the population."""

    name: str
    codes: tuple[str, ...]
    regimens: tuple[Regimen, ...]
    weight: int


LETROZOLE = Regimen("part_d", 30, (("16729003415", 30, 1_850),))
TAMOXIFEN = Regimen("part_d", 30, (("00378014491", 30, 2_240),))
BICALUTAMIDE = Regimen("part_d", 30, (("16729002315", 30, 3_120),))
LEUPROLIDE = Regimen("carrier", 84, (("J9217", 3, 61_500),))
DOCETAXEL = Regimen("carrier", 21, (("J9171", 140, 12_600),))
PERTUZUMAB = Regimen("carrier", 21, (("J9306", 420, 512_300), ("J9355", 45, 310_050)))
CAPECITABINE_DME = Regimen("dmepos", 21, (("J8521", 84, 28_900),))

CANCERS: dict[str, Cancer] = {
    "breast": Cancer(
        "breast",
        ("C50411", "C50912", "C50811", "C50212"),
        (
            Regimen("carrier", 21, (("J9171", 130, 11_700), ("J9070", 12, 4_320))),
            Regimen("outpatient", 21, (("J9000", 11, 3_410), ("J9070", 11, 3_960))),
            PERTUZUMAB,
            Regimen("part_d", 28, (("00069018821", 21, 1_120_000),)),
        ),
        26,
    ),
    "prostate": Cancer(
        "prostate",
        ("C61",),
        (
            DOCETAXEL,
            Regimen("carrier", 21, (("J9043", 60, 912_000),)),
            Regimen("part_d", 30, (("00469012599", 120, 1_080_000),)),
        ),
        16,
    ),
    "lung": Cancer(
        "lung",
        ("C3411", "C3412", "C3490", "C3431"),
        (
            Regimen("carrier", 21, (("J9271", 200, 985_400), ("J9305", 95, 68_200), ("J9045", 10, 2_850))),
            Regimen("outpatient", 28, (("J9299", 480, 1_345_000),)),
            Regimen("part_d", 30, (("00310135030", 30, 1_420_000),)),
        ),
        20,
    ),
    "colorectal": Cancer(
        "colorectal",
        ("C187", "C182", "C20", "C19", "C179"),
        (
            Regimen("carrier", 14, (("J9263", 300, 9_840), ("J9190", 8, 1_640))),
            Regimen("outpatient", 14, (("J9206", 18, 5_400), ("J9035", 40, 254_800))),
            CAPECITABINE_DME,
        ),
        14,
    ),
    "lymphoma": Cancer(
        "lymphoma",
        ("C8330", "C8240", "C8100", "C8580", "C9140"),
        (
            Regimen("carrier", 28, (("J9312", 70, 478_100), ("J9033", 180, 502_000))),
            Regimen("outpatient", 21, (("J9312", 70, 481_300), ("J9370", 2, 1_310), ("J9000", 9, 2_790))),
        ),
        10,
    ),
    "myeloma": Cancer(
        "myeloma",
        ("C9000", "C9001"),
        (
            Regimen("carrier", 14, (("J9041", 35, 148_700), ("J9145", 110, 690_250))),
            Regimen("part_d", 28, (("59572041028", 21, 1_680_000),)),
        ),
        8,
    ),
    "chronic_leukemia": Cancer(
        "chronic_leukemia",
        ("C9110", "C9111", "C9210"),
        (
            Regimen("part_d", 30, (("57962014009", 90, 1_310_000),)),
            Regimen("part_d", 30, (("00078040134", 30, 264_000),)),
            Regimen("carrier", 28, (("J9312", 60, 402_000),)),
        ),
        6,
    ),
}
"""The seven cancers of the model."""

OTHER_CANCER = Cancer(
    "other",
    ("C259", "C569", "C679"),
    (Regimen("carrier", 14, (("J9201", 9, 3_150), ("J9264", 200, 210_000))),),
    0,
)
"""A cancer outside the model: treated, visited, and never an episode."""

VISIT_CODES = ("99213", "99214", "99214", "99215")
VISIT_CENTS = {"99213": 9_120, "99214": 12_850, "99215": 18_040}
ADMINISTRATION = ("96413", 1, 14_210)
LABS: tuple[Drug, ...] = (("80053", 1, 1_055), ("85025", 1, 777))
MONTHLY_SERVICE = "M0010"
CAR_T_PROCEDURE = "XW033H7"
CAR_T_HCPCS = "Q2042"
CHRONIC_FILLS: tuple[Drug, ...] = (("00071015523", 30, 1_020), ("00093104801", 60, 640), ("68180051301", 30, 410))
"""Fills that treat no cancer."""
ORDINARY_DIAGNOSES = ("I10", "E119", "E785", "M545", "J069", "Z0000")
