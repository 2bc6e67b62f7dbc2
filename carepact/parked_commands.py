"""`carepact parked`: members whose fold raised. Their facts are kept and wait; all other members go on."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any

import asyncpg
import orjson
import typer
from aiokafka.errors import KafkaError

from carepact.local.errors import PlatformError, TryAgain
from carepact.logging import to_stderr
from carepact.platform_commands import Home, Json, reported, settings_of
from carepact.read_commands import NotFound, known_payer, run
from carepact.settings import Settings, acting, connection
from contracts.events import MemberReleased
from projections.store import open_pool
from streams.log_writer import LogWriter
from streams.operations import state
from streams.parking import LogLacks, NotParked, Released, release
from streams.topics import AGENTS, OPERATOR, log_topic

TELL_SECONDS = 3  # less than a session may be idle in a transaction

app = typer.Typer(no_args_is_help=True, help="Members whose fold raised: their facts wait, all others go on.")


class StillParked(PlatformError):
    """The member's facts were folded again and one still raises."""


@app.command("list")
def list_command(
    payer: Annotated[str | None, typer.Option(help="Only this payer.", show_default=False)] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Every parked member: since which log position, and why. With --json one object a line.

    Example: carepact parked list
    """

    async def show(database: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        rows = await database.fetch(
            """
            SELECT payer, partition, member, log_offset, event_id, reason, since FROM parked_member
             WHERE $1::text IS NULL OR payer = $1 ORDER BY payer, partition, log_offset
            """,
            payer,
        )
        for row in rows:
            at = {"topic": log_topic(row["payer"]), "partition": row["partition"], "offset": row["log_offset"]}
            if as_json:
                document = {
                    "payer": row["payer"],
                    "member": row["member"],
                    "reason": row["reason"],
                    "event_id": str(row["event_id"]),
                    "position": at,
                    "since": row["since"].isoformat().replace("+00:00", "Z"),
                }
                sys.stdout.buffer.write(orjson.dumps(document) + b"\n")
            else:
                typer.echo(f"{row['payer']} {row['member']} at {at['topic']}[{at['partition']}] offset {at['offset']}")
                typer.echo(f"    {row['reason']}")
        sys.stdout.flush()

    run(home, show)


@app.command("release")
def release_command(
    member: Annotated[str, typer.Argument(help="The member's token.")],
    payer: Annotated[str, typer.Option(help="The payer whose member it is.")],
    why: Annotated[str, typer.Option(help="The reason, in words that name no patient.")] = "its cause is cured",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Fold a parked member's waiting facts in order, with the same ids as if it had never been parked.

    Example: carepact parked release --payer medicare trptre5mrgzufxpzldbziz5b7a
    """
    to_stderr()
    with reported():
        settings = settings_of(home)
        known_payer(settings, payer)
        released = asyncio.run(_release(settings, payer, member, why))
        if released.parked_at is not None:
            raise StillParked(f"{member} is parked again, at offset {released.parked_at}: {released.reason}")
    if as_json:
        sys.stdout.buffer.write(orjson.dumps({"payer": payer, "member": member, "facts": released.facts}) + b"\n")
    else:
        typer.echo(f"{member} is released: {released.facts} facts folded")


async def _release(settings: Settings, payer: str, member: str, why: str) -> Released:
    reach, roster = connection(settings, AGENTS), settings.load_roster()
    try:
        pool = await open_pool(reach.postgres, 2)
        try:
            async with LogWriter(connection(settings, OPERATOR), "carepact.parked") as writer:

                async def tell(done: Released) -> None:
                    told = MemberReleased(
                        payer=payer,
                        by=acting(),
                        member=member,
                        partition=done.partition,
                        facts=done.facts,
                        parked_at=done.parked_at,
                        why=why,
                    )
                    async with asyncio.timeout(TELL_SECONDS):
                        await state(writer, roster, told)

                return await release(pool, reach, roster.payer(payer), member, tell=tell)
        finally:
            await pool.close()
    except NotParked as error:
        raise NotFound(str(error)) from None
    except LogLacks as error:
        raise PlatformError(str(error)) from None
    except (OSError, TimeoutError, asyncpg.PostgresError, KafkaError) as error:
        raise TryAgain(f"Kafka or PostgreSQL does not answer ({type(error).__name__})") from error
