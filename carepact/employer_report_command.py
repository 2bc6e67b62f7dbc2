"""`carepact employer-report`: what is measured for a plan and period, raw, for the plan's administrator."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import orjson
import typer

from carepact.platform_commands import Home, Json, say
from carepact.read_commands import NotFound, known_payer, run
from carepact.settings import Settings, connection, open_key_store
from contracts.employers import CONTRACT
from contracts.metrics.report import Cell, EmployerReport
from streams.employer_reports import employer_reports
from streams.topics import OPERATOR

DAY = "%Y-%m-%d"


def employer_report_command(
    plan: Annotated[str, typer.Option(help="The employer's plan.")],
    first: Annotated[datetime, typer.Option("--from", formats=[DAY], help="The first day measured.")],
    last: Annotated[datetime, typer.Option("--through", formats=[DAY], help="The last day measured.")],
    payer: Annotated[str, typer.Option(help="The payer whose plan it is.")] = "employers",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Every metric of a plan and period at the log's present end, raw. Reads the whole log.

    It holds small counts: it is for the plan's administrator, never for the employer, who sees what the disclosure gate
    lets out.

    Example: carepact employer-report --plan palmetto-manufacturing --from 2025-01-01 --through 2025-06-30
    """
    if last < first:
        raise typer.BadParameter("--through is before --from")

    async def read(_: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        found = settings.load_roster().payer(payer)
        if found.contract != CONTRACT or plan not in {one.name for one in found.plans}:
            raise NotFound(f"{payer} has no employer's plan {plan}")
        keys = open_key_store(settings)
        try:
            key = keys.payer_keys(payer).content
        finally:
            keys.close()
        reports = await employer_reports(connection(settings, OPERATOR), payer, key, first.date(), last.date())
        if plan not in reports:
            raise NotFound(f"the log of {payer} has no member of {plan}")
        if as_json:
            typer.echo(orjson.dumps(reports[plan].document(), option=orjson.OPT_INDENT_2).decode())
        else:
            say("raw figures, for the plan's administrator alone")
            _tell(reports[plan])

    run(home, read)


def _tell(report: EmployerReport) -> None:
    typer.echo(f"{report.plan}: {report.from_on} through {report.through_on}, days closed {report.closed_through}")
    typer.echo(f"{report.covered} people covered, {report.people} with an episode that counts")
    for cell in report.cells:
        if cell.value is not None:
            typer.echo(_line(cell))


def _line(cell: Cell) -> str:
    told = cell.document()
    name = f"{cell.metric} {cell.stratum}".strip()
    beside = f"  (compare {told['benchmark']}, {cell.benchmark_id})" if cell.benchmark is not None else ""
    return f"  {name:<24} {told['value']:>16} {cell.unit:<24} {cell.title}{beside}"
