"""`carepact audit`: evidence to hand over, its check, and the chain of signed checkpoints."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import orjson
import typer
from aiokafka.errors import KafkaError

from carepact.local.errors import Refused, TryAgain
from carepact.noting import noted
from carepact.platform_commands import Home, Json, reported, settings_of
from carepact.read_commands import NotFound, Usage
from carepact.settings import Settings, connection
from projections.access import member_of
from streams.checkpoints import FILE, KEY, Book, Signer, examine, heads_of, is_signed, leaves_of, topics_of
from streams.packets import ROLES, NothingToShow, Subject
from streams.packets import made as packet_made
from streams.topics import OPERATOR
from streams.verify_packet import check
from streams.verifying_log import UnreadableLog

app = typer.Typer(no_args_is_help=True, add_completion=False)
DIFFERS = 6
Payer = Annotated[str, typer.Option(help="The payer.")]


@app.callback()
def audit() -> None:
    """Evidence that proves itself."""


class _Office:
    """What audit commands of one payer need."""

    def __init__(self, settings: Settings, payer: str) -> None:
        roster = settings.load_roster()
        if payer not in roster.names:
            raise NotFound(f"there is no payer {payer}; there are {', '.join(roster.names)}")
        self.payer, self.of, self.space = payer, roster.payer(payer), roster.space
        self.reach = connection(settings, OPERATOR)
        self.signer = Signer(settings.home_folder.secrets / KEY)
        self.book = Book(self.reach, settings.home_folder.path / FILE, roster.space)

    async def checkpoint(self) -> tuple[dict[str, Any], Any]:
        """A new checkpoint, in the book, and the leaves that it signs."""
        leaves = await leaves_of(self.reach, topics_of(self.of, self.space))
        return await self.book.sign(self.signer, self.payer, datetime.now(UTC), heads_of(leaves)), leaves


def _run(home: Any, payer: str, work: Callable[[_Office], Awaitable[Any]]) -> Any:
    async def opened() -> Any:
        return await work(_Office(settings_of(home), payer))

    try:
        return asyncio.run(opened())
    except UnreadableLog as damaged:
        raise Refused(str(damaged)) from damaged
    except (OSError, TimeoutError, asyncpg.PostgresError, KafkaError) as error:
        raise TryAgain(f"Kafka or PostgreSQL does not answer ({type(error).__name__}); is the platform up?") from error


@app.command("checkpoint")
def checkpoint_command(payer: Payer, home: Home = None, as_json: Json = False) -> None:
    """Sign the heads of a payer's logs as they stand, on the checkpoints' topic and in a file of the home.

    Example: carepact audit checkpoint --payer medicare
    """
    with reported():
        new, _ = _run(home, payer, lambda office: office.checkpoint())
    if as_json:
        _write(new)
        return
    typer.echo(f"checkpoint of {new['at']} by key {new['public_key']}")
    for head in new["heads"]:
        typer.echo(f"  {head['topic']}[{head['partition']}] {head['size']:>10,} records  {head['root']}")


@app.command("packet")
def packet_command(
    payer: Payer,
    out: Annotated[Path, typer.Option(help="The zip file to write.")],
    payment: Annotated[str, typer.Option(help="One payment, and what it took back or came to.")] = "",
    episode: Annotated[str, typer.Option(help="All payments of an episode.")] = "",
    member: Annotated[str, typer.Option(help="All payments for a member (the token).")] = "",
    practice: Annotated[str, typer.Option(help="All payments to a practice.")] = "",
    period: Annotated[int | None, typer.Option(min=1, max=99, help="Of a performance period only.")] = None,
    subscriber: Annotated[str, typer.Option(help="An employer: what was released to it, and its settlements.")] = "",
    role: Annotated[str, typer.Option(help=f"Whose eyes it is for: {', '.join(ROLES)}.")] = "auditor",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """One zip file: facts, terms, arithmetic, proofs, signatures, a page to read, and verify.py that needs no other.

    Without a choice, all payments of the payer.

    Example: carepact audit packet --payer medicare --practice 570000101 --period 3 --out packet.zip
    """
    with reported():
        if role not in ROLES:
            raise Usage(f"--role is one of {', '.join(ROLES)}, not {role!r}")
        if (role == "practice" and not practice) or (role == "subscriber" and not subscriber):
            raise Usage(f"a packet for a {role} needs --{role}")
        subject = Subject(payer, _id(payment), _id(episode), member, practice, period, subscriber)

        async def work(office: _Office) -> bytes:
            database = await asyncpg.connect(office.reach.postgres, timeout=10)
            try:
                one = subject.payment or subject.episode
                of = member or (await member_of(database, one) if one else None)
                await noted(settings_of(home), "packet", payer, of, f"evidence, as for: {role}", asked=subject.told)
                new, leaves = await office.checkpoint()
                at = datetime.now(UTC)
                return await packet_made(office.reach, database, subject, role, office.signer, new, leaves, at)
            except NothingToShow as nothing:
                raise NotFound(str(nothing)) from None
            finally:
                await database.close()

        packet = _run(home, payer, work)
        out.write_bytes(packet)
        key = Signer(settings_of(home).home_folder.secrets / KEY).public_key
    if as_json:
        _write({"file": str(out), "bytes": len(packet), "public_key": key})
    else:
        typer.echo(f"{out}: {len(packet):,} bytes, signed by {key}")
        typer.echo(f"check it anywhere: unzip it, then python -I -S verify.py --key {key}")


def _id(text: str) -> str:
    try:
        return str(UUID(text)) if text else ""
    except ValueError:
        raise NotFound("that is not an id of an episode or a payment") from None


@app.command("verify")
def verify_command(
    file: Annotated[Path, typer.Argument(help="A packet: the zip file or its folder.")],
    key: Annotated[str, typer.Option(help="The public key it must be signed by; this home's, if it has one.")] = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Check a packet by nothing but itself: exits 6 and says why when it is not right.

    Example: carepact audit verify packet.zip
    """
    with reported():
        if not file.exists():
            raise NotFound(f"there is no file {file}")
        own = settings_of(home).home_folder.secrets / KEY
        pinned = key or (Signer(own).public_key if own.exists() else "")
        right, found = check(file, pinned)
    if as_json:
        _write({"verified": right, "checked": found.passed, "wrong": found.wrong, "not_checked": found.unchecked})
    else:
        told = (("checked", found.passed if right else []), ("WRONG", found.wrong), ("not checked", found.unchecked))
        for kind, said in told:
            for one in said:
                typer.echo(f"{kind}: {one}")
        typer.echo("the packet is whole and right" if right else "THE PACKET IS NOT RIGHT")
    raise typer.Exit(0 if right else DIFFERS)


