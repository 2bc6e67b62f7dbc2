"""An employer's raw report as the disclosure gate takes it: people counted, people told apart, sums, and returns.

A share of episodes is told as a count of people, for people are what the gate protects: who has such an episode, and of
whom it could be asked. A count that can only be of some of another's people is told as a part of it, so that the gate
sees every subtraction there is. Medians, means, composed figures, and the two kinds of avoidable use (each of them a
part of M5 beside the other) are given to the gate not at all, so they never leave. The set is the same whatever was
measured: a sum or share of nobody is given too, so that its absence tells nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from fractions import Fraction

from contracts.disclosure_figures import Amount, Contributors, Count, Given, Parts, Period, Report, Returns, Share
from contracts.metrics.report import Cell, EmployerReport

EVERYBODY, EPISODES, ABSENT = "covered", "episodes", "absent"
CANCERS = ("breast", "prostate", "lung", "colorectal", "lymphoma", "myeloma", "chronic_leukemia")
"""The parts of the people with episodes, likely large ones first; the order never changes."""

OF_EPISODES = ("M11", "M12-offered", "M12-active", "M15-screened", "M18-enrolled", "M19", "M22")
OF_SOME = ("M5", "M12-reached", "M13-early", "M14", "M15-answered", "M15-better", "M16", "M19-closed")
OF_COVERED = ("M13", "M21", "M21-cost")
OF_OTHERS = ("M16-therapy", "M16-use", "M16-hospice")
"""Counts of people: of all with episodes, of some of them, of those covered, of those who died."""

WITHIN = {"M19-closed": "M19", "M15-better": "M15-answered of", "M21-cost": "M21"}
"""Whose people those are of whom a metric could be asked, where they are some of another's."""

SUMS = {"M1-medical": EVERYBODY, "M1-pharmacy": EVERYBODY, "M2": EPISODES, "M3": EPISODES, "M3-admitted": EPISODES,
        "M4": EPISODES}  # fmt: skip
SAVINGS = {"M10-switch": EVERYBODY}
SHARES = {"M6": EPISODES, "M7": EVERYBODY, "M9": EVERYBODY, "M11-leakage": EPISODES, "M14-denied": EVERYBODY,
          "M17": EVERYBODY, "M17-urgent": EVERYBODY, "M17-emergency": EVERYBODY, "M18": EPISODES,
          "M20-prompt": EVERYBODY, "M20-overturned": EVERYBODY}  # fmt: skip
"""Sums over people, what they would have saved (at public prices: by so many doses), and parts of sums; over whom."""

SCALE = 10_000
"""Units have four decimals; as whole numbers they are told in ten-thousandths, of which a share says nothing."""


def figures(report: EmployerReport) -> Report:
    """What the gate is given of a report, wholes before what is of them."""
    period = Period(date.fromisoformat(report.from_on), date.fromisoformat(report.through_on))
    return Report(period, tuple(_figures(report)))


def _figures(report: EmployerReport) -> Iterator[Given]:
    by_cancer, bounds = dict(report.by_cancer), dict(report.bounds)
    yield Count(EVERYBODY, report.covered)
    yield Count(EPISODES, min(report.people, report.covered), EVERYBODY)
    if set(by_cancer) <= set(CANCERS) and sum(by_cancer.values()) == min(report.people, report.covered):
        yield Parts(EPISODES, tuple((cancer, by_cancer.get(cancer, 0)) for cancer in CANCERS))
    for cell in report.cells:
        name = f"{cell.metric}/{cell.stratum}" if cell.stratum else cell.metric
        if cell.metric in OF_EPISODES and (cell.denominator_people or cell.metric in WITHIN.values()):
            yield Count(name, cell.numerator_people, EPISODES)
        elif cell.metric in OF_SOME:
            yield from _counted(cell, name, WITHIN.get(cell.metric, EPISODES), None)
        elif cell.metric in OF_COVERED:
            within = f"{WITHIN[cell.metric]}/{cell.stratum} of" if cell.metric in WITHIN else EVERYBODY
            yield from _counted(cell, name, within, bounds.get(name))
        elif cell.metric in OF_OTHERS:
            yield from _counted(cell, name, "", bounds.get(name))
        elif cell.metric in SUMS | SAVINGS:
            yield _sum(cell, name)
        elif cell.metric in SHARES:
            yield _share(cell, name)
    returns = report.returns
    absent = len(returns.observations)
    yield Count(ABSENT, absent, EPISODES if absent <= min(report.people, report.covered) else "")
    yield Returns("RTW", ABSENT, returns.observations, returns.own_returned, returns.own_waiting)


def _counted(cell: Cell, name: str, of: str, most: int | None) -> Iterator[Given]:
    """Of whom it could be asked, and of whom it is so.

    Enrollment tells how many women of an age there are, so that those left out for having had the cancer are a number
    too: `most` has the gate ask for 11 or more of them.
    """
    yield Count(f"{name} of", cell.denominator_people, of, most=most)
    yield Count(name, cell.numerator_people, f"{name} of")


def _sum(cell: Cell, name: str) -> Amount:
    """A sum; one that is negative is given as nothing, and stays."""
    if cell.numerator <= 0:
        return Amount(name, 0, (SUMS | SAVINGS)[cell.metric], Contributors(0, 0, 0))
    if cell.metric in SAVINGS:
        behind, doses = _behind(cell.contributions, 1), int(cell.denominator)
        return Amount(name, int(cell.numerator), SAVINGS[cell.metric], behind, pieces=doses)
    return Amount(name, int(cell.numerator), SUMS[cell.metric], _behind(cell.contributions, 1))


def _share(cell: Cell, name: str) -> Share:
    """A part and the rest; where corrections made one negative, both are given as nothing, and stay."""
    if cell.numerator < 0 or cell.denominator < cell.numerator:
        return Share(name, SHARES[cell.metric], 0, Contributors(0, 0, 0), 0, Contributors(0, 0, 0))
    part, rest = int(cell.numerator * SCALE), int((cell.denominator - cell.numerator) * SCALE)
    behind, beside = _behind(cell.contributions, SCALE), _behind(cell.rest, SCALE)
    return Share(name, SHARES[cell.metric], part, behind, rest, beside)


def _behind(contributions: tuple[Fraction, ...], scale: int) -> Contributors:
    """How many people are behind a sum, and what the two largest have in it."""
    largest, second = (*contributions[:2], Fraction(0), Fraction(0))[:2]
    return Contributors(len(contributions), int(largest * scale), int(second * scale))
