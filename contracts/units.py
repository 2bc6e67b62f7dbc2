"""Money and days: exact cents, and calendar arithmetic on ISO days.

Inside the fold a day is its ISO string, which sorts as the day does; these helpers are cached, for histories repeat
the same few thousand days.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import lru_cache
from math import lcm
from operator import mul

ZERO = Decimal(0)
FOREVER = "9999-12-31"
_ROUNDING = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN}


def cents(dollars: Decimal, rounding: str = "half_up") -> int:
    """Dollars to integer cents, rounded once, where a line is made.

    cents(Decimal("50469.535")) = 5046954 half up, 5046954 half even (the cent before is odd).
    """
    return int((dollars * 100).quantize(Decimal(1), rounding=_ROUNDING[rounding]))


class Weights:
    """Exact factors for amounts in cents, whose weighted sum is rounded once; whole numbers, as it is done often.

    Weights([1 / Fraction("0.98")]).cents(960400) = 980000.
    """

    __slots__ = ("_even", "_factors", "_over")

    def __init__(self, factors: Sequence[Fraction], rounding: str = "half_up") -> None:
        self._over = lcm(*(factor.denominator for factor in factors))
        self._factors = [int(factor * self._over) for factor in factors]
        self._even = rounding == "half_even"

    def cents(self, *amounts: int) -> int:
        """The weighted sum of as many amounts as there are factors."""
        assert len(amounts) == len(self._factors)
        total: int = sum(map(mul, self._factors, amounts))
        whole, rest = divmod(abs(total), self._over)
        over = 2 * rest - self._over
        if over > 0 or (over == 0 and not (self._even and whole % 2 == 0)):
            whole += 1
        return whole if total >= 0 else -whole


def last_day(day: date | None) -> str:
    """The last day of a span as the fold keeps it: FOREVER when none is named."""
    return FOREVER if day is None else day.isoformat()


def dollars(amount_cents: int) -> Decimal:
    """Integer cents to exact dollars."""
    return Decimal(amount_cents) / 100


def money(amount_cents: int) -> str:
    """Cents as people write them: 14000 -> '140.00', -70 -> '-0.70'."""
    sign, rest = ("-", -amount_cents) if amount_cents < 0 else ("", amount_cents)
    return f"{sign}{rest // 100:,}.{rest % 100:02d}"


@lru_cache(maxsize=65_536)
def add_months(day: str, months: int) -> str:
    """The same day so many calendar months later, clamped to the month's end: 2024-08-31 + 6 = 2025-02-28."""
    begin = date.fromisoformat(day)
    year, month = divmod(begin.year * 12 + begin.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(begin.day, last)).isoformat()


@lru_cache(maxsize=65_536)
def add_days(day: str, days: int) -> str:
    """The day so many days later; no day is later than the last."""
    if day == FOREVER and days > 0:
        return FOREVER
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def days_between(first: str, last: str) -> int:
    """Days from one to the other: 2025-01-01 to 2025-01-31 are 30."""
    return date.fromisoformat(last).toordinal() - date.fromisoformat(first).toordinal()


@lru_cache(maxsize=65_536)
def months_of(first: str, last: str) -> tuple[str, ...]:
    """The calendar months ('YYYY-MM') that the days from `first` to `last` fall in, in order."""
    year, month = int(first[:4]), int(first[5:7])
    months = []
    while (name := f"{year:04d}-{month:02d}") <= last[:7]:
        months.append(name)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return tuple(months)


@lru_cache(maxsize=16_384)
def month_before(day: str, months: int) -> str:
    """The calendar month ('YYYY-MM') so many months before a day's own."""
    year, month = divmod(int(day[:4]) * 12 + int(day[5:7]) - 1 - months, 12)
    return f"{max(year, 0):04d}-{month + 1:02d}"
