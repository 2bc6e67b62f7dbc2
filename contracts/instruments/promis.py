"""PROMIS T-scores: mean 50, standard deviation 10, and the band of each domain (outcome rules B.3, A.5).

A score comes as a T-score: the tables from answers to T are the measure's own and are not kept here. High is worse for
symptoms and better for function. Symptoms (found): to 55 normal, to 60 mild, to 70 moderate, above severe. Function:
45 and above normal (found); to 40 mild, to 30 moderate, below severe (known).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

DOMAINS: Final[Mapping[str, str]] = {
    "91721-1": "physical_function",
    "71959-1": "physical_function",
    "77864-7": "fatigue",
    "89676-1": "fatigue",
    "71963-3": "fatigue",
    "71961-7": "pain_interference",
    "71955-9": "sleep_disturbance",
    "71965-8": "depression",
    "71957-5": "social_roles",
    "77854-8": "social_roles",
    "71971-6": "global_physical",
    "71969-0": "global_mental",
}
"""LOINC codes of T-scores, and the domain of each."""

FUNCTION: Final = frozenset(("physical_function", "social_roles", "global_physical", "global_mental"))
SYMPTOMS: Final = frozenset(DOMAINS.values()) - FUNCTION | {"anxiety", "anger", "nausea"}

_SYMPTOM_BANDS: Final = ((Decimal(55), "normal"), (Decimal(60), "mild"), (Decimal(70), "moderate"))
_FUNCTION_BANDS: Final = ((Decimal(45), "normal"), (Decimal(40), "mild"), (Decimal(30), "moderate"))
LEAST, MOST = Decimal(0), Decimal(100)


def score_name(domain: str) -> str:
    """The name of a domain's score: `promis_fatigue_t`."""
    return f"promis_{domain}_t"


def domain_of(name: str) -> str | None:
    """The domain of a score by its name, or by a LOINC code; None when it is none that has a band."""
    if name in DOMAINS:
        return DOMAINS[name]
    domain = name.removeprefix("promis_").removesuffix("_t")
    return domain if domain in FUNCTION or domain in SYMPTOMS else None


def band(domain: str, t_score: Decimal) -> str:
    """The band of a T-score: fatigue of 60.1 is moderate, social roles of 44.9 mild."""
    if domain in FUNCTION:
        return next((name for least, name in _FUNCTION_BANDS if t_score >= least), "severe")
    return next((name for most, name in _SYMPTOM_BANDS if t_score <= most), "severe")
