"""A stream tells each event once by its cursor, says when it has told all, and ends with its credential."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import orjson
import pytest

from carepact.local.platform import LocalPlatform
from gateway.feed_metrics import of_streams
from gateway.limits import Limits
from gateway.open_streams import Stream, Streams
from gateway.problems import Problem
from gateway.streams import chunks
from gateway.tails import KEPT_BYTES_EACH, Tail
from projections.feed import Emitted, OtherHistory, Page, Place
from projections.tenancy import Tenant
from tests.feeds.emitting import PAYER, Unnoted, listening, pay, reaching
from tests.gateway.served import Named, app_of, client_of

KEY = bytes(32)
MEDICARE = Tenant("payer", "medicare")


@dataclass
class Heard:
    """One server-sent event."""

    id: str = ""
    event: str = "message"
    data: list[str] = field(default_factory=list)


async def heard(answer: httpx.Response) -> AsyncIterator[Heard]:
    """Server-sent events as a browser reads them; comments are passed over."""
    one = Heard()
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if not line:
            if one.data:
                yield one
            one = Heard()
        elif name == "data":
            one.data.append(value)
        elif name in ("id", "event"):
            setattr(one, name, value)


@asynccontextmanager
async def stream(url: str, token: str, cursor: str = "") -> AsyncIterator[AsyncIterator[Heard]]:
    """An open stream."""
    headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": cursor} if cursor else {})
    async with (
        httpx.AsyncClient(timeout=60) as client,
        client.stream("GET", f"{url}/v1/feed/stream", headers=headers) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield heard(answer)


async def test_a_reader_cut_off_anywhere_goes_on_by_the_last_id_and_by_cursor(
    platform: LocalPlatform, space: str, fresh_database: str, tmp_path: Path
) -> None:
    owner = await asyncpg.connect(fresh_database)
    made = [await pay(owner, "medicare", f"m{n % 3}", n) for n in range(7)]
    await pay(owner, "bcbs-sc", "theirs", 1)
    app = reaching(platform, space, tmp_path)
    seen: list[str] = []
    cursor, marked = "", 0
    async with listening(app) as url:
        while len(seen) < len(made):
            async with stream(url, "practice", cursor) as events:
                count = 0
                async for one in events:
                    cursor = one.id
                    if one.event == "caught-up":
                        marked += 1
                        made.append(await pay(owner, "medicare", "m0", len(made)))  # it goes on while it is open
                        continue
                    seen += one.data
                    count += 1
                    if count == 3 or len(seen) == 9:
                        break
            if len(seen) == 9:
                break
        assert seen == [event.decode() for event in made]
        assert marked
        async with httpx.AsyncClient(headers={"Authorization": "Bearer practice"}) as client:
            rest = (await client.get(f"{url}/v1/feed", params={"after": cursor})).json()
            refused = await client.get(f"{url}/v1/feed/stream", headers={"Last-Event-ID": "made-up"})
        assert (rest["events"], rest["caught_up"]) == ([], True)
        assert (refused.status_code, refused.json()["code"]) == (400, "cursor_invalid")
    await owner.close()


async def test_curl_follows(platform: LocalPlatform, space: str, fresh_database: str, tmp_path: Path) -> None:
    owner = await asyncpg.connect(fresh_database)
    made = [await pay(owner, "medicare", "m", 1)]
    async with listening(reaching(platform, space, tmp_path)) as url:
        curl = await asyncio.create_subprocess_exec(
            "curl", "-sN", f"{url}/v1/feed/stream", "-H", "Authorization: Bearer payer", stdout=asyncio.subprocess.PIPE
        )
        assert curl.stdout is not None
        seen: list[bytes] = []
        async with asyncio.timeout(120):
            while len(seen) < 2:
                line = await curl.stdout.readline()
                if line == b"event: caught-up\n" and len(made) == 1:
                    made.append(await pay(owner, "medicare", "m", 2))
                elif line.startswith(b'data: {"id'):
                    seen.append(line.removeprefix(b"data: ").strip())
        curl.terminate()
        await curl.wait()
    await owner.close()
    assert seen == made


async def test_a_revoked_credential_ends_its_stream_and_no_other(
    platform: LocalPlatform, space: str, fresh_database: str, tmp_path: Path
) -> None:
    app = reaching(platform, space, tmp_path, mine=PAYER, theirs=PAYER)
    async with listening(app) as url, stream(url, "mine") as mine, stream(url, "theirs") as theirs:
        assert [(await anext(mine)).event, (await anext(theirs)).event] == ["caught-up", "caught-up"]
        app.state.callers = Named(theirs=PAYER)
        for open_now in app.state.parts.streams.all_open:
            open_now.callers = app.state.callers
        await app.state.parts.streams.check()
        last = await anext(mine)
        assert (last.event, last.data) == ("closed", ['{"code":"unauthenticated"}'])
        assert await anext(mine, None) is None
        owner = await asyncpg.connect(fresh_database)
        event = await pay(owner, "medicare", "m", 1)
        await owner.close()
        assert (await anext(theirs)).data == [event.decode()]


async def test_a_reader_that_takes_nothing_holds_up_nobody_and_misses_nothing(
    platform: LocalPlatform, space: str, fresh_database: str, tmp_path: Path
) -> None:
    """Twelve megabytes, which no connection holds: the slow reader's wait in the tables."""
    owner = await asyncpg.connect(fresh_database)
    await owner.execute(
        """
        INSERT INTO payment (payer, plan, contract, payment_id, kind, amount_cents, member, practice, period,
                             effective_on, cause, sequence, partition, log_offset, event)
        SELECT 'medicare', '', 'c', gen_random_uuid(), 'k', 1, 'm', 'P1', '', '2026-01-01', gen_random_uuid(), n, 0, 0,
               convert_to(format('{"sequence":"%s","told":"%s"}', n, repeat('x', 4000)), 'UTF8')
          FROM generate_series(1, 3000) AS n
        """
    )
    await owner.close()

    async def all_of(events: AsyncIterator[Heard]) -> list[int]:
        seen = []
        async for one in events:
            if one.event == "caught-up":
                break
            seen.append(int(orjson.loads(one.data[0])["sequence"]))
        return seen

    async with (
        listening(reaching(platform, space, tmp_path)) as url,
        stream(url, "payer") as slow,
        stream(url, "practice") as fast,
    ):
        assert orjson.loads((await anext(slow)).data[0])["sequence"] == "1"
        assert await all_of(fast) == list(range(1, 3001))
        assert await all_of(slow) == list(range(2, 3001))


