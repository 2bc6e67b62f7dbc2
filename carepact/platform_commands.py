"""The commands of the local platform: up, down, status, wait, doctor."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console

from carepact.adopting import adopt_bundled
from carepact.local import running
from carepact.local.command import Command
from carepact.local.doctor import examine
from carepact.local.errors import PlatformError, Refused
from carepact.local.gateway import Gateway
from carepact.local.platform import LocalPlatform
from carepact.local.status import all_up, status
from carepact.local.supervisor import Part
from carepact.local.waiting import wait
from carepact.logging import to_stderr
from carepact.settings import Settings
from streams.keys import KeyStoreAway, KeyStoreError

DELIVERER_STOP_SECONDS = 25.0  # what is under way comes to its end

app = typer.Typer(no_args_is_help=True, add_completion=False)

Home = Annotated[Path | None, typer.Option(help="The platform's folder.", envvar="CAREPACT_HOME", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, and nothing else.")]


@app.command("up")
def up_command(
    home: Home = None,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Worker processes of the contract agents.")] = 1,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="The gateway's port; a home keeps the one it chose.", show_default=False),
    ] = None,
    gateway: Annotated[bool, typer.Option(help="Serve HTTP too, and send webhooks.")] = True,
    close_days: Annotated[bool, typer.Option(help="Close each payer's days as they pass, in its time zone.")] = False,
    detach: Annotated[bool, typer.Option(help="Return when all is ready, and leave it running.")] = False,
    ready_descriptor: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Start the platform and keep it running until Ctrl-C, SIGTERM, or the end of the process that started it.

    Example: carepact up --workers 2 --port 8080 --detach
    """
    with reported(ready_descriptor):
        settings = settings_of(home)
        if detach:
            words = ["--close-days"] if close_days else []
            words += ["--port", str(port)] if port else []
            running.up_detached(settings, workers, words if gateway else [*words, "--no-gateway"])
            say(f"carepact runs in {settings.home_folder}; stop it with `carepact down`")
            return
        to_stderr()
        platform = LocalPlatform(
            settings=settings,
            workers=workers,
            gateway=gateway_of(settings, port) if gateway else None,
            more_parts=_more_parts(settings, close_days=close_days, webhooks=gateway),
            prepared=lambda: _adopt(settings),
        )

        def ready() -> None:
            running.tell(ready_descriptor, 0)
            said = platform.home.state()
            served = f", HTTP at {said['gateway']['url']}" if gateway else ""
            say(f"ready: Kafka at {said['kafka']['bootstrap']}, PostgreSQL at {said['postgres']['dsn']}{served}")

        code = asyncio.run(running.up(platform, with_parent=ready_descriptor is None, ready=ready))
    raise typer.Exit(code)


@app.command("setup")
def setup_command(home: Home = None) -> None:
    """Make topics, users, access lists, first records and tables on the stores that the environment names, and end.

    Example: CAREPACT_KAFKA=kafka-1:9092 CAREPACT_POSTGRES=postgresql://db/carepact carepact setup
    """
    with reported():
        settings = settings_of(home)
        if settings.kafka is None or settings.postgres is None:
            raise Refused("CAREPACT_KAFKA and CAREPACT_POSTGRES name the stores to set up; `carepact up` has its own")
        to_stderr()
        asyncio.run(_start_and_stop(LocalPlatform(settings=settings, prepared=lambda: _adopt(settings))))
        say("both stores are set up")


def _more_parts(settings: Settings, *, close_days: bool, webhooks: bool) -> list[Part]:
    names = [*(["calendar"] if close_days else []), *(["checkpoints"] if settings.checkpoint_seconds else [])]
    parts = [Command(settings.home_folder, name) for name in names]
    if webhooks:  # their endpoints are made by the gateway
        parts.append(Command(settings.home_folder, "deliverer", DELIVERER_STOP_SECONDS))
    return [*parts]


