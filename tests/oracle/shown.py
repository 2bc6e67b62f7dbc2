"""How often each rule, tie-break, row of D.5 and cell of results occurs in a population, by the account alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tests.oracle.settlement import Figures, Population, Result

SOURCES = ("opened by outpatient", "opened by physician", "opened by dmepos", "opened by part_d")
STEPS = (
    "first visit", "plurality", "latest visit", "last digit", "no visit", "one cancer", "most visits",
    "cancer by latest visit", "cancer by an earlier visit", "cancer by last digit", "two sources on one day",
    "two claims of a source on one day",
)  # fmt: skip
OUTCOMES = (
    "admitted",
    "emergency",
    "died",
    "late_therapy",
    "hospice",
    "winsorised",
    "recouped",
    "pooled",
    "novel",
    "biosimilar add-on",
)
CELLS = tuple(
    f"{zone} {arrangement} {vintage} {tier}"
    for zone in ("earned", "neutral", "owed")
    for arrangement in ("RA1", "RA2")
    for vintage in ("2023", "2025")
    for tier in (75, 50, 30, 0)
)
CLAIMS = (
    "replacement", "adjustment", "void", "two originals", "same content twice", "denied claim", "denied line",
    "void without original", "void before original", "replacement before original", "partial void", "negative family",
    "another payer's claim", "late",
)  # fmt: skip
VOID = (
    "car_t", "part_a", "part_b", "medicare_advantage", "esrd", "other_primary", "no_em_visit", "low_risk_breast",
    "low_intensity_prostate", "before_model", "after_model",
)  # fmt: skip
STORIES = (
    "duplicate", "late", "replacement", "void_then_other_day", "void_trigger", "void_everything", "unmatched_void",
    "cancel_and_adjust", "replaced_trigger", "late_trigger", "lost_part_a", "lost_part_b", "lost_before_start",
    "reinstated", "late_enrollment", "breast_flips", "breast_flips_back", "prostate_flips", "prostate_flips_back",
    "mistaken_cancer", "after_the_run_out",
)  # fmt: skip
"""What stories were made to show: rows of D.5 that leave no trace in the end, and each flip of a sub-type."""


def of_members(population: Population) -> Counter[str]:
    """What its claims and episodes show, whatever a run comes to."""
    seen: Counter[str] = Counter()
    for account in population.accounts:
        seen[f"opened by {account.episode.source}"] += 1
        seen[account.how.split(", ")[0]] += 1
        seen[account.how.split(", ")[-1]] += 1
        seen[account.episode.void_reason or account.episode.exclusion or "included"] += 1
        for name in ("admitted", "emergency", "died", "late_therapy", "hospice"):
            seen[name] += getattr(account, name)
    return seen + Counter({name: n for name, n in population.saw.items() if n})


def of_results(figures: Figures, period: int, results: Iterable[tuple[str, Result]]) -> Counter[str]:
    """What a run of a period comes to, practice by practice."""
    seen: Counter[str] = Counter()
    vintage = "2025" if period >= 4 else "2023"
    for practice, result in results:
        if result.zone and result.episodes:
            seen[f"{result.zone} {result.arrangement} {vintage} {result.tier}"] += 1
            seen["pooled"] += bool(figures.pools.get(practice))
        for one in result.episodes:
            seen["winsorised"] += one.counted != one.cost - sum(map(figures.not_counted, one.biosimilars))
        seen["recouped"] += bool(result.recouped)
        seen["novel"] += result.novel
        seen["biosimilar add-on"] += sum(any(map(figures.not_counted, one.biosimilars)) for one in result.episodes)
    return seen
