"""`carepact release` opens a window of an employer's feed; `carepact draft` tells what other terms would have cost."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import asyncpg
import orjson
import typer
from aiokafka.errors import KafkaError

from carepact.local.errors import PlatformError, TryAgain
from carepact.logging import to_stderr
from carepact.platform_commands import Home, Json, reported, settings_of
from carepact.read_commands import NotFound, known_payer
from carepact.replay_commands import sheet_of
from carepact.settings import acting, connection, open_key_store
from contracts.employers import CONTRACT
from contracts.errors import ContractError
from contracts.events import OutcomesReleased
from contracts.releases import NoSuchWindow
from streams.drafting import draft
from streams.log_writer import LogWriter
from streams.releasing import CannotRelease, Desk, NotYet, release
from streams.settling import CannotSettle
from streams.topics import AGENTS, OPERATOR
from streams.what_if import CannotFold

Made = TypeVar("Made")


def release_command(
    plan: Annotated[str, typer.Option(help="The employer's plan.")],
    window: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First day of the period that is new in it.")],
    payer: Annotated[str, typer.Option(help="The payer whose plan it is.")] = "employers",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Open a window of an employer's feed: its period's figures through the disclosure gate, and earlier periods again.

    A window opens once, in order, when its day has closed in the log. A window that is open already is told again and
    sends nothing new.

    Example: carepact release --plan palmetto-manufacturing --window 2025-01-01
    """
    to_stderr()
    with reported():
        from_on = window.date().isoformat()
        made, now = asyncio.run(_at_desk(home, payer, plan, lambda desk: release(desk, from_on)))
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(_document(made, now)) + b"\n")
    else:
        typer.echo(f"{plan}: release {made.ordinal}, {'made now' if now else 'made before'}")
        for period in _document(made, now)["periods"]:
            typer.echo(f"  {period['from']} to {period['to']}: {period['shown']} figures shown, "
                       f"{period['withheld']} withheld")  # fmt: skip
        for name, cents in (("funding call", made.call_cents), ("settlement", made.settled_cents)):
            typer.echo(f"  {name}: {'pending' if cents is None else f'${cents / 100:,.2f}'}")


def _document(made: OutcomesReleased, now: bool) -> dict[str, Any]:
    return {
        "payer": made.payer,
        "plan": made.plan,
        "ordinal": made.ordinal,
        "made_now": now,
        "window_on": made.window_on.isoformat(),
        "call_cents": made.call_cents,
        "settled_cents": made.settled_cents,
        "periods": [
            {
                "from": period.from_on.isoformat(),
                "to": period.through_on.isoformat(),
                "shown": sum(1 for one in period.figures if one.value is not None),
                "withheld": sum(1 for one in period.figures if one.value is None),
                "held": period.held,
            }
            for period in made.periods
        ],
    }


def draft_command(
    plan: Annotated[str, typer.Option(help="The employer's plan.")],
    terms: Annotated[str, typer.Option(help="The draft: a term sheet (TOML).")],
    payer: Annotated[str, typer.Option(help="The payer whose plan it is.")] = "employers",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What a plan would have paid under a draft of its terms, as its employer may see it: one draft in each window.

    All fees and bonuses for people up to the last funding call that moved, in one amount, or withheld by the disclosure
    gate. The same draft is told again; another one waits for the next window.

    Example: carepact draft --plan palmetto-manufacturing --terms draft.toml
    """
    to_stderr()
    with reported():
        sheet = sheet_of(terms)
        made, now = asyncio.run(_at_desk(home, payer, plan, lambda desk: draft(desk, sheet)))
    if as_json:
        told = made.model_dump(mode="json", include={"payer", "plan", "ordinal", "sheet_version", "amount_cents"})
        sys.stdout.buffer.write(orjson.dumps(told | {"made_now": now}) + b"\n")
    else:
        amount = "withheld" if made.amount_cents is None else f"${made.amount_cents / 100:,.2f}"
        typer.echo(f"{plan}: under {made.sheet_version}, up to the last funding call that moved: {amount}")


async def _at_desk(
    home: Path | None, payer: str, plan: str, act: Callable[[Desk], Awaitable[tuple[Made, bool]]]
) -> tuple[Made, bool]:
    """Have something done at the desk of an employer's plan."""
    settings = settings_of(home)
    known_payer(settings, payer)
    found = settings.load_roster().payer(payer)
    if found.contract != CONTRACT or plan not in {one.name for one in found.plans}:
        raise NotFound(f"{payer} has no employer's plan {plan}")
    keys = open_key_store(settings)
    try:
        key = keys.payer_keys(payer).content
    finally:
        keys.close()
    reach, roster = connection(settings, AGENTS), settings.load_roster()
    try:
        database = await asyncpg.connect(reach.postgres)
        try:
            async with LogWriter(connection(settings, OPERATOR), "carepact.release") as writer:
                desk = Desk(reach, database, writer, roster, roster.payer(payer), plan, key, acting())
                return await act(desk)
        finally:
            await database.close()
    except NoSuchWindow as error:
        raise NotFound(str(error)) from None
    except (CannotRelease, CannotSettle, CannotFold, ContractError) as error:
        raise PlatformError(str(error)) from None
    except NotYet as error:
        raise TryAgain(str(error)) from None
    except (OSError, TimeoutError, asyncpg.PostgresError, KafkaError) as error:
        raise TryAgain(f"Kafka or PostgreSQL does not answer ({type(error).__name__})") from error
