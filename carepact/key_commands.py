"""`carepact keys`: credentials of those who call the gateway or Kafka, and the key store's own custody."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, cast

import asyncpg
import orjson
import typer

from carepact.key_custody import backed_up, open_and_rotate, restored
from carepact.local.errors import TryAgain
from carepact.platform_commands import Home, Json, say, settings_of
from carepact.publish_commands import print_json, refusals
from carepact.read_commands import NotFound, Refused, Usage, known_payer
from carepact.read_commands import run as run_reading
from carepact.settings import Settings, acting, connection, open_key_store
from contracts.events import CredentialCreated, CredentialRevoked, OperatorAct
from contracts.events.operations import EVERY_PAYER, Role
from gateway.credentials import ACTIVE_MAX, PURPOSE, new_key, secret_digest
from gateway.principals import (
    AUDITOR,
    BREAK_GLASS,
    EMPLOYER,
    OPERATOR,
    PRACTICE,
    ROLES,
    SCOPES,
    principal_name,
    scopes_of,
)
from projections.credentials import credentials
from streams.admin import Admin
from streams.log_writer import LogWriter
from streams.operations import state
from streams.topics import OPERATOR as OPERATOR_USER
from streams.topics import PLATFORM, granted

app = typer.Typer(no_args_is_help=True, help="Credentials of callers, and custody of the key store.")

GLASS_HOURS, GLASS_HOURS_MAX = 4, 24
"""How long a key that breaks the glass opens, and the longest."""

IN_FORCE_SECONDS = 10.0
LOOK_SECONDS = 0.05

Row = dict[str, Any]


@app.command("create")
def create_command(
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")],
    payer: Annotated[str, typer.Option(help="Whose data it is; an operator or auditor may be of all.")] = "",
    plan: Annotated[str, typer.Option(help="The employer's plan.")] = "",
    practice: Annotated[str, typer.Option(help="The practice, for the role practice.")] = "",
    name: Annotated[str, typer.Option(help="Tells callers of one tenant apart, such as `clearinghouse`.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help=f"Only these of its role's: {', '.join(SCOPES)}.", show_default=False)
    ] = None,
    expires_on: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The first day (UTC) on which it opens nothing.")
    ] = None,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="A Kafka user too, of the key's id, with the key as its password.")
    ] = False,
    why: Annotated[str, typer.Option(help="Of break_glass: the reason, in words that name no patient.")] = "",
    hours: Annotated[
        int, typer.Option(min=1, max=GLASS_HOURS_MAX, help="Of break_glass: how long it opens.")
    ] = GLASS_HOURS,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a key and show it, this once. A holder may have two at a time: make the new one, then revoke the old.

    Example: carepact keys create --role payer --payer medicare
    """
    expires_at = expires_on.replace(tzinfo=UTC) if expires_on else None
    if role == BREAK_GLASS:
        expires_at = datetime.now(UTC) + timedelta(hours=hours)

    async def create() -> Row:
        settings = settings_of(home)
        holder = (role, payer, plan, practice, name)
        _check(settings, *holder)
        if bool(why.strip()) != (role == BREAK_GLASS):
            raise Usage("--why goes with the role break_glass, which needs it")
        grants = granted(role, payer, plan)
        if kafka and not grants:
            raise Usage(f"the role {role} has no part on Kafka")
        scopes = scopes_of(role) if not scope else frozenset(scope)
        if beyond := scopes - scopes_of(role):
            raise Usage(f"not for the role {role}: {', '.join(sorted(beyond))}")
        mine = [row for row in await _all(settings) if _holder(row) == holder and row["status"] == "active"]
        if len(mine) >= ACTIVE_MAX:
            ids = ", ".join(row["credential_id"] for row in mine)
            raise Refused(f"{principal_name(*holder)} has {len(mine)} keys already ({ids}); revoke one first")
        made = new_key()
        keys = open_key_store(settings)
        try:
            digest = secret_digest(keys.platform_key(PURPOSE), made.text)
        finally:
            keys.close()
        act = CredentialCreated(
            payer=payer or EVERY_PAYER,
            plan=plan,
            by=acting(),
            credential_id=made.credential_id,
            role=cast(Role, role),
            name=name,
            practice=practice,
            scopes=tuple(sorted(scopes)),
            secret_digest=digest,
            expires_at=expires_at,
            why=why.strip()[:2000],
            kafka=kafka,
        )
        await _state(settings, act)
        if kafka:
            await asyncio.to_thread(_admin(settings).admit, made.credential_id, made.text, grants)
        in_force = await _until(settings, made.credential_id, "active")
        told: Row = {"credential_id": made.credential_id, "key": made.text, "principal": principal_name(*holder)}
        told |= {"kafka_user": made.credential_id} if kafka else {}
        return told | {"scopes": sorted(scopes), "expires_at": _instant(expires_at), "in_force": in_force}

    with refusals():
        document = asyncio.run(create())
    if as_json:
        print_json(document)
    else:
        typer.echo(document["key"])
        say(f"{document['credential_id']} for {document['principal']}: {', '.join(document['scopes'])}")
        say("it is kept nowhere and not shown again")
    if not document["in_force"]:
        say("it opens nothing before a worker has seen it (`carepact status`)")


