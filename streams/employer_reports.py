"""An employer's raw report out of the log, as of a cut: for the plan's administrator, and for the gate.

No table is asked: the log is read once, and the same log gives the same report.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from contracts.employer_report import report
from contracts.metrics.report import EmployerReport
from streams.connections import Connections
from streams.employer_answers import gather_plans
from streams.reconciling import log_ends


async def employer_reports(
    connections: Connections, payer: str, key: bytes, first: date, last: date, cut: Mapping[str, int] | None = None
) -> dict[str, EmployerReport]:
    """Every plan's report of the days from `first` through `last`, at `cut` or at the log's end as it stands now.

    `key` is the payer's content key: what was read is named by a digest under it, which tells others nothing.
    """
    ends = cut if cut is not None else await log_ends(connections, payer)
    at = {int(partition): offset for partition, offset in ends.items()}
    gathered = await gather_plans(connections, payer, at, _nothing)
    period = (first.isoformat(), last.isoformat())
    return {plan.plan: report(plan, payer, period, at, key) for plan in gathered.plans}


async def _nothing() -> None:
    """What is awaited between batches: nobody waits for a report's reading."""