def gateway_of(settings: Settings, port: int | None = None) -> Gateway:
    """The gateway's process as a part of the platform."""
    tls = settings.gateway_tls is not None
    return Gateway(settings.home_folder, settings.gateway_host, port or settings.gateway_port, tls=tls)


async def _adopt(settings: Settings) -> None:
    """A log that has adopted no terms adopts those of this build; one that has keeps its own."""
    await adopt_bundled(settings)


async def _start_and_stop(platform: LocalPlatform) -> None:
    async with platform:
        pass


@app.command("down")
def down_command(home: Home = None) -> None:
    """Stop the platform of a home, with all that an ended supervisor may have left.

    Example: carepact down --home /srv/carepact
    """
    with reported():
        settings = settings_of(home)
        stopped = running.down(settings.home_folder)
        say(f"carepact in {settings.home_folder} {'has stopped' if stopped else 'was not running'}")


@app.command("status")
def status_command(home: Home = None, as_json: Json = False) -> None:
    """What runs and how far behind it is; exits 0 only when every part is up.

    Example: carepact status --json
    """
    with reported():
        document = asyncio.run(status(settings_of(home)))
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    else:
        _show(document)
    raise typer.Exit(0 if all_up(document) else 1)


@app.command("wait")
def wait_command(
    home: Home = None, timeout: Annotated[float, typer.Option(min=0, help="Seconds until giving up.")] = 120
) -> None:
    """Return when everything published so far is projected and relayed; exit 75 on time-out.

    Example: carepact wait --timeout 300
    """
    with reported():
        asyncio.run(wait(settings_of(home), timeout))


@app.command("doctor")
def doctor_command(home: Home = None, as_json: Json = False) -> None:
    """What is missing on this machine, and what to do; exits 1 when something is.

    Example: carepact doctor
    """
    with reported():
        findings = list(examine(settings_of(home)))
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(findings, option=orjson.OPT_INDENT_2) + b"\n")
    else:
        for finding in findings:
            remedy = f"  ({finding.remedy})" if finding.remedy else ""
            print(f"{'ok  ' if finding.ok else 'LACK'} {finding.name:<11} {finding.found}{remedy}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def settings_of(home: Path | None) -> Settings:
    """Settings of the environment, with the home that an option names."""
    return Settings(home=home) if home else Settings()


@contextmanager
def reported(descriptor: int | None = None) -> Iterator[None]:
    """Turn what the platform refuses into one line on standard error and its exit code."""
    try:
        yield
    except (PlatformError, ValidationError, KeyStoreError) as error:
        code = error.exit_code if isinstance(error, PlatformError) else 75 if isinstance(error, KeyStoreAway) else 3
        message = str(error)
        running.tell(descriptor, code, message)
        say(f"carepact: {message}")
        raise typer.Exit(code) from None


def say(message: str) -> None:
    """One line on standard error, which scripts may ignore."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(message)


def _show(document: dict[str, Any]) -> None:
    for part, address in (("kafka", "bootstrap"), ("postgres", "dsn")):
        print(f"{part:<9} {'up  ' if document[part]['up'] else 'DOWN'} {document[part][address] or '-'}")
    for number, worker in enumerate(document["workers"]):
        print(f"worker {number:<2} {'up  ' if worker['up'] else 'DOWN'} pid {worker['pid']}")
    if url := document["gateway"]["url"]:
        print(f"{'gateway':<9} {'up  ' if document['gateway']['up'] else 'DOWN'} {url}")
    for part in document["parts"]:
        print(f"{part['name']:<11} {'up  ' if part['up'] else 'DOWN'} pid {part['pid']}")
    for agent in document["agents"]:
        lag = "unknown" if agent["lag"] is None else f"{agent['lag']} records behind"
        print(f"{agent['payer']:<14} {agent['partitions']} partitions, {lag}")
    for name in ("outbox_pending", "rejects", "parked", "halted"):
        print(f"{name:<14} {'unknown' if document[name] is None else document[name]}")


if __name__ == "__main__":
    app()
