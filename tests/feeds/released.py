"""Releases to an employer as the platform makes and projects them: figures through the real gate, rows as projected."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

from contracts.disclosure_figures import Amount, Contributors, Count, Given, Parts, Period, Report, Returns, Share
from contracts.disclosure_gate import gate
from contracts.employers import CONTRACT
from contracts.events.releases import OutcomesReleased, ReleasedPeriod
from contracts.releases import outcome, released
from streams.outcomes import rows

PLAN, OTHER_PLAN = "palmetto-manufacturing", "lowcountry-retail"
HALVES = tuple(
    Period(date(year, month, 1), date(year, month + 5, 30 if month == 1 else 31))
    for year in (2024, 2025)
    for month in (1, 7)
)
COHORT = tuple((week, 1) for week in (*range(2, 14), *range(2, 14), *range(14, 27), *range(27, 43)) for _ in "ab")
WAITING = tuple((60, 0) for _ in range(60))


def figures(scale: int = 1) -> tuple[Given, ...]:
    """Of each kind one that is shown and one that is withheld."""
    many = Contributors(120, 9_000_000 * scale, 8_000_000 * scale)
    return (
        Count("covered", 9_000),
        Count("episodes", 300, "covered"),
        Parts("episodes", (("breast", 200), ("lung", 95), ("myeloma", 5))),
        Amount("M1-medical", 500_000_000 * scale, "covered", many),
        Amount("M1-pharmacy", 700_000, "covered", Contributors(3, 400_000, 200_000)),
        Amount("M3", 250, "episodes", Contributors(120, 6, 5)),
        Share("M7/trastuzumab", "covered", 300, Contributors(40, 20, 20), 100, Contributors(30, 10, 10)),
        Amount("M10-switch/trastuzumab", 8_400_000, "covered", Contributors(30, 500_000, 400_000), pieces=120),
        Count("M12-offered", 120, "episodes"),
        Count("M13/breast of", 800, "covered"),
        Count("M13/breast", 600, "M13/breast of"),
        Count("M19", 6, "episodes"),
        Share("M20-overturned", "covered", 40, Contributors(2, 30, 10), 100, Contributors(30, 10, 10)),
        Count("absent", len(COHORT) + len(WAITING), "episodes"),
        Returns("RTW", "absent", (*COHORT, *WAITING), (200, 200, 200), (400, 400, 400)),
    )


def release_of(plan: str, ordinal: int = 1, guarantee: bool = True) -> OutcomesReleased:
    """The release that tells so many half years."""
    periods: list[ReleasedPeriod] = []
    for number, half in enumerate(HALVES[:ordinal]):
        gated = gate(Report(half, figures(1 + number // 2)), [outcome(one) for one in periods])
        fresh = ReleasedPeriod(
            from_on=half.first_on, through_on=half.last_on, run_id=f"r{number}", inputs_digest="0" * 64,
            terms_version="2026.1", figures=(), guarantee=("0.5500", "0.4500") if guarantee else None,
        )  # fmt: skip
        periods.append(released(gated, (), fresh))
    return OutcomesReleased(
        payer="employers", plan=plan, by="operator/test", contract=CONTRACT, ordinal=ordinal,
        window_on=date(2025, 12, 31), periods=tuple(periods), call_cents=None, call_cut={"0": 7},
        settled_cents=None if ordinal == 1 else -2_340_00, settled_through=3,
    )  # fmt: skip


async def project(connection: Any, act: OutcomesReleased, at: datetime = datetime(2026, 1, 2, tzinfo=UTC)) -> None:
    """The rows of a release, by the statements of the projection."""
    for statement, row in rows(act, uuid4(), act.ordinal, at):
        await connection.execute(statement, *row)
