"""A receiver of webhooks that answers 204 as fast as it can, or a hostile one: what a deliverer is measured against.

    python -m bench.plain_receiver [hang | drip | flood]

Prints its port, then ends when its standard input does. `hang` never answers, `drip` answers a header now and then, and
`flood` answers 200 with more than anybody reads.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from functools import partial

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
DRIP_SECONDS = 0.5


class Receiving(asyncio.Protocol):
    """One connection, whose requests have a length and come one after the other."""

    def __init__(self) -> None:
        self._held = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end].lower()
            _, _, rest = head.partition(b"content-length: ")
            whole = end + 4 + int(rest.split(b"\r\n", 1)[0])
            if len(self._held) < whole:
                return
            self._held = self._held[whole:]
            assert self._transport is not None
            self._transport.write(ANSWER)


async def hostile(how: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, until the other side has enough of it."""
    with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        await reader.readuntil(b"\r\n\r\n")
        if how == "hang":
            await reader.read()
        writer.write(b"HTTP/1.1 200 OK\r\n" + (b"Content-Length: 10000000000\r\n\r\n" if how == "flood" else b""))
        while not writer.is_closing():
            writer.write(b"x" * 65_536 if how == "flood" else b"X-Drip: 1\r\n")
            await writer.drain()
            if how == "drip":
                await asyncio.sleep(DRIP_SECONDS)
    writer.close()


async def main(how: str = "") -> None:
    """Serve until there is nobody to serve for."""
    if how:
        server = await asyncio.start_server(partial(hostile, how), "127.0.0.1", 0)
    else:
        server = await asyncio.get_running_loop().create_server(Receiving, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
