"""`carepact rejects`: what could not be taken in, and what an operator does about it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import orjson
import typer

from carepact.local.errors import TryAgain
from carepact.platform_commands import Home, Json, settings_of
from carepact.publish_commands import (
    DONE_IN_PART,
    CannotPublish,
    Timeout,
    Wait,
    WayIn,
    check,
    print_json,
    probe,
    read_all,
    refusals,
    waiting,
    way_in,
)
from carepact.read_commands import NotFound, Refused, Usage, known_payer
from carepact.read_commands import run as run_reading
from carepact.settings import Settings, connection
from contracts.events import OperatorAct, PersonalDataRead, RejectDropped
from formats.reading import Read, Reject
from gateway.masking import View, as_seen
from projections.rejects import DROPPED, OPEN, RETRIED, rejects, rejects_named
from streams.door import Submission
from streams.keys import KeyDestroyed, KeyStore
from streams.publishing import Published, settle
from streams.resending import MixedShifts, Resent, Way, as_they_were, at, corrected
from streams.retrying import NotKept, opened, told, values_at
from streams.topics import OPERATOR

app = typer.Typer(no_args_is_help=True, help="What could not be taken in, with its place and its remedy.")

Row = dict[str, Any]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Rejects, as `carepact rejects list` names them.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The reject, as `carepact rejects list` names it.")]


@app.command("list")
def list_command(
    payer: Annotated[str | None, typer.Option(help="Only this payer.", show_default=False)] = None,
    status: Annotated[
        str | None, typer.Option(help=f"Only {OPEN}, {RETRIED} or {DROPPED} ones.", show_default=False)
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Every reject: where it was, what is wrong, what to do, what was done. With --json one object a line.

    Example: carepact rejects list --payer medicare --status open
    """

    async def show(database: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        if status not in (None, OPEN, RETRIED, DROPPED):
            raise Usage(f"--status is {OPEN}, {RETRIED} or {DROPPED}; not {status}")
        async for reject in rejects(database, payer, status):
            if as_json:
                sys.stdout.buffer.write(orjson.dumps(reject) + b"\n")
            else:
                typer.echo("\n".join(_told(reject)))
        sys.stdout.flush()

    run_reading(home, show)


@app.command("show")
def show_command(
    reject: Id,
    view: Annotated[
        View, typer.Option(help="How much of the record; that you look at it is noted, but for none.")
    ] = "masked",
    purpose: Annotated[str, typer.Option(help="Why you look at it.")] = "to correct a rejected record",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """One reject: place, code, reason, remedy, sizes, and the record: its shape, its open fields, or all of it.

    Example: carepact rejects show 0d9a3f0e-6d0f-5c4b-9d7c-6f1f5b2c8a11
    """

    async def show() -> Row:
        settings = settings_of(home)
        (row,) = await _named(settings, [reject])
        reach = connection(settings, OPERATOR)
        value = await _value(reach, row)
        event = told(row["payer"], row["topic"], value)
        sizes = ("held_against", "format", "shift_years", "head_bytes", "raw_bytes", "kept_bytes")
        document = row | ({name: getattr(event, name) for name in sizes} if event else {"raw_bytes": len(value)})
        if view == "none":
            return document
        async with way_in(settings, row["payer"], row["plan"]) as way:
            said = f"{view}: {purpose}"
            await way.state(PersonalDataRead(**way.who, what="reject", subject=row["reject_id"], purpose=said))
            try:
                record = opened(way.keys, row["payer"], row["topic"], value)
            except KeyDestroyed:
                raise Refused("the record named a person who was erased; it can be opened no more") from None
            format_ = event.format if event else "ndjson"
            return document | {"view": view, **as_seen(record, format_, view)}

    with refusals():
        document = asyncio.run(show())
    if as_json:
        print_json(document)
        return
    typer.echo("\n".join(_told(document)))
    for name in ("held_against", "format", "raw_bytes", "kept_bytes", "known_at"):
        if name in document:
            typer.echo(f"    {name}: {document[name]}")
    if view != "none":
        sys.stdout.flush()
        sys.stdout.buffer.write(str(document.get("record", document.get("record_base64"))).encode() + b"\n")
        sys.stdout.buffer.flush()


@app.command("retry")
def retry_command(
    ids: Ids,
    with_: Annotated[
        Path | None, typer.Option("--with", exists=True, dir_okay=False, help="The corrected records, for all ids.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="Of the corrected file.")] = "auto",
    wait: Wait = False,
    timeout: Timeout = 300,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Send rejected records through the door again, as they were or corrected. Exits 5 when something was rejected.

    They are sent in the order in which they were refused. What the door takes is `retried`; what it refuses stays open.

    Example: carepact rejects retry 0d9a3f0e-6d0f-5c4b-9d7c-6f1f5b2c8a11 --with corrected.ndjson
    """

    async def retry() -> Row:
        settings = settings_of(home)
        rows = await _named(settings, ids)
        if with_ is not None and len({_tenant(row) for row in rows}) > 1:
            raise Usage("--with FILE is for rejects of one payer and plan; retry those of each apart")
        done: list[str] = []
        counts = dict.fromkeys(("read", "accepted", "duplicate", "rejected"), 0)
        for (payer, plan), part in groupby(sorted(rows, key=_tenant), key=_tenant):
            check(settings, payer, plan, format_)
            async for sent in _retried(settings, list(part), with_, format_):
                done += sent.ids if sent.taken else ()
                if wait:
                    await waiting(settings, timeout, partial(settle, payer=payer, published=sent.published))
                counts = {name: count + getattr(sent.published, name) for name, count in counts.items()}
        return {"retried": done, "open": [row["reject_id"] for row in rows if row["reject_id"] not in done], **counts}

    with refusals():
        try:
            document = asyncio.run(retry())
        except MixedShifts as refused:
            raise Usage(str(refused)) from None
        except NotKept as refused:
            raise CannotPublish(str(refused)) from None
    if as_json:
        print_json(document)
    else:
        typer.echo(f"{len(document['retried'])} retried, {len(document['open'])} still open")
    raise typer.Exit(DONE_IN_PART if document["open"] else 0)


@app.command("drop")
def drop_command(
    reject: Id,
    why: Annotated[str, typer.Option(help="The reason, in words that name no patient.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Decide that a rejected record will not be sent again. It stays in the list, and `status` no longer counts it.

    Example: carepact rejects drop 0d9a3f0e-6d0f-5c4b-9d7c-6f1f5b2c8a11 --why "a test file of the sender"
    """

    async def drop() -> Row:
        settings = settings_of(home)
        if not why.strip():
            raise Usage("--why is empty")
        (row,) = await _named(settings, [reject])
        if row["status"] == RETRIED:
            raise Refused(f"reject {row['reject_id']} was sent again already, and is no longer open")
        async with way_in(settings, row["payer"], row["plan"]) as way:
            await way.state(RejectDropped(**way.who, reject_id=row["reject_id"], why=why.strip()[:2000]))
            return {"reject_id": row["reject_id"], "status": DROPPED, "why": why.strip()[:2000], "by": way.who["by"]}

    with refusals():
        document = asyncio.run(drop())
    if as_json:
        print_json(document)
    else:
        typer.echo(f"{document['reject_id']} dropped")


@dataclass(frozen=True)
class _Opened:
    """The way in of this operator (`streams.resending.Way`)."""

    way: WayIn

    @property
    def keys(self) -> KeyStore:
        return self.way.keys

    @property
    def who(self) -> dict[str, Any]:
        return self.way.who

    async def send(self, items: Iterable[Read], submission: Submission, refused: Callable[[Reject], None]) -> Published:
        publisher = self.way.publisher(submission)
        publisher.refused = refused
        return await publisher.publish(items)

    async def state(self, act: OperatorAct) -> None:
        await self.way.state(act)


async def _retried(settings: Settings, rows: Sequence[Row], file: Path | None, format_: str) -> AsyncIterator[Resent]:
    """Send the rejects of one tenant again."""

    @asynccontextmanager
    async def opened(shift_years: int) -> AsyncIterator[Way]:
        async with way_in(settings, *_tenant(rows[0]), shift_years) as way:
            yield _Opened(way)

    reach = connection(settings, OPERATOR)
    if file is None:
        async for sent in as_they_were(reach, rows, opened):
            yield sent
        return
    probe([file], format_)
    yield await corrected(reach, rows, read_all([file], format_), opened)


async def _named(settings: Settings, texts: Sequence[str]) -> list[Row]:
    """The rejects of these ids, in the order in which they were refused; each must be there."""
    try:
        ids = [UUID(text) for text in dict.fromkeys(texts)]
    except ValueError:
        raise NotFound("that is not an id of a reject; `carepact rejects list` names them") from None
    try:
        database = await asyncpg.connect(connection(settings, OPERATOR).postgres, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise TryAgain(f"PostgreSQL does not answer ({type(error).__name__})") from None
    try:
        found = await rejects_named(database, ids)
    finally:
        await database.close()
    there = {row["reject_id"] for row in found}
    if lacking := [str(each) for each in ids if str(each) not in there]:
        raise NotFound(f"there is no reject {lacking[0]}")
    return found


async def _value(reach: Any, row: Row) -> bytes:
    found = await values_at(reach, [at(row)])
    if not found:
        raise CannotPublish(f"{row['topic']}[{row['partition']}] has no record at {row['offset']}")
    return found[at(row)]


def _tenant(row: Row) -> tuple[str, str]:
    return row["payer"], row["plan"]


def _told(reject: Mapping[str, Any]) -> Iterator[str]:
    log = f"{reject['topic']}[{reject['partition']}] offset {reject['offset']}"
    place = f"{reject['file']}:{reject['line']}" if reject["file"] else log
    field = f" {reject['field']}" if reject["field"] else ""
    yield f"{place}{field}"
    yield f"    {reject['code']}: {reject['reason']}"
    done = "" if reject["status"] == OPEN else f", {reject['status']}: {reject['why']}"
    yield f"    {reject['remedy']}  ({reject['payer']}, {reject['reject_id']}{done})"
