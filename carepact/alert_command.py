"""`carepact alerts`: which answers of patients ask for action."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from carepact.noting import noted
from carepact.platform_commands import Home, Json
from carepact.read_commands import known_payer, run, write_lines
from carepact.settings import Settings, connection
from streams.surveys import alerts
from streams.topics import OPERATOR


def alerts_command(
    payer: Annotated[str, typer.Option(help="The payer whose members they are.")],
    member: Annotated[str | None, typer.Option(help="Only this member's, by token.", show_default=False)] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only those that still stand.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Every alert of what patients reported, one JSON object a line: RED, AMBER, and what closed them.

    Example: carepact alerts --payer medicare --open
    """
    del as_json  # a list is NDJSON either way

    async def read(database: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        await noted(settings, "alerts", payer, member, open=only_open)
        await write_lines(alerts(database, connection(settings, OPERATOR), payer, member, only_open=only_open))

    run(home, read)
