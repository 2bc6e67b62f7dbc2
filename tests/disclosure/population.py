"""Random employers: who has cancer, what became of them, what the employer's own records say, window after window.

Figures are drawn person by person from the fixed report set's forest of counts. The leave file has other people's
absences too. Late claims and corrections move an earlier period's counts before it is told again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from random import Random

from contracts.disclosure_figures import (
    Amount,
    Contributors,
    Count,
    Given,
    Parts,
    Period,
    Report,
    Returns,
    Share,
    Strata,
)

CANCERS = ("breast", "prostate", "colorectal", "lung", "lymphoma", "other", "myeloma", "chronic_leukemia")
SHARES = (0.30, 0.17, 0.13, 0.12, 0.09, 0.10, 0.05, 0.04)
COUNTS: tuple[tuple[str, str, float], ...] = (
    ("M5 of", "episodes", 0.62),
    ("M5", "M5 of", 0.17),
    ("M9 of", "episodes", 0.35),
    ("M9", "M9 of", 0.7),
    ("M11 of", "episodes", 0.55),
    ("M11", "M11 of", 0.4),
    ("M12a", "episodes", 0.8),
    ("M12b", "M12a", 0.75),
    ("M12c", "M12b", 0.6),
    ("M14 of", "episodes", 0.4),
    ("M14", "M14 of", 0.72),
    ("M15a", "episodes", 0.7),
    ("M15b of", "M15a", 0.3),
    ("M15b", "M15b of", 0.5),
    ("M15c", "M15b of", 0.4),
    ("M16 of", "episodes", 0.25),
    ("M16", "M16 of", 0.35),
    ("M19", "episodes", 0.55),
    ("M19b of", "M19", 0.2),
    ("M19b", "M19b of", 0.5),
)
PEOPLE_OF_ONE_EPISODE = 120
"""Covered people for one episode that ends in half a year."""


@dataclass(frozen=True)
class Employer:
    """The reports of an employer in the order of their windows; corrections name a period again."""

    episodes: int
    reports: tuple[Report, ...]


def employer(random: Random, episodes: int, windows: int = 3) -> Employer:
    """An employer with about so many episodes a period, and a correction of some period after each window."""
    reports: list[Report] = []
    for window in range(windows):
        size = max(0, round(episodes * random.uniform(0.9, 1.1)))
        reports.append(_report(random, _period(window), size))
        if random.random() < 0.7:
            reports.append(_corrected(random, random.choice(reports)))
    return Employer(episodes, tuple(reports))


def _period(window: int) -> Period:
    year, second = 2025 + window // 2, window % 2
    return Period(date(year, 7, 1), date(year, 12, 31)) if second else Period(date(year, 1, 1), date(year, 6, 30))


def _some(random: Random, people: int, share: float) -> int:
    return sum(random.random() < share for _ in range(people))


def _report(random: Random, period: Period, size: int) -> Report:
    cancers = random.choices(CANCERS, SHARES, k=size)
    by_cancer = tuple((cancer, cancers.count(cancer)) for cancer in CANCERS)
    found: list[Given] = [
        Count("episodes", size, "", most=size * PEOPLE_OF_ONE_EPISODE + 200),
        Parts("episodes", by_cancer),
    ]
    counts = {"episodes": size}
    for name, of, share in COUNTS:
        counts[name] = _some(random, counts[of], min(1.0, max(0.0, share * random.uniform(0.6, 1.3))))
        found.append(Count(name, counts[name], of))
    found.append(_strata(random, "M12a", counts["M12a"], by_cancer))
    found += [_money(random, "M2", "episodes", size), _money(random, "M2 pharmacy", "M5 of", counts["M5 of"])]
    found += [_visits(random, name, size, rate) for name, rate in (("M3", 0.5), ("M4", 0.3), ("M6", 0.08))]
    found += [_share(random, name, counts) for name in ("M7", "M17", "M18", "M20-prompt", "M20-overturned")]
    found.append(_savings(random, "M10-switch", counts["M9 of"]))
    return Report(period, (*found, *_work(random, size)))


def _strata(random: Random, name: str, count: int, by_cancer: tuple[tuple[str, int], ...]) -> Strata:
    """Who of a count has which cancer, drawn without replacement."""
    people = [cancer for cancer, size in by_cancer for _ in range(size)]
    drawn = random.sample(people, count)
    return Strata(name, tuple((cancer, drawn.count(cancer)) for cancer, _ in by_cancer))


def _behind(amounts: list[int]) -> Contributors:
    largest = sorted(amounts, reverse=True)[:2]
    return Contributors(sum(1 for amount in amounts if amount), *[*largest, 0, 0][:2])


def _money(random: Random, name: str, of: str, people: int) -> Amount:
    amounts = [round(random.lognormvariate(14.5, 1.0)) for _ in range(people)]
    return Amount(name, sum(amounts), of, _behind(amounts), everyone=True)


def _visits(random: Random, name: str, people: int, rate: float) -> Amount:
    amounts = [_some(random, 4, rate / 4) for _ in range(people)]
    return Amount(name, sum(amounts), "episodes", _behind(amounts))


def _savings(random: Random, name: str, people: int) -> Amount:
    """So many doses of each person at one price."""
    doses = [random.choice((0, 0, 1, 2, 3)) for _ in range(people)]
    return Amount(name, sum(doses) * 21_000, "M9 of", _behind([one * 21_000 for one in doses]), pieces=sum(doses))


def _share(random: Random, name: str, counts: dict[str, int]) -> Share:
    part = [random.choice((0, 0, 100, 200, 300)) for _ in range(counts["M9 of"])]
    rest = [random.choice((0, 100, 200)) for _ in part]
    return Share(name, "M9 of", sum(part), _behind(part), sum(rest), _behind(rest))


def _work(random: Random, size: int) -> list[Given]:
    """Employees among them, who was absent, and what the leave file says of everyone's absences."""
    employees = _some(random, size, 0.55)
    absent = _some(random, employees, 0.7)
    seen = tuple(_spell(random) for _ in range(absent))
    others = tuple(_spell(random, other=True) for _ in range(random.randint(2, 6) * absent + random.randint(0, 20)))
    returned, waiting = _intervals((*seen, *others))
    most = len(seen) + len(others)
    return [
        Count("employees", employees, "episodes"),
        Count("absent", absent, "employees", most=most),
        Returns("rtw", "absent", seen, returned, waiting),
    ]


