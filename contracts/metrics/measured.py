"""A figure as measured: what each person has in its numerator and in its denominator, and what follows from both.

Tallies are kept by person, so that whoever decides what may leave knows how many people are behind a figure, and that
no order and no batching of records can change it. Arithmetic is exact; nothing is rounded here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

from contracts import return_to_work
from contracts.exact import exactly
from contracts.return_to_work import FOUR_PLACES

Number = int | Fraction
Tally = Mapping[str, Number]
"""A member's token -> what of a sum is the member's."""

Z95 = Decimal("1.959963984540054")


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure of one metric for one stratum ('' for all).

    A ratio is sum(hits) / sum(of) x per. A median is of all `values`; a composite says its `computed` value itself.
    Without a denominator there is no value.
    """

    metric: str
    hits: Tally
    of: Tally
    stratum: str = ""
    per: int = 1
    values: Mapping[str, tuple[Fraction, ...]] = field(default_factory=dict)
    computed: Fraction | None = None
    kind: str = "ratio"

    @property
    def numerator(self) -> Fraction:
        """The sum over people."""
        return Fraction(sum(self.hits.values()))

    @property
    def denominator(self) -> Fraction:
        """The sum over people."""
        return Fraction(sum(self.of.values()))

    @property
    def value(self) -> Fraction | None:
        """The figure, exact; None where there is nobody to measure."""
        if self.kind == "median":
            return median(one for values in self.values.values() for one in values)
        if self.kind == "composite":
            return self.computed
        return self.numerator * self.per / self.denominator if self.denominator else None

    @property
    def numerator_people(self) -> int:
        """People with something in the numerator."""
        return sum(1 for amount in self.hits.values() if amount)

    @property
    def denominator_people(self) -> int:
        """People with something in the denominator."""
        return sum(1 for amount in self.of.values() if amount)

    @property
    def contributions(self) -> tuple[Fraction, ...]:
        """What each person has in the numerator, the largest first."""
        return tuple(sorted((Fraction(amount) for amount in self.hits.values() if amount), reverse=True))

    @property
    def rest(self) -> tuple[Fraction, ...]:
        """What each person has in the denominator beside the numerator, the largest first."""
        left = (Fraction(amount) - Fraction(self.hits.get(member, 0)) for member, amount in self.of.items())
        return tuple(sorted((one for one in left if one), reverse=True))


def ratio(
    metric: str, hits: Mapping[str, Number], of: Mapping[str, Number], stratum: str = "", per: int = 1
) -> Measured:
    """A ratio of two tallies; people with nothing in either are left out."""
    return Measured(metric, _some(hits), _some(of), stratum, per)


def medians(metric: str, values: Mapping[str, Iterable[Number]], stratum: str = "") -> Measured:
    """The median of values, of which a person may have several."""
    held = {member: tuple(sorted(Fraction(one) for one in own)) for member, own in sorted(values.items())}
    held = {member: own for member, own in held.items() if own}
    counts: dict[str, Number] = {member: len(own) for member, own in held.items()}
    return Measured(metric, counts, counts, stratum, values=held, kind="median")


def _some(tally: Mapping[str, Number]) -> dict[str, Number]:
    return {member: tally[member] for member in sorted(tally) if tally[member]}


def median(values: Iterable[Fraction]) -> Fraction | None:
    """The middle value, or the mean of the two: 1, 2, 10 -> 2; 1, 2 -> 3/2; None of none."""
    held = sorted(values)
    if not held:
        return None
    middle = len(held) // 2
    return held[middle] if len(held) % 2 else (held[middle - 1] + held[middle]) / 2


def four_places(value: Fraction | None) -> str | None:
    """A figure to four decimals, half to even, from its exact value: 2/3 -> '0.6667'."""
    return None if value is None else return_to_work.four_places(value)


@exactly
def wilson(hits: int, of: int) -> tuple[Fraction, Fraction] | None:
    """The 95 % interval of a proportion by Wilson's score, to four decimals: 8 of 10 -> 0.4902 to 0.9433."""
    if of <= 0 or not 0 <= hits <= of:
        return None
    n, p, z = Decimal(of), Decimal(hits) / Decimal(of), Z95
    middle = p + z * z / (2 * n)
    spread = z * (p * (1 - p) / n + z * z / (4 * n * n)).sqrt()
    scale = 1 + z * z / n
    low, high = ((middle - spread) / scale, (middle + spread) / scale)
    return (
        Fraction(max(low, Decimal(0)).quantize(FOUR_PLACES, rounding=ROUND_HALF_EVEN)),
        Fraction(min(high, Decimal(1)).quantize(FOUR_PLACES, rounding=ROUND_HALF_EVEN)),
    )
