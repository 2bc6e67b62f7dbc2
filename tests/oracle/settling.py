"""Figures for a population such that every zone, arrangement, vintage and tier of quality comes up, in two runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from pathlib import Path

import orjson

from carepact.generate.codes import CANCERS
from carepact.generate.settling import (
    arrangements,
    at_sites,
    figures,
    practices,
    settling_events,
    settling_practices,
)
from tests.oracle.settlement import Account, collect, half_up, period_first

PERIODS = (1, 2, 3, 4, 5)
RATIOS = (Fraction(85, 100), Fraction(975, 1000), Fraction(110, 100))
SCORES = ("80", "75", "60", "50", "40", "30", "29.999999", "10")
CASES = {"winsor_low": "900.00", "winsor_high": "95000.00"}
CUTS = {"EOM-1a": (("6", "5"), ("3", "20")), "EOM-1b": (("6", "5"),), "EOM-2": (("12", "60"), ("6", "30")),
        "EOM-3": (("12", "10"), ("6", "40"))}  # fmt: skip
NOVEL = (
    ("lung", "J9271", "1", "2023-07-01"), ("lung", "J9271", "0", "2025-03-01"), ("breast", "J9306", "1", "2024-02-01"),
    ("breast", "000690188", "1", "2023-07-01"), ("chronic_leukemia", "579620140", "1", "2023-07-01"),
)  # fmt: skip
"""Cancer, drug, whether it is novel, from which day."""

Value = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Made:
    """The files of a population: members' facts as known at the first run and at the second, practices, figures."""

    practices: Path
    figures: Path
    initial: Path
    all: Path


def make(out: Path, members: int, seed: int, variants: int, known_through: date) -> Made:
    """Write a population; of its facts the first run knows those told by a day."""
    made = Made(*(out / f"{name}.ndjson" for name in ("practices", "figures", "initial", "all")))
    every = practices(variants)
    ordinary = [tin for i, tin in enumerate(every) if i % 12 < 8]
    pooled = [tin for i, tin in enumerate(ordinary) if i % 8 in (6, 7)]
    _write(made.practices, settling_practices(variants, pooled))
    lines = settling_events(members, seed, variants)
    limit = known_through.isoformat()
    _write(made.all, lines)
    _write(made.initial, [line for line in lines if orjson.loads(line)["time"][:10] <= limit])
    _write(made.figures, _figures(made, every))
    return made


