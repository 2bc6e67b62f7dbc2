"""`carepact findings`: what checks had against records that were taken all the same."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from carepact.platform_commands import Home, Json
from carepact.read_commands import known_payer, run, write_lines
from carepact.settings import Settings, connection
from streams.findings import findings
from streams.topics import OPERATOR


def findings_command(
    payer: Annotated[str, typer.Option(help="The payer whose log it is.")],
    member: Annotated[str | None, typer.Option(help="Only this member's, by token.", show_default=False)] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Every fact that stands with findings of a validator, one JSON object a line. Reads the whole log.

    Example: carepact findings --payer medicare
    """
    del as_json  # a list is NDJSON either way

    async def read(_: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        await write_lines(findings(connection(settings, OPERATOR), payer, member))

    run(home, read)
