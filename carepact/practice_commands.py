"""`carepact practice`: what a practice shows and sends, and what it is sent back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from carepact.platform_commands import Home, Json
from carepact.read_commands import Refused, known_payer, run, show
from carepact.settings import Settings, connection
from contracts.eom import CONTRACT
from streams.practices import NothingAdopted, month_of
from streams.topics import OPERATOR

app = typer.Typer(no_args_is_help=True, help="What a practice shows and sends, and what it is sent back.")

Payer = Annotated[str, typer.Option(help="The payer whose contract it is.")]
Practice = Annotated[str, typer.Option(help="The practice: its tax number or id.")]


@app.callback()
def practice() -> None:
    """What a practice shows and sends, and what it is sent back."""


@app.command("readiness")
def readiness_command(
    practice: Practice,
    month: Annotated[str, typer.Option(help="YYYY-MM.")],
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
        show(told, _told, as_json)

    run(home, read)


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