def _spell(random: Random, other: bool = False) -> tuple[int, int]:
    week = min(104, 1 + round(random.expovariate(1 / (9 if other else 28))))
    cause = random.choices((1, 2, 3, 0), (0.9, 0.02, 0.04, 0.04) if other else (0.78, 0.06, 0.08, 0.08))[0]
    return week, cause


def _intervals(spells: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """By interval (to week 13, 26, 52): who came back in it; who was away at its start and did not."""
    returned, waiting, before = [], [], -1
    for week in (13, 26, 52):
        back = sum(1 for when, cause in spells if before < when <= week and cause == 1)
        returned.append(back)
        waiting.append(sum(1 for when, _ in spells if when > before) - back)
        before = week
    return (returned[0], returned[1], returned[2]), (waiting[0], waiting[1], waiting[2])


def _corrected(random: Random, report: Report) -> Report:
    """The same period as better known: nothing new, a few people more, or many."""
    more = random.choice((0, 0, random.randint(1, 10), random.randint(11, 40)))
    if not more:
        return report
    figures: list[Given] = []
    for given in report.figures:
        match given:
            case Count(name="episodes"):
                figures.append(replace(given, value=given.value + more))
            case Parts(cells=(first, *others)):
                figures.append(replace(given, cells=((first[0], first[1] + more), *others)))
            case _:
                figures.append(given)
    return Report(report.period, tuple(figures))
