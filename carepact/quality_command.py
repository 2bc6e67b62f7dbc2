"""`carepact quality`: what a payer's files were like in a month, beside the month before."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from carepact.platform_commands import Home, Json
from carepact.publish_commands import print_json
from carepact.read_commands import NotFound, Usage, known_payer, run
from carepact.settings import Settings
from projections.quality import quality


def quality_command(
    payer: Annotated[str, typer.Option(help="The payer whose files they were.")],
    plan: Annotated[str | None, typer.Option(help="Only this employer's plan.", show_default=False)] = None,
    month: Annotated[
        str | None, typer.Option(help="YYYY-MM; without it the last with a run.", show_default=False)
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What a payer's files were like in a month, beside the month before.

    Completeness, lateness, unknown codes, duplicates, rejects, volume and cost.

    Example: carepact quality --payer medicare --month 2026-01
    """
    if month is not None and not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", month):
        raise typer.BadParameter("--month is YYYY-MM")

    async def show(database: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        plans = [each.name for each in settings.load_roster().payer(payer).plans]
        if plan is not None and plan not in plans:
            raise Usage(f"{payer} has no plan {plan}; there are {', '.join(plans) or 'none'}")
        card = await quality(database, payer, plan, month)
        if card is None:
            raise NotFound(f"no files of {payer} were taken in")
        if as_json:
            print_json(card)
        else:
            typer.echo("\n".join(_told(card)))

    run(home, show)


def _told(card: Mapping[str, Any]) -> Iterator[str]:
    yield f"{card['payer']}{'/' + card['plan'] if card['plan'] else ''} in {card['month']}: {card['runs']:,} runs"
    beside = f", {card['rows_to_before']} of the month before" if card["rows_to_before"] else ""
    yield f"{card['read']:>12,} rows read{beside}"
    yield f"{card['duplicate_share'] or '-':>12} of them duplicates, {card['rejected_share'] or '-'} rejected"
    beside = f", {card['paid_to_before']} of the month before" if card["paid_to_before"] else ""
    yield f"{card['paid_cents'] / 100:>12,.2f} dollars paid by claims{beside}"
    for title, name in (("facts", "facts"), ("claims by days to their version", "late"), ("rejects", "rejects")):
        for key, count in card[name].items():
            yield f"{count:>12,} {title}: {key}"
    for field, share in card["completeness"].items():
        yield f"{share:>12} of {field} is there"
    for kind, share in card["unknown_share"].items():
        yield f"{share:>12} of {kind} codes are unknown"
    if card["untranslated"]:
        yield f"{card['untranslated']:>12,} codes that no table translates"
