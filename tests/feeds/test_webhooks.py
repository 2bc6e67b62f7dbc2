"""An endpoint is sent each event of its subscriber once by its id, in order, signed; what fails is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest
import pytest_asyncio
from fastapi import FastAPI
from standardwebhooks import Webhook

from carepact.local.platform import LocalPlatform
from contracts.events import EndpointChanged
from gateway import reaching as reach
from gateway.feed_metrics import of_webhooks
from projections.access import reads
from streams.endpoint_acts import RESTORED
from streams.operations import insert
from streams.topics import operations_topic
from tests.feeds.emitting import Acts, pay, reaching
from tests.feeds.receiving import Clock, Received, drips, floods, hangs, receiving, says, sending
from tests.streams.test_operations import consumed

pytestmark = pytest.mark.platform
TOPIC = operations_topic()
KEPT = (
    "role", "payer", "plan", "practice", "url", "event_types", "at_once", "secret", "old_secret", "old_until",
    "created_by",
)  # fmt: skip
"""Of an endpoint, what a database that was lost gets again."""


@pytest_asyncio.fixture
async def owner(fresh_database: str) -> AsyncIterator[Any]:
    """The owner's connection to the test's database."""
    connection = await asyncpg.connect(fresh_database)
    yield connection
    await connection.close()


@pytest.fixture
def app(platform: LocalPlatform, space: str, fresh_database: str, tmp_path: Path) -> FastAPI:
    """A gateway's app on it that lets endpoints be on this machine."""
    del fresh_database
    return reaching(platform, space, tmp_path, webhooks_private=True)


