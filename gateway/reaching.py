"""Posts to addresses that subscribers name, and to no address that is not the public internet's.

A name is looked up and every address it has is checked; the connection goes to a checked address, with the name in TLS
and `Host`. So a name that means something else the next moment changes nothing. No redirect is followed, no proxy is
asked, a certificate must be good, and what is read of an answer is its status and a few kilobytes, for some seconds.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

URL_MAX = 2_000
TOTAL_SECONDS = 15.0
CONNECT_SECONDS = 5.0
LOOK_UP_SECONDS = 5.0
LOOK_UPS_AT_ONCE = 32
ANSWER_BYTES = 16_384
ANSWER_SECONDS = 2.0
KEEP_ALIVE_SECONDS = 20.0

_NOT_PUBLIC = [
    ipaddress.ip_network(each)
    for each in ("64:ff9b:1::/48", "2001::/32", "192.88.99.0/24", "fec0::/10", "100::/64", "2001:db8::/32")
]
_IPV4_WITHIN = [(ipaddress.ip_network("64:ff9b::/96"), 96), (ipaddress.ip_network("2002::/16"), 16)]

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses that a name has now."""


class BadUrl(ValueError):
    """Why an address is refused, in words for who gave it."""


class NotPublic(OSError):
    """A name has an address that may not be reached."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a post. `outcome` is `delivered`, or a word for what went wrong; `status` is HTTP's, if one came.

    `cut` says that more was answered than is read, or slower, so that the connection was closed.
    """

    outcome: str
    status: int | None
    ms: int
    cut: bool = False

    @property
    def ok(self) -> bool:
        """Whether the receiver took it."""
        return self.outcome == "delivered"


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, also where it is written within another."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id or any(ip in net for net in _NOT_PUBLIC if net.version == 6):
            return False
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        for net, bits in _IPV4_WITHIN:
            if ip in net:
                within = (int(ip) >> (128 - bits - 32)) & 0xFFFF_FFFF
                return is_public(str(ipaddress.IPv4Address(within)))
    elif any(ip in net for net in _NOT_PUBLIC if net.version == 4):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def check_url(url: str, private: bool) -> None:
    """`BadUrl` for what is no address to post to. `private` lets plain HTTP and any host pass, for tests."""
    parts = urlsplit(url) if len(url) <= URL_MAX and url.isascii() and url.isprintable() and " " not in url else None
    if parts is None:
        raise BadUrl(f"the URL is ASCII without blanks, of {URL_MAX} characters at most")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadUrl("the URL's port is no port") from None
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise BadUrl("the URL begins with https://")
    if not host or port == 0:
        raise BadUrl("the URL names no host")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise BadUrl("the URL has no user, password or fragment")
    if not private and _is_address(host) and not is_public(host):
        raise BadUrl("the URL's address is not public")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class _Checked(AbstractResolver):
    """Looks names up, in threads of its own, and answers only with addresses that may be reached."""

    def __init__(self, private: bool, look_up: Lookup | None) -> None:
        self._private = private
        self._threads = ThreadPoolExecutor(LOOK_UPS_AT_ONCE, "look-up")
        self._look_up = look_up or self._system

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """See aiohttp. One address that is not public refuses the name."""
        del family
        async with asyncio.timeout(LOOK_UP_SECONDS):
            addresses = await self._look_up(host, port)
        if not self._private and not all(is_public(each) for each in addresses):
            raise NotPublic("the name has an address that is not public")
        return [
            ResolveResult(
                hostname=host,
                host=each,
                port=port,
                family=socket.AF_INET6 if ":" in each else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for each in addresses
        ]

    async def _system(self, host: str, port: int) -> Sequence[str]:
        def ask() -> list[str]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return list(dict.fromkeys(str(each[4][0]) for each in found))

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    async def close(self) -> None:
        """Wait for no thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Reach:
    """`async with Reach() as reach: await reach.post(url, headers, body)`."""

    def __init__(self, *, private: bool = False, ca_file: Path | None = None, look_up: Lookup | None = None) -> None:
        self.private = private
        self._ca_file, self._look_up = ca_file, look_up
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Reach:
        connector = aiohttp.TCPConnector(
            resolver=_Checked(self.private, self._look_up),
            use_dns_cache=False,
            limit=0,
            ssl=ssl.create_default_context(cafile=self._ca_file),
            keepalive_timeout=KEEP_ALIVE_SECONDS,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": "carepact", "accept-encoding": "identity"},
            auto_decompress=False,
            read_bufsize=ANSWER_BYTES,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post once; a connection that the receiver had closed meanwhile is replaced."""
        began, cut = time.perf_counter(), False
        try:
            check_url(url, self.private)
            try:
                status, cut = await self._post(url, headers, body)
            except aiohttp.ServerDisconnectedError:
                status, cut = await self._post(url, headers, body)
            outcome = _said(status)
        except Exception as error:
            status, outcome = None, _failed(error)
        return Answer(outcome, status, round((time.perf_counter() - began) * 1e3), cut)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bool]:
        assert self._session is not None, "entered"
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            with suppress(TimeoutError, aiohttp.ClientError):
                await _rest(answer)
            return answer.status, not answer.content.at_eof()


async def _rest(answer: Any) -> None:
    """Read the little that lets the connection be used again; close it on who answers with more, or slowly."""
    left = ANSWER_BYTES
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while left > 0 and not answer.content.at_eof():
                left -= len(await answer.content.read(left))
    finally:
        if not answer.content.at_eof():
            answer.close()


def _said(status: int) -> str:
    match status:
        case 410:
            return "no_longer_wanted"
        case _ if 200 <= status < 300:
            return "delivered"
        case _ if 300 <= status < 400:
            return "redirect"
        case _:
            return "refused"


def _failed(error: Exception) -> str:
    """A word for what went wrong: never the error's own words, which repeat what a receiver sent."""
    within: BaseException | None = error
    while within is not None:
        if isinstance(within, NotPublic | BadUrl):
            return "address_refused"
        within = getattr(within, "os_error", None) or within.__cause__
    match error:
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return "bad_tls"
        case TimeoutError():
            return "timed_out"
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return "no_such_name"
        case aiohttp.ClientConnectionError() | OSError():
            return "not_connected"
        case aiohttp.ClientError() | ValueError():
            return "not_http"
        case _:
            return "not_sent"
