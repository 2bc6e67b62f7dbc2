"""`carepact gateway`: the process that serves HTTP. `carepact up` starts and watches it."""

from __future__ import annotations

import gc
import resource
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from carepact.local.errors import Refused
from carepact.logging import to_stderr
from carepact.platform_commands import reported, settings_of
from carepact.schemas import pages
from carepact.settings import Settings, connection, open_key_store
from gateway.app import create_app
from gateway.limits import Limits
from gateway.oidc import Issuers
from gateway.parts import Config
from streams.topics import GATEWAY, topics

PORT = 8080
STOP_SECONDS = 10
KEEP_ALIVE_SECONDS = 30
CONNECTIONS_MAX = 1_000
"""Beside the open streams of feeds."""


def gateway(
    home: Annotated[
        Path | None, typer.Option(help="The platform's folder.", envvar="CAREPACT_HOME", show_default=False)
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="The port to listen on.")] = None,
) -> None:
    """Serve HTTP until Ctrl-C or SIGTERM. `carepact up` does this for you.

    Example: carepact gateway --port 8080
    """
    to_stderr()
    with reported():
        settings = settings_of(home)
        server = server_of(settings, create_app(config_of(settings)), port)
        _allow_files(CONNECTIONS_MAX + settings.gateway_streams)
    gc.set_threshold(400_000, 20, 100)  # what a request makes goes with it; what is loaded stays
    gc.freeze()
    server.run()
    raise typer.Exit(0 if server.started else 1)


def _allow_files(connections: int) -> None:
    """Have as many files open as connections need, as far as this user may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 256
    if soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def server_of(settings: Settings, app: FastAPI, port: int | None = None) -> uvicorn.Server:
    """The server of an app, by TLS if the settings name a certificate."""
    tls = settings.gateway_tls
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.gateway_host,
            port=port or settings.gateway_port or PORT,
            ssl_certfile=tls[0] if tls else None,
            ssl_keyfile=tls[1] if tls else None,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
            limit_concurrency=CONNECTIONS_MAX + settings.gateway_streams,
        )
    )


def config_of(settings: Settings) -> Config:
    """What the settings say of the gateway."""
    roster = settings.load_roster()
    return Config(
        roster=roster,
        connections=connection(settings, GATEWAY),
        declared=topics(roster, settings.log_partitions),
        open_keys=lambda: open_key_store(settings),
        catalogue=pages(),
        spool=settings.home_folder.path / "gateway",
        issuers=_issuers(settings.gateway_oidc),
        webhooks_private=settings.webhooks_private,
        webhooks_ca_file=settings.webhooks_ca,
        limits=Limits(
            body_bytes=settings.gateway_body_bytes,
            file_bytes=settings.gateway_file_bytes,
            requests_per_second=settings.gateway_requests_per_second,
            burst=max(1, round(2 * settings.gateway_requests_per_second)),
            streams=settings.gateway_streams,
        ),
    )


def _issuers(file: Path | None) -> Issuers:
    if file is None:
        return Issuers()
    try:
        return Issuers.load(file.expanduser())
    except (OSError, ValueError, ValidationError) as error:
        raise Refused(f"CAREPACT_GATEWAY_OIDC: {file} is no list of issuers: {error}") from error
