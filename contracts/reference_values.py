"""Figures that a payer publishes beside its contract: what they are called, how they are keyed, and which one holds.

Each comes as a `ReferenceValueSet`: a name and key of `KINDS`, a value, and the day from which it holds. Of values for
one name and key the latest day that has come holds; of two facts for one day the newer. What is not known is None, and
nothing is assumed in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.parts import Ref
from contracts.terms import DatedValue

EPISODE_BEGAN, PERIOD_BEGAN, SERVICE = "the day the episode began", "the period's first day", "the day of service"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of figure: its unit, the forms its key may have (the first known one holds), and which day dates it."""

    label: str
    unit: str
    keys: tuple[str, ...]
    dated_by: str


KINDS: dict[str, Kind] = {
    "baseline_price": Kind("Baseline price", "USD", ("<episode>", "<practice>/<cancer>", "<cancer>"), EPISODE_BEGAN),
    "price_coefficient": Kind("Coefficient of the price model", "log of USD", ("<cancer>/<covariate>",), EPISODE_BEGAN),
    "experience_adjuster": Kind("Experience adjuster", "factor", ("<practice>/<cancer>", "<practice>"), EPISODE_BEGAN),
    "target_price": Kind(
        "Target of an episode (BCBS SC)", "USD", ("<episode>", "<practice>/<cancer>", "<cancer>"), EPISODE_BEGAN
    ),
    "trend_factor": Kind(
        "Trend factor", "factor", ("<practice>/<period>", "<period>", "<period>/<cancer>"), PERIOD_BEGAN
    ),
    "novel_drug": Kind("Drug that is novel for a cancer", "1 or 0", ("<cancer>/<HCPCS or NDC9>",), SERVICE),
    "reference_asp": Kind(
        "Average sales price of a qualifying biosimilar's reference product",
        "USD per billing unit",
        ("<HCPCS>",),
        SERVICE,
    ),
    "novel_comparison_share": Kind(
        "Novel therapy share of others' spending", "fraction", ("<period>/<cancer>", "<period>"), PERIOD_BEGAN
    ),
    "winsor_low": Kind("Least that an episode counts", "USD", ("<period>/<cancer>",), PERIOD_BEGAN),
    "winsor_high": Kind("Most that an episode counts", "USD", ("<period>/<cancer>",), PERIOD_BEGAN),
    "geographic_adjustment": Kind("Geographic adjustment factor", "factor", ("<practice>",), PERIOD_BEGAN),
    "practice_revenue": Kind("Revenue of a practice (OCM)", "USD", ("<practice>/<period>",), PERIOD_BEGAN),
    "quality_cut": Kind("Rate that earns so many points", "per cent", ("<period>/<measure>/<points>",), PERIOD_BEGAN),
    "quality_rate": Kind("Reported rate of a measure", "per cent", ("<practice>/<period>/<measure>",), PERIOD_BEGAN),
    "quality_points": Kind("Reported points of a measure", "points", ("<practice>/<period>/<measure>",), PERIOD_BEGAN),
    "quality_score": Kind("Reported aggregate quality score", "per cent", ("<practice>/<period>",), PERIOD_BEGAN),
}
"""Every name there is. Cancers, measures and covariates are those of `episode`, `quality` and `benchmark`."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A figure in force, and the fact that set it."""

    value: DatedValue
    ref: Ref


class References:
    """A payer's figures as one partition of its log has them."""

    def __init__(self, held: Mapping[str, Iterable[list[Any]]]) -> None:
        self._held = {key: tuple(values) for key, values in held.items()}
        self._found: dict[tuple[str, str, str], Reference | None] = {}

    def known(self, name: str, key: str, day: str) -> Reference | None:
        """The figure of a name and key on a day; None where none is known."""
        asked = (name, key, day)
        if asked not in self._found:
            self._found[asked] = self._find(name, key, day)
        return self._found[asked]

    def first(self, name: str, keys: Iterable[str], day: str) -> Reference | None:
        """The figure of the first key that has one."""
        return next((found for key in keys if (found := self.known(name, key, day)) is not None), None)

    def keys(self, name: str, prefix: str) -> list[str]:
        """The keys of a name that begin so."""
        whole = f"{name}|{prefix}"
        return [key[len(name) + 1 :] for key in self._held if key.startswith(whole)]

    def _find(self, name: str, key: str, day: str) -> Reference | None:
        best: list[Any] | None = None
        for value in self._held.get(f"{name}|{key}", ()):
            if value[0] <= day and (best is None or value[0] >= best[0]):
                best = value
        if best is None:
            return None
        kind, (from_on, value, unit, source, ref) = KINDS[name], best
        status = "illustrative" if source.lower().startswith("illustrative") else "found"
        said = f"{source} [{key}]"
        return Reference(DatedValue(name, kind.label, value, unit, from_on, kind.dated_by, said, status), tuple(ref))
