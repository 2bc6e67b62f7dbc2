"""`carepact access`: who read personal data."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from carepact.platform_commands import Home, Json
from carepact.read_commands import known_payer, run, write_lines
from carepact.settings import Settings
from projections.access import reads


def access_command(
    payer: Annotated[str | None, typer.Option(help="Only this payer's members.", show_default=False)] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Every read of personal data, one JSON object a line, oldest first: when, by whom, of whom, what, and why.

    By commands and over HTTP, also with a key that breaks the glass. `-` as payer or subject: of many.

    Example: carepact access --payer medicare
    """
    del as_json  # a list is NDJSON either way

    async def read(database: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        await write_lines(reads(database, payer))

    run(home, read)
