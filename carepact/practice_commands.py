"""`carepact practice`: what a practice shows and sends, and what it is sent back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from carepact.local.home import write_whole
from carepact.noting import noted
from carepact.platform_commands import Home, Json
from carepact.publish_commands import way_in
from carepact.read_commands import NotFound, Refused, Usage, known_payer, run, show
from carepact.settings import Settings, connection
from contracts.eom import CONTRACT
from contracts.events import OperatorAct, PracticeReadinessTold
from contracts.feedback import feedback
from contracts.units import money
from formats.eom_bundle import ENTITY
from gateway.settlement_pages import feedback_page
from projections.settlements import latest
from streams.practices import NothingAdopted, month_of
from streams.submitting import Asked, Built, build
from streams.topics import OPERATOR

app = typer.Typer(no_args_is_help=True, help="What a practice shows and sends, and what it is sent back.")

Payer = Annotated[str, typer.Option(help="The payer whose contract it is.")]
DAY = "%Y-%m-%d"
IN_PART = 5
Practice = Annotated[str, typer.Option(help="The practice: its tax number or id.")]


@app.callback()
def practice() -> None:
    """What a practice shows and sends, and what it is sent back."""


@app.command("readiness")
def readiness_command(
    practice: Practice,
    month: Annotated[str, typer.Option(help="YYYY-MM.")],
    tell: Annotated[
        bool, typer.Option("--tell", help="Let the practice read it over HTTP: activities and counts, no patient.")
    ] = False,
    payer: Payer = "medicare",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What a month of a practice lacks to be billable: its redesign activities, and each patient's record.

    Example: carepact practice readiness --practice 571000014 --month 2025-08
    """
    if not re.fullmatch(r"20[0-9]{2}-(0[1-9]|1[0-2])", month):
        raise typer.BadParameter("--month is YYYY-MM")

    async def read(database: Any, settings: Settings) -> None:
        medicare(settings, payer)
        try:
            told = await month_of(connection(settings, OPERATOR), database, payer, practice, month)
        except NothingAdopted as refused:
            raise Refused(str(refused)) from None
        if tell:
            await _tell(settings, payer, told)
        show(told, _told, as_json)

    run(home, read)


async def _tell(settings: Settings, payer: str, told: Mapping[str, Any]) -> None:
    act = PracticeReadinessTold.model_fields
    said = {name: value for name, value in told.items() if name in act and name not in OperatorAct.model_fields}
    async with way_in(settings, payer) as way:
        await way.state(PracticeReadinessTold.model_validate_json(orjson.dumps(way.who | said)))


