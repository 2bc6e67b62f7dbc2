"""`carepact subject`: one person: several identifiers, what is held of them, and their erasure."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer

from carepact.key_custody import open_and_rotate
from carepact.noting import noted
from carepact.platform_commands import Home, Json, settings_of
from carepact.publish_commands import DONE_IN_PART, make_links, print_json, refusals, way_in
from carepact.read_commands import NotFound, Refused, Usage, known_payer, reading
from carepact.read_commands import run as run_reading
from carepact.settings import Settings, connection, open_key_store
from carepact.telling_subjects import told_report
from contracts.events import MemberLinkRequested
from contracts.events.base import Identifier
from gateway.acknowledgements import Acknowledgements
from projections.facts import links_asked_for
from streams.erasing import DutyToKeep, erase
from streams.keys import KeyStore, UnknownSubject, identifier_digest
from streams.linking import Linked, link, token_of
from streams.naming import Naming
from streams.reporting import report
from streams.topics import OPERATOR

app = typer.Typer(no_args_is_help=True, help="One person: what is held, erasure, identifiers that are the same.")

GATEWAY_FOLDER = "gateway"
Member = Annotated[str, typer.Argument(metavar="MEMBER", help="The member: a token, or KIND:VALUE.")]
KINDS = ("mbi", "member_id", "employee_id", "beneficiary_id")


@app.callback()
def subject() -> None:
    """One person: what is held, erasure, identifiers that are the same."""


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
    _show_linked(linked, as_json)


def _show_linked(linked: Linked, as_json: bool) -> None:
    if as_json:
        document = {name: getattr(linked, name) for name in Linked.__slots__}
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
        return
    there = f"{linked.moved} facts moved, {linked.already_there} were there"
    typer.echo(f"{linked.retired} is now {linked.survivor}: {there}")


@app.command("links")
def links_command(
    payer: Annotated[str, typer.Option(help="The payer whose members they are.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make the links that files sent over HTTP have asked for: members whose former identifiers had facts of their own.

    Example: carepact subject links --payer medicare
    """

    async def asked_for(database: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        pairs = await links_asked_for(database, payer)
        async with way_in(settings, payer) as way:
            made.extend(await make_links(way, pairs))

    made: list[Linked] = []
    with refusals():
        run_reading(home, asked_for)
    for linked in made:
        _show_linked(linked, as_json)
    if not made and not as_json:
        typer.echo("no link is waiting")


@app.command("report")
def report_command(
    member: Member,
    payer: Annotated[str, typer.Option(help="The payer whose member it is.")],
    plan: Annotated[str, typer.Option(help="The employer's plan, with KIND:VALUE.")] = "",
    opened: Annotated[bool, typer.Option("--open", help="Also what names the person, in plain words.")] = False,
    purpose: Annotated[str, typer.Option(help="Why it is read; it is noted.")] = "an access request of the person",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """What is held of a person, who read it, what was disclosed, and from which day on it may be erased.

    That you read it is noted before it is shown.

    Example: carepact subject report --payer medicare trptre5mrgzufxpzldbziz5b7a --open
    """

    async def run() -> dict[str, Any]:
        settings = settings_of(home)
        known_payer(settings, payer)
        if not purpose.strip():
            raise Usage("--purpose is empty")
        keys = open_key_store(settings)
        try:
            token = known_token(keys, payer, plan, member)
            used = keys.tokens_of(payer, token)[0]
            await noted(settings, "report", payer, used, purpose.strip()[:2000], opened=opened)
            contract, today = settings.load_roster().payer(payer).contract, datetime.now(UTC).date()
            async with reading(settings) as database:
                asked = (keys, payer, token, today, settings.load_retention(), contract)
                return await report(connection(settings, OPERATOR), database, *asked, opened=opened)
        except UnknownSubject:
            raise NotFound(f"{payer} has no such member") from None
        finally:
            keys.close()

    with refusals():
        document = asyncio.run(run())
    if as_json:
        print_json(document)
    else:
        for line in told_report(document):
            typer.echo(line)


@app.command("erase")
def erase_command(
    member: Member,
    payer: Annotated[str, typer.Option(help="The payer whose member it is.")],
    why: Annotated[str, typer.Option(help="On what request, in words that name no patient.")],
    plan: Annotated[str, typer.Option(help="The employer's plan, with KIND:VALUE.")] = "",
    rotate: Annotated[
        bool,
        typer.Option("--rotate", help="Then wrap all keys anew, so that no backup of the key store opens any more."),
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Destroy the keys of what names a person. It cannot be undone; tokens, codes, days and cents stay as they are.

    Refused (exit 1) while a duty to keep runs, with the rule. Exits 5 when something that names the person is sealed
    under a key that is not its own alone, by an older version.

    Example: carepact subject erase --payer medicare trptre5mrgzufxpzldbziz5b7a --why "request 2041-17 of the member"
    """

    async def run() -> dict[str, Any]:
        settings = settings_of(home)
        known_payer(settings, payer)
        if not why.strip():
            raise Usage("--why is empty")
        async with way_in(settings, payer) as way, reading(settings) as database:
            token = known_token(way.keys, payer, plan, member)
            answers = Acknowledgements(settings.home_folder.path / GATEWAY_FOLDER)
            contract = settings.load_roster().payer(payer).contract

            async def forget(naming: Naming) -> int:
                return await asyncio.to_thread(answers.forget, way.keys.payer_keys(payer), naming.found_in)

            today = datetime.now(UTC).date()
            asked = (token, why.strip()[:2000], today, settings.load_retention(), contract, forget)
            try:
                erased = await erase(way, database, *asked)
            except UnknownSubject:
                raise NotFound(f"{payer} has no member {token}") from None
            except DutyToKeep as refused:
                duties = [each.as_document() for each in refused.running]
                return {"payer": payer, "member": token, "status": "refused", "duties": duties}
            if rotate:
                await asyncio.to_thread(open_and_rotate, settings)
        status = "already_erased" if erased.was_erased else "erased_in_part" if erased.rejects_left else "erased"
        return {
            "payer": payer,
            "member": erased.member,
            "status": status,
            "tokens": list(erased.tokens),
            "facts": erased.facts,
            "rejects": list(erased.rejects),
            "rejects_left": list(erased.rejects_left),
            "acknowledgements": erased.acknowledgements,
            "rotated": rotate,
        }

    with refusals():
        document = asyncio.run(run())
        if document["status"] == "refused":
            if as_json:
                print_json(document)
            first = document["duties"][0]
            rule = f"{first['label']} ({first['source']}; {first['status']})"
            raise Refused(f"{document['member']} is not erased before {first['ends_on']}: {rule}")
    if as_json:
        print_json(document)
    else:
        typer.echo(f"{document['member']}: {document['status'].replace('_', ' ')}")
        typer.echo(f"    {document['facts']} facts and {len(document['rejects'])} rejects open no more")
        if document["rejects_left"]:
            typer.echo(f"    STILL OPEN, sealed by an older version: rejects {', '.join(document['rejects_left'])}")
        if not rotate:
            typer.echo("    backups of the key store open until `carepact keys rotate`")
    raise typer.Exit(DONE_IN_PART if document["rejects_left"] else 0)


def known_token(keys: KeyStore, payer: str, plan: str, text: str) -> str:
    """The token that a command line names; `NotFound` when no member has the identifier."""
    if (identifier := _identifier(text)) is None:
        return text
    digest = identifier_digest(keys.payer_keys(payer).pseudonym, plan, identifier)
    if (found := keys.known(payer, [digest]).get(digest)) is None:
        raise NotFound(f"{payer} has no member of that identifier" + ("" if plan else "; a plan's needs --plan"))
    return found.token


def _token(keys: KeyStore, payer: str, plan: str, text: str) -> str:
    identifier = _identifier(text)
    return text if identifier is None else token_of(keys, payer, plan, identifier)


def _identifier(text: str) -> Identifier | None:
    """The identifier that a command line gives; None of a token."""
    kind, colon, value = text.partition(":")
    if not colon:
        return None
    if kind not in KINDS:
        raise Usage(f"an identifier is KIND:VALUE with a kind of {', '.join(KINDS)}")
    return Identifier.model_validate({"kind": kind, "value": value})