def make_sized(out: Path, members: int, seed: int, known_through: date, size: tuple[int, int, int]) -> Made:
    """The same with so many practices that take part, sites and practitioners; every second two practices pool."""
    count, sites, practitioners = size
    variants = -(-count // 8)
    every = practices(variants)
    chosen = [tin for i, tin in enumerate(every) if i % 12 < 8][:count]
    made = Made(*(out / f"{name}.ndjson" for name in ("practices", "figures", "initial", "all")))
    pooled = [tin for i, tin in enumerate(chosen) if i % 4 in (2, 3)]
    _write(made.practices, settling_practices(variants, pooled, frozenset(chosen)))
    lines = list(at_sites(settling_events(members, seed, variants), chosen, sites, practitioners))
    limit = known_through.isoformat()
    _write(made.all, lines)
    _write(made.initial, [line for line in lines if orjson.loads(line)["time"][:10] <= limit])
    _write(made.figures, _figures(made, every))
    return made


def _write(path: Path, lines: Iterator[bytes] | list[bytes]) -> None:
    with path.open("wb") as file:
        for line in lines:
            file.write(line + b"\n")


def _pair(i: int) -> int:
    """Practices two by two, as pools have them, counted over those that take part: eight of a variant's twelve."""
    return i // 12 * 4 + i % 12 // 2


def _figures(made: Made, every: list[str]) -> Iterator[bytes]:
    held = [(tin, ("RA1", "RA2")[_pair(i) % 2], 1) for i, tin in enumerate(every)]
    yield from arrangements(held)
    yield from figures(_values(made, every))


def _values(made: Made, every: list[str]) -> Iterator[Value]:
    first_on = period_first(1).isoformat()
    accounts = collect(made.initial, made.practices).accounts
    for i, tin in enumerate(every):
        yield "experience_adjuster", tin, f"0.9{i % 10}", "factor", first_on
        yield "geographic_adjustment", tin, f"{Fraction(95 + i % 11, 100).__float__():.2f}", "factor", first_on
    yield "reference_asp", "Q5101", "0.913", "USD per billing unit", first_on
    yield "reference_asp", "Q5101", "0.877", "USD per billing unit", "2024-10-01"
    for cancer, code, value, on in NOVEL:
        yield "novel_drug", f"{cancer}/{code}", value, "1 or 0", on
    for period in PERIODS:
        on = period_first(period).isoformat()
        for n, cancer in enumerate(CANCERS):
            yield "trend_factor", f"{period}/{cancer}", f"1.0{n}{period}", "factor", on
            if n % 3:
                for name, value in CASES.items():
                    yield name, f"{period}/{cancer}", value, "USD", on
            if n % 2 == 0 and period not in (3, 4):  # which are settled by prices as they are
                yield "novel_comparison_share", f"{period}/{cancer}", f"0.{n}5", "fraction", on
        for measure, cuts in CUTS.items():
            for points, rate in cuts:
                yield "quality_cut", f"{period}/{measure}/{points}", rate, "per cent", on
        yield from _scores(accounts, every, period)
        yield from _baselines(accounts, every, period)


def _scores(accounts: list[Account], every: list[str], period: int) -> Iterator[Value]:
    """Scores in turn to the pairs that have episodes, for each zone and arrangement; every ninth has points instead."""
    on = period_first(period).isoformat()
    there = {account.episode.practice for account in accounts if account.period == period and account.settles}
    pairs: dict[int, list[int]] = defaultdict(list)
    for i in range(len(every)):
        pairs[_pair(i)].append(i)
    turns: Counter[tuple[int, int]] = Counter()
    for pair, both in pairs.items():
        cell = (pair // 2 + period) % len(RATIOS), pair % 2
        turn = turns[cell]
        turns[cell] += any(every[i] in there for i in both)
        for i in both:
            if turn % 9 == 8:  # of two in a pool both or none
                for measure in ("EOM-4a", "EOM-5", "EOM-6"):
                    key = f"{every[i]}/{period}/{measure}"
                    yield "quality_points", key, str((i + period) % 7), "points", on
            else:
                score = SCORES[(turn * 2 + turn // 4 + i % 2 * 4 + period) % len(SCORES)]
                yield "quality_score", f"{every[i]}/{period}", score, "per cent", on


def _baselines(accounts: list[Account], every: list[str], period: int) -> Iterator[Value]:
    """A price for each practice so that its cost stands to its benchmark as one of `RATIOS`."""
    first = period_first(period)
    by_practice: dict[str, list[Account]] = defaultdict(list)
    for account in accounts:
        if account.period == period and account.settles:
            by_practice[account.episode.practice].append(account)
    cancers = list(CANCERS)
    for i, tin in enumerate(every):
        cost, weight = Fraction(0), Fraction(0)
        for account in by_practice.get(tin, ()):
            n = cancers.index(account.episode.cancer_type)
            least, most = (half_up(Fraction(CASES[name]) * 100) for name in ("winsor_low", "winsor_high"))
            cost += min(max(account.cost, least), most) if n % 3 else account.cost
            weight += Fraction(f"0.9{i % 10}") * account.factors * Fraction(f"1.0{n}{period}")
        ratio = RATIOS[(_pair(i) // 2 + period) % len(RATIOS)]
        price = half_up(cost / weight / ratio) if weight else 1_000_000
        for cancer in cancers:
            key = f"{tin}/{cancer}"
            yield "baseline_price", key, f"{max(price, 1) / 100:.2f}", "USD", first.isoformat()