@app.command("list")
def list_command(
    payer: Annotated[str | None, typer.Option(help="Only this payer's.", show_default=False)] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Every key, whose it is, and whether it is active; never the key itself. With --json one object a line.

    Example: carepact keys list --payer medicare
    """

    async def show(database: Any, settings: Settings) -> None:
        known_payer(settings, payer)
        for row in await credentials(database):
            key = _shown(row)
            if payer not in (None, key["payer"]):
                continue
            if as_json:
                sys.stdout.buffer.write(orjson.dumps(key) + b"\n")
            else:
                typer.echo(f"{key['credential_id']}  {key['status']:<8} {key['principal']}: {', '.join(key['scopes'])}")
        sys.stdout.flush()

    run_reading(home, show)


@app.command("revoke")
def revoke_command(
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `carepact keys list` names it.")],
    why: Annotated[str, typer.Option(help="The reason, in words that name no patient.")] = "no longer needed",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Have a key open nothing any more: within seconds, where the database and a worker are up.

    Example: carepact keys revoke abcdefgh234567ab --why "the clearinghouse was changed"
    """

    async def revoke() -> Row:
        settings = settings_of(home)
        if not why.strip():
            raise Usage("--why is empty")
        found = next((row for row in await _all(settings) if row["credential_id"] == key), None)
        if found is None:
            raise NotFound("there is no key of that id; `carepact keys list` names them")
        if found["status"] != "revoked":
            act = CredentialRevoked(
                payer=found["payer"] or EVERY_PAYER, plan=found["plan"], by=acting(), credential_id=key, why=why.strip()
            )
            await _state(settings, act)
            await _until(settings, key, "revoked")
        if granted(found["role"], found["payer"], found["plan"]):
            await asyncio.to_thread(_admin(settings).dismiss, key)
        return {"credential_id": key, "status": "revoked"}

    with refusals():
        document = asyncio.run(revoke())
    if as_json:
        print_json(document)
    else:
        typer.echo(f"{key} revoked")


@app.command("rotate")
def rotate_command(home: Home = None, as_json: Json = False) -> None:
    """Wrap every key of the key store anew, under a new wrapping key, while others read and write.

    Killed at any point the store still opens; run it again to finish. Backups from before open no more: make a new one.
    With keys by CAREPACT_WRAPPING_KEY put the new one first and the old one after it, run this, then drop the old one.

    Example: carepact keys rotate
    """
    with refusals():
        count = open_and_rotate(settings_of(home))
    if as_json:
        print_json({"rewrapped": count})
    else:
        typer.echo(f"{count:,} keys are wrapped anew; make a new backup (`carepact keys backup`)")


@app.command("backup")
def backup_command(
    out: Annotated[Path, typer.Option(help="A new file.")], home: Home = None, as_json: Json = False
) -> None:
    """Copy the key store, as of one moment, to a new file. The wrapping key is not in it: keep that elsewhere.

    Example: carepact keys backup --out /backup/keys-2026-01-31.sqlite3
    """
    with refusals():
        try:
            backed_up(settings_of(home), out)
        except FileExistsError:
            raise Usage(f"{out} is there already; name a new file") from None
    if as_json:
        print_json({"file": str(out)})
    else:
        typer.echo(f"{out}: the keys, wrapped; the wrapping key is not in it")


@app.command("restore")
def restore_command(
    source: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A file of `carepact keys backup`.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take in what a backup has and the key store has not. Who was erased stays so: the logs tell who that is.

    Reads every log from its first record. Run it before anything else uses the store.

    Example: carepact keys restore /backup/keys-2026-01-31.sqlite3
    """
    with refusals():
        document = asyncio.run(restored(settings_of(home), source))
    if as_json:
        print_json(document)
    else:
        typer.echo(f"restored; {document['erased']} members who were erased stay so")


def _check(settings: Settings, role: str, payer: str, plan: str, practice: str, name: str) -> None:
    if role not in ROLES:
        raise Usage(f"--role is {', '.join(ROLES)}; not {role}")
    if not payer and role not in (OPERATOR, AUDITOR):
        raise Usage(f"a key of the role {role} needs --payer")
    if bool(practice) != (role == PRACTICE):
        raise Usage("--practice goes with the role practice, and with no other")
    if payer:
        known_payer(settings, payer)
    plans = [each.name for each in settings.load_roster().payer(payer).plans] if payer else []
    if plan and plan not in plans:
        raise NotFound(f"{payer or 'no payer'} has no plan {plan}; there are {', '.join(plans) or 'none'}")
    if role == EMPLOYER and not plan:
        raise Usage(f"a key of an employer needs --plan: {', '.join(plans) or 'this payer has none'}")
    if not re.fullmatch(r"[a-z0-9-]{0,64}", name):
        raise Usage("--name has small letters, digits and dashes")
    if not re.fullmatch(r"[A-Za-z0-9-]{0,32}", practice):
        raise Usage("--practice has letters, digits and dashes")


def _admin(settings: Settings) -> Admin:
    return Admin(connection(settings, PLATFORM).confluent())


def _holder(row: Row) -> tuple[str, ...]:
    return tuple(row[part] for part in ("role", "payer", "plan", "practice", "name"))


def _shown(row: Any) -> Row:
    shown = {
        name: row[name] for name in ("credential_id", "role", "payer", "plan", "practice", "name", "created_by")
    } | {name: _instant(row[name]) for name in ("created_at", "expires_at", "revoked_at")}
    expired = row["expires_at"] is not None and row["expires_at"] <= datetime.now(UTC)
    status = "revoked" if row["revoked_at"] else "expired" if expired else "active"
    return shown | {
        "status": status,
        "principal": principal_name(*_holder(shown)),
        "scopes": sorted(row["scopes"]),
        "revoked_why": row["revoked_why"],
    }


def _instant(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None


async def _state(settings: Settings, act: OperatorAct) -> None:
    async with LogWriter(connection(settings, OPERATOR_USER), "carepact.keys") as writer:
        await state(writer, settings.load_roster(), act)


async def _all(settings: Settings) -> Sequence[Row]:
    try:
        database = await asyncpg.connect(connection(settings, OPERATOR_USER).postgres, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise TryAgain(f"PostgreSQL does not answer ({type(error).__name__})") from None
    try:
        return [_shown(row) for row in await credentials(database)]
    finally:
        await database.close()


async def _until(settings: Settings, credential_id: str, status: str) -> bool:
    """Whether the table has it within some seconds; a worker brings it there."""

    async def there() -> bool:
        return any(r["credential_id"] == credential_id and r["status"] == status for r in await _all(settings))

    try:
        async with asyncio.timeout(IN_FORCE_SECONDS):
            while not await there():  # noqa: ASYNC110 - a table tells nobody when it changes
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        return False
    return True
