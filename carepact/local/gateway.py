"""The gateway's process, as a part that is kept running."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from contextlib import suppress

from carepact.local.errors import Refused
from carepact.local.home import Home, free_ports, port_is_free
from carepact.local.processes import spawn
from carepact.local.supervisor import Process

ASK_SECONDS = 2.0


class Gateway:
    """`carepact gateway`, on a port that is asked for, or that the home keeps once it has chosen one."""

    name = "gateway"
    stop_signal = signal.SIGTERM
    stop_seconds = 20.0

    def __init__(self, home: Home, host: str, port: int | None = None, *, tls: bool = False) -> None:
        self._home, self._host, self._asked, self._tls = home, host, port, tls

    @property
    def port(self) -> int | None:
        """The port it listens on; None before it was ever started."""
        return self._asked or self._home.choices().get("gateway_port")

    @property
    def url(self) -> str | None:
        """Where it is reached from this machine."""
        return f"{'https' if self._tls else 'http'}://{self._near}:{self.port}" if self.port else None

    @property
    def _near(self) -> str:
        return "127.0.0.1" if self._host in ("0.0.0.0", "::") else self._host  # noqa: S104 - what was asked for

    async def prepare(self) -> None:
        """Before each start: a port that is free."""
        if self._asked is not None:
            if not port_is_free(self._asked):
                raise Refused(f"port {self._asked} is taken by another program; name another by --port")
        elif self.port is None or not port_is_free(self.port):
            self._home.choose(gateway_port=free_ports(1)[0])

    async def start(self) -> Process:
        """Start the process."""
        command = [sys.executable, "-m", "carepact", "gateway", "--home", str(self._home), "--port", str(self.port)]
        return await spawn(command, self._home.path, self._home.logs / f"{self.name}.log")

    async def answers(self) -> bool:
        """Whether it answers that it lives."""
        context = None
        if self._tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only whether it answers
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(ASK_SECONDS):
                reader, writer = await asyncio.open_connection(self._near, self.port, ssl=context)
                writer.write(b"GET /health/live HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
                try:
                    return b" 200 " in await reader.readline()
                finally:
                    writer.close()
        return False
