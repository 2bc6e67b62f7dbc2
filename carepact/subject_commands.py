"""`carepact subject`: one person, several identifiers."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import orjson
import typer

from carepact.platform_commands import Home, Json, settings_of
from carepact.publish_commands import refusals, way_in
from carepact.read_commands import Usage, known_payer
from carepact.settings import open_key_store
from contracts.events import MemberLinkRequested
from contracts.events.base import Identifier
from streams.keys import KeyStore
from streams.linking import Linked, link, token_of

app = typer.Typer(no_args_is_help=True, help="One person: identifiers that turn out to be the same.")

KINDS = ("mbi", "member_id", "employee_id", "beneficiary_id")


@app.callback()
def subject() -> None:
    """One person: identifiers that turn out to be the same."""


@app.command("link")
def link_command(
    survivor: Annotated[str, typer.Argument(help="The member to keep: a token, or KIND:VALUE.")],
    retired: Annotated[str, typer.Argument(help="The member who turned out to be the same: a token, or KIND:VALUE.")],
    payer: Annotated[str, typer.Option(help="The payer whose members they are.")],
    plan: Annotated[str, typer.Option(help="The employer's plan, with KIND:VALUE.")] = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Two members are one person: the facts of the second are written again under the first, its payments reversed.

    An identifier on a command line is seen by other users of the machine; a token is not an identifier.

    Example: carepact subject link --payer medicare trptre5mrgzufxpzldbziz5b7a tvfbsl2ulnwdoptcjw6fissz3m
    """

    async def run() -> Linked:
        settings = settings_of(home)
        known_payer(settings, payer)
        keys = open_key_store(settings)
        try:
            one, other = (_token(keys, payer, plan, text) for text in (survivor, retired))
            if one == other:
                raise Usage("both are the same member already; there is nothing to link")
            async with way_in(settings, payer, plan) as way:
                await way.state(MemberLinkRequested(**way.who, survivor=one, retired=other))
                return await link(way.reach, way.writer, way.door, keys, one, other)
        finally:
            keys.close()

    with refusals():
        linked = asyncio.run(run())
    if as_json:
        document = {name: getattr(linked, name) for name in Linked.__slots__}
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
        return
    there = f"{linked.moved} facts moved, {linked.already_there} were there"
    typer.echo(f"{linked.retired} is now {linked.survivor}: {there}")


def _token(keys: KeyStore, payer: str, plan: str, text: str) -> str:
    kind, colon, value = text.partition(":")
    if not colon:
        return text
    if kind not in KINDS:
        raise Usage(f"an identifier is KIND:VALUE with a kind of {', '.join(KINDS)}")
    return token_of(keys, payer, plan, Identifier.model_validate({"kind": kind, "value": value}))