async def test_no_more_streams_than_may_be_are_open(tmp_path: Path) -> None:
    app = app_of(tmp_path, Limits(streams=0), payer=PAYER)
    app.state.accesses = Unnoted()
    async with client_of(app, "payer") as client:
        answer = await client.get("/v1/feed/stream")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "busy", "5")


async def test_a_credential_that_lost_the_scope_or_cannot_be_asked_for_ends_its_stream() -> None:
    class Away(Named):
        async def holder(self, token: str) -> None:
            raise Problem(503, "away", "no")

    streams = Streams(5)
    lesser = Stream(Named(a=PAYER), "a", PAYER)
    away, mine = Stream(Away(), "a", PAYER), Stream(Named(a=PAYER), "a", PAYER)
    other = Stream(Named(a=PAYER), "b", PAYER)
    with streams.opened(lesser), streams.opened(away), streams.opened(mine), streams.opened(other):
        assert len(streams.all_open) == 4
        assert 'carepact_feed_streams{role="payer",payer="medicare"} 4' in of_streams(streams.all_open)
        await streams.check()
        assert [each.ended for each in (lesser, mine, away, other)] == ["", "", "unauthenticated", "unauthenticated"]
        await streams.close()
        assert mine.ended == "stopping"
    assert list(streams.all_open) == []


def emitted(made_by: int, size: int = 10) -> Emitted:
    return Emitted(Place(1, made_by, "s", 1, uuid4()), b"x" * size)


def test_a_tail_keeps_the_newest_and_sends_who_is_further_back_to_the_tables() -> None:
    start = Place(1, 5)
    tail = Tail(MEDICARE, start, start)
    wake = asyncio.Event()
    tail.followers.add(wake)
    events = [emitted(made_by, KEPT_BYTES_EACH // 2) for made_by in (6, 7, 8)]
    tail.grow(Page(events[:1], events[0].place, False), KEPT_BYTES_EACH)
    assert wake.is_set()
    assert tail.page(start) == Page(events[:1], events[0].place, False)
    tail.grow(Page(events[1:], Place(1, 9), True), KEPT_BYTES_EACH)
    assert tail.page(start) is None
    assert tail.page(events[0].place) == Page(events[1:], Place(1, 9), True)
    assert tail.page(Place(1, 12)) == Page([], Place(1, 12), True), "it read more than the tail did"
    tail.lost = True
    with pytest.raises(OtherHistory):
        tail.page(events[0].place)


def test_what_is_sent_at_once_is_bounded_and_an_event_keeps_its_bytes() -> None:
    told = list(chunks(KEY, MEDICARE, [emitted(n, 40_000) for n in range(1, 6)]))
    assert [part.count(b"\n\n") for part in told] == [2, 2, 1]
    (one,) = chunks(KEY, MEDICARE, [Emitted(Place(1), b'{"a":\n1}')])
    assert one.split(b"\n", 1)[1] == b'data: {"a":\ndata: 1}\n\n'
