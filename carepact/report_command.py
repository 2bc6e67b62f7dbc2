"""`carepact report`: what was released to an employer, as a page that prints, a document, a table and FHIR."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from carepact.platform_commands import Home, Json, say
from carepact.read_commands import NotFound, known_payer, run
from carepact.settings import Settings
from contracts.employers import CONTRACT
from gateway import measure_reports, report_pages
from projections.released import figures, releases


def report_command(
    plan: Annotated[str, typer.Option(help="The employer's plan.")],
    release: Annotated[int | None, typer.Option(help="Which release; the newest.", show_default=False)] = None,
    payer: Annotated[str, typer.Option(help="The payer whose plan it is.")] = "employers",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the page, the document, the table and FHIR.", show_default=False)
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """The report of one release along an employer's four steps: only figures that left by the disclosure gate.

    With --out: `<plan>.release-<n>.html`, which prints, `.json`, `.csv` and `.fhir.json` (Da Vinci VBPR).

    Example: carepact report --plan palmetto-manufacturing --out reports
    """

    async def read(database: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        roster = settings.load_roster().payer(payer)
        title = next((one.title for one in roster.plans if one.name == plan), None)
        if roster.contract != CONTRACT or title is None:
            raise NotFound(f"{payer} has no employer's plan {plan}")
        found = await releases(database, payer, plan)
        chosen = next((one for one in found if release in (None, one.ordinal)), None)
        if chosen is None:
            raise NotFound(f"nothing {f'like release {release} ' if release else ''}was released to {plan} yet")
        events = await figures(database, payer, plan, chosen.ordinal)
        report = report_pages.document(plan, title, chosen, events)
        if out is not None:
            _write(out, f"{plan}.release-{chosen.ordinal}", report, payer)
        if as_json:
            typer.echo(report_pages.as_json(report).decode(), nl=False)
        elif out is None:
            _tell(report)

    run(home, read)


def _write(out: Path, name: str, report: Mapping[str, Any], payer: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    forms: Mapping[str, Callable[[], bytes]] = {
        "html": lambda: report_pages.as_html(report).encode(),
        "json": lambda: report_pages.as_json(report),
        "csv": lambda: report_pages.as_csv(report),
        "fhir.json": lambda: measure_reports.of_employer(report, payer),
    }
    for ending, made in forms.items():
        (out / f"{name}.{ending}").write_bytes(made())
    say(f"{len(forms)} files in {out}")


def _tell(report: Mapping[str, Any]) -> None:
    typer.echo(f"{report['employer']}: release {report['release']}, as of {report['as_of']}")
    for step in report["steps"]:
        typer.echo(step["step"])
        for figure in step["figures"]:
            for strata in figure["strata"]:
                last = strata["values"][-1]
                shown = last["value"] if last["value"] is not None else last["numerator"]
                said = "withheld" if shown is None else str(shown)
                name = f"{figure['title']} {strata['stratum']}".strip()
                typer.echo(f"  {name:<60} {said:>16}  {last['from']} to {last['to']}")