@app.command("submission")
def submission_command(
    practice: Practice,
    period: Annotated[int, typer.Option(min=1, max=13, help="The performance period.")],
    entity: Annotated[str, typer.Option(help="The participant as the model names it: EOM-PGP-XXXX.")],
    out: Annotated[Path, typer.Option(help="The file to write; only its owner may read it.")],
    purpose: Annotated[str, typer.Option(help="Why it is opened; noted with each patient.")] = "data submission to CMS",
    on: Annotated[
        datetime | None, typer.Option(formats=[DAY], help="The day of the report; today.", show_default=False)
    ] = None,
    payer: Payer = "medicare",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Clinical, sociodemographic and quality data of a practice's period, as the FHIR Bundle that CMS takes.

    It names patients: their sealed parts are opened one by one, each noted before, and only the digest is kept here.
    Exits 5 when a patient could not be named, or the document breaks a rule of FHIR or of the model.

    Example: carepact practice submission --practice 571000014 --period 4 --entity EOM-PGP-0001 --out pp4.json
    """
    if not ENTITY.fullmatch(entity):
        raise typer.BadParameter("--entity is EOM-PGP- and four digits or capitals")

    async def read(database: Any, settings: Settings) -> None:
        medicare(settings, payer)
        now = datetime.now(UTC)
        async with way_in(settings, payer) as way:
            asked = Asked(payer, practice, period, entity, purpose, (on or now).date(), now, way.who)
            try:
                built = await build(way.reach, database, way.keys, way.state, asked)
            except NothingAdopted as refused:
                raise Refused(str(refused)) from None
        write_whole(out, built.document)
        show(_submission(asked, built, out), _told_submission, as_json)
        if built.withheld or built.findings:
            raise typer.Exit(IN_PART)

    run(home, read)


@app.command("feedback")
def feedback_command(
    practice: Practice,
    period: Annotated[int, typer.Option(min=1, max=99, help="The performance period.")],
    run_: Annotated[
        str | None, typer.Option("--run", help="initial or true-up; else the last of either.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write the page here, as one HTML file.", show_default=False)
    ] = None,
    payer: Payer = "medicare",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What a practice is sent back of a settled period: spending, use, quality by groups, attribution, claims, sharing.

    It is of the last settlement asked for by `carepact reconcile`, which writes the same report with --out.

    Example: carepact practice feedback --practice 571000014 --period 4 --out pp4.html
    """
    if run_ not in (None, "initial", "true-up"):
        raise Usage(f"--run is initial or true-up, not {run_!r}")

    async def read(database: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        found = await latest(database, payer, practice, period, run_)
        if found is None:
            raise NotFound(f"period {period} of practice {practice} is not settled; `carepact reconcile` asks for it")
        await noted(settings, "practice_feedback", payer, practice=practice, period=period)
        report = feedback(*found)
        if out is not None:
            write_whole(out, feedback_page(report).encode())
        show(report, _told_feedback, as_json)

    run(home, read)


def _told_feedback(said: Mapping[str, Any]) -> Iterator[str]:
    spending = said["spending"]
    yield f"practice {said['practice']}, period {said['period']}, {said['run']} run"
    yield f"  {said['episodes']['settled']:>18,} episodes settled"
    yield f"  {money(spending['counted_cents']):>18} counts, {money(spending['benchmark_cents'])} expected"
    for name, amount in spending["components_cents"].items():
        yield f"  {money(amount):>18} {name}"
    for name, count in (said["utilisation"] or {"used": {}})["used"].items():
        yield f"  {count:>18,} {name}"
    yield f"  {said['quality']['score'] or 'not known':>18} quality score, per cent"
    for partner in said["care_partners"]:
        yield f"  {money(partner['amount_cents']):>18} to Care Partner {partner['partner']}"
    yield f"  {len(said['attribution']):>18,} episodes in the attribution list, {len(said['claims']):,} claims"


def _submission(asked: Asked, built: Built, out: Path) -> dict[str, Any]:
    return {
        "payer": asked.payer,
        "practice": asked.practice,
        "period": asked.period,
        "send": f"POST /fhir/Bundle/$submit?modelId=EOM&entityId={asked.entity}",
        "out": str(out),
        "digest": built.digest,
        "terms": built.terms,
        "subjects": built.subjects,
        "withheld": dict(sorted(built.withheld.items())),
        "incomplete": built.incomplete,
        "lacking": dict(sorted(built.lacking.items())),
        "measures": {
            name: {"numerator": numerator, "denominator": denominator}
            for name, (numerator, denominator) in built.measures.items()
        },
        "resources": built.resources,
        "findings": list(built.findings),
    }


def _told_submission(said: Mapping[str, Any]) -> Iterator[str]:
    yield f"{said['subjects']} patients, {said['resources']} resources in {said['out']}"
    yield f"  sha256:{said['digest']}"
    for why, count in said["withheld"].items():
        yield f"  ** {count} left out: {why} **"
    for name, count in said["lacking"].items():
        yield f"  {count:>6} patients without {name}"
    for name, counted in said["measures"].items():
        yield f"  {name}: {counted['numerator']} of {counted['denominator']}"
    for finding in said["findings"]:
        yield f"  ** {finding} **"
    yield f"  {said['send']}"


def medicare(settings: Settings, payer: str) -> None:
    """Refuse a payer whose contract asks for no redesign activities and no reports."""
    known_payer(settings, payer)
    contract = settings.load_roster().payer(payer).contract
    if contract != CONTRACT:
        raise Refused(f"{payer} has the contract {contract}; this is of {CONTRACT}")


def _told(said: Mapping[str, Any]) -> Iterator[str]:
    yield f"practice {said['practice']} in {said['month']}, terms {said['terms']}"
    for one in said["activities"]:
        by = ", ".join(b["standard"] or b["evidence"] for b in one["by"]) or "not shown"
        yield f"  {one['activity']:<20} {by if one['asked'] or one['shown'] else 'not asked'}"
    for why in said["practice_lacks"]:
        yield f"  ** the practice lacks {why} **"
    yield f"{said['episodes']:>6} episodes run, {said['ready']} ready to be billed, {said['paid']} paid"
    if said["ready_but_for_the_practice"]:
        yield f"{said['ready_but_for_the_practice']:>6} would be ready if the practice were"
    for why, count in said["lacking"].items():
        yield f"{count:>6} lack {why}"
