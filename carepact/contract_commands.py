"""`carepact contract`: the terms in force, and their adoption by the log."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from carepact.adopting import adopt_bundled
from carepact.platform_commands import Home, Json, reported, settings_of
from carepact.read_commands import NotFound
from contracts.errors import NoTermInForce
from contracts.roster import SHEETS, bundled_sheet, contract_digest
from contracts.terms import TermSheet

app = typer.Typer(no_args_is_help=True, help="The terms in force, and their adoption by the log.")


@app.command("list")
def list_command(as_json: Json = False) -> None:
    """Every contract of this build, with the version and digest of its terms and of its clauses.

    Example: carepact contract list
    """
    rows = []
    for contract in SHEETS:
        version, digest, content = bundled_sheet(contract)
        rows.append(
            {
                "contract": contract,
                "title": content["sheet"]["title"],
                "version": version,
                "terms_digest": digest,
                "clauses_digest": contract_digest(contract),
            }
        )
    if as_json:
        sys.stdout.buffer.write(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        return
    for row in rows:
        typer.echo(f"{row['contract']:<13} {row['version']:<8} terms {row['terms_digest'][:12]}  {row['title']}")


@app.command("show")
def show_command(
    contract: Annotated[str, typer.Argument(help="The contract, as `carepact contract list` names it.")],
    on: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day; today without it.")] = None,
    as_json: Json = False,
) -> None:
    """A contract's terms in force on a day: value, unit, source, and whether it is illustrative.

    Example: carepact contract show medicare-eom --on 2025-01-01
    """
    day = (on or datetime.now(UTC)).date().isoformat()
    with reported():
        if contract not in SHEETS:
            raise NotFound(f"there is no contract {contract}; there are {', '.join(SHEETS)}")
        terms = _in_force(contract, day)
    if as_json:
        document = {"contract": contract, "version": bundled_sheet(contract)[0], "on": day, "terms": terms}
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
        return
    table = Table("term", "value", "unit", "from", "status", "source", title=f"{contract} on {day}", expand=False)
    for term in terms:
        table.add_row(*(str(term[key]) for key in ("name", "value", "unit", "from", "status", "source")))
    Console().print(table)


def _in_force(contract: str, day: str) -> list[dict[str, Any]]:
    _, _, content = bundled_sheet(contract)
    sheet = TermSheet(content)
    terms = []
    for name in content["terms"]:
        try:
            value = sheet.on(name, day)
        except NoTermInForce:
            continue
        terms.append({"label": value.label, **value.as_use()})
    return terms


@app.command("adopt")
def adopt_command(
    payer: Annotated[list[str] | None, typer.Option("--payer", help="Only this payer; may be repeated.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let the logs adopt this build's terms and clauses where they hold others: payments that change are reversed.

    Example: carepact contract adopt --payer medicare
    """
    with reported():
        settings = settings_of(home)
        names = settings.load_roster().names
        if unknown := sorted(set(payer or ()) - set(names)):
            raise NotFound(f"there is no payer {unknown[0]}; there are {', '.join(names)}")
        written = asyncio.run(adopt_bundled(settings, payer, first_only=False))
    if as_json:
        sys.stdout.buffer.write(orjson.dumps({"records": written}, option=orjson.OPT_INDENT_2) + b"\n")
        return
    for name, count in written.items():
        typer.echo(f"{name}: " + (f"adopted, {count} records" if count else "nothing to adopt"))