class Subscriber:
    """One caller of the app."""

    def __init__(self, app: FastAPI, token: str) -> None:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers, timeout=120)

    async def __call__(self, method: str, path: str = "", status: int = 200, **body: Any) -> Any:
        """Ask for something of `/v1/endpoints`."""
        words: dict[str, Any] = {"json": body} if body else {}
        answer = await self._client.request(method, f"/v1/endpoints{path}", **words)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return when something holds."""
    async with asyncio.timeout(120):
        while not await holds():  # noqa: ASYNC110 - rows tell nobody when they change
            await asyncio.sleep(0.05)


def verified(secret: str, received: Received) -> Any:
    """The body, once the signature was checked."""
    return Webhook(secret).verify(received.body, received.headers)


async def test_each_event_comes_once_in_order_and_signed_and_nothing_of_others(
    platform: LocalPlatform, space: str, tmp_path: Path, owner: Any, app: FastAPI
) -> None:
    practice = Subscriber(app, "practice")
    before = [await pay(owner, "medicare", f"m{n % 4}", n) for n in range(40)]
    await pay(owner, "medicare", "theirs", 1, practice="P2")
    await pay(owner, "bcbs-sc", "theirs", 1)
    async with receiving(says(204)) as receiver:
        made = await practice("POST", status=201, url=receiver.url)
        async with sending(platform, space, tmp_path):
            await receiver.until(40)
            later = [await pay(owner, "medicare", f"m{n % 4}", 100 + n) for n in range(20)]
            await receiver.until(60)

            async def all_known() -> bool:
                found = await practice("GET", f"/{made['endpoint_id']}/deliveries?limit=1000")
                return [each["status"] for each in found["deliveries"]] == ["delivered"] * 60

            await until(all_known)
        async with sending(platform, space, tmp_path):  # another process goes on where it was
            last = await pay(owner, "medicare", "m0", 200)
            await receiver.until(61)
    expected = [*before, *later, last]
    assert sorted(each.body for each in receiver.received) == sorted(expected)
    for member in ("m0", "m1", "m2", "m3"):
        mine = [each.body for each in receiver.received if orjson.loads(each.body)["subject"] == member]
        assert mine == [event for event in expected if orjson.loads(event)["subject"] == member]
    for each in receiver.received:
        assert verified(made["secret"], each)["id"] == each.id
        assert each.headers["content-type"] == "application/cloudevents+json; charset=UTF-8"
    assert (await practice("GET"))["endpoints"][0]["secret"] is None


async def test_what_fails_waits_with_its_subject_and_the_schedule_survives_the_process(
    platform: LocalPlatform, space: str, tmp_path: Path, owner: Any, app: FastAPI
) -> None:
    payer, clock = Subscriber(app, "payer"), Clock()
    async with receiving(says(204)) as receiver:
        good = receiver.answer

        async def refuses_bad(writer: asyncio.StreamWriter) -> bool:
            bad = orjson.loads(receiver.received[-1].body)["subject"] == "bad"
            return await (says(500) if bad else good)(writer)

        receiver.answer = refuses_bad
        made = await payer("POST", status=201, url=receiver.url, at_once=1)
        path = f"/{made['endpoint_id']}"
        events = [await pay(owner, "medicare", name, n) for n, name in enumerate(("bad", "bad", "good", "good"))]
        async with sending(platform, space, tmp_path, clock):
            await receiver.until(3)
        second, first = await of_status(payer, path, "waiting")
        assert (first["attempts"], second["attempts"], first["next_at"]) == (1, 0, second["next_at"])
        assert [(each["outcome"], each["http_status"]) for each in first["tries"]] == [("refused", 500)]
        receiver.answer = good
        clock.passed = timedelta(seconds=31)
        async with sending(platform, space, tmp_path, clock):
            await receiver.until(5)
    bodies = [each.body for each in receiver.received]
    assert bodies == [events[0], events[2], events[3], events[0], events[1]]


async def test_an_endpoint_that_takes_nothing_is_let_alone_then_disabled_and_loses_nothing_within_three_days(
    platform: LocalPlatform, space: str, tmp_path: Path, owner: Any, app: FastAPI
) -> None:
    payer, clock = Subscriber(app, "payer"), Clock()
    events = [await pay(owner, "medicare", f"m{n}", n) for n in range(20)]
    async with receiving(says(503)) as receiver:
        made = await payer("POST", status=201, url=receiver.url, at_once=1)
        path = f"/{made['endpoint_id']}"
        async with sending(platform, space, tmp_path, clock):
            await receiver.until(3)

            async def failing() -> bool:
                return (await payer("GET", path))["failing_since"] is not None

            await until(failing)
        assert len(receiver.received) == 3, "after three failures in a row the rest is not tried"
        clock.passed = timedelta(days=2)
        receiver.answer = says(200)
        async with sending(platform, space, tmp_path, clock):
            await receiver.until(3 + 20)
        assert sorted({each.body for each in receiver.received[3:]}) == sorted(events)

        receiver.answer = says(503)
        late = [await pay(owner, "medicare", f"m{n}", 100 + n) for n in range(4)]
        async with sending(platform, space, tmp_path, clock):
            await receiver.until(26)
            await until(failing)
        clock.passed += timedelta(days=3, hours=1)
        async with sending(platform, space, tmp_path, clock):
            await receiver.until(27)

            async def given_up() -> bool:
                return len(await of_status(payer, path, "failed")) >= 3

            await until(given_up)
        clock.passed += timedelta(days=2)
        async with sending(platform, space, tmp_path, clock):
            await pay(owner, "medicare", "m9", 200)

            async def disabled() -> bool:
                found = await payer("GET", path)
                return bool(found["status"] == "disabled" and found["why"] == "nothing was taken for five days")

            await until(disabled)
        receiver.answer = says(200)
        await payer("POST", f"{path}/resume")
        count = len(receiver.received)
        async with sending(platform, space, tmp_path, clock):
            await receiver.until(count + 1)
            assert (await payer("POST", f"{path}/replay", since="2020-01-01T00:00:00Z"))["events"] >= 24
            await receiver.until(count + 1 + 24)
    assert set(late) <= {each.body for each in receiver.received[count:]}


async def of_status(payer: Subscriber, path: str, status: str) -> list[Any]:
    """Deliveries of a status, newest first."""
    found: list[Any] = (await payer("GET", f"{path}/deliveries?status={status}"))["deliveries"]
    return found


async def test_410_disables_at_once(
    platform: LocalPlatform, space: str, tmp_path: Path, owner: Any, app: FastAPI
) -> None:
    payer = Subscriber(app, "payer")
    acts = Acts()
    await pay(owner, "medicare", "m", 1)
    async with receiving(says(410)) as receiver, sending(platform, space, tmp_path, acts=acts):
        made = await payer("POST", status=201, url=receiver.url)

        async def disabled() -> bool:
            found = await payer("GET", f"/{made['endpoint_id']}")
            return bool((found["status"], found["why"]) == ("disabled", "the receiver answered 410"))

        await until(disabled)
    assert len(receiver.received) == 1
    lines = [line async for line in of_webhooks(owner)]
    for line in (
        'endpoints{role="payer",payer="medicare",status="disabled"} 1',
        'waiting{role="payer",payer="medicare"} 1',
        'attempts{role="payer",payer="medicare",outcome="no_longer_wanted"} 1',
    ):
        assert f"carepact_webhook_{line}" in lines
    assert [line for line in lines if line.startswith('carepact_webhook_lag_seconds{role="payer",payer="medicare"} ')]
    (act,) = [act for act in acts.stated if isinstance(act, EndpointChanged)]
    assert (act.change, act.why, act.endpoint_id) == ("disabled", "the receiver answered 410", made["endpoint_id"])


async def test_a_subscriber_pauses_replays_tests_rotates_and_deletes_its_own_and_sees_no_other(
    platform: LocalPlatform, space: str, tmp_path: Path, owner: Any, app: FastAPI
) -> None:
    payer, other = Subscriber(app, "payer"), Subscriber(app, "other")
    first = await pay(owner, "medicare", "m", 1)
    async with receiving(says(200)) as receiver:
        made = await payer("POST", status=201, url=receiver.url, start="now")
        path = f"/{made['endpoint_id']}"
        for method, more in (
            ("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/rotate"),
            ("POST", "/test"), ("POST", "/replay"), ("GET", "/deliveries"),
        ):  # fmt: skip
            await other(method, path + more, 404)
        assert (await other("GET"))["endpoints"] == []

        tested = await payer("POST", f"{path}/test")
        assert (tested["outcome"], tested["http_status"]) == ("delivered", 200)
        assert verified(made["secret"], receiver.received[0])["type"] == "carepact.EndpointTested.v1"

        await payer("POST", f"{path}/pause")
        second = await pay(owner, "medicare", "m", 2)
        renewed = await payer("POST", f"{path}/rotate", overlap_hours=1)
        third = await payer("POST", status=201, url=receiver.url, event_types=["carepact.None.v1"])
        async with sending(platform, space, tmp_path):

            async def past() -> bool:
                of = third["endpoint_id"]
                return bool(await owner.fetchval("SELECT made_by > 0 FROM webhook_endpoint WHERE endpoint_id = $1", of))

            await until(past)
            assert len(receiver.received) == 1, "what is paused is sent nothing"
            await payer("POST", f"{path}/resume")
            await receiver.until(2)
            assert receiver.received[1].body == second
            for secret in (made["secret"], renewed["secret"]):
                verified(secret, receiver.received[1])
            assert len(receiver.received[1].headers["webhook-signature"].split()) == 2

            await payer("POST", f"{path}/replay")
            await receiver.until(4)
            assert [each.body for each in receiver.received[2:]] == [first, second]
        await payer("POST", f"{path}/rotate", overlap_hours=0)
        assert (await payer("POST", f"{path}/replay", since="2020-01-01T00:00:00Z"))["events"] == 2
        await payer("POST", f"{path}/replay", 400, after="made-up")
        await payer("POST", f"{path}/replay", 422, unknown=1)
        async with sending(platform, space, tmp_path):
            await receiver.until(6)
        assert len(receiver.received[-1].headers["webhook-signature"].split()) == 1
        await assert_follows_from_acts(owner, app, made["endpoint_id"])
        await payer("DELETE", path, 204)
        await payer("GET", path, 404)
    assert await owner.fetchval("SELECT count(*) FROM webhook_delivery") == 0
    await insert(owner, TOPIC, consumed(*app.state.parts.doors.state.stated))
    assert [each["endpoint_id"] for each in (await payer("GET"))["endpoints"]] == [third["endpoint_id"]]


async def test_what_is_emitted_after_a_pause_is_not_sent_and_after_a_rotation_is_signed_anew(
    platform: LocalPlatform, space: str, tmp_path: Path, owner: Any, app: FastAPI
) -> None:
    """From when the subscriber was answered: not from when the deliverer looks again."""
    payer = Subscriber(app, "payer")
    async with receiving(says(200)) as paused, receiving(says(200)) as rotated, sending(platform, space, tmp_path):
        one, other = [await payer("POST", status=201, url=each.url) for each in (paused, rotated)]
        first = await pay(owner, "medicare", "m", 1)
        await paused.until(1)
        await rotated.until(1)
        for n in range(2, 5):
            await payer("POST", f"/{one['endpoint_id']}/pause")
            other |= await payer("POST", f"/{other['endpoint_id']}/rotate", overlap_hours=0)
            await pay(owner, "medicare", "m", n)
            await rotated.until(n)
            verified(other["secret"], rotated.received[-1])
            assert len(paused.received) == n - 1
            await payer("POST", f"/{one['endpoint_id']}/resume")
            await paused.until(n)
    assert paused.received[0].body == rotated.received[0].body == first
    assert [each.body for each in paused.received] == [each.body for each in rotated.received]


async def assert_follows_from_acts(owner: Any, app: FastAPI, of: str) -> None:
    """What was done is in the log; there it changes nothing that is done, and a lost table is made again, paused."""
    stated = app.state.parts.doors.state.stated
    assert [act.change for act in stated if act.endpoint_id == of] == [
        "created", "tested", "paused", "rotated", "resumed", "replayed", "rotated", "replayed",
    ]  # fmt: skip
    question = "SELECT * FROM webhook_endpoint WHERE endpoint_id = $1"
    live = await owner.fetchrow(question, of)
    await insert(owner, TOPIC, consumed(*stated))
    assert await owner.fetchrow(question, of) == live
    log = [act async for act in reads(owner, "medicare")]
    assert [each["what"] for each in log][:2] == ["endpoint-created", "endpoint-tested"]
    lost = owner.transaction()
    await lost.start()
    await owner.execute("DELETE FROM webhook_endpoint")
    await insert(owner, TOPIC, consumed(*stated))
    again = await owner.fetchrow(question, of)
    await lost.rollback()
    assert (again["status"], again["why"], again["history"]) == ("paused", RESTORED, None)
    assert [again[name] for name in KEPT] == [live[name] for name in KEPT]


async def test_hostile_receivers_hold_up_only_themselves(
    platform: LocalPlatform, space: str, tmp_path: Path, owner: Any, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "TOTAL_SECONDS", 3.0)
    payer = Subscriber(app, "payer")
    events = [await pay(owner, "medicare", f"m{n}", n) for n in range(40)]
    async with (
        receiving(says(204)) as good,
        receiving(says(302, f"Location: {good.url}\r\n")) as redirecting,
        receiving(hangs) as hanging,
        receiving(drips) as dripping,
        receiving(floods) as flooding,
    ):
        outcomes = {}
        for receiver, outcome in (
            (hanging, "timed_out"),
            (dripping, "timed_out"),
            (flooding, "delivered"),
            (redirecting, "redirect"),
            (good, "delivered"),
        ):
            made = await payer("POST", status=201, url=receiver.url, at_once=16)
            outcomes[made["endpoint_id"]] = outcome
        async with sending(platform, space, tmp_path):
            await good.until(40)

            async def all_known() -> bool:
                rows = await owner.fetch("SELECT DISTINCT endpoint_id, outcome FROM webhook_attempt")
                return {str(row["endpoint_id"]): row["outcome"] for row in rows} == outcomes

            await until(all_known)
    assert sorted(each.body for each in good.received) == sorted(events), "and nothing was redirected to it"
    for receiver in (hanging, dripping, redirecting):
        assert len(receiver.received) < 40, "who takes nothing is let alone"


async def test_only_the_types_asked_for_are_sent_and_no_more_endpoints_than_may_be_are_made(
    platform: LocalPlatform, space: str, tmp_path: Path, owner: Any, app: FastAPI
) -> None:
    payer = Subscriber(app, "payer")
    async with receiving(says(200)) as receiver, sending(platform, space, tmp_path):
        await payer("POST", status=201, url=receiver.url, event_types=["carepact.Other.v1"])
        for _ in range(19):
            made = await payer("POST", status=201, url=receiver.url, start="now")
            await payer("POST", f"/{made['endpoint_id']}/pause")
        await payer("POST", status=409, url=receiver.url)
        for bad in ("ftp://a/", "https://", "https://u:p@a/", "https://a/#x", "https://a b/", "https://a:99999/"):
            await payer("POST", status=422, url=bad)
        await pay(owner, "medicare", "m", 1)

        async def past() -> bool:
            return bool(await owner.fetchval("SELECT made_by > 0 FROM webhook_endpoint WHERE event_types <> '{}'"))

        await until(past)
    assert receiver.received == []
