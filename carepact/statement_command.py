"""`carepact statement`: a subscriber's events of a month as a CSV or Parquet file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from carepact.local.errors import TryAgain
from carepact.noting import PURPOSE, noted
from carepact.platform_commands import Home, Json
from carepact.read_commands import NotFound, Usage, known_payer, run
from carepact.settings import Settings
from gateway.statement_files import MEDIA, write_statement
from gateway.statements import is_over
from projections.feed import emitted_within
from projections.tenancy import Role, Tenant

ROLES: dict[str, Role] = {"payer": "payer", "practice": "practice", "employer": "employer"}


def statement_command(
    payer: Annotated[str, typer.Option(help="The payer.")],
    month: Annotated[str, typer.Option(help="YYYY-MM, UTC, by the time of the events.")],
    out: Annotated[Path, typer.Option(help="The file; it ends in .csv or .parquet.")],
    role: Annotated[str, typer.Option(help="Whose statement: payer, practice or employer.")] = "payer",
    plan: Annotated[str, typer.Option(help="The employer's plan, or of a payer only this plan's.")] = "",
    practice: Annotated[str, typer.Option(help="The practice, for the role practice.")] = "",
    purpose: Annotated[str, typer.Option(help="Why it is read; that it is read is noted.")] = PURPOSE,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write what was emitted to a subscriber in a month: the same events and ids as its feed, a row each.

    Call `carepact wait` before: what is not projected yet is not in it.

    Example: carepact statement --payer medicare --role practice --practice P1 --month 2026-01 --out 2026-01.parquet
    """
    form = out.suffix.removeprefix(".")

    async def read(database: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        if form not in MEDIA:
            raise Usage(f"--out ends in {' or '.join('.' + name for name in MEDIA)}")
        if not re.fullmatch(r"20[0-9]{2}-(0[1-9]|1[0-2])", month):
            raise Usage(f"--month is YYYY-MM, not {month!r}")
        if role not in ROLES or (role == "practice") is not bool(practice) or (role == "employer" and not plan):
            raise Usage("--role is payer, practice with --practice, or employer with --plan")
        if plan and plan not in {one.name for one in settings.load_roster().payer(payer).plans}:
            raise NotFound(f"{payer} has no employer's plan {plan}")
        if not is_over(month):
            raise TryAgain(f"{month} is not over")
        tenant = Tenant(ROLES[role], payer, "" if practice else plan, practice)
        if role != "employer":
            await noted(settings, "statement", payer, None, purpose, month=month, plan=plan, practice=practice)
        written = await write_statement(emitted_within(database, tenant, month), out, form)
        told: dict[str, Any] = {"month": month, "role": role, "payer": payer, "plan": plan, "practice": practice}
        told |= {"events": written, "file": str(out)}
        typer.echo(orjson.dumps(told).decode() if as_json else f"{written} events in {out}")

    run(home, read)
