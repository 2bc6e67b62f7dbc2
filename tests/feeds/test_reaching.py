"""Nothing is posted to an address that is not public, whatever a name means the next moment; answers are bounded."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway import reaching
from gateway.reaching import BadUrl, NotPublic, Reach, check_url, is_public
from tests.feeds.receiving import drips, floods, hangs, receiving, says
from tests.gateway.test_tls import certificate

HEADERS = {"webhook-id": "1"}


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "198.18.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
        "fec0::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::",
        "2002:a00:1::", "2001:0:1::", "2001:db8::1", "not an address", "",
    ],
)  # fmt: skip
def test_what_is_not_the_public_internet_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_what_is_public_is_not(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/", "https://", "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/",
        "https://u@hooks.example/", "https://hooks.example/#a", "https://hooks.example:0/", "https://hooks.example:x/",
        "https://hooks.example/ a", "https://hooks.example/\n", "https://é.example/", "file:///etc/passwd",
        "https://hooks.example/" + "a" * 2_000,
    ],
)  # fmt: skip
def test_a_url_that_is_no_public_https_address_is_refused(url: str) -> None:
    with pytest.raises(BadUrl):
        check_url(url, private=False)
    if url.startswith("http://"):
        check_url(url, private=True)


class Names:
    """A name server of a test: each look-up gives the next answer, the last one again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers, self.asked = list(answers), 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """See `gateway.reaching.Lookup`."""
        self.asked += 1
        return self._answers[min(self.asked, len(self._answers)) - 1]


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"]])
async def test_a_name_with_one_address_that_is_not_public_is_not_connected_to(addresses: list[str]) -> None:
    async with receiving(says(204)) as receiver, Reach(look_up=Names(addresses)) as reach:
        port = urlsplit(receiver.url).port
        answer = await reach.post(f"https://hooks.example:{port}/", HEADERS, b"{}")
    assert (answer.outcome, answer.status, receiver.received) == ("address_refused", None, [])


async def test_a_name_that_changes_is_checked_each_time() -> None:
    names = Names(["8.8.8.8"], ["10.0.0.1"])
    resolver = reaching._Checked(False, names)
    assert [each["host"] for each in await resolver.resolve("hooks.example", 443)] == ["8.8.8.8"]
    with pytest.raises(NotPublic):
        await resolver.resolve("hooks.example", 443)
    await resolver.close()


async def test_the_connection_goes_to_the_checked_address_with_the_name_in_tls_and_host(tmp_path: Path) -> None:
    public, private = certificate(tmp_path, "hooks.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    names = Names(["127.0.0.1"], ["127.0.0.9"])  # it means something else the next moment
    shown: list[str | None] = []
    context.sni_callback = lambda socket, name, of: shown.append(name)
    async with receiving(says(204), context) as receiver:
        url = f"https://hooks.example:{urlsplit(receiver.url).port}/"
        async with Reach(private=True, ca_file=public, look_up=names) as reach:
            assert (await reach.post(url, HEADERS, b"{}")).ok
            assert (await reach.post(url, HEADERS, b"{}")).ok, "the connection is used again"
        async with Reach(private=True, look_up=Names(["127.0.0.1"])) as strict:
            assert (await strict.post(url, HEADERS, b"{}")).outcome == "bad_tls"
        async with Reach(private=True, ca_file=public, look_up=Names(["127.0.0.1"])) as other:
            answer = await other.post(url.replace("hooks.", "other."), HEADERS, b"{}")
            assert answer.outcome == "bad_tls", "a certificate for another name"
    assert (names.asked, shown[0]) == (1, "hooks.example")
    assert [each.headers["host"] for each in receiver.received] == [urlsplit(url).netloc] * 2


async def test_what_hostile_receivers_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "TOTAL_SECONDS", 2.0)
    monkeypatch.setattr(reaching, "ANSWER_SECONDS", 0.5)
    async with (
        receiving(says(204)) as inner,
        receiving(says(302, f"Location: {inner.url}\r\n")) as redirecting,
        receiving(hangs) as hanging,
        receiving(drips) as dripping,
        receiving(floods) as flooding,
        Reach(private=True) as reach,
    ):
        posts = (reach.post(each.url, HEADERS, b"{}") for each in (hanging, dripping, flooding, redirecting))
        answers = await asyncio.gather(*posts)
        closed = await reach.post("http://127.0.0.1:1/", HEADERS, b"{}")
        refused = await reach.post("http://user@127.0.0.1/", HEADERS, b"{}")
    assert [each.outcome for each in answers] == ["timed_out", "timed_out", "delivered", "redirect"]
    assert [each.cut for each in answers] == [False, False, True, False]
    assert (closed.outcome, refused.outcome) == ("not_connected", "address_refused")
    assert inner.received == []


async def test_what_is_not_http_is_a_word_and_a_dropped_connection_is_tried_again() -> None:
    async def rubbish(writer: asyncio.StreamWriter) -> bool:
        writer.write(b"SSH-2.0-rubbish\r\n\r\n")
        await writer.drain()
        return False

    async def drops(_: asyncio.StreamWriter) -> bool:
        return False

    async with receiving(rubbish) as odd, receiving(drops) as dropping, Reach(private=True) as reach:
        assert (await reach.post(odd.url, HEADERS, b"{}")).outcome == "not_http"
        assert (await reach.post(dropping.url, HEADERS, b"{}")).outcome == "not_connected"
    assert len(dropping.received) == 2