@app.command("chain")
def chain_command(payer: Payer, home: Home = None, as_json: Json = False) -> None:
    """Every checkpoint of a payer against its logs as they stand: signed, in order, and each log still begins so.

    Example: carepact audit chain --payer medicare
    """
    with reported():

        async def work(office: _Office) -> tuple[list[dict[str, Any]], list[Any], str]:
            leaves = await leaves_of(office.reach, topics_of(office.of, office.space))
            wrong = await examine(office.book, office.payer, leaves, office.signer.public_key)
            return office.book.filed(office.payer), wrong, office.signer.public_key

        checkpoints, wrong, key = _run(home, payer, work)
    if as_json:
        _write(
            {
                "verified": not wrong,
                "public_key": key,
                "checkpoints": [one | {"signed": is_signed(one)} for one in checkpoints],
                "wrong": [{"checkpoint": one.checkpoint, "reason": one.reason} for one in wrong],
            }
        )
    else:
        typer.echo(f"key {key}")
        for one in checkpoints:
            records = sum(head["size"] for head in one.get("heads", ()))
            typer.echo(f"{one.get('at', 'unreadable')}  {records:,} records in {len(one.get('heads', ()))} partitions")
        for broken in wrong:
            typer.echo(f"WRONG: {broken.checkpoint} {broken.reason}")
        if not wrong:
            typer.echo("every checkpoint is signed and in order, and every log begins as it was signed")
    raise typer.Exit(DIFFERS if wrong else 0)


def _write(document: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.buffer.flush()
